//! The session store: one value per key and session, a session being a span of time.
//!
//! 1. Byte store: `key | end:i64 | start:i64 -> ts:i64 | value`, and in the next space an index by time:
//!    `end | start | key -> nothing`.
//! 2. Changelog, as Kafka Streams writes it: `key | end | start -> value`.
//! 3. In memory the entries are ordered, since sessions are found by ranges of time, not by their exact bounds.
//! 4. A session is gone when it ended a retention or more before the newest end: no record finds it any more. It is
//!    deleted then, unless [`SessionStore::keep_from`] keeps it for someone who has yet to tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Change, KeyRange, Shelf, StateStore, split_time, stamp, unstamp};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{RawRecord, RecordBatch};

/// A session of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<V> {
    /// Time of the first record.
    pub start: i64,
    /// Time of the last record, inclusive.
    pub end: i64,
    /// Aggregate of the session's records.
    pub value: V,
}

struct Slot<V> {
    value: Option<V>,
    timestamp: i64,
    dirty: bool,
    unflushed: bool,
}

/// One value per key and session.
pub struct SessionStore<K, V> {
    shelf: Shelf,
    keys: Arc<dyn Serde<K>>,
    values: Arc<dyn Serde<V>>,
    retention_ms: i64,
    /// By `key | end | start`.
    entries: BTreeMap<Vec<u8>, Slot<V>>,
    /// `(end, start, key)` of the live entries in memory.
    by_end: BTreeSet<(i64, i64, Vec<u8>)>,
    dirty: Vec<Vec<u8>>,
    unflushed: BTreeSet<Vec<u8>>,
    newest: i64,
    /// Sessions that ended at this time or later are kept, though they be gone.
    kept_from: i64,
    complete: bool,
    scratch: Vec<u8>,
}

impl<K, V: Clone> SessionStore<K, V> {
    /// Opens the store on its shelf; a session is kept while it ended less than `retention_ms` before the newest.
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn open(
        shelf: Shelf,
        keys: Arc<dyn Serde<K>>,
        values: Arc<dyn Serde<V>>,
        retention_ms: i64,
    ) -> Result<Self> {
        let mut store = Self {
            shelf,
            keys,
            values,
            retention_ms,
            entries: BTreeMap::new(),
            by_end: BTreeSet::new(),
            dirty: Vec::new(),
            unflushed: BTreeSet::new(),
            newest: -1,
            kept_from: i64::MAX,
            complete: true,
            scratch: Vec::new(),
        };
        store.discard()?;
        Ok(store)
    }

    fn horizon(&self) -> i64 {
        (self.newest - self.retention_ms + 1).max(0)
    }

    /// Sessions that ended before this may be deleted.
    fn deletable_before(&self) -> i64 {
        self.horizon().min(self.kept_from)
    }

    /// Keeps the sessions that ended at `end` or later, even where they are gone, until they have been told.
    pub fn keep_from(&mut self, end: i64) {
        self.kept_from = end;
    }

    fn encode(&mut self, key: &K) -> Result<Vec<u8>> {
        self.scratch.clear();
        self.keys.serialize(key, &mut self.scratch).map_err(|error| self.shelf.serde_error("key", error))?;
        Ok(self.scratch.clone())
    }

    /// The sessions of `key` that end at `earliest_end` or later and start at `latest_start` or earlier, by end.
    ///
    /// # Errors
    /// If the key cannot be serialised or a stored entry cannot be read.
    pub fn find(&mut self, key: &K, earliest_end: i64, latest_start: i64) -> Result<Vec<Session<V>>> {
        let key = self.encode(key)?;
        let from = session_key(&key, earliest_end.max(self.horizon()), 0);
        let to = session_key(&key, i64::MAX, i64::MAX);
        self.load(&from, &to)?;
        let mut found = Vec::new();
        for (entry, slot) in self.entries.range(from..=to) {
            let Some(value) = &slot.value else { continue };
            // Keys that merely begin with the same bytes lie between.
            if entry.len() != key.len() + 16 {
                continue;
            }
            let (_, end, start) =
                split_session(entry).ok_or_else(|| self.shelf.corrupt("a key without session"))?;
            if start <= latest_start {
                found.push(Session { start, end, value: value.clone() });
            }
        }
        Ok(found)
    }

    /// Loads what the byte store holds in a range and memory does not.
    fn load(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        if self.complete {
            return Ok(());
        }
        let mut stored = Vec::new();
        self.shelf.bytes.scan(self.shelf.space, KeyRange { from, to: Some(to) }, &mut |key, value| {
            stored.push((key.to_vec(), value.to_vec()));
            true
        })?;
        for (key, bytes) in stored {
            if !self.entries.contains_key(&key) {
                let (value, timestamp) = decode(&self.shelf, self.values.as_ref(), &bytes)?;
                self.insert_clean(key, value, timestamp)?;
            }
        }
        Ok(())
    }

