//! The session store: one value per key and session, a session being a span of time.
//!
//! 1. Byte store: `len(key):u32 | key | end:i64 | start:i64 -> ts:i64 | value`, so the sessions of a key are one range
//!    (behind the bare key would lie those of all keys that begin with it), and in the next space an index by time:
//!    `end | start | key -> nothing`.
//! 2. Changelog, as Kafka Streams writes it: `key | end | start -> value`.
//! 3. In memory the sessions lie under their key, by end: they are found by ranges of time, not by their exact bounds.
//! 4. A session is gone when it ended a retention or more before the newest end: no record finds it any more. It is
//!    deleted then, unless [`SessionStore::keep_from`] keeps it for someone who has yet to tell it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::session_slots::{
    Bounds, KEY_BYTES, Sessions, Slot, index_key, newest_end, session_bytes, split_index, split_session,
    stored_key, suffix,
};
use super::weight::Weight;
use super::{Batches, Changes, KeyRange, Shelf, StateStore, horizon, unstamp};
use crate::codec::{ROWS, Serde};
use crate::error::Result;
use crate::record::{Encoded, RawRecord, RecordBatch};

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

/// One value per key and session.
pub struct SessionStore<K, V> {
    shelf: Shelf,
    keys: Arc<dyn Serde<K>>,
    values: Arc<dyn Serde<V>>,
    retention_ms: i64,
    sessions: HashMap<Rc<[u8]>, Sessions<V>>,
    /// `(end, start, key)` of the live sessions in memory.
    by_end: BTreeSet<(i64, i64, Rc<[u8]>)>,
    dirty: Vec<(Rc<[u8]>, Bounds)>,
    unflushed: Vec<(Rc<[u8]>, Bounds)>,
    newest: i64,
    /// Sessions that ended at this time or later are kept, though they be gone.
    kept_from: i64,
    complete: bool,
    /// Number of the flush period.
    period: u32,
    /// Bytes in memory without what values hold.
    bytes: usize,
    weight: Weight,
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
            sessions: HashMap::new(),
            by_end: BTreeSet::new(),
            dirty: Vec::new(),
            unflushed: Vec::new(),
            newest: -1,
            kept_from: i64::MAX,
            complete: true,
            period: 0,
            bytes: 0,
            weight: Weight::default(),
            scratch: Vec::new(),
        };
        store.discard()?;
        Ok(store)
    }

    fn horizon(&self) -> i64 {
        horizon(self.newest, self.retention_ms)
    }

    /// Sessions that ended before this may be deleted.
    fn deletable_before(&self) -> i64 {
        self.horizon().min(self.kept_from)
    }

    /// Keeps the sessions that ended at `end` or later, even where they are gone, until they have been told.
    pub fn keep_from(&mut self, end: i64) {
        self.kept_from = end;
    }

    /// The sessions of `key` that end at `earliest_end` or later and start at `latest_start` or earlier, by end.
    ///
    /// # Errors
    /// If the key cannot be serialised or a stored entry cannot be read.
    pub fn find(&mut self, key: &K, earliest_end: i64, latest_start: i64) -> Result<Vec<Session<V>>> {
        let mut bounds = Vec::new();
        let key = self.find_bounds(key, (earliest_end, latest_start), &mut bounds)?;
        let Some(sessions) = self.sessions.get(&key) else { return Ok(Vec::new()) };
        let value = |(start, end): (i64, i64)| {
            let value = sessions.slots.get(&(end, start))?.value.clone()?;
            Some(Session { start, end, value })
        };
        Ok(bounds.into_iter().filter_map(value).collect())
    }

    /// As [`SessionStore::find`], for `(earliest_end, latest_start)`, without the values: `found` gets start and end of
    /// each. Returns the key's bytes, by which [`SessionStore::replace`] changes them.
    ///
    /// # Errors
    /// As [`SessionStore::find`].
    pub fn find_bounds(
        &mut self,
        key: &K,
        (earliest_end, latest_start): (i64, i64),
        found: &mut Vec<(i64, i64)>,
    ) -> Result<Rc<[u8]>> {
        let from = earliest_end.max(self.horizon());
        let key = self.enter(key)?;
        self.load(&key, from)?;
        found.clear();
        let sessions = &self.sessions[&key];
        for ((end, start), slot) in sessions.slots.range((from, i64::MIN)..) {
            if slot.value.is_some() && *start <= latest_start {
                found.push((*start, *end));
            }
        }
        Ok(key)
    }

    /// Makes a place for the sessions of `key`; returns its bytes.
    fn enter(&mut self, key: &K) -> Result<Rc<[u8]>> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let written = self.keys.serialize(key, &mut scratch);
        let entered = written.map(|_| self.enter_bytes(&scratch));
        self.scratch = scratch;
        entered.map_err(|error| self.shelf.serde_error("key", error))
    }

    fn enter_bytes(&mut self, key: &[u8]) -> Rc<[u8]> {
        if let Some(sessions) = self.sessions.get_mut(key) {
            sessions.used = self.period;
            return Rc::clone(&sessions.key);
        }
        let key: Rc<[u8]> = key.into();
        let loaded_from = if self.complete { i64::MIN } else { i64::MAX };
        let (slots, used) = (BTreeMap::new(), self.period);
        let sessions = Sessions { key: Rc::clone(&key), slots, loaded_from, unsaved: 0, used };
        self.bytes += KEY_BYTES + key.len();
        self.sessions.insert(Rc::clone(&key), sessions);
        key
    }

    /// Loads the sessions of `key` that end at `from` or later, where memory does not have them.
    fn load(&mut self, key: &Rc<[u8]>, from: i64) -> Result<()> {
        let Some(sessions) = self.sessions.get_mut(key) else { return Ok(()) };
        let to = sessions.loaded_from;
        if to <= from {
            return Ok(());
        }
        // Those that end with time itself come behind every bound.
        let last =
            if to == i64::MAX { stored_key(key, (i64::MAX, i64::MAX)) } else { stored_key(key, (to, 0)) };
        let range = KeyRange { from: &stored_key(key, (from, 0)), to: Some(&last) };
        let mut stored = Vec::new();
        self.shelf.bytes.scan(self.shelf.space, range, &mut |key, value| {
            stored.push((key.to_vec(), value.to_vec()));
            true
        })?;
        if to == i64::MAX
            && let Some(value) = self.shelf.bytes.get(self.shelf.space, &last)?
        {
            stored.push((last, value));
        }
        for (stored_key, bytes) in stored {
            let (_, end, start) =
                split_session(&stored_key).ok_or_else(|| self.shelf.corrupt("a key without session"))?;
            self.insert_clean(key, (end, start), &bytes)?;
        }
        if let Some(sessions) = self.sessions.get_mut(key) {
            sessions.loaded_from = from;
        }
        Ok(())
    }

    /// Adds a session as the byte store has it, unless memory knows better.
    fn insert_clean(&mut self, key: &Rc<[u8]>, (end, start): Bounds, stored: &[u8]) -> Result<()> {
        let Some(sessions) = self.sessions.get_mut(key) else { return Ok(()) };
        if sessions.slots.contains_key(&(end, start)) {
            return Ok(());
        }
        let (timestamp, bytes) =
            unstamp(stored).ok_or_else(|| self.shelf.corrupt("a value without timestamp"))?;
        let value =
            self.values.deserialize(Some(bytes)).map_err(|error| self.shelf.serde_error("value", error))?;
        self.weight.learn(bytes.len());
        self.bytes += session_bytes::<V>();
        let slot = Slot { value: Some(value), timestamp, dirty: false, unflushed: false };
        sessions.slots.insert((end, start), slot);
        self.by_end.insert((end, start, Rc::clone(key)));
        Ok(())
    }

    /// As [`SessionStore::put`], for a key's bytes that [`SessionStore::find_bounds`] told; returns the value before.
    pub fn replace(
        &mut self,
        key: &Rc<[u8]>,
        (start, end): (i64, i64),
        value: Option<V>,
        timestamp: i64,
    ) -> Option<V> {
        self.set(key, (end, start), value, timestamp)
    }

    /// Writes (or with `None` removes) the session of `key` with these bounds, start and end.
    ///
    /// # Errors
    /// If the key cannot be serialised.
    pub fn put(&mut self, key: &K, (start, end): (i64, i64), value: Option<V>, timestamp: i64) -> Result<()> {
        let key = self.enter(key)?;
        self.set(&key, (end, start), value, timestamp);
        Ok(())
    }

    /// Changes a session and makes it dirty; returns the value before.
    fn set(&mut self, key: &Rc<[u8]>, bounds: Bounds, value: Option<V>, timestamp: i64) -> Option<V> {
        self.newest = self.newest.max(bounds.0);
        let sessions = self.sessions.get_mut(key)?;
        let slot = sessions.slots.entry(bounds).or_insert_with(|| {
            self.bytes += session_bytes::<V>();
            Slot { value: None, timestamp, dirty: false, unflushed: false }
        });
        if slot.value.is_some() != value.is_some() {
            let entry = (bounds.0, bounds.1, Rc::clone(key));
            if value.is_some() {
                self.by_end.insert(entry);
            } else {
                self.by_end.remove(&entry);
            }
        }
        let value = value.map(|value| self.values.detach(value));
        let before = std::mem::replace(&mut slot.value, value);
        slot.timestamp = timestamp;
        if !slot.dirty {
            slot.dirty = true;
            sessions.unsaved += usize::from(!slot.unflushed);
            self.dirty.push((Rc::clone(key), bounds));
        }
        before
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
        let first = (from, i64::MIN, Rc::default());
        for (end, start, plain) in self.by_end.range(first..).take_while(|(end, ..)| *end <= to) {
            let slot = self.slot(plain, (*end, *start));
            let value = slot.and_then(|slot| slot.value.clone());
            let value = value.ok_or_else(|| self.shelf.corrupt("an index entry without session"))?;
            let key =
                self.keys.deserialize(Some(plain)).map_err(|error| self.shelf.serde_error("key", error))?;
            found.push((key, Session { start: *start, end: *end, value }));
        }
        Ok(found)
    }

    fn slot(&self, key: &[u8], bounds: Bounds) -> Option<&Slot<V>> {
        self.sessions.get(key)?.slots.get(&bounds)
    }

    fn load_ended(&mut self, from: i64, to: i64) -> Result<()> {
        if self.complete {
            return Ok(());
        }
        let mut index = Vec::new();
        let range = KeyRange { from: &from.to_be_bytes(), to: None };
        self.shelf.bytes.scan(self.shelf.space + 1, range, &mut |entry, _| {
            let within = unstamp(entry).is_none_or(|(end, _)| end <= to);
            if within {
                index.push(entry.to_vec());
            }
            within
        })?;
        for entry in index {
            let (end, start, plain) =
                split_index(&entry).ok_or_else(|| self.shelf.corrupt("a broken index entry"))?;
            if self.slot(plain, (end, start)).is_some() {
                continue;
            }
            if let Some(stored) = self.shelf.bytes.get(self.shelf.space, &stored_key(plain, (end, start)))? {
                let key = self.enter_bytes(plain);
                self.insert_clean(&key, (end, start), &stored)?;
            }
        }
        Ok(())
    }

    /// All sessions that are not gone, by end, start, then key bytes.
    ///
    /// # Errors
    /// If a stored entry cannot be read.
    pub fn all(&mut self) -> Result<Vec<(K, Session<V>)>> {
        self.ended(self.horizon(), i64::MAX)
    }

    /// The committed sessions that the byte store does not have yet.
    fn changed(&self, batches: &mut Batches<'_>) -> Result<()> {
        for (key, bounds) in &self.unflushed {
            let slot = self.slot(key, *bounds).expect("an unflushed session stays in memory");
            let (entry, changes) = (slot.entry(key), &mut batches.changes);
            self.shelf.put(&entry, [&stored_key(key, *bounds)], self.values.as_ref(), changes)?;
            let (space, index) = (self.shelf.space + 1, index_key(key, *bounds));
            match entry.value {
                Some(_) => changes.put(space, [&index], []),
                None => changes.delete(space, [&index]),
            }
            batches.split()?;
        }
        Ok(())
    }

    /// The sessions that are deleted because they are gone, in the byte store and in memory.
    fn deletable(&self, batches: &mut Batches<'_>) -> Result<()> {
        let before = self.deletable_before();
        let mut gone = Vec::new();
        let range = KeyRange { from: &[], to: Some(&before.to_be_bytes()) };
        self.shelf.bytes.scan(self.shelf.space + 1, range, &mut |entry, _| {
            gone.push(entry.to_vec());
            true
        })?;
        let in_memory = self.by_end.iter().take_while(|(end, ..)| *end < before);
        gone.extend(in_memory.map(|(end, start, key)| index_key(key, (*end, *start))));
        for entry in gone {
            let (end, start, key) =
                split_index(&entry).ok_or_else(|| self.shelf.corrupt("a broken index entry"))?;
            batches.changes.delete(self.shelf.space, [&stored_key(key, (end, start))]);
            batches.changes.delete(self.shelf.space + 1, [&entry]);
            batches.split()?;
        }
        Ok(())
    }

    fn forget(&mut self, key: &[u8], bounds: Bounds) {
        let Some(sessions) = self.sessions.get_mut(key) else { return };
        if sessions.slots.remove(&bounds).is_some() {
            self.bytes -= session_bytes::<V>();
        }
        if sessions.slots.is_empty() {
            self.bytes -= KEY_BYTES + key.len();
            self.sessions.remove(key);
        }
    }
}

