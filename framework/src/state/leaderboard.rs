//! The leaderboard store: the members of each board in the order of their scores, all of them, so that the next one
//! is known when one of the first leaves.
//!
//! 1. Byte store: `len(board):u32 | board | member -> ts:i64 | row`, and what [`DueBoards`] keep. In the next space, for
//!    boards of windows, the window index.
//! 2. Changelog: the same keys, `-> row`; the record's timestamp is `ts`. One record for each member whose row
//!    changed, once per commit; never a list.
//! 3. In memory a board is there as a whole or not at all, since its order is needed. Scores are not stored: they are
//!    told again from the rows when a board is loaded.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::due::{DUE, DueBoards};
use super::ranking::{Effect, RankBy, Ranking, Score, board_bytes, member_bytes};
use super::weight::Weight;
use super::window_index::WindowIndex;
use super::{Batches, Board, BoardRow, Changes, KeyRange, Shelf, StateStore, unstamp};
use crate::codec::{Serde, WindowKind};
use crate::error::Result;
use crate::record::{RawRecord, RecordBatch};

/// How the parts of a leaderboard store are written.
pub struct LeaderboardSerdes<K, V> {
    /// Serde of members.
    pub members: Arc<dyn Serde<K>>,
    /// Serde of rows.
    pub rows: Arc<dyn Serde<V>>,
    /// How the window stands in the bytes of a board's key; `None` for boards without window.
    pub windows: Option<WindowKind>,
}

impl<K, V> Clone for LeaderboardSerdes<K, V> {
    fn clone(&self) -> Self {
        let (members, rows) = (Arc::clone(&self.members), Arc::clone(&self.rows));
        Self { members, rows, windows: self.windows }
    }
}

/// A member's new row, or its deletion.
#[derive(Clone, Debug)]
pub struct MemberChange<'a, K, V> {
    /// The member.
    pub member: &'a K,
    /// Its row; `None` deletes it.
    pub row: Option<V>,
    /// Time of the change.
    pub timestamp: i64,
    /// Whether the board as it was is asked for.
    pub want_before: bool,
}

/// What a change did to the shown part of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown<K, V> {
    /// The shown members, their order and their rows are as before.
    Same,
    /// Something is different.
    Changed {
        /// The board as it was, where it was asked for and not empty.
        before: Option<Board<K, V>>,
    },
}

type BoardKey = Rc<[u8]>;

/// A member's bytes and its stored row.
type StoredRow = (Rc<[u8]>, Vec<u8>);

/// The members of each board, in the order of their scores.
pub struct LeaderboardStore<K, V, S> {
    shelf: Shelf,
    serdes: LeaderboardSerdes<K, V>,
    rank_by: RankBy<V, S>,
    boards: HashMap<BoardKey, Ranking<V, S>>,
    windows: WindowIndex,
    due: DueBoards,
    /// Board and member, in the order of their first change.
    dirty: Vec<(BoardKey, Rc<[u8]>)>,
    unflushed: BTreeSet<(BoardKey, Rc<[u8]>)>,
    complete: bool,
    period: u32,
    /// Bytes in memory without what rows hold.
    bytes: usize,
    /// Members with a row in memory.
    rows: usize,
    weight: Weight,
    scratch: Vec<u8>,
}

impl<K, V: Clone, S: Ord + Clone> LeaderboardStore<K, V, S> {
    /// Opens the store on its shelf.
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn open(shelf: Shelf, serdes: LeaderboardSerdes<K, V>, rank_by: RankBy<V, S>) -> Result<Self> {
        let mut store = Self {
            windows: WindowIndex::new(serdes.windows),
            shelf,
            serdes,
            rank_by,
            boards: HashMap::new(),
            due: DueBoards::default(),
            dirty: Vec::new(),
            unflushed: BTreeSet::new(),
            complete: true,
            period: 0,
            bytes: 0,
            rows: 0,
            weight: Weight::default(),
            scratch: Vec::new(),
        };
        store.discard()?;
        Ok(store)
    }

    /// The first millisecond after the window of `board`; `None` for boards without window.
    #[must_use]
    pub fn end_of(&self, board: &[u8]) -> Option<i64> {
        self.windows.end_of(board)
    }

