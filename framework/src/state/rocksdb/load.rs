//! Changes in the order of their keys: how many of them get into the database at once.
//!
//! 1. A few are a batch. Sorted they are written faster than as they come, since the memtable is a sorted list.
//! 2. Many, as of a restore, become a file of the database of their own, which costs a fraction of that. It comes in as a
//!    whole, its changelog offset with it, and is on disk then: a crash goes on behind it.
//! 3. Of several changes of a key the last one holds.

use std::cmp::Ordering;

use rocksdb::{IngestExternalFileOptions, SstFileWriter, WriteBatch};

use super::database::Database;
use super::keys;
use crate::error::Result;
use crate::state::{Change, Space};
use crate::topic::TaskId;

/// What a range of changes turns into.
pub(super) fn batch(task: TaskId, changes: &[Change]) -> WriteBatch {
    let room: usize = changes.iter().map(|change| size(change) + keys::PREFIX + BATCH_ENTRY).sum();
    let mut batch = WriteBatch::with_capacity_bytes(room);
    let mut whole = Vec::new();
    for change in in_order(changes) {
        keys::write(task, space_of(change), key_of(change), &mut whole);
        match change {
            Change::Put(_, _, value) => batch.put(&whole, value),
            Change::Delete(..) => batch.delete(&whole),
            Change::DeleteRange(space, from, to) if from < to => {
                batch.delete_range(&whole, &keys::key(task, *space, to));
            }
            Change::DeleteRange(..) => {}
        }
    }
    batch
}

/// Kind and two lengths, in the form that RocksDB gives batches.
const BATCH_ENTRY: usize = 8;

/// Brings changes, none of them a [`Change::DeleteRange`], into the database as a file.
pub(super) fn ingest(database: &Database, task: TaskId, changes: &[Change]) -> Result<()> {
    let number = database.loads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = database.load.join(format!("{number}.sst"));
    let ingested = write_file(database, task, &path, changes).and_then(|()| {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        database.db.ingest_external_file_opts(&options, vec![&path])
    });
    if ingested.is_err() {
        // What stays here is deleted with the next start.
        let _ = std::fs::remove_file(&path);
    }
    ingested.map_err(|error| database.failed("cannot restore", error))
}

fn write_file(
    database: &Database,
    task: TaskId,
    path: &std::path::Path,
    changes: &[Change],
) -> std::result::Result<(), rocksdb::Error> {
    let mut file = SstFileWriter::create(&database.tuning.options);
    file.open(path)?;
    let mut whole = Vec::new();
    for change in sorted(changes) {
        keys::write(task, space_of(change), key_of(change), &mut whole);
        match change {
            Change::Put(_, _, value) => file.put(&whole, value)?,
            _ => file.delete(&whole)?,
        }
    }
    file.finish()
}

/// Bytes of a change.
pub(super) fn size(change: &Change) -> usize {
    match change {
        Change::Put(_, one, other) | Change::DeleteRange(_, one, other) => one.len() + other.len(),
        Change::Delete(_, key) => key.len(),
    }
}

/// The changes in an order in which they may be applied, sorted where that pays.
fn in_order(changes: &[Change]) -> Vec<&Change> {
    // A flush is sorted by store already, but for the few entries about the task itself: to sort it costs more than
    // it saves. A change of a range must stay behind those before it.
    let ranges = changes.iter().any(|change| matches!(change, Change::DeleteRange(..)));
    let steps_back = changes.windows(2).filter(|pair| place(&pair[0]) > place(&pair[1])).count();
    if ranges || steps_back < changes.len() / SORT_FROM {
        return changes.iter().collect();
    }
    sorted(changes).collect()
}

/// Changes are sorted where more than one in so many is smaller than the one before.
const SORT_FROM: usize = 16;

/// The last change of each key, by key.
fn sorted(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let mut order: Vec<Place> =
        (0..).zip(changes).map(|(number, change)| Place::new(number, change)).collect();
    order.sort_unstable_by(|one, other| {
        one.head.cmp(&other.head).then_with(|| tie(changes, one, other)).then(one.number.cmp(&other.number))
    });
    let mut last = Vec::with_capacity(order.len());
    for (at, this) in order.iter().enumerate() {
        let again = order
            .get(at + 1)
            .is_some_and(|next| next.head == this.head && tie(changes, next, this) == Ordering::Equal);
        if !again {
            last.push(&changes[this.number as usize]);
        }
    }
    last.into_iter()
}

/// Where a change belongs; most are told apart without a look at their keys, which would be a wait for memory each.
struct Place {
    /// The space, and the first bytes of the key.
    head: (Space, u128),
    number: u32,
}

impl Place {
    fn new(number: u32, change: &Change) -> Self {
        let key = key_of(change);
        let mut head = [0; 16];
        let len = key.len().min(head.len());
        head[..len].copy_from_slice(&key[..len]);
        Self { head: (space_of(change), u128::from_be_bytes(head)), number }
    }
}

/// The order of two changes that begin alike.
fn tie(changes: &[Change], one: &Place, other: &Place) -> Ordering {
    key_of(&changes[one.number as usize]).cmp(key_of(&changes[other.number as usize]))
}

fn place(change: &Change) -> (Space, &[u8]) {
    (space_of(change), key_of(change))
}

fn space_of(change: &Change) -> Space {
    match change {
        Change::Put(space, ..) | Change::Delete(space, _) | Change::DeleteRange(space, ..) => *space,
    }
}

fn key_of(change: &Change) -> &[u8] {
    match change {
        Change::Put(_, key, _) | Change::Delete(_, key) | Change::DeleteRange(_, key, _) => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_each_key_is_left_by_key() {
        let put = |space, key: &[u8], value: u8| Change::Put(space, key.to_vec(), vec![value]);
        let long = b"a key that is longer than its head";
        let longer = b"a key that is longer than its head too";
        let changes = [
            put(1, longer, 0),
            put(1, b"b", 1),
            put(0, b"z", 2),
            Change::Delete(1, long.to_vec()),
            put(1, b"b\0", 3),
            put(1, b"b", 4),
            put(1, long, 5),
            Change::Delete(0, b"z".to_vec()),
        ];
        let left: Vec<_> = sorted(&changes).cloned().collect();
        let expected = [
            Change::Delete(0, b"z".to_vec()),
            put(1, long, 5),
            put(1, longer, 0),
            put(1, b"b", 4),
            put(1, b"b\0", 3),
        ];
        assert_eq!(left, expected);
    }
}
