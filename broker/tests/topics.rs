//! Topics: creating, growing, describing, deleting, and their settings.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_broker::api::{
    AlterConfigsRequest, AlterConfigsResponse, AlteredTopic, CreatePartitionsRequest,
    CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse, EpochQuery, FetchPartition,
    FetchRequest, FetchResponse, Isolation, MemberClaim, MetadataRequest, MetadataResponse, NewPartitions,
    NewTopic, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicMetadata,
};
use headwater_broker::{Broker, BrokerConfig, ErrorCode, TopicPartition};
use rig::Rig;

fn create(rig: &mut Rig, topic: NewTopic) -> ErrorCode {
    let answer: CreateTopicsResponse = rig.ask(CreateTopicsRequest::new(vec![topic]));
    assert_eq!(answer.topics[0].error == ErrorCode::None, answer.topics[0].message.is_empty());
    answer.topics[0].error
}

fn metadata(rig: &mut Rig, names: Option<&[&str]>) -> Vec<TopicMetadata> {
    let topics = names.map(|names| names.iter().map(|name| Arc::from(*name)).collect());
    rig.ask::<MetadataResponse>(MetadataRequest { topics, allow_auto_creation: true }).topics
}

#[test]
fn topics_are_checked_before_they_are_created() {
    let mut rig = Rig::new();
    let long = "x".repeat(250);
    let cases = [
        (NewTopic::new("fine_1.2-3", 3), ErrorCode::None),
        (NewTopic::new("fine_1.2-3", 3), ErrorCode::TopicAlreadyExists),
        // Metrics have `_` for both.
        (NewTopic::new("fine.1_2-3", 3), ErrorCode::InvalidTopic),
        (NewTopic::new("default", -1), ErrorCode::None),
        (NewTopic::new("none", 0), ErrorCode::InvalidPartitions),
        (NewTopic::new("negative", -2), ErrorCode::InvalidPartitions),
        (NewTopic::new("huge", i32::MAX), ErrorCode::PolicyViolation),
        (NewTopic { replication_factor: 3, ..NewTopic::new("safe", 1) }, ErrorCode::InvalidReplicationFactor),
        (NewTopic::new("odd", 1).with_config("colour", "red"), ErrorCode::InvalidConfig),
        (NewTopic::new("odd", 1).with_config("cleanup.policy", "shred"), ErrorCode::InvalidConfig),
        (NewTopic::new("", 1), ErrorCode::InvalidTopic),
        (NewTopic::new("..", 1), ErrorCode::InvalidTopic),
        (NewTopic::new("a b", 1), ErrorCode::InvalidTopic),
        (NewTopic::new(long, 1), ErrorCode::InvalidTopic),
    ];
    for (topic, expected) in cases {
        assert_eq!(create(&mut rig, topic.clone()), expected, "{topic:?}");
    }
    let dry = CreateTopicsRequest { topics: vec![NewTopic::new("dry", 1)], validate_only: true };
    assert_eq!(rig.ask::<CreateTopicsResponse>(dry).topics[0].error, ErrorCode::None);
    assert_eq!(rig.broker.topics(), ["default", "fine_1.2-3"]);
    let described = metadata(&mut rig, None);
    let counts: Vec<usize> = described.iter().map(|topic| topic.partitions.len()).collect();
    assert_eq!(counts, [1, 3]);
}

#[test]
fn a_topic_created_again_is_another_topic() {
    let mut rig = Rig::with_topic("t");
    let first = metadata(&mut rig, Some(&["t"])).remove(0);
    rig.produce("t", &["a=1"]);
    rig.commit_offset("g", MemberClaim::none(), "t", 1);
    let topics = vec![Arc::from("t"), Arc::from("t")];
    let deleted: DeleteTopicsResponse = rig.ask(DeleteTopicsRequest { topics });
    assert_eq!(deleted.topics[0].topic_id, first.topic_id);
    assert_eq!(deleted.topics[1].error, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(metadata(&mut rig, Some(&["t"]))[0].error, ErrorCode::UnknownTopicOrPartition);
    create(&mut rig, NewTopic::new("t", 1));
    assert_ne!(metadata(&mut rig, Some(&["t"]))[0].topic_id, first.topic_id);
    assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, 0);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(-1), "its offsets went with it");
    rig.broker.crash(rig.now);
    rig.broker.restart(rig.now).unwrap();
    assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, 0);
}

#[test]
fn topics_are_created_by_asking_only_when_that_is_wanted() {
    let mut rig = Rig::new();
    assert_eq!(metadata(&mut rig, Some(&["t"]))[0].error, ErrorCode::UnknownTopicOrPartition);
    let mut rig = Rig::with(BrokerConfig { auto_create_topics: true, ..BrokerConfig::default() });
    assert_eq!(metadata(&mut rig, Some(&["t"]))[0].error, ErrorCode::None);
    assert_eq!(metadata(&mut rig, Some(&["a b"]))[0].error, ErrorCode::InvalidTopic);
    assert_eq!(rig.broker.topics(), ["t"]);
}

