//! Sorted runs: the entries of one space in memory, ordered, each run in two pieces of memory however many it has.
//!
//! 1. What is added together is a run: sorted, each key once. Where runs have the same key the newest one holds; a deletion
//!    is an entry, too, while there is an older run.
//! 2. A run that is at most twice as long as the newer one is merged with it: there are few runs, each at least twice as
//!    long as the next, and an entry is copied a few times.
//! 3. Added to a map one by one, entries would cost a wait for memory each, and three times the memory.

use std::cmp::Ordering;
use std::convert::Infallible;

use super::huge_pages::{HugePages, Table};
use super::sorting::{is_same, sort_by_bytes};
use super::{KeyRange, Visit};
use crate::record::Arena;

/// A length that stands for "no value": the entry deletes.
const DELETED: u32 = u32::MAX;
/// Bytes of memory that come together.
const LINE: usize = 64;
/// How many entries are fetched from memory together.
const TOGETHER: usize = 32;

/// Where an entry is: its key, and its value behind that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: usize,
    key: u32,
    value: u32,
}

impl Place {
    fn byte_len(self) -> usize {
        self.key as usize + if self.value == DELETED { 0 } else { self.value as usize }
    }
}

/// Entries, sorted by key, each key once; while they are gathered, as they come.
#[derive(Debug)]
pub(super) struct Run {
    bytes: Arena<Table<u8>>,
    places: Table<Place>,
    /// Bytes that no place stands for any more.
    unused: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}

impl Run {
    fn with_capacity(places: usize, bytes: usize) -> Self {
        let (bytes, places) = (Arena::with_capacity(bytes), Table::with_capacity_in(places, HugePages));
        Self { bytes, places, unused: 0 }
    }

    /// Adds an entry; `None` deletes.
    ///
    /// # Panics
    /// If key or value have 4 GiB: no record has.
    #[inline]
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).ok().filter(|len| *len != DELETED);
        let len = |bytes| len(bytes).expect("keys and values are smaller than 4 GiB");
        let place = Place { at: self.bytes.len(), key: len(key), value: value.map_or(DELETED, len) };
        self.bytes.append_all([key, value.unwrap_or_default()]);
        self.places.push(place);
    }

    /// Adds an entry of another run.
    #[inline]
    fn copy(&mut self, from: &Self, place: Place) {
        let at = self.bytes.len();
        self.bytes.append(&from.bytes.as_ref()[place.at..][..place.byte_len()]);
        self.places.push(Place { at, ..place });
    }

    /// Bytes of memory that are in use.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    #[inline]
    fn key(&self, place: Place) -> &[u8] {
        &self.bytes.as_ref()[place.at..][..place.key as usize]
    }

    fn value(&self, place: Place) -> Option<&[u8]> {
        let behind = place.at + place.key as usize;
        (place.value != DELETED).then(|| &self.bytes.as_ref()[behind..behind + place.value as usize])
    }

    /// Whether the entries are in the order of their keys, each key once.
    fn is_sorted(&self) -> bool {
        self.places.is_sorted_by(|one, next| self.key(*one) < self.key(*next))
    }

    /// Sorts the entries by key; those of the same key stay in the order in which they came.
    pub(super) fn sort(&mut self) {
        if !self.is_sorted() {
            let bytes = self.bytes.as_ref();
            sort_by_bytes(&mut self.places, |place| &bytes[place.at..][..place.key as usize]);
        }
    }

    /// Shows the last entry of each key to `visit`, once they are sorted.
    pub(super) fn each<E>(
        &self,
        mut visit: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let touch = |at: usize| self.bytes.as_ref().get(at).copied().unwrap_or_default();
        for from in (0..self.places.len()).step_by(TOGETHER) {
            let places = &self.places[from..];
            let together = &places[..places.len().min(TOGETHER)];
            // All of them are asked for, with the line of memory behind, before the first is waited for.
            let both = |place: &Place| touch(place.at) ^ touch(place.at + LINE);
            std::hint::black_box(together.iter().fold(0, |all, place| all ^ both(place)));
            for (number, place) in together.iter().enumerate() {
                let next = places.get(number + 1);
                if next.is_none_or(|next| !is_same(self.key(*next), self.key(*place))) {
                    visit(self.key(*place), self.value(*place))?;
                }
            }
        }
        Ok(())
    }

    /// The last entry of each key, by key, in memory as well.
    fn sorted(mut self) -> Self {
        if self.is_sorted() {
            return self;
        }
        self.sort();
        let mut sorted = Self::with_capacity(self.places.len(), self.bytes.len());
        let Ok(()) = self.each(|key, value| {
            sorted.push(key, value);
            Ok::<_, Infallible>(())
        });
        sorted.fit(self.places.len());
        sorted
    }

    /// Gives memory back where it was made for clearly more places.
    fn fit(&mut self, room: usize) {
        if self.places.len() < room / 4 * 3 {
            self.bytes.shrink();
            self.places.shrink_to_fit();
        }
    }

    /// The first place whose key is `key` or behind it.
    fn find(&self, key: &[u8]) -> usize {
        self.places.partition_point(|place| self.key(*place) < key)
    }

    /// Both, where `newer` holds; without deletions if nothing is `older` than both.
    fn merge(&self, newer: &Self, oldest: bool) -> Self {
        let room = self.places.len() + newer.places.len();
        let bytes = self.bytes.len() - self.unused + newer.bytes.len() - newer.unused;
        let mut merged = Self::with_capacity(room, bytes);
        let (mut old, mut new) = (self.places.iter().peekable(), newer.places.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some(one), Some(other)) => self.key(**one).cmp(newer.key(**other)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let old = old.next_if(|_| order != Ordering::Greater).map(|place| (self, place));
            let new = new.next_if(|_| order != Ordering::Less).map(|place| (newer, place));
            let Some((run, place)) = new.or(old) else { break };
            if place.value != DELETED || !oldest {
                merged.copy(run, *place);
            }
        }
        merged.fit(room);
        merged
    }

    /// Drops the entries from one place to another.
    fn drop_between(&mut self, from: usize, to: usize) {
        self.unused += self.places.drain(from..to).map(Place::byte_len).sum::<usize>();
        self.shrink();
    }

    /// Gives memory back that is not in use, where it is much.
    fn shrink(&mut self) {
        if self.unused > self.bytes.len() / 2 {
            *self = self.merge(&Self::default(), false);
        }
    }
}

