//! What goes wrong beside the records: clocks, panics, values that cannot be written, services that do not answer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater::codec::{Json, Serde, SerdeError, StringSerde};
use headwater::kafka::Cluster;
use headwater::kafka::memory::MemoryCluster;
use headwater::state::MemoryBackend;
use headwater::testkit::Testkit;
use headwater::time::{Clock, ManualClock};
use headwater::topology::PlanOptions;
use headwater::worker::{Worker, WorkerOptions, WorkerState};
use headwater::{
    Application, Config, Consumed, HasSerde, Materialized, Produced, RecordBatch, StreamsBuilder,
    TopicPartition, Topology,
};

fn text(text: &str) -> String {
    text.to_owned()
}

fn copying() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    builder.build().unwrap()
}

fn cluster() -> MemoryCluster {
    let cluster = MemoryCluster::new();
    ["in", "out"].iter().for_each(|topic| cluster.create_topic(topic, 2).unwrap());
    cluster
}

fn feed(cluster: &MemoryCluster, value: &str) {
    let mut batch = RecordBatch::default();
    batch.push(5, Some(b"k"), Some(value.as_bytes()), 0);
    (0..2).for_each(|number| {
        cluster.produce(&TopicPartition::new("in", number), &batch).unwrap();
    });
}

/// A worker of its own, without a kit that asks for commits.
fn worker(cluster: &MemoryCluster, clock: &ManualClock, process: &str, settings: &[(&str, &str)]) -> Worker {
    let given = [("application.id", "alone"), ("processing.guarantee", "exactly_once_v2")];
    let config = Config::from_properties(given.iter().chain(settings).copied()).unwrap();
    let options = PlanOptions { application: text("alone"), additional_retention_ms: 0 };
    let options = WorkerOptions::new(
        Arc::new(copying().plan(&options).unwrap()),
        config,
        Arc::new(cluster.clone()) as Arc<dyn Cluster>,
        Arc::new(MemoryBackend::default()),
    );
    Worker::new(options.named(process, 0).clock(Arc::new(clock.clone())))
}

fn run(worker: &mut Worker, clock: &ManualClock, steps: usize, step_ms: i64) {
    for _ in 0..steps {
        clock.advance_ms(step_ms);
        worker.step(clock.now_ms()).unwrap();
    }
}

#[test]
fn a_clock_that_is_set_back_stops_neither_commits_nor_the_membership() {
    let (cluster, clock) = (cluster(), ManualClock::at(10_000_000));
    let settings = [("commit.interval.ms", "100"), ("session.timeout.ms", "6000")];
    let mut worker = worker(&cluster, &clock, "p", &settings);
    run(&mut worker, &clock, 100, 10);
    assert_eq!(worker.state(), WorkerState::Running);
    feed(&cluster, "before");
    run(&mut worker, &clock, 30, 10);
    let (commits, generation) = (worker.figures().commits, worker.member().generation);
    assert!(commits > 0);
    clock.advance_ms(-3_600_000);
    for number in 0..40 {
        feed(&cluster, "after");
        run(&mut worker, &clock, 50, 10);
        assert!(worker.figures().commits > commits + number, "no commit after {number} rounds");
    }
    // Longer than a session: heartbeats have gone on, by the broker's clock too.
    assert_eq!((worker.state(), worker.member().generation), (WorkerState::Running, generation));
    assert_eq!(worker.figures().total().consumed, 82);
}

#[test]
fn a_panic_fails_the_application_and_says_what_and_where() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .map_values(|value| {
            assert!(value.as_str() != "bomb", "the closure met a {value:?}");
            value
        })
        .to("out");
    let cluster = cluster();
    let config = Config::from_properties([
        ("application.id", "panics"),
        ("num.stream.threads", "2"),
        ("processing.guarantee", "exactly_once_v2"),
    ]);
    let backend = Arc::new(MemoryBackend::default());
    let application =
        Application::new(&builder.build().unwrap(), config.unwrap(), Arc::new(cluster.clone()), backend)
            .unwrap();
    let running = application.start().unwrap();
    feed(&cluster, "bomb");
    for _ in 0..2_000 {
        if running.is_finished() {
            break;
        }
        cluster.wait(10);
    }
    assert!(running.is_finished(), "{:?}", running.states());
    let said = running.failure().unwrap();
    for part in ["panicked: the closure met a \"bomb\"", "(task 0_"] {
        assert!(said.contains(part), "{said}");
    }
    let states = running.states();
    assert!(
        states.iter().all(|state| state.is_final()) && states.contains(&WorkerState::Failed),
        "{states:?}"
    );
    assert_eq!(running.wait().map(|_| ()).unwrap_err().to_string(), said);
    // Nobody waits for their sessions or transactions to end.
    assert!(cluster.broker().group("panics").is_none_or(|group| group.members.is_empty()));
}

