//! Keys, values and times that an operator cannot use: dropped, counted, and told with the place.

use std::time::Duration;

use headwater::kafka::memory::MemoryCluster;
use headwater::operator::TimestampExtractor;
use headwater::telemetry::DropReason;
use headwater::testkit::{Testkit, TestkitBuilder};
use headwater::{
    Consumed, Materialized, RecordBatch, SessionWindows, StreamsBuilder, TimeWindows, TopicPartition,
};

use crate::bench::Raw;
use crate::log::{drops, warnings};

type Key = Option<String>;
type Value = Option<String>;

/// Puts `records` into partition 1 of `in`. Returns the counts and the warnings.
fn run(
    kit: TestkitBuilder,
    topology: &dyn Fn(&StreamsBuilder),
    records: &[Raw<'_>],
) -> (Testkit, Vec<String>) {
    let builder = StreamsBuilder::new();
    topology(&builder);
    let mut kit = kit.partitions(2).build(&builder.build().unwrap()).unwrap();
    let mut batch = RecordBatch::default();
    records.iter().for_each(|(key, value, time)| batch.push(*time, *key, *value, 0));
    let work = || {
        kit.put(&TopicPartition::new("in", 1), &batch).unwrap();
        kit.settle().unwrap();
    };
    let ((), lines) = drops(work);
    (kit, lines)
}

/// A topology with one result for each record, a node that drops the second of three, and why.
type Unusable<'a> = (&'a str, fn(&StreamsBuilder), &'a str, DropReason);

fn check(cases: &[Unusable<'_>], bad: Raw<'_>) {
    for (name, topology, node, reason) in cases {
        let good = |time| (Some(&b"k"[..]), Some(&b"v"[..]), time);
        let kit = Testkit::builder().exactly_once();
        let (mut kit, lines) = run(kit, topology, &[good(10), bad, good(30)]);
        let counters = kit.counters();
        assert_eq!(counters.dropped(*reason), 1, "{name}: {counters}");
        assert_eq!(counters.dropped_total() + counters.dead_letters_total(), 1, "{name}: {counters}");
        let out = kit.read_bytes("out").unwrap().iter().map(RecordBatch::len).sum::<usize>();
        assert_eq!(out, 2, "{name}");
        let expected = format!(
            "record dropped: {} (topic in, partition 1, offset 1, node {node}, task 0_1); {}; more of these are only \
             counted until the next commit",
            reason.name(),
            reason.advice()
        );
        assert_eq!(lines, [expected], "{name}");
    }
}

fn minute() -> TimeWindows {
    TimeWindows::of_size_with_no_grace(Duration::from_secs(60))
}

fn sessions() -> SessionWindows {
    SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(1))
}

#[test]
fn a_null_key_where_an_operator_needs_one() {
    let cases: &[Unusable<'_>] = &[
        (
            "table",
            |builder| builder.table::<String, String>("in").to_stream().to("out"),
            "KSTREAM-SOURCE-0000000001",
            DropReason::NullKey,
        ),
        (
            "to_table",
            |builder| builder.stream::<Key, Value>("in").to_table().to_stream().to("out"),
            "KSTREAM-TOTABLE-0000000001",
            DropReason::NullKey,
        ),
        (
            "count",
            |builder| builder.stream::<Key, Value>("in").group_by_key().count().to_stream().to("out"),
            "KSTREAM-AGGREGATE-0000000003",
            DropReason::NullKey,
        ),
        (
            "windowed count",
            |builder| {
                let grouped = builder.stream::<Key, Value>("in").group_by_key();
                grouped.windowed_by(minute()).count().to_stream().to("out");
            },
            "KSTREAM-AGGREGATE-0000000003",
            DropReason::NullKey,
        ),
        (
            "session count",
            |builder| {
                let grouped = builder.stream::<Key, Value>("in").group_by_key();
                grouped.windowed_by_session(sessions()).count().to_stream().to("out");
            },
            "KSTREAM-AGGREGATE-0000000003",
            DropReason::NullKey,
        ),
        (
            "repartition",
            |builder| {
                let stream = builder.stream::<Key, Value>("in").select_key(|key, _| key.clone());
                stream.group_by_key().count().to_stream().to("out");
            },
            "KSTREAM-FILTER-0000000006",
            DropReason::NullKey,
        ),
        (
            "inner join",
            |builder| {
                let table = builder.table::<Key, Value>("rows");
                let stream = builder.stream::<Key, Value>("in");
                stream.filter(|key, _| key.is_some()).to("out");
                stream.join(&table, |value, _| value).foreach(|_, _| {});
            },
            "KSTREAM-JOIN-0000000006",
            DropReason::NullKey,
        ),
    ];
    check(cases, (None, Some(b"v"), 20));
}

#[test]
fn a_null_value_where_an_operator_needs_one() {
    let cases: &[Unusable<'_>] = &[
        (
            "count",
            |builder| builder.stream::<Key, Value>("in").group_by_key().count().to_stream().to("out"),
            "KSTREAM-AGGREGATE-0000000003",
            DropReason::NullValue,
        ),
        (
            "join",
            |builder| {
                let table = builder.table::<Key, Value>("rows");
                builder.stream::<Key, Value>("in").left_join(&table, |value, _| value).to("out");
            },
            "KSTREAM-LEFTJOIN-0000000004",
            DropReason::NullValue,
        ),
    ];
    check(cases, (Some(b"k"), None, 20));
}

#[test]
fn a_time_that_an_extractor_cannot_tell() {
    let cases: &[Unusable<'_>] = &[
        (
            "a function that tells -1",
            |builder| {
                let consumed =
                    Consumed::default().with_event_time(|_, text: &String, own, _| match &**text {
                        "bad" => -1,
                        _ => own,
                    });
                builder.stream_with::<String, String>("in", consumed).to("out");
            },
            "KSTREAM-SOURCE-0000000000",
            DropReason::BadTimestamp,
        ),
        (
            "log and skip",
            |builder| {
                let consumed = Consumed::default().with_timestamp_extractor(TimestampExtractor::By(
                    std::sync::Arc::new(
                        |_: &String, text: &String, own, _| if text == "bad" { i64::MIN } else { own },
                    ),
                ));
                builder.stream_with::<String, String>("in", consumed).to("out");
            },
            "KSTREAM-SOURCE-0000000000",
            DropReason::BadTimestamp,
        ),
    ];
    check(cases, (Some(b"k"), Some(b"bad"), 20));
    let skip: &[Unusable<'_>] = &[(
        "log and skip",
        |builder| {
            let consumed = Consumed::default().with_timestamp_extractor(TimestampExtractor::LogAndSkip);
            builder.stream_with::<String, String>("in", consumed).to("out");
        },
        "KSTREAM-SOURCE-0000000000",
        DropReason::BadTimestamp,
    )];
    check(skip, (Some(b"k"), Some(b"v"), -1));
}