    /// Changes a member of `board`.
    ///
    /// # Errors
    /// If the member or its row cannot be serialised or a stored row cannot be read.
    pub fn update(&mut self, board: &[u8], change: MemberChange<'_, K, V>) -> Result<Shown<K, V>> {
        let MemberChange { member, row, timestamp, want_before } = change;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let written = self.serdes.members.serialize(member, &mut bytes);
        let shown = written
            .map_err(|error| self.shelf.serde_error("member", error))
            .and_then(|_| self.load(board))
            .and_then(|()| {
                let row = row.map(|row| {
                    let score = self.rank_by.score(&row);
                    (row, score)
                });
                self.place(board, &bytes, Placed { row, timestamp, want_before })
            });
        self.scratch = bytes;
        shown
    }

    fn place(&mut self, board: &[u8], member: &[u8], placed: Placed<V, S>) -> Result<Shown<K, V>> {
        let Placed { row, timestamp, want_before } = placed;
        let ranking = self.boards.get(board).expect("the board was just loaded");
        let changed = match ranking.effect(member, row.as_ref().map(|(_, score)| score)) {
            Effect::Nothing => {
                self.unload_idle(board);
                return Ok(Shown::Same);
            }
            Effect::Hidden => false,
            Effect::Shown => true,
            Effect::SamePlace => {
                let old = ranking.slot(member).and_then(|slot| slot.value());
                !self.same_row(member, old, row.as_ref().map(|(row, _)| row))?
            }
        };
        let before =
            if changed && want_before { self.snapshot(ranking)?.map(|(board, _)| board) } else { None };
        self.set(board, member, row, timestamp);
        Ok(if changed { Shown::Changed { before } } else { Shown::Same })
    }

    fn same_row(&self, member: &[u8], one: Option<&V>, other: Option<&V>) -> Result<bool> {
        let bytes = |row: Option<&V>| {
            let mut bytes = Vec::new();
            row.map(|row| self.write_row(member, row, &mut bytes)).transpose().map(|present| (present, bytes))
        };
        Ok(bytes(one)? == bytes(other)?)
    }

    fn write_row(&self, member: &[u8], row: &V, out: &mut Vec<u8>) -> Result<bool> {
        self.serdes.rows.serialize(row, out).map_err(|error| self.shelf.unwritable(member, error))
    }

    /// Sets the row of a member of a board in memory and makes it dirty.
    fn set(&mut self, board: &[u8], member: &[u8], row: Option<(V, Score<S>)>, timestamp: i64) {
        let ranking = self.boards.get_mut(board).expect("the board is in memory");
        let (board, member) = (Rc::clone(&ranking.board), ranking.shared_key(member));
        let len_before = ranking.len();
        if ranking.set(&member, row, timestamp) {
            self.bytes += member_bytes::<V, S>(&member);
        }
        let slot = ranking.slot_mut(&member).expect("the slot was just set");
        if !slot.dirty {
            slot.dirty = true;
            if !slot.unflushed {
                ranking.unsaved += 1;
            }
            self.dirty.push((Rc::clone(&board), member));
        }
        self.rows = self.rows + ranking.len() - len_before;
        if (len_before == 0) != (ranking.len() == 0) {
            self.windows.note(&board, len_before == 0);
        }
    }

    /// The shown part of `board` and the newest timestamp in it; `None` for a board without members.
    ///
    /// # Errors
    /// If a stored row cannot be read.
    pub fn board(&mut self, board: &[u8]) -> Result<Option<(Board<K, V>, i64)>> {
        self.load(board)?;
        let shown = self.boards.get(board).map(|ranking| self.snapshot(ranking)).transpose()?;
        self.unload_idle(board);
        Ok(shown.flatten())
    }

    /// Forgets a board that was only looked for.
    fn unload_idle(&mut self, board: &[u8]) {
        if self.boards.get(board).is_some_and(Ranking::is_idle) {
            self.boards.remove(board);
            self.bytes -= board_bytes::<V, S>(board);
        }
    }

    fn snapshot(&self, ranking: &Ranking<V, S>) -> Result<Option<(Board<K, V>, i64)>> {
        let mut rows = Vec::with_capacity(ranking.len().min(self.rank_by.shown));
        let mut newest = i64::MIN;
        for (member, value, timestamp) in ranking.top() {
            let key = self
                .serdes
                .members
                .deserialize(Some(member))
                .map_err(|error| self.shelf.serde_error("member", error))?;
            rows.push(BoardRow { key, value: value.clone() });
            newest = newest.max(timestamp);
        }
        Ok((!rows.is_empty()).then_some((Board { rows }, newest)))
    }

