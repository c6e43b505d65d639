//! The committer: takes one commit through its stages, a step at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Poll;

use super::{CommitRecord, FlushOptions, Flusher, Interval, Planted, Probe, Window};
use crate::error::{Error, Reaction, Result};
use crate::kafka::{Answer, Fault, GroupMetadata, KafkaError, Membership, OffsetCommit};
use crate::produce::{Outbox, Sender};
use crate::record::RecordBatch;
use crate::state::{Changes, StateBackend};
use crate::task::Task;
use crate::telemetry::Counters;
use crate::time::Clock;
use crate::topic::{TaskId, TopicName, TopicPartition};
use crate::topology::Plan;

/// When to commit.
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// `commit.interval.ms`.
    pub interval_ms: i64,
    /// `transaction.timeout.ms`: a transaction ends at half of it at the latest.
    pub transaction_timeout_ms: i64,
    /// `task.timeout.ms`: how long a call is made again.
    pub task_timeout_ms: i64,
    /// When to flush.
    pub flush: FlushOptions,
    /// A fault for tests.
    pub planted: Planted,
}

/// What a commit works on.
pub struct CommitDesk<'a> {
    /// The worker's tasks.
    pub tasks: &'a mut BTreeMap<TaskId, Task>,
    /// The producer.
    pub sender: &'a mut Sender,
    /// What waits to be sent.
    pub outbox: &'a mut Outbox,
    /// Where the byte stores of the tasks lie.
    pub backend: &'a dyn StateBackend,
    /// The membership whose generation goes along.
    pub membership: &'a mut dyn Membership,
    /// A test's hook.
    pub probe: &'a mut Probe,
    /// What the wall clock shows, for operators and records of the commit.
    pub wall_ms: i64,
    /// Now, in a time that never goes back.
    pub now_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Sending,
    Offsets,
    Ending,
    Acknowledging,
    Group,
}

/// Takes commits through their stages.
pub struct Committer {
    options: CommitOptions,
    clock: Arc<dyn Clock>,
    /// Which sub-topology writes a changelog.
    writers: HashMap<TopicName, u32>,
    flusher: Flusher,
    stage: Stage,
    requested: bool,
    last_ms: Option<i64>,
    begun_ms: i64,
    /// Why it is not through, as far as the cluster says.
    said: Option<KafkaError>,
    begun_us: u64,
    number: u64,
    touched: Vec<TaskId>,
    offsets: Vec<OffsetCommit>,
    group: Option<GroupMetadata>,
}

impl Committer {
    /// A committer for the tasks of `plan`.
    #[must_use]
    pub fn new(options: CommitOptions, plan: &Plan, clock: Arc<dyn Clock>) -> Self {
        let stores = |part: u32, stores: &[crate::topology::StorePlan]| {
            stores.iter().map(|store| (store.changelog.clone(), part)).collect::<Vec<_>>()
        };
        let writers = plan.subtopologies.iter().flat_map(|part| stores(part.id, &part.stores)).collect();
        Self {
            flusher: Flusher::new(options.flush.clone(), options.planted),
            options,
            clock,
            writers,
            stage: Stage::Idle,
            requested: false,
            last_ms: None,
            begun_ms: 0,
            said: None,
            begun_us: 0,
            number: 0,
            touched: Vec::new(),
            offsets: Vec::new(),
            group: None,
        }
    }

    /// Asks for a commit as soon as possible.
    pub fn request(&mut self) {
        self.requested = true;
    }

    /// Asks for a commit and a flush: the tasks go away.
    pub fn request_flush(&mut self) {
        self.requested = true;
        self.flusher.request();
    }

