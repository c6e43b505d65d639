//! Drives a worker: the one endless loop of the framework.

use crate::error::Result;
use crate::kafka::Cluster;
use crate::time::Clock;
use crate::worker::Worker;

/// Longest sleep of an idle worker: timers and commits are at most this late.
const IDLE_MS: i64 = 50;

/// As long sleeps who waits for a thread of this process.
const SOON_MS: i64 = 2;

/// Steps the worker until it is gone; `between` is called after each step.
pub(super) fn drive(
    worker: &mut Worker,
    cluster: &dyn Cluster,
    clock: &dyn Clock,
    between: &mut dyn FnMut(&mut Worker),
) -> Result<()> {
    loop {
        let progress = worker.step(clock.now_ms())?;
        if worker.state().is_final() {
            return Ok(());
        }
        between(worker);
        if !progress.busy {
            cluster.wait(if progress.soon { SOON_MS } else { IDLE_MS });
        }
    }
}
