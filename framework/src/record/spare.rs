//! Memory of batches that are gone, for the next ones of the same thread.
//!
//! A worker fetches a quarter of a megabyte at a time, hundreds of times a second. Memory that is new each time costs as much
//! as a quarter of all that is done with the records: the system zeroes it, page by page.

use std::cell::RefCell;
use std::fmt;
use std::mem::take;
use std::ops::{Deref, DerefMut};

use super::arena::Backing;

/// Smaller pieces the allocator keeps at hand by itself.
pub(super) const WORTH: usize = 32 << 10;
/// Bytes that a thread keeps at most: a few batches of a worker, or one of a restore.
const KEPT: usize = 2 << 20;

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// What a thread keeps, the oldest first.
#[derive(Default)]
struct Spare {
    pieces: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// A piece of this length, unless it would have to be much larger.
    fn find(&mut self, len: usize) -> Option<Vec<u8>> {
        let fits = |piece: &Vec<u8>| (len..=len.saturating_mul(2)).contains(&piece.capacity());
        let at = self.pieces.iter().rposition(fits)?;
        let mut piece = self.pieces.remove(at);
        self.bytes -= piece.capacity();
        piece.resize(len, 0);
        Some(piece)
    }

    /// Keeps a piece; what no longer fits beside it was not asked for lately.
    fn keep(&mut self, piece: Vec<u8>) {
        if piece.capacity() > KEPT {
            return;
        }
        self.bytes += piece.capacity();
        self.pieces.push(piece);
        while self.bytes > KEPT {
            self.bytes -= self.pieces.remove(0).capacity();
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
pub struct Reused(Vec<u8>);

impl Reused {
    /// The first `len` bytes. They hold on to twice their size at most, since whoever has them counts them alone.
    pub(super) fn into_bytes(mut self, len: usize) -> Vec<u8> {
        if self.0.capacity() >= WORTH && len < self.0.capacity() / 2 {
            return self.0[..len].to_vec();
        }
        let mut bytes = take(&mut self.0);
        bytes.truncate(len);
        bytes
    }
}

impl Backing for Reused {
    fn of_len(len: usize) -> Self {
        let spare = if len >= WORTH {
            SPARE.try_with(|spare| spare.borrow_mut().find(len)).ok().flatten()
        } else {
            None
        };
        Self(spare.unwrap_or_else(|| vec![0; len]))
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        give_back(take(&mut self.0));
    }
}

impl Deref for Reused {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Reused {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for Reused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reused({} bytes)", self.0.len())
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
        let mut other = RecordBatch::with_capacity(2, WORTH);
        other.push(1, None, Some(b"short"), 0);
        other.push(2, Some(b"k"), Some(&[3; WORTH]), 1);
        let values: Vec<_> = other.iter().map(|record| record.value.unwrap().to_vec()).collect();
        assert_eq!(values, [b"short".to_vec(), vec![3; WORTH]], "nothing is left of what lay there");
    }

    #[test]
    fn a_batch_that_is_mostly_room_gives_it_back() {
        let mut batch = RecordBatch::with_capacity(1, 4 * WORTH);
        batch.push(1, None, Some(&[5; WORTH]), 0);
        let shared = batch.freeze();
        assert_eq!((kept(), shared.value(0).unwrap()), (4 * WORTH, &[5; WORTH][..]));
    }

    #[test]
    fn memory_that_somebody_holds_is_not_used_again() {
        let mut batch = RecordBatch::with_capacity(1, WORTH);
        batch.push(1, None, Some(&[7; WORTH]), 0);
        let held = batch.freeze().value_slices(0..1).next().unwrap().to_bytes();
        assert_eq!(kept(), 0);
        let mut next = RecordBatch::with_capacity(1, WORTH);
        next.push(1, None, Some(&[8; WORTH]), 0);
        assert_eq!(held, [7; WORTH][..]);
    }

    #[test]
    fn the_newest_pieces_of_a_useful_size_are_kept() {
        for size in [WORTH - 1, KEPT + 1] {
            give_back(vec![0; size]);
            assert_eq!(kept(), 0);
        }
        (0..3).for_each(|_| give_back(vec![0; KEPT / 2]));
        assert_eq!(kept(), KEPT);
        // A small batch takes no large piece; what it gives back is kept all the same, instead of the oldest.
        drop(Reused::of_len(WORTH));
        assert_eq!(kept(), KEPT / 2 + WORTH);
        let both = [Reused::of_len(WORTH), Reused::of_len(KEPT / 2)];
        assert_eq!(kept(), 0);
        assert_eq!(both.map(|piece| piece.len()), [WORTH, KEPT / 2]);
    }
}
