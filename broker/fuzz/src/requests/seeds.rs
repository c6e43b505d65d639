//! Seeds: inputs to begin with. Each API once in each version, empty; scenes in which each of them does something; and,
//! where `HEADWATER_SUITES` names their folder, the messages that Apache Kafka's own classes have written.

use bytes::{Bytes, BytesMut};
use headwater_broker::batch::{self, BatchOptions, Compression, Record};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest as ProducersTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_for_leader_epoch_request as epochs;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Request, StrBytes};

/// An input by its name.
pub type Seed = (String, Vec<u8>);

/// The topics of the broker that inputs are played to.
const TOPICS: [&str; 3] = ["a", "c", "t"];

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic(name: &'static str) -> TopicName {
    TopicName(text(name))
}

fn group() -> GroupId {
    GroupId(text("g"))
}

fn transaction() -> TransactionalId {
    TransactionalId(text("x"))
}

/// A frame of a script.
fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap_or_else(|error| panic!("{} {version}: {error}", R::KEY));
    of_body(R::KEY, version, &body)
}

fn of_body(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let byte = |number: i16| u8::try_from(number).expect("keys and versions are small");
    let length = u16::try_from(body.len()).expect("seeds are small").to_be_bytes();
    [&[byte(key), byte(version)][..], &length, body].concat()
}

fn scene(name: &str, frames: &[Vec<u8>]) -> Seed {
    (name.to_owned(), [vec![0], frames.concat()].concat())
}

/// A request that says nothing, in all versions.
fn empty<R: Request + Default>(into: &mut Vec<Seed>) {
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        let mut body = BytesMut::new();
        if R::default().encode(&mut body, version).is_ok() {
            let name = format!("empty-{}-{version}", R::KEY);
            into.push(scene(&name, &[of_body(R::KEY, version, &body)]));
        }
    }
}

macro_rules! empty {
    ($($request:ident)*) => {
        /// All requests that say nothing.
        fn all_empty(into: &mut Vec<Seed>) {
            $(empty::<$request>(into);)*
        }
    };
}

empty! {
    ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
    FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
    DescribeGroupsRequest ListGroupsRequest SaslHandshakeRequest ApiVersionsRequest CreateTopicsRequest
    DeleteTopicsRequest DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest
    AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest TxnOffsetCommitRequest
    DescribeConfigsRequest AlterConfigsRequest SaslAuthenticateRequest CreatePartitionsRequest
    DeleteGroupsRequest IncrementalAlterConfigsRequest DescribeClusterRequest DescribeProducersRequest
    DescribeTransactionsRequest ListTransactionsRequest OffsetDeleteRequest ConsumerGroupHeartbeatRequest
    ConsumerGroupDescribeRequest DescribeTopicPartitionsRequest
}

/// All seeds.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    all_empty(&mut seeds);
    seeds.extend(data());
    seeds.extend(topics());
    seeds.extend(groups());
    seeds.extend(transactions());
    seeds.extend(logins());
    seeds.extend(vectors());
    seeds
}

fn batch(options: &BatchOptions, codec: Compression) -> Bytes {
    let records = [Record::new(1_000, Some(b"key"), Some(b"value")), Record::new(1_005, Some(b"key"), None)];
    let plain = batch::encode(options, records);
    batch::codec::pack_batch(plain, codec).expect("all codecs are there").into()
}

fn produce(name: &'static str, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let data = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![data])
}

fn fetch(name: &'static str, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let wanted = FetchTopic::default().with_topic(topic(name)).with_partitions(vec![partition]);
    let fetch = FetchRequest::default().with_max_wait_ms(max_wait_ms).with_min_bytes(1);
    fetch.with_isolation_level(1).with_max_bytes(1 << 20).with_topics(vec![wanted])
}

fn list_offsets(time: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_timestamp(time);
    let wanted = ListOffsetsTopic::default().with_name(topic("a")).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_topics(vec![wanted])
}

