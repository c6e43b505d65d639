//! Records through the in-process cluster: what goes in comes out, in transactions or not, whatever gets lost on the way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

use std::task::Poll;

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{
    Answer, Cluster, CommittedOffset, Fault, GroupMetadata, Isolation, KafkaError, MemberOptions, NewTopic,
    Producer, ProducerOptions,
};
use headwater::{RecordBatch, TopicPartition};
use headwater_broker::ApiKey;
use headwater_broker::ErrorCode;
use headwater_broker::faults::{MarkerDelay, Rule, Verdict};

fn cluster(topic: &str) -> MemoryCluster {
    let cluster = MemoryCluster::new();
    cluster.create_topic(topic, 2).unwrap();
    cluster
}

fn options(transactional_id: Option<&str>) -> ProducerOptions {
    ProducerOptions {
        client: "writer".to_owned(),
        transactional_id: transactional_id.map(str::to_owned),
        transaction_timeout_ms: 60_000,
        request_timeout_ms: 1_000,
    }
}

fn ready<T>(answer: Answer<T>) -> Result<T, KafkaError> {
    match answer {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the answer is not there yet"),
    }
}

/// An initialised producer; with a transactional id its first transaction is open.
fn writer(cluster: &MemoryCluster, transactional_id: Option<&str>) -> Box<dyn Producer> {
    let mut producer = cluster.producer(&options(transactional_id));
    ready(producer.init(0)).unwrap();
    if transactional_id.is_some() {
        producer.begin().unwrap();
    }
    producer
}

fn send(producer: &mut dyn Producer, partition: &TopicPartition, value: &str) {
    let mut batch = RecordBatch::default();
    batch.push(0, Some(b"k"), Some(value.as_bytes()), 0);
    producer.send(partition, &mut batch, 0).unwrap();
    assert!(batch.is_empty(), "the batch may be filled again");
}

/// The values of a partition, separated by spaces.
fn values(cluster: &MemoryCluster, partition: &TopicPartition, isolation: Isolation) -> String {
    let all = cluster.read_all(&partition.topic, isolation).unwrap();
    let number = usize::try_from(partition.partition).unwrap();
    let value =
        |raw: headwater::record::RawRecord<'_>| String::from_utf8(raw.value.unwrap().to_vec()).unwrap();
    all[number].iter().map(value).collect::<Vec<_>>().join(" ")
}

fn committed(cluster: &MemoryCluster, partition: &TopicPartition) -> String {
    values(cluster, partition, Isolation::ReadCommitted)
}

fn group(generation: i32, member: &str) -> GroupMetadata {
    GroupMetadata { group: "app".to_owned(), generation, member: member.to_owned(), instance: None }
}

fn offset(partition: &TopicPartition, offset: i64) -> (TopicPartition, CommittedOffset) {
    (partition.clone(), CommittedOffset { offset, metadata: "m".to_owned() })
}

fn plant(cluster: &MemoryCluster, rule: Rule) {
    cluster.broker().faults_mut().rules.add(rule);
}

