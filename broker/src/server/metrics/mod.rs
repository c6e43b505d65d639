//! Metrics and health of a broker over HTTP (feature `metrics`): `/metrics` for Prometheus, `/health` for probes.
//!
//! 1. A page is made when it is asked for, from what was counted; no request pays for it but by a few additions.
//! 2. Counts begin at 0 with each start.
//! 3. The table of names stands in the crate's README.

mod http;
mod page;
mod process;
mod show;

pub(super) use http::MetricsServer;
pub(super) use show::text;

use super::host::Host;

/// A thread that has not come round for so long is stuck: it comes round ten times a second.
const STUCK_MS: u64 = 30_000;

/// What a probe is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Running,
    /// The thread that serves all clients does not come round.
    Stuck,
}

impl Health {
    fn of(host: &Host) -> Self {
        let now = u64::try_from(host.clock.now_ms()).unwrap_or(0);
        match now.saturating_sub(host.counters.came_round_ms.get()) {
            since if since > STUCK_MS => Self::Stuck,
            _ => Self::Running,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stuck => "stuck",
        }
    }
}
