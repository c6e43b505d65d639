//! The broker: topics, groups and transactions behind one door.
//!
//! 1. Clients [`submit`](Broker::submit) a request and [`poll`](Broker::poll) for the answer. JoinGroup and
//!    SyncGroup are answered when the group is ready; everything else at once, unless a fault delays it.
//! 2. Time comes in with every call and never runs backwards. [`tick`](Broker::tick) does what is due:
//!    sessions, rebalances, transaction time-outs, delayed markers, compaction and retention.
//!    [`next_deadline`](Broker::next_deadline) says when that will be.
//! 3. The same calls with the same times and seed give the same answers.

mod admin;
mod clean;
mod configs;
mod crash;
mod data;
mod door;
mod durable;
mod expiry;
mod figures;
mod groups;
mod inspect;
mod offsets;
mod open;
mod timers;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::{ClientId, Request, Response, Ticket, TopicPartition};
use crate::faults::Faults;
use crate::group::{GroupRules, Groups, Noted};
use crate::identity::IdSource;
use crate::storage::{MemoryStorage, Storage};
use crate::topic::{Catalogue, Defaults};
use crate::transaction::Coordinator;

#[cfg(feature = "server")]
pub(crate) use admin::MOST_NEW_PARTITIONS;
pub use figures::Figures;
pub use inspect::{OwnedRecord, PartitionView, PendingOffset, RecordState, TransactionView};
pub use open::OpenError;

use door::{Claim, Late};

/// Settings of a broker; the names and defaults are Kafka's where it has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Topic and member ids follow from it.
    pub seed: u64,
    /// The cluster's id; without one it follows from the seed.
    pub cluster_id: Option<Arc<str>>,
    /// `num.partitions`: for topics created without a number.
    pub default_partitions: i32,
    /// Settings of topics that do not set them themselves, by the names that topics have for them, where they are not
    /// Kafka's defaults: see [`BrokerConfig::check_topic_defaults`].
    pub topic_defaults: BTreeMap<String, String>,
    /// `auto.create.topics.enable`: whether asking for a topic's metadata creates it. Off, unlike Kafka's
    /// default.
    pub auto_create_topics: bool,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout_ms: i64,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout_ms: i64,
    /// `group.initial.rebalance.delay.ms`. 0, unlike Kafka's 3 s.
    pub group_initial_rebalance_delay_ms: i64,
    /// `group.max.size`: members of a classic group.
    pub group_max_size: usize,
    /// `group.consumer.session.timeout.ms`; kept between the next two.
    pub group_consumer_session_timeout_ms: i64,
    /// `group.consumer.min.session.timeout.ms`.
    pub group_consumer_min_session_timeout_ms: i64,
    /// `group.consumer.max.session.timeout.ms`.
    pub group_consumer_max_session_timeout_ms: i64,
    /// `group.consumer.heartbeat.interval.ms`; kept between the next two.
    pub group_consumer_heartbeat_interval_ms: i64,
    /// `group.consumer.min.heartbeat.interval.ms`.
    pub group_consumer_min_heartbeat_interval_ms: i64,
    /// `group.consumer.max.heartbeat.interval.ms`.
    pub group_consumer_max_heartbeat_interval_ms: i64,
    /// `group.consumer.max.size`: members of a consumer group.
    pub group_consumer_max_size: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`; `None` leaves it to [`Broker::expire_offsets`].
    pub offsets_retention_check_interval_ms: Option<i64>,
    /// `transaction.max.timeout.ms`.
    pub transaction_max_timeout_ms: i64,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`; `None` leaves it to
    /// [`Broker::expire_transactional_ids`].
    pub transactional_id_expiration_check_interval_ms: Option<i64>,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// `producer.id.expiration.check.interval.ms`; `None` leaves it to [`Broker::expire_producers`].
    pub producer_id_expiration_check_interval_ms: Option<i64>,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// How often [`Broker::tick`] compacts; `None` leaves it to [`Broker::compact`].
    pub compaction_interval_ms: Option<i64>,
    /// How often [`Broker::tick`] applies `retention.*`; `None` leaves it to [`Broker::apply_retention`].
    pub retention_interval_ms: Option<i64>,
    /// Whether a record's age is measured against the newest one of its partition instead of the clock. Kafka measures by
    /// the clock: then a replay of old records is deleted while it is written.
    pub retention_by_newest: bool,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            cluster_id: None,
            default_partitions: 1,
            topic_defaults: BTreeMap::new(),
            auto_create_topics: false,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 0,
            group_max_size: usize::MAX,
            group_consumer_session_timeout_ms: 45_000,
            group_consumer_min_session_timeout_ms: 45_000,
            group_consumer_max_session_timeout_ms: 60_000,
            group_consumer_heartbeat_interval_ms: 5_000,
            group_consumer_min_heartbeat_interval_ms: 5_000,
            group_consumer_max_heartbeat_interval_ms: 15_000,
            group_consumer_max_size: usize::MAX,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            offsets_retention_check_interval_ms: None,
            transaction_max_timeout_ms: 900_000,
            transactional_id_expiration_ms: 7 * 24 * 3_600_000,
            transactional_id_expiration_check_interval_ms: None,
            producer_id_expiration_ms: 24 * 3_600_000,
            producer_id_expiration_check_interval_ms: None,
            offset_metadata_max_bytes: 4_096,
            compaction_interval_ms: None,
            retention_interval_ms: None,
            retention_by_newest: false,
        }
    }
}

