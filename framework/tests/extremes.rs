//! Times at the ends of what 64 bits hold, and lengths that mean "for ever": no record may stop or break a worker.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use headwater::codec::{LongSerde, Nullable, StringSerde, WindowKind};
use headwater::telemetry::DropReason;
use headwater::testkit::Testkit;
use headwater::{
    BoardEmit, EmitStrategy, Materialized, Produced, Ranked, RecordBatch, SessionWindows, StreamsBuilder,
    TimeWindows, TopicPartition,
};

const MS: fn(u64) -> Duration = Duration::from_millis;
const LAST: i64 = i64::MAX;

/// The times that every topology here gets, each twice: in batches of their own and in one batch.
const TIMES: [i64; 4] = [0, LAST - 1, LAST, 0];

/// What was told (`start-end=value`), and how many windows of records were late.
type Told = (Vec<String>, u64);

fn run(draw: impl Fn(&StreamsBuilder), in_one_batch: bool, windows: WindowKind) -> Told {
    let builder = StreamsBuilder::new();
    draw(&builder);
    let mut kit = Testkit::builder().build(&builder.build().unwrap()).unwrap();
    let mut batch = RecordBatch::default();
    for time in TIMES {
        if in_one_batch {
            batch.push(time, Some(b"k"), Some(&1_i64.to_be_bytes()), 0);
        } else {
            kit.pipe("in", &"k".to_owned(), &1_i64, time).unwrap();
        }
    }
    if in_one_batch {
        kit.put(&TopicPartition::new("in", 0), &batch).unwrap();
        kit.settle().unwrap();
    }
    let told = kit.read_as("out", (&windows.serde(StringSerde), &Nullable(LongSerde))).unwrap();
    let show = |time: i64| if time > 1_000 { format!("MAX-{}", LAST - time) } else { time.to_string() };
    let told = told.iter().filter_map(|record| {
        let window = record.key.window;
        record.value.map(|value| format!("{}..{}={value}", show(window.start), show(window.end)))
    });
    let told = told.collect();
    kit.restart(0).unwrap();
    (told, kit.counters().dropped(DropReason::Late))
}

fn windowed(windows: TimeWindows, emit: EmitStrategy) -> impl Fn(&StreamsBuilder) {
    move |builder| {
        let grouped = builder.stream::<String, i64>("in").group_by_key();
        let counts = grouped.windowed_by(windows).emit_strategy(emit).count_with(Materialized::named("c"));
        counts.to_stream().to("out");
    }
}

#[test]
fn windows_at_the_end_of_time_are_told_and_do_not_close() {
    let (update, close) = (EmitStrategy::OnWindowUpdate, EmitStrategy::OnWindowClose);
    let tumbling = TimeWindows::of_size_with_no_grace(MS(10));
    let hopping = tumbling.advance_by(MS(5));
    let for_ever = TimeWindows::of_size_and_grace(MS(10), Duration::MAX);
    let long = TimeWindows::of_size_with_no_grace(Duration::MAX);
    let each_ms = TimeWindows::of_size_with_no_grace(MS(1));
    let last = ["0..10=1", "MAX-7..MAX-0=1", "MAX-7..MAX-0=2"];
    let cases: [(TimeWindows, EmitStrategy, &[&str], u64); 7] = [
        (tumbling, update, &last, 1),
        (tumbling, close, &[], 1),
        (
            hopping,
            update,
            &["0..10=1", "MAX-7..MAX-0=1", "MAX-2..MAX-0=1", "MAX-7..MAX-0=2", "MAX-2..MAX-0=2"],
            1,
        ),
        (hopping, close, &[], 1),
        (for_ever, update, &["0..10=1", "MAX-7..MAX-0=1", "MAX-7..MAX-0=2", "0..10=2"], 0),
        (long, update, &["0..MAX-0=1", "0..MAX-0=2", "MAX-0..MAX-0=1"], 1),
        (each_ms, update, &["0..1=1", "MAX-1..MAX-0=1", "MAX-0..MAX-0=1"], 1),
    ];
    for (windows, emit, told, late) in cases {
        for in_one_batch in [false, true] {
            let kind = WindowKind::Sized(windows.size_ms());
            let result = run(windowed(windows, emit), in_one_batch, kind);
            assert_eq!(
                result,
                (told.iter().map(ToString::to_string).collect(), late),
                "{windows:?} {emit:?}"
            );
        }
    }
}

