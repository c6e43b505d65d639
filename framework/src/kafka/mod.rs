//! The ports to a Kafka cluster, in our words and in batches. [`memory`] is the in-process side.
//!
//! 1. No call blocks. A call that needs an answer returns [`Poll::Pending`] and is *made again, with the same
//!    arguments,* until it is ready; no other call of the same port may come between (librdkafka's rule as well).
//! 2. A [`KafkaError`] carries a [`Fault`]: what its class means for the caller, as in librdkafka's transactional API.
//! 3. Only this folder knows how a cluster is reached.

mod fault;
#[cfg(feature = "kafka")]
mod librdkafka;
pub mod memory;
mod rules;
mod security;

#[cfg(feature = "kafka")]
pub use librdkafka::KafkaCluster;
pub use rules::TopicRules;
pub use security::{Identity, Login, Mechanism, Pem, Secret, Security, Tls};

use std::fmt;
use std::task::Poll;

use bytes::Bytes;

use crate::record::RecordBatch;
use crate::topic::{TopicName, TopicPartition};

/// The answer of a port: not yet, or a result.
pub type Answer<T> = Poll<Result<T, KafkaError>>;

/// What the class of an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The same call may work later.
    Retriable,
    /// The transaction has to be aborted; the producer lives.
    Abortable,
    /// The group has moved on without us: our generation, member id or instance id is stale.
    Stale,
    /// The producer is dead (fenced, or its state is unknown): drop it and make a new one.
    Fatal,
    /// Asking again cannot help: refused, unknown topic, wrong configuration.
    Refused,
}

/// An error of the cluster or on the way to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct KafkaError {
    /// Kafka's name of the error, such as `INVALID_PRODUCER_EPOCH`.
    pub code: &'static str,
    /// What it means for the caller.
    pub fault: Fault,
    /// One line for people.
    pub message: String,
}

/// Which end of a partition counts as its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything written: up to the high watermark.
    ReadUncommitted,
    /// Only what is decided: up to the last stable offset, without aborted records.
    ReadCommitted,
}

/// Where to begin where no offset is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest record.
    Earliest,
    /// After the newest record.
    Latest,
}

/// One fetch of one partition.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The records in offset order; may be empty where only control records were passed.
    pub records: RecordBatch,
    /// The next offset to read: past the records and past control records behind them.
    pub position: i64,
    /// Whether the fetch reached the end (under the consumer's isolation): lag 0 as of this fetch.
    pub caught_up: bool,
}

/// Reads partitions from explicit offsets. Which ones is the caller's business ([`Membership`] tells a worker).
pub trait Consumer {
    /// So many partitions are about to be read, and none is: what is fetched ahead of [`Consumer::fetch`] shall take about
    /// `bytes`, all partitions together. Who fetches nothing ahead has nothing to do.
    fn expect(&mut self, partitions: usize, bytes: usize) {
        let _ = (partitions, bytes);
    }
    /// Starts reading `partition` at `offset`; replaces the position where it is read already.
    fn add(&mut self, partition: &TopicPartition, offset: i64);
    /// Stops reading `partition`.
    fn remove(&mut self, partition: &TopicPartition);
    /// What has arrived for `partition`, about `max_bytes` of it. `None`: nothing is known yet.
    /// A partition that is not asked for is not fetched: that is the back-pressure.
    ///
    /// # Errors
    /// `OFFSET_OUT_OF_RANGE` is [`Fault::Refused`]; other errors as the cluster says.
    fn fetch(
        &mut self,
        partition: &TopicPartition,
        max_bytes: usize,
        now_ms: i64,
    ) -> Result<Option<Fetched>, KafkaError>;
    /// The end of a partition that is read, as far as it is known without asking for it: that which the consumer's isolation
    /// shows, so the last stable offset under [`Isolation::ReadCommitted`]. It may be some seconds old, and is never below
    /// what was fetched. `None`: nothing is known of it yet, or the partition is not read.
    fn end(&self, partition: &TopicPartition) -> Option<i64>;
}