/// The timestamps -1 and 0, under each extractor that a configuration may name: times out, and counts.
#[test]
fn timestamps_of_minus_one_and_zero_under_each_extractor() {
    let cases: [(&str, &[i64], &[i64], &str); 5] = [
        ("fail-on-invalid-timestamp", &[0, 7], &[0, 7], "consumed 2, processed 2, produced 2"),
        (
            "log-and-skip-on-invalid-timestamp",
            &[-1, 0, 7, -1],
            &[0, 7],
            "consumed 4, processed 2, produced 2, dropped 2 bad-timestamp",
        ),
        (
            "use-partition-time-on-invalid-timestamp",
            &[0, -1, 7, -1],
            &[0, 0, 7, 7],
            "consumed 4, processed 4, produced 4",
        ),
        // Before the first record a partition has no time to lend.
        (
            "use-partition-time-on-invalid-timestamp",
            &[-1, 7],
            &[7],
            "consumed 2, processed 1, produced 1, dropped 1 bad-timestamp",
        ),
        ("wallclock", &[-1, 0, 7], &[500, 500, 500], "consumed 3, processed 3, produced 3"),
    ];
    for (extractor, times, expected, counters) in cases {
        let records: Vec<_> = times.iter().map(|time| (Some(&b"k"[..]), Some(&b"v"[..]), *time)).collect();
        let kit = Testkit::builder().start_at(500).set("default.timestamp.extractor", extractor);
        let identity = |builder: &StreamsBuilder| builder.stream::<String, String>("in").to("out");
        let (mut kit, _) = run(kit, &identity, &records);
        let out = kit.read::<String, String>("out").unwrap();
        let told: Vec<_> = out.iter().map(|record| record.timestamp).collect();
        assert_eq!(
            (told.as_slice(), kit.counters().to_string().as_str()),
            (expected, counters),
            "{extractor}"
        );
    }
}

/// Windows of 10 ms that stay open for 5 ms more: what comes in, when, and which are counted late.
fn tumbling(builder: &StreamsBuilder) {
    let windows = TimeWindows::of_size_and_grace(Duration::from_millis(10), Duration::from_millis(5));
    let counts = builder.stream::<String, String>("in").group_by_key().windowed_by(windows).count();
    counts.to_stream().map(|key, count| (key.key.clone(), (key.window.start, count))).map(show).to("out");
}

fn show(key: String, (start, count): (i64, Option<i64>)) -> (String, String) {
    (key, format!("{start}: {}", count.unwrap_or(0)))
}

