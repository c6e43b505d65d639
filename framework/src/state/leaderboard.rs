//! The leaderboard store: the members of each board in the order of their scores, all of them, so that the next one
//! is known when one of the first leaves.
//!
//! 1. Byte store: `len(board):u32 | board | member -> ts:i64 | row`, and `u32::MAX | board -> ts:i64` for a board that
//!    is due: it has changed and has not been told yet. In the next space, for boards of windows, an index by time:
//!    `first ms after the window | start | board -> nothing`. It may name boards that are empty meanwhile; a range of
//!    it goes when its windows have been dropped.
//! 2. Changelog: the same keys, `-> row` (a due board: `-> nothing`); the record's timestamp is `ts`. One record for
//!    each member whose row changed, once per commit; never a list.
//! 3. In memory a board is there as a whole or not at all, since its order is needed. Scores are not stored: they are
//!    told again from the rows when a board is loaded.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ranking::{Effect, Ranking, Score, board_bytes, member_bytes};
use super::{Change, KeyRange, Shelf, StateStore, stamp, unstamp};
use crate::codec::{HasSerde, Json, Serde, WindowKind};
use crate::error::Result;
use crate::record::{RawRecord, RecordBatch};

/// Stands where a board's length would, before the name of a due board.
const DUE: u32 = u32::MAX;

/// The first members of a board, best first. Where keys and values are JSON, so are boards.
///
/// ```
/// use headwater::{Board, BoardRow, HasSerde, Serde};
/// let rows = vec![BoardRow { key: "AA".to_owned(), value: 12 }];
/// let mut json = Vec::new();
/// <Board<String, i64> as HasSerde>::Serde::default().serialize(&Board { rows }, &mut json)?;
/// assert_eq!(json, br#"{"rows":[{"key":"AA","value":12}]}"#);
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board<K, V> {
    /// The rows; the rank of a row is its index plus one.
    pub rows: Vec<BoardRow<K, V>>,
}

/// A member of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardRow<K, V> {
    /// The member: the key of the table that was grouped.
    pub key: K,
    /// Its row; the score is told from it.
    pub value: V,
}

impl<K, V> HasSerde for Board<K, V>
where
    K: Clone + Serialize + DeserializeOwned + 'static,
    V: Clone + Serialize + DeserializeOwned + 'static,
{
    type Serde = Json;
}

/// A floating-point score. NaN is below every number, and 0 and -0 are the same.
///
/// ```
/// use headwater::FloatScore;
/// assert!(FloatScore(0.5) > FloatScore(-1.0));
/// assert!(FloatScore(f64::NAN) < FloatScore(f64::NEG_INFINITY));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FloatScore(
    /// The number.
    pub f64,
);

impl Ord for FloatScore {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // What cannot be compared has a NaN in it: whoever is a number is above.
        self.0.partial_cmp(&other.0).unwrap_or_else(|| (!self.0.is_nan()).cmp(&!other.0.is_nan()))
    }
}

impl PartialOrd for FloatScore {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FloatScore {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for FloatScore {}

/// How members are ordered and how many are shown.
pub struct RankBy<V, S> {
    /// How many members are shown.
    pub shown: usize,
    /// Whether the lowest score comes first.
    pub lowest_first: bool,
    /// Tells the score of a row. It must tell the same for the same row, today and after a restart.
    pub score: Arc<dyn Fn(&V) -> S + Send + Sync>,
}

impl<V, S> Clone for RankBy<V, S> {
    fn clone(&self) -> Self {
        Self { shown: self.shown, lowest_first: self.lowest_first, score: Arc::clone(&self.score) }
    }
}

impl<V, S> RankBy<V, S> {
    fn score(&self, row: &V) -> Score<S> {
        let score = (self.score)(row);
        if self.lowest_first { Score::Lowest(score) } else { Score::Highest(Reverse(score)) }
    }
}

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

/// A change that waits to be told.
struct Due {
    /// Time of the last change; `None` once it has been told.
    timestamp: Option<i64>,
    dirty: bool,
    unflushed: bool,
}

type BoardKey = Rc<[u8]>;

/// The members of each board, in the order of their scores.
pub struct LeaderboardStore<K, V, S> {
    shelf: Shelf,
    serdes: LeaderboardSerdes<K, V>,
    rank_by: RankBy<V, S>,
    boards: HashMap<BoardKey, Ranking<V, S>>,
    /// `(first ms after the window, start, board)` of the boards of windows in memory.
    by_end: BTreeSet<(i64, i64, BoardKey)>,
    /// No board of the store has a window that ends before.
    earliest_end: i64,
    /// The index of windows that end before is no longer needed.
    dropped_to: Option<i64>,
    due: BTreeMap<BoardKey, Due>,
    /// Board and member, in the order of their first change.
    dirty: Vec<(BoardKey, Rc<[u8]>)>,
    unflushed: BTreeSet<(BoardKey, Rc<[u8]>)>,
    complete: bool,
    period: u32,
    bytes: usize,
    scratch: Vec<u8>,
}

impl<K, V: Clone, S: Ord + Clone> LeaderboardStore<K, V, S> {
    /// Opens the store on its shelf.
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn open(shelf: Shelf, serdes: LeaderboardSerdes<K, V>, rank_by: RankBy<V, S>) -> Result<Self> {
        let mut store = Self {
            shelf,
            serdes,
            rank_by,
            boards: HashMap::new(),
            by_end: BTreeSet::new(),
            earliest_end: i64::MAX,
            dropped_to: None,
            due: BTreeMap::new(),
            dirty: Vec::new(),
            unflushed: BTreeSet::new(),
            complete: true,
            period: 0,
            bytes: 0,
            scratch: Vec::new(),
        };
        store.discard()?;
        Ok(store)
    }

