//! The leaderboard store against a model that sorts everything, through commits, flushes, aborts and restarts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use headwater::codec::{LongSerde, StringSerde, WindowKind};
use headwater::error::{Error, Reaction, Result};
use headwater::state::{
    Batches, Board, BoardRow, Changes, KeyRange, LeaderboardSerdes, LeaderboardStore, MemberChange,
    MemoryBackend, RankBy, Shelf, Shown, StateBackend, StateStore,
};
use headwater::{RecordBatch, TaskId};

const SHOWN: usize = 3;
const SIZE_MS: i64 = 10;
const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };

type Store = LeaderboardStore<String, i64, i64>;
/// Board and member: row and timestamp.
type Rows = BTreeMap<(Vec<u8>, String), (i64, i64)>;

/// What a store should hold, the slow way, with the changelog that it has written.
struct Model {
    store: Store,
    backend: MemoryBackend,
    rows: Rows,
    due: BTreeMap<Vec<u8>, i64>,
    committed: (Rows, BTreeMap<Vec<u8>, i64>),
    changelog: RecordBatch,
    /// Changelog records that the byte store has.
    flushed: usize,
    dropped_to: i64,
    committed_dropped_to: i64,
    random: u64,
}

fn open(backend: &MemoryBackend) -> Store {
    let bytes = backend.open(TASK).unwrap();
    let shelf = Shelf { name: "boards".to_owned(), space: 1, bytes };
    let windows = Some(WindowKind::Sized(SIZE_MS));
    let serdes = LeaderboardSerdes { members: Arc::new(StringSerde), rows: Arc::new(LongSerde), windows };
    // Rows with the same score, and other rows with the same score, both happen.
    let rank_by = RankBy { shown: SHOWN, lowest_first: false, score: Arc::new(|row: &i64| row / 4) };
    Store::open(shelf, serdes, rank_by).unwrap()
}

impl Model {
    fn new(seed: u64) -> Self {
        let backend = MemoryBackend::default();
        Self {
            store: open(&backend),
            backend,
            rows: Rows::new(),
            due: BTreeMap::new(),
            committed: (Rows::new(), BTreeMap::new()),
            changelog: RecordBatch::default(),
            flushed: 0,
            dropped_to: -1,
            committed_dropped_to: -1,
            random: seed,
        }
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// A board of one of the windows that are open. Names differ in length, and one begins as another does.
    fn board(&mut self) -> Vec<u8> {
        let name = [&b"a"[..], b"ab", b"\xff\xff", b""][self.random(4) as usize];
        let start = (self.dropped_to / SIZE_MS).max(0) * SIZE_MS + self.random(4) as i64 * SIZE_MS;
        [name, &start.to_be_bytes()].concat()
    }

    fn top(&self, board: &[u8]) -> Option<Board<String, i64>> {
        let of_board = self.rows.iter().filter(|((other, _), _)| other == board);
        let mut rows: Vec<_> =
            of_board.map(|((_, member), (row, _))| BoardRow { key: member.clone(), value: *row }).collect();
        rows.sort_by_key(|row| (Reverse(row.value / 4), row.key.clone()));
        rows.truncate(SHOWN);
        (!rows.is_empty()).then_some(Board { rows })
    }

    fn update(&mut self, timestamp: i64) {
        let board = self.board();
        let member = format!("m{}", self.random(9));
        let row = (self.random(3) > 0).then(|| self.random(24) as i64);
        let before = self.top(&board);
        let key = (board.clone(), member.clone());
        let known = match row {
            Some(row) => self.rows.insert(key, (row, timestamp)),
            None => self.rows.remove(&key),
        };
        let change = MemberChange { member: &member, row, timestamp, want_before: true };
        let shown = self.store.update(&board, change).unwrap();
        let expected = if self.top(&board) == before { Shown::Same } else { Shown::Changed { before } };
        assert_eq!(shown, expected, "{member} {row:?}, was {known:?}");
        if shown != Shown::Same && self.random(2) == 0 {
            self.store.due_mut().add(&board, timestamp);
            let due = self.due.entry(board).or_insert(timestamp);
            *due = timestamp.max(*due);
        }
    }

    fn tell(&mut self) {
        let due: BTreeMap<_, _> =
            self.store.due().all().into_iter().map(|(board, time)| (board.to_vec(), time)).collect();
        assert_eq!(due, self.due);
        if let Some(board) = due.into_keys().next() {
            self.store.due_mut().told(&board);
            self.due.remove(&board);
        }
    }

    fn drop_ended(&mut self, timestamp: i64) {
        self.dropped_to += self.random(2 * SIZE_MS as u64) as i64;
        let to = self.dropped_to;
        let end = |board: &[u8]| WindowKind::Sized(SIZE_MS).window(board).unwrap().end;
        let mut expected: Vec<_> = self.rows.keys().map(|(board, _)| board.clone()).collect();
        expected.dedup();
        expected.retain(|board| end(board) <= to);
        expected.sort_by_key(|board| (end(board), board.clone()));
        let mut ended = self.store.ended(to).unwrap();
        for board in &ended {
            self.store.drop_board(board, timestamp).unwrap();
        }
        // It may name boards that are empty.
        ended.retain(|board| self.rows.keys().any(|(other, _)| *other == **board));
        let ended: Vec<_> = ended.iter().map(|board| board.to_vec()).collect();
        assert_eq!(ended, expected);
        self.rows.retain(|(board, _), _| end(board) > to);
    }

    fn commit(&mut self) {
        let before = self.changelog.len();
        self.store.log(&mut self.changelog).unwrap();
        self.store.committed();
        let mut keys: Vec<_> =
            self.changelog.iter().skip(before).map(|record| record.key.unwrap().to_vec()).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "each key once per commit");
        self.committed = (self.rows.clone(), self.due.clone());
        self.committed_dropped_to = self.dropped_to;
    }

