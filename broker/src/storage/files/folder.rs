//! The folder of a partition: `<topic>-<partition>`, as users of Kafka know it, and the small files in it.
//!
//! ```text
//! partition.metadata             the topic's id, so that a topic made again is not taken for the old one
//! log.checkpoint                 where the log starts, and up to where it was compacted
//! 00000000000000000123.snapshot  what the log knew about everything below that offset
//! ```
//! A folder that is to go is renamed first: to `<topic id>-<partition>-delete`, or to `...-stray` when it is
//! not known to be deleted; strays stay for somebody to look at.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::partition::Partition;
use super::segment::{Shelf, place};
use crate::api::TopicId;
use crate::storage::LogId;

/// Snapshots that are kept: one more than is needed, in case that it is damaged.
const SNAPSHOTS_KEPT: usize = 2;
const METADATA: &str = "partition.metadata";
const CHECKPOINT: &str = "log.checkpoint";

/// The offset and the extension in a file's name, if it is named by one offset.
pub(super) fn offset_of(path: &Path) -> Option<(i64, &str)> {
    let (offset, extension) = path.file_name()?.to_str()?.split_once('.')?;
    let is_number = offset.len() == 20 && offset.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| offset.parse().ok().map(|offset| (offset, extension)))?
}

/// The two offsets in the name of a swap.
pub(super) fn swap_of(path: &Path) -> Option<(i64, i64)> {
    let (base, upto) = path.file_name()?.to_str()?.strip_suffix(".swap")?.split_once('-')?;
    Some((base.parse().ok()?, upto.parse().ok()?))
}

/// Whose folder it is: `None` when that cannot be told.
pub(super) fn owner(disk: &Disk, folder: &Path) -> Option<TopicId> {
    let text = String::from_utf8(disk.read(&folder.join(METADATA)).ok()?).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "))?;
    u128::from_str_radix(id.trim(), 16).ok().map(TopicId)
}

/// Puts the folder of a partition out of the way, to be removed later; one of the same name that belongs to
/// another topic stays.
pub(super) fn bury(shelf: &Shelf, root: &Path, topic: &str, log: LogId) -> io::Result<()> {
    let folder = root.join(format!("{topic}-{}", log.partition));
    if owner(&shelf.disk, &folder) == Some(log.topic) {
        let grave = root.join(format!("{}-{}-delete", log.topic, log.partition));
        shelf.disk.rename(&folder, &grave)?;
        shelf.doomed.borrow_mut().push(grave);
    }
    Ok(())
}

/// Makes the folder of a partition, or finds it; one of the same name that is not its own is put aside.
pub(super) fn claim(shelf: &Shelf, root: &Path, topic: &str, log: LogId) -> io::Result<PathBuf> {
    let folder = root.join(format!("{topic}-{}", log.partition));
    if folder.is_dir() {
        match owner(&shelf.disk, &folder) {
            Some(id) if id == log.topic => return Ok(folder),
            // A crash may have come before its first file; what holds something is put aside.
            None if shelf.disk.list(&folder)?.is_empty() => {}
            _ => {
                let mut number = 0;
                let stray = |number| root.join(format!("{topic}-{}.{number}-stray", log.partition));
                while stray(number).exists() {
                    number += 1;
                }
                shelf.disk.rename(&folder, &stray(number))?;
                let what = "it belongs to another topic, or to nobody; put aside".to_owned();
                shelf.report(&stray(number), 0, 0, what);
            }
        }
    }
    shelf.disk.make_folder(&folder)?;
    let metadata = format!("version: 0\ntopic_id: {}\n", log.topic);
    shelf.disk.replace(&folder.join(METADATA), metadata.as_bytes())?;
    Ok(folder)
}

/// Reads where a log starts, and up to where it was compacted; `None` when nothing says so.
pub(super) fn read_checkpoint(disk: &Disk, folder: &Path) -> Option<(i64, i64)> {
    let text = String::from_utf8(disk.read(&folder.join(CHECKPOINT)).ok()?).ok()?;
    let (content, crc) = text.rsplit_once("crc: ")?;
    let field = |name: &str| content.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
    let fits = u32::from_str_radix(crc.trim(), 16).ok() == Some(crc32c::crc32c(content.as_bytes()));
    fits.then(|| Some((field("start: ")?, field("cleaned: ")?)))?
}

impl Partition {
    pub(super) fn save_checkpoint(&mut self, shelf: &Shelf, start: i64, cleaned: i64) -> io::Result<()> {
        let content = format!("version: 0\nstart: {start}\ncleaned: {cleaned}\n");
        let crc = crc32c::crc32c(content.as_bytes());
        let path = self.folder.join(CHECKPOINT);
        shelf.disk.replace(&path, format!("{content}crc: {crc:08x}\n").as_bytes())?;
        self.cleaned = cleaned;
        Ok(())
    }

    pub(super) fn save_snapshot(&self, shelf: &Shelf, offset: i64, state: &[u8]) -> io::Result<()> {
        let content = [&crc32c::crc32c(state).to_be_bytes(), state].concat();
        shelf.disk.replace(&place(&self.folder, offset, "snapshot"), &content)?;
        for (_, path) in self.snapshot_files(shelf)?.into_iter().skip(SNAPSHOTS_KEPT) {
            // An old one is in nobody's way.
            let _ = shelf.disk.remove(&path);
        }
        Ok(())
    }

    /// Snapshots that are whole, the latest first.
    pub(super) fn snapshots(&self, shelf: &Shelf) -> io::Result<Vec<(i64, Vec<u8>)>> {
        let whole = |(offset, path): (i64, PathBuf)| {
            let content = shelf.disk.read(&path).ok()?;
            let (crc, state) = content.split_at_checked(4)?;
            let fits = crc == crc32c::crc32c(state).to_be_bytes() && offset <= self.end();
            fits.then(|| (offset, state.to_vec()))
        };
        Ok(self.snapshot_files(shelf)?.into_iter().filter_map(whole).collect())
    }

    /// Drops all snapshots but that of one offset.
    pub(super) fn drop_snapshots(&self, shelf: &Shelf, but: i64) -> io::Result<()> {
        let mut others = self.snapshot_files(shelf)?;
        others.retain(|(offset, _)| *offset != but);
        others.iter().try_for_each(|(_, path)| shelf.disk.remove(path))
    }

    fn snapshot_files(&self, shelf: &Shelf) -> io::Result<Vec<(i64, PathBuf)>> {
        let offset = |path: PathBuf| match offset_of(&path) {
            Some((offset, "snapshot")) => Some((offset, path)),
            _ => None,
        };
        let mut found: Vec<_> = shelf.disk.list(&self.folder)?.into_iter().filter_map(offset).collect();
        found.sort_by_key(|(offset, _)| std::cmp::Reverse(*offset));
        Ok(found)
    }
}