    /// The first millisecond after the window of `board`; `None` for boards without window.
    #[must_use]
    pub fn end_of(&self, board: &[u8]) -> Option<i64> {
        let kind = self.serdes.windows?;
        Some(kind.after(kind.window(board)?))
    }

    fn index_key(&self, board: &[u8]) -> Option<(i64, i64)> {
        let kind = self.serdes.windows?;
        let window = kind.window(board)?;
        Some((kind.after(window), window.start))
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
                !self.same_row(old, row.as_ref().map(|(row, _)| row))?
            }
        };
        let before =
            if changed && want_before { self.snapshot(ranking)?.map(|(board, _)| board) } else { None };
        self.set(board, member, row, timestamp);
        Ok(if changed { Shown::Changed { before } } else { Shown::Same })
    }

    fn same_row(&self, one: Option<&V>, other: Option<&V>) -> Result<bool> {
        let bytes = |row: Option<&V>| {
            let mut bytes = Vec::new();
            row.map(|row| self.write_row(row, &mut bytes)).transpose().map(|present| (present, bytes))
        };
        Ok(bytes(one)? == bytes(other)?)
    }

    fn write_row(&self, row: &V, out: &mut Vec<u8>) -> Result<bool> {
        self.serdes.rows.serialize(row, out).map_err(|error| self.shelf.serde_error("row", error))
    }

    /// Sets the row of a member of a board in memory and makes it dirty.
    fn set(&mut self, board: &[u8], member: &[u8], row: Option<(V, Score<S>)>, timestamp: i64) {
        let ranking = self.boards.get_mut(board).expect("the board is in memory");
        let (board, member) = (Rc::clone(&ranking.board), ranking.shared_key(member));
        let was_empty = ranking.len() == 0;
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
        if was_empty != (ranking.len() == 0) {
            self.note_window(&board, was_empty);
        }
    }

    /// A board has its first member, or lost its last one.
    fn note_window(&mut self, board: &BoardKey, live: bool) {
        let Some((end, start)) = self.index_key(board) else { return };
        let entry = (end, start, Rc::clone(board));
        if live {
            self.earliest_end = self.earliest_end.min(end);
            self.by_end.insert(entry);
        } else {
            self.by_end.remove(&entry);
        }
    }

