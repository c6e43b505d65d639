//! Counters: what the server has counted since its start.
//!
//! The server's thread alone counts, so a count is a load and a store and no locked instruction; anybody may read. Errors
//! are counted behind a lock, since most requests have none.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::api::{ApiKey, Response};
use crate::batch::BatchHeader;
use crate::error::ErrorCode;

/// A count of one thread.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds to it; only the server's thread may.
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets of a request's time. Most requests take some microseconds; a batch that has to be looked
/// into, or a disk that is waited for, milliseconds.
pub(super) const BOUNDS_NS: [u64; 10] = [
    20_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    2_500_000,
    10_000_000,
    50_000_000,
    250_000_000,
    1_000_000_000,
];

/// How long requests of one API took: a bucket for each bound, and one for what took longer.
#[derive(Debug, Default)]
pub(super) struct Times {
    buckets: [Count; BOUNDS_NS.len() + 1],
    sum_ns: Count,
}

impl Times {
    fn note(&self, took_ns: u64) {
        self.buckets[BOUNDS_NS.partition_point(|bound| *bound < took_ns)].add(1);
        self.sum_ns.add(took_ns);
    }

    /// By bucket, each without those before it.
    pub(super) fn buckets(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(Count::get)
    }

    pub(super) fn sum_ns(&self) -> u64 {
        self.sum_ns.get()
    }
}

/// Numbers of APIs lie below this.
const APIS: usize = 128;

/// What the server has counted.
#[derive(Debug)]
pub(super) struct Counters {
    /// By the number of the API.
    times: [Times; APIS],
    errors: Mutex<BTreeMap<(ApiKey, ErrorCode), u64>>,
    pub(super) fetched_records: Count,
    pub(super) fetched_bytes: Count,
    /// Connections that were accepted, ...
    pub(super) accepted: Count,
    /// ... that have ended of them, ...
    pub(super) ended: Count,
    /// ... and that were not, for there were too many.
    pub(super) refused: Count,
    pub(super) malformed: Count,
    /// Logins that were refused, and handshakes of TLS that came to nothing.
    pub(super) failed_logins: Count,
    /// When the server's thread has last come round, by the server's clock.
    pub(super) came_round_ms: Count,
    /// What the start found.
    pub(super) recovery: Recovery,
}

/// What it took to take up what a folder held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recovery {
    pub(super) took_ns: u64,
    /// Bytes that were cut off, or cannot be read.
    pub(super) damaged_bytes: u64,
}

impl Counters {
    pub(super) fn new(recovery: Recovery) -> Self {
        Self {
            times: std::array::from_fn(|_| Times::default()),
            errors: Mutex::default(),
            fetched_records: Count::default(),
            fetched_bytes: Count::default(),
            accepted: Count::default(),
            ended: Count::default(),
            refused: Count::default(),
            malformed: Count::default(),
            failed_logins: Count::default(),
            came_round_ms: Count::default(),
            recovery,
        }
    }

    /// A request of this API was served, in so much time of the server's thread.
    pub(super) fn count_request(&self, api: i16, took_ns: u64) {
        if let Some(times) = self.times(api) {
            times.note(took_ns);
        }
    }

    pub(super) fn times(&self, api: i16) -> Option<&Times> {
        usize::try_from(api).ok().and_then(|api| self.times.get(api))
    }

    /// Counts the errors of an answer, and calls `visit` with each.
    pub(super) fn count_errors(&self, api: ApiKey, response: &Response, visit: impl Fn(ErrorCode)) {
        response.errors(&mut |error| {
            let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            *errors.entry((api, error)).or_default() += 1;
            visit(error);
        });
    }

    pub(super) fn errors(&self) -> BTreeMap<(ApiKey, ErrorCode), u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Batches go out to a client.
    pub(super) fn count_fetched<'a>(&self, batches: impl Iterator<Item = &'a Bytes>) {
        let (mut records, mut bytes) = (0, 0);
        for batch in batches {
            let count = BatchHeader::peek(batch).map_or(0, |header| header.records_count);
            records += u64::try_from(count).unwrap_or(0);
            bytes += batch.len() as u64;
        }
        self.fetched_records.add(records);
        self.fetched_bytes.add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS_NS, Times};

    #[test]
    fn a_time_counts_in_the_first_bucket_that_holds_it() {
        let times = Times::default();
        for took_ns in [0, 20_000, 20_001, 1_000_000_000, 1_000_000_001] {
            times.note(took_ns);
        }
        let buckets: Vec<u64> = times.buckets().collect();
        assert_eq!(buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(times.sum_ns(), 2_000_040_002);
        assert!(BOUNDS_NS.is_sorted());
    }
}
