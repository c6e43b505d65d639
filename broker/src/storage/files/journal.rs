//! The journal: what the broker knows beside its logs, entry by entry.
//!
//! ```text
//! meta/journal-<n>.log       length u32, CRC-32C of the entry u32, the entry; one after the other (big endian)
//! meta/journal-<n+1>.tmp     what a rewriting writes; once it is durable it gets its name, and the old one goes
//! ```
//! 1. The journal with the largest number counts.
//! 2. What does not end with a whole entry was torn by a crash, and is cut off. An entry in the middle that is
//!    damaged is left out and reported: others do not pay for it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::segment::Shelf;
use crate::storage::{JOURNAL_GROWTH, JOURNAL_LEAST_BYTES};

const FOLDER: &str = "meta";
const HEAD_BYTES: usize = 8;
/// What is written at a time by a rewriting.
const CHUNK_BYTES: usize = 1 << 20;

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    number: u64,
    file: File,
    size: u64,
    /// Length from which on it is long.
    long_from: u64,
    /// Whether there are bytes behind the last entry that could not be cut off.
    torn: bool,
    /// Whether every entry is made durable.
    flushes: bool,
}

fn place(folder: &Path, number: u64, extension: &str) -> PathBuf {
    folder.join(format!("journal-{number}.{extension}"))
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("journal-")?.strip_suffix(".log")?.parse().ok()
}

fn framed(entry: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let len = u32::try_from(entry.len()).map_err(io::Error::other)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(entry).to_be_bytes());
    out.extend_from_slice(entry);
    Ok(())
}

/// The entry at the start of some bytes, if there is a whole one, and what follows.
fn take_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let (len, crc) = head.split_first_chunk::<4>()?;
    let (entry, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    let fits = !entry.is_empty() && crc == crc32c::crc32c(entry).to_be_bytes();
    fits.then_some((entry, rest))
}

/// The first whole entry in some bytes, after how many it begins, and what follows.
fn next_entry(bytes: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let at = |skipped: usize| take_entry(&bytes[skipped..]).map(|(entry, rest)| (skipped, entry, rest));
    (0..bytes.len()).find_map(at)
}

impl Journal {
    /// Opens the journal below `root` and cuts off what a crash has torn.
    pub(super) fn open(
        shelf: &Shelf,
        root: &Path,
        flushes: bool,
        visit: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Self> {
        let folder = root.join(FOLDER);
        shelf.disk.make_folder(&folder)?;
        let files = shelf.disk.list(&folder)?;
        let number = files.iter().filter_map(|path| number_of(path)).max();
        for path in files.iter().filter(|path| number_of(path) != number) {
            shelf.disk.remove(path)?;
        }
        let path = place(&folder, number.unwrap_or(0), "log");
        let file = if number.is_some() { shelf.disk.open(&path)? } else { shelf.disk.create(&path)? };
        let bytes = shelf.disk.read(&path)?;
        let mut rest = &bytes[..];
        let mut good = 0;
        while let Some((skipped, entry, after)) = next_entry(rest) {
            if skipped > 0 {
                let position = (bytes.len() - rest.len()) as u64;
                shelf.report(&path, position, skipped as u64, "no whole entries; left out".to_owned());
            }
            visit(entry);
            good = (bytes.len() - after.len()) as u64;
            rest = after;
        }
        let size = bytes.len() as u64;
        if good < size {
            shelf.disk.truncate(&file, good)?;
            shelf.report(&path, good, size - good, "no whole entry; cut off".to_owned());
        }
        let long_from = JOURNAL_LEAST_BYTES;
        let number = number.unwrap_or(0);
        Ok(Self { folder, number, file, size: good, long_from, torn: false, flushes })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> PathBuf {
        place(&self.folder, self.number, "log")
    }

    pub(super) fn append(&mut self, shelf: &Shelf, entry: &[u8]) -> io::Result<()> {
        self.cut_torn_bytes(shelf)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + entry.len());
        framed(entry, &mut bytes)?;
        let written = shelf.disk.write_at(&self.file, &bytes, self.size);
        let written = written.and_then(|()| if self.flushes { shelf.disk.sync(&self.file) } else { Ok(()) });
        if let Err(error) = written {
            self.torn = true;
            // If it cannot be cut off now, the next append tries again before anything else.
            let _ = self.cut_torn_bytes(shelf);
            return Err(error);
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn cut_torn_bytes(&mut self, shelf: &Shelf) -> io::Result<()> {
        if self.torn {
            shelf.disk.truncate(&self.file, self.size)?;
            self.torn = false;
        }
        Ok(())
    }

    pub(super) fn is_long(&self) -> bool {
        self.size > self.long_from
    }

    pub(super) fn rewrite(
        &mut self,
        shelf: &Shelf,
        entries: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> io::Result<()> {
        // Whatever comes of it: not again before it has grown as much once more.
        self.long_from = (self.size * 2).max(JOURNAL_LEAST_BYTES);
        let (from, to) =
            (place(&self.folder, self.number + 1, "tmp"), place(&self.folder, self.number + 1, "log"));
        let file = shelf.disk.create(&from)?;
        let mut size = 0;
        let mut chunk = Vec::new();
        let written = (|| {
            for entry in entries {
                framed(&entry, &mut chunk)?;
                if chunk.len() >= CHUNK_BYTES {
                    shelf.disk.write_at(&file, &chunk, size)?;
                    size += chunk.len() as u64;
                    chunk.clear();
                }
            }
            shelf.disk.write_at(&file, &chunk, size)?;
            size += chunk.len() as u64;
            shelf.disk.sync(&file)?;
            shelf.disk.rename(&from, &to)
        })();
        if let Err(error) = written {
            // What stays is dropped at the next start.
            let _ = shelf.disk.remove(&from);
            return Err(error);
        }
        let _ = shelf.disk.sync_folder(&self.folder);
        let old = place(&self.folder, self.number, "log");
        self.file = file;
        self.number += 1;
        self.size = size;
        self.torn = false;
        self.long_from = (size * JOURNAL_GROWTH).max(JOURNAL_LEAST_BYTES);
        // If it stays, it is the older one, and goes at the next start.
        let _ = shelf.disk.remove(&old);
        Ok(())
    }

    /// Makes all of it durable.
    pub(super) fn flush(&self, shelf: &Shelf) -> io::Result<()> {
        shelf.disk.sync(&self.file)
    }
}
