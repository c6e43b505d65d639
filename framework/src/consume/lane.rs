//! A lane: one input partition of a task, with what has arrived and is not processed yet.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::Scene;
use crate::error::{Error, Reaction, Result};
use crate::kafka::Fetched;
use crate::operator::{At, Input, Intake, Run};
use crate::record::SharedBatch;
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
    head_time: Option<i64>,
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
            head_time: None,
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

    /// Event time of the head, once it is loaded.
    #[must_use]
    #[inline]
    pub fn head_time(&self) -> Option<i64> {
        self.head_time
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
        self.head_time = None;
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

    /// Makes sure that the head is decoded; records that are dropped on the way are consumed. Returns whether there is
    /// a head.
    ///
    /// # Errors
    /// If a record cannot be read and the handler says to fail.
    #[inline]
    pub fn load(&mut self, scene: &mut Scene<'_>) -> Result<bool> {
        if self.head_time.is_some() {
            return Ok(true);
        }
        while let Some(batch) = self.batches.front() {
            if self.cursor == batch.len() {
                self.batches.pop_front();
                self.cursor = 0;
                continue;
            }
            let raw = batch.get(self.cursor);
            let at = At { lane: self.number, raw, batch, partition_time: self.partition_time };
            let mut context = scene.context(Some(Input { partition: &self.partition, raw }));
            self.head_time = self.intake.borrow_mut().load(&mut context, at)?;
            if self.head_time.is_some() {
                return Ok(true);
            }
            scene.counters.consumed += 1;
            self.cursor += 1;
            self.buffered -= 1;
        }
        Ok(false)
    }

    /// Sends the head down the topology.
    ///
    /// # Errors
    /// If an operator fails on it and the handler says to fail.
    ///
    /// # Panics
    /// If no head is loaded.
    #[inline]
    pub fn run(&mut self, scene: &mut Scene<'_>) -> Result<()> {
        let time = self.head_time.take().expect("only a loaded head is run");
        let raw = self.batches.front().expect("a head lies in a batch").get(self.cursor);
        self.partition_time = self.partition_time.max(time);
        scene.stream_time = scene.stream_time.max(time);
        scene.counters.consumed += 1;
        scene.counters.processed += 1;
        let mut context = scene.context(Some(Input { partition: &self.partition, raw }));
        if let Err(error) = self.intake.borrow_mut().run(&mut context, self.number) {
            context.recover(error)?;
        }
        self.cursor += 1;
        self.buffered -= 1;
        Ok(())
    }

    /// Sends up to `budget` records down the topology, each as soon as it is decoded: the way of a task's only lane,
    /// which has no other head to wait for. Returns how many left the lane.
    ///
    /// # Errors
    /// As [`Lane::load`] and [`Lane::run`].
    pub fn stream(&mut self, budget: usize, scene: &mut Scene<'_>) -> Result<usize> {
        let mut done = 0;
        while done < budget {
            let Some(batch) = self.batches.front() else { break };
            if self.cursor == batch.len() {
                self.batches.pop_front();
                self.cursor = 0;
                continue;
            }
            let mut run = Run {
                partition: &self.partition,
                lane: self.number,
                batch,
                next: self.cursor,
                end: batch.len().min(self.cursor + budget - done),
                partition_time: self.partition_time,
            };
            let mut context = scene.context(None);
            let result = self.intake.borrow_mut().stream(&mut context, &mut run);
            let (next, partition_time, stream_time) = (run.next, run.partition_time, context.stream_time);
            let moved = next - self.cursor;
            scene.stream_time = stream_time;
            self.partition_time = partition_time;
            self.cursor = next;
            self.buffered -= moved;
            done += moved;
            result?;
        }
        Ok(done)
    }
}
