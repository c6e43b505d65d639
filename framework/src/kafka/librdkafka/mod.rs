//! A Kafka cluster by librdkafka (feature `kafka`).
//!
//! ```text
//! line        what all clients hear of their connections
//! servers     told again to a client that has lost every broker
//! questions   topics, offsets, groups: one client for all of a process; a listing is one that waits
//! member      membership in the group; reads nothing     \
//! consumer    reads partitions from explicit offsets      > a client each for every worker
//! producer    writes; a clerk makes the calls that wait  /    its backlog is what librdkafka does not have yet
//! raw         the C functions; all `unsafe` is there
//! ```
//! librdkafka's threads do the network's work. What they have for a worker lies in queues, and rings the worker's bell.

mod backlog;
mod bell;
mod clerk;
mod consumer;
mod groups;
mod line;
mod listing;
mod member;
mod producer;
mod questions;
#[expect(unsafe_code, reason = "the C functions of librdkafka, all of them")]
mod raw;
mod servers;
mod settings;
mod statistics;
mod verdict;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rdkafka::bindings::RD_KAFKA_EVENT_ERROR;

use super::{
    Admin, Answer, Cluster, ClusterOptions, Consumer, Fault, GroupMember, Isolation, KafkaError,
    MemberOptions, Membership, NewTopic, OffsetCommit, Producer, ProducerOptions, TopicInfo,
};
use crate::error::{Error, Reaction, Result};
use crate::topic::{TopicName, TopicPartition};

use bell::Bell;
use consumer::KafkaConsumer;
use line::Line;
use listing::Listing;
use member::KafkaMember;
use producer::KafkaProducer;
use questions::Questions;
use raw::{Client, Kind, Queue, Topic};
use servers::Servers;
use settings::Connection;

/// Brokers learn of a topic from the controller, each in its time: well within a second, if nothing is wrong.
const GOSSIP_MS: i64 = 2_000;
/// For so long a topic may be unknown to brokers that learn of it late.
const DOUBT_MS: i64 = 3 * GOSSIP_MS;
/// How long a broker waits for records where there is none; a partition that is added waits for its answer.
const WAIT_MS: u32 = 100;
/// The same where partitions are read to their ends.
const RESTORE_WAIT_MS: u32 = 10;
/// librdkafka's default of `batch.size`.
const BATCH_BYTES: usize = 1_000_000;

/// What every client of a process is told.
#[derive(Debug)]
struct Tuning {
    connection: Connection,
    max_request_size: usize,
    compression: String,
    /// How large a batch may be; smaller once a topic has refused one.
    batch_bytes: AtomicUsize,
}

/// What the clients of a process share.
#[derive(Debug)]
struct Core {
    tuning: Tuning,
    /// The client for questions, and what it has to say beside answers.
    client: Arc<Client>,
    /// A topic that its metadata are of: without one it asks who the brokers are every ten seconds, not two.
    anchor: Mutex<Option<Topic>>,
    main: Mutex<Queue>,
    line: Arc<Line>,
    servers: Servers,
}

impl Core {
    fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Has the client for questions keep to a topic that is there.
    fn anchor(&self, topic: &str) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        if anchor.is_none() {
            *anchor = Topic::new(&self.client, topic).ok();
        }
    }

    /// Takes in what the client for questions has to say.
    fn listen(&self) {
        self.servers.look_after(&self.client);
        let main = self.main.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(event) = main.next() {
            main.failure(&event).into_iter().for_each(|failure| self.line.report(failure));
        }
    }

    /// A client of its own for one of the ports.
    fn connect(
        &self,
        kind: Kind,
        settings: &[(String, String)],
        events: i32,
    ) -> std::result::Result<Arc<Client>, KafkaError> {
        Client::new(kind, settings, events, &self.line).map_err(|failure| failure.because(Fault::Refused))
    }
}

/// A Kafka cluster, reached by librdkafka. Clones share a client for questions; each has a bell of its own to sleep by.
#[derive(Clone, Debug)]
pub struct KafkaCluster {
    core: Arc<Core>,
    bell: Arc<Bell>,
}

