//! Leaderboards as a user writes them, on the production worker.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store;

use std::time::Duration;

use headwater::codec::{LongSerde, StringSerde, TimeWindowedSerde};
use headwater::telemetry::DropReason;
use headwater::testkit::{Testkit, TestkitBuilder};
use headwater::{
    Board, BoardEmit, BoardRow, Consumed, Grouped, KTable, Materialized, Ranked, RecordBatch, Serde,
    StreamsBuilder, TimeWindows, TopicPartition, Windowed,
};

/// Longer than any start or crash takes.
const INTERVAL_MS: i64 = 1_000_000;

/// A topology under test and the topic that it tells boards in.
struct Bench {
    kit: Testkit,
    topic: &'static str,
}

impl Bench {
    fn new(builder: &StreamsBuilder, topic: &'static str) -> Self {
        Self::on(Testkit::builder(), builder, topic)
    }

    fn on(kit: TestkitBuilder, builder: &StreamsBuilder, topic: &'static str) -> Self {
        Self { kit: kit.build(&builder.build().unwrap()).unwrap(), topic }
    }

    fn pipe(&mut self, topic: &str, key: &str, value: Option<&[u8]>, timestamp: i64) {
        self.kit.pipe_bytes(topic, Some(key.as_bytes()), value, timestamp).unwrap();
    }

    /// What was told since the last call.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for batch in self.kit.read_bytes(self.topic).unwrap() {
            for record in &batch {
                let key = show_key(record.key.unwrap());
                let value = record.value.map_or("deleted".to_owned(), show_board);
                told.push(format!("{key}: {value} at {}", record.timestamp));
            }
        }
        told
    }

    /// Number of records that the leaderboard's changelog got since the last call.
    fn logged(&mut self) -> usize {
        let batches = self.kit.read_bytes("testkit-best-changelog").unwrap();
        batches.iter().map(|batch| batch.len()).sum()
    }

    fn restart(&mut self) {
        self.kit.restart(0).unwrap();
    }

    /// Lets an interval and more go by.
    fn wait(&mut self) {
        self.kit.advance_wall_clock(INTERVAL_MS * 3 / 2).unwrap();
    }

    fn late(&self) -> u64 {
        self.kit.counters().dropped(DropReason::Late)
    }
}

/// `board@start` for the windowed keys of these tests, whose windows are 10 ms, else the text.
fn show_key(key: &[u8]) -> String {
    let windowed: std::result::Result<Windowed<String>, _> =
        TimeWindowedSerde::new(StringSerde, 10).deserialize(Some(key));
    match windowed {
        Ok(key) if key.window.start < 1_000 => format!("{}@{}", key.key, key.window.start),
        _ => String::from_utf8_lossy(key).into_owned(),
    }
}

fn show_board(json: &[u8]) -> String {
    let board: Board<String, i64> = serde_json::from_slice(json).unwrap();
    let rows: Vec<_> = board.rows.iter().map(|row| format!("{}={}", row.key, row.value)).collect();
    rows.join(" ")
}

/// Players `team/name` with their points; the board is the team, the first two are shown.
fn scores(ranked: Ranked) -> Bench {
    let builder = StreamsBuilder::new();
    let players = builder.table::<String, i64>("points");
    by_team(&players, ranked).to_stream().to("best");
    Bench::new(&builder, "best")
}

fn by_team(players: &KTable<String, i64>, ranked: Ranked) -> KTable<String, Board<String, i64>> {
    let teams = players.group_by(|player, points| (team(player, *points).to_owned(), *points));
    teams.leaderboard_with(2, |points| points.abs(), ranked)
}

/// Players whose points are negative play for the other team.
fn team(player: &str, points: i64) -> &str {
    if points < 0 { "other" } else { player.split('/').next().unwrap() }
}

fn play(bench: &mut Bench, player: &str, points: Option<i64>, timestamp: i64) {
    bench.pipe("points", player, points.map(i64::to_be_bytes).as_ref().map(|bytes| &bytes[..]), timestamp);
}

