//! Transactions: atomic, fenced, timed out, repeatable.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use headwater_broker::api::{
    GroupState, InitProducerIdRequest, InitProducerIdResponse, MemberClaim, ProducerStamp,
};
use headwater_broker::batch::BatchOptions;
use headwater_broker::batch::MarkerKind;
use headwater_broker::broker::RecordState;
use headwater_broker::faults::MarkerDelay;
use headwater_broker::transaction::TransactionState;
use headwater_broker::{BrokerConfig, ErrorCode};
use rig::{REBALANCE_MS, Rig, TXN_TIMEOUT_MS, txn};
use std::sync::Arc;

fn state(rig: &Rig) -> TransactionState {
    rig.broker.transaction("x").unwrap().state
}

#[test]
fn a_commit_shows_everything_and_an_abort_nothing() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    assert_eq!(state(&rig), TransactionState::Empty);
    for (sequence, commit) in [(0, true), (1, false), (2, true)] {
        assert_eq!(rig.add("x", x, &["t"]), ErrorCode::None);
        assert_eq!(state(&rig), TransactionState::Ongoing);
        rig.produce_as("t", &txn(x, sequence), &[&format!("k={sequence}")]).unwrap();
        assert_eq!(rig.end("x", x, commit), ErrorCode::None);
    }
    assert_eq!(state(&rig), TransactionState::CompleteCommit);
    assert_eq!(rig.committed("t"), ["0:k=0", "4:k=2"]);
    let states: Vec<RecordState> =
        rig.broker.records("t", 0).unwrap().iter().map(|record| record.state).collect();
    let (commit, abort) = (RecordState::Marker(MarkerKind::Commit), RecordState::Marker(MarkerKind::Abort));
    let (kept, dropped) = (RecordState::Committed, RecordState::Aborted);
    assert_eq!(states, [kept, commit, dropped, abort, kept, commit]);
    assert_eq!(rig.broker.committed_records("t", 0).unwrap().len(), 2);
}

#[test]
fn only_registered_partitions_may_be_written() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    assert_eq!(rig.produce_as("t", &txn(x, 0), &["k=1"]), Err(ErrorCode::InvalidTxnState));
    let nobody = ProducerStamp { id: 77, epoch: 0 };
    assert_eq!(rig.produce_as("t", &txn(nobody, 0), &["k=1"]), Err(ErrorCode::InvalidProducerIdMapping));
    rig.add("x", x, &["t"]);
    assert_eq!(rig.produce_as("t", &txn(x, 0), &["k=1"]), Ok(0));
    let plain = BatchOptions::idempotent(x.id, x.epoch, 1);
    assert_eq!(rig.produce_as("t", &plain, &["k=2"]), Err(ErrorCode::InvalidTxnState));
    rig.end("x", x, true);
    assert_eq!(rig.produce_as("t", &txn(x, 1), &["k=2"]), Err(ErrorCode::InvalidTxnState));
    assert_eq!(rig.produce_as("t", &txn(x, 0), &["k=1"]), Ok(0), "a repeated batch is still a duplicate");
    assert_eq!(rig.committed("t"), ["0:k=1"]);
}

#[test]
fn registration_is_all_or_nothing() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    assert_eq!(rig.add("x", x, &["t", "missing"]), ErrorCode::OperationNotAttempted);
    assert_eq!(rig.add("x", x, &["missing", "t"]), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(state(&rig), TransactionState::Empty);
    let other = ProducerStamp { id: x.id + 1, ..x };
    assert_eq!(rig.add("x", other, &["t"]), ErrorCode::InvalidProducerIdMapping);
    assert_eq!(rig.add("y", x, &["t"]), ErrorCode::InvalidProducerIdMapping);
    let newer = ProducerStamp { epoch: x.epoch + 1, ..x };
    assert_eq!(rig.add("x", newer, &["t"]), ErrorCode::ProducerFenced);
}

#[test]
fn ends_may_be_repeated_but_not_changed() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    assert_eq!(rig.end("x", x, true), ErrorCode::InvalidTxnState, "nothing was begun");
    for commit in [true, false] {
        rig.add("x", x, &["t"]);
        for _ in 0..3 {
            assert_eq!(rig.end("x", x, commit), ErrorCode::None);
        }
        assert_eq!(rig.end("x", x, !commit), ErrorCode::InvalidTxnState);
    }
    assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, 2, "one marker for each transaction");
}

