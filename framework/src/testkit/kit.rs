//! The kit itself: instances of the application, stepped in turn.

use std::sync::Arc;

use super::TestkitBuilder;
use super::reader::Reader;
use crate::codec::partition::partition_for_key;
use crate::codec::{HasSerde, Serde, SerdeError};
use crate::config::Config;
use crate::error::{Error, Reaction, Result};
use crate::group::subscription;
use crate::kafka::memory::MemoryCluster;
use crate::kafka::{Cluster, Isolation};
use crate::query::Look;
use crate::record::{Record, RecordBatch, SharedBatch};
use crate::state::{MemoryBackend, StateBackend};
use crate::telemetry::Counters;
use crate::time::{Clock, ManualClock};
use crate::topic::TopicPartition;
use crate::topology::{Plan, Topology};
use crate::worker::{Figures, Worker, WorkerOptions};

/// Rounds without any progress after which nothing more is to be expected.
const QUIET_ROUNDS: usize = 5;
/// More rounds than any test needs: a topology that feeds itself would never come to rest.
const ROUNDS_MAX: usize = 1_000_000;
/// How far the clock moves at once while instances wait for each other.
const PATIENCE_STEP_MS: i64 = 100;
/// How far it moves at most: longer than sessions and transactions live by default.
const PATIENCE_MS: i64 = 120_000;

/// What all instances share.
pub(super) struct Parts {
    pub(super) plan: Arc<Plan>,
    pub(super) config: Config,
    pub(super) cluster: MemoryCluster,
    pub(super) clock: ManualClock,
}

struct Instance {
    worker: Option<Worker>,
    backend: MemoryBackend,
    /// Figures of workers of this instance that have ended.
    past: Figures,
}

/// A topology under test.
pub struct Testkit {
    parts: Parts,
    instances: Vec<Instance>,
    reader: Reader,
    without_key: i32,
}

impl Testkit {
    /// One instance with default settings; topics have one partition.
    ///
    /// # Errors
    /// As [`TestkitBuilder::build`].
    pub fn new(topology: &Topology) -> Result<Self> {
        Self::builder().build(topology)
    }

    /// Chooses partitions, instances, guarantee and settings.
    ///
    /// ```
    /// use headwater::StreamsBuilder;
    /// use headwater::testkit::Testkit;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("clicks").group_by_key().count().to_stream().to("counts");
    /// let mut kit = Testkit::builder().exactly_once().partitions(4).instances(2).build(&builder.build()?)?;
    /// for key in ["ann", "bob", "ann"] {
    ///     kit.pipe("clicks", &key.to_owned(), &1_i64, 0)?;
    /// }
    /// kit.crash(0)?;
    /// kit.pipe("clicks", &"ann".to_owned(), &1_i64, 0)?;
    /// let counts = kit.read::<String, Option<i64>>("counts")?;
    /// assert_eq!(counts.iter().filter(|count| count.key == "ann").last().unwrap().value, Some(3));
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn builder() -> TestkitBuilder {
        TestkitBuilder::default()
    }

    pub(super) fn start(parts: Parts, instances: usize) -> Result<Self> {
        let consumer = parts.cluster.consumer("testkit-reader", Isolation::ReadCommitted);
        let mut kit = Self { parts, instances: Vec::new(), reader: Reader::new(consumer), without_key: 0 };
        for _ in 0..instances {
            kit.instances.push(Instance {
                worker: None,
                backend: MemoryBackend::default(),
                past: Figures::default(),
            });
            kit.start_worker(kit.instances.len() - 1);
        }
        kit.wait_until_running()?;
        Ok(kit)
    }

    fn start_worker(&mut self, instance: usize) {
        let parts = &self.parts;
        let options = WorkerOptions::new(
            Arc::clone(&parts.plan),
            parts.config.clone(),
            Arc::new(parts.cluster.clone()) as Arc<dyn Cluster>,
            Arc::new(self.instances[instance].backend.clone()) as Arc<dyn StateBackend>,
        );
        let options = options.named(format!("instance-{instance}"), 0).clock(Arc::new(parts.clock.clone()));
        self.instances[instance].worker = Some(Worker::new(options));
    }

    /// The cluster, to look at or to plant faults in.
    #[must_use]
    pub fn cluster(&self) -> &MemoryCluster {
        &self.parts.cluster
    }