#[test]
fn every_change_of_what_is_shown_is_told_and_nothing_else() {
    let table: [(&str, Option<i64>, &[&str]); 13] = [
        ("a/x", Some(10), &["a: a/x=10 at 1"]),
        ("a/y", Some(20), &["a: a/y=20 a/x=10 at 2"]),
        // Below the second: nobody sees it.
        ("a/z", Some(5), &[]),
        ("a/z", Some(7), &[]),
        // The same row again.
        ("a/y", Some(20), &[]),
        // A tie goes by key.
        ("a/w", Some(10), &["a: a/y=20 a/w=10 at 6"]),
        // The order alone changes.
        ("a/w", Some(30), &["a: a/w=30 a/y=20 at 7"]),
        // A score falls, and the next one moves up.
        ("a/w", Some(1), &["a: a/y=20 a/x=10 at 8"]),
        // A key is deleted, and the next one moves up.
        ("a/y", None, &["a: a/x=10 a/z=7 at 9"]),
        ("a/y", None, &[]),
        // A row moves to another board: it leaves the one before it enters the other.
        ("a/x", Some(-8), &["a: a/z=7 a/w=1 at 11", "other: a/x=-8 at 11"]),
        ("a/z", None, &["a: a/w=1 at 12"]),
        ("a/w", None, &["a: deleted at 13"]),
    ];
    let builder = StreamsBuilder::new();
    by_team(&builder.table("points"), Ranked::named("best")).to_stream().to("best");
    for kit in [Testkit::builder(), Testkit::builder().exactly_once()] {
        let mut bench = Bench::on(kit, &builder, "best");
        for (timestamp, (player, points, expected)) in (1..).zip(table) {
            play(&mut bench, player, points, timestamp);
            assert_eq!(bench.told(), expected, "{player} {points:?}");
            // Whatever is in memory, the answer is the same.
            if timestamp % 3 == 0 {
                bench.restart();
            }
        }
    }
}

#[test]
fn the_lowest_may_come_first() {
    let mut bench = scores(Ranked::default().lowest_first());
    for (player, points) in [("a/x", 3), ("a/y", 2), ("a/z", 1)] {
        play(&mut bench, player, Some(points), 0);
    }
    assert_eq!(bench.told().last().unwrap(), "a: a/z=1 a/y=2 at 0");
}

#[test]
fn a_commit_writes_each_changed_row_once() {
    let mut bench = scores(Ranked::named("best"));
    let mut batch = RecordBatch::default();
    for points in 1..=50_i64 {
        for player in [&b"a/x"[..], b"a/y"] {
            batch.push(points, Some(player), Some(&points.to_be_bytes()), 0);
        }
    }
    bench.kit.put(&TopicPartition::new("points", 0), &batch).unwrap();
    bench.kit.settle().unwrap();
    assert_eq!(bench.told().len(), 100);
    assert_eq!(bench.logged(), 2);
}

#[test]
fn boards_are_told_at_most_once_per_interval_and_survive_a_restart() {
    let every = BoardEmit::AtMostEvery(Duration::from_millis(INTERVAL_MS as u64));
    let mut bench = scores(Ranked::named("best").emit(every));
    play(&mut bench, "a/x", Some(1), 1);
    play(&mut bench, "b/x", Some(2), 2);
    play(&mut bench, "a/x", Some(3), 3);
    assert_eq!(bench.told(), [""; 0]);
    bench.wait();
    assert_eq!(bench.told(), ["a: a/x=3 at 3", "b: b/x=2 at 2"]);
    bench.wait();
    assert_eq!(bench.told(), [""; 0], "nothing changed");
    bench.restart();
    play(&mut bench, "a/x", None, 4);
    for _ in 0..2 {
        bench.kit.advance_wall_clock(INTERVAL_MS * 3 / 4).unwrap();
        assert_eq!(bench.told(), [""; 0], "a restart begins a new interval");
        bench.restart();
    }
    bench.wait();
    assert_eq!(bench.told(), ["a: deleted at 4"]);
    bench.restart();
    bench.wait();
    assert_eq!(bench.told(), [""; 0], "told once");
}

/// Clicks of users in windows of 10 ms, counted; one board per window.
fn clicks(ranked: Ranked) -> Bench {
    let windows = TimeWindows::of_size_and_grace(Duration::from_millis(10), Duration::from_millis(1000));
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("clicks").group_by_key().windowed_by(windows).count();
    counts
        .group_by_window(|user, count| (user.split('/').next().unwrap().to_owned(), *count))
        .leaderboard_with(2, |count| *count, ranked)
        .to_stream()
        .to("best");
    Bench::new(&builder, "best")
}

fn click(bench: &mut Bench, user: &str, times: &[i64]) {
    times.iter().for_each(|time| bench.pipe("clicks", user, Some(b""), *time));
}

