//! The window store: one timestamped value per key and window start, for tumbling and hopping windows.
//!
//! 1. In memory each window start has an overlay of its own, so a window goes as a whole when its time is over.
//! 2. Byte store: `start:i64 | key -> ts:i64 | value`, so a closing window is one range and retention another.
//! 3. Changelog, as Kafka Streams writes it: `key | start:i64 | seq:i32 (0) -> value`, the record's timestamp is `ts`.
//! 4. A window is gone when its start is older than the newest start minus the retention: it takes no record any more.
//!    It is dropped then, unless [`WindowStore::keep_from`] keeps it for someone who has yet to tell it. It is not
//!    deleted from the changelog: that topic's own retention does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::weight::Weight;
use super::{
    Batches, Change, Changes, KeyRange, KeyRun, Overlay, Shelf, SlotId, StateStore, Wanted, decode, horizon,
    split_time, unstamp,
};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{Encoded, RawRecord, RecordBatch};

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
    /// Windows that start at this time or later are kept, though they be gone.
    kept_from: i64,
    /// Whether values have to be detached before they are kept.
    detach: bool,
    run: KeyRun,
    /// Memory for values on their way to the changelog.
    encoded: Encoded,
    weight: Weight,
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
            kept_from: i64::MAX,
            run: KeyRun::default(),
            encoded: Encoded::default(),
            weight: Weight::default(),
        };
        store.discard()?;
        Ok(store)
    }

    /// Windows that start before this are gone.
    #[must_use]
    pub fn horizon(&self) -> i64 {
        horizon(self.newest, self.retention_ms)
    }

    /// Windows that start before this may be dropped.
    fn droppable_before(&self) -> i64 {
        self.horizon().min(self.kept_from)
    }

    /// Keeps the windows that start at `start` or later, even where they are gone, until they have been told.
    pub fn keep_from(&mut self, start: i64) {
        self.kept_from = start;
    }

    /// Finds or makes the entry of `key` in the window that starts at `start`; `None` where that window is gone.
    ///
    /// # Errors
    /// If the key cannot be serialised or the stored value cannot be read.
    pub fn slot(&mut self, key: &K, start: i64) -> Result<Option<SlotId>> {
        let mut run = std::mem::take(&mut self.run);
        let found = self.slots(std::slice::from_ref(key), start, &mut run);
        let slot = if matches!(found, Ok(true)) { run.slot(0) } else { None };
        self.run = run;
        found.map(|_| slot)
    }

    /// Finds or makes the entries of many keys in one window; `false` where that window is gone.
    ///
    /// # Errors
    /// If a key cannot be serialised or a stored value cannot be read.
    ///
    /// # Panics
    /// Never: the window is opened just before it is looked at.
    pub fn slots(&mut self, keys: &[K], start: i64, run: &mut KeyRun) -> Result<bool> {
        if start < self.horizon() {
            return Ok(false);
        }
        self.open_window(start)?;
        let Self { shelf, keys: serde, values, windows, weight, .. } = self;
        let overlay = windows.get_mut(&start).expect("the window was just opened");
        let complete = overlay.is_complete();
        let found = overlay.find_all(&Wanted { shelf, serde: serde.as_ref(), keys }, run, |key| {
            let stored =
                if complete { None } else { shelf.bytes.get(shelf.space, &window_key(start, key))? };
            let (value, timestamp) = match stored {
                Some(stored) => {
                    weight.learn(stored.len());
                    decode(shelf, values.as_ref(), &stored).map(|(value, time)| (Some(value), time))?
                }
                None => (None, -1),
            };
            Ok(Some((value, timestamp)))
        });
        found.map(|()| true)
    }

    /// Changes entries of one window, one after the other: `change` gets a value and its timestamp and tells the new
    /// ones; `None` deletes it.
    ///
    /// # Panics
    /// If a slot was not found in the window that starts at `start`.
    #[inline]
    pub fn update(
        &mut self,
        start: i64,
        slots: impl Iterator<Item = SlotId>,
        mut change: impl FnMut(Option<V>, i64) -> (Option<V>, i64),
    ) {
        self.newest = self.newest.max(start);
        let overlay = self.windows.get_mut(&start).expect("the slot was found in this window");
        let (detach, values) = (self.detach, &self.values);
        for slot in slots {
            overlay.update(slot, |value, timestamp| {
                let (value, timestamp) = change(value, timestamp);
                (if detach { value.map(|value| values.detach(value)) } else { value }, timestamp)
            });
        }
    }

    fn open_window(&mut self, start: i64) -> Result<()> {
        if self.windows.contains_key(&start) {
            return Ok(());
        }
        let (from, to) = (start.to_be_bytes(), after(start));
        let to = to.as_ref().map(<[u8; 8]>::as_slice);
        let complete = self.shelf.is_empty(KeyRange { from: &from, to })?;
        // A window that follows will hold as many keys as the one before; one that is behind only what came late.
        let last = self.windows.last_key_value().filter(|(last, _)| **last < start);
        let room = last.map_or(0, |(_, last)| last.entry_count());
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
        self.kept(from.max(self.horizon()), to)
    }

    /// As [`WindowStore::between`], with those that are gone and not dropped.
    ///
    /// # Errors
    /// If a stored entry cannot be read.
    pub fn kept(&self, from: i64, to: i64) -> Result<Vec<WindowEntry<K, V>>> {
        if from > to {
            return Ok(Vec::new());
        }
        let mut entries = BTreeMap::new();
        let mut failed = Ok(());
        let (first, last) = (from.to_be_bytes(), after(to));
        let range = KeyRange { from: &first, to: last.as_ref().map(<[u8; 8]>::as_slice) };
        self.shelf.bytes.scan(self.shelf.space, range, &mut |key, stored| {
            failed = decode(&self.shelf, self.values.as_ref(), stored).map(|(value, timestamp)| {
                entries.insert(key.to_vec(), Some((value, timestamp)));
            });
            failed.is_ok()
        })?;
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
        self.between(0, i64::MAX)
    }
}

