//! Snapshot: what an application has published last, all that a page is made of.

use std::sync::Arc;

use crate::worker::{Figures, Levels, WorkerState};

/// A worker as it was when it last published.
pub(crate) struct WorkerSnapshot {
    /// The worker's `client.id`, by which brokers know it as well.
    pub(crate) thread: String,
    pub(crate) state: WorkerState,
    pub(crate) figures: Figures,
    pub(crate) levels: Levels,
}

/// An application as of the last second.
pub(crate) struct Snapshot {
    /// `client.id` and process.
    pub(crate) client: String,
    pub(crate) process: String,
    /// `memory.max`, bytes.
    pub(crate) memory_max: usize,
    /// By number.
    pub(crate) workers: Vec<WorkerSnapshot>,
    /// How many workers have failed, those that were replaced among them.
    pub(crate) failures: u64,
    /// Whether the application has failed: it stops.
    pub(crate) failed: bool,
    /// Sizes of the state backend, by name.
    pub(crate) backend: Vec<(&'static str, u64)>,
}

/// Who is asked for a snapshot, for each page anew.
pub(crate) type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;