/// Something that happened to our membership in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// These partitions are ours now, under the generation that [`Membership::generation`] tells.
    Assigned(Vec<TopicPartition>),
    /// All partitions go back: commit, drop the tasks, then call [`Membership::release`].
    Revoked,
    /// All partitions are lost: someone else may own them already. Drop the tasks without a commit, then call
    /// [`Membership::release`].
    Lost,
}

/// Who we are in the group: sent with every commit, so that the coordinator can refuse a zombie's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group (Kafka Streams' `application.id`).
    pub group: String,
    /// Generation of the assignment; below 0 before the first join.
    pub generation: i32,
    /// Member id given by the coordinator.
    pub member: String,
    /// Static member's name.
    pub instance: Option<String>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Free text that travels with it; Kafka Streams keeps the partition's time here.
    pub metadata: String,
}

/// An offset to commit for a partition.
pub type OffsetCommit = (TopicPartition, CommittedOffset);

/// Membership in a consumer group whose assignor co-partitions (`range`).
pub trait Membership {
    /// Joins (or rejoins) the group, to read `topics`.
    fn subscribe(&mut self, topics: &[TopicName]);
    /// Heartbeats, rejoins, and tells what happened. At most one event a call; an event is told once.
    ///
    /// # Errors
    /// [`Fault::Retriable`] errors are dealt with inside; [`Fault::Stale`] with `FENCED_INSTANCE_ID` means that another
    /// process uses our `group.instance.id`.
    fn poll(&mut self, now_ms: i64) -> Result<Option<GroupEvent>, KafkaError>;
    /// Says that the tasks of the last [`GroupEvent::Revoked`] or [`GroupEvent::Lost`] are gone.
    fn release(&mut self);
    /// Gives up the current generation, as if the coordinator had taken it: the next events are `Lost`, then `Assigned`.
    fn rejoin(&mut self);
    /// Who we are now.
    fn generation(&self) -> GroupMetadata;
    /// The committed offsets, once no transaction that would change them is pending (RequireStable).
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        now_ms: i64,
    ) -> Answer<Vec<Option<CommittedOffset>>>;
    /// Commits offsets outside of a transaction (`at_least_once`).
    fn commit(&mut self, offsets: &[OffsetCommit], now_ms: i64) -> Answer<()>;
    /// Leaves the group (a static member only goes silent). Best effort, does not wait.
    fn leave(&mut self, now_ms: i64);
}

/// What the cluster does not take from us, for a reason that repeating does not remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it should have gone.
    pub partition: TopicPartition,
    /// Kafka's name of the error.
    pub code: &'static str,
    /// The record at fault; `None` where it is none: the topic may not be written by us.
    pub record: Option<RefusedRecord>,
}

/// A record that was refused by itself, not for its company in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Milliseconds.
    pub timestamp: i64,
    /// Key, `None` for null.
    pub key: Option<Bytes>,
    /// Value, `None` for null.
    pub value: Option<Bytes>,
}

