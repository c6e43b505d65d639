//! The stations of a step, each as the worker sees it.

use std::collections::BTreeMap;
use std::task::Poll;

use super::{Progress, Recovery, Worker, WorkerState};
use crate::commit::{CommitDesk, CommitRecord};
use crate::error::{Error, Reaction, Result};
use crate::kafka::Fault;
use crate::task::Task;
use crate::topic::TopicPartition;

/// Bytes asked for in one fetch of one input partition: some thousand records of usual size.
const FETCH_BYTES: usize = 256 << 10;
/// The same while memory is short, and then only for partitions of which nothing waits: a task may need a record of
/// each to go on, and only what goes on can be committed, flushed and dropped.
const FETCH_BYTES_SHORT: usize = 16 << 10;
/// Records that a step processes at most, all tasks together, so that commits and heartbeats are in time.
const STEP_RECORDS: usize = 8_192;
/// What a task gets at least, however many there are.
const TASK_RECORDS: usize = 64;
/// Nothing is processed while so much is sent and not acknowledged.
const PENDING_BYTES: usize = 64 << 20;
/// Steps between two looks at memory.
const MEMORY_STEPS: u64 = 64;
/// How often in `state.cleanup.delay.ms` one looks for state that nobody has: it is deleted so much later at most.
const CLEAN_UPS: i64 = 10;
/// The part of the memory that may come in between two looks.
const MEMORY_PART: usize = 16;

/// Consumed records of repartition topics, which nobody needs any more.
#[derive(Debug, Default)]
pub(super) struct Purge {
    before: BTreeMap<TopicPartition, i64>,
    in_flight: Vec<(TopicPartition, i64)>,
    last_ms: Option<i64>,
}

