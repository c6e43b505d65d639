//! The database of a process, with the folder it lies in.
//!
//! 1. What was written is in memory until it is [persisted](Database::persist); a crash loses what was written last, whole
//!    batches, in the order of writing.
//! 2. A database that is corrupt is moved aside as it is opened, and an empty one takes its place. One that turns out to be
//!    corrupt later stops the process, which notes that for the next start: in one database nobody knows what else is
//!    broken, and a merge of its files, which comes sooner or later, would fail on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use rocksdb::{DB, FlushOptions, ReadOptions, WriteBatch, WriteOptions};

use super::failure::{is_beyond_opening, is_corruption, of_database};
use super::folder::Folder;
use super::keys;
use super::loader::Loader;
use super::owners::Owners;
use super::tuning::Tuning;
use crate::error::{Error, Result};
use crate::topic::TaskId;

/// A database, open. Dropped in this order: the folder is ours until the database is closed.
pub(super) struct Database {
    pub(super) db: DB,
    write: WriteOptions,
    pub(super) tuning: Tuning,
    pub(super) owners: Owners,
    /// Where files on their way into the database are made.
    pub(super) load: std::path::PathBuf,
    /// How many such files were made.
    pub(super) loads: AtomicU64,
    pub(super) loader: Loader,
    /// How many stores hold changes of a restore back.
    pub(super) loading: Arc<AtomicUsize>,
    pub(super) folder: Folder,
}

impl Database {
    /// Opens the database of the folder; makes it where there is none or a corrupt one.
    pub(super) fn open(folder: Folder, memory_bytes: usize) -> Result<Self> {
        let load = folder.empty_load()?;
        let tuning = Tuning::new(folder.path(), memory_bytes)?;
        let mut lost = false;
        if let Some(why) = folder.condemned() {
            folder.set_aside(&why)?;
            lost = true;
        }
        let opened = match read(&folder, &tuning) {
            Err(error) if !lost && is_beyond_opening(&error) => {
                folder.set_aside(error.as_ref())?;
                lost = true;
                read(&folder, &tuning)
            }
            opened => opened,
        };
        let (db, tasks) = opened.map_err(|error| of_database("cannot open", folder.path(), error))?;
        tracing::info!(folder = %folder.path().display(), tasks = tasks.len(), "state is on disk");
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        write.set_memtable_insert_hint_per_batch(true);
        let owners = Owners::new(tasks.into_iter(), lost);
        let (loads, loader, loading) = (AtomicU64::new(0), Loader::default(), Arc::default());
        Ok(Self { db, write, tuning, owners, load, loads, loader, loading, folder })
    }

    /// Writes a batch: all of it or nothing.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<()> {
        self.db.write_opt(batch, &self.write).map_err(|error| self.failed("cannot write", error))
    }

    /// Sees to it that what was written survives a crash. With `wait` it does on return; else it is only begun, unless too much
    /// waits for the disk already, and what goes wrong is told by the next write.
    pub(super) fn persist(&self, wait: bool) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.db.flush_opt(&options).map_err(|error| self.failed("cannot write", error))
    }

    /// Deletes all keys of these tasks, and sees to it that they stay deleted: what is written behind their backs (files of
    /// a restore) would survive a crash otherwise, among keys that had come back.
    pub(super) fn delete(&self, tasks: &[TaskId]) -> Result<()> {
        let mut batch = WriteBatch::default();
        for task in tasks {
            batch.delete_range(keys::task_start(*task), keys::task_end(*task));
        }
        self.write(batch)?;
        self.persist(true)
    }

    /// Gives back the room of tasks that were deleted: of files with nothing else in them at once, of others when they are
    /// merged.
    pub(super) fn reclaim(&self, task: TaskId) -> Result<()> {
        let reclaimed = self.db.delete_file_in_range(keys::task_start(task), keys::task_end(task));
        reclaimed.map_err(|error| self.failed("cannot delete from", error))
    }

    /// What a failure of the database means.
    pub(super) fn failed(&self, what: &str, error: rocksdb::Error) -> Error {
        if is_corruption(&error) {
            self.folder.condemn(error.as_ref());
        }
        of_database(what, self.folder.path(), error)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // RocksDB would do this itself, and tell nobody when it fails.
        if let Err(error) = self.persist(true) {
            tracing::error!(%error, "state is not all on disk: the next start replays more of the changelogs");
        }
    }
}

/// Opens the database, and reads which tasks it holds.
fn read(folder: &Folder, tuning: &Tuning) -> std::result::Result<(DB, Vec<TaskId>), rocksdb::Error> {
    let db = DB::open(&tuning.options, folder.database())?;
    let mut tasks = Vec::new();
    {
        let mut entries = db.raw_iterator_opt(ReadOptions::default());
        entries.seek_to_first();
        while let Some(task) = entries.key().and_then(keys::task_of) {
            tasks.push(task);
            entries.seek(keys::task_end(task));
        }
        entries.status()?;
    }
    Ok((db, tasks))
}
