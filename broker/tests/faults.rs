//! Faults: a network that loses, delays and repeats, a broker that crashes, and bugs that are planted on
//! purpose.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::sync::Arc;

use headwater_broker::api::{
    FetchResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, ListGroupsRequest,
    ListGroupsResponse, MemberClaim, NewTopic, ProducePartition, ProduceRequest, ProduceResponse,
};
use headwater_broker::batch::BatchOptions;
use headwater_broker::faults::{Rule, Verdict};
use headwater_broker::transaction::TransactionState;
use headwater_broker::{ApiKey, ClientId, ErrorCode, Network, Request, Response, Ticket, TopicPartition};
use rig::{Rig, batch_of, txn};

fn produce(text: &str) -> ProduceRequest {
    let batch = batch_of(&BatchOptions::default(), &[text]);
    let partitions = vec![ProducePartition { at: TopicPartition::new("t", 0), batch }];
    ProduceRequest { transactional_id: None, partitions }
}

fn heard(rig: &mut Rig, ticket: Ticket) -> bool {
    rig.poll::<ProduceResponse>(ticket).is_some()
}

#[test]
fn what_is_lost_stays_lost() {
    let mut rig = Rig::with_topic("t");
    rig.broker.faults_mut().rules.add(Rule::on(ApiKey::Produce, Verdict::DropRequest).times(1));
    rig.broker.faults_mut().rules.add(Rule::on(ApiKey::Produce, Verdict::DropResponse).times(1));
    let tickets = ["a=1", "b=1", "c=1"].map(|text| rig.submit("client", produce(text)));
    rig.pass(1_000_000);
    assert_eq!(tickets.map(|ticket| heard(&mut rig, ticket)), [false, false, true]);
    assert_eq!(rig.committed("t"), ["0:b=1", "1:c=1"]);
}

#[test]
fn delays_let_requests_and_answers_overtake_each_other() {
    let mut rig = Rig::with_topic("t");
    let delay = |request_ms, response_ms| {
        Rule::on(ApiKey::Produce, Verdict::Delay { request_ms, response_ms }).times(1)
    };
    for rule in [delay(20, 0), delay(0, 30), delay(10, 10)] {
        rig.broker.faults_mut().rules.add(rule);
    }
    let tickets = ["a=1", "b=1", "c=1"].map(|text| rig.submit("client", produce(text)));
    let mut answered = Vec::new();
    while let Some(next) = rig.broker.next_deadline() {
        rig.now = next;
        for (name, ticket) in ["a", "b", "c"].iter().zip(tickets) {
            if heard(&mut rig, ticket) {
                answered.push((*name, rig.now - 1_000_000));
            }
        }
    }
    assert_eq!(answered, [("a", 20), ("c", 20), ("b", 30)]);
    assert_eq!(rig.committed("t"), ["0:b=1", "1:c=1", "2:a=1"]);
}

#[test]
fn a_repeated_request_is_applied_twice_and_answered_once() {
    let mut rig = Rig::with_topic("t");
    rig.broker.faults_mut().rules.add(Rule::always(Verdict::Duplicate { after_ms: 10 }).times(1));
    let ticket = rig.submit("client", produce("a=1"));
    assert!(heard(&mut rig, ticket));
    rig.produce("t", &["b=1"]);
    rig.pass(10);
    assert!(!heard(&mut rig, ticket));
    assert_eq!(rig.committed("t"), ["0:a=1", "1:b=1", "2:a=1"]);
    // The idempotent producer is there for that.
    rig.broker.faults_mut().rules.add(Rule::always(Verdict::Duplicate { after_ms: 0 }).times(1));
    assert_eq!(rig.produce_as("t", &BatchOptions::idempotent(1, 0, 0), &["c=1"]), Ok(3));
    assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, 4);
}