/// A map that JSON cannot write: its keys are no texts.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Tallies(HashMap<(String, i64), i64>);

impl HasSerde for Tallies {
    type Serde = Json;
}

#[test]
fn a_value_that_its_serde_cannot_write_is_told_with_store_key_and_inputs() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .aggregate_with(
            Tallies::default,
            |key, _, mut all: Tallies| {
                *all.0.entry((key.clone(), 1)).or_default() += 1;
                all
            },
            Materialized::named("agg"),
        )
        .to_stream()
        .map_values(|all| all.map_or(0, |all| i64::try_from(all.0.len()).unwrap()))
        .to("out");
    for guarantee in ["at_least_once", "exactly_once_v2"] {
        let kit = Testkit::builder().set("processing.guarantee", guarantee);
        let mut kit = kit.build(&builder.build().unwrap()).unwrap();
        let error = kit.pipe("in", &text("ann"), &text("x"), 1).unwrap_err().to_string();
        for part in
            ["store `agg`", "key `ann`", "inputs at in-0 offset 1", "task 0_0", "its serde cannot write"]
        {
            assert!(error.contains(part), "{guarantee}: {error} lacks {part}");
        }
    }
}

/// Texts by way of a service that may be down.
#[derive(Clone)]
struct Remote {
    down: Arc<AtomicBool>,
    writes: bool,
}

impl Remote {
    fn ask(&self, concerns: bool) -> Result<(), SerdeError> {
        let down = concerns && self.down.load(Ordering::Relaxed);
        let error =
            SerdeError { retry: true, ..SerdeError::new("text", "the registry does not answer", None) };
        if down { Err(error) } else { Ok(()) }
    }
}

