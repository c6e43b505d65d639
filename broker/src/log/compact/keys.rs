//! The keys that compaction has seen, with the offset of the last record of each.
//!
//! As in Kafka a key is kept as a hash of 16 bytes, so that memory does not depend on how long keys are, and
//! their number is bounded: when they are full, the rest is left for the next compaction.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Most keys: they take 26 MB (2^20 places of 25 bytes, seven eighths of which are used).
const KEYS_MAX: usize = 900_000;

/// Keys with offsets.
#[derive(Debug, Default)]
pub(super) struct Keys {
    latest: HashMap<[u8; 16], i64>,
    /// Two hashes with keys of their own, drawn at random: nobody can make two keys meet on purpose.
    hashers: [RandomState; 2],
}

impl Keys {
    fn hash(&self, key: &[u8]) -> [u8; 16] {
        let [first, second] = &self.hashers;
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&first.hash_one(key).to_le_bytes());
        hash[8..].copy_from_slice(&second.hash_one(key).to_le_bytes());
        hash
    }

    pub(super) fn learn(&mut self, key: &[u8], offset: i64) {
        self.latest.insert(self.hash(key), offset);
    }

    /// Whether a later record of this key is known.
    pub(super) fn is_outdated(&self, key: &[u8], offset: i64) -> bool {
        self.latest.get(&self.hash(key)).is_some_and(|latest| *latest > offset)
    }

    pub(super) fn is_full(&self) -> bool {
        self.latest.len() >= KEYS_MAX
    }
}
