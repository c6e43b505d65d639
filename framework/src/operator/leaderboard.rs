//! Keeping the first members of each board: a table's rows, grouped by board, in the order of their scores.
//!
//! 1. A board is told when the part of it that is shown changes: its members, their order, their rows. A board that
//!    has lost its last member is deleted.
//! 2. The operator's stream time is the newest event time it has seen. A board of a window is dropped when stream time
//!    passes the window's end by what it is kept; what comes for it later counts as late.
//! 3. [`BoardEmit::AtMostEvery`] tells by the wall clock. Boards that wait are marked in the store, so a restart loses
//!    none; it begins a new interval, so none is told twice within one.
//! 4. [`BoardEmit::OnWindowClose`] tells a board as it is dropped, by window and then by key: only a record moves
//!    stream time, so the last windows wait for one.
//! 5. A told board has the newest timestamp of what it shows and of the change that made it so.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Change, Context, Lookup, Outlet, Process, Tick, TimeCell};
use crate::codec::{Serde, SerdeError};
use crate::error::{Error, Reaction, Result};
use crate::record::{Headers, Record};
use crate::state::{Board, BoardRow, LeaderboardStore, MemberChange, Shown};
use crate::telemetry::DropReason;

/// When a board is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoardEmit {
    /// With every update that changes what is shown.
    #[default]
    OnUpdate,
    /// At most once per interval of the wall clock, if what is shown has changed: the newest state only.
    AtMostEvery(Duration),
    /// Once, when stream time passes the end of the board's window by the grace. For boards of windows only.
    OnWindowClose {
        /// How long updates are waited for after the window's end; at least the grace of the windowed table.
        grace: Duration,
    },
}

/// Keeps the boards and tells them.
pub struct Leaderboard<B, K, V, S> {
    /// Name of the node.
    pub node: String,
    /// Reads and writes the keys of boards.
    pub keys: Arc<dyn Serde<B>>,
    /// When boards are told.
    pub emit: BoardEmit,
    /// How long boards are kept after the end of their windows, milliseconds.
    pub keep_ms: i64,
    /// The members.
    pub store: Rc<RefCell<LeaderboardStore<K, V, S>>>,
    /// Newest event time seen.
    pub stream_time: TimeCell,
    /// Time up to which the windows' boards have been dropped.
    pub dropped_to: TimeCell,
    /// Wall-clock time of the next round of [`BoardEmit::AtMostEvery`].
    pub next_round_ms: Option<i64>,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Memory for the key of the current board.
    pub key: Vec<u8>,
    /// Successors.
    pub out: Outlet<B, Change<Board<K, V>>>,
}

impl<B, K, V, S> Process<B, Change<BoardRow<K, V>>> for Leaderboard<B, K, V, S>
where
    B: Clone,
    K: Clone,
    V: Clone,
    S: Ord + Clone,
{
    fn process(
        &mut self,
        context: &mut Context<'_>,
        record: Record<B, Change<BoardRow<K, V>>>,
    ) -> Result<()> {
        self.key.clear();
        let written = self.keys.serialize(&record.key, &mut self.key);
        if !written.map_err(|error| self.unreadable(error))? {
            return Err(Error::new(Reaction::Stop, "a leaderboard's record has no key").at_node(&self.node));
        }
        self.stream_time.set(self.stream_time.get().max(record.timestamp));
        // A window that ends after the last millisecond has no end that could be passed.
        let closed = self.stream_time.get().saturating_sub(self.keep_ms).min(i64::MAX - 1);
        let closed = closed.max(self.dropped_to.get());
        let headers = record.headers.clone();
        let end = self.store.borrow().end_of(&self.key);
        if end.is_some_and(|end| end <= closed) {
            context.drop(&self.node, DropReason::Late);
        } else {
            self.update(context, record)?;
        }
        self.drop_ended(context, closed, &headers)
    }
}

