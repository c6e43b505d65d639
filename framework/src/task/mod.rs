//! The second station: a task owns its lanes, its operators and their stores, and processes its records by event
//! time.
//!
//! A task is one partition of one sub-topology. It knows neither brokers nor transactions: the worker hands it what was
//! fetched and takes what it has written. [`Restore`] brings its state to where its committed offsets are.

pub mod checkpoint;
mod desk;
mod flushing;
mod lifecycle;
pub mod metadata;
mod progress;
mod reading;
mod restore;
mod stores;

pub use checkpoint::Checkpoint;
pub use desk::{RestoreDesk, RestoreOptions, RestorePorts};
pub use lifecycle::Phase;
pub use progress::{Rebuild, RestoreProgress, Restored};
pub use restore::Restore;
pub use stores::LoggedStore;

use std::rc::Rc;
use std::sync::Arc;

use crate::consume::{Lane, Scene, order};
use crate::error::{Error, Reaction, Result};
use crate::kafka::{CommittedOffset, OffsetCommit, StartAt};
use crate::operator::{Assembly, Context, Handlers, Output, Setup, Tick};
use crate::state::{ByteStore, Space};
use crate::telemetry::Counters;
use crate::time::UNKNOWN_TIME;
use crate::topic::{TaskId, TopicPartition};
use crate::topology::{SourcePlan, SubtopologyPlan};

/// A task.
pub struct Task {
    id: TaskId,
    phase: Phase,
    lanes: Vec<Lane>,
    sources: Vec<SourcePlan>,
    assembly: Assembly,
    stores: Vec<LoggedStore>,
    layout: String,
    handlers: Arc<Handlers>,
    counters: Counters,
    stream_time: i64,
    idle_ms: Option<i64>,
    newest_input: Option<i64>,
    unflushed: bool,
    /// The wall-clock time that the byte store was told last.
    checkpoint_ms: i64,
    fingerprint: u64,
}

/// What a task is made of.
pub struct TaskParts<'a> {
    /// Its number.
    pub id: TaskId,
    /// Its sub-topology.
    pub plan: &'a SubtopologyPlan,
    /// Its input partitions.
    pub inputs: &'a [TopicPartition],
    /// Its byte store.
    pub bytes: Rc<dyn ByteStore>,
    /// What its operators need of the configuration.
    pub setup: Setup,
    /// The answers to failures.
    pub handlers: Arc<Handlers>,
    /// `max.task.idle.ms`.
    pub idle_ms: Option<i64>,
    /// The topology's fingerprint, kept with the state.
    pub fingerprint: u64,
}

/// What a slice of work did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Records that left their lanes.
    pub consumed: usize,
    /// Whether the budget ended the slice: there may be more to do at once.
    pub more: bool,
}

impl Task {
    /// Assembles a task; it has to be restored before it runs.
    ///
    /// # Errors
    /// If its operators cannot be made or its stores not be opened.
    pub fn new(parts: TaskParts<'_>) -> Result<Self> {
        let TaskParts { id, plan, inputs, bytes, setup, handlers, idle_ms, fingerprint } = parts;
        let spaces = plan.stores.iter().zip(0..).map(|(store, index)| (store.name.clone(), space(index)));
        let mut assembly = Assembly::new(id, setup, bytes, spaces.collect());
        (plan.assemble)(&mut assembly).map_err(|error| error.in_task(id))?;
        let left_out = metadata::left_out(assembly.times().keys().map(String::as_str));
        if left_out > 0 {
            tracing::warn!(
                task = %id,
                left_out,
                "the times of so many operators find no room in the metadata of offsets: where the task moves to a process \
                 without its local state, they begin anew, and records may count that were late before; split the topology or \
                 give its operators shorter names"
            );
        }
        let mut lanes = Vec::with_capacity(inputs.len());
        for (number, partition) in inputs.iter().enumerate() {
            let intake = assembly.intakes().get(partition.topic.as_ref()).ok_or_else(|| {
                Error::new(Reaction::Stop, format!("no source reads topic `{}`", partition.topic)).in_task(id)
            })?;
            lanes.push(Lane::new(partition.clone(), number, Rc::clone(intake)));
        }
        let stores = stores::pair(id, plan, &assembly);
        let layout: Vec<_> = plan.stores.iter().map(|store| store.name.as_str()).collect();
        Ok(Self {
            id,
            phase: Phase::Created,
            lanes,
            sources: plan.sources.clone(),
            layout: layout.join("\n"),
            assembly,
            stores,
            handlers,
            counters: Counters::default(),
            stream_time: UNKNOWN_TIME,
            idle_ms,
            newest_input: None,
            unflushed: false,
            checkpoint_ms: 0,
            fingerprint,
        })
    }