    /// The shown part of `board` and the newest timestamp in it; `None` for a board without members.
    ///
    /// # Errors
    /// If a stored row cannot be read.
    pub fn board(&mut self, board: &[u8]) -> Result<Option<(Board<K, V>, i64)>> {
        self.load(board)?;
        let ranking = self.boards.get(board).expect("the board was just loaded");
        let shown = self.snapshot(ranking)?;
        self.unload_idle(board);
        Ok(shown)
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
                self.bytes += member_bytes::<V, S>(&member);
            }
            ranking.indexed = ranking.len() > 0;
        }
        if ranking.len() > 0 {
            self.note_window(&key, true);
        }
        self.bytes += board_bytes::<V, S>(board);
        self.boards.insert(key, ranking);
        Ok(())
    }

    fn stored(&self, board: &[u8]) -> Result<Vec<(Rc<[u8]>, Vec<u8>)>> {
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
        Ok((row.map_err(|error| self.shelf.serde_error("row", error))?, timestamp))
    }

    /// The boards whose windows end at `to` or before, by window, then by bytes. The caller drops them with
    /// [`LeaderboardStore::drop_board`].
    ///
    /// # Errors
    /// If the byte store cannot be read.
    pub fn ended(&mut self, to: i64) -> Result<Vec<Rc<[u8]>>> {
        if to < self.earliest_end || self.serdes.windows.is_none() {
            return Ok(Vec::new());
        }
        let later = (to.saturating_add(1), i64::MIN, BoardKey::default());
        let mut ended: BTreeSet<_> = self.by_end.range(..&later).cloned().collect();
        self.earliest_end = self.by_end.range(later..).next().map_or(i64::MAX, |(end, ..)| *end);
        if !self.complete {
            let mut stored = Vec::new();
            let mut next = None;
            self.shelf.bytes.scan(self.shelf.space + 1, KeyRange::default(), &mut |entry, _| {
                let Some((end, rest)) = unstamp(entry) else { return true };
                if end > to {
                    next = Some(end);
                    return false;
                }
                stored.extend(unstamp(rest).map(|(start, board)| (end, start, Rc::from(board))));
                true
            })?;
            self.earliest_end = self.earliest_end.min(next.unwrap_or(i64::MAX));
            // A board in memory speaks for itself: it may be empty by now, or dropped.
            ended.extend(stored.into_iter().filter(|(.., board)| !self.boards.contains_key(board)));
        }
        self.dropped_to = Some(to);
        Ok(ended.into_iter().map(|(.., board)| board).collect())
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

    /// Notes that the shown part of `board` has changed and waits to be told; survives a restart.
    pub fn set_due(&mut self, board: &[u8], timestamp: i64) {
        let due =
            self.due.entry(board.into()).or_insert(Due { timestamp: None, dirty: false, unflushed: false });
        due.timestamp = Some(due.timestamp.map_or(timestamp, |before| before.max(timestamp)));
        due.dirty = true;
    }

    /// Whether `board` waits to be told.
    #[must_use]
    pub fn is_due(&self, board: &[u8]) -> bool {
        self.due.get(board).is_some_and(|due| due.timestamp.is_some())
    }

    /// The boards that wait to be told, with the time of their last change, in the order of their bytes.
    #[must_use]
    pub fn due(&self) -> Vec<(Rc<[u8]>, i64)> {
        self.due.iter().filter_map(|(board, due)| Some((Rc::clone(board), due.timestamp?))).collect()
    }

    /// Notes that `board` has been told.
    pub fn set_told(&mut self, board: &[u8]) {
        if let Some(due) = self.due.get_mut(board) {
            due.timestamp = None;
            due.dirty = true;
        }
    }

    fn read_due(&mut self) -> Result<()> {
        let from = DUE.to_be_bytes();
        let due = &mut self.due;
        self.shelf.bytes.scan(self.shelf.space, KeyRange { from: &from, to: None }, &mut |key, stored| {
            let timestamp = unstamp(stored).map(|(timestamp, _)| timestamp);
            due.insert(key[from.len()..].into(), Due { timestamp, dirty: false, unflushed: false });
            true
        })
    }

    fn read_earliest_end(&mut self) -> Result<()> {
        let earliest = &mut self.earliest_end;
        self.shelf.bytes.scan(self.shelf.space + 1, KeyRange::default(), &mut |entry, _| {
            *earliest = unstamp(entry).map_or(i64::MIN, |(end, _)| end);
            false
        })
    }

    fn index_entry(&self, board: &[u8]) -> Option<Vec<u8>> {
        self.index_key(board).map(|(end, start)| stamp(end, &stamp(start, board)))
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
                Some(row) => self.write_row(row, &mut bytes)?,
            };
            let key = row_key(board, member);
            changelog.push(slot.timestamp, Some(&key), present.then_some(&bytes), 0);
        }
        for (board, due) in self.due.iter().filter(|(_, due)| due.dirty) {
            let value = due.timestamp.map(|_| &b""[..]);
            changelog.push(due.timestamp.unwrap_or_default(), Some(&due_key(board)), value, 0);
        }
        Ok(())
    }

    fn committed(&mut self) {
        for (board, member) in self.dirty.drain(..) {
            let slot = self.boards.get_mut(&board).and_then(|ranking| ranking.slot_mut(&member));
            let slot = slot.expect("a dirty member stays in memory");
            (slot.dirty, slot.unflushed) = (false, true);
            self.unflushed.insert((board, member));
        }
        for due in self.due.values_mut() {
            due.unflushed |= std::mem::take(&mut due.dirty);
        }
    }

    fn unflushed(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        assert!(self.dirty.is_empty(), "flushed while a transaction is open");
        let space = self.shelf.space;
        if let Some(to) = self.dropped_to {
            changes.push(Change::DeleteRange(
                space + 1,
                Vec::new(),
                to.saturating_add(1).to_be_bytes().to_vec(),
            ));
        }
        let mut last_board = None;
        for (board, member) in &self.unflushed {
            let ranking = self.boards.get(board).expect("an unflushed board stays in memory");
            if last_board != Some(board) && !ranking.indexed && ranking.len() > 0 {
                changes.extend(self.index_entry(board).map(|key| Change::Put(space + 1, key, Vec::new())));
            }
            last_board = Some(board);
            let slot = ranking.slot(member).expect("an unflushed member stays in memory");
            let Some(row) = slot.value() else {
                changes.push(Change::Delete(space, row_key(board, member)));
                continue;
            };
            let mut stored = slot.timestamp.to_be_bytes().to_vec();
            self.write_row(row, &mut stored)?;
            changes.push(Change::Put(space, row_key(board, member), stored));
        }
        for (board, due) in self.due.iter().filter(|(_, due)| due.unflushed) {
            changes.push(match due.timestamp {
                Some(timestamp) => Change::Put(space, due_key(board), timestamp.to_be_bytes().to_vec()),
                None => Change::Delete(space, due_key(board)),
            });
        }
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
        self.due.retain(|_, due| {
            due.unflushed = false;
            due.timestamp.is_some()
        });
        self.dropped_to = None;
        self.period = self.period.wrapping_add(1);
    }

    fn discard(&mut self) -> Result<()> {
        self.boards.clear();
        self.by_end.clear();
        self.due.clear();
        self.dirty.clear();
        self.unflushed.clear();
        self.dropped_to = None;
        self.earliest_end = i64::MAX;
        self.bytes = 0;
        self.complete = self.shelf.is_empty(KeyRange::default())?;
        self.read_due()?;
        self.read_earliest_end()
    }

    fn restore(&mut self, record: &RawRecord<'_>, changes: &mut Vec<Change>) -> Result<()> {
        let key = record.key.ok_or_else(|| self.shelf.corrupt("a changelog record without key"))?;
        let (len, rest) =
            key.split_first_chunk().ok_or_else(|| self.shelf.corrupt("a changelog key without board"))?;
        let len = u32::from_be_bytes(*len);
        self.complete = false;
        if len == DUE {
            match record.value {
                Some(_) => {
                    let timestamp = Some(record.timestamp);
                    self.due.insert(rest.into(), Due { timestamp, dirty: false, unflushed: false });
                    let stored = record.timestamp.to_be_bytes().to_vec();
                    changes.push(Change::Put(self.shelf.space, key.to_vec(), stored));
                }
                None => {
                    self.due.remove(rest);
                    changes.push(Change::Delete(self.shelf.space, key.to_vec()));
                }
            }
            return Ok(());
        }
        let (board, _) = rest
            .split_at_checked(len as usize)
            .ok_or_else(|| self.shelf.corrupt("a changelog key shorter than its board"))?;
        let Some(row) = record.value else {
            changes.push(Change::Delete(self.shelf.space, key.to_vec()));
            return Ok(());
        };
        changes.push(Change::Put(self.shelf.space, key.to_vec(), stamp(record.timestamp, row)));
        if let Some(entry) = self.index_entry(board) {
            self.earliest_end = self.earliest_end.min(self.end_of(board).unwrap_or(i64::MAX));
            changes.push(Change::Put(self.shelf.space + 1, entry, Vec::new()));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn evict(&mut self, periods: u32) {
        let period = self.period;
        let before = self.boards.len();
        let bytes = &mut self.bytes;
        let mut dropped = Vec::new();
        self.boards.retain(|board, ranking| {
            let stays = ranking.unsaved > 0 || period.wrapping_sub(ranking.used) < periods;
            if !stays {
                dropped.push(Rc::clone(board));
                *bytes -= ranking.memory_bytes();
            }
            stays
        });
        for board in &dropped {
            self.note_window(board, false);
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

fn due_key(board: &[u8]) -> Vec<u8> {
    let mut key = DUE.to_be_bytes().to_vec();
    key.extend_from_slice(board);
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