#[test]
fn records_come_out_as_they_went_in() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 1);
    let mut batch = RecordBatch::default();
    batch.push(0, None, Some(b""), 0);
    batch.push_header("a", None);
    batch.push_header("a", Some(b""));
    batch.push_header("", Some(b"xy"));
    batch.push(-1, Some(b""), None, 0);
    batch.push(1_700_000_000_000, Some(b"k"), Some(b"v"), 0);
    batch.push(5, None, None, 0);
    let sent = format!(
        "{:?}",
        batch.iter().map(|raw| (raw.timestamp, raw.to_bytes(), raw.to_headers())).collect::<Vec<_>>()
    );
    let mut producer = writer(&cluster, None);
    producer.send(&partition, &mut batch, 0).unwrap();
    assert!(producer.pending_bytes() > 0);
    ready(producer.flush(0)).unwrap();
    assert_eq!(producer.pending_bytes(), 0);
    assert_eq!(producer.acknowledged(), [(partition.clone(), 4)]);
    assert_eq!(producer.acknowledged(), []);

    let mut consumer = cluster.consumer("reader", Isolation::ReadUncommitted);
    consumer.add(&partition, 0);
    let fetched = consumer.fetch(&partition, 1 << 20, 0).unwrap().unwrap();
    let read = format!(
        "{:?}",
        fetched
            .records
            .iter()
            .map(|raw| (raw.timestamp, raw.to_bytes(), raw.to_headers()))
            .collect::<Vec<_>>()
    );
    assert_eq!(read, sent);
    assert_eq!(fetched.records.iter().map(|raw| raw.offset).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!((fetched.position, fetched.caught_up), (4, true));

    // From the middle of a batch; then there is nothing more, until there is.
    consumer.add(&partition, 3);
    let fetched = consumer.fetch(&partition, 1, 0).unwrap().unwrap();
    assert_eq!(fetched.records.iter().map(|raw| raw.offset).collect::<Vec<_>>(), [3]);
    let fetched = consumer.fetch(&partition, 1, 0).unwrap().unwrap();
    assert_eq!((fetched.records.len(), fetched.position, fetched.caught_up), (0, 4, true));
    send(producer.as_mut(), &partition, "more");
    producer.poll(0).unwrap();
    let fetched = consumer.fetch(&partition, 1, 0).unwrap().unwrap();
    assert_eq!((fetched.records.len(), fetched.position), (1, 5));
}

#[test]
fn many_records_go_in_several_batches_in_order() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut producer = writer(&cluster, None);
    let value = vec![7; 1_000];
    let mut batch = RecordBatch::default();
    for number in 0..3_000_i64 {
        batch.push(number, None, Some(&value), 0);
    }
    producer.send(&partition, &mut batch, 0).unwrap();
    ready(producer.flush(0)).unwrap();
    let read = cluster.read_all("t", Isolation::ReadUncommitted).unwrap();
    assert!(read[0].iter().map(|raw| raw.timestamp).eq(0..3_000));
}

#[test]
fn transactions_show_when_committed_and_never_when_aborted() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut producer = writer(&cluster, Some("w"));
    send(producer.as_mut(), &partition, "a");
    ready(producer.flush(0)).unwrap();
    assert_eq!(committed(&cluster, &partition), "");
    assert_eq!(values(&cluster, &partition, Isolation::ReadUncommitted), "a");
    ready(producer.commit(0)).unwrap();
    assert_eq!(committed(&cluster, &partition), "a");

    producer.begin().unwrap();
    send(producer.as_mut(), &partition, "b");
    ready(producer.flush(0)).unwrap();
    send(producer.as_mut(), &partition, "queued");
    ready(producer.abort(0)).unwrap();
    assert_eq!(producer.pending_bytes(), 0);
    assert_eq!(values(&cluster, &partition, Isolation::ReadUncommitted), "a b");
    assert_eq!(committed(&cluster, &partition), "a");

    producer.begin().unwrap();
    send(producer.as_mut(), &partition, "c");
    ready(producer.commit(0)).unwrap();
    assert_eq!(committed(&cluster, &partition), "a c");
    assert!(!producer.tainted());

    // Positions pass markers: a at 0, marker, b at 2, marker, c at 4, marker.
    let mut consumer = cluster.consumer("reader", Isolation::ReadCommitted);
    consumer.add(&partition, 1);
    let fetched = consumer.fetch(&partition, 1 << 20, 0).unwrap().unwrap();
    assert_eq!(fetched.records.iter().map(|raw| raw.offset).collect::<Vec<_>>(), [4]);
    assert_eq!((fetched.position, fetched.caught_up), (6, true));
}

#[test]
fn a_transaction_without_content_sends_nothing() {
    let cluster = cluster("t");
    let mut producer = writer(&cluster, Some("w"));
    plant(&cluster, Rule::on(ApiKey::EndTxn, Verdict::Fail(ErrorCode::InvalidTxnState)));
    ready(producer.send_offsets(&[], &group(-1, ""), 0)).unwrap();
    ready(producer.commit(0)).unwrap();
    producer.begin().unwrap();
    ready(producer.abort(0)).unwrap();
}

