//! The clusters that are tested, and how to wait for their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{
    Admin, Answer, Cluster, Consumer, Fetched, Isolation, KafkaError, MemberOptions, NewTopic, Producer,
    ProducerOptions,
};
use headwater::time::{Clock, SystemClock};
use headwater::{RecordBatch, TopicName, TopicPartition};

/// For how long an answer is waited for; a cluster that takes longer is broken.
const PATIENCE_MS: i64 = 60_000;

/// A cluster, with names that no other test uses.
pub(crate) struct Scene {
    pub(crate) cluster: Arc<dyn Cluster>,
    clock: SystemClock,
    prefix: String,
}

/// Runs a test on every cluster there is.
pub(crate) fn on_each(test: impl Fn(&Scene)) {
    for cluster in clusters() {
        test(&Scene::on(cluster));
    }
}

fn clusters() -> Vec<Arc<dyn Cluster>> {
    let memory: Arc<dyn Cluster> = Arc::new(MemoryCluster::new());
    std::iter::once(memory).chain(kafka()).collect()
}

#[cfg(feature = "kafka")]
fn kafka() -> Option<Arc<dyn Cluster>> {
    let servers = std::env::var("HEADWATER_TEST_BOOTSTRAP").ok()?;
    let properties = [("application.id", "ports"), ("bootstrap.servers", &servers)];
    let config = headwater::Config::from_properties(properties).unwrap();
    Some(Arc::new(headwater::kafka::KafkaCluster::connect(&config.cluster_options()).unwrap()))
}

#[cfg(not(feature = "kafka"))]
fn kafka() -> Option<Arc<dyn Cluster>> {
    None
}

/// Names of earlier runs may still be there on a real cluster.
#[expect(clippy::disallowed_methods, reason = "names that differ from run to run")]
fn prefix() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("ports-{now:x}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

impl Scene {
    pub(crate) fn on(cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster, clock: SystemClock::new(), prefix: prefix() }
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Repeats `step` until it brings something.
    pub(crate) fn until<T>(&self, what: &str, mut step: impl FnMut(i64) -> Option<T>) -> T {
        let begin = self.now_ms();
        loop {
            let now_ms = self.now_ms();
            if let Some(done) = step(now_ms) {
                return done;
            }
            assert!(now_ms - begin < PATIENCE_MS, "{what} has not happened on {:?}", self.cluster);
            self.cluster.wait(20);
        }
    }

    /// Repeats a call until it is answered.
    pub(crate) fn answer<T>(
        &self,
        what: &str,
        mut call: impl FnMut(i64) -> Answer<T>,
    ) -> Result<T, KafkaError> {
        self.until(what, |now_ms| match call(now_ms) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    }

    pub(crate) fn admin(&self) -> Box<dyn Admin> {
        self.cluster.admin("ports")
    }

    /// Makes a topic.
    pub(crate) fn topic(&self, name: &str, partitions: i32) -> TopicName {
        self.topic_with(name, partitions, Vec::new())
    }

    /// Makes a topic with these settings. It keeps records of any time: brokers look for old ones half a minute after their start,
    /// and then every five.
    pub(crate) fn topic_with(
        &self,
        name: &str,
        partitions: i32,
        mut configs: Vec<(String, String)>,
    ) -> TopicName {
        configs.push(("retention.ms".to_owned(), "-1".to_owned()));
        let topic =
            NewTopic { name: self.name(name).as_str().into(), partitions, replication_factor: None, configs };
        let mut admin = self.admin();
        let topics = [topic.clone()];
        self.answer("a topic", |now_ms| admin.create(&topics, now_ms)).unwrap();
        topic.name
    }

    /// A producer that is ready.
    pub(crate) fn producer(&self, transactional_id: Option<&str>) -> Box<dyn Producer> {
        let mut producer = self.cluster.producer(&ProducerOptions {
            client: "ports".to_owned(),
            transactional_id: transactional_id.map(|id| self.name(id)),
            transaction_timeout_ms: 30_000,
            request_timeout_ms: 10_000,
        });
        self.answer("a producer's epoch", |now_ms| producer.init(now_ms)).unwrap();
        producer
    }

    pub(crate) fn member_options(&self, group: &str, client: &str) -> MemberOptions {
        MemberOptions {
            group: self.name(group),
            client: client.to_owned(),
            instance: None,
            session_timeout_ms: 6_000,
            heartbeat_interval_ms: 200,
            max_poll_interval_ms: 60_000,
        }
    }

    /// Everything of a partition, from `offset` to the end.
    pub(crate) fn read(
        &self,
        partition: &TopicPartition,
        offset: i64,
        isolation: Isolation,
    ) -> (Vec<Shown>, i64) {
        let mut consumer = self.cluster.consumer("ports", isolation);
        consumer.add(partition, offset);
        self.read_on(consumer.as_mut(), partition)
    }

    pub(crate) fn read_on(
        &self,
        consumer: &mut dyn Consumer,
        partition: &TopicPartition,
    ) -> (Vec<Shown>, i64) {
        let mut all = Vec::new();
        let end = self.until("the end of a partition", |now_ms| {
            let Fetched { records, position, caught_up } =
                consumer.fetch(partition, 1 << 20, now_ms).unwrap()?;
            all.extend(records.iter().map(|record| {
                Shown {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: record
                        .headers()
                        .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                        .collect(),
                }
            }));
            caught_up.then_some(position)
        });
        (all, end)
    }

    /// Sends records with these values, and does not wait.
    pub(crate) fn send(&self, producer: &mut dyn Producer, partition: &TopicPartition, values: &[&str]) {
        let mut batch = RecordBatch::default();
        for value in values {
            batch.push(1_000, Some(b"k"), Some(value.as_bytes()), 0);
        }
        producer.send(partition, &mut batch, self.now_ms()).unwrap();
        assert!(batch.is_empty());
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The values alone, as text.
pub(crate) fn values(records: &[Shown]) -> Vec<String> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    records.iter().map(|record| record.value.as_ref().map_or_else(|| "null".to_owned(), text)).collect()
}
