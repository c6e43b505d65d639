//! Walks over the batches of a segment: by their headers alone, or whole and checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::batch::{Batch, BatchHeader, HEADER_BYTES};

/// What is read first to look at one header, ...
const WINDOW_LEAST: usize = 4 << 10;
/// ... and at a time when many follow each other.
const WINDOW_MOST: usize = 64 << 10;
/// What is read at a time to check whole batches.
const CHECK_BYTES: u64 = 1 << 20;

/// Which part of a segment to walk over, and which offsets may stand there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// Where the first batch starts.
    pub(super) position: u64,
    /// Where the segment ends.
    pub(super) end: u64,
    /// The first batch has this base offset at least.
    pub(super) offset: i64,
    /// The last one ends before this offset.
    pub(super) below: i64,
}

impl Stretch {
    /// Moves behind a batch, if it may stand where it was found.
    pub(super) fn pass(&mut self, header: &BatchHeader) -> io::Result<()> {
        let in_order = header.base_offset >= self.offset && header.next_offset() <= self.below;
        if !in_order || header.last_offset_delta < 0 || !header.has_offsets() {
            return Err(damaged(format!(
                "offsets {} to {} do not belong there",
                header.base_offset,
                header.last_offset()
            )));
        }
        if header.size() as u64 > self.end - self.position {
            return Err(damaged("the batch is cut short".to_owned()));
        }
        self.position += header.size() as u64;
        self.offset = header.next_offset();
        Ok(())
    }
}

/// What is no batch, or not the one that was written.
pub(super) fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Walks over headers.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    file: &'a File,
    pub(super) at: Stretch,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a File, at: Stretch) -> Self {
        Self { file, at, window: Vec::new(), window_at: 0 }
    }

    /// The next header with its position; an error does not move on.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, BatchHeader)>> {
        if self.at.position >= self.at.end {
            return Ok(None);
        }
        let position = self.at.position;
        let header = BatchHeader::peek(self.look(position)?).map_err(|error| damaged(error.to_string()))?;
        self.at.pass(&header)?;
        Ok(Some((position, header)))
    }

    /// The bytes from a position on, enough for a header.
    fn look(&mut self, position: u64) -> io::Result<&[u8]> {
        let ends = self.window_at + self.window.len() as u64;
        let wanted = (self.at.end - position).min(HEADER_BYTES as u64);
        if position < self.window_at || position + wanted > ends {
            let follows = position <= ends + WINDOW_LEAST as u64 && !self.window.is_empty();
            let len = if follows { (self.window.len() * 2).min(WINDOW_MOST) } else { WINDOW_LEAST };
            self.window.resize(usize::try_from(self.at.end - position).unwrap_or(len).min(len), 0);
            self.window_at = position;
            self.file.read_exact_at(&mut self.window, position)?;
        }
        let at = usize::try_from(position - self.window_at).expect("a window fits into memory");
        Ok(&self.window[at..])
    }
}

/// Reads some bytes of a file.
#[expect(
    clippy::slow_vector_initialization,
    reason = "memory that is asked for with zeros in it comes page by page"
)]
pub(super) fn read_at(file: &File, position: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(len);
    bytes.resize(len, 0);
    file.read_exact_at(&mut bytes, position)?;
    Ok(Bytes::from(bytes))
}

/// Reads one batch and checks it.
pub(super) fn read_batch(file: &File, position: u64, header: &BatchHeader) -> io::Result<Bytes> {
    let bytes = read_at(file, position, header.size())?;
    let batch = Batch::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
    batch.verify().map_err(|error| damaged(error.to_string()))?;
    Ok(bytes)
}

/// Reads and checks whole batches up to the first that is not as it was written; says why that is none.
pub(super) fn check(
    file: &File,
    mut at: Stretch,
    visit: &mut dyn FnMut(&BatchHeader) -> io::Result<()>,
) -> io::Result<Option<String>> {
    while at.position < at.end {
        let len = (at.end - at.position).min(CHECK_BYTES);
        let mut chunk = read_at(file, at.position, usize::try_from(len).expect("a chunk fits into memory"))?;
        if let Ok(header) = BatchHeader::peek(&chunk)
            && header.size() > chunk.len()
            && header.size() as u64 <= at.end - at.position
        {
            chunk = read_at(file, at.position, header.size())?;
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let cut_by_chunk = at.position + (rest.len() as u64) < at.end;
            let header = match BatchHeader::peek(rest) {
                Ok(header) => header,
                Err(_) if rest.len() < HEADER_BYTES && cut_by_chunk => break,
                Err(error) => return Ok(Some(error.to_string())),
            };
            if rest.len() < header.size() && rest.len() < chunk.len() && cut_by_chunk {
                break;
            }
            let mut next = at;
            let fine = next.pass(&header).and_then(|()| {
                let batch = Batch::parse(rest).map_err(|error| damaged(error.to_string()))?;
                batch.verify().map_err(|error| damaged(error.to_string()))?;
                visit(&header)
            });
            match fine {
                Ok(()) => at = next,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Ok(Some(error.to_string()));
                }
                Err(error) => return Err(error),
            }
            rest = &rest[header.size()..];
        }
    }
    Ok(None)
}