#[test]
fn offsets_count_when_the_transaction_does() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    cluster.broker().faults_mut().marker_delay = MarkerDelay { offsets_ms: 50, ..MarkerDelay::default() };
    let mut member = cluster.membership(&member_options());
    let mut producer = writer(&cluster, Some("w"));
    ready(producer.send_offsets(&[offset(&partition, 7)], &group(-1, ""), 0)).unwrap();
    let wanted = [partition.clone(), TopicPartition::new("t", 1)];
    assert!(member.committed(&wanted, 0).is_pending(), "the transaction is open");
    ready(producer.commit(0)).unwrap();
    assert!(member.committed(&wanted, 49).is_pending(), "decided, but the marker is under way");
    let found = ready(member.committed(&wanted, 50)).unwrap();
    assert_eq!(found, [Some(offset(&partition, 7).1), None]);
}

fn member_options() -> MemberOptions {
    MemberOptions {
        group: "app".to_owned(),
        client: "member".to_owned(),
        instance: None,
        session_timeout_ms: 45_000,
        heartbeat_interval_ms: 3_000,
        max_poll_interval_ms: 300_000,
    }
}

#[test]
fn a_newer_producer_fences_the_older_and_aborts_its_transaction() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut old = writer(&cluster, Some("w"));
    send(old.as_mut(), &partition, "old");
    ready(old.flush(0)).unwrap();
    let mut new = writer(&cluster, Some("w"));
    let error = ready(old.commit(0)).unwrap_err();
    assert_eq!((error.code, error.fault), ("PRODUCER_FENCED", Fault::Fatal));
    assert_eq!(ready(old.abort(0)).unwrap_err(), error, "a dead producer stays dead");
    send(new.as_mut(), &partition, "new");
    ready(new.commit(0)).unwrap();
    assert_eq!(committed(&cluster, &partition), "new");
}

#[test]
fn a_fenced_producer_cannot_write() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut old = writer(&cluster, Some("w"));
    let other = TopicPartition::new("t", 1);
    send(old.as_mut(), &partition, "first");
    send(old.as_mut(), &other, "first");
    ready(old.flush(0)).unwrap();
    writer(&cluster, Some("w"));
    // One batch is still under way when the other one's answer kills the producer.
    plant(&cluster, Rule::on(ApiKey::Produce, Verdict::DropRequest).times(1));
    send(old.as_mut(), &partition, "late");
    send(old.as_mut(), &other, "late");
    let error = old.poll(0).unwrap_err();
    assert_eq!((error.code, error.fault), ("INVALID_PRODUCER_EPOCH", Fault::Fatal));
    assert_eq!(old.pending_bytes(), 0);
}

/// What gets lost, and whether it taints the producer. In each case every record is there once.
#[test]
fn whatever_is_lost_is_repeated_and_counts_once() {
    let lost = [Verdict::DropRequest, Verdict::DropResponse, Verdict::Fail(ErrorCode::NetworkException)];
    let cases = [
        (ApiKey::InitProducerId, false),
        (ApiKey::AddPartitionsToTxn, true),
        (ApiKey::Produce, false),
        (ApiKey::AddOffsetsToTxn, true),
        (ApiKey::TxnOffsetCommit, true),
        (ApiKey::EndTxn, true),
    ];
    for (api, taints) in cases {
        for verdict in lost {
            let cluster = cluster("t");
            let partition = TopicPartition::new("t", 0);
            plant(&cluster, Rule::on(api, verdict).by("writer".into()).times(1));
            let mut now_ms = 0;
            let mut producer = cluster.producer(&options(Some("w")));
            let case = format!("{api:?} {verdict:?}");
            drive(&case, &mut now_ms, |now_ms| producer.init(now_ms));
            producer.begin().unwrap();
            send(producer.as_mut(), &partition, "a");
            drive(&case, &mut now_ms, |now_ms| producer.flush(now_ms));
            send(producer.as_mut(), &partition, "b");
            let offsets = [offset(&partition, 3)];
            drive(&case, &mut now_ms, |now_ms| producer.send_offsets(&offsets, &group(-1, ""), now_ms));
            drive(&case, &mut now_ms, |now_ms| producer.commit(now_ms));
            assert_eq!(producer.tainted(), taints, "{case}");
            assert_eq!(committed(&cluster, &partition), "a b", "{case}");
            assert_eq!(cluster.broker().committed_offset("app", "t", 0).unwrap().offset, 3, "{case}");
            assert!(now_ms <= 1_000, "{case}: one time-out is enough");
        }
    }
}

