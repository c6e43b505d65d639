//! The key-value store: one timestamped value per key. The state of tables and of aggregates without window.
//!
//! Byte store: `key -> ts:i64 | value`. Changelog: `key -> value`, the record's timestamp is `ts`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::weight::Weight;
use super::{Batches, Changes, KeyRange, KeyRun, Overlay, Shelf, SlotId, StateStore, Wanted, decode};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{Encoded, RawRecord, RecordBatch};

/// One timestamped value per key.
pub struct KeyValueStore<K, V> {
    shelf: Shelf,
    keys: Arc<dyn Serde<K>>,
    values: Arc<dyn Serde<V>>,
    overlay: Overlay<V>,
    /// Whether values have to be detached before they are kept.
    detach: bool,
    weight: Weight,
    /// Memory for the key that is looked up now.
    key: Vec<u8>,
    /// Memory for values on their way to the changelog.
    encoded: Encoded,
}

impl<K, V: Clone> KeyValueStore<K, V> {
    /// Opens the store on its shelf.
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn open(shelf: Shelf, keys: Arc<dyn Serde<K>>, values: Arc<dyn Serde<V>>) -> Result<Self> {
        let complete = shelf.is_empty(KeyRange::default())?;
        let detach = !values.is_owned();
        let (overlay, weight) = (Overlay::new(complete), Weight::default());
        let (key, encoded) = (Vec::new(), Encoded::default());
        Ok(Self { shelf, keys, values, overlay, detach, weight, key, encoded })
    }

    /// Writes the key's bytes to the memory for it; `false` for a null key, which has no entry.
    fn encode_key(&mut self, key: &K) -> Result<bool> {
        self.key.clear();
        self.keys.serialize(key, &mut self.key).map_err(|error| self.shelf.serde_error("key", error))
    }

    fn stored(&self, key: &[u8]) -> Result<Option<(V, i64)>> {
        if self.overlay.is_complete() {
            return Ok(None);
        }
        let Some(stored) = self.shelf.bytes.get(self.shelf.space, key)? else { return Ok(None) };
        self.weight.learn(stored.len());
        decode(&self.shelf, self.values.as_ref(), &stored).map(Some)
    }

    /// The value of `key` with its timestamp.
    ///
    /// # Errors
    /// If the key cannot be serialised or the stored value cannot be read.
    pub fn get(&mut self, key: &K) -> Result<Option<(&V, i64)>> {
        if !self.encode_key(key)? {
            return Ok(None);
        }
        let id = match self.overlay.find(&self.key) {
            Some(id) => id,
            None => match self.stored(&self.key)? {
                None => return Ok(None),
                Some((value, timestamp)) => self.overlay.load(&self.key, Some(value), timestamp),
            },
        };
        Ok(self.overlay.value(id).map(|value| (value, self.overlay.timestamp(id))))
    }

    /// Finds or makes the entry of `key`, to be read and [set](Self::set) without another look-up; `None` for a null key.
    ///
    /// # Errors
    /// As [`KeyValueStore::get`].
    pub fn slot(&mut self, key: &K) -> Result<Option<SlotId>> {
        if !self.encode_key(key)? {
            return Ok(None);
        }
        if let Some(id) = self.overlay.find(&self.key) {
            return Ok(Some(id));
        }
        let (value, timestamp) =
            self.stored(&self.key)?.map_or((None, -1), |(value, timestamp)| (Some(value), timestamp));
        Ok(Some(self.overlay.load(&self.key, value, timestamp)))
    }

    /// Finds or makes the entries of many keys.
    ///
    /// # Errors
    /// If a key cannot be serialised or a stored value cannot be read.
    pub fn slots(&mut self, keys: &[K], run: &mut KeyRun) -> Result<()> {
        self.find_all(keys, run, true)
    }

    /// Finds the entries of many keys where there are any; for a look without a change.
    ///
    /// # Errors
    /// As [`KeyValueStore::slots`].
    pub fn look_up(&mut self, keys: &[K], run: &mut KeyRun) -> Result<()> {
        self.find_all(keys, run, false)
    }

    fn find_all(&mut self, keys: &[K], run: &mut KeyRun, make: bool) -> Result<()> {
        let Self { shelf, keys: serde, values, overlay, weight, .. } = self;
        let complete = overlay.is_complete();
        overlay.find_all(&Wanted { shelf, serde: serde.as_ref(), keys }, run, |key| {
            let stored = if complete { None } else { shelf.bytes.get(shelf.space, key)? };
            match stored {
                Some(stored) => {
                    weight.learn(stored.len());
                    let (value, timestamp) = decode(shelf, values.as_ref(), &stored)?;
                    Ok(Some((Some(value), timestamp)))
                }
                None => Ok(make.then_some((None, -1))),
            }
        })
    }

    /// The value of an entry.
    #[must_use]
    pub fn value(&self, id: SlotId) -> Option<&V> {
        self.overlay.value(id)
    }

    /// The timestamp of an entry's value.
    #[must_use]
    pub fn timestamp(&self, id: SlotId) -> i64 {
        self.overlay.timestamp(id)
    }

