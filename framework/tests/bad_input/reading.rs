//! Bytes that are not what the topology expects.

use headwater::codec::Json;
use headwater::telemetry::DropReason;
use headwater::{HasSerde, StreamsBuilder};
use serde::{Deserialize, Serialize};

use crate::bench::{Case, Raw};

const SOURCE: &str = "KSTREAM-SOURCE-0000000000";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    id: i64,
}

impl HasSerde for Order {
    type Serde = Json;
}

fn numbers(builder: &StreamsBuilder) {
    builder.stream::<String, i64>("in").to("out");
}

fn orders(builder: &StreamsBuilder) {
    builder.stream::<String, Order>("in").to("out");
}

/// A task with two inputs chooses between their heads before it processes one.
fn joined(builder: &StreamsBuilder) {
    let numbers = builder.stream::<String, i64>("in");
    let rows = builder.table::<String, String>("rows");
    numbers.left_join(&rows, |number, _| number).to("out");
}

/// A topology that reads, a record that is good, one that is bad, and what the error says.
pub(crate) type Unreadable<'a> = (fn(&StreamsBuilder), &'a [u8], Raw<'a>, &'a str);

pub(crate) fn check(cases: &[Unreadable<'_>]) {
    for (topology, good, bad, problem) in cases {
        let case = Case {
            topology,
            good: (b"k", good),
            bad: *bad,
            stage: "deserialization",
            node: SOURCE,
            problem,
            hint: None,
            dropped: DropReason::Undecodable,
        };
        case.check();
    }
}

const ONE: &[u8] = &1_i64.to_be_bytes();
const ORDER: &[u8] = b"{\"id\":7}";

#[test]
fn a_poison_record() {
    check(&[
        (
            numbers,
            ONE,
            (Some(b"k"), Some(b"poison"), 20),
            "cannot read the value: expected i64: found 6 bytes instead of 8; first bytes poison",
        ),
        (
            numbers,
            ONE,
            (Some(b"\xff"), Some(ONE), 20),
            "cannot read the key: expected string: not UTF-8 from byte 0 on; first bytes \\xff",
        ),
        (
            orders,
            ORDER,
            (Some(b"k"), Some(b"{\"id\":"), 20),
            "cannot read the value: expected json Order: EOF while parsing a value at line 1 column 6; \
             first bytes {\\\"id\\\":",
        ),
    ]);
}

#[test]
fn a_poison_record_of_a_task_with_several_inputs() {
    check(&[(
        joined,
        ONE,
        (Some(b"k"), Some(b"poison"), 20),
        "cannot read the value: expected i64: found 6 bytes instead of 8; first bytes poison",
    )]);
}

#[test]
fn null_where_the_type_has_none() {
    let null = "found null; make the type an `Option` where null is meant";
    check(&[
        (numbers, ONE, (Some(b"k"), None, 20), &format!("cannot read the value: expected i64: {null}")),
        (numbers, ONE, (None, Some(ONE), 20), &format!("cannot read the key: expected string: {null}")),
    ]);
}

#[test]
fn a_value_of_no_bytes() {
    check(&[
        (
            numbers,
            ONE,
            (Some(b"k"), Some(b""), 20),
            "cannot read the value: expected i64: found 0 bytes instead of 8; first bytes ",
        ),
        (
            orders,
            ORDER,
            (Some(b"k"), Some(b""), 20),
            "cannot read the value: expected json Order: EOF while parsing a value at line 1 column 0; first bytes ",
        ),
    ]);
}

#[test]
fn a_timestamp_of_minus_one() {
    let case = Case {
        topology: &numbers,
        good: (b"k", ONE),
        bad: (Some(b"k"), Some(ONE), -1),
        stage: "deserialization",
        node: SOURCE,
        problem: "the record has the timestamp -1",
        hint: Some("choose another timestamp extractor in `Consumed` or `default.timestamp.extractor`"),
        dropped: DropReason::BadTimestamp,
    };
    case.check();
}
