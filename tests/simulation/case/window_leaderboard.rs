//! A leaderboard over a windowed table: who was counted most often in each window, told once it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater::topology::StoreKind;
use headwater::{BoardEmit, Materialized, Ranked, StreamsBuilder, TimeWindows, Topology};
use headwater_broker::broker::OwnedRecord;

use super::leaderboard::{SHOWN, shown, stored};
use super::{Case, Feed, View, Wrong, key, late_records, same_records, same_rows, value};

const SIZE_MS: i64 = 1_000;
/// Longer than any run takes in event time: partitions meet in an open order, and nothing may be late in any.
const GRACE_MS: i64 = 3_600_000;
/// The record that ends all windows before it.
const LAST_MS: i64 = 100_000_000;
/// The one board.
const BOARD: &str = "all";

pub(crate) struct WindowLeaderboard;

fn board_key(start: i64) -> Vec<u8> {
    [BOARD.as_bytes(), &start.to_be_bytes()].concat()
}

fn show_board(record: &OwnedRecord) -> String {
    let start = record.key.as_deref().and_then(|key| key.last_chunk::<8>());
    format!("{}={}", start.map_or(-1, |start| i64::from_be_bytes(*start)), value(record))
}

impl Case for WindowLeaderboard {
    fn name(&self) -> &'static str {
        "window-leaderboard"
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        let grace = Duration::from_millis(GRACE_MS.unsigned_abs());
        let windows = TimeWindows::of_size_and_grace(Duration::from_millis(SIZE_MS.unsigned_abs()), grace);
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .windowed_by(windows)
            .count_with(Materialized::named("windows"))
            .group_by_window(|_, count| (BOARD.to_owned(), *count))
            .leaderboard_with(
                SHOWN,
                |count| *count,
                Ranked::named("boards").emit(BoardEmit::OnWindowClose { grace }),
            )
            .to_stream()
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        late_records(random, count, 2_500)
    }

    fn finale(&self) -> Vec<Feed> {
        let value = Some("last".to_owned());
        vec![Feed { topic: "in", key: "k0".to_owned(), value, timestamp: LAST_MS }]
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        let mut counts: BTreeMap<i64, BTreeMap<String, i64>> = BTreeMap::new();
        for record in view.all("in") {
            let window = counts.entry(record.timestamp / SIZE_MS * SIZE_MS).or_default();
            *window.entry(key(record)).or_default() += 1;
        }
        // The last window is still open.
        let open = counts.split_off(&(LAST_MS - SIZE_MS));
        let expected: Vec<_> =
            counts.iter().map(|(start, members)| format!("{start}={}", shown(members))).collect();
        let got: Vec<_> = view.all("out").map(show_board).collect();
        same_records("out", &got, &expected)?;
        let open = open.into_iter().map(|(start, members)| (board_key(start), members)).collect();
        same_rows("store boards", &view.fold("boards"), &stored(&open))
    }

    fn store(&self, name: &str) -> StoreKind {
        match name {
            "windows" => StoreKind::Window(SIZE_MS + GRACE_MS),
            _ => StoreKind::Leaderboard,
        }
    }
}