#[test]
fn rules_choose_by_request_client_and_count() {
    let mut rig = Rig::new();
    let fail = Verdict::Fail(ErrorCode::CoordinatorNotAvailable);
    let rule = Rule::on(ApiKey::ListGroups, fail).by(ClientId::new("unlucky")).after(1).times(2);
    rig.broker.faults_mut().rules.add(rule);
    let mut ask = |client: &str| {
        let ticket = rig.submit(client, ListGroupsRequest::default());
        matches!(rig.broker.poll(ticket, 0), Some(Response::Error(ErrorCode::CoordinatorNotAvailable)))
    };
    assert_eq!(
        ["unlucky", "lucky", "unlucky", "lucky", "unlucky", "unlucky"].map(&mut ask),
        [false, false, true, false, true, false]
    );
}

/// A network as a simulation writes it: every second request of a client is lost.
struct EverySecond {
    counted: u64,
}

impl Network for EverySecond {
    fn verdict(&mut self, client: &ClientId, request: &Request, _now: i64) -> Verdict {
        assert_eq!((client.as_str(), request.api_key()), ("client", ApiKey::Produce));
        self.counted += 1;
        if self.counted.is_multiple_of(2) { Verdict::DropRequest } else { Verdict::Pass }
    }
}

#[test]
fn a_network_decides_over_every_request() {
    let mut rig = Rig::with_topic("t");
    rig.broker.faults_mut().network = Some(Box::new(EverySecond { counted: 0 }));
    let tickets = ["a=1", "b=1", "c=1"].map(|text| rig.submit("client", produce(text)));
    assert_eq!(tickets.map(|ticket| heard(&mut rig, ticket)), [true, false, true]);
}

#[test]
fn a_broken_connection_loses_answers_only() {
    let mut rig = Rig::with_topic("t");
    let rule = Rule::on(ApiKey::Produce, Verdict::Delay { request_ms: 5, response_ms: 5 }).times(2);
    rig.broker.faults_mut().rules.add(rule);
    let lost = rig.submit("gone", produce("a=1"));
    let kept = rig.submit("here", produce("b=1"));
    rig.broker.disconnect(&ClientId::new("gone"));
    rig.pass(5);
    rig.pass(5);
    assert!(!heard(&mut rig, lost) && heard(&mut rig, kept));
    assert_eq!(rig.committed("t"), ["0:a=1", "1:b=1"]);
    let abandoned = rig.submit("here", produce("c=1"));
    rig.broker.abandon(abandoned);
    assert!(!heard(&mut rig, abandoned));
}

#[test]
fn a_crash_loses_connections_and_neither_members_nor_data() {
    let mut rig = Rig::with_topic("t");
    rig.topic(NewTopic::new("u", 1));
    let (x, y) = (rig.init("x"), rig.init("y"));
    let member = rig.group_of_one("g");
    rig.commit_offset("g", member.clone(), "t", 1);
    rig.add("x", x, &["t"]);
    rig.add("y", y, &["u"]);
    rig.add_offsets("x", x, "g");
    rig.txn_offset("x", x, ("g", member.clone()), ("t", 5));
    rig.produce_as("t", &txn(x, 0), &["a=1"]).unwrap();
    rig.produce_as("u", &txn(y, 0), &["a=1"]).unwrap();
    rig.end("y", y, false);
    let before = (rig.broker.partition("t", 0).unwrap(), rig.broker.partition("u", 0).unwrap());
    let parked = rig.join("g", "second", "");
    rig.broker.crash(rig.now);
    let during = rig.submit("client", produce("b=1"));
    assert!(rig.broker.is_down() && rig.broker.next_deadline().is_none());
    for ticket in [parked, during] {
        assert_eq!(rig.broker.poll(ticket, 0), Some(Response::Error(ErrorCode::NetworkException)));
    }
    rig.pass(1_000_000);
    assert_eq!(rig.broker.transaction("x").unwrap().state, TransactionState::Ongoing, "the dead do nothing");
    rig.broker.restart(rig.now - 1_000_000).unwrap();
    let mut after = (rig.broker.partition("t", 0).unwrap(), rig.broker.partition("u", 0).unwrap());
    assert_eq!((after.0.leader_epoch, after.1.leader_epoch), (1, 1));
    (after.0.leader_epoch, after.1.leader_epoch) = (0, 0);
    assert_eq!(before, after);
    assert_eq!(after.0.last_stable_offset, 0, "the transaction is still open");
    assert_eq!(rig.committed("u"), [""; 0], "and the aborted one is still aborted");
    assert_eq!(rig.heartbeat("g", member.clone()), ErrorCode::None);
    assert_eq!(rig.fetch_offset("g", "t", true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(rig.produce_as("t", &txn(x, 0), &["a=1"]), Ok(0), "a duplicate is still known");
    assert_eq!(rig.produce_as("t", &txn(x, 1), &["a=2"]), Ok(1));
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(5));
    assert_eq!(rig.committed("t"), ["0:a=1", "1:a=2"]);
    assert_eq!(rig.commit_offset("g", member, "t", 6), ErrorCode::None);
}

#[test]
fn markers_that_a_crash_delays_are_still_written() {
    let mut rig = Rig::with_topic("t");
    rig.broker.faults_mut().marker_delay.data_ms = 10;
    let x = rig.init("x");
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["a=1"]).unwrap();
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    rig.broker.crash(rig.now);
    rig.pass(10);
    rig.broker.restart(rig.now).unwrap();
    assert_eq!(rig.committed("t"), [""; 0]);
    rig.pass(0);
    assert_eq!(rig.committed("t"), ["0:a=1"]);
}

