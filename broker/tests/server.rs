//! The TCP door, frame by frame: what clients of every language do lies in `tests/clients`.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod raw;

use std::io::Write;

use bytes::{Buf, Bytes};
use headwater_broker::batch::{self, BatchOptions, Record};
use headwater_broker::server::{Listener, Server};
use headwater_broker::{Broker, ErrorCode};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, DescribeClusterRequest,
    FetchRequest, FetchResponse, FindCoordinatorRequest, GroupId, JoinGroupRequest, MetadataRequest,
    MetadataResponse, ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use raw::Client;

impl Client {
    fn create(&mut self, topic: &'static str) {
        let topic = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(1)
            .with_replication_factor(1);
        let created = self.ask(5, &CreateTopicsRequest::default().with_topics(vec![topic]));
        assert_eq!(created.topics[0].error_code, 0);
    }
}

fn name(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn start() -> Server {
    Broker::builder().start().unwrap()
}

fn produce(topic: &'static str, values: &[&[u8]]) -> ProduceRequest {
    let records = values.iter().map(|value| Record::new(1_000, None, Some(value)));
    let batch = Bytes::from(batch::encode(&BatchOptions::default(), records));
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![topic])
}

fn fetch(topic: &'static str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

fn fetched(response: &FetchResponse) -> (i16, i64, usize) {
    let partition = &response.responses[0].partitions[0];
    (partition.error_code, partition.high_watermark, partition.records.as_ref().map_or(0, Bytes::len))
}

#[test]
fn what_api_versions_tells_is_served_and_can_be_encoded() {
    let server = start();
    let mut client = Client::at(server.address());
    let response: ApiVersionsResponse = client.ask(3, &ApiVersionsRequest::default());
    assert_eq!(response.error_code, 0);
    assert!(response.api_keys.len() > 30);
    for api in &response.api_keys {
        let key = ApiKey::try_from(api.api_key).unwrap();
        let known = key.valid_versions();
        assert!(known.min <= api.min_version && api.max_version <= known.max, "{key:?}");
    }
    for version in 0..=13 {
        let answer: MetadataResponse = client.ask(version, &MetadataRequest::default().with_topics(None));
        assert_eq!(i32::from(server.address().port()), answer.brokers[0].port, "version {version}");
    }
}

#[test]
fn a_version_of_api_versions_that_is_not_served_is_answered_in_version_0() {
    let server = start();
    let mut client = Client::at(server.address());
    // API key 18 in version 99, correlation id 7, and whatever such a version would have.
    client.stream.write_all(&[0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 7, 1, 2, 3, 4]).unwrap();
    let mut frame = client.frame().unwrap();
    assert_eq!(frame.get_i32(), 7);
    let response = ApiVersionsResponse::decode(&mut frame, 0).unwrap();
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
    assert!(response.api_keys.iter().any(|api| api.api_key == 18 && api.max_version >= 3));
    client.ask(3, &ApiVersionsRequest::default());
}

/// What no client sends, and what it would cost to believe it.
#[test]
fn what_cannot_be_understood_ends_its_connection_and_no_other() {
    let server = start();
    let mut good = Client::at(server.address());
    good.create("a");
    let cases: &[(&str, &[u8])] = &[
        ("a length of -1", &[0xff, 0xff, 0xff, 0xff]),
        ("a length of 2 GiB", &[0x7f, 0xff, 0xff, 0xff, 0]),
        ("a header that is cut", &[0, 0, 0, 3, 0, 3, 0]),
        ("an unknown API key", &[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        ("a request between brokers", &[0, 0, 0, 10, 0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        ("a version that is not served", &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff]),
        (
            "Metadata of 2^31 topics",
            &[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
        ),
        ("a client id that is cut", &[0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0, 9]),
        ("no Kafka at all", b"GET / HTTP/1.1\r\n\r\n"),
    ];
    for (what, bytes) in cases {
        let mut bad = Client::at(server.address());
        bad.stream.write_all(bytes).unwrap();
        assert!(bad.frame().is_none(), "{what} was answered");
    }
    let produced = good.ask(3, &produce("a", &[b"x"]));
    assert_eq!(produced.responses[0].partition_responses[0].base_offset, 0);
}

#[test]
fn a_fetch_waits_for_data_and_hears_of_it() {
    let server = start();
    let (mut reader, mut writer) = (Client::at(server.address()), Client::at(server.address()));
    writer.create("a");
    writer.create("b");
    let empty = reader.ask(4, &fetch("a", 0, 0));
    assert_eq!(fetched(&empty), (0, 0, 0));
    reader.send(4, &fetch("a", 0, i32::MAX));
    // News of another partition are no news.
    writer.ask(3, &produce("b", &[b"x"]));
    writer.ask(3, &produce("a", &[b"x"]));
    let (error, high_watermark, bytes) = fetched(&reader.receive::<FetchRequest>(4, 2));
    assert_eq!((error, high_watermark), (0, 1));
    assert!(bytes > 61);
}

fn join(group: &'static str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str(group)))
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(600_000)
        .with_member_id(StrBytes::from_string(member.to_owned()))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol])
}

/// Waits until a group waits for its members to join.
fn wait_for_rebalance(server: &Server, group: &str) {
    while server.broker().lock().group(group).unwrap().state.name() != "PreparingRebalance" {
        std::thread::yield_now();
    }
}

#[test]
fn who_waits_and_goes_leaves_nothing_behind() {
    let server = start();
    let mut other = Client::at(server.address());
    let mut joiner = Client::at(server.address());
    let first = other.ask(3, &join("g", ""));
    assert_eq!(first.error_code, 0);
    // The second waits for the first to join again, and goes meanwhile.
    joiner.send(3, &join("g", ""));
    wait_for_rebalance(&server, "g");
    drop(joiner);
    assert_eq!(other.ask(3, &join("g", &first.member_id)).error_code, 0);
    assert!(!server.broker().lock().has_answers());
}

#[test]
fn who_waits_is_not_kept_busy_by_an_answer_to_somebody_else() {
    let server = start();
    let [mut first, mut second, mut patient, mut answered] = [(); 4].map(|()| Client::at(server.address()));
    let first_member = first.ask(3, &join("first", "")).member_id;
    let second_member = second.ask(3, &join("second", "")).member_id;
    patient.send(3, &join("first", ""));
    wait_for_rebalance(&server, "first");
    answered.send(3, &join("second", ""));
    wait_for_rebalance(&server, "second");
    second.send(3, &join("second", &second_member));
    assert_eq!(answered.receive::<JoinGroupRequest>(3, 1).error_code, 0);
    assert_eq!(second.receive::<JoinGroupRequest>(3, 2).error_code, 0);
    first.send(3, &join("first", &first_member));
    assert_eq!(patient.receive::<JoinGroupRequest>(3, 1).error_code, 0);
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let server = start();
    let mut client = Client::at(server.address());
    client.create("a");
    for _ in 0..100 {
        client.send(3, &produce("a", &[b"x", b"y"]));
    }
    for number in 0..100 {
        let produced = client.receive::<ProduceRequest>(3, number + 2);
        assert_eq!(produced.responses[0].partition_responses[0].base_offset, i64::from(number) * 2);
    }
}

#[test]
fn a_server_that_is_dropped_frees_its_port_and_its_clients_see_the_end() {
    let server = start();
    let address = server.address();
    let mut client = Client::at(server.address());
    client.create("a");
    client.send(4, &fetch("a", 0, i32::MAX));
    drop(server);
    assert!(client.frame().is_none());
    let again = Broker::builder().listen(address.to_string()).start().unwrap();
    assert_eq!(again.address(), address);
    let taken = Broker::builder().listen(address.to_string()).start().unwrap_err();
    assert!(taken.to_string().starts_with(&format!("{address} cannot be listened at: ")), "{taken}");
}

#[test]
fn a_topic_that_is_not_there_is_not_made() {
    let server = start();
    let mut client = Client::at(server.address());
    let topic = MetadataRequestTopic::default().with_name(Some(name("a")));
    let request =
        MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
    let metadata = client.ask(4, &request);
    assert_eq!(metadata.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    assert!(server.broker().lock().topics().is_empty());
}

#[test]
fn clients_are_sent_to_the_listener_that_they_came_through() {
    let outside = Listener::new("OUTSIDE", "127.0.0.1:0").advertised("kafka.example.org", 19_092);
    let moved = Listener::new("MOVED", "127.0.0.1:0").advertised("localhost", 0);
    let server = Broker::builder().listen("127.0.0.1:0").listener(outside).listener(moved).start().unwrap();
    let addresses = server.addresses();
    assert_eq!(addresses["PLAINTEXT"], server.address());
    let port = |name: &str| i32::from(addresses[name].port());
    for (name, expected) in [
        ("PLAINTEXT", ("127.0.0.1", port("PLAINTEXT"))),
        ("OUTSIDE", ("kafka.example.org", 19_092)),
        ("MOVED", ("localhost", port("MOVED"))),
    ] {
        let mut client = Client::at(addresses[name]);
        let metadata = client.ask(4, &MetadataRequest::default().with_topics(None));
        let broker = &metadata.brokers[0];
        assert_eq!((broker.host.as_str(), broker.port), expected, "Metadata by {name}");
        let found = client.ask(1, &FindCoordinatorRequest::default());
        assert_eq!((found.host.as_str(), found.port), expected, "FindCoordinator by {name}");
        let cluster = client.ask(0, &DescribeClusterRequest::default());
        let broker = &cluster.brokers[0];
        assert_eq!((broker.host.as_str(), broker.port), expected, "DescribeCluster by {name}");
    }
}

#[test]
fn a_listener_takes_the_place_of_one_of_its_name() {
    let builder = Broker::builder().listen("256.0.0.1:0").listener(Listener::new("A", "127.0.0.1:0"));
    let server = builder.listen("127.0.0.1:0").start().unwrap();
    let names: Vec<_> = server.addresses().keys().map(String::as_str).collect();
    assert_eq!((names, server.address()), (vec!["A", "PLAINTEXT"], server.addresses()["PLAINTEXT"]));
}

#[test]
fn where_nobody_logs_in_a_login_is_refused() {
    let server = start();
    let mut client = Client::at(server.address());
    let versions = client.ask(3, &ApiVersionsRequest::default());
    // As Kafka does: a client that would not ask for what is not told could not say why it is refused.
    for login in [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate] {
        assert!(versions.api_keys.iter().any(|api| api.api_key == login as i16), "{login:?}");
    }
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
    let handshake = client.ask(1, &request);
    assert_eq!(handshake.error_code, ErrorCode::IllegalSaslState.code());
    assert_eq!(handshake.mechanisms.len(), 0);
    let authenticated = client.ask(2, &SaslAuthenticateRequest::default());
    assert_eq!(authenticated.error_code, ErrorCode::IllegalSaslState.code());
}

#[test]
fn who_claims_much_and_sends_little_takes_no_room() {
    let builder = Broker::builder().set("queued.max.request.bytes", "1048576").unwrap();
    let server = builder.set("socket.request.max.bytes", "1048576").unwrap().start().unwrap();
    let mut claiming: Vec<Client> = (0..50).map(|_| Client::at(server.address())).collect();
    for client in &mut claiming {
        // A request of 1 MiB, of which only the beginning comes.
        client.stream.write_all(&[0, 0x10, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]).unwrap();
    }
    let mut honest = Client::at(server.address());
    honest.create("a");
    // More than has room always.
    let value = vec![0; 500_000];
    let produced = honest.ask(3, &produce("a", &[&value]));
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    let mut large = Client::at(server.address());
    large.stream.write_all(&[0, 0x10, 0, 1]).unwrap();
    assert!(large.frame().is_none(), "a byte more than the limit");
}

/// All that there is, with one limit for the whole answer.
fn fetch_all(topic: &'static str) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(i32::MAX);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(i32::MAX).with_topics(vec![topic])
}

#[test]
fn who_does_not_read_its_answers_takes_its_part_of_the_room_and_no_more() {
    let builder = Broker::builder().set("queued.max.request.bytes", "16777216").unwrap();
    let server = builder.set("socket.request.max.bytes", "1048576").unwrap().start().unwrap();
    let mut honest = Client::at(server.address());
    honest.create("a");
    let value = vec![0; 500_000];
    for _ in 0..40 {
        honest.ask(3, &produce("a", &[&value]));
    }
    // More than a connection holds on its way: its rest waits in the broker.
    let mut greedy: Vec<Client> = (0..4).map(|_| Client::at(server.address())).collect();
    for client in &mut greedy {
        client.send(4, &fetch_all("a"));
        // The first bytes have come, so the answer is there.
        assert!(client.stream.peek(&mut [0; 4]).unwrap() > 0);
    }
    let (error, _, bytes) = fetched(&honest.ask(4, &fetch_all("a")));
    assert!(error == 0 && (500_000..2_000_000).contains(&bytes), "{bytes} bytes");
    drop(greedy);
    // The broker hears of it in its own time.
    let all = (0..1_000_000).any(|_| fetched(&honest.ask(4, &fetch_all("a"))).2 > 15_000_000);
    assert!(all);
}

#[test]
fn there_is_a_limit_of_connections() {
    let server = Broker::builder().set("max.connections", "2").unwrap().start().unwrap();
    let mut clients = [Client::at(server.address()), Client::at(server.address())];
    for client in &mut clients {
        client.ask(3, &ApiVersionsRequest::default());
    }
    assert!(Client::at(server.address()).frame().is_none());
    let [first, second] = clients;
    drop(first);
    // The server hears of it in its own time.
    let served = (0..1_000_000).any(|_| {
        let mut again = Client::at(server.address());
        let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            again.send(3, &ApiVersionsRequest::default())
        }));
        sent.is_ok() && again.frame().is_some()
    });
    assert!(served);
    drop(second);
}

#[test]
fn defaults_of_topics_are_the_brokers() {
    let server = Broker::builder().set("log.retention.hours", "1").unwrap().start().unwrap();
    let mut client = Client::at(server.address());
    client.create("a");
    let resource = kafka_protocol::messages::describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str("a"))
        .with_configuration_keys(Some(vec![StrBytes::from_static_str("retention.ms")]));
    let request = kafka_protocol::messages::DescribeConfigsRequest::default().with_resources(vec![resource]);
    let described = client.ask(4, &request);
    let config = &described.results[0].configs[0];
    // Source 4: the broker's own settings. Type 5: a long.
    assert_eq!((config.value.as_deref(), config.config_source, config.config_type), (Some("3600000"), 4, 5));
}

