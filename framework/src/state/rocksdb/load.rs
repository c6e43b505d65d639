//! How changes get into the database, many at once.
//!
//! 1. A few are a batch. Sorted they are written faster than as they come, since the memtable is a sorted list.
//! 2. Many, as of a restore, become a file of the database of their own, which costs a fraction of that. It comes in as a
//!    whole, its changelog offset with it, and is on disk then: a crash goes on behind it.

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::Ordering;

use rocksdb::{IngestExternalFileOptions, SstFileWriter, WriteBatch};

use super::database::Database;
use super::keys;
use super::owners::Claim;
use crate::error::Result;
use crate::state::gathered::Gathered;
use crate::state::{Change, Changes};
use crate::topic::TaskId;

/// Kind and two lengths, in the form that RocksDB gives batches.
const BATCH_ENTRY: usize = 8;
/// Fewer bytes are no file of their own.
const FILE_BYTES: usize = 2 << 20;
/// Changes are sorted where more than one in so many is smaller than the one before.
const SORT_FROM: usize = 16;

/// The batch of these changes.
pub(super) fn batch(task: TaskId, changes: &Changes) -> WriteBatch {
    if is_worth_sorting(changes) {
        let mut gathered = Gathered::default();
        if gathered.push_all(changes) {
            return sorted_batch(task, gathered);
        }
    }
    let room = changes.iter().map(|change| change.byte_len() + keys::PREFIX + BATCH_ENTRY).sum();
    let mut batch = WriteBatch::with_capacity_bytes(room);
    let mut whole = Vec::new();
    for change in changes.iter() {
        keys::write(task, change.space(), change.key(), &mut whole);
        match change {
            Change::Put(_, _, value) => batch.put(&whole, value),
            Change::Delete(..) => batch.delete(&whole),
            Change::DeleteRange(space, from, to) if from < to => {
                batch.delete_range(&whole, &keys::key(task, space, to));
            }
            Change::DeleteRange(..) => {}
        }
    }
    batch
}

/// The batch of what was gathered.
fn sorted_batch(task: TaskId, gathered: Gathered) -> WriteBatch {
    let mut batch = WriteBatch::with_capacity_bytes(gathered.byte_len());
    let Ok(()) = write(task, gathered, |key, value| {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
        Ok::<_, Infallible>(())
    });
    batch
}

/// Brings what was gathered into the database, as a file if it is much, if the task is still its owner's by then.
pub(super) fn take_in(database: &Database, claim: &Claim, gathered: Gathered) -> Result<()> {
    if gathered.byte_len() < FILE_BYTES {
        let batch = sorted_batch(claim.task, gathered);
        let _owner = claim.write()?;
        return database.write(batch).map_err(|error| error.in_task(claim.task));
    }
    let number = database.loads.fetch_add(1, Ordering::Relaxed);
    let path = database.load.join(format!("{number}.sst"));
    let failed = |error| database.failed("cannot restore", error).in_task(claim.task);
    let taken_in = write_file(database, claim.task, gathered, &path).map_err(failed).and_then(|()| {
        let _owner = claim.write()?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        database.db.ingest_external_file_opts(&options, vec![&path]).map_err(failed)
    });
    if taken_in.is_err() {
        // What stays here is deleted with the next start.
        let _ = std::fs::remove_file(&path);
    }
    taken_in
}

fn write_file(
    database: &Database,
    task: TaskId,
    gathered: Gathered,
    path: &Path,
) -> std::result::Result<(), rocksdb::Error> {
    let mut file = SstFileWriter::create(&database.tuning.options);
    file.open(path)?;
    write(task, gathered, |key, value| match value {
        Some(value) => file.put(key, value),
        None => file.delete(key),
    })?;
    file.finish()
}

/// Shows what was gathered to `take` as the database is to have it, by key.
fn write<E>(
    task: TaskId,
    gathered: Gathered,
    mut take: impl FnMut(&[u8], Option<&[u8]>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut whole = Vec::new();
    for (space, mut run) in gathered.into_runs() {
        run.sort();
        run.each(|key, value| {
            keys::write(task, space, key, &mut whole);
            take(&whole, value)
        })?;
    }
    Ok(())
}

/// A flush is sorted by store already, but for the few entries about the task itself: to sort it costs more than it
/// saves. A change of a range must stay behind those before it.
fn is_worth_sorting(changes: &Changes) -> bool {
    let steps_back = || {
        let pairs = changes.iter().zip(changes.iter().skip(1));
        pairs.filter(|(one, next)| (one.space(), one.key()) > (next.space(), next.key())).count()
    };
    !changes.has_ranges() && steps_back() > changes.len() / SORT_FROM
}
