//! Bytes computed by Kafka's own classes, read from the conformance suites where they are at hand
//! (`HEADWATER_SUITES`). What must hold without them stands in the unit tests of `codec`.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Debug;
use std::path::Path;

use headwater::codec::change::Change;
use headwater::codec::partition::{murmur2, partition_for_key};
use headwater::codec::store_key::{SessionKey, TimestampedValue, WindowKey};
use headwater::codec::varint::{push_varint, take_varint};
use headwater::codec::{
    IntegerSerde, ListSerde, Nullable, SessionWindowedSerde, StringSerde, TimeWindowedSerde,
};
use headwater::record::Windowed;
use headwater::{HasSerde, Serde};
use serde_json::Value;

fn suite() -> Option<Value> {
    let Ok(folder) = std::env::var("HEADWATER_SUITES") else {
        println!("skipped: HEADWATER_SUITES names no folder");
        return None;
    };
    let path = Path::new(&folder).join("kstreams/byte-vectors.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap())
}

/// The cases of one section: there are some, and each passes `check`.
fn each(section: &str, check: impl Fn(&Value)) {
    let Some(suite) = suite() else { return };
    let cases = suite[section].as_array().unwrap();
    assert!(!cases.is_empty(), "{section}");
    cases.iter().for_each(check);
    println!("{section}: {} cases", cases.len());
}

fn hex(case: &Value, field: &str) -> Vec<u8> {
    let text = case[field].as_str().unwrap_or_else(|| panic!("{field} of {case}"));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(&mut out);
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

fn round_trip<T: PartialEq + Debug>(serde: &impl Serde<T>, value: &T, bytes: &[u8]) {
    let written = encoded(|out| assert_eq!(serde.serialize(value, out), Ok(true)));
    assert_eq!(written, bytes, "{value:?}");
    assert_eq!(serde.deserialize(Some(bytes)).as_ref(), Ok(value));
}

fn usual<T: HasSerde + PartialEq + Debug>(value: T, bytes: &[u8]) {
    round_trip(&T::Serde::default(), &value, bytes);
}

#[test]
fn murmur2_and_partitions() {
    each("murmur2", |case| {
        let key = hex(case, "key_hex");
        assert_eq!(i64::from(murmur2(&key)), case["hash_int32"].as_i64().unwrap());
        for (partitions, expected) in case["partition_for_num_partitions"].as_object().unwrap() {
            let partition = partition_for_key(&key, partitions.parse().unwrap());
            assert_eq!(i64::from(partition), expected.as_i64().unwrap(), "{case} {partitions}");
        }
    });
}

#[test]
fn primitive_serdes() {
    each("primitive_serdes", |case| {
        let (value, bytes) = (&case["value"], hex(case, "hex"));
        match case["type"].as_str().unwrap() {
            "short" => usual(i16::try_from(value.as_i64().unwrap()).unwrap(), &bytes),
            "int" => usual(i32::try_from(value.as_i64().unwrap()).unwrap(), &bytes),
            "long" => usual(value.as_i64().unwrap(), &bytes),
            "float" => usual(value.as_f64().unwrap() as f32, &bytes),
            "double" => usual(value.as_f64().unwrap(), &bytes),
            "boolean" => usual(value.as_bool().unwrap(), &bytes),
            "string" | "uuid(as its string)" => usual(value.as_str().unwrap().to_owned(), &bytes),
            kind if kind.starts_with("list<int>") => list_of_integers(value, &bytes),
            kind if kind.starts_with("list<string>") => list_of_strings(value, &bytes),
            kind => panic!("no serde for {kind}"),
        }
    });
}

fn list_of_integers(value: &Value, bytes: &[u8]) {
    let list: Vec<Option<i32>> = serde_json::from_value(value.clone()).unwrap();
    round_trip(&ListSerde::of_width(Nullable(IntegerSerde), 4), &list, bytes);
}

fn list_of_strings(value: &Value, bytes: &[u8]) {
    let list: Vec<Option<String>> = serde_json::from_value(value.clone()).unwrap();
    round_trip(&ListSerde::new(Nullable(StringSerde)), &list, bytes);
}

#[test]
fn windowed_keys() {
    each("windowed_keys", |case| {
        let text = case["key_utf8"].as_str().unwrap();
        let (start, end) = (case["start"].as_i64().unwrap(), case["end"].as_i64().unwrap());
        let windowed = Windowed::new(text.to_owned(), start, end);
        let time = TimeWindowedSerde::new(StringSerde, end - start);
        round_trip(&time, &windowed, &hex(case, "time_windowed_serde_hex"));
        let session = SessionWindowedSerde::new(StringSerde);
        round_trip(&session, &windowed, &hex(case, "session_windowed_serde_hex"));

        let key = text.as_bytes();
        for (seq, field) in [(0, "window_store_key_hex_seq0"), (7, "window_store_key_hex_seq7")] {
            let (entry, bytes) = (WindowKey { key, start, seq }, hex(case, field));
            assert_eq!(encoded(|out| entry.encode(out)), bytes);
            assert_eq!(WindowKey::decode(&bytes), Ok(entry));
        }
        let (entry, bytes) = (SessionKey { key, start, end }, hex(case, "session_store_key_hex"));
        assert_eq!(encoded(|out| entry.encode(out)), bytes);
        assert_eq!(SessionKey::decode(&bytes), Ok(entry));
    });
}

#[test]
fn values_with_timestamps() {
    each("value_and_timestamp", |case| {
        let value = case["value_utf8"].as_str().unwrap().as_bytes();
        let entry = TimestampedValue { timestamp: case["timestamp"].as_i64().unwrap(), value };
        let bytes = hex(case, "hex");
        assert_eq!(encoded(|out| entry.encode(out)), bytes);
        assert_eq!(TimestampedValue::decode(&bytes), Ok(entry));
    });
}

#[test]
fn changes() {
    each("changed_serializer", |case| {
        let part = |name: &str| case[name].as_str().map(str::as_bytes);
        let change = Change { new: part("new"), old: part("old") };
        let bytes = hex(case, "hex");
        assert_eq!(encoded(|out| change.encode(out).unwrap()), bytes);
        assert_eq!(Change::decode(&bytes), Ok(change));
    });
}

#[test]
fn varints() {
    each("varints", |case| {
        // Cases of `value_long` are of 64 bits, which no format here uses.
        let Some(value) = case["value"].as_i64() else { return };
        let (value, bytes) = (i32::try_from(value).unwrap(), hex(case, "zigzag_varint_hex"));
        assert_eq!(encoded(|out| push_varint(value, out)), bytes);
        assert_eq!(take_varint(&bytes), Some((value, &[][..])));
    });
}