/// Commits one offset as a member that the broker does not know; what it says.
fn commit_as_stranger(client: &mut Client, version: i16, group: &'static str) -> i16 {
    use kafka_protocol::messages::offset_commit_request::{
        OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    };
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default().with_name(name("a")).with_partitions(vec![partition]);
    let request = kafka_protocol::messages::OffsetCommitRequest::default()
        .with_group_id(kafka_protocol::messages::GroupId(StrBytes::from_static_str(group)))
        .with_generation_id_or_member_epoch(1)
        .with_member_id(StrBytes::from_static_str("m"))
        .with_topics(vec![topic]);
    client.ask(version, &request).topics[0].partitions[0].error_code
}

#[test]
fn commits_are_refused_in_the_words_of_their_version() {
    let server = start();
    let mut client = Client::at(server.address());
    client.create("a");
    assert_eq!(commit_as_stranger(&mut client, 8, "g"), ErrorCode::IllegalGeneration.code());
    assert_eq!(commit_as_stranger(&mut client, 9, "g"), ErrorCode::GroupIdNotFound.code());
    let join = kafka_protocol::messages::ConsumerGroupHeartbeatRequest::default()
        .with_group_id(kafka_protocol::messages::GroupId(StrBytes::from_static_str("g")))
        .with_member_id(StrBytes::from_static_str("m"))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![name("a")]))
        .with_topic_partitions(Some(Vec::new()));
    assert_eq!(client.ask(1, &join).error_code, 0);
    assert_eq!(commit_as_stranger(&mut client, 8, "g"), ErrorCode::UnsupportedVersion.code());
    assert_eq!(commit_as_stranger(&mut client, 9, "g"), 0);
}