    /// Makes sure that `board` is in memory, as a whole.
    fn load(&mut self, board: &[u8]) -> Result<()> {
        if let Some(ranking) = self.boards.get_mut(board) {
            ranking.used = self.period;
            return Ok(());
        }
        let key: BoardKey = board.into();
        let mut ranking = Ranking::new(Rc::clone(&key), self.rank_by.shown);
        ranking.used = self.period;
        if !self.complete {
            for (member, stored) in self.stored(board)? {
                let (row, timestamp) = self.read_row(&stored)?;
                let score = self.rank_by.score(&row);
                ranking.set(&member, Some((row, score)), timestamp);
            }
            ranking.indexed = ranking.len() > 0;
        }
        if ranking.len() > 0 {
            self.windows.note(&key, true);
        }
        self.bytes += ranking.memory_bytes();
        self.rows += ranking.len();
        self.boards.insert(key, ranking);
        Ok(())
    }

    fn stored(&self, board: &[u8]) -> Result<Vec<StoredRow>> {
        let from = prefix(board);
        let to = after_prefix(&from);
        let mut members = Vec::new();
        let range = KeyRange { from: &from, to: Some(&to) };
        self.shelf.bytes.scan(self.shelf.space, range, &mut |key, stored| {
            members.push((Rc::from(&key[from.len()..]), stored.to_vec()));
            true
        })?;
        Ok(members)
    }

    fn read_row(&self, stored: &[u8]) -> Result<(V, i64)> {
        let (timestamp, bytes) =
            unstamp(stored).ok_or_else(|| self.shelf.corrupt("a row without timestamp"))?;
        let row = self.serdes.rows.deserialize(Some(bytes));
        self.weight.learn(bytes.len());
        Ok((row.map_err(|error| self.shelf.serde_error("row", error))?, timestamp))
    }

    /// The boards whose windows end at `to` or before, by window, then by bytes; some may be empty. The caller drops
    /// them with [`LeaderboardStore::drop_board`].
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn ended(&mut self, to: i64) -> Result<Vec<Rc<[u8]>>> {
        if !self.windows.has_ended(to) {
            return Ok(Vec::new());
        }
        let stored = (!self.complete).then_some(&self.shelf);
        self.windows.ended(to, stored)
    }

    /// Deletes all members of `board`.
    ///
    /// # Errors
    /// If a stored row cannot be read.
    pub fn drop_board(&mut self, board: &[u8], timestamp: i64) -> Result<()> {
        self.load(board)?;
        let members = self.boards.get(board).map(Ranking::keys).unwrap_or_default();
        for member in members {
            self.set(board, &member, None, timestamp);
        }
        self.unload_idle(board);
        Ok(())
    }

    /// The boards that wait to be told.
    #[must_use]
    pub fn due(&self) -> &DueBoards {
        &self.due
    }

    /// The same, to be changed.
    pub fn due_mut(&mut self) -> &mut DueBoards {
        &mut self.due
    }
}

impl<K, V: Clone, S: Ord + Clone> StateStore for LeaderboardStore<K, V, S> {
    fn name(&self) -> &str {
        &self.shelf.name
    }

    fn log(&mut self, changelog: &mut RecordBatch) -> Result<()> {
        let mut bytes = Vec::new();
        for (board, member) in &self.dirty {
            let slot = self.boards.get(board).and_then(|ranking| ranking.slot(member));
            let slot = slot.expect("a dirty member stays in memory");
            bytes.clear();
            let present = match slot.value() {
                None => false,
                Some(row) => self.write_row(member, row, &mut bytes)?,
            };
            self.weight.learn(bytes.len());
            let key = row_key(board, member);
            changelog.push(slot.timestamp, Some(&key), present.then_some(&bytes), 0);
        }
        self.due.log(changelog);
        Ok(())
    }

    fn committed(&mut self) {
        for (board, member) in self.dirty.drain(..) {
            let slot = self.boards.get_mut(&board).and_then(|ranking| ranking.slot_mut(&member));
            let slot = slot.expect("a dirty member stays in memory");
            (slot.dirty, slot.unflushed) = (false, true);
            self.unflushed.insert((board, member));
        }
        self.due.committed();
    }

