//! Records that an operator fails on, and results that cannot be written.

use std::collections::HashMap;
use std::time::Duration;

use headwater::codec::Json;
use headwater::kafka::Isolation;
use headwater::telemetry::DropReason;
use headwater::testkit::Testkit;
use headwater::{BoardEmit, HasSerde, Produced, Ranked, StreamsBuilder, TopicName};
use serde::{Deserialize, Serialize};

use crate::bench::Case;

const SINK: &str = "KSTREAM-SINK-0000000002";

#[test]
fn a_record_that_a_function_fails_on() {
    let topology = |builder: &StreamsBuilder| {
        let texts = builder.stream::<String, String>("in");
        texts.try_map_values(|_, text| Ok(text.parse::<i64>()?)).to("out");
    };
    let case = Case {
        topology: &topology,
        good: (b"k", b"7"),
        bad: (Some(b"k"), Some(b"seven"), 20),
        stage: "processing",
        node: "KSTREAM-MAPVALUES-0000000001",
        problem: "the function failed on this record: invalid digit found in string",
        hint: None,
        dropped: DropReason::Failed,
    };
    case.check();
}

/// What JSON cannot write unless it is empty: its keys are no texts.
#[derive(Clone, Serialize, Deserialize)]
struct Odd(HashMap<Vec<u8>, i64>);

impl HasSerde for Odd {
    type Serde = Json;
}

#[test]
fn a_result_that_its_serde_cannot_write() {
    let topology = |builder: &StreamsBuilder| {
        let texts = builder.stream::<String, String>("in");
        texts.map_values(|text| Odd(text.bytes().map(|byte| (vec![byte], 1)).collect())).to("out");
    };
    let case = Case {
        topology: &topology,
        good: (b"k", b""),
        bad: (Some(b"k"), Some(b"bad"), 20),
        stage: "production",
        node: SINK,
        problem: "cannot write the value: expected json Odd: cannot be written: key must be a string",
        hint: None,
        dropped: DropReason::Unproducible,
    };
    case.check();
}

/// Texts, a hundred thousand times as long.
fn grow(builder: &StreamsBuilder) {
    builder.stream::<String, String>("in").map_values(|text| text.repeat(100_000)).to("out");
}

#[test]
fn a_result_larger_than_max_request_size() {
    let case = Case {
        topology: &grow,
        good: (b"k", b"0123456789"),
        bad: (Some(b"k"), Some(b"0123456789+"), 20),
        stage: "production",
        node: SINK,
        problem: "a record of 1100076 bytes for topic `out` is too large",
        hint: Some("raise `max.request.size` (now 1048576), and the topic's `max.message.bytes`"),
        dropped: DropReason::Unproducible,
    };
    case.check();
}

#[test]
fn a_topic_chosen_for_a_record_that_does_not_exist() {
    let topology = |builder: &StreamsBuilder| {
        let texts = builder.stream::<String, String>("in");
        let topic_of = |_: &String, text: &String| TopicName::from(text.as_str());
        texts.to_extracted(topic_of, Produced::default());
    };
    let case = Case {
        topology: &topology,
        good: (b"k", b"out"),
        bad: (Some(b"k"), Some(b"nowhere"), 20),
        stage: "production",
        node: "KSTREAM-SINK-0000000001",
        problem: "topic `nowhere` does not exist",
        hint: Some("create it; topics that are chosen record by record are not made on the way"),
        dropped: DropReason::Unproducible,
    };
    case.check();
}

/// A board of a whole team that the clock tells, not a record: there is no input to point at.
#[test]
fn a_result_told_by_the_clock_that_cannot_be_written() {
    let builder = StreamsBuilder::new();
    let points = builder.table::<String, i64>("points");
    let teams = points.group_by(|_, points| ("team".to_owned(), *points));
    let ranked = Ranked::named("best").emit(BoardEmit::AtMostEvery(Duration::from_secs(1)));
    teams.leaderboard_with(9, |points| *points, ranked).to_stream().to("out");
    let topology = builder.build().unwrap();
    let told = |answer: &str| {
        let kit = Testkit::builder().exactly_once().set("production.exception.handler", answer);
        let kit = kit.set("max.request.size", "1000");
        let kit = match answer {
            "dead-letter" => kit.set("errors.dead.letter.queue.topic.name", "dead"),
            _ => kit,
        };
        let mut kit = kit.build(&topology).unwrap();
        for player in 0_i64..9 {
            kit.pipe("points", &format!("{player}{}", "-".repeat(150)), &player, 1).unwrap();
        }
        let error = kit.advance_wall_clock(1_000).err().map(|error| error.to_string());
        (kit, error)
    };
    let (mut kit, error) = told("fail");
    let error = error.unwrap();
    let place = "(node KSTREAM-SINK-0000000008, task 1_0); raise `max.request.size` (now 1000)";
    assert!(error.starts_with("a record of ") && error.contains(place), "{error}");
    kit.restart(0).unwrap();
    assert_eq!(kit.advance_wall_clock(1_000).unwrap_err().to_string(), error, "it is still to be told");

    let (mut kit, error) = told("continue");
    assert_eq!((error, kit.counters().dropped(DropReason::Unproducible)), (None, 1));
    assert!(kit.read_bytes("out").unwrap().is_empty());

    let (mut kit, error) = told("dead-letter");
    assert_eq!((error, kit.counters().dead_letters_total()), (None, 1));
    let letters = kit.read::<Option<String>, Option<String>>("dead").unwrap();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.key.as_ref(), letter.value.as_ref(), letter.timestamp), (None, None, 1));
    let header = |name: &str| letter.headers.last(&format!("__streams.errors.{name}"));
    let known = ["stage", "node", "task"].map(|name| std::str::from_utf8(header(name).unwrap()).unwrap());
    assert_eq!(known, ["production", "KSTREAM-SINK-0000000008", "1_0"]);
    assert_eq!(["topic", "partition", "offset"].map(header), [None; 3]);
}

#[test]
fn a_dead_letter_that_is_too_large_goes_without_its_value() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in").to("out");
    let kit = Testkit::builder().set("deserialization.exception.handler", "dead-letter");
    let kit = kit.set("errors.dead.letter.queue.topic.name", "dead").set("max.request.size", "1000");
    let mut kit = kit.build(&builder.build().unwrap()).unwrap();
    kit.pipe_bytes("in", Some(b"k"), Some(&[b'x'; 900]), 10).unwrap();
    kit.pipe_bytes("in", Some(b"k"), Some(&[b'x'; 100]), 20).unwrap();
    let letters = kit.cluster().read_all("dead", Isolation::ReadCommitted).unwrap();
    let short = letters[0].get(0);
    assert_eq!((short.key, short.value, short.timestamp), (Some(&b"k"[..]), None, 10));
    let headers = short.to_headers();
    let header = |name| String::from_utf8(headers.last(name).unwrap().to_vec()).unwrap();
    let truncated = header("__streams.errors.truncated");
    assert!(truncated.ends_with(" bytes: its value, and headers of its own, are left out"), "{truncated}");
    assert_eq!(header("__streams.errors.offset"), "0", "where the whole record is still to be found");
    assert_eq!(letters[0].get(1).value, Some(&[b'x'; 100][..]));
    assert_eq!(
        kit.counters().to_string(),
        "consumed 2, processed 0, produced 0, dead letters 2 deserialization"
    );
}
