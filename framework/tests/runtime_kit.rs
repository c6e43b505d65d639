//! Topologies on the production worker, through the test kit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

use std::sync::Arc;

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Isolation};
use headwater::state::MemoryBackend;
use headwater::testkit::Testkit;
use headwater::{Application, Config, Materialized, RecordBatch, StreamsBuilder, TopicPartition};

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_stateless_topology_maps_every_record_once() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").map_values(|value| value.to_uppercase()).to("out");
    for exactly_once in [false, true] {
        let mut kit = Testkit::builder();
        if exactly_once {
            kit = kit.exactly_once();
        }
        let mut kit = kit.partitions(3).build(&builder.build().unwrap()).unwrap();
        for number in 0..20 {
            kit.pipe("in", &format!("k{number}"), &format!("v{number}"), 100 + number).unwrap();
        }
        let mut out = kit.read::<String, String>("out").unwrap();
        out.sort_by_key(|record| record.timestamp);
        let values: Vec<_> = out.iter().map(|record| record.value.clone()).collect();
        assert_eq!(values, (0..20).map(|number| format!("V{number}")).collect::<Vec<_>>());
        assert_eq!(kit.counters().to_string(), "consumed 20, processed 20, produced 20");
        assert!(kit.read::<String, String>("out").unwrap().is_empty(), "each record is read once");
    }
}

fn counting() -> StreamsBuilder {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, i64>("in").group_by_key().count_with(Materialized::named("counts"));
    counts.to_stream().to("out");
    builder
}

#[test]
fn state_survives_a_crash_and_moves_to_other_instances() {
    let topology = counting().build().unwrap();
    let mut kit = Testkit::builder().exactly_once().partitions(4).instances(2).build(&topology).unwrap();
    let keys: Vec<_> = (0..10).map(|number| format!("key{number}")).collect();
    let round = |kit: &mut Testkit| keys.iter().for_each(|key| kit.pipe("in", key, &1_i64, 0).unwrap());
    let counts = |kit: &mut Testkit| {
        let out = kit.read::<String, Option<i64>>("out").unwrap();
        let mut counts: Vec<_> = out.into_iter().map(|record| record.value.unwrap()).collect();
        counts.sort_unstable();
        counts
    };
    round(&mut kit);
    assert_eq!(counts(&mut kit), [1; 10]);
    kit.crash(0).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [2; 10]);
    kit.restart(0).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [3; 10]);
    let third = kit.add_instance().unwrap();
    kit.stop(1).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [4; 10]);
    kit.crash(third).unwrap();
    kit.crash(0).unwrap();
    kit.restart(1).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [5; 10]);
    assert!(kit.figures().rebuilds.is_empty(), "no crash costs local state: {:?}", kit.figures().rebuilds);
    let stored = kit.store::<headwater::state::KeyValueStore<String, i64>>("counts");
    assert_eq!(stored.get(&text("key3")).unwrap(), Some(5));
    assert_eq!(stored.all().unwrap().len(), 10);
}

#[test]
fn a_value_of_another_type_than_the_topologys_is_told() {
    let mut kit = Testkit::new(&counting().build().unwrap()).unwrap();
    // A number without a type is an `i32`; the topology reads `i64`.
    let error = kit.pipe("in", &text("ann"), &1, 0).unwrap_err().to_string();
    assert!(error.contains("expected i64: found 4 bytes instead of 8"), "{error}");
    assert!(error.contains("topic in, partition 0, offset 0"), "{error}");
}

fn failing(handler: &str) -> Testkit {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in").map_values(|number| number + 1).to("out");
    let kit = Testkit::builder().set("deserialization.exception.handler", handler);
    let kit =
        if handler == "dead-letter" { kit.set("errors.dead.letter.queue.topic.name", "dead") } else { kit };
    kit.build(&builder.build().unwrap()).unwrap()
}