impl Worker {
    /// Fetches for every lane that does not hold enough.
    pub(super) fn intake(&mut self, now_ms: i64, progress: &mut Progress) -> Result<()> {
        self.look_up_out_of_range(now_ms)?;
        let plenty = (self.settings.buffered_records_per_partition, FETCH_BYTES);
        let (low, bytes) = if self.over_budget { (1, FETCH_BYTES_SHORT) } else { plenty };
        for task in self.tasks.values_mut().filter(|task| task.is_running()) {
            for lane in task.lanes_mut().iter_mut().filter(|lane| lane.buffered() < low) {
                match self.consumer.fetch(lane.partition(), bytes, now_ms) {
                    Ok(None) => {}
                    Ok(Some(fetched)) => {
                        self.unfetched.remove(lane.partition());
                        progress.busy |= !fetched.records.is_empty();
                        self.taken_in += fetched.records.byte_len();
                        lane.push(fetched)?;
                    }
                    // For as long as we are in the group: what is not fetched is not consumed, and nothing else waits for it.
                    Err(error) if error.fault == Fault::Retriable => {
                        let times = self.unfetched.entry(lane.partition().clone()).or_default();
                        *times = times.saturating_add(1);
                        // It may fail for long, several times a second.
                        if times.is_power_of_two() {
                            tracing::warn!(partition = %lane.partition(), %error, times, "fetch is tried again");
                        }
                    }
                    Err(error) if error.code == "OFFSET_OUT_OF_RANGE" => {
                        self.out_of_range.tell(lane.partition());
                    }
                    Err(error) => {
                        return Err(Error::from(error).at_record(lane.partition(), lane.next_offset()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends records down the topology, every task its share.
    pub(super) fn process(&mut self, now_ms: i64, progress: &mut Progress) -> Result<()> {
        if self.sender.pending_bytes() + self.outbox.bytes() > PENDING_BYTES || self.outbox.is_holding() {
            return Ok(());
        }
        let budget = self.setbacks.share((STEP_RECORDS / self.tasks.len().max(1)).max(TASK_RECORDS));
        let mut waiting = None;
        for (id, task) in self.tasks.iter_mut().filter(|(_, task)| task.is_running()) {
            self.outbox.set_writer(*id);
            self.at_work = Some(*id);
            let worked = match task.process(budget, self.wall_ms, &mut self.outbox) {
                // Its head cannot be read now; others go on, and what was processed is committed.
                Err(error) if error.reaction() == Reaction::Retry => {
                    waiting.get_or_insert(error);
                    continue;
                }
                worked => worked?,
            };
            self.figures.sample(task.take_newest_input());
            progress.consumed += worked.consumed;
            progress.busy |= worked.consumed > 0 || worked.more;
        }
        self.at_work = None;
        if self.setbacks.is_careful() && progress.consumed > 0 {
            self.committer.request();
        }
        self.wait_for_head(waiting, now_ms)
    }

    /// Says how long records have waited that cannot be read now; for too long is an error.
    fn wait_for_head(&mut self, waiting: Option<Error>, now_ms: i64) -> Result<()> {
        let Some(error) = waiting else {
            self.head_waits_since = None;
            return Ok(());
        };
        let since = *self.head_waits_since.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) <= self.settings.task_timeout_ms {
            tracing::debug!(worker = self.number, %error, "tried again");
            return Ok(());
        }
        Err(error.reacting(Reaction::Stop).hint("`task.timeout.ms` has passed"))
    }

    /// Lets operators know that time passes.
    pub(super) fn tick(&mut self) -> Result<()> {
        for (id, task) in self.tasks.iter_mut().filter(|(_, task)| task.is_running() && task.has_ticks()) {
            self.outbox.set_writer(*id);
            self.at_work = Some(*id);
            task.tick(self.wall_ms, &mut self.outbox)?;
        }
        self.at_work = None;
        Ok(())
    }

    /// Hands output on; it is on its way while more is processed.
    pub(super) fn send(&mut self, now_ms: i64) -> Result<()> {
        if self.committer.is_busy() {
            return Ok(());
        }
        match self.outbox.send(&mut self.sender, now_ms) {
            Err(error) if error.reaction() == Reaction::Retry => {}
            result => result?,
        }
        self.sender.poll(now_ms)
    }

    /// Commits when it is time, and goes on with a commit that is under way.
    pub(super) fn commit(&mut self, now_ms: i64, progress: &mut Progress) -> Result<()> {
        let flushes = self.committer.flushes();
        self.advance_commit(now_ms, progress)?;
        if self.committer.flushes() > flushes
            && let Some(observer) = &self.observer
        {
            let stores = self.tasks.values().filter(|task| task.is_running()).flat_map(Task::stores);
            let offsets = stores.filter_map(|store| Some((store.partition.clone()?, store.offset)));
            observer.flushed(self.number, &offsets.collect::<Vec<_>>());
        }
        Ok(())
    }

    fn advance_commit(&mut self, now_ms: i64, progress: &mut Progress) -> Result<()> {
        self.watch_memory();
        let begun = self.committer.is_busy();
        let due = !begun && self.committer.is_due(&self.sender, now_ms);
        if !begun && !due {
            return Ok(());
        }
        let mut desk = CommitDesk {
            tasks: &mut self.tasks,
            sender: &mut self.sender,
            outbox: &mut self.outbox,
            backend: self.backend.as_ref(),
            membership: self.membership.as_mut(),
            probe: &mut self.probe,
            wall_ms: self.wall_ms,
            now_ms,
        };
        if due && !self.committer.begin(&mut desk)? {
            self.setbacks.idle(now_ms);
            return Ok(());
        }
        let Poll::Ready(commit) = self.committer.advance(&mut desk)? else { return Ok(()) };
        progress.busy = true;
        self.setbacks.over();
        self.outbox.committed(now_ms);
        self.committed(&commit);
        Ok(())
    }

    fn committed(&mut self, commit: &CommitRecord) {
        tracing::debug!(
            worker = self.number,
            number = commit.number,
            generation = commit.generation,
            tasks = commit.tasks.len(),
            took_us = commit.took_us,
            "committed"
        );
        self.figures.committed(commit);
        self.watch_retention();
        for interval in &commit.intervals {
            if self.plan.repartitions.iter().any(|one| one.topic == interval.partition.topic) {
                self.purge.before.insert(interval.partition.clone(), interval.to);
            }
        }
        if let Some(observer) = &self.observer {
            observer.committed(self.number, commit);
        }
        self.over_budget = self.over_budget && self.is_over_budget();
        if self.sender.replace_if_tainted() {
            self.recovery = Recovery::Opening;
        }
    }

    fn is_over_budget(&self) -> bool {
        let output = self.outbox.bytes() + self.sender.pending_bytes();
        self.committer.is_over_budget(&self.tasks, output)
    }

    /// What outgrows its share of memory is committed and flushed early; then it can be dropped.
    fn watch_memory(&mut self) {
        let much = self.taken_in > self.committer.budget() / MEMORY_PART;
        if self.committer.is_busy() || !much && !self.steps.is_multiple_of(MEMORY_STEPS) {
            return;
        }
        self.taken_in = 0;
        self.over_budget = self.is_over_budget();
        if self.over_budget {
            self.committer.request_flush();
        }
    }

    /// Deletes state that nobody has taken up again for `state.cleanup.delay.ms`. One worker does it for all of the process,
    /// and not while tasks are being given out. Whether that works is nobody's concern but the disk's.
    pub(super) fn clean_up(&mut self, now_ms: i64) {
        let delay_ms = self.settings.state_cleanup_delay_ms;
        let since = *self.cleaned_ms.get_or_insert(now_ms);
        let runs = self.number == 0 && self.state == WorkerState::Running;
        if !runs || now_ms.saturating_sub(since) < (delay_ms / CLEAN_UPS).max(1) {
            return;
        }
        self.cleaned_ms = Some(now_ms);
        match self.backend.clean_up(now_ms, delay_ms) {
            Ok(tasks) if tasks.is_empty() => {}
            Ok(tasks) => tracing::info!(?tasks, "the state of tasks that are elsewhere is deleted"),
            Err(error) => tracing::warn!(%error, "the state of tasks that are elsewhere stays"),
        }
    }

    /// Deletes consumed repartition records now and then. Whether that works is nobody's concern but the disk's.
    pub(super) fn purge(&mut self, now_ms: i64) {
        let since = *self.purge.last_ms.get_or_insert(now_ms);
        if self.purge.in_flight.is_empty() {
            let due = now_ms.saturating_sub(since) >= self.settings.repartition_purge_interval_ms;
            if !due || self.purge.before.is_empty() {
                return;
            }
            self.purge.last_ms = Some(now_ms);
            self.purge.in_flight = std::mem::take(&mut self.purge.before).into_iter().collect();
        }
        if let Poll::Ready(answer) = self.purger.delete_records(&self.purge.in_flight, now_ms) {
            if let Err(error) = answer {
                tracing::debug!(%error, "consumed repartition records stay");
            }
            self.purge.in_flight.clear();
        }
    }
}
