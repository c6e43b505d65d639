//! Changes gathered in one piece of memory, to be written in the order of their keys.
//!
//! 1. A change is copied as it comes, while it is at hand: what holds it can be freed at once, and nothing else is held.
//! 2. Of several changes of a key the last one holds.
//! 3. Sorted are the numbers that stand for changes, each with the first bytes in which the keys of its space differ: to
//!    look at a key itself is a wait for memory, and is seldom needed.

use std::cmp::Ordering;

use rocksdb::WriteBatch;

use super::keys;
use crate::state::{Change, Changes, Space};
use crate::topic::TaskId;

/// A length that stands for "no value": the change deletes.
const DELETED: u32 = u32::MAX;
/// Bytes of memory that come together.
const LINE: usize = 64;
/// How many changes are fetched from memory together.
const TOGETHER: usize = 32;

/// Changes of one task, none of them a [`Change::DeleteRange`].
pub(super) struct Gathered {
    task: TaskId,
    /// Keys of the database, each with its value behind it.
    bytes: Vec<u8>,
    places: Vec<Place>,
    spaces: Vec<Shared>,
}

/// Where a change is, and where it belongs.
#[derive(Clone, Copy)]
struct Place {
    /// What follows on the bytes that all keys of the space share.
    head: u128,
    space: Space,
    at: u32,
    key: u32,
    value: u32,
}

/// What the keys of a space have in common.
struct Shared {
    space: Space,
    /// Where one of them is.
    at: usize,
    /// How many bytes from there all keys begin with.
    len: usize,
}

/// Writes puts and deletes somewhere, by key.
pub(super) trait Sink {
    /// What may go wrong.
    type Error;
    /// Takes a value, or a deletion.
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> std::result::Result<(), Self::Error>;
}

impl Sink for WriteBatch {
    type Error = std::convert::Infallible;

    fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> std::result::Result<(), Self::Error> {
        match value {
            Some(value) => self.put(key, value),
            None => self.delete(key),
        }
        Ok(())
    }
}

impl Gathered {
    pub(super) fn new(task: TaskId) -> Self {
        Self { task, bytes: Vec::new(), places: Vec::new(), spaces: Vec::new() }
    }

    /// Bytes of memory.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds changes, all of them or none; none where one is of a range, or where it would be too much.
    pub(super) fn push_all(&mut self, changes: &Changes) -> bool {
        let (bytes, places) = (self.bytes.len(), self.places.len());
        let added = changes.iter().all(|change| self.push(change));
        if !added {
            // What is known to be shared stays true of the rest.
            self.bytes.truncate(bytes);
            self.places.truncate(places);
            self.spaces.retain(|shared| shared.at < bytes);
        }
        added
    }

    fn push(&mut self, change: Change<'_>) -> bool {
        let (space, key, value) = match change {
            Change::Put(space, key, value) => (space, key, Some(value)),
            Change::Delete(space, key) => (space, key, None),
            Change::DeleteRange(..) => return false,
        };
        let value_len = value
            .map_or(Some(DELETED), |value| u32::try_from(value.len()).ok().filter(|len| *len != DELETED));
        let lengths = (u32::try_from(self.bytes.len()), u32::try_from(keys::PREFIX + key.len()), value_len);
        let (Ok(at), Ok(len), Some(value_len)) = lengths else { return false };
        keys::append(self.task, space, key, &mut self.bytes);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.places.push(Place { head: 0, space, at, key: len, value: value_len });
        self.share(space, at as usize, len as usize);
        true
    }

    fn share(&mut self, space: Space, at: usize, len: usize) {
        let Some(shared) = self.spaces.iter_mut().find(|shared| shared.space == space) else {
            self.spaces.push(Shared { space, at, len });
            return;
        };
        let (one, other) = (&self.bytes[shared.at..shared.at + shared.len], &self.bytes[at..at + len]);
        shared.len = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    }

