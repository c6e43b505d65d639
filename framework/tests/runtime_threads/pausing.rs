//! Paused workers: live members that process nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use headwater::codec::{BytesSerde, Serde, SerdeError, StringSerde};
use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Isolation};
use headwater::state::MemoryBackend;
use headwater::time::{Clock, ManualClock, SystemClock};
use headwater::topology::PlanOptions;
use headwater::worker::{Worker, WorkerOptions, WorkerState};
use headwater::{
    BoardEmit, Config, Consumed, Materialized, Ranked, RecordBatch, StreamsBuilder, TopicPartition, Topology,
};

use super::bench::{Bench, counting};

/// A clock that knows how often it was looked at, which a worker does in each of its steps.
#[derive(Debug, Default)]
struct Watched {
    clock: SystemClock,
    looks: AtomicU64,
}

impl Clock for Watched {
    fn now_ms(&self) -> i64 {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.clock.now_ms()
    }

    fn elapsed_us(&self) -> u64 {
        self.clock.elapsed_us()
    }
}

/// Waits for some steps of the only worker.
fn steps(bench: &Bench, clock: &Watched) {
    let before = clock.looks.load(Ordering::SeqCst);
    bench.until("steps", || clock.looks.load(Ordering::SeqCst) > before + 20);
}

#[test]
fn a_paused_application_goes_on_where_it_was() {
    let (mut bench, clock) = (Bench::new(), Arc::new(Watched::default()));
    let application = bench.application(&counting(|counts| counts), 1).clock(Arc::clone(&clock) as _);
    let running = application.start_paused().unwrap();
    bench.feed();
    bench.until("an assignment", || running.states() == [WorkerState::Running]);
    steps(&bench, &clock);
    assert_eq!((bench.written(), running.is_paused()), (0, true));
    assert_eq!(running.add_thread().unwrap(), 1);
    bench.until("two members", || running.states() == [WorkerState::Running; 2]);
    assert_eq!((bench.written(), running.remove_thread()), (0, Some(1)));
    running.resume();
    bench.check_out();

    running.pause();
    steps(&bench, &clock);
    let (written, generation) = (bench.written(), bench.generation());
    (0..3).for_each(|_| bench.feed());
    steps(&bench, &clock);
    assert_eq!((bench.written(), bench.members(), bench.generation()), (written, 1, generation));
    running.resume();
    assert!(!running.is_paused());
    bench.check_out();
    running.pause();
    assert_eq!(bench.stop(&running).unwrap().total().consumed, bench.fed());
}

/// Counts records, and ranks points, told by the wall clock.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let counts =
        builder.stream::<String, Vec<u8>>("in").group_by_key().count_with(Materialized::named("counts"));
    counts.to_stream().to("out");
    let ranked = Ranked::named("best").emit(BoardEmit::AtMostEvery(Duration::from_secs(1)));
    let points = builder.table::<String, i64>("points");
    let points = points.group_by(|_, points| ("all".to_owned(), *points));
    points.leaderboard_with(3, |points| *points, ranked).to_stream().to("told");
    builder.build().unwrap()
}

/// Workers that the test steps by itself, each a process of its own with its own state.
struct Steps {
    cluster: MemoryCluster,
    clock: ManualClock,
    workers: Vec<Worker>,
}

impl Steps {
    fn new() -> Self {
        let cluster = MemoryCluster::new();
        ["in", "points", "out", "told"].iter().for_each(|topic| cluster.create_topic(topic, 2).unwrap());
        Self { cluster, clock: ManualClock::at(10_000_000), workers: Vec::new() }
    }

    fn add(&mut self, guarantee: &str) -> &mut Worker {
        self.add_with(guarantee, &topology())
    }

