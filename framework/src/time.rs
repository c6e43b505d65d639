//! Clocks. The framework's only place that reads one: everything else is told `now_ms`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// "No time seen yet", as in Kafka Streams: stream time before the first record.
pub const UNKNOWN_TIME: i64 = -1;

/// A source of wall-clock time.
///
/// Implementations are shared between threads. `now_ms` may jump (a wall clock does); `elapsed_us` must not go back.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;
    /// Microseconds since the clock was made; for measuring.
    fn elapsed_us(&self) -> u64;
}

/// Makes a time that never goes back, out of wall-clock times that may: where the wall clock is set back the steady time
/// stands still for that moment, then goes on as fast as the wall clock does. For intervals and time-outs.
///
/// ```
/// use headwater::time::SteadyTime;
/// let mut time = SteadyTime::default();
/// assert_eq!([5_000, 5_010, 1_000, 1_010].map(|wall_ms| time.at(wall_ms)), [5_000, 5_010, 5_010, 5_020]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SteadyTime {
    last_wall_ms: Option<i64>,
    ahead_ms: i64,
}

impl SteadyTime {
    /// The steady time when the wall clock shows `wall_ms`, milliseconds.
    pub fn at(&mut self, wall_ms: i64) -> i64 {
        let back_ms = self.last_wall_ms.map_or(0, |last| last.saturating_sub(wall_ms)).max(0);
        self.ahead_ms = self.ahead_ms.saturating_add(back_ms);
        self.last_wall_ms = Some(wall_ms);
        wall_ms.saturating_add(self.ahead_ms)
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose `elapsed_us` starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads a clock")]
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads a clock")]
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is told otherwise; for tests and simulation.
///
/// ```
/// use headwater::time::{Clock, ManualClock};
/// let clock = ManualClock::at(1_000);
/// clock.advance_ms(500);
/// assert_eq!(clock.now_ms(), 1_500);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    now_ms: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that shows `now_ms`. Clones show the same time.
    #[must_use]
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms: Arc::new(AtomicI64::new(now_ms)) }
    }

    /// Moves the clock forward, or by a negative time back, as a wall clock that is set.
    pub fn advance_ms(&self, by_ms: i64) {
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.now_ms().saturating_mul(1_000)).unwrap_or(0)
    }
}
