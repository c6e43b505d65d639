//! Bytes that are not what the topology expects.

use std::sync::Arc;

use headwater::codec::avro::{ConfluentAvroSerde, MemoryRegistry, SchemaRegistry, Subject};
use headwater::codec::{Json, StringSerde};
use headwater::telemetry::DropReason;
use headwater::{Consumed, HasSerde, StreamsBuilder};
use serde::{Deserialize, Serialize};

use crate::bench::{Case, Raw};

const SOURCE: &str = "KSTREAM-SOURCE-0000000000";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
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

const SCHEMA: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}"#;

/// Orders as Confluent's serializers write them; the registry has the schema under id 1.
fn avro_orders(builder: &StreamsBuilder) {
    let registry = Arc::new(MemoryRegistry::default());
    registry.register(&Subject::value_of("in"), SCHEMA).unwrap();
    let serde = ConfluentAvroSerde::new(registry, Subject::value_of("in"), SCHEMA).unwrap();
    builder.stream_with::<String, Order>("in", Consumed::with(StringSerde, serde)).to("out");
}

/// A topology that reads, a record that is good, one that is bad, and what the error says.
type Unreadable<'a> = (fn(&StreamsBuilder), &'a [u8], Raw<'a>, &'a str);

fn check(cases: &[Unreadable<'_>]) {
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
const AVRO: &[u8] = b"\0\0\0\0\x01\x0e";

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
fn avro_with_a_truncated_header_or_body() {
    check(&[
        (
            avro_orders,
            AVRO,
            (Some(b"k"), Some(b"\0\0\0"), 20),
            "cannot read the value: expected avro Order: found 3 bytes, fewer than the 5 of magic byte and schema id; \
             the record was cut, or not written through a schema registry; first bytes \\x00\\x00\\x00",
        ),
        (
            avro_orders,
            AVRO,
            (Some(b"k"), Some(b"{\"id\":7}"), 20),
            "cannot read the value: expected avro Order: found 123 where the magic byte 0 should be; was it written \
             through a schema registry? if not, read it with the serde that fits; first bytes {\\\"id\\\":7}",
        ),
    ]);
}

#[test]
fn avro_with_an_id_that_the_registry_does_not_know() {
    check(&[(
        avro_orders,
        AVRO,
        (Some(b"k"), Some(b"\0\0\0\0\x07\x0e"), 20),
        "cannot read the value: expected avro Order: the registry has no schema id 7; does the producer use the same \
         one?; first bytes \\x00\\x00\\x00\\x00\\x07\\x0e",
    )]);
}

#[test]
fn null_where_the_type_has_none() {
    let null = "found null; make the type an `Option` where null is meant";
    check(&[
        (numbers, ONE, (Some(b"k"), None, 20), &format!("cannot read the value: expected i64: {null}")),
        (numbers, ONE, (None, Some(ONE), 20), &format!("cannot read the key: expected string: {null}")),
        (
            avro_orders,
            AVRO,
            (Some(b"k"), None, 20),
            &format!("cannot read the value: expected avro Order: {null}"),
        ),
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
        (
            avro_orders,
            AVRO,
            (Some(b"k"), Some(b""), 20),
            "cannot read the value: expected avro Order: found 0 bytes, fewer than the 5 of magic byte and schema id; \
             the record was cut, or not written through a schema registry; first bytes ",
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
