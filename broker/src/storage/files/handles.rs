//! File handles: a bounded number of segments is open at a time, whoever was used last.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;

/// Which file, for as long as the storage lives: a path may come to mean another file.
pub(super) type Serial = u64;

/// The open files.
#[derive(Debug)]
pub(super) struct Handles {
    most: usize,
    open: RefCell<Open>,
}

#[derive(Debug, Default)]
struct Open {
    files: HashMap<Serial, (Arc<File>, u64)>,
    clock: u64,
}

impl Handles {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), open: RefCell::default() }
    }

    /// The file with this number, opened when it is not open.
    pub(super) fn get(&self, disk: &Disk, serial: Serial, path: &Path) -> io::Result<Arc<File>> {
        let open = &mut *self.open.borrow_mut();
        open.clock += 1;
        if let Some((file, used)) = open.files.get_mut(&serial) {
            *used = open.clock;
            return Ok(file.clone());
        }
        let file = Arc::new(disk.open(path)?);
        if open.files.len() >= self.most {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used).map(|(serial, _)| *serial);
            oldest.map(|oldest| open.files.remove(&oldest));
        }
        open.files.insert(serial, (file.clone(), open.clock));
        Ok(file)
    }

    /// Closes a file that is not needed any more.
    pub(super) fn close(&self, serial: Serial) {
        self.open.borrow_mut().files.remove(&serial);
    }
}
