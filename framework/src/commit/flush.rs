//! The flush: what is committed goes to the byte stores, and memory is given back.
//!
//! What is in the byte stores is on its way to disk then, where they have one: a crash of the process replays what came
//! after the last flush whose way has ended. Nobody waits for that but who gives tasks up for good.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{CommitDesk, Planted, Window};
use crate::config::Settings;
use crate::error::{Reaction, Result};
use crate::state::{Batches, Change, Changes, META};
use crate::task::Task;
use crate::topic::TaskId;

/// A flush of `state.flush.bytes` goes to the byte stores in about so many batches: each is in memory twice for a moment.
const BATCHES: usize = 64;

/// Sixteenths of the memory from which on a flush drops entries, and to which.
const FULL: usize = 13;
const ROOMY: usize = 11;

/// When to flush.
#[derive(Clone, Debug)]
pub struct FlushOptions {
    /// `state.flush.interval.ms`.
    pub interval_ms: i64,
    /// `state.flush.bytes`: bytes written to changelogs since the last flush.
    pub bytes: usize,
    /// Bytes that are written to a byte store in one batch, about.
    pub batch_bytes: usize,
    /// The worker's share of `memory.max`.
    pub memory: usize,
}

impl FlushOptions {
    /// What the settings say; `memory` is the worker's share.
    #[must_use]
    pub fn new(settings: &Settings, memory: usize) -> Self {
        Self {
            interval_ms: settings.state_flush_interval_ms,
            bytes: settings.state_flush_bytes,
            batch_bytes: settings.state_flush_bytes / BATCHES,
            memory,
        }
    }
}

/// Flushes tasks when it is time.
pub struct Flusher {
    options: FlushOptions,
    planted: Planted,
    last_ms: Option<i64>,
    bytes: usize,
    requested: bool,
    number: u64,
    stale: BTreeMap<TaskId, Changes>,
}

impl Flusher {
    /// A flusher that has not flushed yet.
    #[must_use]
    pub fn new(options: FlushOptions, planted: Planted) -> Self {
        Self {
            options,
            planted,
            last_ms: None,
            bytes: 0,
            requested: false,
            number: 0,
            stale: BTreeMap::new(),
        }
    }

    /// Asks for a flush with the next commit.
    pub fn request(&mut self) {
        self.requested = true;
    }

    /// Counts bytes that were written to changelogs.
    pub fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Whether it is time.
    pub fn is_due(&mut self, now_ms: i64) -> bool {
        let since = *self.last_ms.get_or_insert(now_ms);
        self.requested
            || self.bytes >= self.options.bytes
            || now_ms.saturating_sub(since) >= self.options.interval_ms
    }

    /// How many flushes there were.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The worker's share of `memory.max`.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.options.memory
    }

    /// Changes the worker's share of `memory.max`.
    pub fn set_budget(&mut self, bytes: usize) {
        self.options.memory = bytes;
    }

    /// Whether tasks, and `output` bytes on their way out, take more than the worker's share.
    #[must_use]
    pub fn is_over_budget(&self, tasks: &BTreeMap<TaskId, Task>, output: usize) -> bool {
        memory_bytes(tasks) + output > self.options.memory
    }

    /// Flushes all tasks that have to. Nothing may be uncommitted.
    ///
    /// # Errors
    /// If a byte store cannot be written; then its task must not go on.
    pub fn flush(&mut self, desk: &mut CommitDesk<'_>) -> Result<()> {
        let CommitDesk { tasks, backend, probe, wall_ms, now_ms, .. } = desk;
        let mut window = Window::FirstApplied;
        for (id, task) in tasks.iter_mut().filter(|(_, task)| task.is_to_flush(*wall_ms)) {
            let (bytes, planted) = (Rc::clone(task.assembly().bytes()), self.planted);
            let mut again = Changes::default();
            let mut apply = |changes: &mut Changes| {
                plant(planted, changes, &mut again);
                bytes.apply(changes)?;
                probe.at(std::mem::replace(&mut window, Window::BetweenBatches))
            };
            let flushed = task.unflushed(*wall_ms, &mut Batches::new(self.options.batch_bytes, &mut apply));
            flushed.map_err(|error| match error.reaction() {
                // A value that cannot be written now could be before: no record is at fault.
                Reaction::Skip => error.in_task(*id).reacting(Reaction::Stop),
                _ => error.in_task(*id),
            })?;
            if planted == Planted::DoubleFlush {
                task.apply(&self.stale.insert(*id, again).unwrap_or_default())?;
            }
            task.flushed();
        }
        if window == Window::BetweenBatches {
            backend.persist(false)?;
        }
        self.last_ms = Some(*now_ms);
        self.bytes = 0;
        self.requested = false;
        self.number += 1;
        self.evict(tasks);
        probe.at(Window::Flushed)
    }

    /// Drops what was not used for long, then for less long, then everything that can be read again, until there is room
    /// for what comes: else each commit would have to flush.
    fn evict(&self, tasks: &mut BTreeMap<TaskId, Task>) {
        let room = |part: usize| self.options.memory / 16 * part;
        if memory_bytes(tasks) < room(FULL) {
            return;
        }
        for periods in [4, 3, 2, 0] {
            tasks.values_mut().for_each(|task| task.evict(periods));
            if memory_bytes(tasks) <= room(ROOMY) {
                return;
            }
        }
    }
}

fn memory_bytes(tasks: &BTreeMap<TaskId, Task>) -> usize {
    tasks.values().map(Task::memory_bytes).sum()
}

/// Spoils a batch where a fault is planted; `again` gathers what is written once more later.
fn plant(planted: Planted, changes: &mut Changes, again: &mut Changes) {
    match planted {
        Planted::StreamTimeNotStored => {
            let is_time = |key: &[u8]| key.starts_with(b"time/") || key.starts_with(b"partition/");
            let kept = |change: &Change<'_>| change.space() != META || !is_time(change.key());
            *changes = changes.iter().filter(kept).collect();
        }
        Planted::DoubleFlush => again.extend(changes.iter().filter(|change| change.space() != META)),
        _ => {}
    }
}
