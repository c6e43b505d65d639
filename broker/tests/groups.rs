//! Groups: joining, syncing, static members, time-outs and offsets.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::sync::Arc;

use bytes::Bytes;
use headwater_broker::api::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupState,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, LeavingMember,
    ListGroupsRequest, ListGroupsResponse, MemberClaim, NewTopic, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, Protocol,
};
use headwater_broker::{BrokerConfig, ClientId, ErrorCode, Ticket, TopicPartition};
use rig::{REBALANCE_MS, Rig, SESSION_MS, join_request, offset_of};

fn claim(joined: &JoinGroupResponse) -> MemberClaim {
    MemberClaim::new(joined.generation, joined.member_id.clone())
}

fn state(rig: &Rig) -> GroupState {
    rig.broker.group("g").unwrap().state
}

/// Lets these members (by id) join again and returns what they hear.
fn rejoin(rig: &mut Rig, members: &[&MemberClaim]) -> Vec<JoinGroupResponse> {
    let tickets: Vec<Ticket> = members.iter().map(|member| rig.join("g", "c", &member.member_id)).collect();
    tickets.into_iter().map(|ticket| rig.joined(ticket)).collect()
}

/// A stable group of two members with the assignments `a0` and `a1`; the first leads.
fn group_of_two(rig: &mut Rig) -> (MemberClaim, MemberClaim) {
    let first = rig.group_of_one("g");
    let ticket = rig.join("g", "second", "");
    assert_eq!(rig.heartbeat("g", first.clone()), ErrorCode::RebalanceInProgress);
    assert_eq!(rig.poll::<JoinGroupResponse>(ticket), None, "parked until the first has joined again");
    let leader = rejoin(rig, &[&first]).remove(0);
    let follower = rig.joined(ticket);
    assert_eq!((leader.generation, follower.generation), (2, 2));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!((&leader.leader, &follower.leader), (&leader.member_id, &leader.member_id));
    let waiting = rig.sync("g", claim(&follower), &[]);
    let assignments = [(&leader.member_id, "a0"), (&follower.member_id, "a1")];
    let ticket = rig.sync("g", claim(&leader), &assignments);
    assert_eq!(
        (rig.synced(ticket).unwrap(), rig.synced(waiting).unwrap()),
        ("a0".to_owned(), "a1".to_owned())
    );
    (claim(&leader), claim(&follower))
}

#[test]
fn two_members_share() {
    let mut rig = Rig::new();
    let (first, second) = group_of_two(&mut rig);
    let group = rig.broker.group("g").unwrap();
    assert_eq!((group.state, group.generation, &*group.protocol_name), (GroupState::Stable, 2, "range"));
    assert_eq!(group.members.len(), 2);
    assert!(group.members.iter().all(|member| &member.metadata[..] == b"topics"));
    for member in [&first, &second] {
        assert_eq!(rig.heartbeat("g", member.clone()), ErrorCode::None);
    }
    let ticket = rig.sync("g", second, &[]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("a1"), "a repeated sync hears the same");
}

#[test]
fn stale_requests_are_refused() {
    let mut rig = Rig::new();
    let (first, second) = group_of_two(&mut rig);
    let older = MemberClaim { generation: 1, ..first.clone() };
    let stranger = MemberClaim::new(2, "stranger");
    for (claim, expected) in [(&older, ErrorCode::IllegalGeneration), (&stranger, ErrorCode::UnknownMemberId)]
    {
        assert_eq!(rig.heartbeat("g", claim.clone()), expected);
        let ticket = rig.sync("g", claim.clone(), &[]);
        assert_eq!(rig.synced(ticket), Err(expected));
        let ticket = rig.sync("nowhere", claim.clone(), &[]);
        assert_eq!(rig.synced(ticket), Err(ErrorCode::UnknownMemberId));
    }
    let ticket = rig.join("g", "c", "stranger");
    assert_eq!(rig.joined(ticket).error, ErrorCode::UnknownMemberId);
    let ticket = rig.join("nowhere", "c", "stranger");
    assert_eq!(rig.joined(ticket).error, ErrorCode::UnknownMemberId);
    let ticket = rig.join("g", "third", "");
    let ticket_of_second = rig.sync("g", second, &[]);
    assert_eq!(rig.synced(ticket_of_second), Err(ErrorCode::RebalanceInProgress));
    rig.broker.abandon(ticket);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut rig = Rig::new();
    rig.group_of_one("g");
    let request = || join_request("g", "");
    let other = vec![Protocol { name: Arc::from("sticky"), metadata: Bytes::new() }];
    let cases = [
        (JoinGroupRequest { group_id: Arc::from(""), ..request() }, ErrorCode::InvalidGroupId),
        (JoinGroupRequest { session_timeout_ms: 1, ..request() }, ErrorCode::InvalidSessionTimeout),
        (JoinGroupRequest { session_timeout_ms: i64::MAX, ..request() }, ErrorCode::InvalidSessionTimeout),
        (JoinGroupRequest { protocols: vec![], ..request() }, ErrorCode::InconsistentGroupProtocol),
        (JoinGroupRequest { protocols: other, ..request() }, ErrorCode::InconsistentGroupProtocol),
        (
            JoinGroupRequest { protocol_type: Arc::from("connect"), ..request() },
            ErrorCode::InconsistentGroupProtocol,
        ),
    ];
    for (request, expected) in cases {
        let ticket = rig.submit("c", request);
        assert_eq!(rig.joined(ticket).error, expected);
    }
    assert_eq!(state(&rig), GroupState::Stable);
}