    /// Takes the value out of an entry that is about to be set.
    pub fn take(&mut self, id: SlotId) -> Option<V> {
        self.overlay.take(id)
    }

    /// Changes an entry: `change` gets its value and timestamp and tells the new ones; `None` deletes it.
    #[inline]
    pub fn update(&mut self, id: SlotId, change: impl FnOnce(Option<V>, i64) -> (Option<V>, i64)) {
        let (detach, values) = (self.detach, &self.values);
        self.overlay.update(id, |value, timestamp| {
            let (value, timestamp) = change(value, timestamp);
            (if detach { value.map(|value| values.detach(value)) } else { value }, timestamp)
        });
    }

    /// Changes an entry; `None` deletes it.
    #[inline]
    pub fn set(&mut self, id: SlotId, value: Option<V>, timestamp: i64) {
        let value = if self.detach { value.map(|value| self.values.detach(value)) } else { value };
        self.overlay.set(id, value, timestamp);
    }

    /// All entries with their timestamps, in the order of the keys' bytes.
    ///
    /// # Errors
    /// If a stored entry cannot be read.
    pub fn all(&self) -> Result<Vec<(K, V, i64)>> {
        let mut entries = BTreeMap::new();
        let mut failed = Ok(());
        self.shelf.bytes.scan(self.shelf.space, KeyRange::default(), &mut |key, stored| {
            failed = decode(&self.shelf, self.values.as_ref(), stored).map(|(value, timestamp)| {
                entries.insert(key.to_vec(), Some((value, timestamp)));
            });
            failed.is_ok()
        })?;
        failed?;
        for entry in self.overlay.entries() {
            entries.insert(entry.key.to_vec(), entry.value.map(|value| (value.clone(), entry.timestamp)));
        }
        let live = entries
            .into_iter()
            .filter_map(|(key, value)| value.map(|(value, timestamp)| (key, value, timestamp)));
        live.map(|(key, value, timestamp)| {
            let key =
                self.keys.deserialize(Some(&key)).map_err(|error| self.shelf.serde_error("key", error))?;
            Ok((key, value, timestamp))
        })
        .collect()
    }
}

impl<K, V: Clone> StateStore for KeyValueStore<K, V> {
    fn name(&self) -> &str {
        &self.shelf.name
    }

    fn log(&mut self, changelog: &mut RecordBatch) -> Result<()> {
        let Self { shelf, values, overlay, weight, encoded, .. } = self;
        overlay.each_dirty(|entries| {
            shelf.written(values.as_ref(), entries, encoded, |entry, value| {
                weight.learn(value.map_or(0, <[u8]>::len));
                changelog.push(entry.timestamp, Some(entry.key), value, 0);
            })
        })
    }

    fn committed(&mut self) {
        self.overlay.committed();
    }

    fn unflushed(&mut self, batches: &mut Batches<'_>) -> Result<()> {
        let Self { shelf, values, overlay, .. } = self;
        for entry in overlay.unflushed() {
            shelf.put(&entry, [entry.key], values.as_ref(), &mut batches.changes)?;
            batches.split()?;
        }
        Ok(())
    }

    fn flushed(&mut self) {
        self.overlay.flushed();
    }

    fn discard(&mut self) -> Result<()> {
        self.overlay = Overlay::new(self.shelf.is_empty(KeyRange::default())?);
        Ok(())
    }

    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Changes) -> Result<()> {
        let key = record.key.ok_or_else(|| self.shelf.corrupt("a changelog record without key"))?;
        self.shelf.restore([key], record, changes);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let (entries, newest) = (self.overlay.entry_count(), self.overlay.newest());
        self.overlay.memory_bytes() + self.weight.heap(entries, newest, self.values.as_ref())
    }

    fn evict(&mut self, periods: u32) {
        self.overlay.evict(periods);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{LongSerde, Nullable, StringSerde};
    use crate::state::{MemoryBackend, StateBackend};
    use crate::topic::TaskId;

    #[test]
    fn a_null_key_has_no_entry_whichever_way_it_is_looked_for() {
        let task = TaskId { subtopology: 0, partition: 0 };
        let bytes = MemoryBackend::default().open(task).unwrap();
        let shelf = Shelf { name: "counts".to_owned(), space: 1, bytes };
        let keys: Arc<dyn Serde<Option<String>>> = Arc::new(Nullable(StringSerde));
        let mut store = KeyValueStore::open(shelf, keys, Arc::new(LongSerde)).unwrap();
        let empty = store.slot(&Some(String::new())).unwrap().unwrap();
        store.set(empty, Some(7), 1);
        assert_eq!(store.get(&Some(String::new())).unwrap(), Some((&7, 1)));
        assert_eq!(store.get(&None).unwrap(), None);
        assert_eq!(store.slot(&None).unwrap(), None);
        let mut run = KeyRun::default();
        store.slots(&[None, Some(String::new())], &mut run).unwrap();
        assert_eq!((run.slot(0), run.slot(1)), (None, Some(empty)));
    }
}
