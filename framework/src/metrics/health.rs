//! Health: whether the workers of a process live, and whether they process all that they should.

use serde::Serialize;

use super::Snapshot;
use crate::worker::WorkerState;

/// What a process as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A worker has not been in the group yet, or is about to be replaced; or there is none.
    Starting,
    /// A worker waits for an assignment, or restores what it was assigned.
    Rebalancing,
    /// All workers run all their tasks.
    Running,
    /// Workers commit for the last time.
    Stopping,
    /// All workers are gone, in order.
    Stopped,
    /// A worker has failed and is not replaced; the others stop.
    Failed,
}

/// A worker's state by its name in metrics and health.
pub(super) fn name(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Created => "created",
        WorkerState::Starting => "starting",
        WorkerState::Rebalancing => "rebalancing",
        WorkerState::Running => "running",
        WorkerState::Stopping => "stopping",
        WorkerState::Stopped => "stopped",
        WorkerState::Failed => "failed",
    }
}

/// The health of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// What it is doing.
    pub status: Status,
    /// The states of its workers, in the order of their numbers.
    pub workers: Vec<&'static str>,
}

impl Health {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let states: Vec<_> = snapshot.workers.iter().map(|worker| worker.state).collect();
        let status = match snapshot.failed {
            true => Status::Failed,
            false => status(&states),
        };
        Self { status, workers: states.into_iter().map(name).collect() }
    }

    /// Whether the process does its work or is about to. If not, only a restart helps: it is what a liveness probe asks.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.status, Status::Stopped | Status::Failed)
    }

    /// Whether all tasks of the process run: nothing is being restored. It is what a readiness probe asks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status == Status::Running
    }
}

fn status(states: &[WorkerState]) -> Status {
    let any = |one: WorkerState| states.contains(&one);
    // One that has failed while the application has not is about to be replaced.
    let starts = [WorkerState::Created, WorkerState::Starting, WorkerState::Failed];
    if states.is_empty() || starts.into_iter().any(any) {
        Status::Starting
    } else if states.iter().all(|state| state.is_final()) {
        Status::Stopped
    } else if any(WorkerState::Stopping) || any(WorkerState::Stopped) {
        Status::Stopping
    } else if any(WorkerState::Rebalancing) {
        Status::Rebalancing
    } else {
        Status::Running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkerState as W;

    #[test]
    fn the_worst_worker_says_how_the_process_is() {
        let cases: [(&[WorkerState], Status); 8] = [
            (&[], Status::Starting),
            (&[W::Running, W::Starting], Status::Starting),
            (&[W::Rebalancing, W::Running], Status::Rebalancing),
            (&[W::Running, W::Running], Status::Running),
            (&[W::Running, W::Stopping], Status::Stopping),
            (&[W::Stopped, W::Running], Status::Stopping),
            (&[W::Stopped, W::Stopped], Status::Stopped),
            (&[W::Running, W::Failed], Status::Starting),
        ];
        for (states, expected) in cases {
            assert_eq!(status(states), expected, "{states:?}");
        }
    }
}
