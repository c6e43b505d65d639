//! Requests with as many names as they have room for: they cost what their length does, and no more.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod raw;

use bytes::Bytes;
use headwater_broker::{Broker, BrokerConfig, ErrorCode};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ConsumerGroupDescribeRequest, CreatePartitionsRequest, CreateTopicsRequest,
    DescribeConfigsRequest, DescribeGroupsRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    FetchRequest, GroupId, IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest,
    ListOffsetsRequest, MetadataRequest, OffsetFetchRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use raw::Client;

/// What looks at all of them for each of them does not come to an end.
const MANY: i32 = 300_000;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn new_topic(topic: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
}

#[test]
fn topics_that_are_made() {
    let server = Broker::builder().start().unwrap();
    let mut client = Client::at(server.address());
    let topics = (0..MANY).map(|_| new_topic("a", 1)).collect();
    let created = client.ask(5, &CreateTopicsRequest::default().with_topics(topics));
    assert_eq!(created.topics.len(), usize::try_from(MANY).unwrap());
    assert!(created.topics.iter().all(|topic| topic.error_code == ErrorCode::PolicyViolation.code()));
}

#[test]
fn partitions_that_a_transaction_adds() {
    let server = Broker::builder().start().unwrap();
    let mut client = Client::at(server.address());
    let id = || TransactionalId(text("x"));
    let init = InitProducerIdRequest::default().with_transactional_id(Some(id()));
    let producer = client.ask(3, &init.with_transaction_timeout_ms(10_000));
    let unknown =
        AddPartitionsToTxnTopic::default().with_name(name("a")).with_partitions((0..MANY).collect());
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_topics(vec![unknown]);
    let added = client.ask(2, &request);
    let results = &added.results_by_topic_v3_and_below[0].results_by_partition;
    let code = ErrorCode::UnknownTopicOrPartition.code();
    assert!(results.iter().all(|result| result.partition_error_code == code));
    assert_eq!(results.len(), usize::try_from(MANY).unwrap());
}

#[test]
fn items_that_are_added_to_a_setting() {
    let server = Broker::builder().start().unwrap();
    let mut client = Client::at(server.address());
    client.ask(5, &CreateTopicsRequest::default().with_topics(vec![new_topic("a", 1)]));
    let items: Vec<String> = (0..MANY).map(|number| number.to_string()).collect();
    let added = incremental::AlterableConfig::default()
        .with_name(text("cleanup.policy"))
        .with_config_operation(2)
        .with_value(Some(text(&items.join(","))));
    let resource = incremental::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("a"))
        .with_configs(vec![added]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(client.ask(1, &request).responses[0].error_code, ErrorCode::InvalidConfig.code());
}

#[test]
fn protocols_of_members_that_share_none() {
    let server = Broker::builder().start().unwrap();
    let mut client = Client::at(server.address());
    let join = |prefix: &str| {
        let protocol = |number: i32| {
            let protocol = JoinGroupRequestProtocol::default().with_name(text(&format!("{prefix}{number}")));
            protocol.with_metadata(Bytes::new())
        };
        JoinGroupRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_session_timeout_ms(6_000)
            .with_rebalance_timeout_ms(600_000)
            .with_protocol_type(text("consumer"))
            .with_protocols((0..MANY).map(protocol).collect())
    };
    assert_eq!(client.ask(3, &join("a")).error_code, 0);
    assert_eq!(client.ask(3, &join("b")).error_code, ErrorCode::InconsistentGroupProtocol.code());
}

