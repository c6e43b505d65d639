//! Changes on their way to a byte store, in one piece of memory: a flush and a restore have millions of them.

use super::Space;
use crate::error::Result;

/// One change of a byte store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Writes a value under a key.
    Put(Space, &'a [u8], &'a [u8]),
    /// Deletes a key.
    Delete(Space, &'a [u8]),
    /// Deletes all keys `from <= key < to`.
    DeleteRange(Space, &'a [u8], &'a [u8]),
}

impl<'a> Change<'a> {
    /// The space.
    #[must_use]
    pub fn space(&self) -> Space {
        match self {
            Self::Put(space, ..) | Self::Delete(space, _) | Self::DeleteRange(space, ..) => *space,
        }
    }

    /// The key, or the first of a range.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        match self {
            Self::Put(_, key, _) | Self::Delete(_, key) | Self::DeleteRange(_, key, _) => key,
        }
    }

    /// Bytes of keys and value.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Put(_, one, other) | Self::DeleteRange(_, one, other) => one.len() + other.len(),
            Self::Delete(_, key) => key.len(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
}

/// What lies in the memory behind what the places before stand for: a key, and a value or a second key.
#[derive(Clone, Copy, Debug)]
struct Place {
    space: Space,
    kind: Kind,
    key: usize,
    value: usize,
}

/// Changes in the order in which they are to be applied.
///
/// ```
/// use headwater::state::{Change, Changes};
///
/// let mut changes = Changes::default();
/// changes.put(1, [b"a", b"b"], [b"value"]);
/// changes.push(Change::Delete(1, b"c"));
/// assert_eq!(changes.iter().collect::<Vec<_>>(), [Change::Put(1, b"ab", b"value"), Change::Delete(1, b"c")]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Changes {
    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of memory that are in use.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    /// Whether one of them is a [`Change::DeleteRange`].
    #[must_use]
    pub fn has_ranges(&self) -> bool {
        self.places.iter().any(|place| matches!(place.kind, Kind::DeleteRange))
    }

    /// Forgets all changes; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// Adds a change.
    pub fn push(&mut self, change: Change<'_>) {
        match change {
            Change::Put(space, key, value) => self.put(space, [key], [value]),
            Change::Delete(space, key) => self.delete(space, [key]),
            Change::DeleteRange(space, from, to) => self.add(space, Kind::DeleteRange, [from], [to]),
        }
    }

    /// Adds a change that writes a value; key and value are given in parts.
    #[inline]
    pub fn put<const K: usize, const V: usize>(&mut self, space: Space, key: [&[u8]; K], value: [&[u8]; V]) {
        self.add(space, Kind::Put, key, value);
    }

    /// Adds a change that deletes a key, given in parts.
    #[inline]
    pub fn delete<const K: usize>(&mut self, space: Space, key: [&[u8]; K]) {
        self.add(space, Kind::Delete, key, []);
    }

    /// Adds a change that writes what `value` writes behind a timestamp, the stored form of a timestamped value.
    ///
    /// # Errors
    /// That of `value`; nothing is added then.
    #[inline]
    pub fn put_stamped<const K: usize>(
        &mut self,
        space: Space,
        key: [&[u8]; K],
        timestamp: i64,
        value: impl FnOnce(&mut Vec<u8>) -> Result<bool>,
    ) -> Result<()> {
        self.add(space, Kind::Put, key, [&timestamp.to_be_bytes()]);
        let (before, stamped) = (self.places.len() - 1, self.bytes.len());
        let place = self.places[before];
        match value(&mut self.bytes) {
            Ok(_) => {
                self.places[before].value += self.bytes.len() - stamped;
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(stamped - place.key - place.value);
                self.places.truncate(before);
                Err(error)
            }
        }
    }

    #[inline]
    fn add<const K: usize, const V: usize>(
        &mut self,
        space: Space,
        kind: Kind,
        key: [&[u8]; K],
        value: [&[u8]; V],
    ) {
        let before = self.bytes.len();
        key.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let behind = self.bytes.len();
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let (key, value) = (behind - before, self.bytes.len() - behind);
        self.places.push(Place { space, kind, key, value });
    }

    /// The changes in order.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> + Clone {
        let mut rest = self.bytes.as_slice();
        self.places.iter().map(move |place| {
            let Place { space, kind, key, value } = *place;
            let (key, behind) = rest.split_at(key);
            let (value, behind) = behind.split_at(value);
            rest = behind;
            match kind {
                Kind::Put => Change::Put(space, key, value),
                Kind::Delete => Change::Delete(space, key),
                Kind::DeleteRange => Change::DeleteRange(space, key, value),
            }
        })
    }
}

