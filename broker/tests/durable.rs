//! What outlives a broker: a second one on the same storage knows all that the first one has answered.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use headwater_broker::api::{
    AlterConfigsRequest, AlterConfigsResponse, AlteredTopic, CreatePartitionsRequest,
    CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    InitProducerIdRequest, InitProducerIdResponse, MemberClaim, NewPartitions, NewTopic, OffsetDeleteRequest,
    OffsetDeleteResponse,
};
use headwater_broker::batch::BatchOptions;
use headwater_broker::storage::Storage;
use headwater_broker::storage::files::{DiskFaults, FileOptions, FileStorage};
use headwater_broker::transaction::TransactionState;
use headwater_broker::{Broker, BrokerConfig, ErrorCode, TopicPartition};
use rig::{Rig, SESSION_MS, txn};

fn files(faults: &DiskFaults) -> Rig {
    Rig::in_folder(BrokerConfig::default(), faults.clone())
}

/// Another process takes over: after a kill, or after an orderly end.
fn take_over(rig: &mut Rig, orderly: bool) {
    if orderly {
        rig.broker.close(rig.now).unwrap();
    }
    rig.reopen();
}

fn delete_topic(rig: &mut Rig, name: &str) -> ErrorCode {
    let request = DeleteTopicsRequest { topics: vec![Arc::from(name)] };
    rig.ask::<DeleteTopicsResponse>(request).topics[0].error
}

fn grow(rig: &mut Rig, name: &str, total: i32) -> ErrorCode {
    let topics = vec![NewPartitions { name: Arc::from(name), total }];
    let request = CreatePartitionsRequest { topics, validate_only: false };
    rig.ask::<CreatePartitionsResponse>(request).topics[0].error
}

fn alter(rig: &mut Rig, name: &str, setting: (&str, &str)) -> ErrorCode {
    let changes = BTreeMap::from([(setting.0.to_owned(), Some(setting.1.to_owned()))]);
    let topics = vec![AlteredTopic { name: Arc::from(name), changes }];
    let request = AlterConfigsRequest { topics, validate_only: false };
    rig.ask::<AlterConfigsResponse>(request).topics[0].error
}

fn setting(rig: &mut Rig, topic: &str, name: &str) -> String {
    let request = DescribeConfigsRequest { topics: vec![Arc::from(topic)] };
    rig.ask::<DescribeConfigsResponse>(request).topics[0].value(name).unwrap().to_owned()
}

fn delete_offset(rig: &mut Rig, group: &str, topic: &str) -> ErrorCode {
    let partitions = vec![TopicPartition::new(topic, 0)];
    let request = OffsetDeleteRequest { group_id: Arc::from(group), partitions };
    rig.ask::<OffsetDeleteResponse>(request).partitions[0].error
}

fn delete_group(rig: &mut Rig, group: &str) -> ErrorCode {
    let request = DeleteGroupsRequest { group_ids: vec![Arc::from(group)] };
    rig.ask::<DeleteGroupsResponse>(request).groups[0].error
}

#[test]
fn topics_are_what_they_were() {
    for orderly in [false, true] {
        let mut rig = files(&DiskFaults::default());
        for topic in ["kept", "gone", "again"] {
            rig.topic(NewTopic::new(topic, 1).with_config("retention.ms", "77"));
            rig.produce(topic, &["a=1"]);
        }
        let id = |rig: &Rig, topic| rig.broker.partition(topic, 0).unwrap().topic_id;
        assert_eq!(grow(&mut rig, "kept", 3), ErrorCode::None);
        assert_eq!(alter(&mut rig, "kept", ("cleanup.policy", "compact")), ErrorCode::None);
        rig.commit_offset("g", MemberClaim::none(), "gone", 1);
        assert_eq!(delete_topic(&mut rig, "gone"), ErrorCode::None);
        assert_eq!(delete_topic(&mut rig, "again"), ErrorCode::None);
        rig.topic(NewTopic::new("again", 1));
        let known = (id(&rig, "kept"), id(&rig, "again"));
        for start in 1..=2 {
            take_over(&mut rig, orderly);
            assert_eq!(rig.broker.topics(), ["again", "kept"]);
            assert_eq!(rig.broker.partition_count("kept"), Some(3));
            assert_eq!((id(&rig, "kept"), id(&rig, "again")), known);
            assert_eq!(setting(&mut rig, "kept", "cleanup.policy"), "compact");
            assert_eq!(setting(&mut rig, "kept", "retention.ms"), "77");
            let view = rig.broker.partition("kept", 0).unwrap();
            assert_eq!((view.high_watermark, view.leader_epoch), (1, start));
            assert_eq!(rig.broker.partition("again", 0).unwrap().high_watermark, 0);
            assert_eq!(rig.fetch_offset("g", "gone", true), Ok(-1));
            assert_eq!(rig.broker.take_damages(), []);
        }
        rig.topic(NewTopic::new("later", 1));
        assert_eq!(rig.broker.partition("later", 0).unwrap().leader_epoch, 0, "its epochs begin with it");
        take_over(&mut rig, orderly);
        assert_eq!(rig.broker.partition("later", 0).unwrap().leader_epoch, 1);
    }
}

