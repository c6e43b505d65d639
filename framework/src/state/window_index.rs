//! The window index: which boards' windows end when, so that they can be dropped without a look at the others.
//!
//! 1. In the byte store an entry `first ms after the window | start | board -> nothing` stands for a board. It comes with
//!    the board's first row and may outlive the last one; all entries of a time go when that time's boards are dropped.
//! 2. In memory stand the boards that are in memory and have members.
//! 3. `earliest_end` is a lower bound for both, so that nothing is looked for while no window can have ended.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::{Change, Changes, KeyRange, Shelf, unstamp};
use crate::codec::WindowKind;
use crate::error::Result;

type Entry = (i64, i64, Rc<[u8]>);

/// Which boards' windows end when; nothing for boards without window.
pub(super) struct WindowIndex {
    kind: Option<WindowKind>,
    in_memory: BTreeSet<Entry>,
    earliest_end: i64,
    /// Windows up to here have been dropped since the last flush.
    dropped_to: Option<i64>,
}

impl WindowIndex {
    pub(super) fn new(kind: Option<WindowKind>) -> Self {
        Self { kind, in_memory: BTreeSet::new(), earliest_end: i64::MAX, dropped_to: None }
    }

    /// The index of what the byte store holds.
    pub(super) fn read(kind: Option<WindowKind>, shelf: &Shelf) -> Result<Self> {
        let mut index = Self::new(kind);
        let earliest = &mut index.earliest_end;
        shelf.bytes.scan(shelf.space + 1, KeyRange::default(), &mut |entry, _| {
            *earliest = unstamp(entry).map_or(i64::MIN, |(end, _)| end);
            false
        })?;
        Ok(index)
    }

    /// The first millisecond after the window of `board`.
    pub(super) fn end_of(&self, board: &[u8]) -> Option<i64> {
        self.bounds(board).map(|(end, _)| end)
    }

    fn bounds(&self, board: &[u8]) -> Option<(i64, i64)> {
        let kind = self.kind?;
        let window = kind.window(board)?;
        Some((kind.after(window), window.start))
    }

    /// A board has its first member in memory (`live`), or none any more.
    pub(super) fn note(&mut self, board: &Rc<[u8]>, live: bool) {
        let Some((end, start)) = self.bounds(board) else { return };
        let entry = (end, start, Rc::clone(board));
        if live {
            self.earliest_end = self.earliest_end.min(end);
            self.in_memory.insert(entry);
        } else {
            self.in_memory.remove(&entry);
        }
    }

    /// Whether a board may have a window that ended at `to` or before.
    pub(super) fn has_ended(&self, to: i64) -> bool {
        self.kind.is_some() && self.earliest_end <= to
    }

    /// The boards in memory whose windows ended at `to` or before, with `stored` also those that the byte store names.
    /// By window, then by bytes.
    pub(super) fn ended(&mut self, to: i64, stored: Option<&Shelf>) -> Result<Vec<Rc<[u8]>>> {
        let later = (to.saturating_add(1), i64::MIN, Rc::default());
        let mut ended: BTreeSet<_> = self.in_memory.range(..&later).cloned().collect();
        self.earliest_end = self.in_memory.range(later..).next().map_or(i64::MAX, |(end, ..)| *end);
        if let Some(shelf) = stored {
            let earliest = &mut self.earliest_end;
            shelf.bytes.scan(shelf.space + 1, KeyRange::default(), &mut |entry, _| {
                let Some((end, rest)) = unstamp(entry) else { return true };
                if end > to {
                    *earliest = end.min(*earliest);
                    return false;
                }
                ended.extend(unstamp(rest).map(|(start, board)| (end, start, Rc::from(board))));
                true
            })?;
        }
        self.dropped_to = Some(to);
        Ok(ended.into_iter().map(|(.., board)| board).collect())
    }

    /// Adds the byte store's entry for `board`.
    pub(super) fn put(&self, shelf: &Shelf, board: &[u8], changes: &mut Changes) {
        if let Some((end, start)) = self.bounds(board) {
            changes.put(shelf.space + 1, [&end.to_be_bytes(), &start.to_be_bytes(), board], []);
        }
    }

    /// As [`WindowIndex::put`], for a board that comes back from the changelog.
    pub(super) fn restore(&mut self, shelf: &Shelf, board: &[u8], changes: &mut Changes) {
        if let Some(end) = self.end_of(board) {
            self.earliest_end = self.earliest_end.min(end);
            self.put(shelf, board, changes);
        }
    }

    /// Adds what takes the entries of dropped windows out of the byte store.
    pub(super) fn unflushed(&self, shelf: &Shelf, changes: &mut Changes) {
        if let Some(dropped_to) = self.dropped_to {
            let first_kept = dropped_to.saturating_add(1).to_be_bytes();
            changes.push(Change::DeleteRange(shelf.space + 1, b"", &first_kept));
        }
    }

    pub(super) fn flushed(&mut self) {
        self.dropped_to = None;
    }
}
