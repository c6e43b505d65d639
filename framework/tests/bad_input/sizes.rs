//! Values of no bytes and of ten megabytes.

use headwater::kafka::memory::MemoryCluster;
use headwater::testkit::{Testkit, TestkitBuilder};
use headwater::{Consumed, Materialized, RecordBatch, StreamsBuilder, TopicPartition};

const LARGE: usize = 10 << 20;
/// What a topic needs to take such a record.
const ROOM: (&str, &str) = ("max.message.bytes", "20000000");

fn kit(cluster: &MemoryCluster, exactly_once: bool) -> TestkitBuilder {
    let kit = Testkit::builder().cluster(cluster).set("max.request.size", "16 MiB");
    if exactly_once { kit.exactly_once() } else { kit }
}

/// Input and output that take ten megabytes.
fn roomy(cluster: &MemoryCluster) {
    ["in", "out"].iter().for_each(|topic| cluster.create_topic_with(topic, 1, &[ROOM]).unwrap());
}

/// Keys and lengths of what is new in a topic.
fn lengths(kit: &mut Testkit, topic: &str) -> Vec<(String, Option<usize>)> {
    let batches = kit.read_bytes(topic).unwrap();
    let length = |raw: headwater::record::RawRecord<'_>| {
        let key = String::from_utf8(raw.key.unwrap_or_default().to_vec()).unwrap();
        (key, raw.value.map(<[u8]>::len))
    };
    batches.iter().flatten().map(length).collect()
}

#[test]
fn ten_megabytes_pass_where_topics_and_max_request_size_allow_it() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, Vec<u8>>("in").to("out");
    for exactly_once in [true, false] {
        let cluster = MemoryCluster::new();
        roomy(&cluster);
        let mut kit = kit(&cluster, exactly_once).build(&builder.build().unwrap()).unwrap();
        let mut batch = RecordBatch::default();
        for (key, len) in [(b"a", 0), (b"b", LARGE), (b"c", 1)] {
            batch.push(1, Some(key), Some(&vec![b'x'; len]), 0);
            // Each in a batch of its own: a fetch of less than its size still gets it whole.
            kit.put(&TopicPartition::new("in", 0), &std::mem::take(&mut batch)).unwrap();
        }
        kit.settle().unwrap();
        let expected = [("a", 0), ("b", LARGE), ("c", 1)].map(|(key, len)| (key.to_owned(), Some(len)));
        assert_eq!(lengths(&mut kit, "out"), expected);
        assert_eq!(kit.counters().to_string(), "consumed 3, processed 3, produced 3");
    }
}

/// A row of a table goes to its changelog, which has a limit of its own.
#[test]
fn a_row_of_ten_megabytes_needs_a_changelog_that_takes_it() {
    let builder = StreamsBuilder::new();
    builder
        .table_with::<String, Vec<u8>>("in", Consumed::default(), Some(Materialized::named("rows")))
        .to_stream()
        .to("out");
    let topology = builder.build().unwrap();
    for exactly_once in [true, false] {
        let cluster = MemoryCluster::new();
        roomy(&cluster);
        let row = vec![b'x'; LARGE];
        let mut small = kit(&cluster, exactly_once).build(&topology).unwrap();
        let error = small.pipe_bytes("in", Some(b"k"), Some(&row), 1).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "the changelog of store `rows` does not take the value of key `k`, which has 10485760 bytes"
            ),
            "{error}"
        );
        assert!(error.contains("raise `max.message.bytes` of topic `testkit-rows-changelog`"), "{error}");
        drop(small);

        let cluster = MemoryCluster::new();
        roomy(&cluster);
        let changelog = [ROOM, ("cleanup.policy", "compact")];
        cluster.create_topic_with("testkit-rows-changelog", 1, &changelog).unwrap();
        let mut kit = kit(&cluster, exactly_once).build(&topology).unwrap();
        kit.pipe_bytes("in", Some(b"k"), Some(&row), 1).unwrap();
        assert_eq!(lengths(&mut kit, "out"), [("k".to_owned(), Some(LARGE))]);
        // The state is rebuilt from the changelog alone.
        kit.restart(0).unwrap();
        let rows = kit.store::<headwater::state::KeyValueStore<String, Vec<u8>>>("rows");
        assert_eq!(rows.get(&"k".to_owned()).unwrap().map(|row| row.len()), Some(LARGE));
    }
}

#[test]
fn a_value_of_no_bytes_is_a_value_where_the_type_has_one() {
    let builder = StreamsBuilder::new();
    builder
        .table_with::<String, String>("in", Consumed::default(), Some(Materialized::named("rows")))
        .to_stream()
        .to("out");
    let mut kit = Testkit::builder().exactly_once().build(&builder.build().unwrap()).unwrap();
    for (key, value) in [(&b"a"[..], Some(&b""[..])), (b"b", Some(b"")), (b"b", None), (b"", Some(b""))] {
        kit.pipe_bytes("in", Some(key), value, 1).unwrap();
    }
    let expected = [("a", Some(0)), ("b", Some(0)), ("b", None), ("", Some(0))];
    assert_eq!(lengths(&mut kit, "out"), expected.map(|(key, len)| (key.to_owned(), len)));
    let rows = kit.store::<headwater::state::KeyValueStore<String, String>>("rows");
    let found = ["a", "b", ""].map(|key| rows.get(&key.to_owned()).unwrap());
    assert_eq!(found, [Some(String::new()), None, Some(String::new())], "empty is not deleted");
    assert_eq!(kit.counters().to_string(), "consumed 4, processed 4, produced 4");
}