#[test]
fn groups_keep_their_offsets_and_their_numbers() {
    let mut rig = files(&DiskFaults::default());
    for topic in ["t", "u"] {
        rig.topic(NewTopic::new(topic, 1));
    }
    let member = rig.group_of_one("g");
    assert_eq!(member.generation, 1);
    rig.commit_offset("g", member.clone(), "t", 5);
    rig.commit_offset("g", member, "t", 7);
    for group in ["plain", "deleted"] {
        rig.commit_offset(group, MemberClaim::none(), "t", 3);
        rig.commit_offset(group, MemberClaim::none(), "u", 4);
    }
    assert_eq!(delete_offset(&mut rig, "plain", "u"), ErrorCode::None);
    assert_eq!(delete_group(&mut rig, "deleted"), ErrorCode::None);
    take_over(&mut rig, false);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(7));
    assert_eq!([rig.fetch_offset("plain", "t", true), rig.fetch_offset("plain", "u", true)], [Ok(3), Ok(-1)]);
    assert!(rig.broker.group("deleted").is_none());
    rig.pass(SESSION_MS);
    assert_eq!(rig.group_of_one("g").generation, 3, "a number never comes twice");
    let ids: Vec<_> = rig.broker.group("g").unwrap().members.into_iter().map(|one| one.member_id).collect();
    take_over(&mut rig, false);
    rig.pass(SESSION_MS);
    assert_eq!(rig.group_of_one("g").generation, 5);
    let again = rig.broker.group("g").unwrap().members.remove(0).member_id;
    assert!(!ids.contains(&again), "nor does a member's id");
}

#[test]
fn a_producer_id_is_given_out_once() {
    let mut rig = files(&DiskFaults::default());
    let mut given = BTreeSet::new();
    for start in 0..4 {
        for _ in 0..=start {
            let request = InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: 60_000,
                current: None,
            };
            assert!(given.insert(rig.ask::<InitProducerIdResponse>(request).producer.id));
        }
        take_over(&mut rig, false);
    }
}

#[test]
fn what_expires_stays_expired() {
    let mut rig = files(&DiskFaults::default());
    rig.topic(NewTopic::new("t", 1));
    rig.commit_offset("g", MemberClaim::none(), "t", 3);
    let retention_ms = rig.broker.config().offsets_retention_ms;
    take_over(&mut rig, false);
    rig.now += retention_ms - 1;
    rig.broker.expire_offsets(rig.now);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(3), "its age counts from its commit");
    rig.now += 1;
    rig.broker.expire_offsets(rig.now);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(-1));
    take_over(&mut rig, false);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(-1));
}