/// The entries of a space.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The oldest first.
    runs: Vec<Run>,
}

impl Runs {
    /// Adds what was gathered.
    pub(super) fn add(&mut self, run: Run) {
        let mut run = run.sorted();
        if self.runs.is_empty() {
            run.places.retain(|place| place.value != DELETED);
        }
        while let Some(older) = self.runs.pop_if(|older| older.places.len() <= 2 * run.places.len()) {
            run = older.merge(&run, self.runs.is_empty());
        }
        if !run.places.is_empty() {
            self.runs.push(run);
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let found = self.runs.iter().rev().find_map(|run| {
            let place = run.places.get(run.find(key)).filter(|place| run.key(**place) == key)?;
            Some(run.value(*place))
        });
        found.flatten()
    }

    /// Shows the entries of a range in order until `visit` returns false.
    pub(super) fn scan(&self, range: KeyRange<'_>, visit: &mut Visit<'_>) {
        let from = self.runs.iter().map(|run| &run.places[run.find(range.from)..]);
        let mut rest: Vec<_> = from.collect();
        loop {
            // The newest of those with the smallest key.
            let first = |number: usize| rest[number].first().map(|place| self.runs[number].key(*place));
            let numbers = (0..rest.len()).filter(|number| first(*number).is_some());
            let Some(next) =
                numbers.min_by(|one, other| first(*one).cmp(&first(*other)).then(other.cmp(one)))
            else {
                return;
            };
            let (run, place) = (&self.runs[next], rest[next][0]);
            let key = run.key(place);
            if range.to.is_some_and(|to| to <= key) {
                return;
            }
            if let Some(value) = run.value(place)
                && !visit(key, value)
            {
                return;
            }
            for (places, run) in rest.iter_mut().zip(&self.runs) {
                if places.first().is_some_and(|place| run.key(*place) == key) {
                    *places = &places[1..];
                }
            }
        }
    }

    /// Deletes the keys `from <= key < to`.
    pub(super) fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        for run in &mut self.runs {
            let (from, to) = (run.find(from), run.find(to));
            if from < to {
                run.drop_between(from, to);
            }
        }
        self.runs.retain(|run| !run.places.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn all(runs: &Runs, range: KeyRange<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut seen = Vec::new();
        runs.scan(range, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            true
        });
        seen
    }

    fn check(runs: &Runs, model: &Model, key: &dyn Fn(u64) -> Vec<u8>, bounds: (u64, u64)) {
        let (from, to) = (key(bounds.0), key(bounds.0 + bounds.1));
        let expected: Vec<_> =
            model.range(from.clone()..to.clone()).map(|(key, value)| (key.clone(), value.clone())).collect();
        assert_eq!(all(runs, KeyRange { from: &from, to: Some(&to) }), expected);
        assert_eq!(runs.get(&from), model.get(&from).map(Vec::as_slice));
    }

    #[test]
    fn runs_are_as_a_map_whatever_comes_in_which_order() {
        let key = |number: u64| format!("key-{number:04}").into_bytes();
        for seed in 1..20_u64 {
            let (mut runs, mut model, mut state) = (Runs::default(), Model::new(), seed);
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            for round in 0..200_u64 {
                let mut run = Run::default();
                for _ in 0..random(60) {
                    let (key, value) = (key(random(500)), format!("{round}/{}", random(9)).into_bytes());
                    if random(4) == 0 {
                        run.push(&key, None);
                        model.remove(&key);
                    } else {
                        run.push(&key, Some(&value));
                        model.insert(key, value);
                    }
                }
                runs.add(run);
                if random(10) == 0 {
                    let from = random(500);
                    let (from, to) = (key(from), key(from + random(200)));
                    runs.delete_range(&from, &to);
                    model.retain(|key, _| *key < from || *key >= to);
                }
                check(&runs, &model, &key, (random(500), random(100)));
            }
            let expected: Vec<_> = model.into_iter().collect();
            assert_eq!(all(&runs, KeyRange::default()), expected);
            assert!(runs.runs.len() < 9, "{} runs", runs.runs.len());
            assert!(runs.runs.iter().all(|run| run.unused <= run.bytes.len() / 2));
            assert!(
                runs.runs.first().is_none_or(|run| run.places.iter().all(|place| place.value != DELETED))
            );
            runs.delete_range(b"", b"l");
            assert!(runs.runs.is_empty());
        }
    }
}
