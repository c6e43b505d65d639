//! The states of a worker, as one table of legal moves.

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Made, and nothing more.
    Created,
    /// Checks and makes topics, gets a producer epoch.
    Starting,
    /// Waits for an assignment, or restores what it was assigned. Tasks that are restored run already.
    Rebalancing,
    /// All its tasks run.
    Running,
    /// Commits for the last time.
    Stopping,
    /// Gone, in order.
    Stopped,
    /// Gone, with an error.
    Failed,
}

/// Every legal move; anything may fail but what is gone.
const LEGAL: &[(WorkerState, WorkerState)] = &[
    (WorkerState::Created, WorkerState::Starting),
    (WorkerState::Created, WorkerState::Stopping),
    (WorkerState::Starting, WorkerState::Rebalancing),
    (WorkerState::Starting, WorkerState::Stopping),
    (WorkerState::Rebalancing, WorkerState::Running),
    (WorkerState::Rebalancing, WorkerState::Stopping),
    (WorkerState::Running, WorkerState::Rebalancing),
    (WorkerState::Running, WorkerState::Stopping),
    (WorkerState::Stopping, WorkerState::Stopped),
];

impl WorkerState {
    /// Whether the worker is gone.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }

    /// Whether `next` may follow.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        LEGAL.contains(&(self, next)) || (next == Self::Failed && !self.is_final())
    }
}