/// Writes records; with a transactional id in transactions, else idempotently.
pub trait Producer {
    /// Gets a producer epoch: fences older producers of the same transactional id and decides their open transaction.
    /// Without transactional id: ready at once.
    fn init(&mut self, now_ms: i64) -> Answer<()>;
    /// Opens a transaction; local.
    ///
    /// # Errors
    /// If one is open, or an error must be dealt with first.
    fn begin(&mut self) -> Result<(), KafkaError>;
    /// Queues the records of `batch` for `partition`, in order. The batch is emptied and may be filled again.
    ///
    /// # Errors
    /// Errors of earlier batches show here, in [`Producer::flush`] or at the end of the transaction.
    fn send(
        &mut self,
        partition: &TopicPartition,
        batch: &mut RecordBatch,
        now_ms: i64,
    ) -> Result<(), KafkaError>;
    /// Bytes queued and not yet acknowledged.
    fn pending_bytes(&self) -> usize;
    /// Moves queued records on without waiting.
    ///
    /// # Errors
    /// The first delivery that failed since the last call.
    fn poll(&mut self, now_ms: i64) -> Result<(), KafkaError>;
    /// Ready when all that was sent is acknowledged.
    fn flush(&mut self, now_ms: i64) -> Answer<()>;
    /// The offset behind the last acknowledged record, for each partition written to since the last call. It may be
    /// reported for a batch only once; it never leads what was acknowledged.
    fn acknowledged(&mut self) -> Vec<(TopicPartition, i64)>;
    /// What was refused since the last call. Each also shows as an error: where a transaction is open it has to be aborted
    /// ([`Fault::Abortable`]), else the producer goes on with what stands behind it ([`Fault::Refused`]). A batch is divided until the record at fault is alone, as far as the producer can.
    fn refused(&mut self) -> Vec<Refusal> {
        Vec::new()
    }
    /// Adds consumed offsets to the transaction.
    fn send_offsets(&mut self, offsets: &[OffsetCommit], group: &GroupMetadata, now_ms: i64) -> Answer<()>;
    /// Ends the transaction. After a [`Fault::Fatal`] error its outcome is unknown until a new producer is initialised.
    fn commit(&mut self, now_ms: i64) -> Answer<()>;
    /// Aborts the transaction and drops what is queued.
    fn abort(&mut self, now_ms: i64) -> Answer<()>;
    /// The end of a producer with a transaction that is open: it is aborted, so that readers need not wait for its time-out.
    /// This waits for the answer, for two seconds at most.
    fn part(&mut self, now_ms: i64) {
        let _ = self.abort(now_ms);
    }
    /// Whether an answer was indefinite (late, lost, repeated): the producer must be replaced before the next
    /// transaction, since a delayed request may still arrive (KAFKA-17754).
    fn tainted(&self) -> bool;
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: TopicName,
    /// Number of partitions.
    pub partitions: i32,
    /// How many brokers hold each partition; `None`: as many as the brokers' default says.
    pub replication_factor: Option<i16>,
    /// Settings by Kafka's names.
    pub configs: Vec<(String, String)>,
}

/// A topic as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Name.
    pub name: TopicName,
    /// Changes when a topic is deleted and made again; 0 where brokers give none.
    pub id: u128,
    /// Number of partitions.
    pub partitions: i32,
    /// Settings by Kafka's names; at least `cleanup.policy`.
    pub configs: Vec<(String, String)>,
}

/// A member of a group, as its coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Member id, given by the coordinator.
    pub member: String,
    /// `client.id`.
    pub client: String,
    /// `group.instance.id` of a static member, which stays in the group until its session times out.
    pub instance: Option<String>,
}

