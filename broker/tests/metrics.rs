//! What a broker counts, as Prometheus reads it: values after traffic that is known, and the names of the README.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod raw;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use headwater_broker::api::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, InitProducerIdResponse, NewTopic,
    OffsetCommitPartition, ProduceRequest as CoreProduce, ProducerStamp, Request, Response,
};
use headwater_broker::api::{CommittedOffset, MemberClaim, OffsetCommitRequest, ProducePartition};
use headwater_broker::batch::{self, BatchOptions, Record};
use headwater_broker::server::Server;
use headwater_broker::{Broker, ClientId, TopicPartition};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use raw::Client;

fn name(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn records(keys: &[&str]) -> Bytes {
    let records = keys.iter().map(|key| Record::new(1_000, Some(key.as_bytes()), Some(b"value")));
    batch::encode(&BatchOptions::default(), records).into()
}

fn produce(topic: &'static str, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![topic])
}

fn fetch(topic: &'static str, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic])
}

/// What is answered at a path: the status line, and the body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = raw::connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// The page, once it has this line: a connection's end is noticed when it is.
fn page_with(server: &Server, line: &str) -> String {
    let address = server.metrics_address().unwrap();
    for _ in 0..10_000 {
        let (_, page) = get(address, "/metrics");
        if page.lines().any(|found| found == line) {
            return page;
        }
    }
    panic!("{line} does not come:\n{}", get(address, "/metrics").1);
}

fn check(page: &str, lines: &str) {
    for line in lines.trim().lines() {
        assert!(page.lines().any(|found| found == line.trim()), "no {} in\n{page}", line.trim());
    }
}

/// Asks the broker itself, past the server.
fn ask(server: &Server, request: impl Into<Request>, now: i64) -> Response {
    server.broker().lock().call(&ClientId::new("inside"), request, now).unwrap()
}

#[test]
fn what_clients_do_is_counted() {
    let builder = Broker::builder().metrics("127.0.0.1:0").set("max.connections", "2").unwrap();
    let server = builder.start().unwrap();
    let topics = vec![NewTopic::new("a", 1), NewTopic::new("b", 2)];
    ask(&server, headwater_broker::api::CreateTopicsRequest::new(topics), 0);
    let mut client = Client::at(server.address());
    let (two, one) = (records(&["k", "l"]), records(&["m"]));
    let bytes = two.len() + one.len();
    client.ask(3, &produce("a", two.clone()));
    client.ask(3, &produce("a", one));
    client.ask(3, &produce("nowhere", two));
    client.ask(4, &fetch("a", 0));
    client.ask(4, &fetch("a", 7));
    client.ask(4, &fetch("a", 8));
    {
        let mut other = Client::at(server.address());
        other.ask(3, &ApiVersionsRequest::default());
        assert!(Client::at(server.address()).frame().is_none(), "a third connection is served");
        other.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(other.frame().is_none());
    }
    let page = page_with(&server, "headwater_broker_connections 1");
    check(
        &page,
        &format!(
            r#"
            headwater_broker_accepted_connections_total 2
            headwater_broker_appended_bytes_total {bytes}
            headwater_broker_appended_records_total 3
            headwater_broker_errors_total{{api="Fetch",error="OFFSET_OUT_OF_RANGE"}} 2
            headwater_broker_errors_total{{api="Produce",error="UNKNOWN_TOPIC_OR_PARTITION"}} 1
            headwater_broker_failed_logins_total 0
            headwater_broker_fetched_bytes_total {bytes}
            headwater_broker_fetched_records_total 3
            headwater_broker_log_bytes {bytes}
            headwater_broker_malformed_requests_total 1
            headwater_broker_partition_log_bytes{{topic="a",partition="0"}} {bytes}
            headwater_broker_partition_log_bytes{{topic="b",partition="1"}} 0
            headwater_broker_partition_log_end_offset{{topic="a",partition="0"}} 3
            headwater_broker_partition_log_start_offset{{topic="a",partition="0"}} 0
            headwater_broker_partitions 3
            headwater_broker_recovery_damaged_bytes 0
            headwater_broker_refused_connections_total 1
            headwater_broker_request_duration_seconds_bucket{{api="Fetch",le="+Inf"}} 3
            headwater_broker_request_duration_seconds_count{{api="ApiVersions"}} 1
            headwater_broker_request_duration_seconds_count{{api="Fetch"}} 3
            headwater_broker_request_duration_seconds_count{{api="Produce"}} 3
            headwater_broker_topics 2
            "#
        ),
    );
    assert!(!page.contains(r#"_count{api="Metadata"}"#), "nobody has asked");
}

#[test]
fn what_the_broker_decides_is_counted() {
    let server = Broker::builder().metrics("127.0.0.1:0").start().unwrap();
    // From now on the broker knows what time it is, and 0 is now.
    Client::at(server.address()).ask(1, &MetadataRequest::default().with_topics(Some(vec![])));
    let now = 0;
    let compacted = NewTopic::new("c", 1).with_config("cleanup.policy", "compact");
    let topics = vec![NewTopic::new("a", 1), compacted];
    ask(&server, headwater_broker::api::CreateTopicsRequest::new(topics), now);
    for (id, timeout_ms, commit) in [
        ("done", 60_000, Some(true)),
        ("not", 60_000, Some(false)),
        ("late", 1, None),
        ("open", 900_000, None),
    ] {
        let id: Arc<str> = id.into();
        let init = InitProducerIdRequest {
            transactional_id: Some(id.clone()),
            transaction_timeout_ms: timeout_ms,
            current: None,
        };
        let producer: ProducerStamp =
            InitProducerIdResponse::try_from(ask(&server, init, now)).unwrap().producer;
        let partitions = vec![TopicPartition::new("a", 0)];
        ask(&server, AddPartitionsToTxnRequest { transactional_id: id.clone(), producer, partitions }, now);
        if let Some(commit) = commit {
            ask(&server, EndTxnRequest { transactional_id: id, producer, commit }, now);
        }
    }
    let offset =
        OffsetCommitPartition { at: TopicPartition::new("a", 0), committed: CommittedOffset::new(1) };
    let group =
        OffsetCommitRequest { group_id: "g".into(), member: MemberClaim::none(), offsets: vec![offset] };
    ask(&server, group, now);
    let batch = records(&["k", "k", "k"]);
    let produced = ProducePartition { at: TopicPartition::new("c", 0), batch: batch.clone() };
    ask(&server, CoreProduce { transactional_id: None, partitions: vec![produced] }, now);
    let report = server.broker().lock().compact("c", 0, now).unwrap();
    assert_eq!((report.bytes_before, report.records_after), (batch.len(), 1));
    let line = r#"headwater_broker_ended_transactions_total{result="timed_out"} 1"#;
    let page = page_with(&server, line);
    check(
        &page,
        &format!(
            r#"
            headwater_broker_compaction_kept_bytes_total {}
            headwater_broker_compaction_read_bytes_total {}
            headwater_broker_compactions_total 1
            headwater_broker_ended_transactions_total{{result="aborted"}} 1
            headwater_broker_ended_transactions_total{{result="committed"}} 1
            headwater_broker_groups{{state="Empty"}} 1
            headwater_broker_groups{{state="Stable"}} 0
            headwater_broker_transactional_ids{{state="CompleteAbort"}} 2
            headwater_broker_transactional_ids{{state="CompleteCommit"}} 1
            headwater_broker_transactional_ids{{state="Ongoing"}} 1
            "#,
            report.bytes_after, report.bytes_before
        ),
    );
}

#[test]
fn single_partitions_are_left_out_where_there_are_too_many() {
    let server = Broker::builder().metrics("127.0.0.1:0").start().unwrap();
    let count = |server: &Server| {
        let page = server.metrics_text();
        page.lines().filter(|line| line.starts_with("headwater_broker_partition_log_end_offset{")).count()
    };
    let create = |name: &'static str, partitions| {
        ask(
            &server,
            headwater_broker::api::CreateTopicsRequest::new(vec![NewTopic::new(name, partitions)]),
            0,
        );
    };
    create("a", 1_000);
    assert_eq!(count(&server), 1_000);
    create("b", 1);
    assert_eq!(count(&server), 0);
    check(&server.metrics_text(), "headwater_broker_partitions 1001");
}

#[test]
fn probes_are_answered_until_the_end() {
    let server = Broker::builder().metrics("127.0.0.1:0").start().unwrap();
    let address = server.metrics_address().unwrap();
    assert!(address.ip().is_loopback());
    for path in ["/health", "/health/live", "/health/ready"] {
        let (status, body) = get(address, path);
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", r#"{"status":"running"}"#));
    }
    assert_eq!(get(address, "/nothing").0, "HTTP/1.1 404 Not Found");
    let taken = Broker::builder().metrics(address.to_string()).start().unwrap_err().to_string();
    assert!(taken.starts_with(&format!("{address} cannot be listened at: ")), "{taken}");
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(Broker::builder().start().unwrap().metrics_address(), None, "off unless asked for");
}

/// The names in the table of the README.
fn documented() -> BTreeSet<String> {
    let readme = include_str!("../README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned));
    names.map(|name| name.split('{').next().unwrap().to_owned()).collect()
}

#[test]
fn the_readme_names_every_metric_and_no_other() {
    let server = Broker::builder().start().unwrap();
    ask(&server, headwater_broker::api::CreateTopicsRequest::new(vec![NewTopic::new("a", 1)]), 0);
    let mut client = Client::at(server.address());
    client.ask(4, &fetch("nowhere", 0));
    let page = server.metrics_text();
    let shown = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let shown: BTreeSet<String> = shown.map(str::to_owned).collect();
    let is_metric = |name: &&String| name.starts_with("headwater_broker_") || name.starts_with("process_");
    let documented: BTreeSet<String> = documented().iter().filter(is_metric).cloned().collect();
    if cfg!(target_os = "linux") {
        assert_eq!(shown, documented);
    }
}
