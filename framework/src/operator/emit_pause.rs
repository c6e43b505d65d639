//! The emit pause: how long results of closed windows wait at least, by the wall clock, after the last ones were told
//! (`emit.interval.ms.kstreams.windowed.aggregation`).

/// When results of closed windows may be told again.
#[derive(Clone, Copy, Debug)]
pub struct EmitPause {
    interval_ms: i64,
    until_ms: i64,
}

impl EmitPause {
    /// A pause of `interval_ms`; nothing has been told yet.
    #[must_use]
    pub fn new(interval_ms: i64) -> Self {
        Self { interval_ms, until_ms: i64::MIN }
    }

    /// Whether results never wait.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.interval_ms == 0
    }

    /// Whether results have to wait. The clock may have been set back: nobody waits longer than an interval.
    #[must_use]
    pub fn lasts(self, now_ms: i64) -> bool {
        now_ms < self.until_ms.min(now_ms.saturating_add(self.interval_ms))
    }

    /// Results are told now: the next ones wait.
    pub fn begin(&mut self, now_ms: i64) {
        self.until_ms = now_ms.saturating_add(self.interval_ms);
    }
}
