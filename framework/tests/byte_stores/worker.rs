//! A worker on the byte store on disk: what a restart replays, and what a corrupt database costs.

use std::sync::Arc;

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Isolation};
use headwater::state::{Change, META, RocksBackend, StateBackend};
use headwater::task::Rebuild;
use headwater::time::{Clock, ManualClock};
use headwater::topology::PlanOptions;
use headwater::worker::{Worker, WorkerOptions};
use headwater::{Application, Config, Materialized, RecordBatch, StreamsBuilder, TaskId, TopicPartition};

use crate::place::Place;

const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };
const CHANGELOG: &str = "app-counts-changelog";
/// Longer than a session: nothing is due yet when a killed member is given up.
const FLUSH_MS: i64 = 20_000;
/// Shorter than a session.
const STEP_MS: i64 = 1_000;

struct Bench {
    cluster: MemoryCluster,
    clock: ManualClock,
    worker: Worker,
    backend: RocksBackend,
    place: Place,
}

fn start(cluster: MemoryCluster, clock: ManualClock, place: Place) -> Bench {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in").group_by_key();
    grouped.count_with(Materialized::named("counts")).to_stream().to("out");
    let options = PlanOptions { application: "app".to_owned(), additional_retention_ms: 0 };
    let plan = Arc::new(builder.build().unwrap().plan(&options).unwrap());
    let config = Config::from_properties([
        ("application.id", "app"),
        ("processing.guarantee", "exactly_once_v2"),
        ("state.cleanup.delay.ms", "200000"),
        ("state.flush.interval.ms", &FLUSH_MS.to_string()),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
    ]);
    let backend = place.open().unwrap();
    let shared = Arc::new(backend.clone()) as Arc<dyn StateBackend>;
    let ports = Arc::new(cluster.clone()) as Arc<dyn Cluster>;
    let options = WorkerOptions::new(plan, config.unwrap(), ports, shared).clock(Arc::new(clock.clone()));
    let mut bench = Bench { worker: Worker::new(options), cluster, clock, backend, place };
    bench.settle();
    bench
}

impl Bench {
    fn new() -> Self {
        let cluster = MemoryCluster::new();
        ["in", "out"].iter().for_each(|topic| cluster.create_topic(topic, 1).unwrap());
        start(cluster, ManualClock::at(1_000_000), Place::new())
    }

    /// Until everything is processed and committed. Time passes, so that a member that is gone is given up.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 20 {
            let busy = self.worker.step(self.clock.now_ms()).unwrap().busy;
            if !busy && self.worker.has_uncommitted() {
                self.worker.request_commit();
            }
            quiet = if busy || self.worker.waits_for().is_some() { 0 } else { quiet + 1 };
            self.clock.advance_ms(10);
        }
    }

    /// Counts each key once more.
    fn pipe(&mut self, keys: std::ops::Range<usize>) {
        let mut batch = RecordBatch::default();
        keys.for_each(|key| batch.push(1, Some(format!("k{key}").as_bytes()), Some(b"v"), 0));
        self.cluster.produce(&TopicPartition::new("in", 0), &batch).unwrap();
        self.settle();
    }

    /// The process is killed, and starts again from what is on disk at that moment.
    fn kill(self) -> Self {
        let place = self.place.as_after_a_crash();
        start(self.cluster, self.clock, place)
    }

    /// The process ends in order, and something befalls its folder before it starts again.
    fn restart(mut self, befall: impl Fn(&Place)) -> Self {
        self.worker.stop();
        while !self.worker.state().is_final() {
            self.worker.step(self.clock.now_ms()).unwrap();
        }
        let Self { cluster, clock, worker, backend, place } = self;
        drop((worker, backend));
        befall(&place);
        start(cluster, clock, place)
    }

    fn offset(backend: &RocksBackend) -> Option<i64> {
        let bytes = backend.look_at(TASK).get(META, format!("offset/{CHANGELOG}").as_bytes()).unwrap();
        bytes.map(|bytes| i64::from_be_bytes(bytes.try_into().unwrap()))
    }

    /// Lets a flush become due, and waits until it is on disk.
    fn flush(&mut self) {
        let before = Self::offset(&self.backend);
        self.pipe(0..1);
        for _ in 0..=FLUSH_MS / STEP_MS {
            self.clock.advance_ms(STEP_MS);
            self.worker.step(self.clock.now_ms()).unwrap();
        }
        assert!(before < Self::offset(&self.backend), "not flushed");
        self.wait_for_disk();
    }

    /// What the worker has begun to write comes to disk without anybody who waits for it.
    fn wait_for_disk(&self) {
        let written = Self::offset(&self.backend);
        for _ in 0..500 {
            let on_disk = self.place.as_after_a_crash();
            if Self::offset(&on_disk.open().unwrap()) == written {
                return;
            }
            std::thread::yield_now();
        }
        panic!("what was written never came to disk");
    }

    fn restored(&self) -> (u64, Vec<(Rebuild, u64)>) {
        let figures = self.worker.figures();
        (figures.restored, figures.rebuilds.iter().map(|(cause, count)| (*cause, *count)).collect())
    }

    /// The counts of all keys, one more than before.
    fn counts(&mut self, keys: usize) -> Vec<i64> {
        let read =
            |bench: &Self| bench.cluster.read_all("out", Isolation::ReadCommitted).unwrap().concat_values();
        let before = read(self).len();
        self.pipe(0..keys);
        read(self).split_off(before)
    }
}

