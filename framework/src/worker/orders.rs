//! Orders: what a worker is told from outside while it runs, beside to commit and to stop.

use super::Worker;
use crate::config::Settings;
use crate::state::StateBackend;

impl Worker {
    /// Stops processing until [`Worker::resume`] (KIP-834). What was processed is committed soon; then nothing is processed,
    /// ticked or emitted. The worker stays a member of its group: it heartbeats, takes tasks and gives them back, and restores
    /// them. It also fetches, as much as a lane holds: when work goes on it is known which inputs have records, and so
    /// whose turn it is.
    pub fn pause(&mut self) {
        if !self.paused {
            tracing::info!(worker = self.number, "paused");
            self.paused = true;
            // Who does not try to read a record does not wait for it either.
            self.head_waits_since = None;
            self.committer.request();
        }
    }

    /// Goes on after [`Worker::pause`].
    pub fn resume(&mut self) {
        if self.paused {
            tracing::info!(worker = self.number, "resumed");
            self.paused = false;
        }
    }

    /// Whether it was told to pause.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Says how many workers share what `memory.max` leaves to them; at first it is `num.stream.threads`. Who has more than
    /// its share then commits, flushes and drops what it can read again.
    pub fn share_memory(&mut self, workers: usize) {
        self.workers = workers.max(1);
        self.committer.set_budget(share(&self.settings, self.backend.as_ref(), workers));
    }

    /// What may be fetched ahead of it, bytes.
    pub(super) fn queued_share(&self) -> usize {
        self.settings.queued_memory() / self.workers
    }

    /// The bytes that it may take before it commits and flushes early.
    #[must_use]
    pub fn memory_share(&self) -> usize {
        self.committer.budget()
    }
}

/// What one of so many workers may take of `memory.max`: what is counted, but for what is of the state backend.
pub(super) fn share(settings: &Settings, backend: &dyn StateBackend, workers: usize) -> usize {
    settings.counted_memory().saturating_sub(backend.memory_bytes()) / workers.max(1)
}
