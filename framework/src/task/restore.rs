//! Restore: brings the state of tasks to where their committed offsets are, then lets them run.
//!
//! 1. The committed offsets of the inputs, once no transaction that would change them is pending.
//! 2. *Then* the high watermark of every changelog: whatever belongs to those offsets lies below it. The last stable
//!    offset would not do: the marker of a committed transaction may reach the changelog later than the group's log.
//! 3. A local offset that cannot be trusted (another topic of the same name, past the end, before the start, so old that
//!    deletions may be gone) costs the task its local state; it is counted, with the cause, and rebuilt. So is state that
//!    the byte store had to give up.
//! 4. A read_committed consumer reads from the local offset until its position reaches the watermark; while a foreign
//!    transaction is open below it, that means waiting. Each batch is applied together with the offset behind it.
//! 5. The byte store learns that it is as of the beginning of the restore. Whatever is written later comes behind that: there
//!    are no data that nobody knows the age and the origin of.
//! 6. Stores forget their memory, times come from the offsets' metadata, lanes go to the committed offsets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::task::Poll;

use super::checkpoint::Checkpoint;
use super::desk::{RestoreDesk, RestoreOptions, RestorePorts};
use super::reading::Reading;
use super::{Phase, Rebuild, RestoreProgress, Restored, Task, metadata};
use crate::error::{Error, Reaction, Result};
use crate::kafka::{Admin, CommittedOffset, Consumer, Fault, Isolation, KafkaError, TopicInfo};
use crate::state::Changes;
use crate::topic::{TaskId, TopicName, TopicPartition};

/// Bytes asked for in one fetch of one changelog.
const FETCH_BYTES: usize = 1 << 20;
/// Bytes restored in one step of the worker, so that running tasks are not kept waiting.
const STEP_BYTES: usize = 4 << 20;
/// How often "no committed offset" is doubted where one is known to have existed (KAFKA-20416: a coordinator that
/// resigns may say so).
const DOUBTS: u32 = 5;
/// Kafka's default of `delete.retention.ms`.
const DELETE_RETENTION_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Committed,
    Topics,
    Bounds,
    Starts,
    Read,
}

/// The restore of some tasks that were assigned, or aborted, together.
pub struct Restore {
    options: RestoreOptions,
    admin: Box<dyn Admin>,
    consumer: Box<dyn Consumer>,
    stage: Stage,
    started_ms: i64,
    /// What the wall clock showed then: changelogs are read later than that.
    started_wall_ms: i64,
    /// When committed offsets are doubted again, and since when a changelog was looked for in vain.
    not_before_ms: i64,
    missing_since_ms: Option<i64>,
    now_ms: i64,
    waiting: BTreeSet<TaskId>,
    known: BTreeMap<TaskId, Checkpoint>,
    inputs: Vec<TopicPartition>,
    committed: Vec<Option<CommittedOffset>>,
    doubts: u32,
    changelogs: Vec<(TaskId, usize, TopicPartition)>,
    topics: HashMap<TopicName, TopicInfo>,
    without_offset: Vec<TopicPartition>,
    /// First and last offset of the inputs without committed offset.
    starts: HashMap<TopicPartition, (i64, i64)>,
    readings: Vec<Reading>,
    /// Memory for what a fetch brings.
    changes: Changes,
    records: u64,
    asking: bool,
}

impl Restore {
    /// Begins to restore all tasks that are not running.
    ///
    /// # Errors
    /// If a byte store cannot be read.
    pub fn begin(options: RestoreOptions, ports: RestorePorts, desk: &mut RestoreDesk<'_>) -> Result<Self> {
        let RestorePorts { admin, consumer } = ports;
        let mut restore = Self {
            options,
            admin,
            consumer,
            stage: Stage::Committed,
            started_ms: desk.now_ms,
            started_wall_ms: desk.wall_ms,
            not_before_ms: desk.now_ms,
            missing_since_ms: None,
            now_ms: desk.now_ms,
            waiting: BTreeSet::new(),
            known: BTreeMap::new(),
            inputs: Vec::new(),
            committed: Vec::new(),
            doubts: 0,
            changelogs: Vec::new(),
            topics: HashMap::new(),
            without_offset: Vec::new(),
            starts: HashMap::new(),
            readings: Vec::new(),
            changes: Changes::default(),
            records: 0,
            asking: false,
        };
        for (id, task) in desk.tasks.iter_mut().filter(|(_, task)| !task.is_running()) {
            task.go(Phase::Restoring);
            restore.waiting.insert(*id);
            let known = Checkpoint::read(task.assembly.bytes().as_ref())?;
            known.warn_of_other(*id, task.fingerprint);
            restore.known.insert(*id, known);
            restore.inputs.extend(task.lanes.iter().map(|lane| lane.partition().clone()));
            for (index, store) in task.stores.iter().enumerate() {
                restore.changelogs.extend(store.partition.clone().map(|partition| (*id, index, partition)));
            }
        }
        restore.consumer.expect(restore.changelogs.len(), restore.options.queued_bytes);
        Ok(restore)
    }

