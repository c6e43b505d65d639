//! An arena: bytes that are only appended to, in many short pieces.
//!
//! There are bytes behind the last piece, whatever they are, so that a short piece is copied in place in blocks of a fixed size:
//! a call of `memcpy` would cost more than the copy.

use std::ops::{Deref, DerefMut};

use super::spare::Reused;

/// Above this a call of `memcpy` is the cheaper way: two blocks of the largest size.
const SHORT: usize = 256;
/// What an arena begins with.
const FIRST: usize = 4096;

/// Memory of a size that does not change. Only the framework's own kinds are such.
pub trait Backing: Deref<Target = [u8]> + DerefMut {
    /// So many bytes, whatever they are.
    fn of_len(len: usize) -> Self;
}

/// Bytes that are only appended to.
pub struct Arena<M = Reused> {
    bytes: M,
    len: usize,
}

impl<M: Backing> Arena<M> {
    /// An empty arena with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: M::of_len(bytes), len: 0 }
    }

    /// Number of bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a piece.
    #[inline]
    pub fn append(&mut self, piece: &[u8]) {
        self.append_all([piece]);
    }

    /// Appends pieces, one behind the other: they are made room for once.
    #[inline]
    pub(crate) fn append_all<const N: usize>(&mut self, pieces: [&[u8]; N]) {
        let end = self.len + pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if self.bytes.len() < end {
            self.grow(end);
        }
        let mut room = &mut self.bytes[self.len..end];
        for piece in pieces {
            let (to, rest) = room.split_at_mut(piece.len());
            copy(to, piece);
            room = rest;
        }
        self.len = end;
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        self.move_to(end.max(self.bytes.len() * 2).max(FIRST));
    }

    /// Gives back the memory behind the last piece.
    pub(crate) fn shrink(&mut self) {
        self.move_to(self.len);
    }

    fn move_to(&mut self, bytes: usize) {
        let mut moved = M::of_len(bytes);
        moved[..self.len].copy_from_slice(&self.bytes[..self.len]);
        self.bytes = moved;
    }

    /// Removes everything and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl<M: Backing> Default for Arena<M> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<M: Backing> AsRef<[u8]> for Arena<M> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Clone for Arena {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.len);
        copy.append(self.as_ref());
        copy
    }
}

impl<M> std::fmt::Debug for Arena<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Arena({} bytes)", self.len)
    }
}

impl From<Arena> for Vec<u8> {
    fn from(arena: Arena) -> Self {
        arena.bytes.into_bytes(arena.len)
    }
}

/// Copies `from` to `to`, which is as long: its first and its last block of a fixed size, which may overlap. (A loop over
/// blocks would be compiled to the call that is to be avoided.)
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    let done = if from.len() > SHORT {
        to.copy_from_slice(from);
        true
    } else if from.len() >= 16 {
        blocks::<128>(to, from) || blocks::<64>(to, from) || blocks::<32>(to, from) || blocks::<16>(to, from)
    } else {
        blocks::<8>(to, from) || blocks::<4>(to, from) || blocks::<2>(to, from) || blocks::<1>(to, from)
    };
    debug_assert!(done || from.is_empty(), "every length but 0 has its blocks");
}

/// Copies the first and the last `N` bytes; `false` if there are fewer.
#[inline]
fn blocks<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return false };
    if let Some(to) = to.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = *last;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_come_back() {
        let all: Vec<u8> = (0..600_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut arena: Arena = Arena::with_capacity(10);
        let mut expected = Vec::new();
        for len in (0..300).chain([599, 0, 1]) {
            arena.append(&all[all.len() - len..]);
            expected.extend_from_slice(&all[all.len() - len..]);
        }
        assert_eq!(arena.as_ref(), expected);
        assert_eq!(Vec::from(arena.clone()), expected);
        arena.clear();
        arena.append(b"x");
        assert_eq!((arena.as_ref(), arena.len()), (&b"x"[..], 1));
    }
}