impl Serde<String> for Remote {
    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        self.ask(self.writes)?;
        StringSerde.serialize(value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<String, SerdeError> {
        self.ask(!self.writes)?;
        StringSerde.deserialize(bytes)
    }
}

#[test]
fn a_registry_that_is_down_drops_nothing() {
    for guarantee in ["at_least_once", "exactly_once_v2"] {
        for writes in [false, true] {
            let remote = Remote { down: Arc::new(AtomicBool::new(true)), writes };
            let builder = StreamsBuilder::new();
            builder
                .stream_with::<String, String>("in", Consumed::with(StringSerde, remote.clone()))
                .to_with("out", Produced::with(StringSerde, remote.clone()));
            let kit = Testkit::builder()
                .set("processing.guarantee", guarantee)
                .set("deserialization.exception.handler", "continue")
                .set("production.exception.handler", "continue")
                .set("task.timeout.ms", "60000");
            let mut kit = kit.build(&builder.build().unwrap()).unwrap();
            kit.pipe("in", &text("k"), &text("one"), 1).unwrap();
            kit.pipe("in", &text("k"), &text("two"), 2).unwrap();
            kit.advance_wall_clock(30_000).unwrap();
            assert_eq!(kit.counters().to_string(), "consumed 0, processed 0, produced 0");
            remote.down.store(false, Ordering::Relaxed);
            kit.advance_wall_clock(10_000).unwrap();
            let out: Vec<_> =
                kit.read::<String, String>("out").unwrap().into_iter().map(|one| one.value).collect();
            assert_eq!(out, ["one", "two"], "{guarantee}");
            assert_eq!(kit.counters().to_string(), "consumed 2, processed 2, produced 2");

            remote.down.store(true, Ordering::Relaxed);
            kit.pipe("in", &text("k"), &text("three"), 3).unwrap();
            let error = kit.advance_wall_clock(120_000).unwrap_err().to_string();
            for part in [
                "the registry does not answer",
                "topic in, partition 0, offset 2",
                "`task.timeout.ms` has passed",
            ] {
                assert!(error.contains(part), "{guarantee}: {error} lacks {part}");
            }
        }
    }
}

#[test]
fn two_processes_of_the_same_name_do_not_fence_each_other_for_ever() {
    let (cluster, clock) = (cluster(), ManualClock::at(10_000_000));
    let mut workers = [worker(&cluster, &clock, "same", &[]), worker(&cluster, &clock, "same", &[])];
    let mut failed = Vec::new();
    for round in 0..6_000 {
        clock.advance_ms(10);
        if round % 10 == 0 {
            feed(&cluster, "x");
        }
        for (number, worker) in workers.iter_mut().enumerate() {
            if let Err(error) = worker.step(clock.now_ms()) {
                failed.push((number, error.to_string()));
            }
        }
    }
    assert_eq!(failed.len(), 1, "one has to give way: {failed:?}");
    for part in ["transactional id `alone-same-0`", "`Application::process`"] {
        assert!(failed[0].1.contains(part), "{}", failed[0].1);
    }
    assert_eq!(workers[1 - failed[0].0].state(), WorkerState::Running);
}

#[test]
fn applications_without_a_name_have_different_ones() {
    let cluster = cluster();
    let start = || {
        let config = Config::from_properties([
            ("application.id", "unnamed"),
            ("processing.guarantee", "exactly_once_v2"),
            ("commit.interval.ms", "10"),
        ]);
        let backend = Arc::new(MemoryBackend::default());
        let application = Application::new(&copying(), config.unwrap(), Arc::new(cluster.clone()), backend);
        application.unwrap().start().unwrap()
    };
    let both = [start(), start()];
    for _ in 0..2_000 {
        if cluster.broker().transactional_ids().len() == 2 {
            break;
        }
        cluster.wait(10);
    }
    both.into_iter().for_each(|running| {
        running.stop().unwrap();
    });
    assert_eq!(cluster.broker().transactional_ids().len(), 2);
}

#[test]
fn a_dead_letter_with_a_topic_of_its_own_tells_its_input_and_node() {
    let builder = StreamsBuilder::new();
    let topic = |_: &String, value: &String| value.as_str().into();
    builder.stream::<String, String>("in").to_extracted(topic, Produced::default());
    let kit = Testkit::builder().set("production.exception.handler", "dead-letter");
    let mut kit = kit
        .set("errors.dead.letter.queue.topic.name", "dead")
        .topic("chosen", 1)
        .build(&builder.build().unwrap())
        .unwrap();
    kit.pipe("in", &text("k"), &text("chosen"), 1).unwrap();
    kit.pipe("in", &text("k"), &text("missing"), 2).unwrap();
    let dead = kit.read::<String, String>("dead").unwrap();
    let header = |name: &str| {
        let value = dead[0].headers.last(&format!("__streams.errors.{name}"));
        String::from_utf8(value.unwrap_or_default().to_vec()).unwrap()
    };
    assert_eq!((header("topic"), header("partition"), header("offset")), (text("in"), text("0"), text("1")));
    assert!(header("node").starts_with("KSTREAM-SINK"), "{}", header("node"));
    assert!(header("message").contains("topic in, partition 0, offset 1"), "{}", header("message"));
    assert_eq!(kit.counters().dead_letters(headwater::telemetry::Stage::Production), 1);
}

#[test]
fn offsets_that_are_gone_are_counted_and_the_counts_add_up() {
    let mut kit =
        Testkit::builder().set("deserialization.exception.handler", "continue").build(&copying()).unwrap();
    kit.pipe("in", &text("k"), &text("one"), 1).unwrap();
    kit.pipe_bytes("in", None, Some(b"no key"), 1).unwrap();
    kit.crash(0).unwrap();
    let at = TopicPartition::new("in", 0);
    let mut batch = RecordBatch::default();
    (0..5).for_each(|number| batch.push(number, Some(b"k"), Some(b"gone"), 0));
    kit.put(&at, &batch).unwrap();
    let mut admin = kit.cluster().admin("operator");
    assert!(admin.delete_records(&[(at, 6)], kit.clock().now_ms()).is_ready());
    kit.restart(0).unwrap();
    kit.settle().unwrap();
    kit.advance_wall_clock(100).unwrap();
    let counters = kit.counters();
    assert_eq!((counters.skipped_offsets, counters.consumed, counters.balance()), (4, 3, 0), "{counters}");
}

#[test]
fn an_in_process_cluster_does_not_keep_everything_for_ever() {
    let cluster = MemoryCluster::new();
    cluster.create_topic_with("rows", 1, &[("cleanup.policy", "compact")]).unwrap();
    cluster.create_topic_with("lines", 1, &[("retention.ms", "100000")]).unwrap();
    cluster.create_topic("all", 1).unwrap();
    let now_ms = 1_000_000_000_000;
    let mut admin = cluster.admin("clock");
    for number in 0..100 {
        let mut batch = RecordBatch::default();
        // Long ago, as where a file is replayed.
        batch.push(number * 10_000, Some(b"k"), Some(b"v"), 0);
        ["rows", "lines", "all"].iter().for_each(|topic| {
            cluster.produce(&TopicPartition::new(*topic, 0), &batch).unwrap();
        });
        let _ = admin.describe(&["rows".into()], now_ms + number * 10_000);
    }
    let len =
        |topic: &str| cluster.read_all(topic, headwater::kafka::Isolation::ReadCommitted).unwrap()[0].len();
    // The last round of cleaning was up to five minutes ago; what is younger than the limit stays.
    assert!((1..20).contains(&len("rows")), "{} rows", len("rows"));
    assert!((10..50).contains(&len("lines")), "{} lines", len("lines"));
    assert_eq!(len("all"), 100, "what has no limit stays");
}