    /// Whether inputs go back to the committed offsets.
    #[must_use]
    pub fn rewinds(&self) -> bool {
        self.options.rewind
    }

    /// What the restore waits for, for people.
    #[must_use]
    pub fn waits_for(&self) -> String {
        match self.stage {
            Stage::Committed => format!("the committed offsets of {} input partitions", self.inputs.len()),
            Stage::Topics | Stage::Bounds => {
                format!("the bounds of {} changelog partitions", self.changelogs.len())
            }
            Stage::Starts => format!("the bounds of {} input partitions", self.without_offset.len()),
            Stage::Read if self.readings.is_empty() => {
                format!("the state of {} tasks to be stored", self.waiting.len())
            }
            Stage::Read => {
                let one = |one: &Reading| format!("{} ({} of {})", one.partition, one.position, one.target);
                format!("changelogs {}", self.readings.iter().map(one).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The partitions of a question to the group that is not answered yet, if there is one.
    #[must_use]
    pub fn into_unanswered(self) -> Option<Vec<TopicPartition>> {
        self.asking.then_some(self.inputs)
    }

    /// Number of records applied.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How far it is with the changelogs that it reads; of none before it knows their bounds.
    #[must_use]
    pub fn progress(&self) -> Vec<RestoreProgress> {
        self.readings.iter().map(|reading| reading.progress(self.elapsed_ms())).collect()
    }

    /// For how long it has gone on.
    #[must_use]
    pub fn elapsed_ms(&self) -> i64 {
        self.now_ms - self.started_ms
    }

    /// Whether all tasks run.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Goes as far as it can without waiting.
    ///
    /// # Errors
    /// With the reaction [`Reaction::Retry`] where the same step may work later.
    pub fn advance(&mut self, desk: &mut RestoreDesk<'_>) -> Result<Restored> {
        let mut restored = Restored::default();
        self.now_ms = desk.now_ms;
        if self.is_done() {
            return Ok(restored);
        }
        loop {
            let before = self.stage;
            let done = match self.stage {
                Stage::Committed => self.ask_committed(desk)?,
                Stage::Topics => self.ask_topics(desk.now_ms)?,
                Stage::Bounds => self.ask_bounds(desk, &mut restored)?,
                Stage::Starts => self.ask_starts(desk.now_ms)?,
                Stage::Read => {
                    self.read(desk, &mut restored)?;
                    self.finish(desk, &mut restored)?;
                    return Ok(restored);
                }
            };
            if done.is_pending() || self.stage == before {
                return Ok(restored);
            }
        }
    }

    fn ask_committed(&mut self, desk: &mut RestoreDesk<'_>) -> Result<Poll<()>> {
        if !self.asking && desk.now_ms < self.not_before_ms {
            return Ok(Poll::Pending);
        }
        self.asking = true;
        let Poll::Ready(answer) = desk.membership.committed(&self.inputs, desk.now_ms) else {
            return Ok(Poll::Pending);
        };
        self.asking = false;
        self.committed = answer?;
        let known = |partition: &TopicPartition| {
            let tasks = self.known.iter().filter(|(task, _)| task.partition == partition.partition);
            tasks.filter_map(|(_, known)| known.number("input", &partition.topic)).any(|offset| offset > 0)
        };
        let asked = self.inputs.iter().zip(&self.committed);
        let missing = asked.filter(|(_, committed)| committed.is_none()).map(|(partition, _)| partition);
        self.without_offset = missing.cloned().collect();
        if self.without_offset.iter().any(known) && self.doubts < DOUBTS {
            self.doubts += 1;
            self.not_before_ms = desk.now_ms.saturating_add(self.admin.gossip_ms() / i64::from(DOUBTS));
            return Ok(Poll::Pending);
        }
        for partition in self.without_offset.iter().filter(|partition| known(partition)) {
            tracing::warn!(%partition, "the committed offset of this partition is gone: `auto.offset.reset` decides");
        }
        self.stage = if self.changelogs.is_empty() { Stage::Starts } else { Stage::Topics };
        Ok(Poll::Ready(()))
    }

    fn ask_topics(&mut self, now_ms: i64) -> Result<Poll<()>> {
        let names: BTreeSet<_> = self.changelogs.iter().map(|(_, _, partition)| &partition.topic).collect();
        let names: Vec<_> = names.into_iter().cloned().collect();
        let Poll::Ready(answer) = self.admin.describe(&names, now_ms) else { return Ok(Poll::Pending) };
        let topics = answer?;
        let missing = topics.iter().any(Option::is_none);
        let since_ms = *self.missing_since_ms.get_or_insert(now_ms);
        if missing && now_ms.saturating_sub(since_ms) < self.admin.gossip_ms() {
            return Ok(Poll::Pending);
        }
        for (name, topic) in names.into_iter().zip(topics) {
            let topic = topic.ok_or_else(|| {
                Error::new(Reaction::Stop, format!("changelog `{name}` does not exist any more")).hint(
                    "a restart makes it again, empty: if the state is to be kept, restore the topic first",
                )
            })?;
            self.topics.insert(name, topic);
        }
        self.stage = Stage::Bounds;
        Ok(Poll::Ready(()))
    }

    fn ask_bounds(&mut self, desk: &mut RestoreDesk<'_>, restored: &mut Restored) -> Result<Poll<()>> {
        let partitions: Vec<_> = self.changelogs.iter().map(|(_, _, partition)| partition.clone()).collect();
        let Poll::Ready(answer) = self.admin.bounds(&partitions, self.options.target, desk.now_ms) else {
            return Ok(Poll::Pending);
        };
        let bounds: Vec<_> = self.changelogs.iter().cloned().zip(answer?).collect();
        let mut wiped = BTreeSet::new();
        for ((id, _, partition), (start, end)) in &bounds {
            if let Some(cause) = self.distrust(desk, *id, partition, (*start, *end))
                && wiped.insert(*id)
            {
                self.wipe(desk, *id, cause)?;
                restored.rebuilt.push((*id, cause));
            }
        }
        for ((task, store, partition), (start, end)) in bounds {
            let position = self.known[&task].number("offset", &partition.topic).unwrap_or(start);
            let logged = &mut desk.tasks.get_mut(&task).expect("a waiting task exists").stores[store];
            logged.offset = position;
            logged.topic_id = self.topics[&partition.topic].id;
            if position < end {
                self.consumer.add(&partition, position);
                self.readings.push(Reading {
                    task,
                    store,
                    partition,
                    position,
                    target: end,
                    records: 0,
                    bytes: 0,
                });
            }
        }
        self.stage = Stage::Starts;
        Ok(Poll::Ready(()))
    }

    /// Why the local state of a task cannot be trusted, if so.
    fn distrust(
        &self,
        desk: &RestoreDesk<'_>,
        id: TaskId,
        partition: &TopicPartition,
        (start, end): (i64, i64),
    ) -> Option<Rebuild> {
        let known = &self.known[&id];
        let task = desk.tasks.get(&id)?;
        if task.assembly.bytes().is_lost() {
            return Some(Rebuild::Corrupt);
        }
        if !known.fits(&task.layout) {
            return Some(Rebuild::OtherStores);
        }
        let local = known.number("offset", &partition.topic)?;
        let topic = &self.topics[&partition.topic];
        // Brokers before 2.8 give no ids.
        let is_other = |id: u128| id != topic.id && id != 0 && topic.id != 0;
        if known.topic_id(&partition.topic).is_some_and(is_other) {
            return Some(Rebuild::TopicRecreated);
        }
        // Against the LSO a healthy local offset may lie past "the end": only the planted fault asks for that.
        let past_end = local > end && self.options.target == Isolation::ReadUncommitted;
        if past_end || local < start {
            return Some(Rebuild::OffsetOutOfRange);
        }
        let retention = topic.configs.iter().find(|(name, _)| name == "delete.retention.ms");
        let retention = retention.and_then(|(_, ms)| ms.parse().ok()).unwrap_or(DELETE_RETENTION_MS);
        let age = desk.wall_ms.saturating_sub(known.number("wall", "")?);
        // The marker of our own last transaction stands behind what it wrote; a foreign one leaves a record as well.
        let missed = end - local > i64::from(self.options.transactional);
        (missed && age > retention).then_some(Rebuild::TooOld)
    }

    fn wipe(&mut self, desk: &mut RestoreDesk<'_>, id: TaskId, cause: Rebuild) -> Result<()> {
        tracing::warn!(task = %id, cause = cause.name(), "local state is thrown away and rebuilt from the changelogs");
        let task = desk.tasks.get_mut(&id).expect("a waiting task exists");
        assert!(!task.is_running(), "what a running task has in memory stands on its byte store");
        task.assembly.bytes().wipe()?;
        self.known.insert(id, Checkpoint::default());
        task.discard_memory()
    }

    fn ask_starts(&mut self, now_ms: i64) -> Result<Poll<()>> {
        if !self.without_offset.is_empty() {
            let asked = self.admin.bounds(&self.without_offset, Isolation::ReadCommitted, now_ms);
            let Poll::Ready(answer) = asked else { return Ok(Poll::Pending) };
            self.starts = self.without_offset.iter().cloned().zip(answer?).collect();
        }
        self.stage = Stage::Read;
        Ok(Poll::Ready(()))
    }

    fn read(&mut self, desk: &mut RestoreDesk<'_>, restored: &mut Restored) -> Result<()> {
        let mut budget = STEP_BYTES;
        for index in 0..self.readings.len() {
            if budget == 0 {
                break;
            }
            let reading = &mut self.readings[index];
            let task = desk.tasks.get_mut(&reading.task).expect("a waiting task exists");
            // The others go on meanwhile.
            if !task.has_room()? {
                restored.is_loading = true;
                continue;
            }
            let fetched = match self.consumer.fetch(&reading.partition, FETCH_BYTES, desk.now_ms) {
                Ok(fetched) => fetched,
                Err(error) => return self.fetch_failed(desk, index, error, restored),
            };
            let Some(fetched) = fetched else { continue };
            if fetched.position > reading.position {
                self.records += fetched.records.len() as u64;
                budget = budget.saturating_sub(fetched.records.byte_len());
                let known_wall = self.known[&reading.task].number("wall", "").unwrap_or(self.started_wall_ms);
                reading.take(&fetched, task, &mut self.changes, known_wall)?;
                restored.progress.push(reading.progress(desk.now_ms - self.started_ms));
            }
        }
        let consumer = &mut self.consumer;
        self.readings.retain(|reading| {
            let done = reading.position >= reading.target;
            if done {
                consumer.remove(&reading.partition);
            }
            !done
        });
        let several = self.readings.len() > 1;
        self.readings.rotate_left(usize::from(several));
        Ok(())
    }

    /// The start of the changelog has passed us: once more from there, without what is stored.
    fn fetch_failed(
        &mut self,
        desk: &mut RestoreDesk<'_>,
        index: usize,
        error: KafkaError,
        restored: &mut Restored,
    ) -> Result<()> {
        if error.fault != Fault::Refused || error.code != "OFFSET_OUT_OF_RANGE" {
            return Err(error.into());
        }
        let id = self.readings[index].task;
        self.wipe(desk, id, Rebuild::OffsetOutOfRange)?;
        restored.rebuilt.push((id, Rebuild::OffsetOutOfRange));
        for reading in self.readings.drain(..) {
            self.consumer.remove(&reading.partition);
        }
        for (id, known) in &mut self.known {
            let task = desk.tasks.get(id).expect("a waiting task exists");
            *known = Checkpoint::read(task.assembly.bytes().as_ref())?;
        }
        self.stage = Stage::Topics;
        Ok(())
    }

    fn finish(&mut self, desk: &mut RestoreDesk<'_>, restored: &mut Restored) -> Result<()> {
        if self.stage != Stage::Read {
            return Ok(());
        }
        let reading: BTreeSet<_> = self.readings.iter().map(|reading| reading.task).collect();
        let done: Vec<_> = self.waiting.difference(&reading).copied().collect();
        for id in done {
            let task = desk.tasks.get_mut(&id).expect("a waiting task exists");
            if !task.finish_load()? {
                restored.is_loading = true;
                continue;
            }
            self.start(task)?;
            // Where others have to begin anew this one is left alone: it runs.
            self.waiting.remove(&id);
            self.known.remove(&id);
            self.changelogs.retain(|(task, ..)| *task != id);
            restored.started.push(id);
        }
        Ok(())
    }

    fn start(&self, task: &mut Task) -> Result<()> {
        let known = &self.known[&task.id];
        task.apply_checkpoint(self.started_wall_ms)?;
        task.discard_memory()?;
        let mut times = Vec::with_capacity(task.lanes.len());
        for index in 0..task.lanes.len() {
            let partition = task.lanes[index].partition().clone();
            let asked = self.inputs.iter().position(|input| *input == partition);
            let committed = asked.and_then(|at| self.committed[at].as_ref());
            let told = committed.and_then(|committed| metadata::decode(&committed.metadata));
            let offset = match committed {
                Some(committed) => committed.offset,
                None => {
                    task.first_offset(&partition, self.starts[&partition], self.options.auto_offset_reset)?
                }
            };
            let stored = || known.number("partition", &partition.topic).unwrap_or(-1);
            let partition_time = told.as_ref().map_or_else(stored, |times| times.partition_time);
            if self.options.rewind {
                task.lanes[index].seek(offset, partition_time);
            }
            times.push(told);
        }
        task.set_times(known, &times);
        task.go(Phase::Running);
        tracing::info!(task = %task.id, "task runs");
        Ok(())
    }
}