    /// The wall clock. Who moves it by himself also has to [settle](Self::settle).
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.parts.clock
    }

    /// The worker of an instance, while it lives.
    #[must_use]
    pub fn worker(&self, instance: usize) -> Option<&Worker> {
        self.instances.get(instance)?.worker.as_ref()
    }

    /// Writes a record to a topic, and waits until everything that follows from it is committed.
    ///
    /// # Errors
    /// If the key or value has no bytes, there is no such topic, or the application fails.
    pub fn pipe<K: HasSerde, V: HasSerde>(
        &mut self,
        topic: &str,
        key: &K,
        value: &V,
        timestamp: i64,
    ) -> Result<()> {
        self.pipe_record(topic, &Record::new(key.clone(), value.clone(), timestamp))
    }

    /// As [`Testkit::pipe`], with headers.
    ///
    /// # Errors
    /// As [`Testkit::pipe`].
    pub fn pipe_record<K: HasSerde, V: HasSerde>(
        &mut self,
        topic: &str,
        record: &Record<K, V>,
    ) -> Result<()> {
        self.pipe_as(topic, record, (&K::Serde::default(), &V::Serde::default()))
    }

    /// As [`Testkit::pipe_record`], with serdes for key and value.
    ///
    /// # Errors
    /// As [`Testkit::pipe`].
    pub fn pipe_as<K, V>(
        &mut self,
        topic: &str,
        record: &Record<K, V>,
        (keys, values): (&dyn Serde<K>, &dyn Serde<V>),
    ) -> Result<()> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let has_key = keys.serialize(&record.key, &mut key).map_err(|error| unfit(topic, "key", error))?;
        let has_value =
            values.serialize(&record.value, &mut value).map_err(|error| unfit(topic, "value", error))?;
        let partition = has_key.then(|| keys.partition_part(&key));
        let partition = self.partition_of(topic, partition)?;
        let mut batch = RecordBatch::default();
        batch.push(record.timestamp, has_key.then_some(&key), has_value.then_some(&value), 0);
        batch.push_headers(&record.headers);
        self.put(&partition, &batch)?;
        self.settle()
    }

    /// Writes a record as bytes, to the partition of its key.
    ///
    /// # Errors
    /// As [`Testkit::pipe`].
    pub fn pipe_bytes(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
    ) -> Result<()> {
        let partition = self.partition_of(topic, key)?;
        let mut batch = RecordBatch::default();
        batch.push(timestamp, key, value, 0);
        self.put(&partition, &batch)?;
        self.settle()
    }

    /// Writes records to a partition and does not wait: [`Testkit::settle`] does.
    ///
    /// # Errors
    /// If there is no such partition.
    pub fn put(&mut self, partition: &TopicPartition, records: &RecordBatch) -> Result<()> {
        self.parts.cluster.produce(partition, records)?;
        Ok(())
    }

    fn partitions(&self, topic: &str) -> Result<i32> {
        self.parts.cluster.broker().partition_count(topic).ok_or_else(|| {
            Error::new(Reaction::Stop, format!("there is no topic `{topic}`"))
                .hint("name it with `TestkitBuilder::topic`, or is it misspelt?")
        })
    }

    fn partition_of(&mut self, topic: &str, key: Option<&[u8]>) -> Result<TopicPartition> {
        let count = self.partitions(topic)?;
        let number = key.map_or(self.without_key % count, |key| partition_for_key(key, count));
        self.without_key = (self.without_key + i32::from(key.is_none())) % 1_000_000;
        Ok(TopicPartition::new(topic, number))
    }

    /// Waits until everything that was written is processed and committed.
    ///
    /// # Errors
    /// That of an instance that fails.
    pub fn settle(&mut self) -> Result<()> {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            if self.round()? {
                quiet = 0;
            } else {
                quiet += 1;
            }
            if quiet >= QUIET_ROUNDS {
                return Ok(());
            }
        }
        Err(Error::new(Reaction::Stop, "the topology does not come to rest: does it feed itself?"))
    }

    /// One step of every instance. Returns whether any moved.
    fn round(&mut self) -> Result<bool> {
        let now_ms = self.parts.clock.now_ms();
        let mut moved = false;
        for worker in self.instances.iter_mut().filter_map(|instance| instance.worker.as_mut()) {
            let busy = worker.step(now_ms)?.busy;
            if !busy && worker.has_uncommitted() {
                worker.request_commit();
            }
            moved |= busy;
        }
        Ok(moved)
    }

    /// As [`Testkit::settle`]; where instances wait for each other, or for the time-out of one that crashed, the clock moves.
    ///
    /// # Errors
    /// That of an instance that fails, or if they do not come to rest.
    pub fn wait_until_running(&mut self) -> Result<()> {
        let mut waited_ms = 0;
        while waited_ms <= PATIENCE_MS {
            self.settle()?;
            if self.is_at_rest() {
                return Ok(());
            }
            self.parts.clock.advance_ms(PATIENCE_STEP_MS);
            waited_ms += PATIENCE_STEP_MS;
        }
        let state =
            |instance: &Instance| instance.worker.as_ref().map(|worker| (worker.state(), worker.waits_for()));
        let states: Vec<_> = self.instances.iter().map(state).collect();
        Err(Error::new(Reaction::Stop, format!("the instances do not come to rest: {states:?}")))
    }

    /// Whether every input partition has found its instance, and none has anything to do.
    fn is_at_rest(&self) -> bool {
        let workers = || self.instances.iter().filter_map(|instance| instance.worker.as_ref());
        let mut wanted = 0;
        for topic in subscription(&self.parts.plan) {
            wanted += usize::try_from(self.partitions_if_made(&topic)).unwrap_or(0);
        }
        let lanes = |worker: &Worker| worker.tasks().values().map(|task| task.lanes().len()).sum::<usize>();
        let alive = workers().filter(|worker| !worker.state().is_final());
        let owned: usize = alive.clone().map(lanes).sum();
        workers().all(Worker::is_idle) && (owned == wanted || alive.count() == 0)
    }

    fn partitions_if_made(&self, topic: &str) -> i32 {
        self.parts.cluster.broker().partition_count(topic).unwrap_or(0)
    }

    /// Moves the wall clock forward, in steps that sessions survive.
    ///
    /// # Errors
    /// That of an instance that fails.
    pub fn advance_wall_clock(&mut self, by_ms: i64) -> Result<()> {
        let longest = (self.parts.config.settings().session_timeout_ms / 4).max(1);
        let step = (by_ms / 100).clamp(1, longest);
        let mut left = by_ms;
        while left > 0 {
            self.parts.clock.advance_ms(step.min(left));
            left -= step.min(left);
            self.settle()?;
        }
        Ok(())
    }

    /// What is new in a topic since the last call: by partition, then in order.
    ///
    /// # Errors
    /// If there is no such topic, or a record is not of these types.
    pub fn read<K: HasSerde, V: HasSerde>(&mut self, topic: &str) -> Result<Vec<Record<K, V>>> {
        self.read_as(topic, (&K::Serde::default(), &V::Serde::default()))
    }

    /// As [`Testkit::read`], with serdes for key and value.
    ///
    /// # Errors
    /// As [`Testkit::read`].
    pub fn read_as<K, V>(
        &mut self,
        topic: &str,
        (keys, values): (&dyn Serde<K>, &dyn Serde<V>),
    ) -> Result<Vec<Record<K, V>>> {
        let mut records = Vec::new();
        for batch in self.read_bytes(topic)? {
            for raw in &batch {
                let key = keys.deserialize(raw.key).map_err(|error| unfit(topic, "key", error))?;
                let value = values.deserialize(raw.value).map_err(|error| unfit(topic, "value", error))?;
                let mut record = Record::new(key, value, raw.timestamp);
                if raw.has_headers() {
                    record.headers = raw.to_headers();
                }
                records.push(record);
            }
        }
        Ok(records)
    }

    /// As [`Testkit::read`], as bytes.
    ///
    /// # Errors
    /// If there is no such topic.
    pub fn read_bytes(&mut self, topic: &str) -> Result<Vec<SharedBatch>> {
        let partitions = self.partitions(topic)?;
        self.reader.read(topic, partitions, self.parts.clock.now_ms())
    }

    /// A look into the store `name` of all instances; see [`Look`].
    #[must_use]
    pub fn store<S: 'static>(&self, name: &str) -> Look<S> {
        Look::into(name, self.instances.iter().filter_map(|instance| instance.worker.as_ref()))
    }

    /// The committed counts of all instances, those that ended included.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.figures().total()
    }

    /// The figures of all instances, those that ended included.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut all = Figures::default();
        for instance in &self.instances {
            all.add(&instance.past);
            instance.worker.iter().for_each(|worker| all.add(worker.figures()));
        }
        all
    }

    /// Ends an instance without any goodbye, as `kill -9` does: its state backend keeps only what was flushed. The others
    /// take over; the coordinator notices at once that it is gone, so that the clock need not pass a session's length.
    ///
    /// # Errors
    /// If another instance fails.
    pub fn crash(&mut self, instance: usize) -> Result<()> {
        let Some(worker) = self.instances[instance].worker.take() else { return Ok(()) };
        self.instances[instance].past.add(worker.figures());
        let member = worker.member();
        drop(worker);
        // A member that never got in is not known to the coordinator.
        let _ = self.parts.cluster.broker().expire_member(
            &member.group,
            &member.member,
            self.parts.clock.now_ms(),
        );
        self.wait_until_running()
    }

    /// Ends an instance in order: it commits and leaves the group.
    ///
    /// # Errors
    /// If an instance fails.
    pub fn stop(&mut self, instance: usize) -> Result<()> {
        if let Some(worker) = &mut self.instances[instance].worker {
            worker.stop();
        }
        self.wait_until_running()?;
        if let Some(worker) = self.instances[instance].worker.take() {
            self.instances[instance].past.add(worker.figures());
        }
        Ok(())
    }

    /// Starts an instance again that has crashed or stopped, with the state that it left behind.
    ///
    /// # Errors
    /// If an instance fails.
    pub fn restart(&mut self, instance: usize) -> Result<()> {
        if self.instances[instance].worker.is_some() {
            self.crash(instance)?;
        }
        self.start_worker(instance);
        self.wait_until_running()
    }

    /// Starts one more instance, and returns its number.
    ///
    /// # Errors
    /// If an instance fails.
    pub fn add_instance(&mut self) -> Result<usize> {
        self.instances.push(Instance {
            worker: None,
            backend: MemoryBackend::default(),
            past: Figures::default(),
        });
        let instance = self.instances.len() - 1;
        self.start_worker(instance);
        self.wait_until_running()?;
        Ok(instance)
    }
}

fn unfit(topic: &str, what: &str, error: SerdeError) -> Error {
    Error::new(Reaction::Stop, format!("the {what} of a record of topic `{topic}` has not this type"))
        .because(error)
}
