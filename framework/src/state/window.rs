//! The window store: one timestamped value per key and window start, for tumbling and hopping windows.
//!
//! 1. In memory each window start has an overlay of its own, so a window goes as a whole when its time is over.
//! 2. Byte store: `start:i64 | key -> ts:i64 | value`, so a closing window is one range and retention another.
//! 3. Changelog, as Kafka Streams writes it: `key | start:i64 | seq:i32 (0) -> value`, the record's timestamp is `ts`.
//! 4. A window is gone when its start is older than the newest start minus the retention. It is not deleted from the
//!    changelog: that topic's own retention does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, KeyRange, KeyRun, Overlay, Shelf, SlotId, StateStore, split_time, stamp, unstamp};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{RawRecord, RecordBatch};

/// The number of a value among those of one key and window: there is only one.
const SEQUENCE: [u8; 4] = 0_i32.to_be_bytes();

/// One timestamped value per key and window start.
pub struct WindowStore<K, V> {
    shelf: Shelf,
    keys: Arc<dyn Serde<K>>,
    values: Arc<dyn Serde<V>>,
    retention_ms: i64,
    windows: BTreeMap<i64, Overlay<V>>,
    /// The newest window start seen.
    newest: i64,
    /// Windows that start before this are deleted from the byte store already.
    deleted: i64,
    /// Whether values have to be detached before they are kept.
    detach: bool,
    scratch: Vec<u8>,
}

/// An entry of a window store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowEntry<K, V> {
    /// Start of the window, inclusive.
    pub start: i64,
    /// Key.
    pub key: K,
    /// Value.
    pub value: V,
    /// Timestamp of the value.
    pub timestamp: i64,
}

