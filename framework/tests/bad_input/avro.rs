//! Avro that a schema registry's serializers cannot have written so.

use std::sync::Arc;

use headwater::codec::StringSerde;
use headwater::codec::avro::{ConfluentAvroSerde, MemoryRegistry, SchemaRegistry, Subject};
use headwater::{Consumed, StreamsBuilder};

use crate::reading::{Order, check};

const SCHEMA: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}"#;

/// Orders as Confluent's serializers write them; the registry has the schema under id 1.
fn avro_orders(builder: &StreamsBuilder) {
    let registry = Arc::new(MemoryRegistry::default());
    registry.register(&Subject::value_of("in"), SCHEMA).unwrap();
    let serde = ConfluentAvroSerde::new(registry, Subject::value_of("in"), SCHEMA).unwrap();
    builder.stream_with::<String, Order>("in", Consumed::with(StringSerde, serde)).to("out");
}

const AVRO: &[u8] = b"\0\0\0\0\x01\x0e";

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
fn avro_that_is_null_or_has_no_bytes() {
    check(&[
        (
            avro_orders,
            AVRO,
            (Some(b"k"), None, 20),
            "cannot read the value: expected avro Order: found null; make the type an `Option` where null is meant",
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