    /// The task's number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Where it is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Moves it on in its life.
    pub fn go(&mut self, next: Phase) {
        self.phase.go(next);
    }

    /// Whether it processes records.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Its input partitions.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Its input partitions, to be filled or moved.
    pub fn lanes_mut(&mut self) -> &mut [Lane] {
        &mut self.lanes
    }

    /// The source that describes a lane's topic.
    #[must_use]
    pub fn source(&self, topic: &str) -> Option<&SourcePlan> {
        self.sources.iter().find(|source| source.topic.as_ref() == topic)
    }

    /// Where an input begins that has no offset to go on from; `reset` is `auto.offset.reset`. What the application wrote
    /// itself is read from the start, whatever anyone says: else it would be lost.
    #[must_use]
    pub fn begins_at(&self, topic: &str, reset: Option<StartAt>) -> Option<StartAt> {
        let source = self.source(topic);
        if source.is_some_and(|source| source.internal) {
            return Some(StartAt::Earliest);
        }
        source.and_then(|source| source.start_at).or(reset)
    }

    /// The offset at which an input begins that goes from `start` to `end`, and has no committed one.
    fn first_offset(
        &self,
        partition: &TopicPartition,
        (start, end): (i64, i64),
        reset: Option<StartAt>,
    ) -> Result<i64> {
        match self.begins_at(&partition.topic, reset) {
            Some(StartAt::Earliest) => Ok(start),
            Some(StartAt::Latest) => Ok(end),
            None => {
                let message = "there is no committed offset, and `auto.offset.reset` is `none`";
                Err(Error::new(Reaction::Stop, message)
                    .at_record(partition, start)
                    .hint("set it to `earliest` or `latest`, or commit an offset for the group"))
            }
        }
    }

    /// How far its inputs are, for messages.
    #[must_use]
    pub fn progress_text(&self) -> String {
        let one = |lane: &Lane| format!("{} offset {}", lane.partition(), lane.next_offset());
        format!("inputs at {}", self.lanes.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// Its operators, for a look inside.
    #[must_use]
    pub fn assembly(&self) -> &Assembly {
        &self.assembly
    }

    /// Its stores with their changelogs.
    pub fn stores_mut(&mut self) -> &mut [LoggedStore] {
        &mut self.stores
    }

    /// Its stores with their changelogs.
    #[must_use]
    pub fn stores(&self) -> &[LoggedStore] {
        &self.stores
    }

    /// Highest event time seen, -1 before the first record.
    #[must_use]
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// Counts since the last commit.
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Whether anything happened since the last commit.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.counters != Counters::default()
    }

    /// Whether it has operators that want to be called when time passes.
    #[must_use]
    pub fn has_ticks(&self) -> bool {
        !self.assembly.ticks().is_empty()
    }

    /// The newest event time of the task, if it has processed records since the last call; a sample for latency.
    pub fn take_newest_input(&mut self) -> Option<i64> {
        self.newest_input.take()
    }

    /// Estimated bytes in memory: its stores, what they have for their changelogs, and records that wait.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let stores = self.stores.iter();
        let stores = stores.map(|store| store.store.borrow().memory_bytes() + store.changelog.byte_len());
        stores.sum::<usize>() + self.lanes.iter().map(Lane::byte_len).sum::<usize>()
    }

    /// Processes up to `budget` records, lowest event time first.
    ///
    /// # Errors
    /// If a record fails and its handler says to fail.
    pub fn process(&mut self, budget: usize, now_ms: i64, output: &mut dyn Output) -> Result<Worked> {
        let before = self.counters.consumed;
        let mut scene = Scene {
            task: self.id,
            now_ms,
            stream_time: self.stream_time,
            counters: &mut self.counters,
            handlers: &self.handlers,
            output,
        };
        let more = run_lanes(&mut self.lanes, budget, self.idle_ms, &mut scene);
        self.stream_time = scene.stream_time;
        let more = more.map_err(|error| error.in_task(self.id))?;
        let consumed = usize::try_from(self.counters.consumed - before).unwrap_or(usize::MAX);
        if consumed > 0 {
            self.newest_input = Some(self.stream_time);
        }
        Ok(Worked { consumed, more })
    }

