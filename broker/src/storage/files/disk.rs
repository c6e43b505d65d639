//! The disk: every change of a file or folder goes through here, so that tests can fill it up, or stop it
//! between any two changes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong with a disk; for tests.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    room: Option<u64>,
    stop_after: Option<u64>,
    keeps_torn: bool,
    changes: u64,
}

impl DiskFaults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only so many bytes can still be written (the last write may be cut short); `None` is no limit.
    pub fn leave_room(&self, bytes: Option<u64>) {
        self.plan().room = bytes;
    }

    /// After so many changes from now on every other one fails, as if the process had died there.
    pub fn stop_after(&self, changes: Option<u64>) {
        let mut plan = self.plan();
        plan.changes = 0;
        plan.stop_after = changes;
    }

    /// Whether what was written in part cannot be cut off again.
    pub fn keep_torn_writes(&self, keep: bool) {
        self.plan().keeps_torn = keep;
    }

    /// Changes since [`DiskFaults::stop_after`] was called.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.plan().changes
    }

    fn change(&self) -> io::Result<()> {
        let mut plan = self.plan();
        plan.changes += 1;
        match plan.stop_after {
            Some(most) if plan.changes > most => Err(io::Error::other("the disk was stopped")),
            _ => Ok(()),
        }
    }

    /// How many bytes of a write get through.
    fn fit(&self, bytes: usize) -> usize {
        let mut plan = self.plan();
        let Some(room) = &mut plan.room else { return bytes };
        let fit = bytes.min(usize::try_from(*room).unwrap_or(usize::MAX));
        *room -= fit as u64;
        fit
    }
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    faults: DiskFaults,
}

impl Disk {
    pub(super) fn new(faults: DiskFaults) -> Self {
        Self { faults }
    }

    /// A file that is there, to read and write.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// An empty file; what it held before is gone.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.faults.change()?;
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
    }

    pub(super) fn write_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        self.faults.change()?;
        let fit = self.faults.fit(bytes.len());
        file.write_all_at(&bytes[..fit], position)?;
        if fit < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        self.faults.change()?;
        if self.faults.plan().keeps_torn {
            return Err(io::Error::other("the file cannot be cut"));
        }
        file.set_len(len)
    }

    /// Makes a file's content durable.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.faults.change()?;
        file.sync_data()
    }

    /// Makes durable which files a folder holds.
    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.faults.change()?;
        File::open(path)?.sync_all()
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.change()?;
        fs::rename(from, to)
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.change()?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.faults.change()?;
        fs::remove_dir_all(path)
    }

    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.faults.change()?;
        fs::create_dir_all(path)
    }

    /// Puts a small file in the place of another, or of none: a crash leaves the old one or the new one.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let next = path.with_extension("tmp");
        let written = self.create(&next).and_then(|file| self.write_at(&file, content, 0));
        written.and_then(|()| self.rename(&next, path)).inspect_err(|_| {
            // What is left of it is never read.
            let _ = self.remove(&next);
        })
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    /// The files and folders in a folder.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    pub(super) fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }
}