fn data() -> Vec<Seed> {
    let plain = BatchOptions::default();
    let mut seeds = Vec::new();
    for (number, codec) in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
            .into_iter()
            .enumerate()
    {
        for name in TOPICS {
            let written = produce(name, batch(&plain, codec));
            let frames = [
                frame(9, &written),
                frame(9, &written),
                frame(12, &fetch(name, 0)),
                frame(5, &list_offsets(1_002)),
                frame(8, &list_offsets(-3)),
            ];
            seeds.push(scene(&format!("data-{number}-{name}"), &frames));
        }
    }
    let sequence = |sequence| batch(&BatchOptions::idempotent(7, 0, sequence), Compression::None);
    let trim = DeleteRecordsPartition::default().with_offset(1);
    let trim = DeleteRecordsTopic::default().with_name(topic("a")).with_partitions(vec![trim]);
    let epoch = epochs::OffsetForLeaderPartition::default().with_leader_epoch(0);
    let epoch = epochs::OffsetForLeaderTopic::default().with_topic(topic("a")).with_partitions(vec![epoch]);
    let producers = ProducersTopic::default().with_name(topic("a")).with_partition_indexes(vec![0, 1]);
    let frames = [
        frame(3, &produce("a", sequence(0))),
        frame(7, &produce("a", sequence(2))),
        frame(8, &produce("a", sequence(0))),
        frame(1, &DeleteRecordsRequest::default().with_topics(vec![trim])),
        frame(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![epoch])),
        frame(0, &DescribeProducersRequest::default().with_topics(vec![producers])),
        frame(4, &fetch("a", 500)),
    ];
    seeds.push(scene("producer", &frames));
    seeds.push(scene("by-id", &by_id()));
    let waits = [frame(11, &fetch("a", 700)), vec![0xf0, 8], frame(11, &fetch("a", i32::MAX))];
    seeds.push(scene("waiting", &waits));
    seeds
}

/// Topics by their ids, which follow from the broker's seed.
fn by_id() -> [Vec<u8>; 2] {
    let id = super::broker().partition("a", 0).expect("it was made").topic_id.0;
    // Without naming the crate of ids: a topic without partitions, as it stands in a Fetch of version 13.
    let bytes = [&id.to_be_bytes()[..], &[1, 0]].concat();
    let id = FetchTopic::decode(&mut Bytes::from(bytes), 13).expect("it is a topic").topic_id;
    let mut written = produce("a", batch(&BatchOptions::default(), Compression::None));
    written.topic_data[0] = written.topic_data[0].clone().with_name(topic("")).with_topic_id(id);
    let mut read = fetch("a", 0);
    read.topics[0] = read.topics[0].clone().with_topic(topic("")).with_topic_id(id);
    [frame(13, &written), frame(17, &read)]
}

fn topics() -> Vec<Seed> {
    let config =
        |name, value| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)));
    let new =
        CreatableTopic::default().with_name(topic("new")).with_num_partitions(3).with_replication_factor(1);
    let new = new.with_configs(vec![config("cleanup.policy", "compact"), config("segment.bytes", "100")]);
    let more = CreatePartitionsTopic::default().with_name(topic("a")).with_count(5);
    let all = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("a"));
    let change = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("1")));
    let changed = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("a"));
    let step = incremental::AlterableConfig::default().with_name(text("max.message.bytes"));
    let step = step.with_value(Some(text("70")));
    let stepped =
        incremental::AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("a"));
    let gone = DeleteTopicState::default().with_name(Some(topic("a")));
    let cursor = describe_topic_partitions_request::TopicRequest::default().with_name(topic("a"));
    let frames = [
        frame(5, &CreateTopicsRequest::default().with_topics(vec![new.clone()])),
        frame(7, &CreateTopicsRequest::default().with_topics(vec![new]).with_validate_only(true)),
        frame(2, &CreatePartitionsRequest::default().with_topics(vec![more])),
        frame(4, &DescribeConfigsRequest::default().with_resources(vec![all])),
        frame(1, &AlterConfigsRequest::default().with_resources(vec![changed.with_configs(vec![change])])),
        frame(
            1,
            &IncrementalAlterConfigsRequest::default().with_resources(vec![stepped.with_configs(vec![step])]),
        ),
        frame(9, &MetadataRequest::default().with_topics(None)),
        frame(0, &DescribeTopicPartitionsRequest::default().with_topics(vec![cursor])),
        frame(6, &DeleteTopicsRequest::default().with_topics(vec![gone])),
        frame(12, &MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(true)),
    ];
    vec![scene("topics", &frames)]
}