impl BrokerConfig {
    /// Checks defaults of topics.
    ///
    /// # Errors
    /// Says which is unknown or has a value that cannot be.
    pub fn check_topic_defaults(defaults: &BTreeMap<String, String>) -> Result<(), String> {
        Defaults::new(defaults).map(drop).map_err(|error| error.0)
    }
}

/// Partitions to which data came, or that lost some, or whose last stable offset moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// These.
    These(BTreeSet<TopicPartition>),
    /// Whichever there are, and some that there were.
    All,
}

impl Default for Moved {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Moved {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::These(these) if these.is_empty())
    }
}

/// A broker of one node.
///
/// ```
/// # use headwater_broker::batch::{self, BatchOptions, Record};
/// # use headwater_broker::{api::*, Broker, BrokerConfig, ErrorCode};
/// let mut broker = Broker::new(BrokerConfig::default());
/// let (client, now) = (ClientId::new("app"), 0);
/// let mut ask =
///     |request: Request| broker.call(&client, request, now).ok_or(ErrorCode::RequestTimedOut);
/// ask(CreateTopicsRequest::new(vec![NewTopic::new("clicks", 1)]).into())?;
/// let at = TopicPartition::new("clicks", 0);
///
/// // A transaction: a producer, its partitions, a batch, the end.
/// let init = InitProducerIdRequest {
///     transactional_id: Some("app-0".into()), transaction_timeout_ms: 60_000, current: None,
/// };
/// let producer = InitProducerIdResponse::try_from(ask(init.into())?)?.producer;
/// let add = AddPartitionsToTxnRequest {
///     transactional_id: "app-0".into(), producer, partitions: vec![at.clone()],
/// };
/// ask(add.into())?;
/// let options = BatchOptions::transactional(producer.id, producer.epoch, 0);
/// let batch = batch::encode(&options, [Record::new(1_000, Some(b"user"), Some(b"click"))]).into();
/// let partitions = vec![ProducePartition { at: at.clone(), batch }];
/// ask(ProduceRequest { transactional_id: Some("app-0".into()), partitions }.into())?;
/// ask(EndTxnRequest { transactional_id: "app-0".into(), producer, commit: true }.into())?;
///
/// let wanted = FetchPartition { at, offset: 0, max_bytes: 1 << 20, current_leader_epoch: None };
/// let isolation = Isolation::ReadCommitted;
/// let fetch = FetchRequest { isolation, max_bytes: 1 << 20, partitions: vec![wanted] };
/// let fetched = FetchResponse::try_from(ask(fetch.into())?)?.partitions.remove(0);
/// assert_eq!((fetched.batches.len(), fetched.high_watermark), (2, 2)); // the record, and the marker
///
/// // A group of one: join, then sync with the assignment that the leader made.
/// let join = JoinGroupRequest {
///     group_id: "g".into(), member_id: "".into(), group_instance_id: None, protocol_type: "consumer".into(),
///     protocols: vec![Protocol { name: "range".into(), metadata: "clicks".into() }],
///     session_timeout_ms: 10_000, rebalance_timeout_ms: 60_000, member_id_required: false,
///     knows_skip_assignment: false,
/// };
/// let joined = JoinGroupResponse::try_from(ask(join.into())?)?;
/// let assignment = MemberAssignment { member_id: joined.member_id.clone(), assignment: "all".into() };
/// let sync = SyncGroupRequest {
///     group_id: "g".into(), member: MemberClaim::new(joined.generation, joined.member_id),
///     protocol_type: None, protocol_name: None, assignments: vec![assignment],
/// };
/// assert_eq!(SyncGroupResponse::try_from(ask(sync.into())?)?.assignment, "all");
/// # Ok::<(), ErrorCode>(())
/// ```
pub struct Broker {
    config: BrokerConfig,
    group_rules: GroupRules,
    topic_defaults: Defaults,
    storage: Box<dyn Storage>,
    catalogue: Catalogue,
    groups: Groups,
    coordinator: Coordinator,
    faults: Faults,
    figures: Figures,
    ids: IdSource,
    /// How often the broker has started before on this storage.
    start: u32,
    /// Whether the journal does not say so yet.
    start_unsaid: bool,
    /// What the journal has of each group.
    noted: BTreeMap<Arc<str>, Noted>,
    /// Producer ids below this one may be given out without writing it down.
    reserved_producer_ids: i64,
    /// What storage has refused is not tried again before this time.
    stalled_until: i64,
    now: i64,
    version: u64,
    data_version: u64,
    moved: Moved,
    asked: u64,
    down: bool,
    next_ticket: u64,
    next_late: u64,
    /// Tickets that have no answer yet.
    claims: BTreeMap<Ticket, Claim>,
    /// Answers that nobody has fetched yet.
    ready: BTreeMap<Ticket, Response>,
    /// Requests and answers under way, by time of arrival and order of departure.
    late: BTreeMap<(i64, u64), Late>,
    next_compaction: Option<i64>,
    next_retention: Option<i64>,
    next_offset_expiry: Option<i64>,
    next_producer_expiry: Option<i64>,
    next_transactional_id_expiry: Option<i64>,
    /// Partitions that are being compacted by the clock.
    compacting: BTreeSet<TopicPartition>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("now", &self.now)
            .field("version", &self.version)
            .field("topics", &self.catalogue.topics.len())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker that keeps everything in memory.
    ///
    /// # Panics
    /// As [`Broker::with_storage`].
    #[must_use]
    pub fn new(config: BrokerConfig) -> Self {
        Self::with_storage(config, Box::new(MemoryStorage::new()))
    }