/// Calls until the answer is there, in steps of 250 ms.
fn drive(case: &str, now_ms: &mut i64, mut call: impl FnMut(i64) -> Answer<()>) {
    for _ in 0..20 {
        if let Poll::Ready(answer) = call(*now_ms) {
            return answer.unwrap_or_else(|error| panic!("{case}: {error}"));
        }
        *now_ms += 250;
    }
    panic!("{case}: no answer");
}

#[test]
fn a_late_answer_is_no_second_answer() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let late = Verdict::Delay { request_ms: 0, response_ms: 5_000 };
    plant(&cluster, Rule::on(ApiKey::Produce, late).times(1));
    let mut producer = writer(&cluster, None);
    send(producer.as_mut(), &partition, "a");
    assert!(producer.flush(0).is_pending());
    assert!(producer.flush(999).is_pending());
    ready(producer.flush(1_000)).unwrap();
    send(producer.as_mut(), &partition, "b");
    ready(producer.flush(6_000)).unwrap();
    assert_eq!(values(&cluster, &partition, Isolation::ReadUncommitted), "a b");
    assert_eq!(producer.acknowledged(), [(partition, 2)]);
}

/// Found by the simulation: the next batch had the sequence numbers of the one that was appended, and was dropped.
#[test]
fn a_batch_that_is_refused_after_a_lost_answer_may_have_been_appended() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let lost = |cluster: &MemoryCluster| {
        plant(cluster, Rule::on(ApiKey::Produce, Verdict::DropResponse).times(1));
        plant(cluster, Rule::on(ApiKey::Produce, Verdict::Fail(ErrorCode::MessageTooLarge)).times(1));
    };
    lost(&cluster);
    let mut producer = writer(&cluster, Some("w"));
    send(producer.as_mut(), &partition, "a");
    assert!(producer.flush(0).is_pending());
    let error = ready(producer.flush(1_000)).unwrap_err();
    assert_eq!((error.code, error.fault), ("MESSAGE_TOO_LARGE", Fault::Abortable));
    ready(producer.abort(1_000)).unwrap();
    producer.begin().unwrap();
    send(producer.as_mut(), &partition, "b");
    ready(producer.commit(1_000)).unwrap();
    assert_eq!(committed(&cluster, &partition), "b");

    // Without a transaction the producer cannot know how to go on.
    lost(&cluster);
    let mut producer = writer(&cluster, None);
    send(producer.as_mut(), &partition, "c");
    assert!(producer.flush(0).is_pending());
    let error = ready(producer.flush(1_000)).unwrap_err();
    assert_eq!((error.code, error.fault), ("MESSAGE_TOO_LARGE", Fault::Fatal));
}

#[test]
fn too_large_a_record_is_refused_and_the_next_one_is_not() {
    let cluster = MemoryCluster::new();
    cluster.create_topic_with("t", 1, &[("max.message.bytes", "1000")]).unwrap();
    let partition = TopicPartition::new("t", 0);
    let large = "x".repeat(1_001);

    let mut producer = writer(&cluster, None);
    send(producer.as_mut(), &partition, &large);
    let error = ready(producer.flush(0)).unwrap_err();
    assert_eq!((error.code, error.fault), ("MESSAGE_TOO_LARGE", Fault::Refused));
    send(producer.as_mut(), &partition, "a");
    ready(producer.flush(0)).unwrap();

    let mut producer = writer(&cluster, Some("w"));
    send(producer.as_mut(), &partition, &large);
    let error = producer.poll(0).unwrap_err();
    assert_eq!((error.code, error.fault), ("MESSAGE_TOO_LARGE", Fault::Abortable));
    assert_eq!(ready(producer.commit(0)).unwrap_err(), error, "nothing but an abort helps");
    ready(producer.abort(0)).unwrap();
    producer.begin().unwrap();
    send(producer.as_mut(), &partition, "b");
    ready(producer.commit(0)).unwrap();
    assert_eq!(committed(&cluster, &partition), "a b");
}