#[test]
fn the_handler_decides_about_records_that_cannot_be_read() {
    let mut kit = failing("fail");
    let error = kit.pipe_bytes("in", Some(b"k"), Some(b"?"), 5).unwrap_err().to_string();
    assert!(error.contains("topic in, partition 0, offset 0"), "{error}");

    let mut kit = failing("continue");
    kit.pipe_bytes("in", Some(b"k"), Some(b"?"), 5).unwrap();
    kit.pipe("in", &text("k"), &7_i64, 6).unwrap();
    assert_eq!(kit.read::<String, i64>("out").unwrap()[0].value, 8);
    assert_eq!(kit.counters().to_string(), "consumed 2, processed 1, produced 1, dropped 1 undecodable");

    let mut kit = failing("dead-letter");
    kit.pipe_bytes("in", Some(b"k"), Some(b"?"), 5).unwrap();
    let dead = kit.read::<String, String>("dead").unwrap();
    assert_eq!((dead[0].value.as_str(), dead[0].timestamp), ("?", 5));
    assert_eq!(dead[0].headers.last("__streams.errors.stage"), Some(&b"deserialization"[..]));
    assert_eq!(
        kit.counters().to_string(),
        "consumed 1, processed 0, produced 0, dead letters 1 deserialization"
    );
}

#[test]
fn start_up_tells_what_is_wrong_with_topics() {
    let topology = counting().build().unwrap();
    let start = |cluster: &MemoryCluster| {
        let kit = Testkit::builder().cluster(cluster);
        kit.build(&topology).map(|_| ()).unwrap_err().to_string()
    };
    let cluster = MemoryCluster::new();
    cluster.create_topic_with("testkit-counts-changelog", 1, &[("cleanup.policy", "delete")]).unwrap();
    let error = start(&cluster);
    assert!(
        error.contains("has cleanup.policy=delete, but the topology needs cleanup.policy=compact"),
        "{error}"
    );

    let cluster = MemoryCluster::new();
    cluster.create_topic_with("testkit-counts-changelog", 3, &[("cleanup.policy", "compact")]).unwrap();
    let error = start(&cluster);
    assert!(
        error.contains("`testkit-counts-changelog` has 3 partitions, but the topology needs 1"),
        "{error}"
    );
}

#[test]
fn internal_topics_get_the_replicas_that_are_asked_for() {
    let topology = counting().build().unwrap();
    let start =
        |factor: i16| Testkit::builder().set("replication.factor", factor).build(&topology).map(|_| ());
    for factor in [-1, 1] {
        start(factor).unwrap();
    }
    let error = start(3).unwrap_err().to_string();
    assert!(error.contains("there is one broker, 3 replicas were asked for"), "{error}");
}

#[test]
fn an_application_runs_on_threads_until_it_is_stopped() {
    let cluster = MemoryCluster::new();
    cluster.create_topic("in", 4).unwrap();
    cluster.create_topic("out", 4).unwrap();
    for partition in 0..4 {
        let mut batch = RecordBatch::default();
        (0..100).for_each(|at| batch.push(at, Some(&[b'k', partition as u8]), Some(&1_i64.to_be_bytes()), 0));
        cluster.produce(&TopicPartition::new("in", partition), &batch).unwrap();
    }
    let config = Config::from_properties([
        ("application.id", "threads"),
        ("num.stream.threads", "2"),
        ("processing.guarantee", "exactly_once_v2"),
        ("commit.interval.ms", "10"),
    ]);
    let backend = Arc::new(MemoryBackend::default());
    let topology = counting().build().unwrap();
    let application =
        Application::new(&topology, config.unwrap(), Arc::new(cluster.clone()), backend).unwrap();
    let running = application.start().unwrap();
    let all = || {
        cluster.read_all("out", Isolation::ReadCommitted).unwrap().iter().map(RecordBatch::len).sum::<usize>()
    };
    for _ in 0..2_000 {
        if all() == 400 {
            break;
        }
        cluster.wait(10);
    }
    let figures = running.stop().unwrap();
    assert_eq!(
        (all(), figures.total().to_string()),
        (400, "consumed 400, processed 400, produced 400".to_owned())
    );
    assert!(figures.commit_us.len() == figures.commits && figures.commits > 0);
}

#[test]
fn an_application_that_cannot_start_says_why() {
    let config = Config::from_properties([("application.id", "lost")]).unwrap();
    let backend = Arc::new(MemoryBackend::default());
    let topology = counting().build().unwrap();
    let application = Application::new(&topology, config, Arc::new(MemoryCluster::new()), backend).unwrap();
    let error = application.start().unwrap().wait().map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("source topics do not exist: `in`"), "{error}");
}
