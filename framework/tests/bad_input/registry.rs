//! A schema registry that does not answer: no record is at fault, so none is skipped, whatever the handlers say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater::codec::avro::{
    ConfluentAvroSerde, MemoryRegistry, RegistryError, SchemaRegistry, Subject, Typed,
};
use headwater::codec::{LongSerde, StringSerde};
use headwater::testkit::Testkit;
use headwater::{Consumed, Produced, StreamsBuilder, Topology};

const AVRO: &[u8] = b"\0\0\0\0\x01\x0e";

/// Knows one schema, and does not answer while it is away.
#[derive(Debug, Default)]
struct Registry {
    inner: MemoryRegistry,
    away: AtomicBool,
}

impl Registry {
    fn ask(&self) -> Result<&MemoryRegistry, RegistryError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(RegistryError { problem: "connection refused".to_owned(), retry: true });
        }
        Ok(&self.inner)
    }

    /// A serde that has not asked anything yet.
    fn longs(self: &Arc<Self>) -> ConfluentAvroSerde<Typed> {
        let registry = Arc::clone(self) as Arc<dyn SchemaRegistry>;
        ConfluentAvroSerde::new(registry, Subject::value_of("in"), r#""long""#).unwrap()
    }
}

impl SchemaRegistry for Registry {
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

fn registry() -> Arc<Registry> {
    let registry = Arc::new(Registry::default());
    registry.register(&Subject::value_of("in"), r#""long""#).unwrap();
    registry.away.store(true, Ordering::Relaxed);
    registry
}

/// Reads Avro from `in`, and from `other` what needs no registry.
fn reading(registry: &Arc<Registry>) -> Topology {
    let builder = StreamsBuilder::new();
    let consumed = Consumed::with(StringSerde, registry.longs());
    builder.stream_with::<String, i64>("in", consumed).to_with("out", Produced::with(StringSerde, LongSerde));
    builder.stream::<String, i64>("other").to("other-out");
    builder.build().unwrap()
}

const SILENCE: &str = "cannot read the value: expected avro i64: the schema registry did not answer about schema id 1: \
                       connection refused; first bytes \\x00\\x00\\x00\\x00\\x01\\x0e (topic in, partition 0, offset 0, \
                       node KSTREAM-SOURCE-0000000000, task 0_0); this is no fault of the record: it is read again once \
                       there is an answer; `task.timeout.ms` has passed";

#[test]
fn a_registry_that_does_not_answer_keeps_the_record_waiting_and_nothing_else() {
    for handler in ["fail", "continue", "dead-letter"] {
        let registry = registry();
        let kit = Testkit::builder().exactly_once().set("deserialization.exception.handler", handler);
        let kit = match handler {
            "dead-letter" => kit.set("errors.dead.letter.queue.topic.name", "dead"),
            _ => kit,
        };
        let mut kit = kit.build(&reading(&registry)).unwrap();
        kit.pipe_bytes("in", Some(b"k"), Some(AVRO), 10).unwrap();
        kit.pipe("other", &"k".to_owned(), &8_i64, 20).unwrap();
        assert_eq!(kit.counters().to_string(), "consumed 1, processed 1, produced 1", "{handler}");
        kit.advance_wall_clock(60_000).unwrap();
        assert_eq!(kit.read::<String, i64>("other-out").unwrap().len(), 1);
        registry.away.store(false, Ordering::Relaxed);
        kit.settle().unwrap();
        let out = kit.read::<String, i64>("out").unwrap();
        assert_eq!((out.len(), out[0].value, out[0].timestamp), (1, 7, 10), "{handler}");
        assert_eq!(kit.counters().to_string(), "consumed 2, processed 2, produced 2", "{handler}");
    }
}

#[test]
fn patience_with_a_registry_ends_with_task_timeout() {
    let registry = registry();
    let kit = Testkit::builder().set("task.timeout.ms", 5_000);
    let mut kit =
        kit.set("deserialization.exception.handler", "continue").build(&reading(&registry)).unwrap();
    kit.pipe_bytes("in", Some(b"k"), Some(AVRO), 10).unwrap();
    // Records that go through meanwhile do not make it patient.
    for at in 0..4 {
        kit.pipe("other", &"k".to_owned(), &8_i64, at).unwrap();
        kit.advance_wall_clock(1_000).unwrap();
    }
    assert_eq!(kit.advance_wall_clock(2_000).unwrap_err().to_string(), SILENCE);
    registry.away.store(false, Ordering::Relaxed);
    kit.restart(0).unwrap();
    assert_eq!(kit.read::<String, i64>("out").unwrap().len(), 1, "the record is still there");
    assert_eq!(kit.counters().to_string(), "consumed 5, processed 5, produced 5");
}

#[test]
fn a_result_that_a_registry_holds_up_is_made_again() {
    let registry = registry();
    let topology = {
        let builder = StreamsBuilder::new();
        let numbers = builder.stream::<String, i64>("in");
        numbers.to_with("out", Produced::with_value_serde(registry.longs()));
        builder.build().unwrap()
    };
    let kit = Testkit::builder().exactly_once().set("production.exception.handler", "continue");
    let mut kit = kit.set("task.timeout.ms", 5_000).build(&topology).unwrap();
    kit.pipe("in", &"k".to_owned(), &7_i64, 10).unwrap();
    let error = (0..20).find_map(|_| kit.advance_wall_clock(1_000).err()).unwrap().to_string();
    let expected = "cannot write the value: expected avro i64: the schema registry did not answer about subject \
                    `in-value`: connection refused (topic in, partition 0, offset 0, node KSTREAM-SINK-0000000001, task \
                    0_0); this is no fault of the record: it is read again once there is an answer";
    assert!(error.starts_with(expected), "{error}");
    registry.away.store(false, Ordering::Relaxed);
    kit.restart(0).unwrap();
    assert_eq!(kit.read_bytes("out").unwrap()[0].get(0).value, Some(AVRO));
    assert_eq!(kit.counters().to_string(), "consumed 1, processed 1, produced 1");
}