#[test]
fn what_cannot_be_delivered_is_given_up_with_the_transaction() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut producer = writer(&cluster, Some("w"));
    send(producer.as_mut(), &partition, "lost");
    plant(&cluster, Rule::on(ApiKey::Produce, Verdict::DropRequest).by("writer".into()));
    for now_ms in (0..60_000).step_by(500) {
        assert!(producer.flush(now_ms).is_pending(), "{now_ms}");
    }
    let error = ready(producer.flush(60_000)).unwrap_err();
    assert_eq!((error.code, error.fault), ("_MSG_TIMED_OUT", Fault::Abortable));
    assert_eq!(producer.pending_bytes(), 0);
    // The coordinator has ended the transaction at the same time, and has fenced us.
    assert_eq!(ready(producer.abort(60_000)).unwrap_err().fault, Fault::Fatal);
}

#[test]
fn records_for_a_topic_that_does_not_exist_wait_for_it() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("later", 0);
    let mut producer = writer(&cluster, Some("w"));
    send(producer.as_mut(), &partition, "a");
    assert!(producer.flush(0).is_pending());
    assert!(producer.flush(100).is_pending());
    cluster.create_topic("later", 1).unwrap();
    ready(producer.commit(200)).unwrap();
    assert_eq!(committed(&cluster, &partition), "a");

    producer.begin().unwrap();
    send(producer.as_mut(), &TopicPartition::new("never", 0), "a");
    assert!(producer.flush(300).is_pending());
    ready(producer.abort(300)).unwrap();
    producer.begin().unwrap();
    send(producer.as_mut(), &partition, "b");
    ready(producer.commit(300)).unwrap();
    assert_eq!(committed(&cluster, &partition), "a b");
}

#[test]
fn a_gap_in_the_sequence_is_cured_by_a_new_epoch() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut producer = writer(&cluster, Some("w"));
    send(producer.as_mut(), &partition, "a");
    ready(producer.flush(0)).unwrap();
    plant(&cluster, Rule::on(ApiKey::Produce, Verdict::Fail(ErrorCode::OutOfOrderSequenceNumber)).times(1));
    send(producer.as_mut(), &partition, "b");
    assert_eq!(producer.poll(0).unwrap_err().fault, Fault::Abortable);
    let mut now_ms = 0;
    drive("abort", &mut now_ms, |now_ms| producer.abort(now_ms));
    let view = cluster.broker().transaction("w").unwrap();
    assert!(view.partitions.is_empty() && view.producer.epoch > 0, "{view:?}");
    producer.begin().unwrap();
    send(producer.as_mut(), &partition, "c");
    ready(producer.commit(now_ms)).unwrap();
    assert_eq!(committed(&cluster, &partition), "c");
}

#[test]
fn a_stale_generation_aborts_the_transaction() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut producer = writer(&cluster, Some("w"));
    send(producer.as_mut(), &partition, "a");
    let error = ready(producer.send_offsets(&[offset(&partition, 1)], &group(5, "nobody"), 0)).unwrap_err();
    assert_eq!((error.code, error.fault), ("ILLEGAL_GENERATION", Fault::Stale));
    assert_eq!(ready(producer.commit(0)).unwrap_err().fault, Fault::Stale);
    ready(producer.abort(0)).unwrap();
    assert_eq!(committed(&cluster, &partition), "");
    assert!(cluster.broker().committed_offset("app", "t", 0).is_none());
}