/// Pitfall: fence first, then abort. The marker carries the new epoch, so the zombie's late batch is refused.
#[test]
fn a_new_producer_fences_the_old_one_and_aborts_its_transaction() {
    let mut rig = Rig::with_topic("t");
    let zombie = rig.init("x");
    rig.add("x", zombie, &["t"]);
    rig.produce_as("t", &txn(zombie, 0), &["k=zombie"]).unwrap();
    let x = rig.init("x");
    assert_eq!((x.id, x.epoch > zombie.epoch), (zombie.id, true));
    let marker = rig.broker.records("t", 0).unwrap().remove(1);
    assert_eq!(marker.state, RecordState::Marker(MarkerKind::Abort));
    assert!(marker.producer.unwrap().epoch > zombie.epoch);
    assert_eq!(rig.produce_as("t", &txn(zombie, 1), &["k=late"]), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(rig.add("x", zombie, &["t"]), ErrorCode::ProducerFenced);
    assert_eq!(rig.end("x", zombie, true), ErrorCode::ProducerFenced);
    assert_eq!(rig.add_offsets("x", zombie, "g"), ErrorCode::ProducerFenced);
    let commit = rig.txn_offset("x", zombie, ("g", MemberClaim::none()), ("t", 1));
    assert_eq!(commit, ErrorCode::InvalidProducerEpoch);
    rig.add("x", x, &["t"]);
    assert_eq!(rig.produce_as("t", &txn(zombie, 1), &["k=late"]), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(rig.produce_as("t", &txn(x, 0), &["k=1"]), Ok(2));
    rig.end("x", x, true);
    assert_eq!(rig.committed("t"), ["2:k=1"]);
}

#[test]
fn a_producer_may_bump_its_own_epoch_and_repeat_that() {
    let mut rig = Rig::with_topic("t");
    let first = rig.init("x");
    let second = rig.try_init("x", Some(first)).unwrap();
    assert_eq!(second, ProducerStamp { epoch: first.epoch + 1, ..first });
    assert_eq!(rig.try_init("x", Some(first)), Ok(second), "the answer was lost: the same again");
    let third = rig.try_init("x", Some(second)).unwrap();
    assert_eq!(rig.try_init("x", Some(first)), Err(ErrorCode::ProducerFenced));
    let other = ProducerStamp { id: first.id + 9, ..third };
    assert_eq!(rig.try_init("x", Some(other)), Err(ErrorCode::ProducerFenced));
    rig.add("x", third, &["t"]);
    rig.produce_as("t", &txn(third, 0), &["k=1"]).unwrap();
    assert_eq!(rig.try_init("x", Some(second)), Err(ErrorCode::ProducerFenced));
    assert_eq!(state(&rig), TransactionState::Ongoing, "a zombie cannot abort");
    let fourth = rig.try_init("x", Some(third)).unwrap();
    assert!(fourth.epoch > third.epoch);
    assert_eq!(rig.committed("t"), [""; 0]);
    let newcomer = rig.init("x");
    assert_eq!(rig.try_init("x", Some(fourth)), Err(ErrorCode::ProducerFenced));
    assert!(newcomer.epoch > fourth.epoch);
}

#[test]
fn used_up_epochs_lead_to_a_new_producer_id() {
    let mut rig = Rig::with_topic("t");
    let mut last = rig.init("x");
    let first_id = last.id;
    for _ in 0..40_000 {
        let next = rig.init("x");
        assert!(next.epoch == last.epoch + 1 && next.id == last.id || next.epoch == 0 && next.id != last.id);
        assert!(next.epoch < i16::MAX);
        last = next;
    }
    assert_ne!(last.id, first_id);
    rig.add("x", last, &["t"]);
    assert_eq!(rig.produce_as("t", &txn(last, 0), &["k=1"]), Ok(0));
}

#[test]
fn a_producer_that_gives_its_open_transaction_up_may_ask_twice() {
    let mut rig = Rig::with_topic("t");
    let first = rig.init("x");
    rig.add("x", first, &["t"]);
    rig.produce_as("t", &txn(first, 0), &["a=1"]).unwrap();
    let second = rig.try_init("x", Some(first)).unwrap();
    assert!(second.id == first.id && second.epoch > first.epoch, "{first:?} {second:?}");
    assert_eq!(rig.try_init("x", Some(first)), Ok(second), "the answer was lost: the same again");
    rig.add("x", second, &["t"]);
    assert_eq!(rig.try_init("x", Some(first)), Err(ErrorCode::ProducerFenced), "a late copy of the request");
    rig.produce_as("t", &txn(second, 0), &["b=1"]).unwrap();
    assert_eq!(rig.end("x", second, true), ErrorCode::None);
    assert_eq!(rig.committed("t"), ["2:b=1"]);
}

#[test]
fn init_checks_its_arguments() {
    let mut rig = Rig::new();
    let mut init = |id: Option<&str>, transaction_timeout_ms| {
        let transactional_id = id.map(Arc::from);
        let request = InitProducerIdRequest { transactional_id, transaction_timeout_ms, current: None };
        let answer: InitProducerIdResponse = rig.ask(request);
        (answer.error, answer.producer.id)
    };
    assert_eq!(init(Some("x"), 900_001), (ErrorCode::InvalidTransactionTimeout, -1));
    assert_eq!(init(Some("x"), 0), (ErrorCode::InvalidTransactionTimeout, -1));
    assert_eq!(init(Some(""), 1), (ErrorCode::InvalidRequest, -1));
    assert_eq!(init(None, 0), (ErrorCode::None, 0));
    assert_eq!(init(None, 0), (ErrorCode::None, 1));
    assert_eq!(init(Some("x"), 900_000), (ErrorCode::None, 2));
}

#[test]
fn a_silent_transaction_is_aborted_and_its_producer_fenced() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    rig.pass(TXN_TIMEOUT_MS * 2);
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["k=1"]).unwrap();
    rig.pass(TXN_TIMEOUT_MS - 1);
    assert_eq!(state(&rig), TransactionState::Ongoing);
    assert_eq!(rig.broker.next_deadline(), Some(rig.now + 1));
    rig.pass(1);
    assert_eq!(state(&rig), TransactionState::CompleteAbort);
    assert_eq!(rig.end("x", x, true), ErrorCode::ProducerFenced);
    assert_eq!(rig.produce_as("t", &txn(x, 1), &["k=2"]), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(rig.broker.partition("t", 0).unwrap().last_stable_offset, 2);
    assert_eq!(rig.committed("t"), [""; 0]);
}

#[test]
fn offsets_count_when_the_transaction_is_committed() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    let claim = rig.group_of_one("g");
    let commit = |rig: &mut Rig, offset| rig.txn_offset("x", x, ("g", claim.clone()), ("t", offset));
    assert_eq!(commit(&mut rig, 5), ErrorCode::InvalidTxnState, "the group was not added");
    rig.add_offsets("x", x, "g");
    assert_eq!(commit(&mut rig, 5), ErrorCode::None);
    assert_eq!(rig.fetch_offset("g", "t", true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(rig.fetch_offset("g", "t", false), Ok(-1));
    assert_eq!(rig.broker.pending_offsets("g")[0].committed.offset, 5);
    rig.end("x", x, false);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(-1));
    rig.add_offsets("x", x, "g");
    assert_eq!(commit(&mut rig, 6), ErrorCode::None);
    rig.end("x", x, true);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(6));
    rig.add_offsets("x", x, "g");
    commit(&mut rig, 7);
    assert_eq!(rig.commit_offset("g", claim.clone(), "t", 9), ErrorCode::None);
    rig.end("x", x, true);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(9), "the later commit wins");
}

