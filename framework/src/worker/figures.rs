//! The figures of a worker: counts that commits made true, and distributions of times.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::commit::CommitRecord;
use crate::task::Rebuild;
use crate::telemetry::Counters;
use crate::topic::TaskId;

/// Latencies are kept with two digits, from one unit to this (an hour in microseconds, 41 days in milliseconds).
const HIGHEST: u64 = 3_600_000_000;
/// Samples of event times that wait for their commit; more would only cost memory.
const SAMPLES: usize = 1_024;

/// The figures of a worker.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What happened to the records of each task, as far as it is committed.
    pub counters: BTreeMap<TaskId, Counters>,
    /// Number of commits.
    pub commits: u64,
    /// Number of transactions that were aborted, and of producers that were replaced.
    pub aborts: u64,
    /// Number of workers that have failed, whatever followed; an application counts them.
    pub failures: u64,
    /// How often a task lost its local state, by cause.
    pub rebuilds: BTreeMap<Rebuild, u64>,
    /// Records restored.
    pub restored: u64,
    /// Duration of commits, microseconds.
    pub commit_us: Histogram<u64>,
    /// From the newest event time to the commit that carries its record, milliseconds; of samples.
    pub latency_ms: Histogram<u64>,
    pub(super) samples: Vec<i64>,
}

impl Default for Figures {
    fn default() -> Self {
        let histogram = || Histogram::new_with_max(HIGHEST, 2).expect("the bounds are valid");
        Self {
            counters: BTreeMap::new(),
            commits: 0,
            aborts: 0,
            failures: 0,
            rebuilds: BTreeMap::new(),
            restored: 0,
            commit_us: histogram(),
            latency_ms: histogram(),
            samples: Vec::new(),
        }
    }
}

impl Figures {
    /// The counts of all tasks together.
    #[must_use]
    pub fn total(&self) -> Counters {
        let mut total = Counters::default();
        self.counters.values().for_each(|counters| total += *counters);
        total
    }

    /// Adds the figures of another worker.
    pub fn add(&mut self, other: &Self) {
        for (task, counters) in &other.counters {
            *self.counters.entry(*task).or_default() += *counters;
        }
        self.commits += other.commits;
        self.aborts += other.aborts;
        self.failures += other.failures;
        for (cause, count) in &other.rebuilds {
            *self.rebuilds.entry(*cause).or_default() += count;
        }
        self.restored += other.restored;
        self.commit_us += &other.commit_us;
        self.latency_ms += &other.latency_ms;
    }

    pub(super) fn sample(&mut self, event_time: Option<i64>) {
        if self.samples.len() < SAMPLES {
            self.samples.extend(event_time);
        }
    }

    pub(super) fn committed(&mut self, commit: &CommitRecord) {
        for (task, counters) in &commit.tasks {
            *self.counters.entry(*task).or_default() += *counters;
        }
        self.commits += 1;
        self.commit_us.saturating_record(commit.took_us);
        for time in self.samples.drain(..) {
            self.latency_ms.saturating_record(u64::try_from(commit.at_ms - time).unwrap_or(0));
        }
    }
}