    fn add_with(&mut self, guarantee: &str, topology: &Topology) -> &mut Worker {
        let config = Config::from_properties([
            ("application.id", "alone"),
            ("processing.guarantee", guarantee),
            ("commit.interval.ms", "5000"),
            ("buffered.records.per.partition", "10"),
            ("session.timeout.ms", "6000"),
            ("max.poll.interval.ms", "10000"),
            ("task.timeout.ms", "10000"),
        ]);
        let plan = PlanOptions { application: "alone".to_owned(), additional_retention_ms: 0 };
        let options = WorkerOptions::new(
            Arc::new(topology.plan(&plan).unwrap()),
            config.unwrap(),
            Arc::new(self.cluster.clone()) as Arc<dyn Cluster>,
            Arc::new(MemoryBackend::default()),
        );
        let options = options.named(format!("p{}", self.workers.len()), 0);
        self.workers.push(Worker::new(options.clock(Arc::new(self.clock.clone()))));
        self.workers.last_mut().unwrap()
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.clock.advance_ms(100);
            for worker in &mut self.workers {
                worker.step(self.clock.now_ms()).unwrap();
            }
        }
    }

    /// So many batches of five records of 16 KiB: a fetch brings some of them, not all.
    fn feed(&self, batches: usize) {
        let mut batch = RecordBatch::default();
        (0..5).for_each(|at| batch.push(at, Some(b"k"), Some(&[7; 16_384]), 0));
        for number in (0..2).flat_map(|number| vec![number; batches]) {
            self.cluster.produce(&TopicPartition::new("in", number), &batch).unwrap();
        }
    }

    fn score(&self) {
        let mut batch = RecordBatch::default();
        batch.push(1, Some(b"ann"), Some(&5_i64.to_be_bytes()), 0);
        self.cluster.produce(&TopicPartition::new("points", 0), &batch).unwrap();
    }

    /// How many committed records are in `out` and in `told`.
    fn written(&self) -> [usize; 2] {
        ["out", "told"].map(|topic| {
            let all = self.cluster.read_all(topic, Isolation::ReadCommitted).unwrap();
            all.iter().map(RecordBatch::len).sum()
        })
    }

    fn states(&self) -> Vec<WorkerState> {
        self.workers.iter().map(Worker::state).collect()
    }
}

#[test]
fn a_paused_worker_commits_heartbeats_and_restores_but_emits_nothing() {
    for guarantee in ["exactly_once_v2", "at_least_once"] {
        let mut bench = Steps::new();
        bench.add(guarantee);
        bench.run(100);
        bench.feed(1);
        bench.score();
        bench.run(3);
        assert!(bench.workers[0].has_uncommitted(), "{guarantee}");
        bench.workers[0].pause();
        bench.run(5);
        assert!(!bench.workers[0].has_uncommitted(), "what was done is committed");
        assert_eq!(bench.written(), [10, 0], "{guarantee}");

        bench.feed(80);
        let generation = bench.workers[0].member().generation;
        // Longer than a session, than a rebalance waits and than the interval of the board.
        bench.run(300);
        assert_eq!(bench.written(), [10, 0], "{guarantee}");
        assert_eq!(bench.workers[0].member().generation, generation);
        assert!(bench.workers[0].is_paused() && bench.states() == [WorkerState::Running]);
        for lane in bench.workers[0].tasks().values().flat_map(|task| task.lanes()) {
            assert!(lane.buffered() <= 40, "{} holds {}", lane.partition(), lane.buffered());
        }

        bench.add(guarantee).pause();
        bench.run(100);
        assert_eq!(bench.states(), [WorkerState::Running; 2]);
        assert!(bench.workers[1].figures().restored > 0 && !bench.workers[1].tasks().is_empty());
        assert_eq!(bench.written(), [10, 0], "{guarantee}");

        bench.workers.iter_mut().for_each(Worker::resume);
        bench.run(100);
        assert_eq!(bench.written(), [810, 1], "{guarantee}");
    }
}

#[test]
fn a_paused_worker_that_stops_loses_and_adds_nothing() {
    let mut bench = Steps::new();
    bench.add("exactly_once_v2");
    bench.run(100);
    bench.feed(1);
    bench.run(3);
    bench.workers[0].pause();
    bench.workers[0].stop();
    bench.run(20);
    assert_eq!((bench.states(), bench.written()), (vec![WorkerState::Stopped], [10, 0]));
}

/// Texts by way of a service that may be down.
#[derive(Clone)]
struct Remote {
    down: Arc<AtomicBool>,
}

impl Serde<Vec<u8>> for Remote {
    fn serialize(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        BytesSerde.serialize(value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Vec<u8>, SerdeError> {
        let error = SerdeError { retry: true, ..SerdeError::new("text", "nobody answers", None) };
        if self.down.load(Ordering::SeqCst) { Err(error) } else { BytesSerde.deserialize(bytes) }
    }
}

#[test]
fn a_record_that_cannot_be_read_now_does_not_wait_while_nobody_tries() {
    let (mut bench, down) = (Steps::new(), Arc::new(AtomicBool::new(true)));
    let builder = StreamsBuilder::new();
    let remote = Remote { down: Arc::clone(&down) };
    builder.stream_with::<String, Vec<u8>>("in", Consumed::with(StringSerde, remote)).to("out");
    bench.add_with("exactly_once_v2", &builder.build().unwrap());
    bench.run(100);
    bench.feed(1);
    bench.run(50);
    bench.workers[0].pause();
    // Longer than `task.timeout.ms`, as is all of the time that it is down.
    bench.run(200);
    bench.workers[0].resume();
    bench.run(50);
    down.store(false, Ordering::SeqCst);
    bench.run(100);
    assert_eq!(bench.written(), [10, 0]);
}
