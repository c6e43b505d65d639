//! Due boards: those that have changed and have not been told yet, where boards are told by the clock.
//!
//! They are part of the state: a board that is due before a crash is due after it, and none that was told is told
//! again. Byte store: `u32::MAX | board -> ts:i64`, which no row of a board can begin with. Changelog: the same key,
//! `-> nothing`, the record's timestamp is `ts`; both only for boards that became due or were told.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Changes, KeyRange, Shelf, Space, unstamp};
use crate::error::Result;
use crate::record::{RawRecord, RecordBatch};

/// Stands where the length of a board would.
pub(super) const DUE: u32 = u32::MAX;

#[derive(Default)]
struct Due {
    /// Time of the last change.
    timestamp: i64,
    told: bool,
    dirty: bool,
    unflushed: bool,
}

/// The boards of a store that wait to be told.
#[derive(Default)]
pub struct DueBoards(BTreeMap<Rc<[u8]>, Due>);

impl DueBoards {
    /// Notes that what `board` shows has changed.
    pub fn add(&mut self, board: &[u8], timestamp: i64) {
        if let Some(due) = self.0.get_mut(board) {
            due.timestamp = if due.told { timestamp } else { timestamp.max(due.timestamp) };
            (due.told, due.dirty) = (false, true);
        } else {
            self.0.insert(board.into(), Due { timestamp, dirty: true, ..Due::default() });
        }
    }

    /// Notes that `board` has been told.
    pub fn told(&mut self, board: &[u8]) {
        if let Some(due) = self.0.get_mut(board) {
            (due.told, due.dirty) = (true, true);
        }
    }

    /// Whether `board` waits to be told.
    #[must_use]
    pub fn contains(&self, board: &[u8]) -> bool {
        self.0.get(board).is_some_and(|due| !due.told)
    }

    /// All of them with the time of their last change, in the order of their bytes.
    #[must_use]
    pub fn all(&self) -> Vec<(Rc<[u8]>, i64)> {
        let waiting = self.0.iter().filter(|(_, due)| !due.told);
        waiting.map(|(board, due)| (Rc::clone(board), due.timestamp)).collect()
    }

    /// Those in the byte store.
    pub(super) fn read(shelf: &Shelf) -> Result<Self> {
        let from = DUE.to_be_bytes();
        let mut boards = BTreeMap::new();
        shelf.bytes.scan(shelf.space, KeyRange { from: &from, to: None }, &mut |key, stored| {
            let timestamp = unstamp(stored).map_or(0, |(timestamp, _)| timestamp);
            boards.insert(key[from.len()..].into(), Due { timestamp, ..Due::default() });
            true
        })?;
        Ok(Self(boards))
    }

    pub(super) fn log(&self, changelog: &mut RecordBatch) {
        for (board, due) in self.0.iter().filter(|(_, due)| due.dirty) {
            let value = (!due.told).then_some(&b""[..]);
            changelog.push(due.timestamp, Some(&key(board)), value, 0);
        }
    }

    pub(super) fn committed(&mut self) {
        for due in self.0.values_mut() {
            due.unflushed |= std::mem::take(&mut due.dirty);
        }
    }

    pub(super) fn unflushed(&self, space: Space, changes: &mut Changes) {
        for (board, due) in self.0.iter().filter(|(_, due)| due.unflushed) {
            match due.told {
                true => changes.delete(space, [&key(board)]),
                false => changes.put(space, [&key(board)], [&due.timestamp.to_be_bytes()]),
            }
        }
    }

    pub(super) fn flushed(&mut self) {
        self.0.retain(|_, due| {
            due.unflushed = false;
            !due.told
        });
    }

    /// As [`StateStore::restore`](super::StateStore::restore), for a record whose key names a due board.
    pub(super) fn restore(
        &mut self,
        space: Space,
        board: &[u8],
        record: &RawRecord<'_>,
        changes: &mut Changes,
    ) {
        if record.value.is_none() {
            self.0.remove(board);
            changes.delete(space, [&key(board)]);
            return;
        }
        let timestamp = record.timestamp;
        self.0.insert(board.into(), Due { timestamp, ..Due::default() });
        changes.put(space, [&key(board)], [&timestamp.to_be_bytes()]);
    }
}

fn key(board: &[u8]) -> Vec<u8> {
    [&DUE.to_be_bytes(), board].concat()
}
