//! Uncaught errors: what has ended a worker, and what follows, as the application's handler says.

use crate::error::Error;

/// The first pause before a worker is replaced; the next is twice as long.
const PAUSE_MIN_MS: i64 = 100;
/// As long as a broker's answer takes at worst: nobody who has removed the cause waits longer than that.
const PAUSE_MAX_MS: i64 = 30_000;
/// A worker that has lived for so long has not failed at once: twice the longest pause.
const LIVED_MS: i64 = 60_000;

/// What follows on an error that has ended a worker (Kafka Streams' `StreamThreadExceptionResponse`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UncaughtErrorResponse {
    /// A new worker takes the place of the one that has failed. It has the same number, hence the same transactional id
    /// and `group.instance.id`: its producer ends the transaction that was left open. What was not committed is gone with
    /// the worker that has failed; records go on from the committed offsets, state as of the last commit. Under
    /// `exactly_once_v2` output is as if nothing had happened.
    ///
    /// The first replacement comes at once. Where workers of the same number fail within a minute of their start it
    /// waits, for 100 ms, then twice as long each time, up to 30 s: so an error that always comes back, as of a record that
    /// no operator can take, does not keep the cluster busy with rebalances. Such a record wanders with its task from
    /// worker to worker till somebody deals with it.
    ReplaceThread,
    /// All workers of the process commit and stop. [`Running::wait`](super::Running::wait) returns the error.
    ShutdownClient,
}

/// Asked about each error that has ended a worker, on the worker's thread.
pub(super) type UncaughtErrorHandler = dyn Fn(&Error) -> UncaughtErrorResponse + Send + Sync;

/// Workers of one number that failed one soon after the other.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
}

impl Failures {
    /// Another worker has failed, after `lived_ms`. Returns for how long its place stays empty, milliseconds.
    pub(super) fn note(&mut self, lived_ms: i64) -> i64 {
        if lived_ms >= LIVED_MS {
            self.count = 0;
        }
        self.count += 1;
        match self.count {
            1 => 0,
            count => (PAUSE_MIN_MS << (count.min(20) - 2)).min(PAUSE_MAX_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_worker_lives() {
        let mut failures = Failures::default();
        let pauses: Vec<_> = (0..12).map(|_| failures.note(LIVED_MS - 1)).collect();
        assert_eq!(
            pauses,
            [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, PAUSE_MAX_MS, PAUSE_MAX_MS]
        );
        assert_eq!([LIVED_MS, 5, 5].map(|lived_ms| failures.note(lived_ms)), [0, 100, 200]);
        assert_eq!((0..100).map(|_| failures.note(0)).max(), Some(PAUSE_MAX_MS));
    }
}