#[test]
fn calls_out_of_place_are_refused() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut producer = cluster.producer(&options(Some("w")));
    assert_eq!(producer.begin().unwrap_err().code, "_STATE", "not initialised");
    ready(producer.init(0)).unwrap();
    let mut batch = RecordBatch::default();
    assert_eq!(producer.send(&partition, &mut batch, 0).unwrap_err().code, "_STATE", "no transaction");
    assert_eq!(ready(producer.commit(0)).unwrap_err().code, "_STATE");
    assert_eq!(ready(producer.abort(0)).unwrap_err().code, "_STATE");
    producer.begin().unwrap();
    assert_eq!(producer.begin().unwrap_err().code, "_STATE", "one is open");
    send(producer.as_mut(), &partition, "a");
    plant(&cluster, Rule::on(ApiKey::EndTxn, Verdict::DropResponse).times(1));
    assert!(producer.commit(0).is_pending());
    assert_eq!(ready(producer.abort(0)).unwrap_err().code, "_CONFLICT", "it may be committed already");
    ready(producer.commit(1_000)).unwrap();
}

#[test]
fn offsets_out_of_range_and_unknown_partitions_are_refused() {
    let cluster = cluster("t");
    let mut consumer = cluster.consumer("reader", Isolation::ReadCommitted);
    for (partition, offset, code) in [
        (TopicPartition::new("t", 0), 1, "OFFSET_OUT_OF_RANGE"),
        (TopicPartition::new("t", 2), 0, "UNKNOWN_TOPIC_OR_PARTITION"),
        (TopicPartition::new("gone", 0), 0, "UNKNOWN_TOPIC_OR_PARTITION"),
    ] {
        consumer.add(&partition, offset);
        let error = consumer.fetch(&partition, 100, 0).unwrap_err();
        assert_eq!((error.code, error.fault), (code, Fault::Refused), "{partition}");
        consumer.remove(&partition);
        assert_eq!(consumer.fetch(&partition, 100, 0).unwrap_err().code, "_STATE");
    }
}

#[test]
fn a_lost_fetch_is_repeated() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    let mut producer = writer(&cluster, None);
    send(producer.as_mut(), &partition, "a");
    ready(producer.flush(0)).unwrap();
    plant(&cluster, Rule::on(ApiKey::Fetch, Verdict::DropResponse).times(1));
    let mut consumer = cluster.consumer("reader", Isolation::ReadUncommitted);
    consumer.add(&partition, 0);
    assert!(consumer.fetch(&partition, 100, 0).unwrap().is_none());
    assert!(consumer.fetch(&partition, 100, 29_999).unwrap().is_none());
    assert_eq!(consumer.fetch(&partition, 100, 30_000).unwrap().unwrap().position, 1);
}

#[test]
fn an_answer_held_back_does_not_hide_what_came_meanwhile() {
    let cluster = cluster("t");
    let partition = TopicPartition::new("t", 0);
    plant(&cluster, Rule::on(ApiKey::Fetch, Verdict::Delay { request_ms: 0, response_ms: 10 }).times(1));
    let mut consumer = cluster.consumer("reader", Isolation::ReadUncommitted);
    consumer.add(&partition, 0);
    assert!(consumer.fetch(&partition, 100, 0).unwrap().is_none());
    let mut producer = writer(&cluster, None);
    send(producer.as_mut(), &partition, "a");
    ready(producer.flush(0)).unwrap();
    assert_eq!(consumer.fetch(&partition, 100, 10).unwrap().unwrap().position, 0);
    assert_eq!(consumer.fetch(&partition, 100, 10).unwrap().unwrap().position, 1);
}