trait Values {
    fn concat_values(&self) -> Vec<i64>;
}

impl Values for Vec<RecordBatch> {
    fn concat_values(&self) -> Vec<i64> {
        let records = self.iter().flatten();
        records.map(|record| i64::from_be_bytes(record.value.unwrap().try_into().unwrap())).collect()
    }
}

#[test]
fn a_process_that_is_killed_replays_what_came_after_the_last_flush() {
    let mut bench = Bench::new();
    bench.pipe(0..100);
    bench.pipe(0..100);
    let mut bench = bench.kill();
    assert_eq!(bench.restored(), (200, vec![]), "nothing was flushed");
    bench.flush();
    for _ in 0..3 {
        bench.pipe(0..10);
        bench = bench.kill();
        assert_eq!(bench.restored(), (10, vec![]), "not flushed");
        // Once is enough: what was restored is written, too.
        bench.wait_for_disk();
    }
    bench.flush();
    let mut bench = bench.kill();
    assert_eq!(bench.restored(), (0, vec![]));
    // The first key also came with each flush.
    assert_eq!(bench.counts(100), [[8].as_slice(), &[6; 9], &[3; 90]].concat());
}

#[test]
fn a_process_that_ends_in_order_replays_nothing() {
    let mut bench = Bench::new();
    bench.pipe(0..100);
    let mut bench = bench.restart(|_| {});
    assert_eq!(bench.restored(), (0, vec![]));
    assert_eq!(bench.counts(100), [2; 100]);
}

#[test]
fn a_corrupt_database_is_rebuilt_and_counted() {
    let mut bench = Bench::new();
    bench.pipe(0..100);
    let damage = |place: &Place| {
        let database = place.folder().join("db");
        let entries = std::fs::read_dir(database).unwrap().map(|entry| entry.unwrap().path());
        let mut tables: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|kind| kind == "sst")).collect();
        std::fs::remove_file(tables.pop().unwrap()).unwrap();
    };
    let mut bench = bench.restart(damage);
    assert_eq!(bench.restored(), (100, vec![(Rebuild::Corrupt, 1)]));
    assert_eq!(bench.counts(100), [2; 100]);
    let mut bench = bench.restart(|_| {});
    assert_eq!(bench.restored(), (0, vec![]));
    assert_eq!(bench.counts(100), [3; 100]);
}

#[test]
fn a_worker_deletes_what_nobody_has_taken_up() {
    let mut bench = Bench::new();
    bench.pipe(0..100);
    let elsewhere = TaskId { partition: 3, ..TASK };
    bench.backend.open(elsewhere).unwrap().apply(&[Change::Put(1, b"k", b"v")].into()).unwrap();
    bench.settle();
    let value = |bench: &Bench| bench.backend.look_at(elsewhere).get(1, b"k").unwrap();
    for (wait_ms, there) in [(30_000, true), (150_000, true), (100_000, false)] {
        bench.clock.advance_ms(wait_ms);
        bench.settle();
        assert_eq!(value(&bench).is_some(), there, "after {wait_ms} ms more");
    }
    assert_eq!(bench.counts(100), [2; 100]);
}

#[test]
fn the_folder_of_the_settings_is_the_one_that_is_used() {
    let place = Place::new();
    let start = |state_dir: &str, backend: Arc<dyn StateBackend>| {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").to("out");
        let config = Config::from_properties([("application.id", "app"), ("state.dir", state_dir)]).unwrap();
        let cluster = Arc::new(MemoryCluster::new());
        Application::new(&builder.build().unwrap(), config, cluster, backend).map(|_| ())
    };
    let backend = Arc::new(place.open().unwrap());
    start(&place.path().display().to_string(), backend.clone()).unwrap();
    let error = start("/elsewhere", backend).unwrap_err().to_string();
    let message = format!(
        "`state.dir` (/elsewhere, code) is not used: the program keeps its state in `{}`; let the program open a \
         `RocksBackend` with these settings (feature `rocksdb`), or leave it out",
        place.folder().display()
    );
    assert_eq!(error, message);
}
