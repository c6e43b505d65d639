//! What operators remember: typed stores ([`KeyValueStore`], [`WindowStore`], [`SessionStore`],
//! [`LeaderboardStore`]), each an overlay in
//! memory over a part of the task's byte store, with a changelog on Kafka.
//!
//! The life of a change: `set` makes an entry dirty; `log` writes it to the changelog within the transaction;
//! `committed` after the commit is acknowledged; `unflushed`/`flushed` move it to the byte store, now and then;
//! `discard` after an abort. A store does not know who carries its changelog.

mod board;
mod bytes;
mod changes;
mod due;
mod gathered;
mod huge_pages;
mod index;
mod key_value;
mod leaderboard;
mod memory;
mod overlay;
mod ranking;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod runs;
mod session;
mod session_slots;
mod slots;
mod sorting;
mod weight;
mod window;
mod window_index;

#[cfg(feature = "rocksdb")]
pub use self::rocksdb::{RocksBackend, RocksFigures, RocksOptions, StateFolder};
pub use board::{Board, BoardRow, FloatScore};
pub use bytes::{ByteStore, KeyRange, META, Space, StateBackend, Visit};
pub use changes::{Batches, Change, Changes};
pub use due::DueBoards;
pub use key_value::KeyValueStore;
pub use leaderboard::{LeaderboardSerdes, LeaderboardStore, MemberChange, Shown};
pub use memory::MemoryBackend;
use overlay::Wanted;
pub use overlay::{Entry, KeyRun, Overlay, SlotId};
pub use ranking::RankBy;
pub use session::{Session, SessionStore};
pub use window::{WindowEntry, WindowStore};

use std::rc::Rc;

use crate::codec::{ROWS, Serde, SerdeError, encode_all, gather};
use crate::error::{Error, Reaction, Result};
use crate::record::{Encoded, RawRecord, RecordBatch};

/// What the runtime asks of every store, whatever it holds.
pub trait StateStore {
    /// The store's name; also part of its changelog's name.
    fn name(&self) -> &str;
    /// Writes the dirty entries to the changelog: the last value of each, once.
    ///
    /// # Errors
    /// If a value cannot be serialised.
    fn log(&mut self, changelog: &mut RecordBatch) -> Result<()>;
    /// The commit that carries what was logged is acknowledged.
    fn committed(&mut self);
    /// Adds what the byte store does not have yet to `batches`, in committed form. Nothing may be dirty.
    ///
    /// A crash may leave some of the batches: those are ahead of the offset that comes with the last one. The changelog
    /// holds values, not differences, so it brings them to the same state as all others, when it is replayed from there.
    ///
    /// # Errors
    /// If a value cannot be serialised, and those of a byte store.
    fn unflushed(&mut self, batches: &mut Batches<'_>) -> Result<()>;
    /// What [`StateStore::unflushed`] told has been applied.
    fn flushed(&mut self);
    /// Forgets everything in memory: the byte store's content, then the changelog, tell what is committed.
    ///
    /// # Errors
    /// If the byte store cannot be read.
    fn discard(&mut self) -> Result<()>;
    /// Turns a changelog record into changes of the byte store. Nothing is in memory meanwhile.
    ///
    /// # Errors
    /// If the record is not of this store's form.
    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Changes) -> Result<()>;
    /// Estimated bytes in memory.
    fn memory_bytes(&self) -> usize;
    /// Drops clean entries not used for `periods` flushes.
    fn evict(&mut self, periods: u32);
}

/// A store's place: its name and its part of the task's byte store.
#[derive(Clone)]
pub struct Shelf {
    /// The store's name.
    pub name: String,
    /// Its first space; a store may use the next one as well, for an index.
    pub space: Space,
    /// The task's byte store.
    pub bytes: Rc<dyn ByteStore>,
}

impl Shelf {
    /// Whether nothing is stored in `range` of the first space.
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn is_empty(&self, range: KeyRange<'_>) -> Result<bool> {
        let mut empty = true;
        self.bytes.scan(self.space, range, &mut |_, _| {
            empty = false;
            false
        })?;
        Ok(empty)
    }

