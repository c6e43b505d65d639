//! A rig for tests: a broker, a clock that is moved by hand, and requests in one line each.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its own part of the rig")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use headwater_broker::api::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AlterConfigsRequest, AlterConfigsResponse, AlteredTopic, CommittedOffset, CreateTopicsRequest,
    CreateTopicsResponse, EndTxnRequest, EndTxnResponse, FetchPartition, FetchRequest, FetchResponse,
    FetchedPartition, HeartbeatRequest, HeartbeatResponse, InitProducerIdRequest, InitProducerIdResponse,
    Isolation, JoinGroupRequest, JoinGroupResponse, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsResponse, ListedOffset, MemberAssignment, MemberClaim, NewTopic, OffsetCommitPartition,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, OffsetSpec,
    ProducePartition, ProduceRequest, ProduceResponse, ProducedPartition, ProducerStamp, Protocol,
    SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use headwater_broker::batch::{self, Batch, BatchOptions, CommittedFilter, Record};
use headwater_broker::storage::files::{DiskFaults, FileOptions, FileStorage};
use headwater_broker::{
    Broker, BrokerConfig, ClientId, ErrorCode, Request, Response, Ticket, TopicPartition,
};

pub const SESSION_MS: i64 = 10_000;
pub const REBALANCE_MS: i64 = 60_000;
pub const TXN_TIMEOUT_MS: i64 = 30_000;

pub struct Rig {
    pub broker: Broker,
    pub now: i64,
    faults: DiskFaults,
    folder: Option<Folder>,
}

/// A folder that goes with its owner.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let suite = module_path!().replace("::", "-");
        // Tests of a crash need no disk that survives one: in memory `fsync` costs nothing.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = place.join(format!("headwater-{suite}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The suites of the test binary `in_files` run on files, all others in memory.
pub fn in_files() -> bool {
    module_path!().starts_with("in_files")
}

/// A record as the tables write it: `key=value`, `key` alone for a tombstone, `=value` for a null key.
pub fn record(text: &str) -> Record<'_> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.as_bytes())),
        None => (text, None),
    };
    Record::new(0, (!key.is_empty()).then_some(key.as_bytes()), value)
}

pub fn batch_of(options: &BatchOptions, records: &[&str]) -> Bytes {
    Bytes::from(batch::encode(options, records.iter().map(|text| record(text))))
}

pub fn show(record: &Record<'_>) -> String {
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
    let key = record.key.map(text).unwrap_or_default();
    match record.value {
        Some(value) => format!("{}:{key}={}", record.offset, text(value)),
        None => format!("{}:{key}", record.offset),
    }
}

/// The records that a client of this isolation hands on, as `offset:key=value`.
pub fn visible(fetched: &FetchedPartition, from: i64) -> Vec<String> {
    let aborted = fetched.aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset));
    let mut filter = CommittedFilter::new(aborted);
    let mut shown = Vec::new();
    for bytes in &fetched.batches {
        let batch = Batch::parse(bytes).unwrap();
        assert!(batch.crc_matches());
        if filter.admits(&batch) {
            let records = batch.records().map(Result::unwrap).filter(|record| record.offset >= from);
            shown.extend(records.map(|record| show(&record)));
        }
    }
    shown
}

impl Rig {
    pub fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    pub fn with(config: BrokerConfig) -> Self {
        if !in_files() {
            let faults = DiskFaults::default();
            return Self { broker: Broker::new(config), now: 1_000_000, faults, folder: None };
        }
        Self::in_folder(config, DiskFaults::default())
    }

    /// A rig with storage in files of a folder of its own.
    pub fn in_folder(config: BrokerConfig, faults: DiskFaults) -> Self {
        let folder = Folder::new();
        // Few files may be open, so that handles come and go.
        let options = FileOptions { open_files: 3, faults: faults.clone(), ..FileOptions::default() };
        let storage = FileStorage::open(&folder.0, options).unwrap();
        let broker = Broker::with_storage(config, Box::new(storage));
        Self { broker, now: 1_000_000, faults, folder: Some(folder) }
    }

    /// The path of a file of partition 0.
    pub fn file(&self, topic: &str, name: &str) -> PathBuf {
        let folder = self.folder.as_ref().expect("the rig has files");
        folder.0.join(format!("{topic}-0")).join(name)
    }