impl<B: Clone, K: Clone, V: Clone, S: Ord + Clone> Leaderboard<B, K, V, S> {
    fn unreadable(&self, error: SerdeError) -> Error {
        let reaction = if error.retry { Reaction::Abort } else { Reaction::Stop };
        Error::new(reaction, "cannot handle a board's key").because(error).at_node(&self.node)
    }

    fn update(&mut self, context: &mut Context<'_>, record: Record<B, Change<BoardRow<K, V>>>) -> Result<()> {
        let Record { key, value: Change { new, old }, timestamp, headers } = record;
        let (member, row) = match (new, old) {
            (Some(BoardRow { key, value }), _) => (key, Some(value)),
            (None, Some(old)) => (old.key, None),
            (None, None) => return Ok(()),
        };
        let want_before = self.send_old && self.emit == BoardEmit::OnUpdate;
        let change = MemberChange { member: &member, row, timestamp, want_before };
        let mut store = self.store.borrow_mut();
        let Shown::Changed { before: old } = store.update(&self.key, change)? else { return Ok(()) };
        match self.emit {
            BoardEmit::OnWindowClose { .. } => Ok(()),
            BoardEmit::AtMostEvery(_) => {
                store.due_mut().add(&self.key, timestamp);
                Ok(())
            }
            BoardEmit::OnUpdate => {
                let (new, timestamp) = stamped(store.board(&self.key)?, timestamp);
                drop(store);
                let value = Change { new, old };
                self.out.forward(context, Record { key, value, timestamp, headers })
            }
        }
    }

    /// Drops the boards whose windows are over since the last time, and tells them if this is when they are told.
    fn drop_ended(&mut self, context: &mut Context<'_>, closed: i64, headers: &Headers) -> Result<()> {
        if closed <= self.dropped_to.get() {
            return Ok(());
        }
        self.dropped_to.set(closed);
        let ended = self.store.borrow_mut().ended(closed)?;
        for board in ended {
            // It still has to be told, and is dropped then.
            if self.store.borrow().due().contains(&board) {
                continue;
            }
            if matches!(self.emit, BoardEmit::OnWindowClose { .. }) {
                self.tell(context, &board, Told { changed_at: i64::MIN, headers })?;
            }
            self.store.borrow_mut().drop_board(&board, self.stream_time.get())?;
        }
        Ok(())
    }

    /// Forwards a board as it is, under its key's bytes; nothing where a window's board never had a member.
    fn tell(&self, context: &mut Context<'_>, board: &[u8], told: Told<'_>) -> Result<()> {
        let shown = self.store.borrow_mut().board(board)?;
        let (new, timestamp) = stamped(shown, told.changed_at);
        if new.is_none() && told.changed_at == i64::MIN {
            return Ok(());
        }
        let key = self.keys.deserialize(Some(board)).map_err(|error| self.unreadable(error))?;
        let value = Change { new, old: None };
        let headers = told.headers.clone();
        self.out.forward(context, Record { key, value, timestamp, headers })
    }
}

impl<B: Clone, K: Clone, V: Clone, S: Ord + Clone> Tick for Leaderboard<B, K, V, S> {
    fn tick(&mut self, context: &mut Context<'_>) -> Result<()> {
        let BoardEmit::AtMostEvery(interval) = self.emit else { return Ok(()) };
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let next = context.now_ms.saturating_add(interval_ms);
        // The clock may have been set back: nobody waits longer than an interval.
        let round = self.next_round_ms.unwrap_or(next).min(next);
        self.next_round_ms = Some(round);
        if context.now_ms < round {
            return Ok(());
        }
        self.next_round_ms = Some(next);
        let due = self.store.borrow().due().all();
        for (board, changed_at) in due {
            // One that fails does not keep the others from being told, nor is it told again and again.
            if let Err(error) = self.tell(context, &board, Told { changed_at, headers: &Headers::default() })
            {
                context.recover(error)?;
            }
            let mut store = self.store.borrow_mut();
            store.due_mut().told(&board);
            if store.end_of(&board).is_some_and(|end| end <= self.dropped_to.get()) {
                store.drop_board(&board, self.stream_time.get())?;
            }
        }
        Ok(())
    }
}

