//! Memory of batches that are gone, for the next ones of the same thread.
//!
//! A batch of a megabyte comes and goes some hundred times a second. Memory that is new each time costs more than what is
//! done with the records: the allocator asks the system for pages, and the system zeroes them one by one.

use std::cell::RefCell;
use std::fmt;
use std::mem::take;
use std::ops::{Deref, DerefMut};

use super::arena::Backing;

/// Smaller pieces are the allocator's own business.
pub(super) const WORTH: usize = 32 << 10;
/// Bytes that a thread keeps at most.
const KEPT: usize = 4 << 20;

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// What a thread keeps.
#[derive(Default)]
struct Spare {
    pieces: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// A piece of this length, unless it would have to be much larger.
    fn find(&mut self, len: usize) -> Option<Vec<u8>> {
        let fits = |piece: &Vec<u8>| (len..=len.saturating_mul(4)).contains(&piece.capacity());
        let at = self.pieces.iter().rposition(fits)?;
        let mut piece = self.pieces.swap_remove(at);
        self.bytes -= piece.capacity();
        piece.resize(len, 0);
        Some(piece)
    }

    fn keep(&mut self, piece: Vec<u8>) {
        if self.bytes + piece.capacity() <= KEPT {
            self.bytes += piece.capacity();
            self.pieces.push(piece);
        }
    }
}

/// Takes memory back.
pub(super) fn give_back(piece: Vec<u8>) {
    if piece.capacity() >= WORTH {
        // A thread that ends keeps nothing.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().keep(piece));
    }
}

/// Memory that comes from what its thread has spare, and goes there.
#[derive(Default)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// The first `len` bytes, which it is no buffer of any more.
    pub(super) fn into_bytes(mut self, len: usize) -> Vec<u8> {
        let mut bytes = take(&mut self.0);
        bytes.truncate(len);
        bytes
    }
}

impl Backing for Buffer {
    fn of_len(len: usize) -> Self {
        let spare = if len >= WORTH {
            SPARE.try_with(|spare| spare.borrow_mut().find(len)).ok().flatten()
        } else {
            None
        };
        Self(spare.unwrap_or_else(|| vec![0; len]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(take(&mut self.0));
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordBatch;

    fn kept() -> usize {
        SPARE.with(|spare| spare.borrow().bytes)
    }

    #[test]
    fn a_batch_lies_where_the_one_before_it_lay() {
        let place = |fill: u8| {
            let mut batch = RecordBatch::with_capacity(1, 2 * WORTH);
            batch.push(1, Some(b"key"), Some(&[fill; WORTH]), 0);
            let shared = batch.freeze();
            let value = shared.value_slices(0..1).next().unwrap();
            assert_eq!((shared.byte_len(), &*value), (WORTH + 3, &[fill; WORTH][..]));
            value.as_ptr()
        };
        assert_eq!(place(1), place(2));
        assert_eq!(kept(), 2 * WORTH);
    }

    #[test]
    fn memory_that_somebody_holds_is_not_used_again() {
        let mut batch = RecordBatch::with_capacity(1, WORTH);
        batch.push(1, None, Some(&[7; WORTH]), 0);
        let held = batch.freeze().value_slices(0..1).next().unwrap().to_bytes();
        assert_eq!(kept(), 0);
        assert_eq!(held, [7; WORTH][..]);
    }

    #[test]
    fn small_pieces_and_more_than_the_most_are_not_kept() {
        give_back(vec![0; WORTH - 1]);
        assert_eq!(kept(), 0);
        (0..3).for_each(|_| give_back(vec![0; KEPT / 2]));
        assert_eq!(kept(), KEPT);
        // Nor does a small batch take a large piece.
        assert_eq!(Buffer::of_len(WORTH).0.capacity(), WORTH);
        let large = Buffer::of_len(KEPT / 2);
        assert_eq!((large.len(), kept()), (KEPT / 2, KEPT / 2));
        drop(large);
        assert_eq!(kept(), KEPT);
    }
}