impl<K, V: Clone> StateStore for SessionStore<K, V> {
    fn name(&self) -> &str {
        &self.shelf.name
    }

    fn log(&mut self, changelog: &mut RecordBatch) -> Result<()> {
        let mut encoded = Encoded::default();
        for run in self.dirty.chunks(ROWS) {
            let slots = run.iter().map(|(key, bounds)| (key, self.slot(key, *bounds)));
            let entries: Vec<_> =
                slots.map(|(key, slot)| slot.expect("a dirty session stays in memory").entry(key)).collect();
            let mut bounds = run.iter().map(|(_, bounds)| suffix(*bounds));
            self.shelf.written(self.values.as_ref(), &entries, &mut encoded, |entry, value| {
                let suffix = bounds.next().expect("each entry has its bounds");
                self.weight.learn(value.map_or(0, <[u8]>::len));
                changelog.push_parts(entry.timestamp, [entry.key, &suffix], value);
            })?;
        }
        Ok(())
    }

    fn committed(&mut self) {
        for (key, bounds) in std::mem::take(&mut self.dirty) {
            let sessions = self.sessions.get_mut(&key);
            let slot = sessions.and_then(|sessions| sessions.slots.get_mut(&bounds));
            let slot = slot.expect("a dirty session stays in memory");
            slot.dirty = false;
            if !std::mem::replace(&mut slot.unflushed, true) {
                self.unflushed.push((key, bounds));
            }
        }
    }