#[test]
fn producers_are_fenced_and_members_expired_on_demand() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    let member = rig.group_of_one("g");
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["a=1"]).unwrap();
    rig.broker.fence_producer("x", rig.now).unwrap();
    assert_eq!(rig.produce_as("t", &txn(x, 1), &["a=2"]), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(rig.end("x", x, true), ErrorCode::ProducerFenced);
    assert_eq!(rig.broker.partition("t", 0).unwrap().open_transactions, []);
    assert_eq!(rig.broker.fence_producer("y", 0), Err(ErrorCode::TransactionalIdNotFound));
    let parked = rig.join("g", "second", "");
    rig.broker.expire_member("g", &member.member_id, rig.now).unwrap();
    assert_eq!(rig.poll::<JoinGroupResponse>(parked).unwrap().members.len(), 1);
    let heartbeat = HeartbeatRequest { group_id: Arc::from("g"), member: member.clone() };
    assert_eq!(rig.ask::<HeartbeatResponse>(heartbeat).error, ErrorCode::UnknownMemberId);
    let again = rig.broker.expire_member("g", &member.member_id, rig.now);
    assert_eq!(again, Err(ErrorCode::UnknownMemberId));
    assert_eq!(rig.broker.expire_member("h", "m", rig.now), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn planted_bugs_bite() {
    let mut rig = Rig::with_topic("t");
    let x = rig.init("x");
    let stale = rig.group_of_one("g");
    rig.broker.expire_member("g", &stale.member_id, rig.now).unwrap();
    let current = rig.group_of_one("g");
    rig.add_offsets("x", x, "g");
    let commit = |rig: &mut Rig| rig.txn_offset("x", x, ("g", stale.clone()), ("t", 3));
    let plain = |rig: &mut Rig| rig.commit_offset("g", MemberClaim::new(1, "nobody"), "t", 1);
    assert_eq!((commit(&mut rig), plain(&mut rig)), (ErrorCode::UnknownMemberId, ErrorCode::UnknownMemberId));
    rig.broker.faults_mut().misbehaviour.accept_stale_generation = true;
    assert_eq!((commit(&mut rig), plain(&mut rig)), (ErrorCode::None, ErrorCode::None));
    assert_eq!(rig.fetch_offset("g", "t", true), Err(ErrorCode::UnstableOffsetCommit));
    rig.broker.faults_mut().misbehaviour.ignore_require_stable = true;
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(1));
    assert_eq!(rig.heartbeat("g", current), ErrorCode::None);
}

#[test]
fn answers_of_another_kind_are_told_apart() {
    let mut rig = Rig::new();
    let ticket = rig.submit("client", ListGroupsRequest::default());
    let response = rig.broker.poll(ticket, rig.now).unwrap();
    assert_eq!(response.api_key(), Some(ApiKey::ListGroups));
    assert!(ListGroupsResponse::try_from(response.clone()).is_ok());
    assert_eq!(FetchResponse::try_from(response), Err(ErrorCode::UnknownServerError));
}
