//! Members of groups outlive the broker; and a group whose news cannot be kept is what it was.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::sync::Arc;

use headwater_broker::api::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupState, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, LeavingMember, MemberClaim, NewTopic,
};
use headwater_broker::storage::files::DiskFaults;
use headwater_broker::{BrokerConfig, ErrorCode, Ticket};
use rig::{REBALANCE_MS, Rig, SESSION_MS};

const CONSUMER_SESSION_MS: i64 = 45_000;

fn rig(faults: &DiskFaults) -> Rig {
    let mut rig = Rig::in_folder(BrokerConfig::default(), faults.clone());
    rig.topic(NewTopic::new("t", 4));
    rig
}

/// Another process takes over: after a kill, or after an orderly end.
fn take_over(rig: &mut Rig, orderly: bool) {
    if orderly {
        rig.broker.close(rig.now).unwrap();
    }
    rig.reopen();
}

fn claim(joined: &JoinGroupResponse) -> MemberClaim {
    MemberClaim::new(joined.generation, joined.member_id.clone())
}

/// A stable group of two: the leader, who has `L`, and the other one, who has `F`.
fn group_of_two(rig: &mut Rig) -> [MemberClaim; 2] {
    let solo = rig.group_of_one("g");
    let other = rig.join("g", "other", "");
    let leader = rig.join("g", "solo", &solo.member_id);
    let (leader, other): (JoinGroupResponse, JoinGroupResponse) = (rig.joined(leader), rig.joined(other));
    let waits = rig.sync("g", claim(&other), &[]);
    let assignments = [(&leader.member_id, "L"), (&other.member_id, "F")];
    let synced = rig.sync("g", claim(&leader), &assignments);
    assert_eq!(rig.synced(synced).as_deref(), Ok("L"));
    assert_eq!(rig.synced(waits).as_deref(), Ok("F"));
    [claim(&leader), claim(&other)]
}

#[test]
fn a_stable_group_goes_on_after_a_restart() {
    for orderly in [false, true] {
        let mut rig = rig(&DiskFaults::default());
        let members = group_of_two(&mut rig);
        let before = rig.broker.group("g").unwrap();
        assert_eq!((before.state, before.members.len()), (GroupState::Stable, 2));
        rig.pass(SESSION_MS - 1);
        take_over(&mut rig, orderly);
        assert_eq!(rig.broker.group("g").unwrap(), before);
        rig.pass(SESSION_MS - 1);
        for member in &members {
            assert_eq!(rig.heartbeat("g", member.clone()), ErrorCode::None, "sessions begin with the start");
            assert_eq!(rig.commit_offset("g", member.clone(), "t", 3), ErrorCode::None);
        }
        // Its assignment can still be fetched, and it can join again.
        let synced = rig.sync("g", members[1].clone(), &[]);
        assert_eq!(rig.synced(synced).as_deref(), Ok("F"));
        let ticket = rig.join("g", "other", &members[1].member_id);
        let again = rig.joined(ticket);
        assert_eq!((again.error, again.generation), (ErrorCode::None, members[1].generation));
        // Who is silent is out, and the rest shares anew.
        rig.pass(SESSION_MS / 2);
        assert_eq!(rig.heartbeat("g", members[0].clone()), ErrorCode::None);
        rig.pass(SESSION_MS / 2);
        assert_eq!(rig.heartbeat("g", members[0].clone()), ErrorCode::RebalanceInProgress);
        let ticket = rig.join("g", "solo", &members[0].member_id);
        assert_eq!(rig.joined(ticket).generation, members[0].generation + 1);
        assert_eq!(rig.broker.group("g").unwrap().members.len(), 1);
    }
}

#[test]
fn members_of_a_group_that_rebalances_join_again_after_a_kill() {
    let mut rig = rig(&DiskFaults::default());
    let [leader, other] = group_of_two(&mut rig);
    // The next generation has begun, and nobody has an assignment of it.
    let (a, b) = (rig.join("g", "solo", &leader.member_id), rig.join("g", "other", &other.member_id));
    let (a, b): (JoinGroupResponse, JoinGroupResponse) = (rig.joined(a), rig.joined(b));
    take_over(&mut rig, false);
    for member in [leader, claim(&a), other, claim(&b)] {
        assert_eq!(rig.heartbeat("g", member), ErrorCode::UnknownMemberId);
    }
    assert!(rig.group_of_one("g").generation > a.generation, "a number never comes twice");
}