    fn unflushed(&mut self, batches: &mut Batches<'_>) -> Result<()> {
        assert!(self.dirty.is_empty(), "flushed while a transaction is open");
        let space = self.shelf.space;
        self.windows.unflushed(&self.shelf, &mut batches.changes);
        let mut last_board = None;
        for (board, member) in &self.unflushed {
            let ranking = self.boards.get(board).expect("an unflushed board stays in memory");
            if last_board != Some(board) && !ranking.indexed && ranking.len() > 0 {
                self.windows.put(&self.shelf, board, &mut batches.changes);
            }
            last_board = Some(board);
            let slot = ranking.slot(member).expect("an unflushed member stays in memory");
            let (key, changes) = (row_key(board, member), &mut batches.changes);
            match slot.value() {
                Some(row) => {
                    changes
                        .put_stamped(space, [&key], slot.timestamp, |out| self.write_row(member, row, out))?;
                }
                None => changes.delete(space, [&key]),
            }
            batches.split()?;
        }
        self.due.unflushed(space, &mut batches.changes);
        Ok(())
    }

    fn flushed(&mut self) {
        for (board, member) in std::mem::take(&mut self.unflushed) {
            let Some(ranking) = self.boards.get_mut(&board) else { continue };
            let Some(slot) = ranking.slot_mut(&member) else { continue };
            slot.unflushed = false;
            let gone = slot.value().is_none();
            ranking.unsaved -= 1;
            ranking.indexed |= ranking.len() > 0;
            if gone {
                ranking.forget(&member);
                self.bytes -= member_bytes::<V, S>(&member);
            }
            self.unload_idle(&board);
        }
        self.due.flushed();
        self.windows.flushed();
        self.period = self.period.wrapping_add(1);
    }

    fn discard(&mut self) -> Result<()> {
        self.boards.clear();
        self.dirty.clear();
        self.unflushed.clear();
        (self.bytes, self.rows) = (0, 0);
        self.complete = self.shelf.is_empty(KeyRange::default())?;
        self.due = DueBoards::read(&self.shelf)?;
        self.windows = WindowIndex::read(self.serdes.windows, &self.shelf)?;
        Ok(())
    }

    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Changes) -> Result<()> {
        let key = record.key.ok_or_else(|| self.shelf.corrupt("a changelog record without key"))?;
        let (len, rest) =
            key.split_first_chunk().ok_or_else(|| self.shelf.corrupt("a changelog key without board"))?;
        let len = u32::from_be_bytes(*len);
        self.complete = false;
        if len == DUE {
            self.due.restore(self.shelf.space, rest, record, changes);
            return Ok(());
        }
        let (board, _) = rest
            .split_at_checked(len as usize)
            .ok_or_else(|| self.shelf.corrupt("a changelog key shorter than its board"))?;
        self.shelf.restore([key], record, changes);
        if record.value.is_some() {
            self.windows.restore(&self.shelf, board, changes);
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let newest = self.dirty.iter().rev().filter_map(|(board, member)| {
            self.boards.get(board).and_then(|ranking| ranking.slot(member)?.value())
        });
        self.bytes + self.weight.heap(self.rows, newest, self.serdes.rows.as_ref())
    }

    fn evict(&mut self, periods: u32) {
        let period = self.period;
        let before = self.boards.len();
        let (bytes, rows) = (&mut self.bytes, &mut self.rows);
        let mut dropped = Vec::new();
        self.boards.retain(|board, ranking| {
            let stays = ranking.unsaved > 0 || period.wrapping_sub(ranking.used) < periods;
            if !stays {
                dropped.push(Rc::clone(board));
                *bytes -= ranking.memory_bytes();
                *rows -= ranking.len();
            }
            stays
        });
        for board in &dropped {
            self.windows.note(board, false);
        }
        self.complete &= self.boards.len() == before;
    }
}

/// What is to happen to a member.
struct Placed<V, S> {
    row: Option<(V, Score<S>)>,
    timestamp: i64,
    want_before: bool,
}

fn prefix(board: &[u8]) -> Vec<u8> {
    let len = u32::try_from(board.len()).ok().filter(|len| *len != DUE);
    let mut key = len.expect("a key is smaller than 4 GiB").to_be_bytes().to_vec();
    key.extend_from_slice(board);
    key
}

fn row_key(board: &[u8], member: &[u8]) -> Vec<u8> {
    let mut key = prefix(board);
    key.extend_from_slice(member);
    key
}

/// The first key behind all that begin with `prefix`, whose first byte at least can be counted up: it begins with a
/// length below [`DUE`].
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    while after.last() == Some(&0xff) {
        after.pop();
    }
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    after
}
