//! One worker whose state backend, clock and cluster outlive it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Isolation};
use headwater::state::{MemoryBackend, StateBackend};
use headwater::task::{Rebuild, RestoreProgress};
use headwater::time::{Clock, ManualClock};
use headwater::topology::PlanOptions;
use headwater::worker::{Observer, Worker, WorkerOptions};
use headwater::{Config, Error, Materialized, RecordBatch, StreamsBuilder, TaskId, TopicPartition};
use headwater_broker::api::{AlterConfigsRequest, AlteredTopic};

/// Steps without progress after which nothing more is to be expected.
const QUIET_STEPS: usize = 20;
/// The changelog of [`counting`].
pub(crate) const CHANGELOG: &str = "app-counts-changelog";

pub(crate) struct Bench {
    pub(crate) cluster: MemoryCluster,
    pub(crate) backend: MemoryBackend,
    pub(crate) clock: ManualClock,
    pub(crate) properties: BTreeMap<String, String>,
    restored: Arc<Restored>,
    worker: Option<Worker>,
}

/// Each piece of a restore: whose it was.
#[derive(Default)]
struct Restored(Mutex<Vec<TaskId>>);

impl Observer for Restored {
    fn restored(&self, _worker: usize, progress: &RestoreProgress) {
        self.0.lock().unwrap().push(progress.task);
    }
}

/// A batch of these keys and values.
pub(crate) fn batch(records: &[(&str, &[u8])]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    records.iter().for_each(|(key, value)| batch.push(1, Some(key.as_bytes()), Some(value), 0));
    batch
}

/// Counts the records of each key of `in`, and tells `out`.
pub(crate) fn counting(builder: &StreamsBuilder) {
    let grouped = builder.stream::<String, String>("in").group_by_key();
    grouped.count_with(Materialized::named("counts")).to_stream().to("out");
}

impl Bench {
    /// With the topics `in` and `out`, of one partition.
    pub(crate) fn new() -> Self {
        Self::with_partitions(1)
    }

    /// With the topics `in` and `out`, of so many partitions.
    pub(crate) fn with_partitions(partitions: i32) -> Self {
        let cluster = MemoryCluster::new();
        ["in", "out"].iter().for_each(|topic| cluster.create_topic(topic, partitions).unwrap());
        let properties = [("application.id", "app"), ("processing.guarantee", "exactly_once_v2")];
        Self {
            cluster,
            backend: MemoryBackend::default(),
            clock: ManualClock::at(1_000_000),
            properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            restored: Arc::default(),
            worker: None,
        }
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.properties.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts a worker with the state that the last one left behind, and lets it come to rest.
    pub(crate) fn start(&mut self, topology: &dyn Fn(&StreamsBuilder)) -> Result<(), Error> {
        self.start_on(topology, Arc::new(self.cluster.clone()))
    }

    /// As [`Bench::start`], with another view of the cluster.
    pub(crate) fn start_on(
        &mut self,
        topology: &dyn Fn(&StreamsBuilder),
        cluster: Arc<dyn Cluster>,
    ) -> Result<(), Error> {
        self.begin_on(topology, cluster);
        self.settle()
    }

    /// As [`Bench::start`], without a step.
    pub(crate) fn begin(&mut self, topology: &dyn Fn(&StreamsBuilder)) {
        self.begin_on(topology, Arc::new(self.cluster.clone()));
    }

    fn begin_on(&mut self, topology: &dyn Fn(&StreamsBuilder), cluster: Arc<dyn Cluster>) {
        let builder = StreamsBuilder::new();
        topology(&builder);
        let options = PlanOptions { application: "app".to_owned(), additional_retention_ms: 0 };
        let plan = Arc::new(builder.build().unwrap().plan(&options).unwrap());
        let config = Config::from_properties(self.properties.clone()).unwrap();
        let backend = Arc::new(self.backend.clone()) as Arc<dyn StateBackend>;
        let options = WorkerOptions::new(plan, config, cluster, backend);
        let observer = Arc::clone(&self.restored) as Arc<dyn Observer>;
        self.worker = Some(Worker::new(options.clock(Arc::new(self.clock.clone())).observer(observer)));
    }

    /// One step of the worker.
    pub(crate) fn step(&mut self) {
        self.worker.as_mut().unwrap().step(self.clock.now_ms()).unwrap();
    }

    pub(crate) fn request_commit(&mut self) {
        self.worker.as_mut().unwrap().request_commit();
    }

    /// The worker is gone, and so is what it had in memory; the group has noticed.
    pub(crate) fn crash(&mut self) {
        self.worker = None;
        self.clock.advance_ms(60_000);
    }

    /// The tasks that restores have brought something, a piece each.
    pub(crate) fn restored(&self) -> Vec<TaskId> {
        self.restored.0.lock().unwrap().clone()
    }

    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        let worker = self.worker.as_mut().unwrap();
        let mut quiet = 0;
        while quiet < QUIET_STEPS {
            let busy = worker.step(self.clock.now_ms())?.busy;
            if !busy && worker.has_uncommitted() {
                worker.request_commit();
            }
            quiet = if busy { 0 } else { quiet + 1 };
        }
        Ok(())
    }