    /// Writes the last change of each key to `sink`, by key.
    pub(super) fn write<S: Sink>(&mut self, sink: &mut S) -> std::result::Result<(), S::Error> {
        self.sort();
        let last = self.last_of_each();
        for places in last.chunks(TOGETHER) {
            // All of them are asked for, with the line of memory behind, before the first is waited for.
            let touch = |at: usize| self.bytes.get(at).copied().unwrap_or_default();
            let both = |place: &Place| touch(place.at as usize) ^ touch(place.at as usize + LINE);
            std::hint::black_box(places.iter().fold(0, |all, place| all ^ both(place)));
            for place in places {
                let (key, value) = self.entry(place);
                sink.take(key, value)?;
            }
        }
        Ok(())
    }

    fn sort(&mut self) {
        let Self { bytes, places, spaces, .. } = self;
        for place in &mut *places {
            let shared =
                spaces.iter().find(|shared| shared.space == place.space).map_or(0, |shared| shared.len);
            let rest = &key(bytes, place)[shared..];
            let mut head = [0; 16];
            let len = rest.len().min(head.len());
            head[..len].copy_from_slice(&rest[..len]);
            place.head = u128::from_be_bytes(head);
        }
        places.sort_unstable_by(|one, other| {
            let heads = one.space.cmp(&other.space).then(one.head.cmp(&other.head));
            heads.then_with(|| key(bytes, one).cmp(key(bytes, other))).then(one.at.cmp(&other.at))
        });
    }

    fn last_of_each(&self) -> Vec<Place> {
        let mut last: Vec<Place> = Vec::with_capacity(self.places.len());
        for place in &self.places {
            match last.last_mut().filter(|before| self.is_same(before, place)) {
                Some(before) => *before = *place,
                None => last.push(*place),
            }
        }
        last
    }

    fn is_same(&self, one: &Place, other: &Place) -> bool {
        (one.space, one.head, one.key) == (other.space, other.head, other.key)
            && key(&self.bytes, one).cmp(key(&self.bytes, other)) == Ordering::Equal
    }

    fn entry(&self, place: &Place) -> (&[u8], Option<&[u8]>) {
        let key = key(&self.bytes, place);
        let behind = place.at as usize + key.len();
        let value = (place.value != DELETED).then(|| &self.bytes[behind..behind + place.value as usize]);
        (key, value)
    }
}

fn key<'a>(bytes: &'a [u8], place: &Place) -> &'a [u8] {
    &bytes[place.at as usize..][..place.key as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Written(Vec<(Space, Vec<u8>, Option<Vec<u8>>)>);

    impl Sink for Written {
        type Error = ();

        fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ()> {
            let space = Space::from_be_bytes(key[8..12].try_into().unwrap());
            self.0.push((space, key[12..].to_vec(), value.map(<[u8]>::to_vec)));
            Ok(())
        }
    }

    #[test]
    fn the_last_change_of_each_key_is_written_by_key() {
        let put = Change::Put;
        let delete = Change::Delete;
        let long = b"bb and a key that is longer than its head";
        let longer = b"bb and a key that is longer than its head too";
        let changes = [
            put(1, longer, b"0"),
            put(1, b"bb", b"1"),
            put(0, b"z", b"2"),
            delete(1, long),
            put(1, b"bb\0", b"3"),
            put(1, b"bb", b"4"),
            put(1, long, b"5"),
            delete(0, b"z"),
            delete(1, b"b"),
            put(2, b"", b"6"),
            put(2, b"\0", b"7"),
        ];
        let mut gathered = Gathered::new(TaskId { subtopology: 3, partition: 4 });
        assert!(gathered.push_all(&changes[..4].iter().copied().collect()));
        assert!(
            !gathered.push_all(
                &[put(1, b"b", b"8"), put(9, b"b", b"8"), Change::DeleteRange(1, b"", b"1")].into()
            )
        );
        assert!(gathered.push_all(&changes[4..].iter().copied().collect()));
        let mut written = Written(Vec::new());
        gathered.write(&mut written).unwrap();
        let expected: [(Space, &[u8], Option<&[u8; 1]>); 8] = [
            (0, b"z", None),
            (1, b"b", None),
            (1, b"bb", Some(b"4")),
            (1, b"bb\0", Some(b"3")),
            (1, long, Some(b"5")),
            (1, longer, Some(b"0")),
            (2, b"", Some(b"6")),
            (2, b"\0", Some(b"7")),
        ];
        let expected =
            expected.map(|(space, key, value)| (space, key.to_vec(), value.map(|value| value.to_vec())));
        assert_eq!(written.0, expected);
    }
}