#[test]
fn sessions_at_the_end_of_time_are_told_under_their_bounds() {
    let no_grace = SessionWindows::of_inactivity_gap_with_no_grace(MS(10));
    let for_ever = SessionWindows::of_inactivity_gap_and_grace(MS(10), Duration::MAX);
    let grown = ["0..0=1", "MAX-1..MAX-1=1", "MAX-1..MAX-0=2"];
    let kept: Vec<_> = grown.iter().copied().chain(["0..0=2"]).collect();
    for (windows, expected, late) in [(no_grace, &grown[..], 1), (for_ever, &kept, 0)] {
        let draw = |builder: &StreamsBuilder| {
            let grouped = builder.stream::<String, i64>("in").group_by_key();
            let counts = grouped.windowed_by_session(windows).count_with(Materialized::named("c"));
            counts.to_stream().to("out");
        };
        for in_one_batch in [false, true] {
            let (told, dropped) = run(draw, in_one_batch, WindowKind::Session);
            assert_eq!(
                (told.iter().map(String::as_str).collect::<Vec<_>>(), dropped),
                (expected.to_vec(), late)
            );
        }
    }
}

#[test]
fn boards_of_the_last_window_are_kept_and_told() {
    let grace = Duration::ZERO;
    let cases: [(BoardEmit, &[&str]); 2] = [
        (BoardEmit::OnUpdate, &["0..10=1", "MAX-7..MAX-0=1", "MAX-7..MAX-0=2"]),
        (BoardEmit::OnWindowClose { grace }, &["0..10=1"]),
    ];
    for (emit, expected) in cases {
        let draw = |builder: &StreamsBuilder| {
            let grouped = builder.stream::<String, i64>("in").group_by_key();
            let windows = TimeWindows::of_size_with_no_grace(MS(10));
            let counts = grouped.windowed_by(windows).count_with(Materialized::named("c"));
            let ranked = Ranked::named("best").emit(emit);
            let boards = counts
                .group_by_window(|key: &String, count: &i64| (key.clone(), *count))
                .leaderboard_with(1, |count| *count, ranked);
            let first = boards.to_stream().map_values(|board| board.map(|board| board.rows[0].value));
            let keys = WindowKind::Sized(10).serde(StringSerde);
            first.to_with("out", Produced::with(keys, Nullable(LongSerde)));
        };
        for in_one_batch in [false, true] {
            let (told, _) = run(draw, in_one_batch, WindowKind::Sized(10));
            assert_eq!(told, expected, "{emit:?}");
        }
    }
}

/// Two windows of 10 ms, then records from far after them, each in a commit of its own.
fn leap(interval_ms: i64) -> (Vec<String>, u64) {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_with_no_grace(MS(10));
    windowed(windows, EmitStrategy::OnWindowClose)(&builder);
    let kit = Testkit::builder().set("emit.interval.ms.kstreams.windowed.aggregation", interval_ms);
    let mut kit = kit.build(&builder.build().unwrap()).unwrap();
    for (key, time) in [("a", 1), ("b", 2), ("a", 11), ("b", 500), ("a", 1_000), ("a", 1_001)] {
        kit.pipe("in", &key.to_owned(), &1_i64, time).unwrap();
    }
    kit.restart(0).unwrap();
    kit.advance_wall_clock(interval_ms).unwrap();
    kit.pipe("in", &"a".to_owned(), &1_i64, 2_000).unwrap();
    let keys = WindowKind::Sized(10).serde(StringSerde);
    let told = kit.read_as("out", (&keys, &Nullable(LongSerde))).unwrap();
    let told = told.iter().map(|record| format!("{}@{}", record.key.key, record.key.window.start));
    (told.collect(), kit.counters().dropped(DropReason::Expired))
}

#[test]
fn windows_that_time_leaps_over_are_counted_and_kept_where_telling_waits() {
    let text = |told: &[&str]| told.iter().map(ToString::to_string).collect::<Vec<_>>();
    // As in Kafka Streams: what the store does not keep is gone, but counted.
    assert_eq!(leap(0), (text(&["a@0", "b@0"]), 3));
    assert_eq!(leap(100), (text(&["a@0", "b@0", "a@10", "b@500", "a@1000"]), 0));
}