#[test]
fn topics_are_made_described_and_trimmed() {
    let cluster = MemoryCluster::new();
    let mut admin = cluster.admin("admin");
    let topic = |name: &str, configs: &[(&str, &str)]| NewTopic {
        name: name.into(),
        partitions: 3,
        replication_factor: None,
        configs: configs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    let topics = [topic("a", &[("cleanup.policy", "compact")]), topic("b", &[])];
    ready(admin.create(&topics, 0)).unwrap();
    ready(admin.create(&topics, 0)).unwrap();
    let error = ready(admin.create(&[topic("c", &[("no.such.setting", "1")])], 0)).unwrap_err();
    assert_eq!((error.code, error.fault), ("INVALID_CONFIG", Fault::Refused));

    let found = ready(admin.describe(&["a".into(), "gone".into(), "b".into()], 0)).unwrap();
    let line = |info: &Option<headwater::kafka::TopicInfo>| {
        let Some(info) = info else { return "-".to_owned() };
        let policy = info.configs.iter().find(|(name, _)| name == "cleanup.policy").unwrap();
        format!("{} {} {}", info.name, info.partitions, policy.1)
    };
    assert_eq!(found.iter().map(line).collect::<Vec<_>>(), ["a 3 compact", "-", "b 3 delete"]);
    assert_ne!(found[0].as_ref().unwrap().id, found[2].as_ref().unwrap().id);

    let partition = TopicPartition::new("b", 0);
    let mut producer = writer(&cluster, Some("w"));
    for value in ["x", "y", "z"] {
        send(producer.as_mut(), &partition, value);
        ready(producer.flush(0)).unwrap();
    }
    let mut bounds = |isolation| ready(admin.bounds(std::slice::from_ref(&partition), isolation, 0)).unwrap();
    assert_eq!(bounds(Isolation::ReadCommitted), [(0, 0)]);
    assert_eq!(bounds(Isolation::ReadUncommitted), [(0, 3)]);
    ready(producer.commit(0)).unwrap();
    assert_eq!(bounds(Isolation::ReadCommitted), [(0, 4)]);
    ready(admin.delete_records(&[(partition.clone(), 2)], 0)).unwrap();
    assert_eq!(
        ready(admin.bounds(std::slice::from_ref(&partition), Isolation::ReadCommitted, 0)).unwrap(),
        [(2, 4)]
    );
    assert_eq!(committed(&cluster, &partition), "z");
    let error =
        ready(admin.bounds(&[TopicPartition::new("gone", 0)], Isolation::ReadCommitted, 0)).unwrap_err();
    assert_eq!(error.code, "UNKNOWN_TOPIC_OR_PARTITION");
}

#[test]
fn waiting_ends_with_news() {
    let cluster = cluster("t");
    // What happened before we first wait may be news to us.
    cluster.wait(60_000);
    cluster.wait(0);
    let other = cluster.clone();
    let writes = std::thread::spawn(move || {
        let mut producer = writer(&other, None);
        send(producer.as_mut(), &TopicPartition::new("t", 0), "a");
        ready(producer.flush(0)).unwrap();
    });
    cluster.wait(60_000);
    writes.join().unwrap();
}

/// As clients of other languages do through a port.
#[cfg(feature = "embedded")]
#[test]
fn records_that_somebody_has_compressed_are_read() {
    use headwater_broker::api::{ProducePartition, ProduceRequest, ProduceResponse};
    use headwater_broker::batch::{BatchOptions, Compression, Record, codec, encode};

    let cluster = cluster("t");
    let at = TopicPartition::new("t", 0);
    for (number, codec) in
        [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd].into_iter().enumerate()
    {
        let values = [format!("{number}a"), format!("{number}b")];
        let records = values.iter().map(|value| Record::new(0, None, Some(value.as_bytes())));
        let batch = codec::pack_batch(encode(&BatchOptions::default(), records), codec).unwrap();
        let to = headwater_broker::TopicPartition::new("t", 0);
        let partitions = vec![ProducePartition { at: to, batch: batch.into() }];
        let request = ProduceRequest { transactional_id: None, partitions };
        let client = headwater_broker::ClientId::new("foreign");
        let answer = cluster.broker().call(&client, request, 0).unwrap();
        assert_eq!(ProduceResponse::try_from(answer).unwrap().partitions[0].error, ErrorCode::None);
    }
    assert_eq!(values(&cluster, &at, Isolation::ReadCommitted), "0a 0b 1a 1b 2a 2b 3a 3b");
    let mut consumer = cluster.consumer("reader", Isolation::ReadCommitted);
    consumer.add(&at, 3);
    let fetched = consumer.fetch(&at, 1 << 20, 0).unwrap().unwrap();
    assert_eq!(fetched.records.get(0).value, Some(&b"1b"[..]), "from the middle of a batch");
}