    /// Calls the operators that want to know that time passes.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn tick(&mut self, now_ms: i64, output: &mut dyn Output) -> Result<()> {
        self.each_tick(now_ms, output, |tick, context| tick.tick(context))
    }

    /// Makes operators forward what they hold back until a commit.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn before_commit(&mut self, now_ms: i64, output: &mut dyn Output) -> Result<()> {
        self.each_tick(now_ms, output, |tick, context| tick.before_commit(context))
    }

    fn each_tick(
        &mut self,
        now_ms: i64,
        output: &mut dyn Output,
        call: impl Fn(&mut dyn Tick, &mut Context<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut scene = Scene {
            task: self.id,
            now_ms,
            stream_time: self.stream_time,
            counters: &mut self.counters,
            handlers: &self.handlers,
            output,
        };
        for tick in self.assembly.ticks() {
            let mut context = scene.context(None);
            if let Err(error) = call(&mut *tick.borrow_mut(), &mut context) {
                context.recover(error)?;
            }
        }
        Ok(())
    }

    /// The offsets to commit: of every lane that has moved, or of all.
    #[must_use]
    pub fn offsets(&self, all: bool) -> Vec<OffsetCommit> {
        let times = || self.assembly.times().iter().map(|(name, cell)| (name.as_str(), cell.get()));
        let moved = self.lanes.iter().filter(|lane| all || lane.next_offset() != lane.committed());
        moved
            .map(|lane| {
                let metadata = metadata::encode(lane.partition_time(), times());
                (lane.partition().clone(), CommittedOffset { offset: lane.next_offset(), metadata })
            })
            .collect()
    }

    /// A commit that carries everything so far is acknowledged. Returns the counts that it makes true.
    pub fn committed(&mut self) -> Counters {
        for store in &mut self.stores {
            store.store.borrow_mut().committed();
        }
        self.unflushed = true;
        std::mem::take(&mut self.counters)
    }

    /// Forgets everything since the last flush; the task has to be restored before it runs again.
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn discard(&mut self) -> Result<()> {
        self.discard_memory()?;
        for lane in &mut self.lanes {
            lane.clear();
        }
        Ok(())
    }

    /// As [`Task::discard`], but what waits in the lanes stays.
    ///
    /// # Errors
    /// As [`Task::discard`].
    pub fn discard_memory(&mut self) -> Result<()> {
        self.counters = Counters::default();
        self.newest_input = None;
        self.unflushed = false;
        for store in &mut self.stores {
            store.changelog.clear();
            store.store.borrow_mut().discard().map_err(|error| error.in_task(self.id))?;
        }
        for tick in self.assembly.ticks() {
            tick.borrow_mut().discard();
        }
        for cell in self.assembly.times().values() {
            cell.set(UNKNOWN_TIME);
        }
        self.stream_time = UNKNOWN_TIME;
        Ok(())
    }

    /// Sets the task's times: of an operator by its name, of the task by the partitions'.
    fn set_times(&mut self, known: &Checkpoint, committed: &[Option<metadata::Times>]) {
        let mut told = false;
        for times in committed.iter().flatten() {
            told |= !times.named.is_empty();
            for (name, time) in &times.named {
                if let Some(cell) = self.assembly.times().get(name) {
                    cell.set(cell.get().max(*time));
                }
            }
        }
        for (name, time) in known.numbers("time") {
            match self.assembly.times().get(name) {
                // A time that did not fit into the metadata, or metadata that someone else wrote.
                Some(cell) if !told || cell.get() == UNKNOWN_TIME => cell.set(cell.get().max(time)),
                _ => {}
            }
        }
        for lane in &self.lanes {
            self.stream_time = self.stream_time.max(lane.partition_time());
        }
    }
}

/// A store's first space: the next one is for its index.
fn space(index: u32) -> Space {
    1 + 2 * index
}

fn run_lanes(lanes: &mut [Lane], budget: usize, idle_ms: Option<i64>, scene: &mut Scene<'_>) -> Result<bool> {
    let mut left = budget;
    while left > 0 {
        for lane in &mut *lanes {
            lane.load(scene)?;
        }
        if !order::ready(lanes, idle_ms, scene.now_ms) {
            return Ok(false);
        }
        let Some((next, count)) = order::lowest(lanes) else { return Ok(false) };
        let count = count.min(left);
        lanes[next].run(count, scene)?;
        left -= count;
    }
    Ok(true)
}