    /// Shows the bytes of the values of `entries`, [`ROWS`] at most, to `visit`, each with its entry; `None` for null.
    ///
    /// # Errors
    /// If one has no such form.
    pub(crate) fn written<V>(
        &self,
        values: &dyn Serde<V>,
        entries: &[Entry<'_, V>],
        encoded: &mut Encoded,
        mut visit: impl FnMut(&Entry<'_, V>, Option<&[u8]>),
    ) -> Result<()> {
        let (all, mut bytes) = (gather(entries.iter().map(|entry| entry.value)), [None; ROWS]);
        if let Err(error) = encode_all(values, &all[..entries.len()], encoded, &mut bytes) {
            let culprit = entries.get(encoded.len()).map_or(&[][..], |entry| entry.key);
            return Err(self.unwritable(culprit, error));
        }
        entries.iter().zip(bytes).for_each(|(entry, bytes)| visit(entry, bytes));
        Ok(())
    }

    /// Adds the change that brings `entry` into the byte store under `key`, given in parts.
    ///
    /// # Errors
    /// If its value cannot be written.
    pub(crate) fn put<V, const N: usize>(
        &self,
        entry: &Entry<'_, V>,
        key: [&[u8]; N],
        values: &dyn Serde<V>,
        changes: &mut Changes,
    ) -> Result<()> {
        let Some(value) = entry.value else {
            changes.delete(self.space, key);
            return Ok(());
        };
        changes.put_stamped(self.space, key, entry.timestamp, |out| {
            values.serialize(value, out).map_err(|error| self.unwritable(entry.key, error))
        })
    }

    /// Adds the change that brings what a changelog record says into the byte store under `key`, given in parts.
    #[inline]
    pub(crate) fn restore<const N: usize>(
        &self,
        key: [&[u8]; N],
        record: &RawRecord<'_>,
        changes: &mut Changes,
    ) {
        match record.value {
            Some(value) => changes.put(self.space, key, [&record.timestamp.to_be_bytes(), value]),
            None => changes.delete(self.space, key),
        }
    }

    /// An error about a value of this store.
    #[must_use]
    pub fn serde_error(&self, what: &str, error: SerdeError) -> Error {
        let message = format!("cannot handle a {what} of store `{}`", self.name);
        Error::new(blamed(&error), message).because(error)
    }

    /// An error about a value of this store that cannot be written, with the key whose value it is.
    #[must_use]
    pub fn unwritable(&self, key: &[u8], error: SerdeError) -> Error {
        let message = format!("cannot write the value of key `{}` in store `{}`", shown_key(key), self.name);
        Error::new(blamed(&error), message).because(error).hint(
            "its serde cannot write every value of its type: use another type or serde, or keep such values out",
        )
    }

    /// An error about a changelog or stored entry that has not this store's form.
    #[must_use]
    pub fn corrupt(&self, what: &str) -> Error {
        Error::new(Reaction::Rebuild, format!("store `{}` holds {what}", self.name))
            .hint("was the changelog written by another application or another version of this one?")
    }
}

/// The first time that is not gone: less than a retention before the newest. A retention of all time keeps all.
fn horizon(newest: i64, retention_ms: i64) -> i64 {
    if retention_ms == i64::MAX {
        return 0;
    }
    newest.saturating_sub(retention_ms).saturating_add(1).max(0)
}

/// What has to follow on an error of a serde: where it is not the value that is at fault, the work is done again later.
pub(crate) fn blamed(error: &SerdeError) -> Reaction {
    if error.retry { Reaction::Abort } else { Reaction::Skip }
}

/// A key in messages: its first bytes.
pub(crate) fn shown_key(key: &[u8]) -> String {
    /// Enough to find it; more would only hide the rest of the message.
    const SHOWN: usize = 48;
    let rest = if key.len() > SHOWN { "..." } else { "" };
    format!("{}{rest}", key[..key.len().min(SHOWN)].escape_ascii())
}

/// Splits the stored form of a timestamped value.
pub(crate) fn unstamp(stored: &[u8]) -> Option<(i64, &[u8])> {
    let (timestamp, value) = stored.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*timestamp), value))
}

/// The value and the timestamp of what a store has stored.
pub(crate) fn decode<V>(shelf: &Shelf, values: &dyn Serde<V>, stored: &[u8]) -> Result<(V, i64)> {
    let (timestamp, bytes) = unstamp(stored).ok_or_else(|| shelf.corrupt("a value without timestamp"))?;
    let value = values.deserialize(Some(bytes)).map_err(|error| shelf.serde_error("value", error))?;
    Ok((value, timestamp))
}

/// The big-endian time in the last eight bytes, and what stands before it.
pub(crate) fn split_time(key: &[u8]) -> Option<(&[u8], i64)> {
    let (rest, time) = key.split_last_chunk::<8>()?;
    Some((rest, i64::from_be_bytes(*time)))
}