/// KIP-447: a producer whose member was thrown out of the group cannot commit its offsets.
#[test]
fn offsets_of_stale_members_are_refused() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    let stale = rig.group_of_one("g");
    rig.add_offsets("x", x, "g");
    rig.broker.expire_member("g", &stale.member_id, rig.now).unwrap();
    let current = rig.group_of_one("g");
    assert!(current.generation > stale.generation);
    let commit = |rig: &mut Rig, claim: &MemberClaim| rig.txn_offset("x", x, ("g", claim.clone()), ("t", 1));
    let older = MemberClaim::new(stale.generation, current.member_id.clone());
    assert_eq!(commit(&mut rig, &stale), ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut rig, &older), ErrorCode::IllegalGeneration);
    let no_instance = MemberClaim { group_instance_id: Some(Arc::from("i")), ..current.clone() };
    assert_eq!(commit(&mut rig, &no_instance), ErrorCode::UnknownMemberId);
    assert_eq!(rig.broker.pending_offsets("g"), []);
    assert_eq!(commit(&mut rig, &current), ErrorCode::None);
    assert_eq!(
        commit(&mut rig, &MemberClaim::none()),
        ErrorCode::None,
        "no claim is not checked, as in Kafka"
    );
    let unknown = rig.add_offsets("x", x, "new");
    assert_eq!(unknown, ErrorCode::None);
    let claim = MemberClaim::new(1, "somebody");
    assert_eq!(rig.txn_offset("x", x, ("new", claim), ("t", 1)), ErrorCode::IllegalGeneration);
}