impl KafkaCluster {
    /// The cluster that `options` name, which [`Config::cluster_options`](crate::Config::cluster_options) makes. Connections are made in the background: that none is there shows later, in what is
    /// asked of the cluster.
    ///
    /// # Errors
    /// If `bootstrap.servers` is not set, or librdkafka does not take a setting of the connection.
    pub fn connect(options: &ClusterOptions) -> Result<Self> {
        if options.servers.is_empty() {
            return Err(Error::new(Reaction::Stop, "`bootstrap.servers` is not set")
                .hint("name a broker or several, as `host:port,host:port`"));
        }
        let tuning = Tuning {
            connection: Connection::new(options),
            max_request_size: options.max_request_size,
            compression: options.compression.clone(),
            batch_bytes: AtomicUsize::new(BATCH_BYTES),
        };
        let asking = tuning.admin(&format!("{}-admin", options.client), &options.group);
        let line = Arc::new(Line::new(&options.servers));
        let client =
            Client::new(Kind::Consumer, &asking, RD_KAFKA_EVENT_ERROR, &line).map_err(|failure| {
                let error = failure.because(Fault::Refused);
                Error::new(Reaction::Stop, "the Kafka client cannot be made").because(error)
            })?;
        let bell = Arc::new(Bell::default());
        let main = Mutex::new(Queue::main(&client, &bell));
        let servers = Servers::new(&line);
        let core = Core { tuning, client, anchor: Mutex::default(), main, line, servers };
        Ok(Self { core: Arc::new(core), bell })
    }
}

impl Cluster for KafkaCluster {
    fn membership(&self, options: &MemberOptions) -> Box<dyn Membership> {
        Box::new(KafkaMember::new(&self.core, &self.bell, options))
    }

    fn consumer(&self, client: &str, isolation: Isolation) -> Box<dyn Consumer> {
        Box::new(KafkaConsumer::new(&self.core, &self.bell, client, isolation, WAIT_MS))
    }

    fn restore_consumer(&self, client: &str) -> Box<dyn Consumer> {
        let isolation = Isolation::ReadCommitted;
        Box::new(KafkaConsumer::new(&self.core, &self.bell, client, isolation, RESTORE_WAIT_MS))
    }

    fn producer(&self, options: &ProducerOptions) -> Box<dyn Producer> {
        Box::new(KafkaProducer::new(&self.core, &self.bell, options))
    }

    fn admin(&self, _client: &str) -> Box<dyn Admin> {
        let questions = Questions::new(&self.core, &self.bell);
        Box::new(KafkaAdmin { questions, listing: Listing::new(&self.core, &self.bell) })
    }

    fn for_worker(&self) -> Arc<dyn Cluster> {
        Arc::new(Self { core: Arc::clone(&self.core), bell: Arc::default() })
    }

    fn wait(&self, timeout_ms: i64) {
        self.bell.wait(Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)));
    }
}

/// An admin by the process's client for questions.
#[derive(Debug)]
struct KafkaAdmin {
    questions: Questions,
    listing: Listing,
}

impl Admin for KafkaAdmin {
    fn gossip_ms(&self) -> i64 {
        GOSSIP_MS
    }

    fn describe(&mut self, names: &[TopicName], _: i64) -> Answer<Vec<Option<TopicInfo>>> {
        self.questions.describe(names)
    }

    fn create(&mut self, topics: &[NewTopic], now_ms: i64) -> Answer<()> {
        self.questions.create(topics, now_ms)
    }

    fn bounds(
        &mut self,
        partitions: &[TopicPartition],
        isolation: Isolation,
        _: i64,
    ) -> Answer<Vec<(i64, i64)>> {
        self.questions.bounds(partitions, isolation)
    }

    fn delete_records(&mut self, before: &[(TopicPartition, i64)], _: i64) -> Answer<()> {
        self.questions.delete_records(before)
    }

    fn topics(&mut self, _: i64) -> Answer<Vec<TopicName>> {
        self.listing.topics()
    }

    fn delete(&mut self, names: &[TopicName], now_ms: i64) -> Answer<()> {
        self.questions.delete(names, now_ms)
    }

    fn offsets_at(
        &mut self,
        partitions: &[TopicPartition],
        time_ms: i64,
        _: i64,
    ) -> Answer<Vec<Option<i64>>> {
        self.questions.offsets_at(partitions, time_ms)
    }

    fn groups(&mut self, _: i64) -> Answer<Vec<String>> {
        self.questions.groups()
    }

    fn members(&mut self, group: &str, now_ms: i64) -> Answer<Vec<GroupMember>> {
        self.questions.members(group, now_ms)
    }

    fn remove_members(&mut self, _: &str, _: &[GroupMember], _: i64) -> Answer<()> {
        // librdkafka 2.12.1 sends LeaveGroup for its own membership only.
        let message = "librdkafka cannot remove the members of a group".to_owned();
        Poll::Ready(Err(KafkaError { code: "_NOT_IMPLEMENTED", fault: Fault::Refused, message }))
    }

    fn group_offsets(&mut self, group: &str, now_ms: i64) -> Answer<Vec<OffsetCommit>> {
        self.questions.group_offsets(group, now_ms)
    }

    fn set_group_offsets(&mut self, group: &str, offsets: &[OffsetCommit], now_ms: i64) -> Answer<()> {
        self.questions.set_group_offsets(group, offsets, now_ms)
    }
}