#[test]
fn topics_that_are_asked_for_again_and_again() {
    let server = Broker::builder().start().unwrap();
    let mut client = Client::at(server.address());
    client.ask(5, &CreateTopicsRequest::default().with_topics(vec![new_topic("a", 1_000)]));
    let wanted = |topic: &str| MetadataRequestTopic::default().with_name(Some(name(topic)));
    let mut topics = vec![wanted("b")];
    topics.extend((0..MANY).map(|_| wanted("a")));
    let metadata = client.ask(9, &MetadataRequest::default().with_topics(Some(topics)));
    let names: Vec<_> = metadata.topics.iter().map(|topic| topic.name.as_ref().unwrap().0.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn what_is_described_again_and_again() {
    let server = Broker::builder().start().unwrap();
    let mut client = Client::at(server.address());
    client.ask(5, &CreateTopicsRequest::default().with_topics(vec![new_topic("a", 2)]));
    let resource = |name: &str| {
        let names = describe_configs_request::DescribeConfigsResource::default();
        names.with_resource_type(2).with_resource_name(text(name)).with_configuration_keys(None)
    };
    let mut resources = vec![resource("a"), resource("b")];
    resources.extend((0..MANY).map(|_| resource("a")));
    let configs = client.ask(4, &DescribeConfigsRequest::default().with_resources(resources)).results;
    let names: Vec<_> = configs.iter().map(|result| result.resource_name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(configs[0].configs.len() > 10 && configs[1].error_code != 0);

    let ids = |id: &str| GroupId(text(id));
    let groups: Vec<GroupId> = ["g", "h"].into_iter().map(ids).chain((0..MANY).map(|_| ids("g"))).collect();
    let described = client.ask(5, &DescribeGroupsRequest::default().with_groups(groups.clone()));
    let names: Vec<_> = described.groups.iter().map(|group| group.group_id.0.as_str()).collect();
    assert_eq!(names, ["g", "h"]);
    let described = client.ask(1, &ConsumerGroupDescribeRequest::default().with_group_ids(groups));
    let names: Vec<_> = described.groups.iter().map(|group| group.group_id.0.as_str()).collect();
    assert_eq!(names, ["g", "h"]);

    let partitions =
        |numbers: Vec<i32>| TopicRequest::default().with_name(name("a")).with_partition_indexes(numbers);
    let topics = vec![partitions((0..MANY).map(|number| number % 3).collect()), partitions(vec![1])];
    let producers = client.ask(0, &DescribeProducersRequest::default().with_topics(topics));
    assert_eq!(producers.topics.len(), 1);
    let codes = producers.topics[0].partitions.iter().map(|one| (one.partition_index, one.error_code));
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(codes.collect::<Vec<_>>(), [(0, 0), (1, 0), (2, unknown)]);

    let transactions = DescribeTransactionsRequest::default();
    let ids = (0..MANY).map(|number| TransactionalId(text(["x", "y"][usize::from(number % 2 == 1)])));
    let transactions = client.ask(0, &transactions.with_transactional_ids(ids.collect()));
    assert_eq!(transactions.transaction_states.len(), 2);
}

#[test]
fn partitions_that_are_read_again_and_again() {
    let server = Broker::builder().start().unwrap();
    let mut client = Client::at(server.address());
    client.ask(5, &CreateTopicsRequest::default().with_topics(vec![new_topic("a", 2)]));
    let numbers = || (0..MANY).map(|number| number % 2);

    let wanted = OffsetFetchRequestTopic::default().with_name(name("a"));
    let wanted = wanted.with_partition_indexes(numbers().collect());
    let request = OffsetFetchRequest::default().with_group_id(GroupId(text("g")));
    let offsets = client.ask(7, &request.with_topics(Some(vec![wanted])));
    assert_eq!(offsets.topics[0].partitions.len(), 2);

    let group =
        |id: &str| OffsetFetchRequestGroup::default().with_group_id(GroupId(text(id))).with_topics(None);
    let groups = (0..MANY).map(|number| group(["g", "h"][usize::from(number % 2 == 1)]));
    let offsets = client.ask(8, &OffsetFetchRequest::default().with_groups(groups.collect()));
    assert_eq!(offsets.groups.len(), 2);

    let by_time = |number| ListOffsetsPartition::default().with_partition_index(number).with_timestamp(1);
    let wanted =
        ListOffsetsTopic::default().with_name(name("a")).with_partitions(numbers().map(by_time).collect());
    let offsets = client.ask(4, &ListOffsetsRequest::default().with_topics(vec![wanted]));
    assert_eq!(offsets.topics[0].partitions.len(), 2);

    let from_start = |number| FetchPartition::default().with_partition(number).with_partition_max_bytes(1);
    let wanted =
        FetchTopic::default().with_topic(name("a")).with_partitions(numbers().map(from_start).collect());
    let fetched = client.ask(4, &FetchRequest::default().with_max_bytes(1).with_topics(vec![wanted]));
    assert_eq!(fetched.responses[0].partitions.len(), 2);
}

/// However they are asked for, ten thousand partitions at once are the most.
#[test]
fn partitions_that_are_made_at_once() {
    let config =
        BrokerConfig { auto_create_topics: true, default_partitions: 3_000, ..BrokerConfig::default() };
    let server = Broker::builder().config(config).start().unwrap();
    let mut client = Client::at(server.address());
    let wanted = |number: i32| MetadataRequestTopic::default().with_name(Some(name(&format!("t{number}"))));
    let request = MetadataRequest::default().with_topics(Some((0..9).map(wanted).collect()));
    let metadata = client.ask(9, &request.with_allow_auto_topic_creation(true));
    let made = metadata.topics.iter().filter(|topic| topic.error_code == 0).count();
    assert_eq!(made, 3);
    let more = |number: i32| {
        CreatePartitionsTopic::default().with_name(name(&format!("t{number}"))).with_count(7_000)
    };
    let request = CreatePartitionsRequest::default().with_topics((0..3).map(more).collect());
    let grown = client.ask(1, &request);
    let codes: Vec<i16> = grown.results.iter().map(|result| result.error_code).collect();
    let refused = ErrorCode::PolicyViolation.code();
    assert_eq!(codes, [0, 0, refused]);
}