/// Looks after topics and groups, and looks up offsets.
pub trait Admin {
    /// For how long brokers may not know of a topic that another one knows already, milliseconds.
    fn gossip_ms(&self) -> i64 {
        0
    }
    /// The topics of these names; `None` for one that does not exist.
    fn describe(&mut self, names: &[TopicName], now_ms: i64) -> Answer<Vec<Option<TopicInfo>>>;
    /// Makes topics; one that exists already is no error.
    fn create(&mut self, topics: &[NewTopic], now_ms: i64) -> Answer<()>;
    /// The first offset and the offset behind the last record, under `isolation`.
    fn bounds(
        &mut self,
        partitions: &[TopicPartition],
        isolation: Isolation,
        now_ms: i64,
    ) -> Answer<Vec<(i64, i64)>>;
    /// Deletes records below these offsets (consumed repartition records).
    fn delete_records(&mut self, before: &[(TopicPartition, i64)], now_ms: i64) -> Answer<()>;
    /// The names of all topics that we may see, in order.
    fn topics(&mut self, now_ms: i64) -> Answer<Vec<TopicName>>;
    /// Deletes topics; one that does not exist is no error. Ready once they cannot be seen any more.
    fn delete(&mut self, names: &[TopicName], now_ms: i64) -> Answer<()>;
    /// The offset of the first record of this time or a later one (milliseconds); `None` where there is none.
    fn offsets_at(
        &mut self,
        partitions: &[TopicPartition],
        time_ms: i64,
        now_ms: i64,
    ) -> Answer<Vec<Option<i64>>>;
    /// The names of all groups that we may see, in order.
    fn groups(&mut self, now_ms: i64) -> Answer<Vec<String>>;
    /// The members of a group; one that does not exist has none.
    fn members(&mut self, group: &str, now_ms: i64) -> Answer<Vec<GroupMember>>;
    /// Takes members out of a group; one that is gone is no error. Refused with `_NOT_IMPLEMENTED` where the client has
    /// no such request.
    fn remove_members(&mut self, group: &str, members: &[GroupMember], now_ms: i64) -> Answer<()>;
    /// All that a group has committed, by partition, once no transaction that would change it is pending.
    fn group_offsets(&mut self, group: &str, now_ms: i64) -> Answer<Vec<OffsetCommit>>;
    /// Commits offsets for a group without members; refused with `UNKNOWN_MEMBER_ID` where it has some.
    fn set_group_offsets(&mut self, group: &str, offsets: &[OffsetCommit], now_ms: i64) -> Answer<()>;
}

/// Where a cluster is, and what all its clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// `bootstrap.servers`, as `host:port`.
    pub servers: Vec<String>,
    /// `client.id`: how client ids begin.
    pub client: String,
    /// `application.id`: the group in whose name is asked.
    pub group: String,
    /// `max.request.size`: the largest record.
    pub max_request_size: usize,
    /// `compression.type`, by Kafka's name.
    pub compression: String,
    /// How connections are made.
    pub security: Security,
}

/// Settings of a group member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberOptions {
    /// `application.id`, which is the group's name.
    pub group: String,
    /// `client.id`; members are ordered by the id that is made from it.
    pub client: String,
    /// `group.instance.id`.
    pub instance: Option<String>,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i64,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i64,
    /// `max.poll.interval.ms`: the longest a rebalance waits for us.
    pub max_poll_interval_ms: i64,
}

/// Settings of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerOptions {
    /// `client.id`.
    pub client: String,
    /// `transactional.id`; `None` for an idempotent producer without transactions.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`.
    pub transaction_timeout_ms: i64,
    /// `request.timeout.ms`: after this long an answer counts as lost and the request is repeated.
    pub request_timeout_ms: i64,
}

/// A cluster: makes the ports of a worker. Shared between the workers of a process.
pub trait Cluster: Send + Sync + fmt::Debug {
    /// A membership of its own.
    fn membership(&self, options: &MemberOptions) -> Box<dyn Membership>;
    /// A consumer without group.
    fn consumer(&self, client: &str, isolation: Isolation) -> Box<dyn Consumer>;
    /// A consumer of committed records for a restore: it reads partitions to their ends and is gone then, so that it had
    /// better ask often there than wait for records that come.
    fn restore_consumer(&self, client: &str) -> Box<dyn Consumer> {
        self.consumer(client, Isolation::ReadCommitted)
    }
    /// A producer; nothing is sent before [`Producer::init`].
    fn producer(&self, options: &ProducerOptions) -> Box<dyn Producer>;
    /// An admin client.
    fn admin(&self, client: &str) -> Box<dyn Admin>;
    /// The same cluster for one worker: what arrives for it wakes no other from [`Cluster::wait`].
    fn for_worker(&self) -> std::sync::Arc<dyn Cluster>;
    /// Waits until something may have arrived, `timeout_ms` at most; the one place where an idle worker sleeps.
    fn wait(&self, timeout_ms: i64);
    /// Whether the cluster is part of this process: there are no servers to connect to.
    fn is_in_process(&self) -> bool {
        false
    }
}