    fn insert_clean(&mut self, key: Vec<u8>, value: V, timestamp: i64) -> Result<()> {
        let (plain, end, start) =
            split_session(&key).ok_or_else(|| self.shelf.corrupt("a key without session"))?;
        self.by_end.insert((end, start, plain.to_vec()));
        self.entries.insert(key, Slot { value: Some(value), timestamp, dirty: false, unflushed: false });
        Ok(())
    }

    /// Writes (or with `None` removes) the session of `key` with these bounds.
    ///
    /// # Errors
    /// If the key cannot be serialised.
    pub fn put(&mut self, key: &K, bounds: (i64, i64), value: Option<V>, timestamp: i64) -> Result<()> {
        let (start, end) = bounds;
        let plain = self.encode(key)?;
        self.newest = self.newest.max(end);
        let entry = session_key(&plain, end, start);
        if value.is_some() {
            self.by_end.insert((end, start, plain));
        } else {
            self.by_end.remove(&(end, start, plain));
        }
        let slot = self.entries.entry(entry.clone()).or_insert(Slot {
            value: None,
            timestamp,
            dirty: false,
            unflushed: false,
        });
        slot.value = value.map(|value| self.values.detach(value));
        slot.timestamp = timestamp;
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(entry);
        }
        Ok(())
    }

    /// The sessions that ended at `from..=to` and are not deleted, by end, start, then key bytes.
    ///
    /// # Errors
    /// If a stored entry cannot be read.
    pub fn ended(&mut self, from: i64, to: i64) -> Result<Vec<(K, Session<V>)>> {
        if from > to {
            return Ok(Vec::new());
        }
        self.load_ended(from, to)?;
        let mut found = Vec::new();
        for (end, start, plain) in
            self.by_end.range((from, i64::MIN, Vec::new())..(to.saturating_add(1), i64::MIN, Vec::new()))
        {
            let slot = self.entries.get(&session_key(plain, *end, *start));
            let value = slot.and_then(|slot| slot.value.clone());
            let value = value.ok_or_else(|| self.shelf.corrupt("an index entry without session"))?;
            let key =
                self.keys.deserialize(Some(plain)).map_err(|error| self.shelf.serde_error("key", error))?;
            found.push((key, Session { start: *start, end: *end, value }));
        }
        Ok(found)
    }

    fn load_ended(&mut self, from: i64, to: i64) -> Result<()> {
        if self.complete {
            return Ok(());
        }
        let (first, last) = (from.to_be_bytes(), to.saturating_add(1).to_be_bytes());
        let mut index = Vec::new();
        self.shelf.bytes.scan(
            self.shelf.space + 1,
            KeyRange { from: &first, to: Some(&last) },
            &mut |entry, _| {
                index.push(entry.to_vec());
                true
            },
        )?;
        for entry in index {
            let (end, rest) =
                unstamp(&entry).ok_or_else(|| self.shelf.corrupt("an index entry without end"))?;
            let (start, plain) =
                unstamp(rest).ok_or_else(|| self.shelf.corrupt("an index entry without start"))?;
            let key = session_key(plain, end, start);
            if self.entries.contains_key(&key) {
                continue;
            }
            if let Some(stored) = self.shelf.bytes.get(self.shelf.space, &key)? {
                let (value, timestamp) = decode(&self.shelf, self.values.as_ref(), &stored)?;
                self.insert_clean(key, value, timestamp)?;
            }
        }
        Ok(())
    }

    /// All sessions that are not gone, by end, start, then key bytes.
    ///
    /// # Errors
    /// If a stored entry cannot be read.
    pub fn all(&mut self) -> Result<Vec<(K, Session<V>)>> {
        self.ended(self.horizon(), i64::MAX - 1)
    }

    fn serialize(&self, key: &[u8], value: &V, out: &mut Vec<u8>) -> Result<bool> {
        self.values.serialize(value, out).map_err(|error| self.shelf.unwritable(key, error))
    }
}

impl<K, V: Clone> StateStore for SessionStore<K, V> {
    fn name(&self) -> &str {
        &self.shelf.name
    }

    fn log(&mut self, changelog: &mut RecordBatch) -> Result<()> {
        let mut bytes = Vec::new();
        for key in &self.dirty {
            let slot = &self.entries[key];
            bytes.clear();
            let present = match &slot.value {
                None => false,
                Some(value) => self.serialize(key, value, &mut bytes)?,
            };
            changelog.push(slot.timestamp, Some(key), present.then_some(&bytes), 0);
        }
        Ok(())
    }

    fn committed(&mut self) {
        for key in self.dirty.drain(..) {
            let slot = self.entries.get_mut(&key).expect("a dirty session stays in memory");
            (slot.dirty, slot.unflushed) = (false, true);
            self.unflushed.insert(key);
        }
    }