#[test]
fn a_windows_boards_are_told_once_when_it_closes() {
    let emit = BoardEmit::OnWindowClose { grace: Duration::from_millis(5) };
    let mut bench = clicks(Ranked::named("best").emit(emit));
    click(&mut bench, "b/y", &[1]);
    click(&mut bench, "a/x", &[2, 3]);
    click(&mut bench, "a/y", &[4, 5, 6]);
    click(&mut bench, "a/z", &[7]);
    click(&mut bench, "a/z", &[14]);
    assert_eq!(bench.told(), [""; 0], "within the grace");
    bench.restart();
    bench.logged();
    click(&mut bench, "b/z", &[15]);
    assert_eq!(bench.told(), ["a@0: a/y=3 a/x=2 at 6", "b@0: b/y=1 at 1"]);
    // Four members of the boards that closed, and a new one.
    assert_eq!(bench.logged(), 4 + 1);
    click(&mut bench, "a/z", &[3]);
    assert_eq!((bench.late(), bench.logged()), (1, 0));
    bench.restart();
    click(&mut bench, "a/z", &[4]);
    assert_eq!(bench.late(), 2, "late after a restart as well");
    click(&mut bench, "c/z", &[55]);
    assert_eq!(bench.told(), ["a@10: a/z=1 at 14", "b@10: b/z=1 at 15"]);
}

#[test]
fn windows_that_close_together_are_told_in_their_order() {
    let emit = BoardEmit::OnWindowClose { grace: Duration::from_millis(15) };
    let told = |restart: bool| {
        let mut bench = clicks(Ranked::named("best").emit(emit));
        for (user, time) in [("b/x", 11), ("z/x", 1), ("a/x", 12), ("c/x", 21), ("a/y", 13)] {
            click(&mut bench, user, &[time]);
        }
        if restart {
            bench.restart();
        }
        click(&mut bench, "a/x", &[40]);
        bench.told()
    };
    let expected = ["z@0: z/x=1 at 1", "a@10: a/x=1 a/y=1 at 13", "b@10: b/x=1 at 11"];
    assert_eq!(told(false), expected);
    assert_eq!(told(true), expected);
}

#[test]
fn boards_of_windows_are_dropped_after_their_retention() {
    let mut bench = clicks(Ranked::named("best").with_retention(Duration::from_millis(20)));
    click(&mut bench, "a/x", &[1, 2]);
    assert_eq!(bench.told(), ["a@0: a/x=1 at 1", "a@0: a/x=2 at 2"]);
    click(&mut bench, "a/x", &[29]);
    click(&mut bench, "a/x", &[3]);
    assert_eq!(bench.told(), ["a@20: a/x=1 at 29", "a@0: a/x=3 at 3"]);
    click(&mut bench, "a/x", &[30]);
    assert_eq!(bench.told(), ["a@30: a/x=1 at 30"], "no word of what is dropped");
    click(&mut bench, "a/x", &[4]);
    assert_eq!((bench.told().len(), bench.late()), (0, 1));
}

#[test]
fn a_board_that_waits_to_be_told_is_told_before_it_is_dropped() {
    let every = BoardEmit::AtMostEvery(Duration::from_millis(INTERVAL_MS as u64));
    let ranked = Ranked::named("best").emit(every).with_retention(Duration::ZERO);
    let mut bench = clicks(ranked);
    click(&mut bench, "a/x", &[1, 25]);
    bench.restart();
    bench.logged();
    bench.wait();
    assert_eq!(bench.told(), ["a@0: a/x=1 at 1", "a@20: a/x=1 at 25"]);
    // The member of the first window is deleted, and both boards have been told.
    assert_eq!(bench.logged(), 3);
}

#[test]
fn windowed_keys_with_a_named_serde_work_without_help() {
    let windowed = || TimeWindowedSerde::new(StringSerde, 10);
    let builder = StreamsBuilder::new();
    let counts = builder.table_with("counts", Consumed::with(windowed(), LongSerde), None);
    let per_window = counts.group_by_with(
        |key: &Windowed<String>, count| (Windowed { key: "all".to_owned(), window: key.window }, *count),
        Grouped::with(windowed(), LongSerde),
    );
    let emit = BoardEmit::OnWindowClose { grace: Duration::ZERO };
    per_window.leaderboard_with(1, |count| *count, Ranked::named("best").emit(emit));
    builder.build().unwrap();
}

