//! Windows: which spans of time a record belongs to, and when they close. Pure arithmetic, in milliseconds.
//!
//! The rules are Kafka Streams': tumbling and hopping windows start at multiples of their advance and exclude their
//! end; sessions include both ends; a window is closed when stream time has passed its end by the grace.

use std::time::Duration;

use crate::error::{Error, Reaction, Result};

/// Windows of one size: tumbling, or hopping where they advance by less than their size.
///
/// ```
/// use headwater::TimeWindows;
/// use std::time::Duration;
/// let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60)).advance_by(Duration::from_secs(30));
/// assert_eq!(windows.starts_for(65_000).collect::<Vec<_>>(), [30_000, 60_000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
}

impl TimeWindows {
    /// Tumbling windows; a record older than stream time's window is late.
    #[must_use]
    pub fn of_size_with_no_grace(size: Duration) -> Self {
        Self::of_size_and_grace(size, Duration::ZERO)
    }

    /// Tumbling windows that stay open for `grace` after their end.
    #[must_use]
    pub fn of_size_and_grace(size: Duration, grace: Duration) -> Self {
        let size_ms = millis(size);
        Self { size_ms, advance_ms: size_ms, grace_ms: millis(grace) }
    }

    /// Hopping windows: a new one starts every `advance`.
    #[must_use]
    pub fn advance_by(self, advance: Duration) -> Self {
        Self { advance_ms: millis(advance), ..self }
    }

    /// Length of a window.
    #[must_use]
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }

    /// Time between two starts.
    #[must_use]
    pub fn advance_ms(&self) -> i64 {
        self.advance_ms
    }

    /// How long a window stays open after its end.
    #[must_use]
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// How long a window has to be kept after its start.
    #[must_use]
    pub fn retention_ms(&self) -> i64 {
        self.size_ms.saturating_add(self.grace_ms)
    }

    /// The starts of the windows that hold `timestamp` (not negative), oldest first.
    pub fn starts_for(&self, timestamp: i64) -> impl Iterator<Item = i64> + use<> {
        let (size, advance) = (self.size_ms, self.advance_ms);
        let first = (timestamp - (size - advance)).max(0) / advance * advance;
        // Times may be as large as they like: a start that no number can tell holds no timestamp either.
        let starts = std::iter::successors(Some(first), move |start| start.checked_add(advance));
        starts.take_while(move |start| *start <= timestamp)
    }

    /// The end of the window that starts at `start`; the last time there is, where it lies behind that.
    #[must_use]
    pub fn end_of(&self, start: i64) -> i64 {
        start.saturating_add(self.size_ms)
    }

    /// Whether a record belongs to one window only: the next starts where one ends.
    #[must_use]
    pub fn is_tumbling(&self) -> bool {
        self.advance_ms == self.size_ms
    }

    /// The start of the newest window that holds `timestamp` (not negative).
    #[must_use]
    #[inline]
    pub fn start_for(&self, timestamp: i64) -> i64 {
        timestamp - timestamp % self.advance_ms
    }

    /// Whether [`TimeWindows::start_for`] of `timestamp` (not negative) is `start`, for less than a division.
    #[inline]
    pub(crate) fn starts(&self, start: i64, timestamp: i64) -> bool {
        (0..self.advance_ms).contains(&(timestamp - start))
    }

    /// Checks sizes.
    ///
    /// # Errors
    /// If size or advance is below a millisecond, or the advance larger than the size.
    pub fn validate(&self) -> Result<()> {
        if self.size_ms < 1 {
            return Err(invalid("a window's size must be at least a millisecond"));
        }
        if self.advance_ms < 1 || self.advance_ms > self.size_ms {
            let size = self.size_ms;
            return Err(invalid(&format!(
                "a window's advance must be between 1 ms and its size ({size} ms)"
            )));
        }
        Ok(())
    }
}

/// Sessions: records of a key that follow each other within a gap of inactivity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    gap_ms: i64,
    grace_ms: i64,
}