    fn unflushed(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let space = self.shelf.space;
        for key in &self.unflushed {
            let (plain, end, start) =
                split_session(key).ok_or_else(|| self.shelf.corrupt("a key without session"))?;
            let index = stamp(end, &stamp(start, plain));
            let slot = &self.entries[key];
            let Some(value) = &slot.value else {
                changes.push(Change::Delete(space, key.clone()));
                changes.push(Change::Delete(space + 1, index));
                continue;
            };
            let mut stored = slot.timestamp.to_be_bytes().to_vec();
            self.serialize(key, value, &mut stored)?;
            changes.push(Change::Put(space, key.clone(), stored));
            changes.push(Change::Put(space + 1, index, Vec::new()));
        }
        let deletable = self.deletable_before();
        let mut gone = Vec::new();
        self.shelf.bytes.scan(
            space + 1,
            KeyRange { from: &[], to: Some(&deletable.to_be_bytes()) },
            &mut |entry, _| {
                gone.push(entry.to_vec());
                true
            },
        )?;
        gone.extend(
            self.by_end
                .range(..(deletable, i64::MIN, Vec::new()))
                .map(|(end, start, key)| stamp(*end, &stamp(*start, key))),
        );
        for entry in gone {
            let parts =
                unstamp(&entry).and_then(|(end, rest)| unstamp(rest).map(|(start, key)| (end, start, key)));
            let (end, start, key) = parts.ok_or_else(|| self.shelf.corrupt("a broken index entry"))?;
            changes.push(Change::Delete(space, session_key(key, end, start)));
            changes.push(Change::Delete(space + 1, entry));
        }
        Ok(())
    }

    fn flushed(&mut self) {
        for key in std::mem::take(&mut self.unflushed) {
            let slot = self.entries.get_mut(&key).expect("an unflushed session stays in memory");
            slot.unflushed = false;
            if slot.value.is_none() {
                self.entries.remove(&key);
            }
        }
        let deletable = self.deletable_before();
        let live = self.by_end.split_off(&(deletable, i64::MIN, Vec::new()));
        for (end, start, key) in std::mem::replace(&mut self.by_end, live) {
            self.entries.remove(&session_key(&key, end, start));
        }
    }

    fn discard(&mut self) -> Result<()> {
        self.entries.clear();
        self.by_end.clear();
        self.dirty.clear();
        self.unflushed.clear();
        self.complete = self.shelf.is_empty(KeyRange::default())?;
        // What was told since the last commit has to be told again.
        if self.kept_from != i64::MAX {
            self.kept_from = 0;
        }
        self.newest = -1;
        let newest = &mut self.newest;
        self.shelf.bytes.scan(self.shelf.space + 1, KeyRange::default(), &mut |entry, _| {
            *newest = unstamp(entry).map_or(*newest, |(end, _)| end);
            true
        })
    }

    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Vec<Change>) -> Result<()> {
        let key = record.key.ok_or_else(|| self.shelf.corrupt("a changelog record without key"))?;
        let parts =
            split_session(key).ok_or_else(|| self.shelf.corrupt("a changelog key without session"))?;
        let (plain, end, start) = parts;
        let index = stamp(end, &stamp(start, plain));
        self.newest = self.newest.max(end);
        if let Some(value) = record.value {
            changes.push(Change::Put(self.shelf.space, key.to_vec(), stamp(record.timestamp, value)));
            changes.push(Change::Put(self.shelf.space + 1, index, Vec::new()));
        } else {
            changes.push(Change::Delete(self.shelf.space, key.to_vec()));
            changes.push(Change::Delete(self.shelf.space + 1, index));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let keys: usize = self.entries.keys().map(|key| key.len() * 2 + size_of::<Slot<V>>() + 96).sum();
        keys
    }

    fn evict(&mut self, _periods: u32) {
        if self.dirty.is_empty() && self.unflushed.is_empty() {
            self.entries.clear();
            self.by_end.clear();
            self.complete = false;
        }
    }
}

fn session_key(key: &[u8], end: i64, start: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 16);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&end.to_be_bytes());
    bytes.extend_from_slice(&start.to_be_bytes());
    bytes
}

fn split_session(key: &[u8]) -> Option<(&[u8], i64, i64)> {
    let (rest, start) = split_time(key)?;
    let (plain, end) = split_time(rest)?;
    Some((plain, end, start))
}

fn decode<V>(shelf: &Shelf, values: &dyn Serde<V>, stored: &[u8]) -> Result<(V, i64)> {
    let (timestamp, bytes) = unstamp(stored).ok_or_else(|| shelf.corrupt("a value without timestamp"))?;
    let value = values.deserialize(Some(bytes)).map_err(|error| shelf.serde_error("value", error))?;
    Ok((value, timestamp))
}
