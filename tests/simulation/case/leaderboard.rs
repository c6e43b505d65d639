//! A leaderboard over a table: rows come, change their board or their score, and go.

use std::collections::BTreeMap;

use headwater::topology::StoreKind;
use headwater::{Board, BoardRow, HasSerde, Ranked, Serde, StreamsBuilder, Topology};

use super::{Case, Feed, View, Wrong, key, same_rows, show_value, value};

/// Rows that a board shows.
pub(crate) const SHOWN: usize = 3;

pub(crate) struct Leaderboard;

/// Rows are `board:score`.
fn split(row: &str) -> (String, i64) {
    let (board, score) = row.split_once(':').unwrap_or((row, "0"));
    (board.to_owned(), score.parse().unwrap_or(0))
}

/// What a board with these members and scores shows, as it is written.
pub(crate) fn shown(members: &BTreeMap<String, i64>) -> String {
    let mut rows: Vec<_> = members.iter().collect();
    // Equal scores stay in the order of the members.
    rows.sort_by_key(|(_, score)| -**score);
    rows.truncate(SHOWN);
    let row = |(member, score): (&String, &i64)| BoardRow { key: member.clone(), value: *score };
    let board = Board { rows: rows.into_iter().map(row).collect() };
    let mut bytes = Vec::new();
    match <Board<String, i64> as HasSerde>::Serde::default().serialize(&board, &mut bytes) {
        Ok(_) => show_value(&bytes),
        Err(error) => error.to_string(),
    }
}

/// Member by member: what a leaderboard's store is to hold, by its changelog's keys.
pub(crate) fn stored(boards: &BTreeMap<Vec<u8>, BTreeMap<String, i64>>) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for (board, members) in boards {
        for (member, score) in members {
            let len = u32::try_from(board.len()).unwrap_or(u32::MAX).to_be_bytes();
            let key = [&len[..], board, member.as_bytes()].concat();
            rows.insert(key.escape_ascii().to_string(), score.to_string());
        }
    }
    rows
}

impl Case for Leaderboard {
    fn name(&self) -> &'static str {
        "leaderboard"
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        builder
            .table::<String, String>("in")
            .group_by(|_, row| split(row))
            .leaderboard_with(SHOWN, |score| *score, Ranked::named("boards"))
            .to_stream()
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        let mut time = 10_000;
        let record = |_| {
            time += random.i64(0..50);
            let row = format!("b{}:{}", random.u32(..3), random.u32(..12));
            let value = (random.u32(..5) > 0).then_some(row);
            Feed { topic: "in", key: format!("m{}", random.u32(..20)), value, timestamp: time }
        };
        (0..count).map(record).collect()
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        let mut rows: BTreeMap<String, String> = BTreeMap::new();
        let mut boards: BTreeMap<Vec<u8>, BTreeMap<String, i64>> = BTreeMap::new();
        for record in view.all("in") {
            if record.value.is_some() {
                rows.insert(key(record), value(record));
                boards.entry(split(&value(record)).0.into_bytes()).or_default();
            } else {
                rows.remove(&key(record));
            }
        }
        for (member, row) in rows {
            let (board, score) = split(&row);
            boards.entry(board.into_bytes()).or_default().insert(member, score);
        }
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        for record in view.all("out") {
            // In which order rows of different partitions meet is open, but nothing is told that is shown already.
            let (board, shown) = (key(record), value(record));
            if told.insert(board.clone(), shown.clone()).as_ref() == Some(&shown) {
                return Err(format!("out: board {board} is told twice as {shown}"));
            }
        }
        let text = |board: &[u8]| board.escape_ascii().to_string();
        let expected = boards.iter().map(|(board, members)| {
            let nobody = members.is_empty();
            (text(board), if nobody { "null".to_owned() } else { shown(members) })
        });
        same_rows("out", &told, &expected.collect())?;
        same_rows("store boards", &view.fold("boards"), &stored(&boards))
    }

    fn store(&self, name: &str) -> StoreKind {
        if name == "boards" { StoreKind::Leaderboard } else { StoreKind::KeyValue }
    }
}