/// As in Kafka, transactional commits are taken while the group waits for its leader; plain ones are not.
#[test]
fn transactional_commits_are_taken_during_the_sync_phase() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    let ticket = rig.join("g", "c", "");
    let joined = rig.joined(ticket);
    let claim = MemberClaim::new(joined.generation, joined.member_id);
    assert_eq!(rig.broker.group("g").unwrap().state, GroupState::CompletingRebalance);
    rig.add_offsets("x", x, "g");
    assert_eq!(rig.txn_offset("x", x, ("g", claim.clone()), ("t", 1)), ErrorCode::None);
    assert_eq!(rig.commit_offset("g", claim, "t", 1), ErrorCode::RebalanceInProgress);
    rig.pass(REBALANCE_MS);
}

/// The answer to EndTxn says that the decision is made, not that all markers are written: offsets may be
/// stable while a changelog's last stable offset lags.
#[test]
fn markers_may_lag_behind_the_decision() {
    let mut rig = Rig::with_topic("t");
    rig.topic(headwater_broker::api::NewTopic::new("u", 1));
    rig.broker.faults_mut().marker_delay = MarkerDelay { offsets_ms: 5, data_ms: 10, step_ms: 10 };
    let x = rig.init("x");
    rig.add("x", x, &["t", "u"]);
    rig.add_offsets("x", x, "g");
    rig.produce_as("t", &txn(x, 0), &["k=1"]).unwrap();
    rig.produce_as("u", &txn(x, 0), &["k=1"]).unwrap();
    rig.txn_offset("x", x, ("g", MemberClaim::none()), ("t", 7));
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    assert_eq!(state(&rig), TransactionState::PrepareCommit);
    assert_eq!(rig.end("x", x, true), ErrorCode::ConcurrentTransactions);
    assert_eq!(rig.end("x", x, false), ErrorCode::InvalidTxnState);
    assert_eq!(rig.add("x", x, &["t"]), ErrorCode::ConcurrentTransactions);
    assert_eq!(rig.try_init("x", None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(rig.produce_as("t", &txn(x, 1), &["k=2"]), Err(ErrorCode::ConcurrentTransactions));
    let mut seen = Vec::new();
    while let Some(next) = rig.broker.next_deadline() {
        rig.pass(next - rig.now);
        let stable = |topic| rig.broker.partition(topic, 0).unwrap().last_stable_offset;
        let (t, u) = (stable("t"), stable("u"));
        seen.push((rig.fetch_offset("g", "t", true), t, u));
    }
    assert_eq!(seen, [(Ok(7), 0, 0), (Ok(7), 2, 0), (Ok(7), 2, 2)]);
    assert_eq!(state(&rig), TransactionState::CompleteCommit);
}

#[test]
fn a_fencing_with_lagging_markers_asks_the_newcomer_to_wait() {
    let mut rig = Rig::with_topic("t");
    rig.broker.faults_mut().marker_delay.data_ms = 10;
    let zombie = rig.init("x");
    rig.add("x", zombie, &["t"]);
    rig.produce_as("t", &txn(zombie, 0), &["k=1"]).unwrap();
    assert_eq!(rig.try_init("x", None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(rig.end("x", zombie, true), ErrorCode::ProducerFenced, "fenced before the abort is through");
    assert_eq!(rig.produce_as("t", &txn(zombie, 1), &["k=2"]), Err(ErrorCode::InvalidProducerEpoch));
    rig.pass(10);
    let x = rig.init("x");
    assert!(x.epoch > zombie.epoch + 1);
    assert_eq!(rig.committed("t"), [""; 0]);
}

#[test]
fn a_deleted_topic_does_not_hold_a_transaction_up() {
    let mut rig = Rig::with(BrokerConfig { default_partitions: 2, ..BrokerConfig::default() });
    rig.topic(headwater_broker::api::NewTopic::new("t", -1));
    assert_eq!(rig.broker.partition_count("t"), Some(2));
    let x = rig.init("x");
    rig.add("x", x, &["t"]);
    let topics = vec![Arc::from("t")];
    rig.ask::<headwater_broker::api::DeleteTopicsResponse>(headwater_broker::api::DeleteTopicsRequest {
        topics,
    });
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    assert_eq!(state(&rig), TransactionState::CompleteCommit);
}
