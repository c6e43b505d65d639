//! The clock: the only place of the server that reads one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970 that never run backwards: the time at the start, and what a steady clock has counted since.
/// Sessions and time-outs go by it, so a wall clock that is set does not end them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begin: Instant,
    begin_ms: i64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is where the server reads the clock")]
    pub(super) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { begin: Instant::now(), begin_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX) }
    }

    pub(super) fn now_ms(&self) -> i64 {
        let elapsed = Instant::now().duration_since(self.begin).as_millis();
        self.begin_ms.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    /// Nanoseconds since the clock was started.
    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(Instant::now().duration_since(self.begin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long it is until a time.
    pub(super) fn until(&self, time_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(time_ms.saturating_sub(self.now_ms())).unwrap_or(0))
    }
}