    fn unflushed(&mut self, batches: &mut Batches<'_>) -> Result<()> {
        assert!(self.dirty.is_empty(), "flushed while a transaction is open");
        self.changed(batches)?;
        self.deletable(batches)
    }

    fn flushed(&mut self) {
        for (key, bounds) in std::mem::take(&mut self.unflushed) {
            let sessions = self.sessions.get_mut(&key).expect("an unflushed session stays in memory");
            sessions.unsaved -= 1;
            let slot = sessions.slots.get_mut(&bounds).expect("an unflushed session stays in memory");
            slot.unflushed = false;
            if slot.value.is_none() {
                self.forget(&key, bounds);
            }
        }
        let before = self.deletable_before();
        while self.by_end.first().is_some_and(|(end, ..)| *end < before)
            && let Some((end, start, key)) = self.by_end.pop_first()
        {
            self.forget(&key, (end, start));
        }
        self.period = self.period.wrapping_add(1);
    }

    fn discard(&mut self) -> Result<()> {
        self.sessions.clear();
        self.by_end.clear();
        self.dirty.clear();
        self.unflushed.clear();
        self.bytes = 0;
        self.complete = self.shelf.is_empty(KeyRange::default())?;
        // What was told since the last commit has to be told again.
        if self.kept_from != i64::MAX {
            self.kept_from = 0;
        }
        self.newest = newest_end(self.shelf.bytes.as_ref(), self.shelf.space + 1)?;
        Ok(())
    }

    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Changes) -> Result<()> {
        let key = record.key.ok_or_else(|| self.shelf.corrupt("a changelog record without key"))?;
        let (plain, end, start) =
            split_session(key).ok_or_else(|| self.shelf.corrupt("a changelog key without session"))?;
        let (entry, index) = (stored_key(plain, (end, start)), index_key(plain, (end, start)));
        self.newest = self.newest.max(end);
        self.complete = false;
        self.shelf.restore([&entry], record, changes);
        match record.value {
            Some(_) => changes.put(self.shelf.space + 1, [&index], []),
            None => changes.delete(self.shelf.space + 1, [&index]),
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let newest =
            self.dirty.iter().rev().filter_map(|(key, bounds)| self.slot(key, *bounds)?.value.as_ref());
        self.bytes + self.weight.heap(self.by_end.len(), newest, self.values.as_ref())
    }

    fn evict(&mut self, periods: u32) {
        let (period, mut dropped) = (self.period, Vec::new());
        self.sessions.retain(|_, sessions| {
            let stays = sessions.unsaved > 0 || period.wrapping_sub(sessions.used) < periods;
            if !stays {
                let slots = std::mem::take(&mut sessions.slots);
                dropped.push((Rc::clone(&sessions.key), slots));
            }
            stays
        });
        self.complete &= dropped.is_empty();
        for (key, slots) in dropped {
            self.bytes -= KEY_BYTES + key.len() + slots.len() * session_bytes::<V>();
            for ((end, start), _) in slots {
                self.by_end.remove(&(end, start, Rc::clone(&key)));
            }
        }
    }
}