#[test]
fn a_told_board_can_be_grouped_again() {
    let builder = StreamsBuilder::new();
    let players = builder.table::<String, i64>("points");
    let best = by_team(&players, Ranked::named("best"));
    // How many teams each player leads, told as a board of one row.
    let first = best.map_values(|board| board.rows[0].key.clone());
    let led = first.group_by(|_, player| (player.clone(), 1_i64)).count();
    led.map_values_with(|player, teams| one_row(player, *teams), Some(Materialized::named("led")))
        .to_stream()
        .to("led");
    let mut bench = Bench::new(&builder, "led");
    play(&mut bench, "a/x", Some(1), 1);
    play(&mut bench, "a/y", Some(2), 2);
    play(&mut bench, "a/x", Some(1), 3);
    let told = bench.told();
    assert_eq!(told, ["a/x: a/x=1 at 1", "a/x: a/x=0 at 2", "a/y: a/y=1 at 2"]);
}

fn one_row(player: &str, teams: i64) -> Board<String, i64> {
    Board { rows: vec![BoardRow { key: player.to_owned(), value: teams }] }
}

#[test]
fn a_stream_can_be_joined_with_boards() {
    let builder = StreamsBuilder::new();
    let players = builder.table::<String, i64>("points");
    let best = by_team(&players, Ranked::named("best"));
    let asks = builder.stream::<String, String>("asks");
    asks.join(&best, |_, board: &Board<String, i64>| board.clone()).to("answers");
    let mut bench = Bench::new(&builder, "answers");
    play(&mut bench, "a/x", Some(1), 1);
    bench.pipe("asks", "a", Some(b"?"), 5);
    bench.pipe("asks", "nobody", Some(b"?"), 6);
    assert_eq!(bench.told(), ["a: a/x=1 at 5"]);
}

#[test]
fn mistakes_are_told_by_build() {
    let second = Duration::from_secs(1);
    let on_close = BoardEmit::OnWindowClose { grace: second };
    let mistake = |n: usize, ranked: Ranked| {
        let builder = StreamsBuilder::new();
        let players = builder.table::<String, i64>("points");
        players.group_by(|_, points| ("all".to_owned(), *points)).leaderboard_with(
            n,
            |points| *points,
            ranked,
        );
        builder.build().unwrap_err().to_string()
    };
    let text = mistake(0, Ranked::named("best"));
    assert!(text.contains("the leaderboard `best` shows no row; ask for 1 or more"), "{text}");
    let text = mistake(1, Ranked::named("best").emit(BoardEmit::AtMostEvery(Duration::ZERO)));
    assert!(text.contains("has no interval between two tellings"), "{text}");
    for ranked in [Ranked::default().emit(on_close), Ranked::default().with_retention(second)] {
        let text = mistake(1, ranked);
        assert!(text.contains("boards without window, which never close"), "{text}");
    }
    let builder = StreamsBuilder::new();
    let players = builder.table::<String, i64>("points");
    let best = by_team(&players, Ranked::named("best").emit(BoardEmit::AtMostEvery(second)));
    best.group_by_with(|team, _| (team.clone(), team.clone()), Grouped::<String, String>::default()).count();
    let text = builder.build().unwrap_err().to_string();
    assert!(text.contains("does not know what it told before"), "{text}");
}

#[test]
fn leaderboards_and_a_count_of_one_grouping_do_not_get_in_each_others_way() {
    for count_first in [true, false] {
        let builder = StreamsBuilder::new();
        let players = builder.table::<String, i64>("points");
        let teams = players.group_by_with(
            |player, points| (team(player, *points).to_owned(), *points),
            Grouped::named("teams"),
        );
        let count = || teams.count_with(Materialized::named("count")).to_stream().to("counts");
        let best =
            |n, name| teams.leaderboard_with(n, |points| *points, Ranked::named(name)).to_stream().to(name);
        if count_first {
            count();
        }
        best(1, "first");
        best(2, "second");
        if !count_first {
            count();
        }
        let topology = builder.build().unwrap();
        let mut topics: Vec<_> =
            topology.graph().repartitions.iter().map(|repartition| repartition.topic.as_str()).collect();
        topics.sort_unstable();
        let expected = ["second-repartition", "teams-leaderboard-repartition", "teams-repartition"];
        assert_eq!(topics, expected);
        let mut bench = Bench::new(&builder, "second");
        play(&mut bench, "a/x", Some(1), 1);
        play(&mut bench, "a/y", Some(2), 2);
        assert_eq!(bench.told(), ["a: a/x=1 at 1", "a: a/y=2 a/x=1 at 2"]);
        bench.topic = "first";
        assert_eq!(bench.told(), ["a: a/x=1 at 1", "a: a/y=2 at 2"]);
        let counts = bench.kit.read::<String, Option<i64>>("counts").unwrap();
        assert_eq!(counts.last().unwrap().value, Some(2));
    }
}