impl<K, V: Clone> WindowStore<K, V> {
    /// Opens the store on its shelf; a window is kept while it starts less than `retention_ms` before the newest.
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
            detach: !values.is_owned(),
            values,
            retention_ms,
            windows: BTreeMap::new(),
            newest: -1,
            deleted: 0,
            scratch: Vec::new(),
        };
        store.discard()?;
        Ok(store)
    }

    /// Windows that start before this are gone.
    fn horizon(&self) -> i64 {
        (self.newest - self.retention_ms + 1).max(0)
    }

    /// Finds or makes the entry of `key` in the window that starts at `start`; `None` where that window is gone.
    ///
    /// # Errors
    /// If the key cannot be serialised or the stored value cannot be read.
    ///
    /// # Panics
    /// Never: the window is opened just before it is looked at.
    pub fn slot(&mut self, key: &K, start: i64) -> Result<Option<SlotId>> {
        if start < self.horizon() {
            return Ok(None);
        }
        self.scratch.clear();
        self.keys.serialize(key, &mut self.scratch).map_err(|error| self.shelf.serde_error("key", error))?;
        self.open_window(start)?;
        let Self { shelf, values, windows, scratch, .. } = self;
        let overlay = windows.get_mut(&start).expect("the window was just opened");
        if let Some(id) = overlay.find(scratch) {
            return Ok(Some(id));
        }
        load(shelf, values.as_ref(), overlay, start, scratch).map(Some)
    }

    /// Looks many keys up in one window at once; [`WindowStore::found_slot`] tells the entries.
    ///
    /// # Errors
    /// If a key cannot be serialised or the byte store not be read.
    ///
    /// # Panics
    /// Never: the window is opened just before it is looked at.
    pub fn look_up(&mut self, start: i64, keys: &[K], run: &mut KeyRun) -> Result<()> {
        run.keys_mut().clear();
        let encoded = self.keys.serialize_all(keys, run.keys_mut());
        encoded.map_err(|error| self.shelf.serde_error("key", error))?;
        self.open_window(start)?;
        self.windows.get_mut(&start).expect("the window was just opened").find_all(run);
        Ok(())
    }

    /// Finds or makes the entry of a key that was looked up in the window that starts at `start`; `None` where that
    /// window is gone, or the key is null.
    ///
    /// # Errors
    /// If the stored value cannot be read.
    #[inline]
    pub fn found_slot(&mut self, start: i64, run: &KeyRun, row: usize) -> Result<Option<SlotId>> {
        if start < self.horizon() {
            return Ok(None);
        }
        let Self { shelf, values, windows, .. } = self;
        let (Some(overlay), Some(key)) = (windows.get_mut(&start), run.key(row)) else { return Ok(None) };
        match overlay.found(run, row) {
            Some(id) => Ok(Some(id)),
            None => load(shelf, values.as_ref(), overlay, start, key).map(Some),
        }
    }

    /// Changes an entry: `change` gets its value and timestamp and tells the new ones; `None` deletes it.
    ///
    /// # Panics
    /// If `id` was not found in the window that starts at `start`.
    #[inline]
    pub fn update(
        &mut self,
        start: i64,
        id: SlotId,
        change: impl FnOnce(Option<V>, i64) -> (Option<V>, i64),
    ) {
        self.newest = self.newest.max(start);
        let overlay = self.windows.get_mut(&start).expect("the slot was found in this window");
        let timestamp = overlay.timestamp(id);
        let (value, timestamp) = change(overlay.take(id), timestamp);
        let value = if self.detach { value.map(|value| self.values.detach(value)) } else { value };
        overlay.set(id, value, timestamp);
    }

    fn open_window(&mut self, start: i64) -> Result<()> {
        if self.windows.contains_key(&start) {
            return Ok(());
        }
        let (from, to) = (start.to_be_bytes(), (start + 1).to_be_bytes());
        let complete = self.shelf.is_empty(KeyRange { from: &from, to: Some(&to) })?;
        let room = self.windows.last_key_value().map_or(0, |(_, last)| last.entry_count());
        self.windows.insert(start, Overlay::with_room(complete, room));
        Ok(())
    }

    fn overlay(&self, start: i64) -> &Overlay<V> {
        self.windows.get(&start).expect("the slot was found in this window")
    }

    /// The value of an entry.
    ///
    /// # Panics
    /// If `id` was not found in the window that starts at `start`.
    #[must_use]
    pub fn value(&self, start: i64, id: SlotId) -> Option<&V> {
        self.overlay(start).value(id)
    }

    /// The entries of the windows that start at `from..=to` and are not gone, by start, then by key bytes.
    ///
    /// # Errors
    /// If a stored entry cannot be read.
    pub fn between(&self, from: i64, to: i64) -> Result<Vec<WindowEntry<K, V>>> {
        let from = from.max(self.horizon());
        if from > to {
            return Ok(Vec::new());
        }
        let mut entries = BTreeMap::new();
        let mut failed = Ok(());
        let (first, last) = (from.to_be_bytes(), to.saturating_add(1).to_be_bytes());
        self.shelf.bytes.scan(
            self.shelf.space,
            KeyRange { from: &first, to: Some(&last) },
            &mut |key, stored| {
                failed = decode(&self.shelf, self.values.as_ref(), stored).map(|(value, timestamp)| {
                    entries.insert(key.to_vec(), Some((value, timestamp)));
                });
                failed.is_ok()
            },
        )?;
        failed?;
        for (start, overlay) in self.windows.range(from..=to) {
            for entry in overlay.entries() {
                let value = entry.value.map(|value| (value.clone(), entry.timestamp));
                entries.insert(window_key(*start, entry.key), value);
            }
        }
        let live = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
        live.map(|(stored_key, (value, timestamp))| {
            let (start, key) =
                unstamp(&stored_key).ok_or_else(|| self.shelf.corrupt("a key without window"))?;
            let key =
                self.keys.deserialize(Some(key)).map_err(|error| self.shelf.serde_error("key", error))?;
            Ok(WindowEntry { start, key, value, timestamp })
        })
        .collect()
    }

    /// All entries that are not gone, by window start, then by key bytes.
    ///
    /// # Errors
    /// If a stored entry cannot be read.
    pub fn all(&self) -> Result<Vec<WindowEntry<K, V>>> {
        self.between(0, i64::MAX - 1)
    }
}

impl<K, V: Clone> StateStore for WindowStore<K, V> {
    fn name(&self) -> &str {
        &self.shelf.name
    }

    fn log(&mut self, changelog: &mut RecordBatch) -> Result<()> {
        for (start, overlay) in &self.windows {
            let start = start.to_be_bytes();
            overlay.each_dirty(|entry| {
                let key = [entry.key, &start, &SEQUENCE];
                let written = changelog.push_with(entry.timestamp, &key, |out| match entry.value {
                    None => Ok(false),
                    Some(value) => self.values.serialize(value, out),
                });
                written.map_err(|error| self.shelf.unwritable(entry.key, error))
            })?;
        }
        Ok(())
    }

