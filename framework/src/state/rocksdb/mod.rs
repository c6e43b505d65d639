//! The byte store on disk: one RocksDB database for all tasks of a process.
//!
//! The folder knows its owner ([`folder`]), the database its settings ([`tuning`]), and a task its range of keys
//! ([`keys`]). What was applied survives a crash of the process once it was [persisted](StateBackend::persist); a crash
//! loses whole batches, those that were applied last, each with its changelog offsets.

mod database;
mod failure;
mod figures;
mod folder;
mod keys;
mod leftover;
mod load;
mod loader;
mod owners;
mod store;
mod tuning;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

pub use figures::RocksFigures;
pub use leftover::StateFolder;

use super::bytes::lock;
use super::{ByteStore, StateBackend};
use crate::config::Settings;
use crate::error::Result;
use crate::topic::TaskId;
use database::Database;
use folder::Folder;
use store::RocksStore;

/// Eighths of the memory that is counted which the database gets; the rest is for records and for state in memory, where it
/// is faster.
const MEMORY_EIGHTHS: usize = 3;

/// Where the state of a process lies, and what it may take.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// `state.dir`: the folder with a folder for each application.
    pub state_dir: PathBuf,
    /// `application.id`.
    pub application: String,
    /// Bytes of memory for blocks, indexes, filters and what is not on disk yet. One batch that is being written may exceed
    /// it for a moment, and what a restore gathers, by a quarter at most.
    pub memory_bytes: usize,
}

impl RocksOptions {
    /// What the settings say: three eighths of the part of `memory.max` that is counted.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            state_dir: settings.state_dir.clone(),
            application: settings.application_id.clone(),
            memory_bytes: settings.counted_memory() / 8 * MEMORY_EIGHTHS,
        }
    }
}

/// Byte stores on disk, in one database. Clones share it; it is closed, and the folder free, with the last of them and of
/// its stores.
///
/// ```
/// use headwater::state::{Change, RocksBackend, RocksOptions, StateBackend};
/// use headwater::topic::TaskId;
///
/// let state_dir = std::env::temp_dir().join(format!("headwater-doc-{}", std::process::id()));
/// let options = RocksOptions { state_dir: state_dir.clone(), application: "orders".to_owned(), memory_bytes: 8 << 20 };
/// let task = TaskId { subtopology: 0, partition: 3 };
///
/// let backend = RocksBackend::open_folder(&options)?;
/// let name = backend.process_name().map(str::to_owned);
/// backend.open(task)?.apply(&[Change::Put(1, b"key", b"value")].into())?;
/// drop(backend); // A clean end: everything is on disk.
///
/// let backend = RocksBackend::open_folder(&options)?;
/// assert_eq!(backend.open(task)?.get(1, b"key")?, Some(b"value".to_vec()));
/// assert_eq!(backend.process_name().map(str::to_owned), name);
/// # drop(backend);
/// # std::fs::remove_dir_all(state_dir).unwrap();
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct RocksBackend {
    database: Arc<Database>,
}

impl RocksBackend {
    /// Opens the state of a process; makes the folder where there is none.
    ///
    /// A database that is corrupt is moved aside, and an empty one takes its place: the changelogs fill it again.
    ///
    /// # Errors
    /// If another process works in the folder, if it is not ours, if it cannot be read and written, or if too few files
    /// may be open.
    pub fn open_folder(options: &RocksOptions) -> Result<Self> {
        if options.state_dir.starts_with(std::env::temp_dir()) {
            tracing::warn!(
                folder = %options.state_dir.display(),
                "state lies among temporary files, which the system may delete: set `state.dir`"
            );
        }
        let folder = Folder::open(&options.state_dir, &options.application)?;
        let database = Arc::new(Database::open(folder, options.memory_bytes)?);
        Ok(Self { database })
    }

    /// A look at what a task has stored, which takes it from nobody.
    #[must_use]
    pub fn look_at(&self, task: TaskId) -> Rc<dyn ByteStore> {
        Rc::new(RocksStore::look_at(Arc::clone(&self.database), task))
    }

    /// What the database takes.
    #[must_use]
    pub fn figures(&self) -> RocksFigures {
        self.database.figures()
    }
}

impl StateBackend for RocksBackend {
    fn open(&self, task: TaskId) -> Result<Rc<dyn ByteStore>> {
        Ok(Rc::new(RocksStore::open(Arc::clone(&self.database), task)))
    }

    fn persist(&self, wait: bool) -> Result<()> {
        self.database.persist(wait)
    }

    fn clean_up(&self, now_ms: i64, delay_ms: i64) -> Result<Vec<TaskId>> {
        let over = self.database.owners.over(now_ms, delay_ms);
        // Nobody opens one of them until they are deleted.
        let mut owners: Vec<_> = over.iter().map(|(task, owner)| (*task, lock(owner))).collect();
        owners.retain(|(_, owner)| !owner.held);
        let tasks: Vec<_> = owners.iter().map(|(task, _)| *task).collect();
        if tasks.is_empty() {
            return Ok(tasks);
        }
        self.database.delete(&tasks)?;
        for (task, owner) in &mut owners {
            owner.stored = false;
            self.database.reclaim(*task)?;
        }
        Ok(tasks)
    }

    fn process_name(&self) -> Option<&str> {
        Some(self.database.folder.process())
    }

    fn folder(&self) -> Option<&Path> {
        Some(self.database.folder.path())
    }

    fn memory_bytes(&self) -> usize {
        self.database.tuning.memory_bytes
    }

    fn sizes(&self) -> Vec<(&'static str, u64)> {
        self.figures().named().into()
    }
}

impl fmt::Debug for RocksBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksBackend").field("folder", &self.database.folder.path()).finish_non_exhaustive()
    }
}