impl<K, V: Clone> StateStore for WindowStore<K, V> {
    fn name(&self) -> &str {
        &self.shelf.name
    }

    fn log(&mut self, changelog: &mut RecordBatch) -> Result<()> {
        let Self { shelf, values, weight, windows, encoded, .. } = self;
        for (start, overlay) in windows {
            let suffix = suffix(*start);
            overlay.each_dirty(|entries| {
                shelf.written(values.as_ref(), entries, encoded, |entry, value| {
                    weight.learn(value.map_or(0, <[u8]>::len));
                    changelog.push_parts(entry.timestamp, [entry.key, &suffix], value);
                })
            })?;
        }
        Ok(())
    }

    fn committed(&mut self) {
        let first = self.droppable_before();
        self.windows = self.windows.split_off(&first);
        for overlay in self.windows.values_mut() {
            overlay.committed();
        }
    }

    fn unflushed(&mut self, batches: &mut Batches<'_>) -> Result<()> {
        let first = self.droppable_before();
        let Self { shelf, values, windows, .. } = self;
        if first > self.deleted {
            let (from, to) = (self.deleted.to_be_bytes(), first.to_be_bytes());
            batches.changes.push(Change::DeleteRange(shelf.space, &from, &to));
        }
        for (start, overlay) in windows.range_mut(first..) {
            let start = start.to_be_bytes();
            for entry in overlay.unflushed() {
                shelf.put(&entry, [&start, entry.key], values.as_ref(), &mut batches.changes)?;
                batches.split()?;
            }
        }
        // The newest start decides what is gone; it outlives the windows themselves in the index space.
        batches.changes.put(shelf.space + 1, [b"newest"], [&self.newest.to_be_bytes()]);
        Ok(())
    }

    fn flushed(&mut self) {
        self.deleted = self.deleted.max(self.droppable_before());
        for overlay in self.windows.values_mut() {
            overlay.flushed();
        }
    }

    fn discard(&mut self) -> Result<()> {
        self.windows.clear();
        let newest = self.shelf.bytes.get(self.shelf.space + 1, b"newest")?;
        self.newest = newest.and_then(|bytes| split_time(&bytes).map(|(_, time)| time)).unwrap_or(-1);
        self.deleted = 0;
        // What was told since the last commit has to be told again.
        if self.kept_from != i64::MAX {
            self.kept_from = 0;
        }
        Ok(())
    }

    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Changes) -> Result<()> {
        let whole = record.key.ok_or_else(|| self.shelf.corrupt("a changelog record without key"))?;
        let parts = whole.split_last_chunk::<4>().and_then(|(rest, _)| split_time(rest));
        let (key, start) = parts.ok_or_else(|| self.shelf.corrupt("a changelog key without window"))?;
        if start > self.newest {
            self.newest = start;
            changes.put(self.shelf.space + 1, [b"newest"], [&start.to_be_bytes()]);
        }
        if start < self.droppable_before() {
            return Ok(());
        }
        self.shelf.restore([&start.to_be_bytes(), key], record, changes);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let entries = self.windows.values().map(Overlay::entry_count).sum();
        let newest = self.windows.values().rev().flat_map(Overlay::newest);
        let bytes: usize = self.windows.values().map(Overlay::memory_bytes).sum();
        bytes + self.weight.heap(entries, newest, self.values.as_ref())
    }

    fn evict(&mut self, periods: u32) {
        for overlay in self.windows.values_mut() {
            overlay.evict(periods);
        }
        self.windows.retain(|_, overlay| overlay.entry_count() > 0);
    }
}

/// Where the entries of the windows that start at `start` or before end; `None`: nothing comes behind them.
fn after(start: i64) -> Option<[u8; 8]> {
    start.checked_add(1).map(i64::to_be_bytes)
}

/// What follows the key in the changelog: the start, and the number 0 among the values of one key and window, of which
/// there is only one.
fn suffix(start: i64) -> [u8; 12] {
    let mut suffix = [0; 12];
    suffix[..8].copy_from_slice(&start.to_be_bytes());
    suffix
}

fn window_key(start: i64, key: &[u8]) -> Vec<u8> {
    [&start.to_be_bytes(), key].concat()
}
