//! Records that travel together do what they would have done one by one: each topology is fed the same records in one
//! batch and one after the other, and nobody can tell the difference.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::codec::{LongSerde, SerdeError, StringSerde};
use headwater::testkit::Testkit;
use headwater::{
    Consumed, Materialized, RecordBatch, Serde, Slice, StreamsBuilder, TimeWindows, TopicPartition, Topology,
};

/// Many more than travel together, so that a batch is cut somewhere.
const RECORDS: i64 = 200;

/// Where dead letters go.
const DEAD: &str = "dead";

/// What each output topic holds: key, value, timestamp and headers of each record.
type Written = Vec<Vec<(Vec<u8>, Option<Vec<u8>>, i64, Vec<String>)>>;

fn key(number: i64) -> Vec<u8> {
    format!("k{}", number * 7 % 5).into_bytes()
}

/// Feeds records to `in` in batches of `at_once`; event times go forth and back over several windows.
fn run(topology: &Topology, outputs: &[&str], at_once: i64) -> (Written, String) {
    let kit = Testkit::builder().exactly_once().set("errors.dead.letter.queue.topic.name", DEAD);
    let kit = kit.set("production.exception.handler", "dead-letter").set("max.request.size", "900");
    let kit = kit.set("processing.exception.handler", "dead-letter");
    let kit = kit.set("deserialization.exception.handler", "dead-letter");
    let mut kit = kit.topic(DEAD, 1).build(topology).unwrap();
    let partition = TopicPartition::new("in", 0);
    let numbers: Vec<i64> = (0..RECORDS).collect();
    for numbers in numbers.chunks(usize::try_from(at_once).unwrap()) {
        let mut batch = RecordBatch::default();
        for number in numbers {
            let value = if number % 31 == 17 { b"poison".to_vec() } else { number.to_be_bytes().to_vec() };
            let key = (number % 41 != 3).then(|| key(*number));
            batch.push(number * 40 - number % 13 * 90 + 2_000, key.as_deref(), Some(&value), 0);
            if number % 7 == 4 {
                batch.push_header("trace", Some(number.to_string().as_bytes()));
            }
        }
        kit.put(&partition, &batch).unwrap();
        kit.settle().unwrap();
    }
    // A dead letter tells the offset of the record that it was: the same one, however many came with it.
    let written = outputs.iter().chain(&[DEAD]).map(|topic| {
        let batches = kit.read_bytes(topic).unwrap();
        let records = batches.iter().flat_map(|batch| {
            batch.iter().map(|record| {
                let text = |(name, value): (&str, Option<&[u8]>)| {
                    format!("{name}={}", value.unwrap_or_default().escape_ascii())
                };
                let headers = record.headers().map(text).collect();
                let key = record.key.unwrap_or(b"null").to_vec();
                (key, record.value.map(<[u8]>::to_vec), record.timestamp, headers)
            })
        });
        records.collect()
    });
    (written.collect(), kit.counters().to_string())
}

fn check(build: impl Fn(&StreamsBuilder), outputs: &[&str]) {
    let builder = StreamsBuilder::new();
    build(&builder);
    let topology = builder.build().unwrap();
    let alone = run(&topology, outputs, 1);
    let mut topics = alone.0.iter().take(outputs.len());
    assert!(topics.all(|topic| !topic.is_empty()), "something is written to every topic");
    for at_once in [2, 63, 64, 65, RECORDS] {
        assert_eq!(run(&topology, outputs, at_once), alone, "{at_once} at once");
    }
}

#[test]
fn stateless_operators() {
    check(
        |builder| {
            builder
                .stream::<Option<String>, i64>("in")
                .filter(|_, value| value % 3 != 0)
                .map(|key, value| (key, value * 2))
                .map_values(|value| value + 1)
                .to("out");
        },
        &["out"],
    );
}

#[test]
fn slices_of_the_batch_with_a_null_key_among_them() {
    check(|builder| builder.stream::<Slice, Slice>("in").to("out"), &["out"]);
    check(|builder| builder.stream::<Option<Slice>, Slice>("in").to("out"), &["out"]);
}

#[test]
fn a_record_that_is_too_large_among_others() {
    check(
        |builder| {
            let stream = builder.stream::<Option<String>, i64>("in");
            stream.map_values(|value| "x".repeat(if value % 29 == 3 { 1_000 } else { 5 })).to("out");
        },
        &["out"],
    );
}

