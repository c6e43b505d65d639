//! Avro: bytes as the specification and Confluent's serializers have them, and what is said when they are not.
#![cfg(feature = "avro")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use apache_avro::types::Value;
use headwater::Serde;
use headwater::codec::avro::{
    AvroSerde, ConfluentAvroSerde, MemoryRegistry, RegistryError, SchemaRegistry, Subject,
};
use headwater::codec::{Nullable, SerdeError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: i64,
    note: Option<String>,
    state: State,
    tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Open,
    Paid,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Link {
    next: Option<Box<Link>>,
}

/// The order of the fields is another than the struct's: it is the schema that counts.
const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "id", "type": "long"},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["Open", "Paid"]}},
    {"name": "note", "type": ["null", "string"], "default": null}]}"#;

const ORDER_OF_OLD: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "int"},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["Open", "Paid"]}},
    {"name": "gone", "type": "boolean"},
    {"name": "tags", "type": {"type": "array", "items": "string"}}]}"#;

fn order() -> Order {
    Order {
        id: -1,
        note: Some("x".to_owned()),
        state: State::Paid,
        tags: vec!["a".to_owned(), String::new()],
    }
}

fn serialized<T>(serde: &impl Serde<T>, value: &T) -> Vec<u8> {
    let mut out = b"before".to_vec();
    assert_eq!(serde.serialize(value, &mut out), Ok(true));
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

#[track_caller]
fn check<T>(result: Result<T, SerdeError>, expected: &str) {
    assert_eq!(result.err().expect("an error").to_string(), expected);
}

fn orders(registry: &Arc<MemoryRegistry>) -> ConfluentAvroSerde {
    ConfluentAvroSerde::new(registry.clone(), Subject::value_of("orders"), ORDER).unwrap()
}

#[test]
fn a_datum_has_the_bytes_of_the_specification() {
    let serde = AvroSerde::new(ORDER).unwrap();
    let bytes = serialized(&serde, &order());
    assert_eq!(bytes, b"\x04\x02a\x00\x00\x01\x02\x02\x02x");
    assert_eq!(serde.deserialize(Some(&bytes)), Ok(order()));
}

#[test]
fn a_datum_cut_anywhere_is_an_error() {
    let serde = AvroSerde::new(ORDER).unwrap();
    let bytes = serialized(&serde, &order());
    for len in 0..bytes.len() {
        let result: Result<Order, _> = serde.deserialize(Some(&bytes[..len]));
        assert!(result.unwrap_err().problem.starts_with("the data end early"), "{len}");
    }
    let longer = [&bytes[..], b"!"].concat();
    check::<Order>(
        serde.deserialize(Some(&longer)),
        "expected avro Order: 1 bytes are left after the data; was it written with this schema, and without a \
         header?; first bytes \\x04\\x02a\\x00\\x00\\x01\\x02\\x02\\x02x!",
    );
}

#[test]
fn a_value_that_does_not_fit_its_schema_leaves_nothing_behind() {
    let registry = Arc::new(MemoryRegistry::default());
    let mut out = b"before".to_vec();
    let plain = AvroSerde::new(r#""int""#).unwrap();
    check(
        plain.serialize(&i64::MAX, &mut out),
        "expected avro i64: does not fit the schema `\"int\"`: 9223372036854775807 is larger than an int",
    );
    let confluent = ConfluentAvroSerde::new(registry, Subject::named("s"), r#""int""#).unwrap();
    assert!(confluent.serialize(&"text".to_owned(), &mut out).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn large_and_deep_data_come_back() {
    let text = AvroSerde::new(r#""string""#).unwrap();
    let large = "x".repeat(10_000_000);
    let bytes = serialized(&text, &large);
    assert!(text.deserialize(Some(&bytes)).as_ref() == Ok(&large));

    let schema =
        r#"{"type": "record", "name": "Link", "fields": [{"name": "next", "type": ["null", "Link"]}]}"#;
    let serde = AvroSerde::new(schema).unwrap();
    let mut bytes = vec![2; 190];
    bytes.push(0);
    let chain: Link = serde.deserialize(Some(&bytes)).unwrap();
    assert_eq!(serialized(&serde, &chain), bytes);
}

#[test]
fn the_wire_format_is_confluents() {
    let registry = Arc::new(MemoryRegistry::default());
    registry.register(&Subject::key_of("other"), r#""long""#).unwrap();
    let serde = orders(&registry);
    let bytes = serialized(&serde, &order());
    assert_eq!(bytes, b"\0\0\0\0\x02\x04\x02a\x00\x00\x01\x02\x02\x02x");
    assert_eq!(serde.deserialize(Some(&bytes)), Ok(order()));
    let kept = registry.latest(&Subject::named("orders-value")).unwrap().unwrap();
    let registered: serde_json::Value = serde_json::from_str(&kept.1).unwrap();
    let wanted: serde_json::Value = serde_json::from_str(ORDER).unwrap();
    assert_eq!((kept.0, registered), (2, wanted));

    let raw = ConfluentAvroSerde::dynamic(registry.clone(), Subject::named("raw"));
    registry.register(&Subject::named("raw"), r#""bytes""#).unwrap();
    let value = Value::Bytes(b"as they are".to_vec());
    let bytes = serialized(&raw, &value);
    assert_eq!(bytes, b"\0\0\0\0\x03as they are");
    assert_eq!(raw.deserialize(Some(&bytes)), Ok(value));
}

#[test]
fn data_of_another_version_are_read_into_ones_own() {
    let registry = Arc::new(MemoryRegistry::default());
    let old = Subject::named("old");
    registry.register(&old, ORDER_OF_OLD).unwrap();
    let writer = ConfluentAvroSerde::dynamic(registry.clone(), old);
    let value = Value::Record(vec![
        ("id".to_owned(), Value::Int(9)),
        ("state".to_owned(), Value::Enum(0, "Open".to_owned())),
        ("gone".to_owned(), Value::Boolean(true)),
        ("tags".to_owned(), Value::Array(vec![])),
    ]);
    let bytes = serialized(&writer, &value);
    assert_eq!(bytes, [0, 0, 0, 0, 1, 18, 0, 1, 0]);
    let expected = Order { id: 9, note: None, state: State::Open, tags: vec![] };
    assert_eq!(orders(&registry).deserialize(Some(&bytes)), Ok(expected));
    assert_eq!(writer.deserialize(Some(&bytes)), Ok(value));
}

#[test]
fn the_newest_schema_can_be_written_instead_of_ones_own() {
    let registry = Arc::new(MemoryRegistry::default());
    let subject = Subject::value_of("numbers");
    let serde = || {
        let serde = ConfluentAvroSerde::new(registry.clone(), subject.clone(), r#""int""#).unwrap();
        serde.with_latest_schema()
    };
    let error = serde().serialize(&1_i32, &mut Vec::new()).unwrap_err();
    assert_eq!(error.problem, "subject `numbers-value` has no schema; register one, or give the serde one");
    registry.register(&subject, r#""double""#).unwrap();
    assert_eq!(serialized(&serde(), &1_i32), b"\0\0\0\0\x01\0\0\0\0\0\0\xf0\x3f");
}

#[test]
fn each_way_to_be_wrong_says_what_to_do() {
    let registry = Arc::new(MemoryRegistry::default());
    let serde = orders(&registry);
    let read = |bytes: Option<&[u8]>| -> Result<Order, SerdeError> { serde.deserialize(bytes) };
    check(read(None), "expected avro Order: found null; make the type an `Option` where null is meant");
    check(
        read(Some(b"\0\0\0")),
        "expected avro Order: found 3 bytes, fewer than the 5 of magic byte and schema id; the record was cut, or \
         not written through a schema registry; first bytes \\x00\\x00\\x00",
    );
    check(
        read(Some(b"{}")),
        "expected avro Order: found 123 where the magic byte 0 should be; was it written through a schema registry? \
         if not, read it with the serde that fits; first bytes {}",
    );
    check(
        read(Some(b"\0\0\0\0\x07x")),
        "expected avro Order: the registry has no schema id 7; does the producer use the same one?; \
         first bytes \\x00\\x00\\x00\\x00\\x07x",
    );
    registry.register(&Subject::named("x"), r#"{"type": "record", "name": "Other", "fields": []}"#).unwrap();
    let error = read(Some(b"\0\0\0\0\x01")).unwrap_err();
    let start = "schema id 1, `Other`, cannot be read as `shop.Order`: ";
    let end = "; give new fields a default, or change the schema in steps that are compatible";
    assert!(error.problem.starts_with(start) && error.problem.ends_with(end), "{error}");
    check(
        read(Some(b"\0\0\0\0\x01\x01")),
        "expected avro Order: no data of schema id 1, `Other`: 1 bytes are left after the data; \
         first bytes \\x00\\x00\\x00\\x00\\x01\\x01",
    );
    assert!(ConfluentAvroSerde::new(registry, Subject::named("y"), "{").is_err());
}

#[test]
fn null_is_for_options() {
    let serde = Nullable(orders(&Arc::new(MemoryRegistry::default())));
    assert_eq!(serde.deserialize(None), Ok(None::<Order>));
    let mut out = Vec::new();
    assert_eq!(serde.serialize(&Some(order()), &mut out), Ok(true));
    assert_eq!(serde.deserialize(Some(&out)), Ok(Some(order())));
}

/// Counts questions, and does not answer while it is away.
#[derive(Debug, Default)]
struct Watched {
    inner: MemoryRegistry,
    questions: AtomicUsize,
    away: AtomicBool,
}

impl Watched {
    fn ask(&self) -> Result<&MemoryRegistry, RegistryError> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Err(RegistryError { problem: "connection refused".to_owned(), retry: true });
        }
        Ok(&self.inner)
    }
}

impl SchemaRegistry for Watched {
    fn register(&self, subject: &Subject, schema: &str) -> Result<i32, RegistryError> {
        self.ask()?.register(subject, schema)
    }

    fn schema(&self, id: i32) -> Result<Option<String>, RegistryError> {
        self.ask()?.schema(id)
    }

    fn latest(&self, subject: &Subject) -> Result<Option<(i32, String)>, RegistryError> {
        self.ask()?.latest(subject)
    }
}

#[test]
fn a_registry_is_asked_once_and_its_silence_is_not_the_records_fault() {
    let registry = Arc::new(Watched::default());
    let serde = ConfluentAvroSerde::new(registry.clone(), Subject::value_of("orders"), ORDER).unwrap();
    registry.away.store(true, Ordering::Relaxed);
    let error = serde.serialize(&order(), &mut Vec::new()).unwrap_err();
    let silence = "the schema registry did not answer about subject `orders-value`: connection refused";
    assert_eq!((error.problem.as_str(), error.retry), (silence, true));
    let error = Serde::<Order>::deserialize(&serde, Some(b"\0\0\0\0\x01")).unwrap_err();
    assert!(error.retry, "{error}");
    registry.away.store(false, Ordering::Relaxed);
    let bytes = serialized(&serde, &order());
    assert_eq!(serde.deserialize(Some(&bytes)), Ok(order()));
    let asked = registry.questions.load(Ordering::Relaxed);
    for _ in 0..10 {
        assert_eq!(serde.deserialize(Some(&serialized(&serde, &order()))), Ok(order()));
    }
    assert_eq!((asked, registry.questions.load(Ordering::Relaxed)), (4, 4));
}

/// What Avro for Java wrote in `test_message.bin` of the suites.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TestMessage {
    tags: Vec<String>,
    name: String,
    id: i64,
}

#[test]
fn a_datum_written_by_java() {
    let Ok(suites) = std::env::var("HEADWATER_SUITES") else {
        println!("skipped: HEADWATER_SUITES names no folder");
        return;
    };
    let folder = Path::new(&suites).join("avro-parquet/avro");
    let schema = std::fs::read_to_string(folder.join("test_schema.avsc")).unwrap();
    let message = std::fs::read(folder.join("test_message.bin")).unwrap();
    // Before the datum stand the ten bytes of Avro's own single-object header.
    let datum = &message[10..];
    let serde = AvroSerde::new(&schema).unwrap();
    let read: TestMessage = serde.deserialize(Some(datum)).unwrap();
    let tags = vec!["dog_lover".to_owned(), "cat_hater".to_owned()];
    assert_eq!(read, TestMessage { tags, name: "Bill".to_owned(), id: 42 });
    assert_eq!(serialized(&serde, &read), datum);
    AvroSerde::new(&std::fs::read_to_string(folder.join("interop.avsc")).unwrap()).unwrap();
}