#[test]
fn the_protocol_is_one_that_all_support() {
    let mut rig = Rig::new();
    let join = |rig: &mut Rig, member_id: &str, names: &[&str]| {
        let protocol = |name: &&str| Protocol {
            name: Arc::from(*name),
            metadata: Bytes::copy_from_slice(name.as_bytes()),
        };
        let protocols = names.iter().map(protocol).collect();
        rig.submit("c", JoinGroupRequest { protocols, ..join_request("g", member_id) })
    };
    let first = join(&mut rig, "", &["sticky", "range"]);
    let first = rig.joined(first);
    assert_eq!(&*first.protocol_name, "sticky");
    let second = join(&mut rig, "", &["range", "roundrobin"]);
    let again = join(&mut rig, &first.member_id, &["sticky", "range"]);
    let again = rig.joined(again);
    assert_eq!((&*again.protocol_name, &again.members[0].metadata[..]), ("range", &b"range"[..]));
    assert_eq!(&*rig.joined(second).protocol_name, "range");
}

#[test]
fn a_member_that_is_told_its_id_joins_with_it() {
    let mut rig = Rig::new();
    let request = JoinGroupRequest { member_id_required: true, ..join_request("g", "") };
    let ticket = rig.submit("app", request.clone());
    let told = rig.joined(ticket);
    assert_eq!(told.error, ErrorCode::MemberIdRequired);
    assert!(told.member_id.starts_with("app-"));
    let ticket = rig.submit("app", JoinGroupRequest { member_id: told.member_id.clone(), ..request.clone() });
    assert_eq!(rig.joined(ticket).member_id, told.member_id);
    let ticket = rig.submit("late", request.clone());
    let told = rig.joined(ticket);
    rig.pass(SESSION_MS);
    let ticket = rig.submit("late", JoinGroupRequest { member_id: told.member_id, ..request });
    assert_eq!(rig.joined(ticket).error, ErrorCode::UnknownMemberId, "the promise has expired");
}

/// KIP-394: a rebalance waits for members that have been told their id, as long as the promise lasts.
#[test]
fn a_rebalance_waits_for_promised_members() {
    let mut rig = Rig::new();
    let first = rig.group_of_one("g");
    let request = JoinGroupRequest { member_id_required: true, ..join_request("g", "") };
    let ticket = rig.submit("app", request);
    assert_eq!(rig.joined(ticket).error, ErrorCode::MemberIdRequired);
    let parked = rig.join("g", "solo", &first.member_id);
    assert_eq!(rig.poll::<JoinGroupResponse>(parked), None);
    rig.pass(SESSION_MS);
    assert_eq!(rig.joined(parked).members.len(), 1);
}

#[test]
fn a_silent_member_is_removed() {
    let mut rig = Rig::new();
    let (first, second) = group_of_two(&mut rig);
    rig.pass(SESSION_MS - 1);
    assert_eq!(rig.heartbeat("g", first.clone()), ErrorCode::None);
    assert_eq!(rig.broker.next_deadline(), Some(rig.now + 1));
    rig.pass(1);
    assert_eq!(state(&rig), GroupState::PreparingRebalance);
    assert_eq!(rig.heartbeat("g", second), ErrorCode::UnknownMemberId);
    assert_eq!(rig.heartbeat("g", first.clone()), ErrorCode::RebalanceInProgress);
    let joined = rejoin(&mut rig, &[&first]).remove(0);
    assert_eq!((joined.generation, joined.members.len()), (3, 1));
    rig.pass(SESSION_MS);
    assert_eq!(state(&rig), GroupState::Empty);
    assert_eq!(rig.broker.next_deadline(), None);
}

