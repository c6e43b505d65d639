//! Cluster: one broker core, shared by all clients of a process, and shortcuts for tests and demos.

use std::sync::Arc;

use bytes::Bytes;
use headwater_broker::api::ProduceResponse;
use headwater_broker::api::{CreateTopicsRequest, CreateTopicsResponse, ProducePartition, ProduceRequest};
use headwater_broker::batch::{BatchBuilder, BatchOptions};
use headwater_broker::{Broker, BrokerConfig, BrokerGuard, ErrorCode, Request, Response, SharedBroker};

use super::admin::{self, MemoryAdmin};
use super::consumer::MemoryConsumer;
use super::door::{Door, Shared};
use super::member::MemoryMember;
use super::outbox::with_record;
use super::place;
use super::producer::MemoryProducer;
use crate::kafka::{
    Admin, Cluster, Consumer, Fault, Isolation, KafkaError, MemberOptions, Membership, NewTopic, Producer,
    ProducerOptions,
};
use crate::record::RecordBatch;
use crate::topic::{TopicName, TopicPartition};

/// Bytes that [`MemoryCluster::read_all`] asks for at a time.
const READ_BYTES: usize = 1 << 20;

/// How often logs are compacted. Kafka's cleaner looks every 15 s (`log.cleaner.backoff.ms`) and then cleans one log; here
/// one look cleans them all.
const COMPACTION_INTERVAL_MS: i64 = 60_000;
/// Kafka's default of `log.retention.check.interval.ms`.
const RETENTION_INTERVAL_MS: i64 = 300_000;
/// Kafka's default of `producer.id.expiration.check.interval.ms`.
const PRODUCER_EXPIRY_INTERVAL_MS: i64 = 600_000;
/// Kafka's default of `transaction.remove.expired.transaction.cleanup.interval.ms`.
const TRANSACTIONAL_ID_EXPIRY_INTERVAL_MS: i64 = 3_600_000;

/// A Kafka cluster of one node in the memory of this process. Clones are the same cluster.
///
/// ```
/// use headwater::kafka::Isolation;
/// use headwater::kafka::memory::MemoryCluster;
/// use headwater::{RecordBatch, TopicPartition};
///
/// let cluster = MemoryCluster::new();
/// cluster.create_topic("clicks", 2)?;
/// let mut batch = RecordBatch::default();
/// batch.push(1_000, Some(b"ann"), Some(b"home"), 0);
/// cluster.produce(&TopicPartition::new("clicks", 1), &batch)?;
///
/// let partitions = cluster.read_all("clicks", Isolation::ReadCommitted)?;
/// assert_eq!(partitions[1].get(0).value, Some(&b"home"[..]));
/// # Ok::<(), headwater::kafka::KafkaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryCluster {
    shared: Arc<Shared>,
}

impl Default for MemoryCluster {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryCluster {
    /// The client whose requests the shortcuts of this type make; faults by rules for all clients befall it too.
    pub const CLIENT: &str = "memory-cluster";

    /// A cluster without topics. It cleans its logs now and then, each topic by its settings: compacted ones are compacted,
    /// others lose what is older than `retention.ms`. Unlike in Kafka a record's age counts from the newest of its partition,
    /// so that a replay of old records is not lost.
    #[must_use]
    pub fn new() -> Self {
        Self::with_broker(Broker::new(BrokerConfig {
            compaction_interval_ms: Some(COMPACTION_INTERVAL_MS),
            retention_interval_ms: Some(RETENTION_INTERVAL_MS),
            retention_by_newest: true,
            producer_id_expiration_check_interval_ms: Some(PRODUCER_EXPIRY_INTERVAL_MS),
            transactional_id_expiration_check_interval_ms: Some(TRANSACTIONAL_ID_EXPIRY_INTERVAL_MS),
            ..BrokerConfig::default()
        }))
    }

    /// A cluster around this broker; by default a broker keeps everything.
    #[must_use]
    pub fn with_broker(broker: Broker) -> Self {
        Self { shared: Arc::new(Shared::new(SharedBroker::new(broker))) }
    }

    /// The broker itself, to plant faults or to look inside. No port may be used before the guard is dropped.
    #[must_use]
    pub fn broker(&self) -> BrokerGuard<'_> {
        self.shared.broker()
    }

    /// Serves the same broker at a TCP port, for any Kafka client, until what this returns is dropped: port 0 takes a free
    /// one.
    ///
    /// ```
    /// use headwater::kafka::memory::MemoryCluster;
    ///
    /// let cluster = MemoryCluster::new();
    /// let server = cluster.serve("127.0.0.1:0")?;
    /// println!("kcat -b {} -L", server.address());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the address cannot be listened at.
    #[cfg(feature = "embedded")]
    pub fn serve(&self, address: &str) -> std::io::Result<headwater_broker::server::Server> {
        Broker::builder().listen(address).serve(self.shared.shared().clone())
    }

