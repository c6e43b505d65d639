//! A lane: one input partition of a task, with what has arrived and is not processed yet.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::Scene;
use crate::error::{Error, Reaction, Result};
use crate::kafka::Fetched;
use crate::operator::{Input, Intake, Reading};
use crate::record::{Columns, SharedBatch};
use crate::time::UNKNOWN_TIME;
use crate::topic::TopicPartition;

/// How far a lane is behind the end of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// Nothing was fetched since the lane was set to an offset.
    Unknown,
    /// The last fetch did not reach the end.
    Behind,
    /// The last fetch reached the end.
    CaughtUp,
}

/// One input partition of a task.
pub struct Lane {
    partition: TopicPartition,
    number: usize,
    intake: Rc<RefCell<dyn Intake>>,
    batches: VecDeque<SharedBatch>,
    /// Index of the head in the first batch.
    cursor: usize,
    buffered: usize,
    /// Event times of the records that are read: the first of those that wait.
    times: VecDeque<i64>,
    /// How many records are read at once.
    reach: usize,
    partition_time: i64,
    position: i64,
    committed: i64,
    lag: Lag,
    pub(super) idle_since: Option<i64>,
}

impl Lane {
    /// The lane with this number among those of its task; it stands nowhere until [`Lane::seek`].
    pub fn new(partition: TopicPartition, number: usize, intake: Rc<RefCell<dyn Intake>>) -> Self {
        Self {
            partition,
            number,
            intake,
            batches: VecDeque::new(),
            cursor: 0,
            buffered: 0,
            times: VecDeque::new(),
            reach: Columns::<(), ()>::ROWS,
            partition_time: UNKNOWN_TIME,
            position: 0,
            committed: 0,
            lag: Lag::Unknown,
            idle_since: None,
        }
    }

    /// The input partition.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Number of records that wait.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Bytes of the batches that are not processed to their end.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.batches.iter().map(|batch| batch.byte_len()).sum()
    }

    /// Event time of the head, once it is read.
    #[must_use]
    #[inline]
    pub fn head_time(&self) -> Option<i64> {
        self.times.front().copied()
    }

    /// Highest event time of this partition, -1 before the first.
    #[must_use]
    pub fn partition_time(&self) -> i64 {
        self.partition_time
    }

    /// How far the lane is behind.
    #[must_use]
    pub fn lag(&self) -> Lag {
        self.lag
    }

    /// The offset up to which everything is committed.
    #[must_use]
    pub fn committed(&self) -> i64 {
        self.committed
    }

    /// The next offset to commit: the head's, or the fetch position (behind control records) where nothing waits.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        let mut cursor = self.cursor;
        for batch in &self.batches {
            if cursor < batch.len() {
                return batch.get(cursor).offset;
            }
            cursor -= batch.len();
        }
        self.position
    }

    /// What was consumed up to `offset` is committed.
    pub fn set_committed(&mut self, offset: i64) {
        self.committed = offset;
    }

    /// Forgets what waits and goes on at `offset`.
    pub fn seek(&mut self, offset: i64, partition_time: i64) {
        self.clear();
        self.position = offset;
        self.committed = offset;
        self.partition_time = partition_time;
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.cursor = 0;
        self.buffered = 0;
        self.times.clear();
        self.intake.borrow_mut().forget(self.number);
        self.lag = Lag::Unknown;
        self.idle_since = None;
    }

    /// Takes what was fetched.
    ///
    /// # Errors
    /// If offsets go backwards: then records would be processed twice.
    pub fn push(&mut self, fetched: Fetched) -> Result<()> {
        let first = fetched.records.iter().next().map_or(fetched.position, |record| record.offset);
        if first < self.position || fetched.position < self.position {
            let message = format!("expected offset {} or later, but {first} was fetched", self.position);
            return Err(Error::new(Reaction::Stop, message).at_record(&self.partition, first));
        }
        self.position = fetched.position;
        self.lag = if fetched.caught_up { Lag::CaughtUp } else { Lag::Behind };
        if !fetched.records.is_empty() {
            self.buffered += fetched.records.len();
            self.batches.push_back(fetched.records.freeze());
        }
        Ok(())
    }

    /// Makes sure that the head is read; records that are dropped on the way are consumed. Returns whether there is a
    /// head.
    ///
    /// # Errors
    /// If a record cannot be read and the handler says to fail.
    #[inline]
    pub fn load(&mut self, scene: &mut Scene<'_>) -> Result<bool> {
        if self.times.is_empty() { self.read(scene) } else { Ok(true) }
    }

    fn read(&mut self, scene: &mut Scene<'_>) -> Result<bool> {
        while let Some(batch) = self.batches.front() {
            if self.cursor == batch.len() {
                self.batches.pop_front();
                self.cursor = 0;
                continue;
            }
            let rows = self.cursor..batch.len().min(self.cursor + self.reach);
            let reading = Reading { lane: self.number, batch, rows, partition_time: self.partition_time };
            let input = Input { partition: &self.partition, batch, row: self.cursor };
            let mut context = scene.context(Some(input));
            let dropped = self.intake.borrow_mut().load(&mut context, &reading, &mut self.times)?;
            if dropped == 0 {
                return Ok(true);
            }
            // Where one record is bad the next may be, too: reading far ahead of it would be in vain.
            self.reach = 1;
            scene.counters.consumed += dropped as u64;
            self.cursor += dropped;
            self.buffered -= dropped;
        }
        Ok(false)
    }

    /// How many of the records that are read come before `limit`, the time and the number of another lane's head; all
    /// of them where there is none.
    #[must_use]
    pub fn before(&self, limit: Option<(i64, usize)>) -> usize {
        let Some(limit) = limit else { return self.times.len() };
        self.times.iter().take_while(|time| (**time, self.number) < limit).count()
    }

    /// Sends the first `count` of the records that are read down the topology.
    ///
    /// # Errors
    /// If an operator fails on one and the handler says to fail.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn run(&mut self, count: usize, scene: &mut Scene<'_>) -> Result<()> {
        // Where lanes take turns reading far ahead would be in vain.
        let all = count == self.times.len();
        self.reach = if all { (self.reach * 2).min(Columns::<(), ()>::ROWS) } else { count.max(1) };
        let newest = self.times.range(..count).copied().max().unwrap_or(UNKNOWN_TIME);
        self.times.drain(..count);
        self.partition_time = self.partition_time.max(newest);
        scene.stream_time = scene.stream_time.max(newest);
        scene.counters.consumed += count as u64;
        scene.counters.processed += count as u64;
        let batch = self.batches.front().expect("records that are read lie in a batch");
        let input = Input { partition: &self.partition, batch, row: self.cursor };
        let mut context = scene.context(Some(input));
        self.intake.borrow_mut().run(&mut context, self.number, count)?;
        self.cursor += count;
        self.buffered -= count;
        Ok(())
    }
}