/// Pitfall: who waits for the broker must not expire.
#[test]
fn parked_members_do_not_expire() {
    let mut rig = Rig::new();
    let first = rig.group_of_one("g");
    let parked = rig.join("g", "second", "");
    for _ in 0..(REBALANCE_MS / SESSION_MS - 1) {
        rig.pass(SESSION_MS - 1);
        assert_eq!(rig.heartbeat("g", first.clone()), ErrorCode::RebalanceInProgress);
    }
    let leader = rejoin(&mut rig, &[&first]).remove(0);
    let second = rig.joined(parked);
    let parked = rig.sync("g", claim(&second), &[]);
    for _ in 0..(REBALANCE_MS / SESSION_MS - 1) {
        rig.pass(SESSION_MS - 1);
        assert_eq!(rig.heartbeat("g", claim(&leader)), ErrorCode::None);
    }
    let ticket = rig.sync("g", claim(&leader), &[(&second.member_id, "all")]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok(""));
    assert_eq!(rig.synced(parked).as_deref(), Ok("all"));
}

#[test]
fn who_does_not_join_in_time_is_out() {
    let mut rig = Rig::new();
    let first = rig.group_of_one("g");
    let parked = rig.join("g", "second", "");
    for _ in 0..REBALANCE_MS / 1_000 {
        assert_eq!(rig.heartbeat("g", first.clone()), ErrorCode::RebalanceInProgress);
        assert_eq!(rig.poll::<JoinGroupResponse>(parked), None);
        rig.pass(1_000);
    }
    let second = rig.joined(parked);
    assert_eq!((&second.leader, second.members.len()), (&second.member_id, 1));
    assert_eq!(rig.heartbeat("g", first), ErrorCode::UnknownMemberId);
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut rig = Rig::new();
    let first = rig.group_of_one("g");
    let second = rig.join("g", "second", "");
    let leader = rejoin(&mut rig, &[&first]).remove(0);
    let second = rig.joined(second);
    let parked = rig.sync("g", claim(&second), &[]);
    for _ in 0..REBALANCE_MS / 1_000 {
        assert_eq!(rig.heartbeat("g", claim(&leader)), ErrorCode::None);
        rig.pass(1_000);
    }
    assert_eq!(rig.synced(parked), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(rig.heartbeat("g", claim(&leader)), ErrorCode::UnknownMemberId);
    assert_eq!(rejoin(&mut rig, &[&claim(&second)])[0].members.len(), 1);
}

#[test]
fn leaving_rebalances_the_rest() {
    let mut rig = Rig::new();
    let (first, second) = group_of_two(&mut rig);
    let leave = |rig: &mut Rig, ids: &[&str]| {
        let leaving = |id: &&str| LeavingMember { member_id: Arc::from(*id), group_instance_id: None };
        let members = ids.iter().map(leaving).collect();
        rig.ask::<LeaveGroupResponse>(LeaveGroupRequest { group_id: Arc::from("g"), members }).members
    };
    assert_eq!(leave(&mut rig, &[&second.member_id, "x"]), [ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(state(&rig), GroupState::PreparingRebalance);
    assert_eq!(leave(&mut rig, &[&first.member_id]), [ErrorCode::None]);
    assert_eq!(state(&rig), GroupState::Empty);
}

/// A member's JoinGroup may be repeated when its answer is lost.
#[test]
fn a_repeated_join_hears_the_same_generation() {
    let mut rig = Rig::new();
    let ticket = rig.join("g", "c", "");
    let joined = rig.joined(ticket);
    let ticket = rig.join("g", "c", &joined.member_id);
    assert_eq!(rig.joined(ticket), joined);
    let ticket = rig.sync("g", claim(&joined), &[(&joined.member_id, "a")]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("a"));
    let ticket = rig.join("g", "c", &joined.member_id);
    assert_eq!(rig.joined(ticket).generation, 2, "a leader that joins again wants to assign anew");
}

#[test]
fn the_first_rebalance_waits_for_more_members() {
    let config = BrokerConfig { group_initial_rebalance_delay_ms: 3_000, ..BrokerConfig::default() };
    let mut rig = Rig::with(config);
    let first = rig.join("g", "a", "");
    rig.pass(2_000);
    let second = rig.join("g", "b", "");
    rig.pass(2_999);
    assert_eq!(rig.poll::<JoinGroupResponse>(first), None);
    rig.pass(1);
    let generations = [rig.joined(first).generation, rig.joined(second).generation];
    assert_eq!(generations, [1, 1]);
}

/// Pitfall: a static member that returns keeps generation and assignment, and is not told that it leads.
#[test]
fn a_static_member_returns_without_a_rebalance() {
    let mut rig = Rig::new();
    let ticket = rig.join_static("g", "i1");
    let old = rig.joined(ticket);
    let with_instance = |joined: &JoinGroupResponse| MemberClaim {
        group_instance_id: Some(Arc::from("i1")),
        ..claim(joined)
    };
    let ticket = rig.sync("g", with_instance(&old), &[(&old.member_id, "all")]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("all"));
    rig.pass(SESSION_MS - 1);
    let ticket = rig.join_static("g", "i1");
    let new = rig.joined(ticket);
    assert_ne!(new.member_id, old.member_id);
    assert_eq!((new.generation, &new.leader, new.members.len()), (old.generation, &old.member_id, 0));
    assert_eq!(state(&rig), GroupState::Stable);
    let ticket = rig.sync("g", with_instance(&new), &[]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("all"));
    assert_eq!(rig.heartbeat("g", with_instance(&old)), ErrorCode::FencedInstanceId);
    assert_eq!(rig.commit_offset("g", with_instance(&old), "t", 1), ErrorCode::FencedInstanceId);
    assert_eq!(rig.heartbeat("g", claim(&old)), ErrorCode::UnknownMemberId);
    rig.pass(SESSION_MS - 1);
    assert_eq!(rig.heartbeat("g", with_instance(&new)), ErrorCode::None, "its session began anew");
    let members = vec![LeavingMember { member_id: Arc::from(""), group_instance_id: Some(Arc::from("i1")) }];
    let left: LeaveGroupResponse = rig.ask(LeaveGroupRequest { group_id: Arc::from("g"), members });
    assert_eq!((left.members, state(&rig)), (vec![ErrorCode::None], GroupState::Empty));
}

#[test]
fn a_parked_static_member_is_fenced_by_its_successor() {
    let mut rig = Rig::new();
    let solo = rig.group_of_one("g");
    let old = rig.join_static("g", "i1");
    let new = rig.join_static("g", "i1");
    assert_eq!(rig.joined(old).error, ErrorCode::FencedInstanceId);
    let leader = rejoin(&mut rig, &[&solo]).remove(0);
    assert_eq!(leader.members.len(), 2);
    assert_eq!(rig.joined(new).error, ErrorCode::None);
}

/// A static member that is away during a rebalance keeps its place until its session ends.
#[test]
fn an_absent_static_member_keeps_its_place_for_a_session() {
    let mut rig = Rig::new();
    let ticket = rig.submit(
        "i1",
        JoinGroupRequest {
            group_instance_id: Some(Arc::from("i1")),
            session_timeout_ms: REBALANCE_MS * 2,
            ..join_request("g", "")
        },
    );
    let absent = rig.joined(ticket);
    let ticket = rig.sync("g", claim(&absent), &[(&absent.member_id, "all")]);
    assert!(rig.synced(ticket).is_ok());
    let parked = rig.join("g", "second", "");
    rig.pass(REBALANCE_MS);
    let second = rig.joined(parked);
    assert_eq!((&second.leader, second.members.len()), (&second.member_id, 2));
    let ticket = rig.sync("g", claim(&second), &[(&second.member_id, "some")]);
    assert!(rig.synced(ticket).is_ok());
    assert_eq!(rig.broker.group("g").unwrap().members.len(), 2);
}

#[test]
fn offsets_are_committed_by_members_or_while_the_group_is_empty() {
    let mut rig = Rig::with_topic("t");
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(-1));
    assert_eq!(rig.commit_offset("g", MemberClaim::new(3, "m"), "t", 1), ErrorCode::IllegalGeneration);
    assert_eq!(rig.commit_offset("g", MemberClaim::none(), "t", 1), ErrorCode::None);
    assert_eq!(rig.commit_offset("g", MemberClaim::none(), "missing", 1), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(rig.commit_offset("", MemberClaim::none(), "t", 1), ErrorCode::InvalidGroupId);
    let member = rig.group_of_one("g");
    assert_eq!(rig.commit_offset("g", MemberClaim::none(), "t", 2), ErrorCode::UnknownMemberId);
    let older = MemberClaim { generation: 0, ..member.clone() };
    assert_eq!(rig.commit_offset("g", older, "t", 2), ErrorCode::IllegalGeneration);
    rig.pass(SESSION_MS - 1);
    assert_eq!(rig.commit_offset("g", member.clone(), "t", 3), ErrorCode::None);
    rig.pass(SESSION_MS - 1);
    assert_eq!(rig.heartbeat("g", member), ErrorCode::None, "a commit is a sign of life");
    assert_eq!(rig.fetch_offset("g", "t", true), Ok(3));
}

#[test]
fn metadata_comes_back_and_has_a_limit() {
    let mut rig = Rig::with_topic("t");
    let commit = |rig: &mut Rig, metadata: &str| {
        let mut offset = offset_of("t", 5);
        offset.committed.metadata = Arc::from(metadata);
        offset.committed.leader_epoch = 4;
        let (group_id, member) = (Arc::from("g"), MemberClaim::none());
        let request = OffsetCommitRequest { group_id, member, offsets: vec![offset] };
        rig.ask::<OffsetCommitResponse>(request).partitions[0].error
    };
    assert_eq!(commit(&mut rig, &"m".repeat(4_097)), ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(commit(&mut rig, &"m".repeat(4_096)), ErrorCode::None);
    assert_eq!(commit(&mut rig, "kept"), ErrorCode::None);
    let (group_id, member) = (Arc::from("g"), MemberClaim::none());
    let request = OffsetFetchRequest { group_id, member, partitions: None, require_stable: true };
    let found = rig.ask::<OffsetFetchResponse>(request).partitions.remove(0);
    let committed = found.committed.unwrap();
    assert_eq!((committed.offset, committed.leader_epoch, &*committed.metadata), (5, 4, "kept"));
}

#[test]
fn groups_are_listed_and_deleted() {
    let mut rig = Rig::with_topic("t");
    rig.group_of_one("busy");
    rig.commit_offset("idle", MemberClaim::none(), "t", 1);
    let list = |rig: &mut Rig, states: Vec<GroupState>| -> Vec<String> {
        let listed: ListGroupsResponse = rig.ask(ListGroupsRequest { states, types: vec![] });
        listed.groups.iter().map(|group| format!("{} {}", group.group_id, group.state.name())).collect()
    };
    assert_eq!(list(&mut rig, vec![]), ["busy Stable", "idle Empty"]);
    assert_eq!(list(&mut rig, vec![GroupState::Empty]), ["idle Empty"]);
    let group_ids = ["busy", "idle", "missing", ""].map(Arc::from).to_vec();
    let deleted: DeleteGroupsResponse = rig.ask(DeleteGroupsRequest { group_ids });
    let errors: Vec<ErrorCode> = deleted.groups.iter().map(|group| group.error).collect();
    let (busy, missing) = (ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound);
    assert_eq!(errors, [busy, ErrorCode::None, missing, ErrorCode::InvalidGroupId]);
    assert_eq!(list(&mut rig, vec![]), ["busy Stable"]);
    assert_eq!(rig.fetch_offset("idle", "t", true), Ok(-1));
}

/// The list of topics that a consumer tells its assignor.
fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1, 0, 0, 0, u8::try_from(topics.len()).unwrap()];
    for topic in topics {
        bytes.extend([0, u8::try_from(topic.len()).unwrap()]);
        bytes.extend(topic.as_bytes());
    }
    Bytes::from(bytes)
}

/// A stable group of one consumer that reads these topics.
fn reader(rig: &mut Rig, topics: &[&str]) -> MemberClaim {
    let protocols = vec![Protocol { name: Arc::from("range"), metadata: subscription(topics) }];
    let ticket = rig.submit("c", JoinGroupRequest { protocols, ..join_request("g", "") });
    let joined = rig.joined(ticket);
    let ticket = rig.sync("g", claim(&joined), &[(&joined.member_id, "all")]);
    assert!(rig.synced(ticket).is_ok());
    claim(&joined)
}

fn delete_offsets(rig: &mut Rig, topics: &[&str]) -> Result<Vec<ErrorCode>, ErrorCode> {
    let partitions = topics.iter().map(|topic| TopicPartition::new(*topic, 0)).collect();
    let answer: OffsetDeleteResponse = rig.ask(OffsetDeleteRequest { group_id: Arc::from("g"), partitions });
    answer.error.check().map(|()| answer.partitions.iter().map(|result| result.error).collect())
}

#[test]
fn offsets_of_topics_that_nobody_reads_are_deleted() {
    let mut rig = Rig::with_topic("t");
    rig.topic(NewTopic::new("u", 1));
    let member = reader(&mut rig, &["t"]);
    for topic in ["t", "u"] {
        assert_eq!(rig.commit_offset("g", member.clone(), topic, 1), ErrorCode::None);
    }
    assert_eq!(
        delete_offsets(&mut rig, &["t", "u"]),
        Ok(vec![ErrorCode::GroupSubscribedToTopic, ErrorCode::None])
    );
    assert_eq!((rig.fetch_offset("g", "t", true), rig.fetch_offset("g", "u", true)), (Ok(1), Ok(-1)));
    rig.pass(SESSION_MS);
    assert_eq!(delete_offsets(&mut rig, &["t"]), Ok(vec![ErrorCode::None]), "the group is empty");

    // Members that are no consumers may read anything.
    let ticket =
        rig.submit("c", JoinGroupRequest { protocol_type: Arc::from("connect"), ..join_request("g", "") });
    assert_eq!(rig.joined(ticket).error, ErrorCode::None);
    assert_eq!(delete_offsets(&mut rig, &["t"]), Err(ErrorCode::NonEmptyGroup));
}

/// `offsets.retention.minutes`: what a stable group reads stays, what it does not goes.
#[test]
fn offsets_of_topics_that_nobody_reads_are_forgotten() {
    let config = BrokerConfig { offsets_retention_ms: 20_000, ..BrokerConfig::default() };
    let mut rig = Rig::with(config);
    rig.topic(NewTopic::new("t", 1));
    rig.topic(NewTopic::new("u", 1));
    let member = reader(&mut rig, &["t"]);
    for topic in ["t", "u"] {
        assert_eq!(rig.commit_offset("g", member.clone(), topic, 1), ErrorCode::None);
    }
    let offsets = |rig: &mut Rig| {
        rig.broker.expire_offsets(rig.now);
        (rig.fetch_offset("g", "t", true).unwrap(), rig.fetch_offset("g", "u", true).unwrap())
    };
    for _ in 0..3 {
        rig.pass(SESSION_MS - 1);
        assert_eq!(rig.heartbeat("g", member.clone()), ErrorCode::None);
    }
    let protocols = vec![Protocol { name: Arc::from("range"), metadata: subscription(&["t"]) }];
    let parked = rig.submit("second", JoinGroupRequest { protocols, ..join_request("g", "") });
    assert_eq!(offsets(&mut rig), (1, 1), "who joins may want the other topic");
    rig.broker.abandon(parked);
    rig.pass(REBALANCE_MS);
    rig.pass(REBALANCE_MS);
    assert_eq!(state(&rig), GroupState::Empty);
    assert_eq!(offsets(&mut rig), (1, 1));
    rig.pass(19_999);
    assert_eq!(offsets(&mut rig), (1, 1));
    rig.pass(1);
    assert_eq!(offsets(&mut rig), (-1, -1));
    assert_eq!(rig.broker.group("g"), None);

    let member = reader(&mut rig, &["t"]);
    for topic in ["t", "u"] {
        assert_eq!(rig.commit_offset("g", member.clone(), topic, 1), ErrorCode::None);
    }
    for _ in 0..3 {
        rig.pass(SESSION_MS - 1);
        assert_eq!(rig.heartbeat("g", member.clone()), ErrorCode::None);
    }
    assert_eq!(offsets(&mut rig), (1, -1));
}

/// A group that nobody has joined yet is kept for those that have been told their id.
#[test]
fn a_group_that_awaits_members_is_not_forgotten() {
    let mut rig = Rig::new();
    let request = JoinGroupRequest { member_id_required: true, ..join_request("g", "") };
    let ticket = rig.submit("c", request.clone());
    let told = rig.joined(ticket).member_id;
    rig.broker.expire_offsets(rig.now);
    let ticket = rig.submit("c", JoinGroupRequest { member_id: told, ..request });
    assert_eq!(rig.joined(ticket).error, ErrorCode::None);
}

/// `group.max.size`.
#[test]
fn a_full_group_lets_nobody_in() {
    let mut rig = Rig::with(BrokerConfig { group_max_size: 2, ..BrokerConfig::default() });
    let (first, second) = group_of_two(&mut rig);
    let ticket = rig.join("g", "third", "");
    let refused = rig.joined(ticket);
    assert_eq!((refused.error, &*refused.member_id), (ErrorCode::GroupMaxSizeReached, ""));
    assert_eq!(state(&rig), GroupState::Stable);
    let parked = rig.join("g", "c", &first.member_id);
    let ticket = rig.join("g", "third", "");
    assert_eq!(
        rig.poll::<JoinGroupResponse>(ticket),
        None,
        "one has joined again, so there is room for another"
    );
    assert_eq!(rig.heartbeat("g", second.clone()), ErrorCode::RebalanceInProgress);
    let late = rig.join("g", "second", &second.member_id);
    assert_eq!(rig.joined(late).error, ErrorCode::GroupMaxSizeReached, "it comes last");
    assert_eq!(rig.joined(parked).members.len() + rig.joined(ticket).members.len(), 2);
    assert_eq!(rig.heartbeat("g", second), ErrorCode::UnknownMemberId);
}

/// KIP-814: a static leader that knows of it is told that it leads, and that it need not assign.
#[test]
fn a_static_leader_returns_and_keeps_the_assignment() {
    let mut rig = Rig::new();
    let ticket = rig.join_static("g", "i1");
    let old = rig.joined(ticket);
    assert!(!old.skip_assignment);
    let ticket = rig.sync("g", claim(&old), &[(&old.member_id, "all")]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("all"));
    let request = JoinGroupRequest {
        group_instance_id: Some(Arc::from("i1")),
        knows_skip_assignment: true,
        ..join_request("g", "")
    };
    let ticket = rig.submit("i1", request);
    let new = rig.joined(ticket);
    assert_ne!(new.member_id, old.member_id);
    assert_eq!((&new.leader, new.members.len(), new.skip_assignment), (&new.member_id, 1, true));
    assert_eq!(new.generation, old.generation);
    let ticket = rig.sync("g", claim(&new), &[]);
    assert_eq!(rig.synced(ticket).as_deref(), Ok("all"));
}

#[test]
fn a_description_tells_hosts_and_of_stable_groups_protocols() {
    let mut rig = Rig::new();
    let client = ClientId::new("app").with_host("/10.0.0.7");
    let ticket = rig.broker.submit(client, join_request("g", ""), rig.now);
    let joined = rig.joined(ticket);
    let describe = |rig: &mut Rig, id: &str| {
        let request = DescribeGroupsRequest { group_ids: vec![Arc::from(id)] };
        rig.ask::<DescribeGroupsResponse>(request).groups.remove(0)
    };
    let group = describe(&mut rig, "g");
    assert_eq!(
        (group.error, group.state, &*group.protocol_name),
        (ErrorCode::None, GroupState::CompletingRebalance, "")
    );
    let member = &group.members[0];
    assert_eq!((&*member.client_id, &*member.client_host, member.metadata.len()), ("app", "/10.0.0.7", 0));
    let ticket = rig.sync("g", claim(&joined), &[(&joined.member_id, "all")]);
    assert!(rig.synced(ticket).is_ok());
    let group = describe(&mut rig, "g");
    assert_eq!((&*group.protocol_name, &group.members[0].metadata[..]), ("range", &b"topics"[..]));
    assert_eq!(&group.members[0].assignment[..], b"all");
    let unknown = describe(&mut rig, "x");
    assert_eq!((unknown.error, unknown.state), (ErrorCode::GroupIdNotFound, GroupState::Dead));
}

#[test]
fn what_a_member_says_of_itself_has_a_limit() {
    let mut rig = Rig::new();
    let mut join = |bytes: usize| {
        let protocol = Protocol { name: Arc::from("range"), metadata: Bytes::from(vec![0; bytes]) };
        let request = JoinGroupRequest { protocols: vec![protocol], ..join_request("g", "") };
        let ticket = rig.submit("a", request);
        rig.joined(ticket).error
    };
    assert_eq!(join((1 << 20) + 1), ErrorCode::InvalidRequest);
    assert_eq!(join(1 << 20), ErrorCode::None);
}