    /// Ends the worker in order: what is committed is flushed.
    pub(crate) fn stop(&mut self) {
        self.worker.as_mut().unwrap().stop();
        self.settle().unwrap();
        assert!(self.worker.take().unwrap().state().is_final());
    }

    pub(crate) fn worker(&self) -> &Worker {
        self.worker.as_ref().unwrap()
    }

    pub(crate) fn rebuilds(&self) -> Vec<(Rebuild, u64)> {
        self.worker().figures().rebuilds.iter().map(|(cause, count)| (*cause, *count)).collect()
    }

    /// Writes records to the first partition of a topic.
    pub(crate) fn put(&self, topic: &str, records: &[(&str, &[u8])]) {
        self.put_to(topic, 0, records);
    }

    /// Writes records to a partition.
    pub(crate) fn put_to(&self, topic: &str, partition: i32, records: &[(&str, &[u8])]) {
        self.cluster.produce(&TopicPartition::new(topic, partition), &batch(records)).unwrap();
    }

    /// As [`Bench::put`], and waits until everything is committed.
    pub(crate) fn pipe(&mut self, topic: &str, records: &[(&str, &[u8])]) {
        self.put(topic, records);
        self.settle().unwrap();
    }

    /// Deletes the records below `offset` from the only partition of a topic.
    pub(crate) fn trim(&self, topic: &str, offset: i64) {
        let mut admin = self.cluster.admin("test");
        let before = [(TopicPartition::new(topic, 0), offset)];
        let deleted = admin.delete_records(&before, self.clock.now_ms());
        assert!(matches!(deleted, Poll::Ready(Ok(()))), "{deleted:?}");
    }

    /// Sets what becomes of a topic's old records.
    pub(crate) fn clean_up(&self, topic: &str, policy: &str) {
        let changes = BTreeMap::from([("cleanup.policy".to_owned(), Some(policy.to_owned()))]);
        let topics = vec![AlteredTopic { name: topic.into(), changes }];
        let request = AlterConfigsRequest { topics, validate_only: false };
        self.cluster.broker().call(&"test".into(), request, self.clock.now_ms()).unwrap();
    }

    /// The offset behind the last record of the only partition of a topic.
    pub(crate) fn end(&self, topic: &str) -> i64 {
        self.cluster.broker().partition(topic, 0).unwrap().high_watermark
    }

    /// The committed values of `out`.
    pub(crate) fn out(&self) -> Vec<Vec<u8>> {
        let batches = self.cluster.read_all("out", Isolation::ReadCommitted).unwrap();
        batches.iter().flatten().map(|record| record.value.unwrap().to_vec()).collect()
    }

    /// The committed values of `out` as numbers.
    pub(crate) fn counts(&self) -> Vec<i64> {
        self.out().into_iter().map(|value| i64::from_be_bytes(value.try_into().unwrap())).collect()
    }
}