    fn committed(&mut self) {
        let horizon = self.horizon();
        self.windows = self.windows.split_off(&horizon);
        for overlay in self.windows.values_mut() {
            overlay.committed();
        }
    }

    fn unflushed(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let (space, horizon) = (self.shelf.space, self.horizon());
        if horizon > self.deleted {
            let (from, to) = (self.deleted.to_be_bytes().to_vec(), horizon.to_be_bytes().to_vec());
            changes.push(Change::DeleteRange(space, from, to));
        }
        for (start, overlay) in self.windows.range_mut(horizon..) {
            for entry in overlay.unflushed() {
                let key = window_key(*start, entry.key);
                let Some(value) = entry.value else {
                    changes.push(Change::Delete(space, key));
                    continue;
                };
                let mut stored = entry.timestamp.to_be_bytes().to_vec();
                self.values
                    .serialize(value, &mut stored)
                    .map_err(|error| self.shelf.serde_error("value", error))?;
                changes.push(Change::Put(space, key, stored));
            }
        }
        // The newest start decides what is gone; it outlives the windows themselves in the index space.
        changes.push(Change::Put(space + 1, b"newest".to_vec(), self.newest.to_be_bytes().to_vec()));
        Ok(())
    }

    fn flushed(&mut self) {
        self.deleted = self.horizon();
        for overlay in self.windows.values_mut() {
            overlay.flushed();
        }
    }

    fn discard(&mut self) -> Result<()> {
        self.windows.clear();
        let newest = self.shelf.bytes.get(self.shelf.space + 1, b"newest")?;
        self.newest = newest.and_then(|bytes| split_time(&bytes).map(|(_, time)| time)).unwrap_or(-1);
        self.deleted = 0;
        Ok(())
    }

    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Vec<Change>) -> Result<()> {
        let whole = record.key.ok_or_else(|| self.shelf.corrupt("a changelog record without key"))?;
        let parts = whole.split_last_chunk::<4>().and_then(|(rest, _)| split_time(rest));
        let (key, start) = parts.ok_or_else(|| self.shelf.corrupt("a changelog key without window"))?;
        if start > self.newest {
            self.newest = start;
            changes.push(Change::Put(self.shelf.space + 1, b"newest".to_vec(), start.to_be_bytes().to_vec()));
        }
        if start < self.horizon() {
            return Ok(());
        }
        let key = window_key(start, key);
        changes.push(match record.value {
            Some(value) => Change::Put(self.shelf.space, key, stamp(record.timestamp, value)),
            None => Change::Delete(self.shelf.space, key),
        });
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.windows.values().map(Overlay::memory_bytes).sum()
    }

    fn evict(&mut self, periods: u32) {
        for overlay in self.windows.values_mut() {
            overlay.evict(periods);
        }
        self.windows.retain(|_, overlay| overlay.entry_count() > 0);
    }
}

fn window_key(start: i64, key: &[u8]) -> Vec<u8> {
    stamp(start, key)
}

/// Adds the entry of `key`, which is not in `overlay`, with the value that is stored.
fn load<V>(
    shelf: &Shelf,
    values: &dyn Serde<V>,
    overlay: &mut Overlay<V>,
    start: i64,
    key: &[u8],
) -> Result<SlotId> {
    let (mut value, mut timestamp) = (None, -1);
    if !overlay.is_complete()
        && let Some(stored) = shelf.bytes.get(shelf.space, &window_key(start, key))?
    {
        let (stored, at) = decode(shelf, values, &stored)?;
        (value, timestamp) = (Some(stored), at);
    }
    Ok(overlay.load(key, value, timestamp))
}

fn decode<V>(shelf: &Shelf, values: &dyn Serde<V>, stored: &[u8]) -> Result<(V, i64)> {
    let (timestamp, bytes) = unstamp(stored).ok_or_else(|| shelf.corrupt("a value without timestamp"))?;
    let value = values.deserialize(Some(bytes)).map_err(|error| shelf.serde_error("value", error))?;
    Ok((value, timestamp))
}