#[test]
fn a_kill_while_members_are_asked_to_join_again_leaves_the_last_generation() {
    let mut rig = rig(&DiskFaults::default());
    let [leader, other] = group_of_two(&mut rig);
    let parked = rig.join("g", "third", "");
    assert_eq!(rig.heartbeat("g", leader.clone()), ErrorCode::RebalanceInProgress);
    take_over(&mut rig, false);
    assert!(rig.poll::<JoinGroupResponse>(parked).is_none(), "it is lost with its connection");
    for member in [leader, other] {
        assert_eq!(rig.heartbeat("g", member), ErrorCode::None);
    }
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut rig = rig(&DiskFaults::default());
    let ticket = rig.join_static("g", "i");
    let first = rig.joined(ticket);
    let ticket = rig.sync("g", claim(&first), &[(&first.member_id, "all")]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("all"));
    take_over(&mut rig, false);
    let ticket = rig.join_static("g", "i");
    let second = rig.joined(ticket);
    assert_eq!((second.error, second.generation), (ErrorCode::None, first.generation));
    assert_ne!(second.member_id, first.member_id);
    take_over(&mut rig, false);
    let with_instance =
        |joined: &JoinGroupResponse| MemberClaim { group_instance_id: Some(Arc::from("i")), ..claim(joined) };
    assert_eq!(rig.heartbeat("g", with_instance(&first)), ErrorCode::FencedInstanceId);
    assert_eq!(rig.heartbeat("g", with_instance(&second)), ErrorCode::None);
    let ticket = rig.sync("g", with_instance(&second), &[]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("all"));
}

#[test]
fn a_group_that_all_have_left_stays_empty() {
    let mut rig = rig(&DiskFaults::default());
    let member = rig.group_of_one("g");
    let leaving = LeavingMember { member_id: member.member_id.clone(), group_instance_id: None };
    let request = LeaveGroupRequest { group_id: Arc::from("g"), members: vec![leaving] };
    assert_eq!(rig.ask::<LeaveGroupResponse>(request).members, [ErrorCode::None]);
    take_over(&mut rig, false);
    let group = rig.broker.group("g").unwrap();
    assert_eq!((group.state, group.members.len()), (GroupState::Empty, 0));
    assert_eq!(rig.heartbeat("g", member), ErrorCode::UnknownMemberId);
}

fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: Arc::from("k"),
        member_id: Arc::from(member),
        member_id_required: true,
        member_epoch: epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn joins(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: Some(REBALANCE_MS),
        subscribed_topics: Some(vec![Arc::from("t")]),
        owned: Some(Vec::new()),
        ..beat(member, 0)
    }
}

fn send(rig: &mut Rig, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    rig.ask(request)
}

#[test]
fn a_consumer_group_goes_on_in_the_middle_of_a_reassignment() {
    for orderly in [false, true] {
        let mut rig = rig(&DiskFaults::default());
        let a = send(&mut rig, joins("a"));
        let b = send(&mut rig, joins("b"));
        // a is asked to give two up; b waits for them.
        let a = send(&mut rig, beat("a", a.member_epoch));
        let left = a.assignment.unwrap();
        assert_eq!(left[0].partitions.len(), 2);
        let before = rig.broker.consumer_group("k").unwrap();
        rig.pass(CONSUMER_SESSION_MS - 1);
        take_over(&mut rig, orderly);
        assert_eq!(rig.broker.consumer_group("k").unwrap(), before);
        rig.pass(CONSUMER_SESSION_MS - 1);
        let waits = send(&mut rig, beat("b", b.member_epoch));
        assert_eq!((waits.error, waits.assignment), (ErrorCode::None, None));
        let gave = ConsumerGroupHeartbeatRequest { owned: Some(left), ..beat("a", a.member_epoch) };
        let gave = send(&mut rig, gave);
        assert_eq!((gave.error, gave.member_epoch), (ErrorCode::None, b.member_epoch));
        let got = send(&mut rig, beat("b", b.member_epoch));
        assert_eq!(got.assignment.map(|got| got[0].partitions.len()), Some(2));
        let member = MemberClaim::new(gave.member_epoch, Arc::from("a"));
        assert_eq!(rig.commit_offset("k", member, "t", 1), ErrorCode::None);
        assert_eq!(rig.broker.consumer_group("k").unwrap().state, GroupState::Stable);
        take_over(&mut rig, orderly);
        rig.pass(CONSUMER_SESSION_MS);
        assert_eq!(rig.broker.consumer_group("k").unwrap().members.len(), 0, "both were silent");
        assert_eq!(send(&mut rig, beat("a", gave.member_epoch)).error, ErrorCode::UnknownMemberId);
        take_over(&mut rig, orderly);
        assert_eq!(rig.broker.consumer_group("k").unwrap().members.len(), 0);
    }
}

