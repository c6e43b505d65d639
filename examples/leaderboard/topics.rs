//! The topics: making them, sending, and reading what is committed; on whichever cluster.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;

use headwater::codec::partition::partition_for_key;
use headwater::kafka::{Answer, Cluster, Consumer, Isolation, NewTopic, Producer, ProducerOptions};
use headwater::time::{Clock, SystemClock};
use headwater::{RecordBatch, TopicName, TopicPartition};

use crate::Fallible;
use crate::topology::{AIRLINES, BOARDS, COUNTS, FLIGHTS, PLANES, WEATHER};

/// What one fetch brings at most.
const FETCH_BYTES: usize = 1 << 20;
/// A batch is handed on once it is so large.
const BATCH_BYTES: usize = 256 << 10;
/// So long an answer of the cluster is waited for, milliseconds.
const PATIENCE_MS: i64 = 30_000;

/// The example's topics.
pub(crate) struct Topics {
    cluster: Arc<dyn Cluster>,
    clock: SystemClock,
    prefix: String,
    partitions: i32,
    producer: RefCell<Box<dyn Producer>>,
    waiting: RefCell<BTreeMap<TopicPartition, RecordBatch>>,
}

impl Topics {
    /// Creates them, their names beginning with `prefix`; those that exist already have to be empty.
    pub(crate) fn new(cluster: &Arc<dyn Cluster>, prefix: &str, partitions: i32) -> Fallible<Self> {
        let cluster = cluster.for_worker();
        let producer = cluster.producer(&ProducerOptions {
            client: format!("{prefix}leaderboard-replay"),
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            request_timeout_ms: 30_000,
        });
        let topics = Self {
            clock: SystemClock::new(),
            prefix: prefix.to_owned(),
            partitions,
            producer: RefCell::new(producer),
            waiting: RefCell::default(),
            cluster,
        };
        topics.create()?;
        Ok(topics)
    }

    fn create(&self) -> Fallible<()> {
        let mut admin = self.cluster.admin("leaderboard-topics");
        let names = [FLIGHTS, AIRLINES, PLANES, WEATHER, BOARDS, COUNTS].map(|name| self.named(name));
        let new = names.clone().map(|name| NewTopic {
            name,
            partitions: self.partitions,
            replication_factor: None,
            // The flights are of 2013: by a broker's default of a week such records are deleted within minutes.
            configs: vec![("retention.ms".to_owned(), "-1".to_owned())],
        });
        self.answer("to create topics", |now_ms| admin.create(&new, now_ms))?;
        let partitions: Vec<_> = names.iter().flat_map(|name| self.partitions_of(name)).collect();
        let bounds = self.answer("where topics end", |now_ms| {
            admin.bounds(&partitions, Isolation::ReadUncommitted, now_ms)
        })?;
        let old = partitions.iter().zip(bounds).find(|(_, (start, end))| start < end);
        if let Some((partition, (start, end))) = old {
            return Err(format!(
                "{partition} holds {} records already, and the boards would count them; choose other topics by `--prefix`",
                end - start
            )
            .into());
        }
        self.answer("for a producer", |now_ms| self.producer.borrow_mut().init(now_ms))
    }

    fn partitions_of(&self, topic: &TopicName) -> Vec<TopicPartition> {
        (0..self.partitions).map(|partition| TopicPartition::new(topic.clone(), partition)).collect()
    }

    /// The full name of a topic.
    fn named(&self, topic: &str) -> TopicName {
        format!("{}{topic}", self.prefix).as_str().into()
    }

    /// Asks until there is an answer.
    fn answer<T>(&self, what: &str, mut ask: impl FnMut(i64) -> Answer<T>) -> Fallible<T> {
        let begin = self.clock.now_ms();
        loop {
            let now_ms = self.clock.now_ms();
            match ask(now_ms) {
                Poll::Ready(Ok(answer)) => return Ok(answer),
                Poll::Ready(Err(error)) if error.fault != headwater::kafka::Fault::Retriable => {
                    return Err(error.into());
                }
                Poll::Ready(Err(error)) if now_ms - begin > PATIENCE_MS => return Err(error.into()),
                Poll::Pending if now_ms - begin > PATIENCE_MS => {
                    return Err(format!("the cluster was asked {what} and has not answered").into());
                }
                _ => self.cluster.wait(20),
            }
        }
    }

    /// Waits until something may have arrived, for so long at most.
    pub(crate) fn wait(&self, timeout_ms: i64) {
        self.cluster.wait(timeout_ms);
    }

    /// Queues a record for the partition of its key; hands on what is queued for it if that is much.
    pub(crate) fn send(&self, topic: &str, key: &str, value: &[u8], time: i64) -> Fallible<()> {
        let partition = partition_for_key(key.as_bytes(), self.partitions);
        let partition = TopicPartition::new(self.named(topic), partition);
        let mut waiting = self.waiting.borrow_mut();
        if let Some(batch) = waiting.get_mut(&partition)
            && batch.byte_len() >= BATCH_BYTES
        {
            self.producer.borrow_mut().send(&partition, batch, self.clock.now_ms())?;
        }
        waiting.entry(partition).or_default().push(time, Some(key.as_bytes()), Some(value), 0);
        Ok(())
    }

    /// Writes what is queued, and waits until it is written.
    pub(crate) fn flush(&self) -> Fallible<()> {
        let mut producer = self.producer.borrow_mut();
        for (partition, batch) in self.waiting.borrow_mut().iter_mut().filter(|(_, batch)| !batch.is_empty())
        {
            producer.send(partition, batch, self.clock.now_ms())?;
        }
        self.answer("to write records", |now_ms| producer.flush(now_ms))
    }
}

/// Reads the committed records of a topic from its beginning.
pub(crate) struct Reader {
    consumer: Box<dyn Consumer>,
    partitions: Vec<TopicPartition>,
}

impl Reader {
    pub(crate) fn new(topics: &Topics, topic: &str) -> Self {
        let mut consumer = topics.cluster.consumer("view", Isolation::ReadCommitted);
        let partitions = topics.partitions_of(&topics.named(topic));
        partitions.iter().for_each(|partition| consumer.add(partition, 0));
        Self { consumer, partitions }
    }

    /// Shows what has arrived, key and value, to `take`; returns how many records.
    pub(crate) fn read(
        &mut self,
        now_ms: i64,
        mut take: impl FnMut(&[u8], &[u8]) -> Fallible<()>,
    ) -> Fallible<usize> {
        let mut records = 0;
        for partition in &self.partitions {
            while let Some(fetched) = self.consumer.fetch(partition, FETCH_BYTES, now_ms)? {
                for record in &fetched.records {
                    take(record.key.unwrap_or_default(), record.value.unwrap_or_default())?;
                    records += 1;
                }
                if fetched.caught_up {
                    break;
                }
            }
        }
        Ok(records)
    }
}

/// What the application counted, by name.
#[derive(Debug, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct Counts(BTreeMap<String, i64>);

/// A count that never came is zero.
impl Default for Counts {
    fn default() -> Self {
        let names = [
            "flights",
            "no_arr_delay",
            "scored",
            "score",
            "no_airline",
            "no_tailnum",
            "no_plane",
            "no_weather",
            "bad_weather",
        ];
        Self(names.map(|name| (name.to_owned(), 0)).into())
    }
}

impl Counts {
    pub(crate) fn take(&mut self, name: &[u8], count: &[u8]) -> Fallible<()> {
        let name = String::from_utf8(name.to_vec())?;
        self.0.insert(name, i64::from_be_bytes(count.try_into()?));
        Ok(())
    }

    pub(crate) fn of(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}
