//! What a task's byte store knows about itself, in the space [`META`]; written in the last batch of the data it speaks of.
//!
//! | key                  | value                                                             |
//! |----------------------|-------------------------------------------------------------------|
//! | `format`             | version of this table, one byte                                   |
//! | `layout`             | names of the stores; their order gives their places               |
//! | `fingerprint`        | the topology's                                                    |
//! | `wall/`              | wall-clock time of the flush                                      |
//! | `offset/<changelog>` | next offset to restore: everything below it is in the store       |
//! | `topic/<changelog>`  | the changelog's topic id                                          |
//! | `time/<name>`        | a time that an operator observes                                  |
//! | `partition/<topic>`  | the input partition's time                                        |
//! | `input/<topic>`      | the input offset that was committed with the data                 |

use std::collections::BTreeMap;

use crate::error::Result;
use crate::state::{ByteStore, Changes, KeyRange, META};
use crate::topic::TaskId;

/// Version of the table above.
const FORMAT: u8 = 1;

/// The entries of [`META`], read at once.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Checkpoint {
    /// Reads what a byte store knows about itself.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(bytes: &dyn ByteStore) -> Result<Self> {
        let mut entries = BTreeMap::new();
        bytes.scan(META, KeyRange::default(), &mut |key, value| {
            entries.insert(key.to_vec(), value.to_vec());
            true
        })?;
        Ok(Self { entries })
    }

    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the form and the places of the stores are those of `layout`.
    #[must_use]
    pub fn fits(&self, layout: &str) -> bool {
        let entry = |key: &[u8]| self.entries.get(key).map(Vec::as_slice);
        entry(b"format").is_none_or(|format| format == [FORMAT])
            && entry(b"layout").is_none_or(|stored| stored == layout.as_bytes())
    }

    /// The fingerprint of the topology that wrote the data.
    #[must_use]
    pub fn fingerprint(&self) -> Option<u64> {
        let bytes = self.entries.get(b"fingerprint".as_slice())?;
        Some(u64::from_be_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// Tells where the data was written by another topology: what is in stores of the same names may mean something else now.
    pub(super) fn warn_of_other(&self, task: TaskId, fingerprint: u64) {
        if self.fingerprint().is_some_and(|other| other != fingerprint) {
            tracing::warn!(%task, "local state was written by another version of the topology");
        }
    }

    /// A number by its key.
    #[must_use]
    pub fn number(&self, kind: &str, name: &str) -> Option<i64> {
        let bytes = self.entries.get(key(kind, name).as_slice())?;
        Some(i64::from_be_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// The topic id of a changelog when its offset was written.
    #[must_use]
    pub fn topic_id(&self, changelog: &str) -> Option<u128> {
        let bytes = self.entries.get(key("topic", changelog).as_slice())?;
        Some(u128::from_be_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// The numbers of one kind by name.
    pub fn numbers<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, i64)> {
        self.entries.iter().filter_map(move |(key, value)| {
            let name = std::str::from_utf8(key).ok()?.strip_prefix(kind)?.strip_prefix('/')?;
            Some((name, i64::from_be_bytes(value.as_slice().try_into().ok()?)))
        })
    }
}

fn key(kind: &str, name: &str) -> Vec<u8> {
    format!("{kind}/{name}").into_bytes()
}

/// Adds the change that writes a number.
pub fn put_number(changes: &mut Changes, kind: &str, name: &str, number: i64) {
    changes.put(META, [&key(kind, name)], [&number.to_be_bytes()]);
}

/// Adds the change that writes a changelog's topic id.
pub fn put_topic_id(changes: &mut Changes, changelog: &str, id: u128) {
    changes.put(META, [&key("topic", changelog)], [&id.to_be_bytes()]);
}

/// Adds the changes that say what the data is and when it was written.
pub fn put_header(changes: &mut Changes, layout: &str, fingerprint: u64, now_ms: i64) {
    changes.put(META, [b"format"], [&[FORMAT]]);
    changes.put(META, [b"layout"], [layout.as_bytes()]);
    changes.put(META, [b"fingerprint"], [&fingerprint.to_be_bytes()]);
    changes.put(META, [b"wall/"], [&now_ms.to_be_bytes()]);
}