/// What a board is told with.
#[derive(Clone, Copy)]
struct Told<'a> {
    /// Time of the change, where there was one.
    changed_at: i64,
    headers: &'a Headers,
}

/// The board, and the newest of its time and the change's.
fn stamped<T>(shown: Option<(T, i64)>, changed_at: i64) -> (Option<T>, i64) {
    match shown {
        Some((board, newest)) => (Some(board), newest.max(changed_at)),
        None => (None, changed_at),
    }
}

/// Finds a board as it is now, told or not.
pub struct BoardLookup<B, K, V, S> {
    /// Writes the keys of boards.
    pub keys: Arc<dyn Serde<B>>,
    /// The members.
    pub store: Rc<RefCell<LeaderboardStore<K, V, S>>>,
}

impl<B, K, V: Clone, S: Ord + Clone> Lookup<B, Board<K, V>> for BoardLookup<B, K, V, S> {
    fn lookup(&self, key: &B, found: &mut dyn FnMut(Option<&Board<K, V>>)) -> Result<()> {
        let mut bytes = Vec::new();
        let written = self.keys.serialize(key, &mut bytes);
        written.map_err(|error| {
            Error::new(crate::state::blamed(&error), "cannot write a board's key").because(error)
        })?;
        let board = self.store.borrow_mut().board(&bytes)?;
        found(board.as_ref().map(|(board, _)| board));
        Ok(())
    }
}

/// Serde of a member and its row on a repartition topic: `len(member):u32 | member | row`. A row that is null is
/// null as a whole, and so belongs to no board.
pub struct BoardRowSerde<K, V> {
    /// Serde of members.
    pub members: Arc<dyn Serde<K>>,
    /// Serde of rows.
    pub rows: Arc<dyn Serde<V>>,
}