fn join(member: &'static str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let protocol = protocol.with_metadata(Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01a\xff\xff\xff\xff"));
    let join = JoinGroupRequest::default().with_group_id(group()).with_member_id(text(member));
    let join = join.with_session_timeout_ms(6_000).with_rebalance_timeout_ms(10_000);
    join.with_protocol_type(text("consumer")).with_protocols(vec![protocol])
}

fn offsets() -> [Vec<u8>; 3] {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
    let committed =
        OffsetCommitRequestTopic::default().with_name(topic("a")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default().with_group_id(group()).with_generation_id_or_member_epoch(-1);
    let wanted = OffsetFetchRequestTopics::default().with_name(topic("a")).with_partition_indexes(vec![0, 1]);
    let wanted = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![wanted]));
    let gone = OffsetDeleteRequestTopic::default().with_name(topic("a"));
    let gone = gone.with_partitions(vec![OffsetDeleteRequestPartition::default()]);
    [
        frame(8, &commit.with_topics(vec![committed])),
        frame(9, &OffsetFetchRequest::default().with_groups(vec![wanted])),
        frame(0, &OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![gone])),
    ]
}

fn groups() -> Vec<Seed> {
    let assignment = SyncGroupRequestAssignment::default().with_assignment(Bytes::from_static(b"all"));
    let sync = SyncGroupRequest::default().with_group_id(group()).with_generation_id(1);
    let sync = sync.with_member_id(text("m")).with_assignments(vec![assignment]);
    let beat =
        HeartbeatRequest::default().with_group_id(group()).with_generation_id(1).with_member_id(text("m"));
    let leave = LeaveGroupRequest::default().with_group_id(group());
    let leave = leave.with_members(vec![MemberIdentity::default().with_group_instance_id(Some(text("i")))]);
    let still = join("").with_group_instance_id(Some(text("i")));
    let classic = [
        frame(5, &still),
        frame(3, &join("")),
        frame(5, &sync),
        frame(4, &beat),
        vec![0xf0, 40],
        frame(9, &join("")),
        frame(5, &DescribeGroupsRequest::default().with_groups(vec![group()])),
        frame(4, &ListGroupsRequest::default()),
        frame(5, &leave),
        frame(2, &DeleteGroupsRequest::default().with_groups_names(vec![group()])),
    ];
    let enter = ConsumerGroupHeartbeatRequest::default().with_group_id(group()).with_member_id(text("m"));
    let enter = enter.with_rebalance_timeout_ms(5_000).with_topic_partitions(Some(Vec::new()));
    let names = enter.clone().with_subscribed_topic_names(Some(vec![topic("a"), topic("c")]));
    let pattern = enter.with_member_id(text("n")).with_subscribed_topic_regex(Some(text("[a-c].*")));
    let beat = ConsumerGroupHeartbeatRequest::default().with_group_id(group()).with_member_id(text("m"));
    let modern = [
        frame(1, &names),
        frame(1, &pattern.with_server_assignor(Some(text("range")))),
        frame(1, &beat.clone().with_member_epoch(1)),
        frame(1, &ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()])),
        vec![0xf0, 200],
        frame(1, &beat.with_member_epoch(-1)),
    ];
    vec![scene("classic", &classic), scene("consumer", &modern), scene("offsets", &offsets())]
}