impl<'a> Extend<Change<'a>> for Changes {
    fn extend<I: IntoIterator<Item = Change<'a>>>(&mut self, changes: I) {
        changes.into_iter().for_each(|change| self.push(change));
    }
}

impl<'a> FromIterator<Change<'a>> for Changes {
    fn from_iter<I: IntoIterator<Item = Change<'a>>>(changes: I) -> Self {
        let mut all = Self::default();
        all.extend(changes);
        all
    }
}

impl<'a, const N: usize> From<[Change<'a>; N]> for Changes {
    fn from(changes: [Change<'a>; N]) -> Self {
        changes.into_iter().collect()
    }
}

/// Changes of a flush, applied in batches while they are gathered, so that they never take much memory at once.
pub struct Batches<'a> {
    /// What is gathered and not applied.
    pub changes: Changes,
    limit: usize,
    apply: &'a mut dyn FnMut(&mut Changes) -> Result<()>,
}

impl<'a> Batches<'a> {
    /// Batches of about `limit` bytes for `apply`.
    pub fn new(limit: usize, apply: &'a mut dyn FnMut(&mut Changes) -> Result<()>) -> Self {
        Self { changes: Changes::default(), limit, apply }
    }

    /// Says that the changes so far may be applied without those that follow. It is done where they are enough.
    ///
    /// # Errors
    /// If they cannot be applied.
    #[inline]
    pub fn split(&mut self) -> Result<()> {
        if self.changes.byte_len() < self.limit { Ok(()) } else { self.end() }
    }

    /// Applies the changes that are left.
    ///
    /// # Errors
    /// If they cannot be applied.
    pub fn end(&mut self) -> Result<()> {
        (self.apply)(&mut self.changes)?;
        self.changes.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Reaction};

    #[test]
    fn changes_come_out_as_they_were_put_in() {
        let all = [
            Change::Put(1, b"key", b"value"),
            Change::Put(2, b"", b""),
            Change::Delete(3, b"gone"),
            Change::DeleteRange(4, b"from", b"to"),
            Change::Put(5, b"k", b"v"),
        ];
        let mut changes = Changes::from(all);
        assert_eq!(changes.iter().collect::<Vec<_>>(), all);
        changes.clear();
        assert!(changes.is_empty() && changes.byte_len() == 0 && changes.iter().next().is_none());
    }

    #[test]
    fn a_value_that_cannot_be_written_leaves_nothing() {
        let mut changes = Changes::from([Change::Delete(1, b"a")]);
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"half");
            Err(Error::new(Reaction::Skip, "no"))
        };
        assert!(changes.put_stamped(1, [b"b", b"c"], 7, write).is_err());
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"all");
            Ok(true)
        };
        changes.put_stamped(1, [b"b", b"c"], 7, write).unwrap();
        let expected = [Change::Delete(1, b"a"), Change::Put(1, b"bc", b"\0\0\0\0\0\0\0\x07all")];
        assert_eq!(changes.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn batches_are_of_about_a_size_and_lose_nothing() {
        let mut applied = Vec::new();
        let mut apply = |changes: &mut Changes| {
            applied.push(changes.len());
            Ok(())
        };
        let mut batches = Batches::new(100, &mut apply);
        for _ in 0..10 {
            batches.changes.push(Change::Put(1, b"key", b"value"));
            batches.split().unwrap();
        }
        batches.end().unwrap();
        assert_eq!(applied, [4, 4, 2]);
    }
}