impl SessionWindows {
    /// Sessions that close `gap` after their last record.
    #[must_use]
    pub fn of_inactivity_gap_with_no_grace(gap: Duration) -> Self {
        Self::of_inactivity_gap_and_grace(gap, Duration::ZERO)
    }

    /// Sessions that close `gap` and `grace` after their last record.
    #[must_use]
    pub fn of_inactivity_gap_and_grace(gap: Duration, grace: Duration) -> Self {
        Self { gap_ms: millis(gap), grace_ms: millis(grace) }
    }

    /// The longest pause within a session; a pause of exactly this does not end it.
    #[must_use]
    pub fn gap_ms(&self) -> i64 {
        self.gap_ms
    }

    /// How long late records may still join.
    #[must_use]
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// How long a session has to be kept after its end.
    #[must_use]
    pub fn retention_ms(&self) -> i64 {
        self.gap_ms.saturating_add(self.grace_ms)
    }

    /// Checks sizes.
    ///
    /// # Errors
    /// If the gap is below a millisecond.
    pub fn validate(&self) -> Result<()> {
        if self.gap_ms < 1 {
            return Err(invalid("a session's inactivity gap must be at least a millisecond"));
        }
        Ok(())
    }
}

/// When a windowed aggregate tells its results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitStrategy {
    /// After every record.
    #[default]
    OnWindowUpdate,
    /// Once, when the window closes. A tumbling or hopping window whose end is passed by more than the store keeps it is
    /// gone untold, as in Kafka Streams, and its entries are counted ([`DropReason::Expired`]). Where event time jumps,
    /// let `Materialized::with_retention` keep windows longer, or set `emit.interval.ms.kstreams.windowed.aggregation`
    /// above 0: then windows are kept until they are told.
    ///
    /// [`DropReason::Expired`]: crate::telemetry::DropReason::Expired
    OnWindowClose,
}

impl EmitStrategy {
    /// After every record (Kafka Streams' `onWindowUpdate`).
    #[must_use]
    pub fn on_window_update() -> Self {
        Self::OnWindowUpdate
    }

    /// Once, when the window closes (Kafka Streams' `onWindowClose`).
    #[must_use]
    pub fn on_window_close() -> Self {
        Self::OnWindowClose
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn invalid(message: &str) -> Error {
    Error::new(Reaction::Stop, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_multiples_of_the_advance_from_the_epoch() {
        let cases: &[(u64, u64, i64, &[i64])] = &[
            (10, 10, 0, &[0]),
            (10, 10, 9, &[0]),
            (10, 10, 10, &[10]),
            (10, 5, 3, &[0]),
            (10, 5, 5, &[0, 5]),
            (10, 5, 12, &[5, 10]),
            (10, 3, 10, &[3, 6, 9]),
            (10, 5, i64::MAX, &[i64::MAX - 7, i64::MAX - 2]),
            (1, 1, i64::MAX, &[i64::MAX]),
            (u64::MAX, u64::MAX, i64::MAX - 1, &[0]),
            (u64::MAX, u64::MAX, i64::MAX, &[i64::MAX]),
        ];
        for (size, advance, timestamp, expected) in cases {
            let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(*size))
                .advance_by(Duration::from_millis(*advance));
            let starts: Vec<_> = windows.starts_for(*timestamp).collect();
            assert_eq!(starts, *expected, "size {size}, advance {advance}, time {timestamp}");
        }
    }

    #[test]
    fn impossible_windows_are_refused() {
        let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
        let advance =
            |ms| windows.advance_by(Duration::from_millis(ms)).validate().map_err(|error| error.to_string());
        let refused = Err("a window's advance must be between 1 ms and its size (10 ms)".to_owned());
        assert_eq!(
            [advance(0), advance(1), advance(10), advance(11)],
            [refused.clone(), Ok(()), Ok(()), refused]
        );
        assert!(TimeWindows::of_size_with_no_grace(Duration::ZERO).validate().is_err());
        assert!(SessionWindows::of_inactivity_gap_with_no_grace(Duration::ZERO).validate().is_err());
    }
}