#[test]
fn a_record_older_than_the_grace() {
    let record = |time| (Some(&b"k"[..]), Some(&b"v"[..]), time);
    // At 24 the window of 0 to 10 is over by 5 and one; that of 10 to 20 takes late comers.
    let records = [record(3), record(24), record(9), record(14), record(8)];
    let (mut kit, lines) = run(Testkit::builder().exactly_once(), &tumbling, &records);
    let out = kit.read::<String, String>("out").unwrap();
    let told: Vec<_> = out.iter().map(|record| record.value.as_str()).collect();
    assert_eq!(told, ["0: 1", "20: 1", "10: 1"]);
    assert_eq!(kit.counters().to_string(), "consumed 5, processed 5, produced 3, dropped 2 late");
    let expected = "record dropped: late (topic in, partition 1, offset 2, node KSTREAM-AGGREGATE-0000000003, task \
                    0_1); a longer grace lets records that late in; more of these are only counted until the next \
                    commit";
    assert_eq!(lines, [expected], "the second is only counted");
}

/// A clock gone mad must not take the worker with it: what comes after is late, and counted so.
#[test]
fn an_event_time_far_in_the_future() {
    let topologies: [(&str, fn(&StreamsBuilder)); 4] = [
        ("tumbling", tumbling),
        ("hopping", |builder| {
            let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
            let grouped = builder.stream::<String, String>("in").group_by_key();
            let counts = grouped.windowed_by(windows.advance_by(Duration::from_millis(10))).count();
            counts.to_stream().to("out");
        }),
        ("on close", |builder| {
            let grouped = builder.stream::<String, String>("in").group_by_key();
            let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
            let counts = grouped.windowed_by(windows).emit_strategy(headwater::EmitStrategy::OnWindowClose);
            counts.count().to_stream().to("out");
        }),
        ("session", |builder| {
            let windows =
                SessionWindows::of_inactivity_gap_and_grace(Duration::from_millis(10), Duration::ZERO);
            let grouped = builder.stream::<String, String>("in").group_by_key();
            grouped.windowed_by_session(windows).count().to_stream().to("out");
        }),
    ];
    for (name, topology) in topologies {
        for future in [i64::MAX, i64::MAX - 1, i64::MAX - 7, i64::MAX / 2] {
            let record = |time| (Some(&b"k"[..]), Some(&b"v"[..]), time);
            let records = [record(3), record(future), record(4), record(future)];
            let (kit, _) = run(Testkit::builder().exactly_once(), &topology, &records);
            let counters = kit.counters();
            assert_eq!((counters.consumed, counters.processed), (4, 4), "{name} {future}: {counters}");
            assert_eq!(counters.dropped(DropReason::Late), 1, "{name} {future}: {counters}");
        }
    }
}

/// The longest grace there is: nothing is ever late.
#[test]
fn a_grace_without_end_lets_everything_in() {
    let topologies: [fn(&StreamsBuilder); 2] = [
        |builder| {
            let windows = TimeWindows::of_size_and_grace(Duration::from_millis(10), Duration::MAX);
            builder.stream::<String, String>("in").group_by_key().windowed_by(windows).count();
        },
        |builder| {
            let windows =
                SessionWindows::of_inactivity_gap_and_grace(Duration::from_millis(10), Duration::MAX);
            builder.stream::<String, String>("in").group_by_key().windowed_by_session(windows).count();
        },
    ];
    for topology in topologies {
        let record = |time| (Some(&b"k"[..]), Some(&b"v"[..]), time);
        let kit = Testkit::builder().cluster(&MemoryCluster::new());
        let (kit, _) = run(kit, &topology, &[record(0), record(1 << 40), record(1)]);
        assert_eq!(kit.counters().to_string(), "consumed 3, processed 3, produced 0");
    }
}

#[test]
fn event_time_so_far_back_that_brokers_delete_changelogs_is_told_once() {
    const DAY_MS: i64 = 86_400_000;
    // Windows are kept for a day and a minute.
    for (now_ms, told) in [(DAY_MS, 0), (2 * DAY_MS, 1)] {
        let builder = StreamsBuilder::new();
        let words = builder.stream::<String, String>("in").group_by_key();
        words.windowed_by(minute()).count_with(Materialized::named("words")).to_stream().to("out");
        let mut kit = Testkit::builder().start_at(now_ms).build(&builder.build().unwrap()).unwrap();
        let work = || {
            for time in 0..3 {
                kit.pipe("in", &"key".to_owned(), &"word".to_owned(), time).unwrap();
            }
        };
        let ((), lines) = warnings("event time lies so far behind the clock", work);
        assert_eq!(lines.len(), told, "{lines:?}");
    }
}
