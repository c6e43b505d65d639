//! A slice: bytes within a fetched batch, shared without a copy.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::take;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;

use super::spare::{WORTH, give_back};

/// The memory that the records of a batch lie in; a share of it costs one plain increment.
#[derive(Clone, Debug, Default)]
pub struct Memory(Rc<Lent>);

/// Bytes that go back to their thread's spare memory, unless somebody else holds them.
#[derive(Debug, Default)]
struct Lent(Bytes);

impl Drop for Lent {
    fn drop(&mut self) {
        if self.0.len() >= WORTH && self.0.is_unique() {
            give_back(Vec::from(take(&mut self.0)));
        }
    }
}

impl Memory {
    /// The memory itself.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.0
    }

    /// The slice of this memory that `part` is.
    ///
    /// # Panics
    /// If `part` does not lie in this memory, or the memory is larger than 4 GiB.
    #[must_use]
    #[inline]
    pub fn slice(&self, part: &[u8]) -> Slice {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes().as_ptr().addr());
        let end = start.wrapping_add(part.len());
        assert!(start <= end && end <= self.bytes().len(), "a slice lies within its memory");
        let small = |place: usize| u32::try_from(place).expect("a batch stays below 4 GiB");
        self.part(small(start), small(part.len()))
    }

    /// The slice of `len` bytes from `start` on, which lie in this memory.
    #[inline]
    pub(super) fn part(&self, start: u32, len: u32) -> Slice {
        Slice { memory: self.clone(), start, len }
    }
}

impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<Bytes> for Memory {
    fn from(bytes: Bytes) -> Self {
        Self(Rc::new(Lent(bytes)))
    }
}

impl AsRef<[u8]> for Memory {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// Bytes that share the memory of the batch they arrived in: the cheapest type for a key or value that is passed on
/// as it is.
///
/// It belongs to one thread, which is why sharing it costs next to nothing; [`Slice::to_bytes`] makes [`Bytes`] of it
/// that may go anywhere. A slice keeps the memory of its whole batch alive; stores keep a copy instead.
///
/// ```
/// use headwater::Slice;
/// let slice = Slice::from("user-1");
/// assert_eq!(&slice[..4], b"user");
/// assert_eq!(slice, slice.clone());
/// ```
#[derive(Clone, Default)]
pub struct Slice {
    memory: Memory,
    start: u32,
    len: u32,
}

impl Slice {
    /// The same bytes as [`Bytes`], without a copy.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.memory.bytes().slice_ref(self)
    }
}

impl Deref for Slice {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[self.start as usize..self.start as usize + self.len as usize]
    }
}

impl AsRef<[u8]> for Slice {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Slice {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl<'a> From<&'a [u8]> for Slice {
    /// Copies the bytes into memory of their own.
    fn from(bytes: &'a [u8]) -> Self {
        let memory = Memory::from(bytes.to_vec());
        memory.slice(memory.as_ref())
    }
}

impl<'a> From<&'a str> for Slice {
    /// Copies the text into memory of its own.
    fn from(text: &'a str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<Bytes> for Slice {
    fn from(bytes: Bytes) -> Self {
        let memory = Memory::from(bytes);
        memory.slice(memory.as_ref())
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Slice {}

impl PartialOrd for Slice {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slice {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Slice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_their_memory_and_compare_by_content() {
        let memory = Memory::from(b"key-value".to_vec());
        let (key, value) = (memory.slice(&memory.as_ref()[..3]), memory.slice(&memory.as_ref()[4..]));
        assert_eq!((&*key, &*value), (&b"key"[..], &b"value"[..]));
        assert_eq!(key.as_ptr(), memory.as_ref().as_ptr());
        assert_eq!(value.to_bytes().as_ptr(), value.as_ptr());
        assert_eq!(key, Slice::from("key"));
        assert!(key < value && memory.slice(&memory.as_ref()[9..]).is_empty());
        assert_eq!(format!("{:?}", Slice::from(&b"a\0"[..])), "b\"a\\x00\"");
    }

    #[test]
    #[should_panic(expected = "within its memory")]
    fn bytes_from_elsewhere_are_no_slice() {
        let _ = Memory::from(b"here".to_vec()).slice(b"elsewhere");
    }
}
