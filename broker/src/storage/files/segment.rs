//! A segment: one file of batches, one after the other, exactly as they were sent.
//!
//! ```text
//! 00000000000000000000.log                          its name is the offset that it starts at
//! 00000000000000000000.index, .timeindex            see `index.rs`
//! 00000000000000000000.cleaned                      what compaction is writing; dropped after a crash
//! 00000000000000000000-00000000000000000123.swap    stands for all segments that start from the one offset on
//!                                                   and below the other; put in their place after a crash
//! 00000000000000000000.log.deleted                  not needed any more; removed later
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::handles::{Handles, Serial};
use super::index::{Index, Summary};
use super::walk::{Stretch, Walk};
use crate::storage::Damage;

/// Indexes of closed segments that are kept in memory, over all logs.
const INDEXES_MOST: usize = 64;

/// What kind of file holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    /// It stands for all segments below this offset, and has yet to be put in their place.
    Swap(i64),
}

/// A segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) serial: Serial,
    pub(super) base: i64,
    pub(super) size: u64,
    pub(super) kind: Kind,
    /// Of a closed segment, once it was asked for.
    pub(super) summary: Cell<Option<Summary>>,
}

impl Segment {
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        match self.kind {
            Kind::Log => place(folder, self.base, "log"),
            Kind::Swap(upto) => folder.join(format!("{:020}-{upto:020}.swap", self.base)),
        }
    }
}

/// The file of a folder that belongs to an offset.
pub(super) fn place(folder: &Path, offset: i64, extension: &str) -> PathBuf {
    folder.join(format!("{offset:020}.{extension}"))
}

/// What all logs share: the disk, the open files, the indexes of closed segments, and what was found damaged.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) disk: Disk,
    pub(super) handles: Handles,
    next_serial: Cell<Serial>,
    indexes: RefCell<HashMap<Serial, Arc<Index>>>,
    pub(super) damages: RefCell<Vec<Damage>>,
    /// Files and folders that are to be removed.
    pub(super) doomed: RefCell<Vec<PathBuf>>,
}

impl Shelf {
    pub(super) fn new(disk: Disk, open_files: usize) -> Self {
        Self {
            disk,
            handles: Handles::new(open_files),
            next_serial: Cell::new(0),
            indexes: RefCell::default(),
            damages: RefCell::default(),
            doomed: RefCell::default(),
        }
    }

    pub(super) fn segment(&self, base: i64, size: u64, kind: Kind) -> Segment {
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        Segment { serial, base, size, kind, summary: Cell::new(None) }
    }

    pub(super) fn file(&self, folder: &Path, segment: &Segment) -> io::Result<Arc<File>> {
        self.handles.get(&self.disk, segment.serial, &segment.path(folder))
    }

    /// Lets go of what is held for a segment.
    pub(super) fn forget(&self, segment: &Segment) {
        self.handles.close(segment.serial);
        self.indexes.borrow_mut().remove(&segment.serial);
    }

    pub(super) fn report(&self, file: &Path, position: u64, bytes: u64, what: String) {
        let damage = Damage { file: file.display().to_string(), position, bytes, what };
        let mut damages = self.damages.borrow_mut();
        // Nobody may be listening; what is read again and again is told once.
        if damages.len() < 1_000 && damages.last() != Some(&damage) {
            damages.push(damage);
        }
    }

    /// The index of a closed segment whose offsets lie below `below`: from its files, or made anew.
    pub(super) fn index(&self, folder: &Path, segment: &Segment, below: i64) -> io::Result<Arc<Index>> {
        if let Some(index) = self.indexes.borrow().get(&segment.serial) {
            return Ok(index.clone());
        }
        let index = match self.stored_index(folder, segment) {
            Some(index) => index,
            None => self.rebuild_index(folder, segment, below)?,
        };
        let index = Arc::new(index);
        segment.summary.set(Some(index.summary));
        let mut indexes = self.indexes.borrow_mut();
        if indexes.len() >= INDEXES_MOST {
            // Which one goes matters little: it is read again when it is needed.
            let any = indexes.keys().next().copied();
            any.map(|any| indexes.remove(&any));
        }
        indexes.insert(segment.serial, index.clone());
        Ok(index)
    }

    /// What is known of a closed segment as a whole.
    pub(super) fn summary(&self, folder: &Path, segment: &Segment, below: i64) -> io::Result<Summary> {
        match segment.summary.get() {
            Some(summary) => Ok(summary),
            None => Ok(self.index(folder, segment, below)?.summary),
        }
    }

    pub(super) fn stored_index(&self, folder: &Path, segment: &Segment) -> Option<Index> {
        if segment.kind != Kind::Log {
            return None;
        }
        let read = |extension| self.disk.read(&place(folder, segment.base, extension)).ok();
        Index::decode(&read("index")?, &read("timeindex")?, segment.size)
    }

    /// Writes an index. It is a hint: that it could not be written is no error.
    pub(super) fn store_index(&self, folder: &Path, base: i64, index: &Index) {
        let [places, times] = index.encode();
        let _ = self.disk.replace(&place(folder, base, "index"), &places);
        let _ = self.disk.replace(&place(folder, base, "timeindex"), &times);
    }

    fn rebuild_index(&self, folder: &Path, segment: &Segment, below: i64) -> io::Result<Index> {
        let file = self.file(folder, segment)?;
        let mut index = Index::new(segment.base);
        let stretch = Stretch { position: 0, end: segment.size, offset: segment.base, below };
        let mut walk = Walk::new(&file, stretch);
        loop {
            match walk.next() {
                Ok(Some((_, header))) => index.note(&header, 0),
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let (position, path) = (walk.at.position, segment.path(folder));
                    let what = format!("{error}; it stays as it is, and cannot be read");
                    self.report(&path, position, segment.size - position, what);
                    index.summary.size = segment.size;
                    return Ok(index);
                }
                Err(error) => return Err(error),
            }
        }
        if segment.kind == Kind::Log {
            self.store_index(folder, segment.base, &index);
        }
        Ok(index)
    }

    /// Puts a file out of the way, to be removed later.
    pub(super) fn doom(&self, path: &Path) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".deleted");
        let doomed = PathBuf::from(name);
        self.disk.rename(path, &doomed)?;
        self.doomed.borrow_mut().push(doomed);
        Ok(())
    }

    /// Puts a segment's files out of the way.
    pub(super) fn doom_segment(&self, folder: &Path, segment: &Segment) -> io::Result<()> {
        self.doom(&segment.path(folder))?;
        self.forget(segment);
        for extension in ["index", "timeindex"] {
            // Without its segment it is nothing; a segment of the same name would not fit it.
            let _ = self.disk.remove(&place(folder, segment.base, extension));
        }
        Ok(())
    }
}