    /// Makes a topic; one that exists already is no error.
    ///
    /// # Errors
    /// As the broker answers.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), KafkaError> {
        self.create_topic_with(name, partitions, &[])
    }

    /// Makes a topic with settings, by Kafka's names. Without `retention.ms` its records are kept: nobody has said for how
    /// long they are needed.
    ///
    /// # Errors
    /// As the broker answers.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), KafkaError> {
        let kept = ("retention.ms", "-1");
        let kept = Some(kept).filter(|_| configs.iter().all(|(name, _)| *name != "retention.ms"));
        let configs = configs.iter().copied().chain(kept);
        let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let topic = NewTopic { name: TopicName::from(name), partitions, replication_factor: None, configs };
        let request = CreateTopicsRequest::new(vec![admin::new_topic(&topic)]);
        let response: CreateTopicsResponse = self.ask(request)?;
        match response.topics.first().map(|topic| topic.error) {
            Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
            code => Err(refused(code, &format!("topic `{name}` cannot be made"))),
        }
    }

    /// Appends the records as one batch, outside of any transaction. Returns the first one's offset.
    ///
    /// # Errors
    /// As the broker answers.
    pub fn produce(&self, partition: &TopicPartition, records: &RecordBatch) -> Result<i64, KafkaError> {
        let mut builder = BatchBuilder::new();
        for raw in records {
            with_record(raw, |record| builder.push(record));
        }
        let batch = builder.finish(&BatchOptions::default());
        let request = ProduceRequest {
            transactional_id: None,
            partitions: vec![ProducePartition { at: place::at(partition), batch: Bytes::from(batch) }],
        };
        let response: ProduceResponse = self.ask(request)?;
        match response.partitions.first() {
            Some(produced) if produced.error == ErrorCode::None => Ok(produced.base_offset),
            other => Err(refused(other.map(|one| one.error), &format!("{partition} takes no records"))),
        }
    }

    /// All records of a topic that `isolation` shows, by partition.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, or as the broker answers.
    pub fn read_all(&self, topic: &str, isolation: Isolation) -> Result<Vec<RecordBatch>, KafkaError> {
        let count = self.broker().partition_count(topic);
        let Some(count) = count else {
            let code = Some(ErrorCode::UnknownTopicOrPartition);
            return Err(refused(code, &format!("topic `{topic}` cannot be read")));
        };
        (0..count).map(|number| self.read_partition(&TopicPartition::new(topic, number), isolation)).collect()
    }

    fn read_partition(
        &self,
        partition: &TopicPartition,
        isolation: Isolation,
    ) -> Result<RecordBatch, KafkaError> {
        let view = self.broker().partition(&partition.topic, partition.partition);
        let mut consumer = self.consumer(Self::CLIENT, isolation);
        consumer.add(partition, view.map_or(0, |view| view.log_start_offset));
        let mut all = RecordBatch::default();
        while let Some(fetched) = consumer.fetch(partition, READ_BYTES, self.shared.now_ms())? {
            for raw in fetched.records.iter() {
                all.push(raw.timestamp, raw.key, raw.value, raw.offset);
                for (name, value) in raw.headers() {
                    all.push_header(name, value);
                }
            }
            if fetched.caught_up {
                return Ok(all);
            }
        }
        Err(refused(Some(ErrorCode::RequestTimedOut), &format!("{partition} cannot be read")))
    }

    /// One request that is answered at once, unless a fault befalls it.
    fn ask<T: TryFrom<Response, Error = ErrorCode>>(
        &self,
        request: impl Into<Request>,
    ) -> Result<T, KafkaError> {
        let door = Door::new(self.shared.clone(), Self::CLIENT);
        let now_ms = self.shared.now_ms();
        let ticket = door.submit(request.into(), now_ms);
        let response = door.poll(ticket, now_ms).ok_or(ErrorCode::RequestTimedOut);
        response.and_then(T::try_from).map_err(|code| refused(Some(code), "the broker does not answer"))
    }
}

impl Cluster for MemoryCluster {
    fn membership(&self, options: &MemberOptions) -> Box<dyn Membership> {
        Box::new(MemoryMember::new(Door::new(self.shared.clone(), &options.client), options))
    }

    fn consumer(&self, client: &str, isolation: Isolation) -> Box<dyn Consumer> {
        Box::new(MemoryConsumer::new(Door::new(self.shared.clone(), client), isolation))
    }

    fn producer(&self, options: &ProducerOptions) -> Box<dyn Producer> {
        Box::new(MemoryProducer::new(Door::new(self.shared.clone(), &options.client), options))
    }

    fn admin(&self, client: &str) -> Box<dyn Admin> {
        Box::new(MemoryAdmin::new(Door::new(self.shared.clone(), client)))
    }

    fn for_worker(&self) -> Arc<dyn Cluster> {
        Arc::new(self.clone())
    }

    fn wait(&self, timeout_ms: i64) {
        self.shared.wait(timeout_ms);
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

fn refused(code: Option<ErrorCode>, what: &str) -> KafkaError {
    place::answered(code.unwrap_or(ErrorCode::UnknownServerError), Fault::Refused, what)
}