#[test]
fn partitions_can_only_be_added() {
    let mut rig = Rig::with_topic("t");
    rig.produce("t", &["a=1"]);
    let mut grow = |name: &str, total| {
        let topics = vec![NewPartitions { name: Arc::from(name), total }];
        let request = CreatePartitionsRequest { topics, validate_only: false };
        let answer: CreatePartitionsResponse = rig.ask(request);
        (answer.topics[0].error, rig.broker.partition_count("t"))
    };
    assert_eq!(grow("t", 3), (ErrorCode::None, Some(3)));
    assert_eq!(grow("t", 3), (ErrorCode::InvalidPartitions, Some(3)));
    assert_eq!(grow("t", 2), (ErrorCode::InvalidPartitions, Some(3)));
    assert_eq!(grow("u", 2), (ErrorCode::UnknownTopicOrPartition, Some(3)));
    assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, 1);
}

#[test]
fn settings_are_described_and_altered() {
    let mut rig = Rig::new();
    create(&mut rig, NewTopic::new("t", 1).with_config("cleanup.policy", "compact"));
    let describe = |rig: &mut Rig| {
        let topics = vec![Arc::from("t"), Arc::from("u")];
        let answer: DescribeConfigsResponse = rig.ask(DescribeConfigsRequest { topics });
        assert_eq!(answer.topics[1].error, ErrorCode::UnknownTopicOrPartition);
        let value = |name| answer.topics[0].value(name).unwrap().to_owned();
        [value("cleanup.policy"), value("retention.ms"), value("segment.bytes")]
    };
    assert_eq!(describe(&mut rig), ["compact", "604800000", "1073741824"]);
    let alter = |rig: &mut Rig, name: &str, value: Option<&str>| {
        let changes = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
        let topics = vec![AlteredTopic { name: Arc::from("t"), changes }];
        let request = AlterConfigsRequest { topics, validate_only: false };
        rig.ask::<AlterConfigsResponse>(request).topics[0].error
    };
    assert_eq!(alter(&mut rig, "retention.ms", Some("5")), ErrorCode::None);
    assert_eq!(alter(&mut rig, "retention.ms", Some("five")), ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut rig, "colour", None), ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut rig, "cleanup.policy", None), ErrorCode::None);
    assert_eq!(describe(&mut rig), ["delete", "5", "1073741824"]);
}

#[test]
fn leader_epochs_fence_clients_and_tell_where_they_ended() {
    let mut rig = Rig::with_topic("t");
    rig.produce("t", &["a=1", "b=1"]);
    for _ in 0..2 {
        rig.broker.crash(rig.now);
        rig.broker.restart(rig.now).unwrap();
    }
    rig.produce("t", &["c=1"]);
    let at = TopicPartition::new("t", 0);
    let mut fetch = |epoch| {
        let partition =
            FetchPartition { at: at.clone(), offset: 0, max_bytes: 1, current_leader_epoch: Some(epoch) };
        let request =
            FetchRequest { isolation: Isolation::ReadUncommitted, max_bytes: 1, partitions: vec![partition] };
        rig.ask::<FetchResponse>(request).partitions[0].error
    };
    let expected = [ErrorCode::FencedLeaderEpoch, ErrorCode::None, ErrorCode::UnknownLeaderEpoch];
    assert_eq!([1, 2, 3].map(&mut fetch), expected);
    let mut ended = |leader_epoch| {
        let partitions = vec![EpochQuery { at: at.clone(), current_leader_epoch: None, leader_epoch }];
        let answer: OffsetForLeaderEpochResponse = rig.ask(OffsetForLeaderEpochRequest { partitions });
        (answer.partitions[0].leader_epoch, answer.partitions[0].end_offset)
    };
    assert_eq!([-1, 0, 1, 2].map(&mut ended), [(-1, -1), (0, 2), (0, 2), (2, 3)]);
}

/// A broker may live on any thread, and the same seed gives the same ids.
#[test]
fn brokers_are_portable_and_repeatable() {
    fn portable<T: Send>(value: T) -> T {
        value
    }
    let ids = |seed| {
        portable(Broker::new(BrokerConfig::default()));
        let mut rig = Rig::with(BrokerConfig { seed, ..BrokerConfig::default() });
        rig.topic(NewTopic::new("t", 1));
        (rig.broker.partition("t", 0).unwrap().topic_id, rig.group_of_one("g").member_id)
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}

#[test]
fn a_topic_has_ten_thousand_partitions_at_most() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 1));
    let mut grow = |total| {
        let topics = vec![NewPartitions { name: Arc::from("t"), total }];
        rig.ask::<CreatePartitionsResponse>(CreatePartitionsRequest { topics, validate_only: false }).topics
            [0]
        .error
    };
    assert_eq!(grow(2), ErrorCode::None);
    assert_eq!(grow(10_001), ErrorCode::InvalidPartitions);
}
