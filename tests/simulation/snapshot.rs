//! Snapshot: what the byte stores of an instance held at some moment, to be compared with the changelogs.

use std::collections::{BTreeMap, BTreeSet};

use headwater::state::{KeyRange, META};
use headwater::task::Rebuild;
use headwater::topology::{Plan, StoreKind, StorePlan};
use headwater::{Result, TaskId};
use headwater_broker::broker::{OwnedRecord, RecordState};

use crate::case::{Case, Wrong};
use crate::instance::Instance;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The bytes of a store.
#[derive(Clone, Debug)]
struct Stored {
    task: TaskId,
    store: StorePlan,
    /// The next changelog offset to restore, by the byte store's own account.
    offset: Option<i64>,
    /// It may be ahead of the offset, but not of this one: a flush was cut off there.
    cut: i64,
    rows: Rows,
}

/// The byte stores of an instance at some moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Whose, and when.
    pub(crate) title: String,
    stores: Vec<Stored>,
}

impl Snapshot {
    /// Reads what the byte stores hold; not those whose offsets were spoilt.
    pub(crate) fn take(title: String, instance: &Instance, plan: &Plan, partitions: i32) -> Result<Self> {
        let mut stores = Vec::new();
        for part in &plan.subtopologies {
            for partition in 0..partitions {
                let task = TaskId { subtopology: part.id, partition };
                if instance.spoilt.get(&task) == Some(&Rebuild::OffsetOutOfRange) {
                    continue;
                }
                let bytes = instance.backend.look_at(task);
                for (store, index) in part.stores.iter().zip(0..) {
                    let key = format!("offset/{}", store.changelog);
                    let offset = bytes.get(META, key.as_bytes())?;
                    let offset = offset.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
                    let cut = instance.cut.get(&(store.changelog.to_string(), partition)).copied();
                    let mut rows = Rows::new();
                    bytes.scan(1 + 2 * index, KeyRange::default(), &mut |key, value| {
                        rows.insert(key.to_vec(), value.to_vec());
                        true
                    })?;
                    stores.push(Stored { task, store: store.clone(), offset, cut: cut.unwrap_or(0), rows });
                }
            }
        }
        Ok(Self { title, stores })
    }

    /// Each store holds what its changelog says up to its offset, and nothing else; where a flush was cut off, a key may be
    /// as the changelog says behind that. `log` tells all records of a changelog's partition, at a time when every
    /// transaction is decided.
    pub(crate) fn check(
        &self,
        case: &dyn Case,
        compacted: bool,
        log: &mut dyn FnMut(&str, i32) -> Vec<OwnedRecord>,
    ) -> std::result::Result<(), Wrong> {
        for stored in &self.stores {
            let place = format!("{}, task {}, store {}", self.title, stored.task, stored.store.name);
            let records = log(&stored.store.changelog, stored.task.partition);
            let end = records.last().map_or(0, |record| record.offset + 1);
            let offset = stored.offset.unwrap_or(0);
            if offset > end {
                return Err(format!("{place}: offset {offset} is behind the end of the changelog ({end})"));
            }
            let kind = case.store(&stored.store.name);
            let (rows, told) = fold(kind, &records, offset);
            let ahead = records.iter().filter(|record| (offset..stored.cut).contains(&record.offset));
            let ahead: BTreeSet<_> = ahead.filter_map(|record| change(kind, record)).collect();
            // The record that told of the newest may have been compacted away; its row is still stored.
            let keys = stored.rows.keys().chain(ahead.iter().map(|(key, _)| key));
            let newest = keys.map(|key| time_of(kind, key)).fold(told, i64::max);
            let oldest = match kind {
                StoreKind::Window(retention_ms) | StoreKind::Session(retention_ms) => {
                    newest - retention_ms + 1
                }
                _ => i64::MIN,
            };
            // What is told again later may have been compacted away below the offset.
            let later = records.iter().filter(|record| compacted && record.offset >= offset);
            let later: BTreeSet<_> = later.map(|record| store_key(kind, record)).collect();
            let is_live = |key: &[u8]| time_of(kind, key) >= oldest && !later.contains(key);
            for key in rows.keys().chain(stored.rows.keys()).filter(|key| is_live(key)) {
                let (is, should) = (stored.rows.get(key), rows.get(key));
                if is != should && !ahead.contains(&(key.clone(), is.cloned())) {
                    let show = |row: Option<&Vec<u8>>| row.map_or("absent".to_owned(), |row| show_row(row));
                    return Err(format!(
                        "{place}: `{}` is {}, its changelog up to offset {offset} says {}",
                        key.escape_ascii(),
                        show(is),
                        show(should)
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What a store must hold after the committed records below `offset`; and the newest time among their keys.
fn fold(kind: StoreKind, records: &[OwnedRecord], offset: i64) -> (Rows, i64) {
    let mut rows = Rows::new();
    let mut newest = -1;
    for record in records {
        let Some((key, row)) = change(kind, record).filter(|_| record.offset < offset) else { continue };
        newest = newest.max(time_of(kind, &key));
        match row {
            Some(row) => rows.insert(key, row),
            None => rows.remove(&key),
        };
    }
    (rows, newest)
}

/// What a committed record of a changelog says: a key of the store, and its row.
fn change(kind: StoreKind, record: &OwnedRecord) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let row = record.value.as_ref().map(|value| [record.timestamp.to_be_bytes().as_slice(), value].concat());
    (record.state == RecordState::Committed).then(|| (store_key(kind, record), row))
}

/// The key of a changelog's record in its store.
fn store_key(kind: StoreKind, record: &OwnedRecord) -> Vec<u8> {
    let mut key = record.key.as_deref().unwrap_or_default().to_vec();
    if let StoreKind::Window(_) = kind {
        // `key | start | seq` in the changelog, `start | key` in the store.
        key.truncate(key.len().saturating_sub(4));
        let width = key.len().min(8);
        key.rotate_right(width);
    }
    if let StoreKind::Session(_) = kind {
        // `key | end | start` in the changelog, behind the key's length in the store.
        let len = u32::try_from(key.len().saturating_sub(16)).unwrap_or(u32::MAX);
        key.splice(..0, len.to_be_bytes());
    }
    key
}

/// The time by which a key of a store goes: a window's start, a session's end.
fn time_of(kind: StoreKind, key: &[u8]) -> i64 {
    let bytes = match kind {
        StoreKind::Window(_) => key.first_chunk::<8>(),
        StoreKind::Session(_) => key.split_last_chunk::<8>().and_then(|(rest, _)| rest.last_chunk::<8>()),
        _ => None,
    };
    bytes.map_or(0, |time| i64::from_be_bytes(*time))
}

/// A row is `timestamp | value`.
fn show_row(row: &[u8]) -> String {
    let Some((timestamp, value)) = row.split_first_chunk::<8>() else { return format!("{row:?}") };
    let timestamp = i64::from_be_bytes(*timestamp);
    match <[u8; 8]>::try_from(value) {
        Ok(number) => format!("{}@{timestamp}", i64::from_be_bytes(number)),
        Err(_) => format!("{}@{timestamp}", value.escape_ascii()),
    }
}