    /// The files of partition 0 with this extension.
    pub fn files(&self, topic: &str, extension: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.file(topic, "")).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|known| known == extension));
        paths.sort();
        paths
    }

    /// The length of the journal.
    pub fn journal_bytes(&self) -> u64 {
        let folder = self.folder.as_ref().expect("the rig has files");
        let entries = std::fs::read_dir(folder.0.join("meta")).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    /// Another broker takes the files over; the one before is gone without a word.
    pub fn reopen(&mut self) {
        let config = self.broker.config().clone();
        self.broker = Broker::new(config.clone());
        let folder = self.folder.as_ref().expect("the rig has files");
        let options = FileOptions { open_files: 3, faults: self.faults.clone(), ..FileOptions::default() };
        let storage = FileStorage::open(&folder.0, options).unwrap();
        self.broker = Broker::open(config, Box::new(storage), self.now).unwrap();
    }

    pub fn crash(&mut self) {
        self.broker.crash(self.now);
        self.broker.restart(self.now).unwrap();
    }

    /// A rig with one topic of one partition.
    pub fn with_topic(topic: &str) -> Self {
        let mut rig = Self::new();
        rig.topic(NewTopic::new(topic, 1));
        rig
    }

    pub fn submit(&mut self, client: &str, request: impl Into<Request>) -> Ticket {
        self.broker.submit(ClientId::new(client), request, self.now)
    }

    pub fn poll<T: TryFrom<Response, Error = ErrorCode>>(&mut self, ticket: Ticket) -> Option<T> {
        let response = self.broker.poll(ticket, self.now)?;
        Some(T::try_from(response).unwrap_or_else(|code| panic!("another answer was expected, not {code}")))
    }

    pub fn ask<T: TryFrom<Response, Error = ErrorCode>>(&mut self, request: impl Into<Request>) -> T {
        let ticket = self.submit("client", request);
        self.poll(ticket).expect("the request is answered at once")
    }

    pub fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.broker.tick(self.now);
    }

    /// Makes a topic. In files every batch gets a segment of its own, as in memory it is a unit of its own,
    /// unless the topic says otherwise.
    pub fn topic(&mut self, mut topic: NewTopic) {
        if in_files() {
            topic.configs.entry("segment.bytes".to_owned()).or_insert_with(|| "14".to_owned());
        }
        let answer: CreateTopicsResponse = self.ask(CreateTopicsRequest::new(vec![topic]));
        assert_eq!(answer.topics[0].error, ErrorCode::None, "{}", answer.topics[0].message);
    }

    pub fn alter(&mut self, topic: &str, name: &str, value: &str) {
        let changes = BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]);
        let topics = vec![AlteredTopic { name: Arc::from(topic), changes }];
        let request = AlterConfigsRequest { topics, validate_only: false };
        assert_eq!(self.ask::<AlterConfigsResponse>(request).topics[0].error, ErrorCode::None);
    }

    pub fn produce_bytes(&mut self, topic: &str, batch: Bytes) -> ProducedPartition {
        let partitions = vec![ProducePartition { at: TopicPartition::new(topic, 0), batch }];
        let mut answer: ProduceResponse = self.ask(ProduceRequest { transactional_id: None, partitions });
        answer.partitions.remove(0)
    }

    pub fn produce_as(
        &mut self,
        topic: &str,
        options: &BatchOptions,
        records: &[&str],
    ) -> Result<i64, ErrorCode> {
        let produced = self.produce_bytes(topic, batch_of(options, records));
        produced.error.check().map(|()| produced.base_offset)
    }

    pub fn produce(&mut self, topic: &str, records: &[&str]) -> i64 {
        self.produce_as(topic, &BatchOptions::default(), records).unwrap()
    }

    pub fn fetch(&mut self, topic: &str, offset: i64, isolation: Isolation) -> FetchedPartition {
        self.fetch_bytes(topic, offset, isolation, usize::MAX)
    }

    pub fn fetch_bytes(
        &mut self,
        topic: &str,
        offset: i64,
        isolation: Isolation,
        max_bytes: usize,
    ) -> FetchedPartition {
        let at = TopicPartition::new(topic, 0);
        let partition = FetchPartition { at, offset, max_bytes, current_leader_epoch: None };
        let request = FetchRequest { isolation, max_bytes, partitions: vec![partition] };
        let mut answer: FetchResponse = self.ask(request);
        answer.partitions.remove(0)
    }

    pub fn read(&mut self, topic: &str, isolation: Isolation) -> Vec<String> {
        let start = self.broker.partition(topic, 0).unwrap().log_start_offset;
        visible(&self.fetch(topic, start, isolation), start)
    }

    pub fn committed(&mut self, topic: &str) -> Vec<String> {
        self.read(topic, Isolation::ReadCommitted)
    }

    pub fn list(&mut self, topic: &str, spec: OffsetSpec, isolation: Isolation) -> ListedOffset {
        let at = TopicPartition::new(topic, 0);
        let partitions = vec![ListOffsetsPartition { at, spec, current_leader_epoch: None }];
        let mut answer: ListOffsetsResponse = self.ask(ListOffsetsRequest { isolation, partitions });
        answer.partitions.remove(0)
    }

    pub fn try_init(&mut self, id: &str, current: Option<ProducerStamp>) -> Result<ProducerStamp, ErrorCode> {
        let answer: InitProducerIdResponse = self.ask(InitProducerIdRequest {
            transactional_id: Some(Arc::from(id)),
            transaction_timeout_ms: TXN_TIMEOUT_MS,
            current,
        });
        answer.error.check().map(|()| answer.producer)
    }

    pub fn init(&mut self, id: &str) -> ProducerStamp {
        self.try_init(id, None).unwrap()
    }

    pub fn add(&mut self, id: &str, producer: ProducerStamp, topics: &[&str]) -> ErrorCode {
        let answer: AddPartitionsToTxnResponse = self.ask(AddPartitionsToTxnRequest {
            transactional_id: Arc::from(id),
            producer,
            partitions: topics.iter().map(|topic| TopicPartition::new(*topic, 0)).collect(),
        });
        answer.partitions[0].error
    }

    pub fn end(&mut self, id: &str, producer: ProducerStamp, commit: bool) -> ErrorCode {
        let request = EndTxnRequest { transactional_id: Arc::from(id), producer, commit };
        self.ask::<EndTxnResponse>(request).error
    }

    pub fn add_offsets(&mut self, id: &str, producer: ProducerStamp, group: &str) -> ErrorCode {
        let group_id = Arc::from(group);
        let request = AddOffsetsToTxnRequest { transactional_id: Arc::from(id), producer, group_id };
        self.ask::<AddOffsetsToTxnResponse>(request).error
    }

    pub fn txn_offset(
        &mut self,
        id: &str,
        producer: ProducerStamp,
        (group, member): (&str, MemberClaim),
        (topic, offset): (&str, i64),
    ) -> ErrorCode {
        let answer: TxnOffsetCommitResponse = self.ask(TxnOffsetCommitRequest {
            transactional_id: Arc::from(id),
            producer,
            group_id: Arc::from(group),
            member,
            offsets: vec![offset_of(topic, offset)],
        });
        answer.partitions[0].error
    }

    pub fn commit_offset(&mut self, group: &str, member: MemberClaim, topic: &str, offset: i64) -> ErrorCode {
        let offsets = vec![offset_of(topic, offset)];
        let request = OffsetCommitRequest { group_id: Arc::from(group), member, offsets };
        self.ask::<OffsetCommitResponse>(request).partitions[0].error
    }

    pub fn fetch_offset(&mut self, group: &str, topic: &str, require_stable: bool) -> Result<i64, ErrorCode> {
        let partitions = Some(vec![TopicPartition::new(topic, 0)]);
        let (group_id, member) = (Arc::from(group), MemberClaim::none());
        let request = OffsetFetchRequest { group_id, member, partitions, require_stable };
        let found = self.ask::<OffsetFetchResponse>(request).partitions.remove(0);
        found.error.check().map(|()| found.committed.map_or(-1, |committed| committed.offset))
    }

    pub fn join(&mut self, group: &str, client: &str, member_id: &str) -> Ticket {
        self.submit(client, join_request(group, member_id))
    }

    pub fn join_static(&mut self, group: &str, instance: &str) -> Ticket {
        let mut request = join_request(group, "");
        request.group_instance_id = Some(Arc::from(instance));
        self.submit(instance, request)
    }

    pub fn joined(&mut self, ticket: Ticket) -> JoinGroupResponse {
        self.poll(ticket).expect("the join is complete")
    }

    pub fn sync(&mut self, group: &str, member: MemberClaim, assignments: &[(&Arc<str>, &str)]) -> Ticket {
        let assigned = |(member_id, assignment): &(&Arc<str>, &str)| MemberAssignment {
            member_id: (*member_id).clone(),
            assignment: Bytes::copy_from_slice(assignment.as_bytes()),
        };
        let request = SyncGroupRequest {
            group_id: Arc::from(group),
            member,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments.iter().map(assigned).collect(),
        };
        self.submit("client", request)
    }

    pub fn synced(&mut self, ticket: Ticket) -> Result<String, ErrorCode> {
        let answer: SyncGroupResponse = self.poll(ticket).expect("the sync is complete");
        answer.error.check().map(|()| String::from_utf8(answer.assignment.to_vec()).unwrap())
    }

    pub fn heartbeat(&mut self, group: &str, member: MemberClaim) -> ErrorCode {
        let request = HeartbeatRequest { group_id: Arc::from(group), member };
        self.ask::<HeartbeatResponse>(request).error
    }

    /// A stable group of one member, which gets the assignment `all`.
    pub fn group_of_one(&mut self, group: &str) -> MemberClaim {
        let ticket = self.join(group, "solo", "");
        let joined = self.joined(ticket);
        let claim = MemberClaim::new(joined.generation, joined.member_id.clone());
        let ticket = self.sync(group, claim.clone(), &[(&joined.member_id, "all")]);
        assert_eq!(self.synced(ticket).as_deref(), Ok("all"));
        claim
    }
}

pub fn join_request(group: &str, member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: Arc::from(group),
        member_id: Arc::from(member_id),
        group_instance_id: None,
        protocol_type: Arc::from("consumer"),
        protocols: vec![Protocol { name: Arc::from("range"), metadata: Bytes::from_static(b"topics") }],
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        member_id_required: false,
        knows_skip_assignment: false,
    }
}

pub fn offset_of(topic: &str, offset: i64) -> OffsetCommitPartition {
    OffsetCommitPartition { at: TopicPartition::new(topic, 0), committed: CommittedOffset::new(offset) }
}

/// Options of a transactional batch.
pub fn txn(producer: ProducerStamp, sequence: i32) -> BatchOptions {
    BatchOptions::transactional(producer.id, producer.epoch, sequence)
}