    /// Flushes in batches of `limit` bytes; a crash comes before the one behind the first `most`.
    fn flush(&mut self, limit: usize, most: usize) -> Result<()> {
        let (bytes, mut batches) = (self.backend.open(TASK).unwrap(), 0);
        let mut apply = |changes: &mut Changes| {
            batches += 1;
            if batches > most {
                return Err(Error::new(Reaction::Stop, "crashed"));
            }
            bytes.apply(changes)
        };
        let mut batches = Batches::new(limit, &mut apply);
        self.store.unflushed(&mut batches)?;
        batches.end()?;
        self.store.flushed();
        self.flushed = self.changelog.len();
        Ok(())
    }

    /// What happens after an abort (`same`), or in another process; `wiped`: whose disk is empty.
    fn restart(&mut self, same: bool, wiped: bool) {
        if wiped {
            self.backend.open(TASK).unwrap().wipe().unwrap();
            self.flushed = 0;
        }
        if same {
            self.store.discard().unwrap();
        } else {
            self.store = open(&self.backend);
        }
        let mut changes = Changes::default();
        for record in self.changelog.iter().skip(self.flushed) {
            self.store.restore(&record, &mut changes).unwrap();
        }
        self.flushed = self.changelog.len();
        self.backend.open(TASK).unwrap().apply(&changes).unwrap();
        (self.rows, self.due) = self.committed.clone();
        self.dropped_to = self.committed_dropped_to;
    }

    fn check(&mut self) {
        let board = self.board();
        let shown = self.store.board(&board).unwrap();
        assert_eq!(shown.as_ref().map(|(board, _)| board), self.top(&board).as_ref());
        let newest = |board: &Board<String, i64>, key: &[u8]| {
            board.rows.iter().map(|row| self.rows[&(key.to_vec(), row.key.clone())].1).max()
        };
        if let Some((shown, time)) = shown {
            assert_eq!(Some(time), newest(&shown, &board));
        }
    }

    fn step(&mut self, timestamp: i64) {
        match self.random(40) {
            0 | 1 => self.commit(),
            2 => {
                self.commit();
                let (limit, most) = (self.random(2_000) as usize, self.random(8) as usize);
                if self.flush(limit, most).is_err() {
                    self.restart(false, false);
                }
            }
            3 => {
                let periods = self.random(3) as u32;
                self.store.evict(periods);
            }
            4 if self.random(4) == 0 => {
                let (same, wiped) = (self.random(2) == 0, self.random(3) == 0);
                self.restart(same, wiped);
            }
            5 => self.drop_ended(timestamp),
            6 | 7 => self.tell(),
            8 => self.check(),
            _ => self.update(timestamp),
        }
    }
}

#[test]
fn a_store_does_what_sorting_everything_would_do_whatever_happens_to_its_memory() {
    for seed in 0..20 {
        let mut model = Model::new(seed);
        for step in 0..4_000 {
            model.step(step);
        }
        model.commit();
        model.flush(usize::MAX, 1).unwrap();
        model.store.evict(0);
        assert_eq!(model.store.memory_bytes(), 0);
        // What is left on disk is what the boards hold: nothing of a dropped window stays, in neither space.
        model.dropped_to = i64::MAX - 100;
        model.store.ended(model.dropped_to).unwrap().iter().for_each(|board| {
            model.store.drop_board(board, 0).unwrap();
        });
        while !model.due.is_empty() {
            model.tell();
        }
        model.commit();
        model.flush(usize::MAX, 1).unwrap();
        for space in [1, 2] {
            let bytes = model.backend.open(TASK).unwrap();
            let mut left = 0;
            bytes
                .scan(space, KeyRange::default(), &mut |_, _| {
                    left += 1;
                    true
                })
                .unwrap();
            assert_eq!(left, 0, "space {space}, seed {seed}");
        }
    }
}

#[test]
fn what_is_no_leaderboards_changelog_is_refused() {
    let mut store = open(&MemoryBackend::default());
    for key in [None, Some(&b"abc"[..]), Some(b"\0\0\0\x09short")] {
        let mut batch = RecordBatch::default();
        batch.push(0, key, Some(b""), 0);
        assert!(store.restore(&batch.get(0), &mut Changes::default()).is_err(), "{key:?}");
    }
}