    /// Whether a commit was asked for and has not ended.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested
    }

    /// Whether a commit is under way: nothing may be processed meanwhile.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// How many flushes there were.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flusher.number()
    }

    /// The worker's share of `memory.max`.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.flusher.budget()
    }

    /// Changes the worker's share of `memory.max`.
    pub fn set_budget(&mut self, bytes: usize) {
        self.flusher.set_budget(bytes);
    }

    /// Whether tasks, and `output` bytes on their way out, take more than they should.
    #[must_use]
    pub fn is_over_budget(&self, tasks: &BTreeMap<TaskId, Task>, output: usize) -> bool {
        self.flusher.is_over_budget(tasks, output)
    }

    /// Whether a commit should begin.
    pub fn is_due(&mut self, sender: &Sender, now_ms: i64) -> bool {
        let last = *self.last_ms.get_or_insert(now_ms);
        let old = sender.is_overdue(self.options.transaction_timeout_ms / 2, now_ms);
        self.requested || old || now_ms.saturating_sub(last) >= self.options.interval_ms
    }

    /// Forgets the commit that is under way: its transaction was aborted, or its tasks are lost.
    pub fn reset(&mut self) {
        self.stage = Stage::Idle;
        self.touched.clear();
        self.offsets.clear();
        self.group = None;
    }

    /// Begins a commit. Returns whether there is anything to commit.
    ///
    /// # Errors
    /// If an operator or a serde fails.
    pub fn begin(&mut self, desk: &mut CommitDesk<'_>) -> Result<bool> {
        self.begun_ms = desk.now_ms;
        self.said = None;
        self.begun_us = self.clock.elapsed_us();
        self.collect(desk)?;
        if self.touched.is_empty() && desk.sender.open_since().is_some() {
            self.touched = running(desk.tasks).collect();
        }
        if self.touched.is_empty() {
            self.done(desk)?;
            return Ok(false);
        }
        desk.probe.at(Window::Processed)?;
        self.number += 1;
        self.stage = Stage::Sending;
        Ok(true)
    }

    /// Steps 1 and 2: what operators hold back, and what stores have to log.
    fn collect(&mut self, desk: &mut CommitDesk<'_>) -> Result<()> {
        let withheld = self.options.planted == Planted::OffsetsBeforeState;
        for (id, task) in desk.tasks.iter_mut().filter(|(_, task)| task.is_running()) {
            if withheld {
                send_changelogs(task, desk.sender, desk.now_ms)?;
            }
            if !task.has_ticks() && !task.is_touched() {
                continue;
            }
            desk.outbox.set_writer(*id);
            task.before_commit(desk.wall_ms, desk.outbox)?;
            let logged = self.log(task).map_err(|error| {
                let later = error.reaction() == Reaction::Abort;
                let reaction = if later { Reaction::Abort } else { Reaction::Stop };
                error.detail(&task.progress_text()).in_task(*id).reacting(reaction)
            })?;
            if logged || task.is_touched() {
                self.touched.push(*id);
            }
        }
        Ok(())
    }

    /// Writes what a task's stores have changed to the batches for their changelogs. Returns whether there was anything.
    fn log(&mut self, task: &mut Task) -> Result<bool> {
        let mut logged = false;
        for store in task.stores_mut() {
            logged |= store.log()?;
            self.flusher.add_bytes(store.changelog.byte_len());
            if self.options.planted == Planted::LostTombstone {
                store.changelog = without_tombstones(&store.changelog);
            }
        }
        Ok(logged)
    }

    /// Goes on with the commit as far as it can without waiting. Ready with what was committed, once.
    ///
    /// # Errors
    /// With the reaction that the commit's failure asks for.
    pub fn advance(&mut self, desk: &mut CommitDesk<'_>) -> Result<Poll<CommitRecord>> {
        loop {
            let ready = match self.stage {
                Stage::Idle => return Ok(Poll::Pending),
                Stage::Sending => self.send(desk)?,
                Stage::Offsets => self.send_offsets(desk)?,
                Stage::Ending => {
                    let answer = desk.sender.commit(desk.now_ms);
                    desk.probe.at(Window::Ending)?;
                    self.settle(answer)?.then_some(Stage::Idle)
                }
                Stage::Acknowledging => {
                    let flushed = desk.sender.flush(desk.now_ms);
                    let next = self.settle(flushed)?.then_some(Stage::Group);
                    next.map_or(Ok(()), |_| desk.probe.at(Window::Offsets))?;
                    next
                }
                Stage::Group => {
                    let answer = desk.membership.commit(&self.offsets, desk.now_ms);
                    desk.probe.at(Window::Ending)?;
                    self.settle(answer)?.then_some(Stage::Idle)
                }
            };
            match ready {
                None => {
                    self.check_patience(desk)?;
                    return Ok(Poll::Pending);
                }
                Some(Stage::Idle) => {
                    desk.probe.at(Window::Acknowledged)?;
                    self.stage = Stage::Idle;
                    return self.acknowledged(desk).map(Poll::Ready);
                }
                Some(next) => self.stage = next,
            }
        }
    }

    /// Whether a call was answered; a retriable error means that it is made again.
    fn settle(&mut self, answer: Answer<()>) -> Result<bool> {
        match answer {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) if error.fault == Fault::Retriable => {
                tracing::debug!(%error, stage = ?self.stage, "commit waits");
                self.said = Some(error);
                Ok(false)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    /// A transaction that does not come to its end is given up with its producer: a new one learns what became of it.
    fn check_patience(&mut self, desk: &CommitDesk<'_>) -> Result<()> {
        let waited = desk.now_ms.saturating_sub(self.begun_ms);
        let transactional = desk.sender.is_transactional();
        let limit = if transactional {
            self.options.task_timeout_ms.min(self.options.transaction_timeout_ms / 2)
        } else {
            self.options.task_timeout_ms
        };
        if waited <= limit {
            return Ok(());
        }
        let reaction = if transactional { Reaction::NewProducer } else { Reaction::Stop };
        let error = Error::new(reaction, format!("a commit was not answered for {waited} ms"));
        Err(match self.said.take() {
            Some(said) => error.because(said),
            None => error,
        })
    }

    fn send(&mut self, desk: &mut CommitDesk<'_>) -> Result<Option<Stage>> {
        if desk.outbox.is_holding() {
            return Ok(None);
        }
        match self.send_all(desk) {
            Err(error) if error.reaction() == Reaction::Retry => {
                tracing::debug!(%error, "commit waits to be sent");
                return Ok(None);
            }
            result => result?,
        }
        desk.probe.at(Window::Sent)?;
        self.offsets = self.touched.iter().flat_map(|id| desk.tasks[id].offsets(false)).collect();
        if self.offsets.is_empty() {
            // Nothing was consumed, but something was written: the generation goes along with an offset as it is.
            self.offsets = self.touched.first().map_or(Vec::new(), |id| desk.tasks[id].offsets(true));
        }
        if self.options.planted == Planted::StreamTimeNotStored {
            self.offsets.iter_mut().for_each(|(_, committed)| committed.metadata.clear());
        }
        let group = desk.membership.generation();
        if group.generation < 0 {
            // An unknown generation is not checked by the coordinator: a zombie's commit would pass.
            return Err(Error::new(Reaction::Rejoin, "the group's generation is unknown"));
        }
        self.group = Some(group);
        if !desk.sender.is_transactional() {
            return Ok(Some(Stage::Acknowledging));
        }
        desk.sender.begin(desk.now_ms)?;
        Ok(Some(Stage::Offsets))
    }

    fn send_all(&self, desk: &mut CommitDesk<'_>) -> Result<()> {
        desk.outbox.send(desk.sender, desk.now_ms)?;
        if self.options.planted == Planted::OffsetsBeforeState {
            return Ok(());
        }
        for id in &self.touched {
            let task = desk.tasks.get_mut(id).expect("a task of this commit exists until it ends");
            send_changelogs(task, desk.sender, desk.now_ms)?;
        }
        Ok(())
    }

    fn send_offsets(&mut self, desk: &mut CommitDesk<'_>) -> Result<Option<Stage>> {
        if self.options.planted == Planted::CommitWithoutOffset {
            return Ok(Some(Stage::Ending));
        }
        let group = self.group.as_ref().expect("the generation was asked for before");
        let answer = desk.sender.send_offsets(&self.offsets, group, desk.now_ms);
        if !self.settle(answer)? {
            return Ok(None);
        }
        desk.probe.at(Window::Offsets)?;
        Ok(Some(Stage::Ending))
    }

    /// Step 4.
    fn acknowledged(&mut self, desk: &mut CommitDesk<'_>) -> Result<CommitRecord> {
        for (partition, offset) in desk.sender.acknowledged() {
            self.remember(desk.tasks, &partition, offset);
        }
        let mut tasks = Vec::with_capacity(self.touched.len());
        for id in self.touched.drain(..) {
            let task = desk.tasks.get_mut(&id).expect("a task of this commit exists until it ends");
            let counters: Counters = task.committed();
            tasks.push((id, counters));
            if self.options.planted == Planted::OffsetAheadOfData {
                let mut changes = Changes::default();
                task.stores().iter().for_each(|store| store.put_offset(&mut changes));
                task.apply(&changes)?;
            }
        }
        let intervals = std::mem::take(&mut self.offsets).into_iter().filter_map(|(partition, committed)| {
            let mut lanes = desk.tasks.values_mut().flat_map(|task| task.lanes_mut());
            let lane = lanes.find(|lane| *lane.partition() == partition)?;
            let from = lane.committed();
            lane.set_committed(committed.offset);
            Some(Interval { partition, from, to: committed.offset })
        });
        let intervals = intervals.collect();
        let generation = self.group.take().map_or(-1, |group| group.generation);
        self.done(desk)?;
        Ok(CommitRecord {
            number: self.number,
            generation,
            tasks,
            intervals,
            at_ms: desk.wall_ms,
            took_us: self.clock.elapsed_us().saturating_sub(self.begun_us),
        })
    }

    /// Rule: what is stored as a changelog's offset never leads what is committed.
    fn remember(&self, tasks: &mut BTreeMap<TaskId, Task>, partition: &TopicPartition, offset: i64) {
        let Some(subtopology) = self.writers.get(&partition.topic) else { return };
        let id = TaskId { subtopology: *subtopology, partition: partition.partition };
        let stores = tasks.get_mut(&id).map_or(Default::default(), Task::stores_mut);
        if let Some(store) = stores.iter_mut().find(|store| store.partition.as_ref() == Some(partition)) {
            store.offset = store.offset.max(offset);
        }
    }

    /// Nothing is uncommitted now: the moment for a flush.
    fn done(&mut self, desk: &mut CommitDesk<'_>) -> Result<()> {
        self.requested = false;
        self.last_ms = Some(desk.now_ms);
        if self.flusher.is_due(desk.now_ms) {
            self.flusher.flush(desk)?;
        }
        Ok(())
    }
}

fn running(tasks: &BTreeMap<TaskId, Task>) -> impl Iterator<Item = TaskId> {
    tasks.iter().filter(|(_, task)| task.is_running()).map(|(id, _)| *id)
}

fn send_changelogs(task: &mut Task, sender: &mut Sender, now_ms: i64) -> Result<()> {
    for store in task.stores_mut() {
        let Some(partition) = &store.partition else { continue };
        if !store.changelog.is_empty() {
            sender.send(partition, &mut store.changelog, now_ms)?;
            store.changelog.clear();
        }
    }
    Ok(())
}

fn without_tombstones(batch: &RecordBatch) -> RecordBatch {
    let mut kept = RecordBatch::default();
    for record in batch.iter().filter(|record| record.value.is_some()) {
        kept.push(record.timestamp, record.key, record.value, record.offset);
    }
    kept
}