fn transactions() -> Vec<Seed> {
    let init = InitProducerIdRequest::default().with_transactional_id(Some(transaction()));
    let init = init.with_transaction_timeout_ms(10_000);
    let part = AddPartitionsToTxnTopic::default().with_name(topic("a")).with_partitions(vec![0]);
    let add = AddPartitionsToTxnRequest::default().with_v3_and_below_transactional_id(transaction());
    let add = add.with_v3_and_below_topics(vec![part]);
    let data = batch(&BatchOptions::transactional(0, 0, 0), Compression::None);
    let write = produce("a", data).with_transactional_id(Some(transaction()));
    let offsets =
        AddOffsetsToTxnRequest::default().with_transactional_id(transaction()).with_group_id(group());
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(3);
    let committed =
        TxnOffsetCommitRequestTopic::default().with_name(topic("a")).with_partitions(vec![partition]);
    let commit =
        TxnOffsetCommitRequest::default().with_transactional_id(transaction()).with_group_id(group());
    let commit = commit.with_generation_id(-1).with_topics(vec![committed]);
    let end = EndTxnRequest::default().with_transactional_id(transaction());
    let open = [frame(4, &init), frame(3, &add), frame(9, &write), frame(3, &offsets), frame(3, &commit)];
    let told = [
        frame(0, &DescribeTransactionsRequest::default().with_transactional_ids(vec![transaction()])),
        frame(1, &ListTransactionsRequest::default()),
        frame(12, &fetch("a", 0)),
    ];
    let ended = |commits| frame(3, &end.clone().with_committed(commits));
    let with = |name: &str, last: Vec<u8>| scene(name, &[open.concat(), last, told.concat()]);
    vec![with("commit", ended(true)), with("abort", ended(false)), with("time-out", vec![0xf0, 50])]
}

fn logins() -> Vec<Seed> {
    let handshake = |name| SaslHandshakeRequest::default().with_mechanism(text(name));
    let token = |token: &'static str| {
        frame(2, &SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(token.as_bytes())))
    };
    let (plain, scram) = (handshake("PLAIN"), handshake("SCRAM-SHA-256"));
    let bare = b"\xf2\0\x16\0\0\0\x12\0alice\0open sesame".to_vec();
    let after = frame(3, &ApiVersionsRequest::default());
    let scenes: [(&str, Vec<Vec<u8>>); 3] = [
        ("login-plain", vec![frame(1, &plain), token("\0alice\0open sesame"), after.clone()]),
        ("login-bare", vec![frame(0, &plain), bare, after]),
        (
            "login-scram",
            vec![frame(1, &scram), token("n,,n=alice,r=theirs"), token("c=biws,r=theirs,p=AAAA")],
        ),
    ];
    let seed = |(name, frames): (&str, Vec<Vec<u8>>)| (name.to_owned(), [vec![1], frames.concat()].concat());
    let mut seeds: Vec<Seed> = scenes.into_iter().map(seed).collect();
    seeds.push((
        "raw".to_owned(),
        b"\x02\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xffGET / HTTP/1.1\r\n\r\n".to_vec(),
    ));
    seeds
}

/// The requests among the messages of Apache Kafka's classes: a line each, of which three fields count.
fn vectors() -> Vec<Seed> {
    let Some(folder) = std::env::var_os("HEADWATER_SUITES") else { return Vec::new() };
    let path = std::path::Path::new(&folder).join("kafka-protocol/message-vectors.jsonl");
    let lines = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    lines.lines().enumerate().filter_map(|(number, line)| vector(number, line)).collect()
}

fn vector(number: usize, line: &str) -> Option<Seed> {
    let field = |name: &str| {
        let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
        rest.trim_start_matches('"').split(['"', ',', '}']).next()
    };
    let hex = field("hex").filter(|_| field("type") == Some("request"))?;
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let body = (0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
    let (key, version) = (field("api_key")?.parse().ok()?, field("version")?.parse().ok()?);
    Some(scene(&format!("vector-{number}"), &[of_body(key, version, &body)]))
}