#[test]
fn a_topic_that_came_just_before_a_kill_is_assigned_after_it() {
    let mut rig = rig(&DiskFaults::default());
    let a = send(
        &mut rig,
        ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some(Arc::from("t|u")), ..joins("a") },
    );
    rig.topic(NewTopic::new("u", 1));
    take_over(&mut rig, false);
    let next = send(&mut rig, beat("a", a.member_epoch));
    assert_eq!(next.assignment.map(|assignment| assignment.len()), Some(2));
}

#[test]
fn the_journal_of_a_restless_group_does_not_grow_for_ever() {
    let mut rig = rig(&DiskFaults::default());
    let mut longest = 0;
    for round in 0..3_000 {
        let member = format!("m{round}-{}", "x".repeat(200));
        send(&mut rig, joins(&member));
        send(&mut rig, beat(&member, -1));
        longest = longest.max(rig.journal_bytes());
    }
    assert!((1 << 19..3 << 20).contains(&longest), "{longest} bytes");
    send(&mut rig, joins("last"));
    let member = rig.group_of_one("g");
    // Until it has been written anew: what is kept is in the new one, too.
    while rig.journal_bytes() > 1 << 19 {
        rig.commit_offset("other", MemberClaim::none(), "t", 1);
    }
    let before = (rig.broker.consumer_group("k"), rig.broker.group("g"));
    take_over(&mut rig, false);
    assert_eq!((rig.broker.consumer_group("k"), rig.broker.group("g")), before);
    assert_eq!(rig.heartbeat("g", member), ErrorCode::None);
}

fn refusal(rig: &mut Rig, ticket: Ticket) -> ErrorCode {
    rig.joined(ticket).error
}

#[test]
fn a_generation_that_cannot_be_written_has_not_begun() {
    let faults = DiskFaults::default();
    let mut rig = rig(&faults);
    let members = group_of_two(&mut rig);
    let before = rig.broker.group("g").unwrap();
    faults.leave_room(Some(0));
    let third = rig.join("g", "third", "");
    let first = rig.join("g", "solo", &members[0].member_id);
    let second = rig.join("g", "other", &members[1].member_id);
    for ticket in [first, second, third] {
        assert_eq!(refusal(&mut rig, ticket), ErrorCode::CoordinatorNotAvailable);
    }
    assert_eq!(rig.broker.group("g").unwrap(), before, "the last generation goes on");
    for member in &members {
        assert_eq!(rig.heartbeat("g", member.clone()), ErrorCode::None);
    }
    faults.leave_room(None);
    let third = rig.join("g", "third", "");
    let first = rig.join("g", "solo", &members[0].member_id);
    let second = rig.join("g", "other", &members[1].member_id);
    for ticket in [first, second, third] {
        let joined = rig.joined(ticket);
        assert_eq!((joined.error, joined.generation), (ErrorCode::None, before.generation + 1));
    }
    assert_eq!(rig.broker.group("g").unwrap().members.len(), 3, "nobody is in it twice");
    faults.leave_room(Some(0));
    let ticket = rig.join("new", "solo", "");
    assert_eq!(refusal(&mut rig, ticket), ErrorCode::CoordinatorNotAvailable);
    faults.leave_room(None);
    assert_eq!(rig.group_of_one("new").generation, 1);
}

#[test]
fn an_epoch_that_cannot_be_written_has_not_begun() {
    let faults = DiskFaults::default();
    let mut rig = rig(&faults);
    faults.leave_room(Some(0));
    assert_eq!(send(&mut rig, joins("a")).error, ErrorCode::CoordinatorNotAvailable);
    faults.leave_room(None);
    let a = send(&mut rig, joins("a"));
    assert_eq!((a.error, a.member_epoch), (ErrorCode::None, 1));
    let before = rig.broker.consumer_group("k").unwrap();
    faults.leave_room(Some(0));
    assert_eq!(send(&mut rig, joins("b")).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(send(&mut rig, beat("a", -1)).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(send(&mut rig, beat("a", 1)).error, ErrorCode::None, "that needs nothing to be written");
    assert_eq!(rig.broker.consumer_group("k").unwrap(), before);
    faults.leave_room(None);
    assert_eq!(send(&mut rig, joins("b")).member_epoch, 2);
    take_over(&mut rig, false);
    assert_eq!(rig.broker.consumer_group("k").unwrap().members.len(), 2);
}