#[test]
fn branches_that_merge_again_keep_the_order_of_records() {
    check(
        |builder| {
            let stream = builder.stream::<Option<String>, i64>("in");
            let doubled = stream.map_values(|value| value * 2);
            let negated = stream.filter(|_, value| value % 2 == 0).map_values(|value| -value);
            doubled.merge(&negated).to("out");
        },
        &["out"],
    );
}

#[test]
fn counts_in_windows_and_without() {
    check(
        |builder| {
            let stream = builder.stream::<Option<String>, i64>("in");
            stream.group_by_key().count_with(Materialized::named("all")).to_stream().to("all");
            let size = Duration::from_secs(1);
            for (name, windows) in [
                ("tumbling", TimeWindows::of_size_with_no_grace(size)),
                ("hopping", TimeWindows::of_size_and_grace(size, size).advance_by(size / 4)),
            ] {
                let grouped = stream.group_by_key().windowed_by(windows);
                let counts = grouped.count_with(Materialized::named(name));
                counts.to_stream().to(name);
            }
        },
        &["all", "tumbling", "hopping"],
    );
}

#[test]
fn a_count_behind_nothing_else() {
    check(
        |builder| {
            let grouped = builder.stream::<Option<String>, i64>("in").group_by_key();
            grouped.count_with(Materialized::named("counts")).to_stream().to("out");
        },
        &["out"],
    );
}

#[test]
fn a_late_record_among_others_of_its_batch() {
    check(
        |builder| {
            let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(300));
            let grouped = builder.stream::<Option<String>, i64>("in").group_by_key().windowed_by(windows);
            grouped.count_with(Materialized::named("counts")).to_stream().to("out");
        },
        &["out"],
    );
}

#[test]
fn a_join_behind_its_own_table_sees_the_row_of_its_record() {
    check(
        |builder| {
            let counts = builder
                .stream::<Option<String>, i64>("in")
                .group_by_key()
                .count_with(Materialized::named("counts"));
            let told = counts.to_stream().map_values(|count| count.unwrap_or(0));
            told.join(&counts, |count, row| count * 1_000 + row).to("out");
        },
        &["out"],
    );
}

#[test]
fn a_table_that_is_filtered_and_mapped() {
    check(
        |builder| {
            let table = builder.table::<Option<String>, i64>("in");
            table.filter(|_, value| value % 2 == 0).map_values(|value| value * 10).to_stream().to("out");
        },
        &["out"],
    );
}

#[test]
fn event_times_that_a_function_tells() {
    check(
        |builder| {
            let consumed = Consumed::<Option<String>, i64>::default();
            let consumed = consumed.with_event_time(
                |_, value, own, newest| {
                    if value % 11 == 0 { -1 } else { own.max(newest - 500) }
                },
            );
            builder.stream_with("in", consumed).to("out");
        },
        &["out"],
    );
}

#[test]
fn effects_of_two_operators_take_turns() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let seen = Arc::clone(&seen);
        move |_: &Option<String>, value: &i64| seen.lock().unwrap().push(format!("{name}{value}"))
    };
    let builder = StreamsBuilder::new();
    builder.stream::<Option<String>, i64>("in").peek(note("a")).filter(|_, _| true).foreach(note("b"));
    run(&builder.build().unwrap(), &[], RECORDS);
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 300);
    assert!(seen.chunks(2).all(|pair| pair[0][1..] == pair[1][1..] && pair[0].starts_with('a')), "{seen:?}");
}

/// Reads as its kind does, but for its first call, which finds nobody to ask.
#[derive(Default)]
struct Shy(AtomicBool);

impl Serde<i64> for Shy {
    fn serialize(&self, value: &i64, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        LongSerde.serialize(value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<i64, SerdeError> {
        if self.0.swap(true, Ordering::Relaxed) {
            return LongSerde.deserialize(bytes);
        }
        Err(SerdeError { retry: true, ..SerdeError::new("i64", "nobody answers", bytes) })
    }
}

#[test]
fn a_record_that_can_be_read_at_the_second_call_is_not_dropped() {
    let builder = StreamsBuilder::new();
    let consumed = Consumed::with(StringSerde, Shy::default());
    builder.stream_with("in", consumed).to("out");
    let kit = Testkit::builder().set("deserialization.exception.handler", "continue");
    let mut kit = kit.build(&builder.build().unwrap()).unwrap();
    kit.pipe("in", &"k".to_owned(), &7_i64, 10).unwrap();
    kit.advance_wall_clock(1_000).unwrap();
    assert_eq!(kit.read::<String, i64>("out").unwrap().len(), 1);
    assert_eq!(kit.counters().to_string(), "consumed 1, processed 1, produced 1");
}