    /// A broker over this (empty) storage.
    ///
    /// # Panics
    /// If the defaults of topics do not pass [`BrokerConfig::check_topic_defaults`].
    #[must_use]
    pub fn with_storage(config: BrokerConfig, storage: Box<dyn Storage>) -> Self {
        let topic_defaults = Defaults::new(&config.topic_defaults);
        Self {
            topic_defaults: topic_defaults.unwrap_or_else(|error| panic!("topic_defaults: {}", error.0)),
            group_rules: GroupRules {
                least_session_timeout_ms: config.group_min_session_timeout_ms,
                most_session_timeout_ms: config.group_max_session_timeout_ms,
                initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
                most_metadata_bytes: config.offset_metadata_max_bytes,
                group_max_size: config.group_max_size,
                consumer_group_max_size: config.group_consumer_max_size,
                consumer_session_timeout_ms: config
                    .group_consumer_session_timeout_ms
                    .max(config.group_consumer_min_session_timeout_ms)
                    .min(config.group_consumer_max_session_timeout_ms),
                consumer_heartbeat_interval_ms: config
                    .group_consumer_heartbeat_interval_ms
                    .max(config.group_consumer_min_heartbeat_interval_ms)
                    .min(config.group_consumer_max_heartbeat_interval_ms),
                offsets_retention_ms: config.offsets_retention_ms,
            },
            storage,
            catalogue: Catalogue::default(),
            groups: Groups::default(),
            coordinator: Coordinator::default(),
            faults: Faults::default(),
            figures: Figures::default(),
            ids: IdSource::new(config.seed),
            start: 0,
            start_unsaid: false,
            noted: BTreeMap::new(),
            reserved_producer_ids: 0,
            stalled_until: i64::MIN,
            now: i64::MIN,
            version: 0,
            data_version: 0,
            moved: Moved::default(),
            asked: 0,
            down: false,
            next_ticket: 0,
            next_late: 0,
            claims: BTreeMap::new(),
            ready: BTreeMap::new(),
            late: BTreeMap::new(),
            next_compaction: None,
            next_retention: None,
            next_offset_expiry: None,
            next_producer_expiry: None,
            next_transactional_id_expiry: None,
            compacting: BTreeSet::new(),
            config,
        }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// What may go wrong, to read.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What may go wrong, to change.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// A number that rises whenever anything happened that somebody may be waiting for: an answer became
    /// ready, data or a last stable offset moved, a topic came or went.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A number that rises whenever data was appended or deleted, or a last stable offset moved: when it has
    /// not, a fetch that found nothing finds nothing again.
    #[must_use]
    pub fn data_version(&self) -> u64 {
        self.data_version
    }

    /// A number that rises with [`Broker::data_version`], and with every request about topics, groups or transactions
    /// that somebody else may wait for: a sign to look again.
    #[must_use]
    pub fn news(&self) -> u64 {
        self.data_version + self.asked
    }

    /// The partitions that [`Broker::data_version`] has risen for since the last call.
    pub fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.moved)
    }

    /// Something has happened to a partition, or to all of them.
    fn data_changed(&mut self, at: Option<&TopicPartition>) {
        self.data_version += 1;
        self.version += 1;
        match (at, &mut self.moved) {
            (None, moved) => *moved = Moved::All,
            (Some(at), Moved::These(these)) if !these.contains(at) => drop(these.insert(at.clone())),
            _ => {}
        }
    }

    /// Applies a request. Parked requests are answered later.
    fn apply(&mut self, client: &ClientId, request: Request, ticket: Ticket) {
        let response = match request {
            Request::JoinGroup(request) => return self.join_group(client, &request, ticket),
            Request::SyncGroup(request) => return self.sync_group(request, ticket),
            Request::Produce(request) => self.produce(request).into(),
            Request::Fetch(request) => self.fetch(request).into(),
            Request::ListOffsets(request) => self.list_offsets(request).into(),
            Request::DeleteRecords(request) => self.delete_records(request).into(),
            Request::OffsetForLeaderEpoch(request) => self.offset_for_leader_epoch(request).into(),
            Request::Metadata(request) => self.metadata(request).into(),
            Request::CreateTopics(request) => self.create_topics(request).into(),
            Request::DeleteTopics(request) => self.delete_topics(request).into(),
            Request::CreatePartitions(request) => self.create_partitions(request).into(),
            Request::DescribeConfigs(request) => self.describe_configs(request).into(),
            Request::AlterConfigs(request) => self.alter_configs(request).into(),
            Request::Heartbeat(request) => self.heartbeat(&request).into(),
            Request::LeaveGroup(request) => self.leave_group(&request).into(),
            Request::OffsetCommit(request) => self.offset_commit(&request).into(),
            Request::OffsetFetch(request) => self.offset_fetch(request).into(),
            Request::ListGroups(request) => self.list_groups(&request).into(),
            Request::DescribeGroups(request) => self.describe_groups(request).into(),
            Request::DeleteGroups(request) => self.delete_groups(request).into(),
            Request::OffsetDelete(request) => self.offset_delete(request).into(),
            Request::ConsumerGroupHeartbeat(request) => {
                self.consumer_group_heartbeat(client, &request).into()
            }
            Request::ConsumerGroupDescribe(request) => self.describe_consumer_groups(request).into(),
            Request::InitProducerId(request) => self.init_producer_id(&request).into(),
            Request::AddPartitionsToTxn(request) => self.add_partitions_to_txn(&request).into(),
            Request::AddOffsetsToTxn(request) => self.add_offsets_to_txn(&request).into(),
            Request::TxnOffsetCommit(request) => self.txn_offset_commit(&request).into(),
            Request::EndTxn(request) => self.end_txn(&request).into(),
        };
        self.answer(ticket, response);
    }
}