impl<K, V> Serde<BoardRow<K, V>> for BoardRowSerde<K, V> {
    fn serialize(&self, row: &BoardRow<K, V>, out: &mut Vec<u8>) -> std::result::Result<bool, SerdeError> {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.members.serialize(&row.key, out)?;
        let len = u32::try_from(out.len() - start - 4)
            .map_err(|_| SerdeError::new("board row", "the member is 4 GiB or larger", None))?;
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
        let present = self.rows.serialize(&row.value, out)?;
        if !present {
            out.truncate(start);
        }
        Ok(present)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> std::result::Result<BoardRow<K, V>, SerdeError> {
        let parts = bytes.and_then(|bytes| {
            let (len, rest) = bytes.split_first_chunk()?;
            rest.split_at_checked(u32::from_be_bytes(*len) as usize)
        });
        let (member, row) =
            parts.ok_or_else(|| SerdeError::new("board row", "it ends within its member", bytes))?;
        Ok(BoardRow {
            key: self.members.deserialize(Some(member))?,
            value: self.rows.deserialize(Some(row))?,
        })
    }

    fn is_null(&self, row: &BoardRow<K, V>) -> bool {
        self.rows.is_null(&row.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{LongSerde, StringSerde, WindowKind};
    use crate::operator::{Handlers, OutRecord, Output, Target};
    use crate::record::Windowed;
    use crate::state::{LeaderboardSerdes, MemoryBackend, RankBy, Shelf, StateBackend};
    use crate::telemetry::Counters;
    use crate::topic::TaskId;

    type Key = Windowed<String>;
    type Told = Record<Key, Change<Board<String, i64>>>;

    /// Keeps what is told.
    #[derive(Default)]
    struct Kept(Vec<Told>);

    impl Process<Key, Change<Board<String, i64>>> for Kept {
        fn process(&mut self, _context: &mut Context<'_>, record: Told) -> Result<()> {
            self.0.push(record);
            Ok(())
        }
    }

    struct NoOutput;

    impl Output for NoOutput {
        fn emit(&mut self, _target: &Target<'_>, _record: &OutRecord<'_>) -> Result<()> {
            panic!("a leaderboard writes no topic");
        }
    }

    /// A leaderboard of windows of 10 ms that shows one row, and what it told.
    struct Bench {
        operator: Leaderboard<Key, String, i64, i64>,
        kept: Rc<RefCell<Kept>>,
        counters: Counters,
    }

    impl Bench {
        fn new(emit: BoardEmit) -> Self {
            let bytes = MemoryBackend::default().open(TaskId { subtopology: 0, partition: 0 }).unwrap();
            let windows = WindowKind::Sized(10);
            let serdes = LeaderboardSerdes {
                members: Arc::new(StringSerde),
                rows: Arc::new(LongSerde),
                windows: Some(windows),
            };
            let rank_by = RankBy { shown: 1, lowest_first: false, score: Arc::new(|row: &i64| *row) };
            let shelf = Shelf { name: "boards".to_owned(), space: 1, bytes };
            let (kept, out) = (Rc::<RefCell<Kept>>::default(), Outlet::default());
            out.connect(kept.clone());
            let operator = Leaderboard {
                node: "leaderboard".to_owned(),
                keys: windows.serde(StringSerde),
                emit,
                keep_ms: 0,
                store: Rc::new(RefCell::new(LeaderboardStore::open(shelf, serdes, rank_by).unwrap())),
                stream_time: TimeCell::new((-1).into()),
                dropped_to: TimeCell::new((-1).into()),
                next_round_ms: None,
                send_old: false,
                key: Vec::new(),
                out,
            };
            Self { operator, kept, counters: Counters::default() }
        }

        fn run(
            &mut self,
            now_ms: i64,
            work: impl Fn(&mut Leaderboard<Key, String, i64, i64>, &mut Context<'_>),
        ) {
            let (handlers, mut output) = (Handlers::default(), NoOutput);
            let task = TaskId { subtopology: 0, partition: 0 };
            let counters = &mut self.counters;
            let mut context = Context {
                task,
                now_ms,
                stream_time: -1,
                input: None,
                counters,
                handlers: &handlers,
                output: &mut output,
            };
            work(&mut self.operator, &mut context);
        }

        fn row(&mut self, member: &str, row: i64, timestamp: i64) {
            self.run(0, |operator, context| {
                let start = timestamp / 10 * 10;
                let row = BoardRow { key: member.to_owned(), value: row };
                let key = Windowed::new("all".to_owned(), start, start + 10);
                let change = Change { new: Some(row), old: None };
                operator.process(context, Record::new(key, change, timestamp)).unwrap();
            });
        }

        fn tick(&mut self, now_ms: i64) {
            self.run(now_ms, |operator, context| operator.tick(context).unwrap());
        }

        fn told(&self) -> usize {
            self.kept.borrow().0.len()
        }
    }

    #[test]
    fn a_clock_that_is_set_back_delays_by_no_more_than_an_interval() {
        let mut bench = Bench::new(BoardEmit::AtMostEvery(Duration::from_millis(100)));
        bench.tick(1_000_000);
        bench.row("a", 1, 1);
        bench.tick(500_000);
        bench.tick(500_099);
        assert_eq!(bench.told(), 0);
        bench.tick(500_100);
        assert_eq!(bench.told(), 1);
    }

    #[test]
    fn what_was_told_once_stays_closed_when_stream_time_is_lost() {
        let mut bench = Bench::new(BoardEmit::OnWindowClose { grace: Duration::ZERO });
        bench.row("a", 1, 1);
        bench.row("a", 1, 10);
        assert_eq!(bench.told(), 1);
        bench.operator.stream_time.set(-1);
        bench.row("b", 1, 2);
        bench.row("b", 1, 20);
        assert_eq!((bench.told(), bench.counters.dropped(DropReason::Late)), (2, 1));
    }
}