#[test]
fn transactions_go_on_where_they_were() {
    let mut rig = files(&DiskFaults::default());
    rig.topic(NewTopic::new("t", 1));
    let (open, late) = (rig.init("open"), rig.init("late"));
    for (id, producer) in [("open", open), ("late", late)] {
        rig.add(id, producer, &["t"]);
        rig.add_offsets(id, producer, "g");
        rig.produce_as("t", &txn(producer, 0), &[&format!("{id}=1")]).unwrap();
    }
    rig.txn_offset("open", open, ("g", MemberClaim::none()), ("t", 9));
    take_over(&mut rig, false);
    assert_eq!(rig.fetch_offset("g", "t", true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(rig.produce_as("t", &txn(open, 1), &["open=2"]), Ok(2));
    assert_eq!(rig.end("open", open, true), ErrorCode::None);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(9));
    rig.pass(rig::TXN_TIMEOUT_MS);
    assert_eq!(rig.broker.transaction("late").unwrap().state, TransactionState::CompleteAbort);
    assert_eq!(rig.committed("t"), ["0:open=1", "2:open=2"]);
    take_over(&mut rig, true);
    assert_eq!(rig.end("open", open, true), ErrorCode::None, "an EndTxn may be repeated");
    assert_eq!(rig.produce_as("t", &txn(late, 1), &["late=2"]), Err(ErrorCode::InvalidProducerEpoch));
    let fresh = [rig.init("new").id, rig.init("newer").id];
    assert!(!fresh.contains(&open.id) && !fresh.contains(&late.id) && fresh[0] != fresh[1]);
    assert_eq!(rig.try_init("open", Some(open)).map(|stamp| stamp.epoch), Ok(open.epoch + 1));
}

/// The decision is what counts: whatever was written after it, all of it is there in the end, once.
#[test]
fn a_decided_transaction_is_ended_whenever_the_broker_dies() {
    for commit in [true, false] {
        let mut changes = 0;
        loop {
            let faults = DiskFaults::default();
            let mut rig = files(&faults);
            for topic in ["t", "u"] {
                rig.topic(NewTopic::new(topic, 1));
            }
            let x = rig.init("x");
            rig.add("x", x, &["t", "u"]);
            rig.add_offsets("x", x, "g");
            rig.produce_as("t", &txn(x, 0), &["a=1"]).unwrap();
            rig.produce_as("u", &txn(x, 0), &["b=1"]).unwrap();
            rig.txn_offset("x", x, ("g", MemberClaim::none()), ("t", 9));
            faults.stop_after(Some(changes));
            let answer = rig.end("x", x, commit);
            let done = faults.changes() <= changes;
            let deadline = rig.broker.next_deadline();
            assert!(deadline.is_none_or(|due| due > rig.now), "nobody runs in circles");
            faults.stop_after(None);
            take_over(&mut rig, false);
            rig.pass(0);
            let state = rig.broker.transaction("x").unwrap().state;
            if changes == 0 {
                assert_eq!((answer, state), (ErrorCode::CoordinatorNotAvailable, TransactionState::Ongoing));
                assert_eq!(
                    rig.end("x", x, commit),
                    ErrorCode::None,
                    "it is undecided, and can be ended again"
                );
            } else {
                assert_eq!(answer, ErrorCode::None);
                let complete = [TransactionState::CompleteAbort, TransactionState::CompleteCommit];
                assert_eq!(state, complete[usize::from(commit)], "died after {changes}");
            }
            let visible = usize::from(commit);
            assert_eq!([rig.committed("t").len(), rig.committed("u").len()], [visible; 2], "{changes}");
            assert_eq!(rig.fetch_offset("g", "t", true), Ok(if commit { 9 } else { -1 }));
            for topic in ["t", "u"] {
                let end = rig.broker.partition(topic, 0).unwrap().high_watermark;
                assert_eq!(end, 2, "one marker, died after {changes}");
            }
            rig.add("x", x, &["t"]);
            assert_eq!(rig.produce_as("t", &txn(x, 1), &["a=2"]), Ok(2), "its sequence goes on");
            if done {
                break;
            }
            changes += 1;
        }
        assert!(changes > 3);
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_has_not_happened() {
    let faults = DiskFaults::default();
    let mut rig = files(&faults);
    rig.topic(NewTopic::new("t", 1));
    rig.commit_offset("g", MemberClaim::none(), "t", 3);
    let x = rig.init("x");
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["a=1"]).unwrap();
    let (coordinator, storage) = (ErrorCode::CoordinatorNotAvailable, ErrorCode::KafkaStorageError);
    faults.leave_room(Some(3));
    let answer: CreateTopicsResponse = rig.ask(CreateTopicsRequest::new(vec![NewTopic::new("new", 1)]));
    assert_eq!(answer.topics[0].error, storage);
    assert_eq!(delete_topic(&mut rig, "t"), storage);
    assert_eq!(grow(&mut rig, "t", 2), storage);
    assert_eq!(alter(&mut rig, "t", ("retention.ms", "5")), storage);
    assert_eq!(rig.commit_offset("g", MemberClaim::none(), "t", 4), coordinator);
    assert_eq!(delete_offset(&mut rig, "g", "t"), coordinator);
    assert_eq!(delete_group(&mut rig, "g"), coordinator);
    assert_eq!(rig.try_init("x", None), Err(coordinator));
    assert_eq!(rig.try_init("y", None), Err(coordinator));
    assert_eq!(rig.add_offsets("x", x, "g"), coordinator);
    assert_eq!(rig.end("x", x, true), coordinator);
    let ticket = rig.join("members", "client", "");
    assert_eq!(rig.joined(ticket).error, coordinator);
    rig.pass(rig::TXN_TIMEOUT_MS);
    assert!(rig.broker.next_deadline().unwrap() > rig.now, "nobody runs in circles");
    let check = |rig: &mut Rig| {
        assert_eq!(rig.broker.topics(), ["t"]);
        assert_eq!(rig.broker.partition_count("t"), Some(1));
        assert_eq!(setting(rig, "t", "retention.ms"), "604800000");
        assert_eq!(rig.fetch_offset("g", "t", true), Ok(3));
        let transaction = rig.broker.transaction("x").unwrap();
        assert_eq!((transaction.state, transaction.producer), (TransactionState::Ongoing, x));
        assert!(transaction.groups.is_empty() && rig.broker.transaction("y").is_none());
    };
    check(&mut rig);
    faults.leave_room(None);
    rig.now -= rig::TXN_TIMEOUT_MS;
    take_over(&mut rig, false);
    check(&mut rig);
    assert_eq!(rig.broker.take_damages(), [], "nothing is left of what was refused");
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    rig.topic(NewTopic::new("new", 1));
    assert_eq!(grow(&mut rig, "t", 2), ErrorCode::None);
}

#[test]
fn a_start_on_a_full_disk_serves_what_is_there_and_goes_on_when_there_is_room() {
    let faults = DiskFaults::default();
    let mut rig = files(&faults);
    rig.topic(NewTopic::new("t", 1));
    rig.produce("t", &["a=1"]);
    rig.commit_offset("g", MemberClaim::none(), "t", 1);
    let x = rig.init("x");
    rig.add("x", x, &["t"]);
    let epoch = |rig: &Rig| rig.broker.partition("t", 0).unwrap().leader_epoch;
    for start in 1..=3 {
        faults.leave_room(Some(0));
        for _ in 0..2 {
            take_over(&mut rig, false);
            assert_eq!(epoch(&rig), start, "a start that is not written down yet");
            assert_eq!(rig.fetch_offset("g", "t", true), Ok(1));
            let coordinator = ErrorCode::CoordinatorNotAvailable;
            assert_eq!(rig.commit_offset("g", MemberClaim::none(), "t", 2), coordinator);
            assert_eq!(rig.end("x", x, true), coordinator);
            let ticket = rig.join("members", "client", "");
            let joined = rig.joined(ticket);
            assert_eq!((joined.error, &*joined.member_id), (coordinator, ""));
            let refused = rig.produce_as("t", &BatchOptions::default(), &["b=2"]);
            assert_eq!(refused, Err(ErrorCode::KafkaStorageError));
            assert_eq!(rig.committed("t").len(), usize::try_from(start).unwrap());
        }
        faults.leave_room(None);
        assert_eq!(rig.produce("t", &["b=2"]), i64::from(start));
    }
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    take_over(&mut rig, true);
    assert_eq!((epoch(&rig), rig.committed("t").len()), (4, 4));
    assert_eq!(rig.broker.take_damages(), []);
}

#[test]
fn a_journal_that_grows_is_written_anew() {
    let mut rig = files(&DiskFaults::default());
    rig.topic(NewTopic::new("t", 1).with_config("retention.ms", "77"));
    let x = rig.init("x");
    rig.add("x", x, &["t"]);
    rig.add_offsets("x", x, "g");
    rig.txn_offset("x", x, ("g", MemberClaim::none()), ("t", 1));
    rig.commit_offset("g", MemberClaim::none(), "t", 2); // later than the pending one
    let member = rig.group_of_one("h");
    for offset in 0..40_000 {
        rig.commit_offset("h", member.clone(), "t", offset);
    }
    let meta = rig.file("t", "").parent().unwrap().join("meta");
    let journals: Vec<_> = fs::read_dir(meta).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(journals.len(), 1);
    assert_ne!(journals[0].file_name(), "journal-0.log");
    assert!(journals[0].metadata().unwrap().len() < 2 << 20);
    take_over(&mut rig, false);
    assert_eq!(setting(&mut rig, "t", "retention.ms"), "77");
    assert_eq!(rig.fetch_offset("h", "t", true), Ok(39_999));
    assert_eq!(rig.fetch_offset("g", "t", true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(2), "the later commit wins");
    assert_eq!(rig.heartbeat("h", member), ErrorCode::None);
}

/// The journal alone, cut and flipped at every byte.
#[test]
fn a_torn_journal_is_cut_and_a_damaged_entry_harms_nobody_else() {
    let folder = rig::Folder::new();
    let entries: Vec<Vec<u8>> = (1..=4_u8).map(|number| vec![number; usize::from(number) * 3]).collect();
    let open = || FileStorage::open(&folder.0, FileOptions::default()).unwrap();
    let mut storage = open();
    entries.iter().for_each(|entry| storage.journal_append(entry).unwrap());
    drop(storage);
    let path = folder.0.join("meta").join("journal-0.log");
    let good = fs::read(&path).unwrap();
    let replay = || {
        let mut storage = open();
        let mut seen = Vec::new();
        storage.journal_replay(&mut |entry| seen.push(entry.to_vec())).unwrap();
        let damages = storage.take_damages();
        storage.journal_append(b"n").unwrap();
        let mut again = Vec::new();
        storage.journal_replay(&mut |entry| again.push(entry.to_vec())).unwrap();
        assert_eq!(again.pop().as_deref(), Some(&b"n"[..]));
        assert_eq!(again, seen);
        assert!(storage.take_damages().len() <= damages.len(), "what was torn is cut off");
        (seen, damages)
    };
    let ends: Vec<usize> = entries
        .iter()
        .scan(0, |end, entry| {
            *end += 8 + entry.len();
            Some(*end)
        })
        .collect();
    for len in 0..=good.len() {
        fs::write(&path, &good[..len]).unwrap();
        let whole = ends.iter().filter(|end| **end <= len).count();
        let (seen, damages) = replay();
        assert_eq!(seen, entries[..whole], "cut at {len}");
        assert_eq!(damages.is_empty(), len == 0 || ends.contains(&len), "cut at {len}");
    }
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 0x01;
        fs::write(&path, flipped).unwrap();
        let hit = ends.iter().filter(|end| **end <= at).count();
        let (seen, damages) = replay();
        assert_eq!(seen[..hit], entries[..hit], "byte {at}");
        assert_eq!(seen[hit..], entries[hit + 1..], "byte {at}");
        assert!(!damages.is_empty(), "byte {at}");
    }
}

#[test]
fn a_producer_goes_on_where_all_its_records_were_deleted() {
    for orderly in [false, true] {
        let mut rig = files(&DiskFaults::default());
        let small = BTreeMap::from([("segment.bytes".to_owned(), "14".to_owned())]);
        rig.topic(NewTopic { configs: small, ..NewTopic::new("t", 1) });
        let batch = |sequence| BatchOptions::idempotent(7, 0, sequence);
        for sequence in 0..3 {
            rig.produce_as("t", &batch(sequence), &["a"]).unwrap();
        }
        let deleted = DeleteRecordsPartition { at: TopicPartition::new("t", 0), before_offset: 3 };
        rig.ask::<DeleteRecordsResponse>(DeleteRecordsRequest { partitions: vec![deleted] });
        take_over(&mut rig, orderly);
        assert_eq!(rig.produce_as("t", &batch(2), &["a"]), Ok(2), "known, though it is deleted");
        assert_eq!(rig.produce_as("t", &batch(3), &["a"]), Ok(3));
    }
}

#[test]
fn an_empty_storage_makes_a_new_broker() {
    let folder = rig::Folder::new();
    let storage = FileStorage::open(&folder.0, FileOptions::default()).unwrap();
    let broker = Broker::open(BrokerConfig::default(), Box::new(storage), 0).unwrap();
    assert!(broker.topics().is_empty() && !broker.is_down());
}
