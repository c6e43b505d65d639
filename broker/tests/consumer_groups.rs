//! Consumer groups by the new protocol (KIP-848): members, epochs, assignments, and what happens to those that
//! are silent, late or wrong.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_broker::api::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, CreatePartitionsRequest, CreatePartitionsResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribedConsumer, GroupState, GroupType, LeaveGroupRequest, LeaveGroupResponse,
    LeavingMember, ListGroupsRequest, ListGroupsResponse, MemberClaim, NewPartitions, NewTopic,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, TopicIdPartitions,
};
use headwater_broker::{BrokerConfig, ClientId, ErrorCode, TopicPartition};
use rig::{REBALANCE_MS, Rig};

const SESSION_MS: i64 = 45_000;

/// What a member knows.
#[derive(Clone, Default)]
struct Consumer {
    epoch: i32,
    instance: Option<Arc<str>>,
    names: Option<Vec<Arc<str>>>,
    regex: Option<Arc<str>>,
    assignor: Option<Arc<str>>,
    /// What it was told last that it may hold.
    told: Vec<TopicIdPartitions>,
    /// What it holds.
    holds: Vec<TopicIdPartitions>,
}

/// A group `g` under test, driven by lines such as `a beats -> a@2 t01`: the member's epoch, and its partitions
/// if the answer tells any.
struct Scene {
    rig: Rig,
    consumers: BTreeMap<String, Consumer>,
}

/// What joins, with everything that it has to say.
fn joining(member_id: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: Arc::from("g"),
        member_id: Arc::from(member_id),
        member_id_required: true,
        rebalance_timeout_ms: Some(REBALANCE_MS),
        subscribed_topics: Some(topics.iter().copied().map(Arc::from).collect()),
        owned: Some(vec![]),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// `t,u` are names, `/t./` is a pattern.
fn subscription(text: &str) -> (Option<Vec<Arc<str>>>, Option<Arc<str>>) {
    match text.strip_prefix('/') {
        Some(pattern) => (None, Some(Arc::from(pattern.strip_suffix('/').unwrap()))),
        None => (Some(text.split(',').map(Arc::from).collect()), Some(Arc::from(""))),
    }
}

impl Scene {
    fn new(config: BrokerConfig) -> Self {
        Self { rig: Rig::with(config), consumers: BTreeMap::new() }
    }

    /// `t01 u2`, by the topics' names.
    fn show(&self, assignment: &[TopicIdPartitions]) -> String {
        let mut shown: Vec<String> = Vec::new();
        for topic in self.rig.broker.topics() {
            let id = self.rig.broker.partition(&topic, 0).unwrap().topic_id;
            for of_topic in assignment.iter().filter(|of_topic| of_topic.topic_id == id) {
                let numbers: Vec<String> = of_topic.partitions.iter().map(i32::to_string).collect();
                shown.push(format!("{topic}{}", numbers.concat()));
            }
        }
        if shown.is_empty() { "nothing".to_owned() } else { shown.join(" ") }
    }

    /// Sends a heartbeat and lets the member take what it is told.
    fn send(&mut self, name: &str, request: ConsumerGroupHeartbeatRequest) -> String {
        let answer: ConsumerGroupHeartbeatResponse = self.rig.ask(request);
        if answer.error != ErrorCode::None {
            assert_eq!((answer.member_id, answer.member_epoch, answer.assignment), (None, 0, None));
            assert!(!answer.message.is_empty());
            return answer.error.name().to_owned();
        }
        assert_eq!(answer.member_id.as_deref(), Some(name));
        let consumer = self.consumers.get_mut(name).unwrap();
        consumer.epoch = answer.member_epoch;
        let epoch = answer.member_epoch;
        assert_eq!(answer.heartbeat_interval_ms, if epoch < 0 { 0 } else { 5_000 });
        match answer.assignment {
            None => format!("{name}@{epoch}"),
            Some(told) => {
                consumer.told.clone_from(&told);
                format!("{name}@{epoch} {}", self.show(&told))
            }
        }
    }

    fn heartbeat(&self, name: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: Arc::from("g"),
            member_id: Arc::from(name),
            member_id_required: true,
            member_epoch: epoch,
            group_instance_id: self.consumers.get(name).and_then(|consumer| consumer.instance.clone()),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn join(&mut self, name: &str, consumer: Consumer) -> String {
        let request = ConsumerGroupHeartbeatRequest {
            group_instance_id: consumer.instance.clone(),
            subscribed_topics: consumer.names.clone(),
            subscribed_topic_regex: consumer.regex.clone(),
            server_assignor: consumer.assignor.clone(),
            ..joining(name, &[])
        };
        self.consumers.insert(name.to_owned(), consumer);
        self.send(name, request)
    }

    fn member(&mut self, name: &str, words: &[&str]) -> String {
        let epoch = self.consumers.get(name).map_or(0, |consumer| consumer.epoch);
        match words {
            ["joins", wanted, rest @ ..] => {
                let (names, regex) = subscription(wanted);
                let mut consumer = Consumer { names, regex, ..Consumer::default() };
                for pair in rest.chunks(2) {
                    match pair {
                        ["as", instance] => consumer.instance = Some(Arc::from(*instance)),
                        ["by", assignor] => consumer.assignor = Some(Arc::from(*assignor)),
                        other => panic!("{other:?}"),
                    }
                }
                self.join(name, consumer)
            }
            // It holds what it was told to hold, and says so.
            ["beats"] => {
                let consumer = self.consumers.get_mut(name).unwrap();
                consumer.holds.clone_from(&consumer.told);
                let owned = Some(consumer.holds.clone());
                self.send(name, ConsumerGroupHeartbeatRequest { owned, ..self.heartbeat(name, epoch) })
            }
            // It still holds what it had.
            ["lags"] => {
                let owned = Some(self.consumers[name].holds.clone());
                self.send(name, ConsumerGroupHeartbeatRequest { owned, ..self.heartbeat(name, epoch) })
            }
            // It says nothing but that it lives.
            ["lives"] => self.send(name, self.heartbeat(name, epoch)),
            ["wants", wanted] => {
                let (subscribed_topics, subscribed_topic_regex) = subscription(wanted);
                let request = self.heartbeat(name, epoch);
                self.send(
                    name,
                    ConsumerGroupHeartbeatRequest { subscribed_topics, subscribed_topic_regex, ..request },
                )
            }
            ["comes", "with", epoch] => self.send(name, self.heartbeat(name, epoch.parse().unwrap())),
            ["repeats", epoch] => {
                let owned = Some(self.consumers[name].holds.clone());
                let request = self.heartbeat(name, epoch.parse().unwrap());
                self.send(name, ConsumerGroupHeartbeatRequest { owned, ..request })
            }
            ["repeats", epoch, "holding", topic, partition] => {
                let topic_id = self.rig.broker.partition(topic, 0).unwrap().topic_id;
                let owned = TopicIdPartitions { topic_id, partitions: vec![partition.parse().unwrap()] };
                let request = self.heartbeat(name, epoch.parse().unwrap());
                self.send(name, ConsumerGroupHeartbeatRequest { owned: Some(vec![owned]), ..request })
            }
            ["leaves"] => self.send(name, self.heartbeat(name, -1)),
            ["pauses"] => self.send(name, self.heartbeat(name, -2)),
            ["commits"] => self.commit(name, epoch),
            ["commits", "with", epoch] => self.commit(name, epoch.parse().unwrap()),
            other => panic!("what is {other:?}?"),
        }
    }

    fn commit(&mut self, name: &str, epoch: i32) -> String {
        self.rig.commit_offset("g", MemberClaim::new(epoch, name), "t", 1).name().to_owned()
    }

    fn group(&self) -> String {
        let group = self.rig.broker.consumer_group("g").unwrap();
        format!("{} {}/{}", group.state.name(), group.group_epoch, group.assignment_epoch)
    }

    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["topic", name, partitions] => self.rig.topic(NewTopic::new(name, partitions.parse().unwrap())),
            ["grow", name, total] => {
                let grown = NewPartitions { name: Arc::from(name), total: total.parse().unwrap() };
                let request = CreatePartitionsRequest { topics: vec![grown], validate_only: false };
                assert_eq!(
                    self.rig.ask::<CreatePartitionsResponse>(request).topics[0].error,
                    ErrorCode::None
                );
            }
            ["delete", name] => {
                let request = DeleteTopicsRequest { topics: vec![Arc::from(name)] };
                assert_eq!(self.rig.ask::<DeleteTopicsResponse>(request).topics[0].error, ErrorCode::None);
            }
            ["pass", ms] => self.rig.pass(ms.parse().unwrap()),
            ["crash"] => {
                self.rig.broker.crash(self.rig.now);
                self.rig.broker.restart(self.rig.now).unwrap();
            }
            ["group"] => return self.group(),
            [name, ref rest @ ..] => return self.member(name, rest),
            [] => {}
        }
        String::new()
    }
}

fn check_with(config: BrokerConfig, script: &str) -> Scene {
    let mut scene = Scene::new(config);
    for (number, line) in script.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let (command, expected) = line.split_once("->").unwrap_or((line, ""));
        assert_eq!(scene.run(command), expected.trim(), "line {}: {line}", number + 1);
    }
    scene
}

fn check(script: &str) -> Scene {
    check_with(BrokerConfig::default(), script)
}

#[test]
fn one_member_gets_everything_and_more_of_it_when_topics_come_and_grow() {
    check(
        "topic t 2
         a joins t,u -> a@1 t01
         group -> Stable 1/1
         a beats -> a@1
         topic u 1
         group -> Stable 1/1
         a beats -> a@2 t01 u0
         grow t 3
         a beats -> a@3 t012 u0
         a lives -> a@3
         delete u
         a beats -> a@3 t012
         group -> Reconciling 4/4
         a lives -> a@3
         a beats -> a@4
         group -> Stable 4/4
         a leaves -> a@-1
         group -> Empty 5/4
         a lives -> UNKNOWN_MEMBER_ID",
    );
}

/// The heart of KIP-848: a partition is given when its former holder has given it up.
#[test]
fn a_partition_is_given_when_its_holder_has_given_it_up() {
    check(
        "topic t 4
         a joins t -> a@1 t0123
         a beats -> a@1
         b joins t -> b@2 nothing
         group -> Reconciling 2/2
         a lives -> a@1 t01
         a lives -> a@1
         b beats -> b@2
         a lags -> a@1
         b beats -> b@2
         a beats -> a@2
         group -> Reconciling 2/2
         b beats -> b@2 t23
         group -> Stable 2/2
         b beats -> b@2
         b leaves -> b@-1
         group -> Assigning 3/2
         a beats -> a@3 t0123
         group -> Stable 3/3",
    );
}

/// While one member moves to an older target, newer ones may come.
#[test]
fn targets_overtake_each_other() {
    check(
        "topic t 6
         a joins t -> a@1 t012345
         a beats -> a@1
         b joins t -> b@2 nothing
         a lives -> a@1 t012
         c joins t -> c@3 nothing
         a lags -> a@1
         a beats -> a@2 t01
         b beats -> b@3 t34
         c beats -> c@3 t5
         a beats -> a@3
         c beats -> c@3 t25
         group -> Stable 3/3",
    );
}

#[test]
fn who_does_not_give_up_in_time_is_out() {
    check(
        "topic t 2
         a joins t -> a@1 t01
         a beats -> a@1
         b joins t -> b@2 nothing
         pass 1
         a lags -> a@1 t0
         pass 30000
         a lags -> a@1
         b beats -> b@2
         pass 29999
         a lags -> a@1
         pass 1
         a lags -> UNKNOWN_MEMBER_ID
         b beats -> b@3 t01
         group -> Stable 3/3",
    );
}

#[test]
fn a_silent_member_is_out() {
    let scene = check(
        "topic t 2
         a joins t -> a@1 t01
         b joins t -> b@2 nothing
         a lags -> a@2 t0
         b beats -> b@2 t1
         pass 44999
         b beats -> b@2
         group -> Stable 2/2
         pass 1
         group -> Assigning 3/2
         a beats -> UNKNOWN_MEMBER_ID
         b beats -> b@3 t01",
    );
    assert_eq!(scene.rig.broker.next_deadline(), Some(scene.rig.now + SESSION_MS));
}

#[test]
fn epochs_are_checked() {
    check(
        "topic t 2
         a joins t -> a@1 t01
         a joins t -> a@1 t01
         a beats -> a@1
         b joins t -> b@2 nothing
         a beats -> a@1 t0
         a beats -> a@2
         a comes with 3 -> FENCED_MEMBER_EPOCH
         a comes with 1 -> FENCED_MEMBER_EPOCH
         a repeats 1 -> a@2
         a repeats 1 holding t 0 -> a@2
         a repeats 1 holding t 1 -> FENCED_MEMBER_EPOCH
         a repeats 0 -> INVALID_REQUEST
         a comes with 2 -> a@2
         a comes with 0 -> INVALID_REQUEST
         a comes with -3 -> INVALID_REQUEST
         a joins t -> FENCED_MEMBER_EPOCH
         c comes with 1 -> UNKNOWN_MEMBER_ID",
    );
}

/// A static member that leaves for a while keeps its partitions for a session, under whatever id it returns.
#[test]
fn a_static_member_keeps_its_place() {
    check(
        "topic t 4
         a joins t as i1 -> a@1 t0123
         b joins t as i2 -> b@2 nothing
         a beats -> a@1 t01
         a beats -> a@2
         b beats -> b@2 t23
         c joins t as i1 -> UNRELEASED_INSTANCE_ID
         a pauses -> a@-2
         a comes with 2 -> FENCED_MEMBER_EPOCH
         group -> Reconciling 2/2
         b beats -> b@2
         pass 44999
         b lives -> b@2
         c joins t as i1 -> c@2 t01
         group -> Stable 2/2
         a beats -> FENCED_INSTANCE_ID
         a leaves -> FENCED_INSTANCE_ID
         c beats -> c@2
         c pauses -> c@-2
         pass 45000
         group -> Empty 4/2",
    );
    check(
        "topic t 2
         a joins t as i1 -> a@1 t01
         a pauses -> a@-2
         b joins t -> b@2 nothing
         a joins t as i1 -> a@2 t0
         b beats -> b@2 t1
         a leaves -> a@-1
         b beats -> b@3 t01
         b joins t as i1 -> INVALID_REQUEST
         a joins t as i1 -> a@4 nothing
         d joins t as i1 -> UNRELEASED_INSTANCE_ID",
    );
    check(
        "topic t 1
         a joins t -> a@1 t0
         a pauses -> INVALID_REQUEST
         b comes with -1 -> UNKNOWN_MEMBER_ID",
    );
}

/// A static member that was to give something up returns without it.
#[test]
fn a_static_member_that_returns_holds_nothing() {
    check(
        "topic t 2
         a joins t as i1 -> a@1 t01
         a beats -> a@1
         b joins t -> b@2 nothing
         a lags -> a@1 t0
         b beats -> b@2
         a pauses -> a@-2
         b beats -> b@2 t1
         d joins t as i1 -> d@2 t0
         group -> Stable 2/2",
    );
}

#[test]
fn subscriptions_change() {
    check(
        "topic t 2
         topic u 2
         a joins t -> a@1 t01
         b joins u -> b@2 u01
         a beats -> a@2
         a wants t,u -> a@3
         b lives -> b@3
         group -> Stable 3/3
         b wants t -> b@3 nothing
         group -> Reconciling 4/4
         a beats -> a@3 nothing
         a beats -> a@4
         b beats -> b@4 t01
         a beats -> a@4 u01
         group -> Stable 4/4",
    );
}

/// Whole names match, as with RE2; topics that come later do too.
#[test]
fn patterns_select_topics() {
    check(
        "topic t1 1
         topic t10 1
         topic x 1
         a joins /t.|y/ -> a@1 t10
         topic t2 1
         a beats -> a@2 t10 t20
         topic y 1
         a lives -> a@3 t10 t20 y0
         b joins x,y -> b@4 x0
         a lives -> a@3 t10 t20
         a beats -> a@4
         b beats -> b@4 x0 y0",
    );
    let scene = check(
        "topic t1 1
         topic u1 1
         a joins /t[0-9]+/ -> a@1 t10
         b joins /(/ -> INVALID_REGULAR_EXPRESSION
         b joins /a)(b/ -> INVALID_REGULAR_EXPRESSION
         b joins /(?:a{1000}){1000}/ -> INVALID_REGULAR_EXPRESSION
         group -> Stable 1/1
         a wants /u\\w/ -> a@1 nothing
         a beats -> a@2 u10
         a wants t1 -> a@2 nothing
         a beats -> a@3 t10",
    );
    assert_eq!(scene.rig.broker.consumer_group("g").unwrap().members[0].subscribed_topic_regex, None);
}

#[test]
fn the_assignor_is_the_one_that_most_want() {
    let scene = check(
        "topic t 3
         topic u 3
         a joins t,u by range -> a@1 t012 u012
         b joins t,u by range -> b@2 nothing
         a beats -> a@1 t01 u01
         a beats -> a@2
         b beats -> b@2 t2 u2
         c joins t,u by sticky -> UNSUPPORTED_ASSIGNOR
         c joins t,u -> c@3 nothing",
    );
    assert_eq!(&*scene.rig.broker.consumer_group("g").unwrap().assignor, "range");
}

/// Range assigns static members by their instance, so that a new member id moves nothing.
#[test]
fn ranges_stay_with_instances() {
    check(
        "topic t 3
         z joins t as i1 by range -> z@1 t012
         b joins t as i2 by range -> b@2 nothing
         z beats -> z@1 t01
         z beats -> z@2
         b beats -> b@2 t2
         z pauses -> z@-2
         c joins t as i1 by range -> c@2 t01
         topic u 3
         c wants t,u -> c@3 t01 u012
         b wants t,u -> b@4
         c beats -> c@3 t01 u01
         c beats -> c@4
         b beats -> b@4 t2 u2",
    );
}

#[test]
fn uniform_is_even_over_all_topics_and_within_each() {
    check(
        "topic t 3
         topic u 3
         topic v 2
         a joins t,u,v -> a@1 t012 u012 v01
         a beats -> a@1
         b joins t,u,v -> b@2 nothing
         a beats -> a@1 t0 u01 v0
         a beats -> a@2
         b beats -> b@2 t12 u2 v1
         c joins v -> c@3 nothing
         a beats -> a@2 t0 u01
         a beats -> a@3
         c beats -> c@3 v0
         b beats -> b@2 t12 u2
         b beats -> b@3
         c beats -> c@3 v01",
    );
}

#[test]
fn a_full_group_lets_nobody_in() {
    let config = BrokerConfig { group_consumer_max_size: 2, ..BrokerConfig::default() };
    check_with(
        config,
        "topic t 2
         a joins t -> a@1 t01
         b joins t -> b@2 nothing
         c joins t -> GROUP_MAX_SIZE_REACHED
         a beats -> a@1 t0
         b leaves -> b@-1
         c joins t -> c@4 nothing",
    );
}

#[test]
fn time_outs_are_kept_within_their_limits() {
    let config = BrokerConfig {
        group_consumer_session_timeout_ms: 1_000,
        group_consumer_min_session_timeout_ms: 2_000,
        group_consumer_heartbeat_interval_ms: 30_000,
        group_consumer_max_heartbeat_interval_ms: 5_000,
        ..BrokerConfig::default()
    };
    check_with(
        config,
        "topic t 1
         a joins t -> a@1 t0
         pass 1999
         a lives -> a@1
         pass 2000
         a lives -> UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn a_crash_loses_neither_members_nor_epochs() {
    check(
        "topic t 2
         a joins t -> a@1 t01
         b joins t -> b@2 nothing
         crash
         group -> Reconciling 2/2
         a commits -> NONE
         a beats -> a@1 t0
         b beats -> b@2
         crash
         a beats -> a@2
         crash
         b beats -> b@2 t1
         group -> Stable 2/2
         a commits with 1 -> STALE_MEMBER_EPOCH
         a commits -> NONE",
    );
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut rig = Rig::with_topic("t");
    let valid = || joining("a", &["t"]);
    let some = |text: &str| Some(Arc::from(text));
    let request = ConsumerGroupHeartbeatRequest::default;
    let owned = vec![TopicIdPartitions {
        topic_id: rig.broker.partition("t", 0).unwrap().topic_id,
        partitions: vec![0],
    }];
    let cases = [
        ConsumerGroupHeartbeatRequest { group_id: Arc::from(""), ..valid() },
        ConsumerGroupHeartbeatRequest { member_id: Arc::from(""), ..valid() },
        ConsumerGroupHeartbeatRequest {
            member_epoch: 1,
            member_id_required: false,
            member_id: Arc::from(""),
            ..valid()
        },
        ConsumerGroupHeartbeatRequest { group_instance_id: some(""), ..valid() },
        ConsumerGroupHeartbeatRequest { rack_id: some(""), ..valid() },
        ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: None, ..valid() },
        ConsumerGroupHeartbeatRequest { owned: None, ..valid() },
        ConsumerGroupHeartbeatRequest { owned: Some(owned), ..valid() },
        ConsumerGroupHeartbeatRequest { subscribed_topics: None, ..valid() },
        ConsumerGroupHeartbeatRequest { member_epoch: -2, ..valid() },
        ConsumerGroupHeartbeatRequest { member_epoch: -3, ..valid() },
        request(),
    ];
    for refused in cases {
        let answer: ConsumerGroupHeartbeatResponse = rig.ask(refused.clone());
        assert_eq!(answer.error, ErrorCode::InvalidRequest, "{refused:?}");
    }
    assert_eq!(rig.broker.consumer_group("g"), None, "what is refused makes no group");
    for epoch in [1, -1] {
        let unknown = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..valid() };
        assert_eq!(rig.ask::<ConsumerGroupHeartbeatResponse>(unknown).error, ErrorCode::GroupIdNotFound);
    }
    let nameless =
        ConsumerGroupHeartbeatRequest { member_id: Arc::from(""), member_id_required: false, ..valid() };
    let given = rig.ask::<ConsumerGroupHeartbeatResponse>(nameless).member_id.unwrap();
    assert!(given.starts_with("client-"), "{given}");
    let next = ConsumerGroupHeartbeatRequest { member_id: given, member_epoch: 1, owned: None, ..request() };
    let next = ConsumerGroupHeartbeatRequest { group_id: Arc::from("g"), ..next };
    assert_eq!(rig.ask::<ConsumerGroupHeartbeatResponse>(next).error, ErrorCode::None);
}

/// A full request hears everything again: the client has lost an answer.
#[test]
fn a_full_request_is_told_its_assignment() {
    let mut scene = check("topic t 1\n a joins t -> a@1 t0");
    let full = ConsumerGroupHeartbeatRequest { member_epoch: 1, ..joining("a", &["t"]) };
    assert_eq!(scene.send("a", full.clone()), "a@1 t0");
    let without_owned = ConsumerGroupHeartbeatRequest { owned: None, ..full };
    assert_eq!(scene.send("a", without_owned), "a@1");
}

#[test]
fn offsets_go_by_the_members_epoch() {
    let mut scene = check(
        "topic t 1
         a joins t -> a@1 t0
         a commits -> NONE
         a commits with 0 -> STALE_MEMBER_EPOCH
         a commits with 2 -> STALE_MEMBER_EPOCH
         b commits with 1 -> UNKNOWN_MEMBER_ID
         a commits with -1 -> STALE_MEMBER_EPOCH",
    );
    let rig = &mut scene.rig;
    let none = MemberClaim::none();
    assert_eq!(rig.commit_offset("g", none.clone(), "t", 5), ErrorCode::UnknownMemberId);
    let fetch = |rig: &mut Rig, member: &MemberClaim| {
        let (group_id, member) = (Arc::from("g"), member.clone());
        let request = OffsetFetchRequest { group_id, member, partitions: None, require_stable: true };
        let answer = rig.ask::<OffsetFetchResponse>(request);
        answer.error.check().map(|()| answer.partitions[0].committed.clone().unwrap().offset)
    };
    let current = MemberClaim::new(1, "a");
    let cases = [
        (none.clone(), Ok(1)),
        (current.clone(), Ok(1)),
        (MemberClaim::new(0, "a"), Err(ErrorCode::StaleMemberEpoch)),
        (MemberClaim::new(1, "b"), Err(ErrorCode::UnknownMemberId)),
    ];
    for (member, expected) in cases {
        assert_eq!(fetch(rig, &member), expected, "{member:?}");
    }
    let producer = rig.init("x");
    assert_eq!(rig.add_offsets("x", producer, "g"), ErrorCode::None);
    let cases = [
        (MemberClaim::new(0, "a"), ErrorCode::IllegalGeneration),
        (MemberClaim::new(1, "b"), ErrorCode::UnknownMemberId),
        (current, ErrorCode::None),
        (none.clone(), ErrorCode::None),
    ];
    for (member, expected) in cases {
        assert_eq!(rig.txn_offset("x", producer, ("g", member.clone()), ("t", 7)), expected, "{member:?}");
    }
    assert_eq!(rig.end("x", producer, true), ErrorCode::None);
    assert_eq!(scene.run("a leaves"), "a@-1");
    assert_eq!(scene.rig.fetch_offset("g", "t", true), Ok(7));
    assert_eq!(scene.rig.commit_offset("g", none, "t", 9), ErrorCode::None, "nobody is in it");
}

fn list(rig: &mut Rig, states: &[&str], types: &[&str]) -> Vec<String> {
    let states = states.iter().map(|name| GroupState::from_name(name)).collect();
    let types = types.iter().map(|name| GroupType::from_name(name)).collect();
    let listed: ListGroupsResponse = rig.ask(ListGroupsRequest { states, types });
    let show = |group: &headwater_broker::api::ListedGroup| {
        let (state, group_type) = (group.state.name(), group.group_type.name());
        format!("{} {state} {group_type} {}", group.group_id, group.protocol_type)
    };
    listed.groups.iter().map(show).collect()
}

#[test]
fn groups_have_a_type() {
    let mut scene = check("topic t 1\n a joins t -> a@1 t0");
    let rig = &mut scene.rig;
    rig.group_of_one("old");
    rig.commit_offset("simple", MemberClaim::none(), "t", 1);
    let (new, old) = ("g Stable consumer consumer", "old Stable classic consumer");
    let simple = "simple Empty classic ";
    assert_eq!(list(rig, &[], &[]), [new, old, simple]);
    assert_eq!(list(rig, &["stable"], &[]), [new, old]);
    assert_eq!(list(rig, &["Stable", "Empty"], &["Consumer"]), [new]);
    assert_eq!(list(rig, &[], &["classic"]), [old, simple]);
    assert!(list(rig, &["Assigning"], &[]).is_empty());
    assert!(list(rig, &["whatever"], &[]).is_empty());
    assert!(list(rig, &[], &["share"]).is_empty());

    // Each is described by its own request only.
    let group_ids: Vec<Arc<str>> = ["g", "old", "none"].map(Arc::from).to_vec();
    let described: DescribeGroupsResponse = rig.ask(DescribeGroupsRequest { group_ids: group_ids.clone() });
    let shown: Vec<_> = described.groups.iter().map(|group| (group.error, group.state)).collect();
    let unknown = (ErrorCode::GroupIdNotFound, GroupState::Dead);
    assert_eq!(shown, [unknown, (ErrorCode::None, GroupState::Stable), unknown]);
    let described: ConsumerGroupDescribeResponse = rig.ask(ConsumerGroupDescribeRequest { group_ids });
    let shown: Vec<_> = described.groups.iter().map(|group| (group.error, group.state)).collect();
    assert_eq!(shown, [(ErrorCode::None, GroupState::Stable), unknown, unknown]);

    // Nobody joins by the other protocol while there are members.
    let ticket = rig.join("g", "c", "");
    assert_eq!(rig.joined(ticket).error, ErrorCode::InconsistentGroupProtocol);
    assert_eq!(rig.heartbeat("g", MemberClaim::new(1, "a")), ErrorCode::UnknownMemberId);
    let members = vec![LeavingMember { member_id: Arc::from("a"), group_instance_id: None }];
    let left: LeaveGroupResponse = rig.ask(LeaveGroupRequest { group_id: Arc::from("g"), members });
    assert_eq!(left.members, [ErrorCode::UnknownMemberId]);
    let request = ConsumerGroupHeartbeatRequest { group_id: Arc::from("old"), ..joining("b", &["t"]) };
    assert_eq!(rig.ask::<ConsumerGroupHeartbeatResponse>(request).error, ErrorCode::GroupIdNotFound);
    let group_ids = vec![Arc::from("g")];
    let deleted: DeleteGroupsResponse = rig.ask(DeleteGroupsRequest { group_ids });
    assert_eq!(deleted.groups[0].error, ErrorCode::NonEmptyGroup);
}

/// Without members a group goes over to the other protocol, keeps its offsets, and its numbers go on.
#[test]
fn an_empty_group_may_become_of_the_other_type() {
    let mut scene = check("topic t 1\n a joins t -> a@1 t0\n a commits -> NONE\n a leaves -> a@-1");
    assert_eq!(scene.rig.heartbeat("g", MemberClaim::new(1, "a")), ErrorCode::UnknownMemberId);
    let ticket = scene.rig.join("g", "c", "");
    let joined = scene.rig.joined(ticket);
    assert_eq!((joined.error, joined.generation), (ErrorCode::None, 3));
    assert_eq!(list(&mut scene.rig, &[], &["classic"]).len(), 1);
    assert_eq!(scene.rig.fetch_offset("g", "t", true), Ok(1));
    assert_eq!(scene.run("a joins t"), "GROUP_ID_NOT_FOUND");
    let members = vec![LeavingMember { member_id: joined.member_id, group_instance_id: None }];
    scene.rig.ask::<LeaveGroupResponse>(LeaveGroupRequest { group_id: Arc::from("g"), members });
    assert_eq!(scene.run("a comes with 1"), "UNKNOWN_MEMBER_ID");
    assert_eq!(scene.run("a joins t"), "a@5 t0");
    assert_eq!(scene.rig.fetch_offset("g", "t", true), Ok(1));
}

#[test]
fn a_description_tells_all_about_the_members() {
    let mut scene = check(
        "topic u 1
         topic t 2
         a joins t,u,v -> a@1 t01 u0",
    );
    let request = ConsumerGroupHeartbeatRequest {
        rack_id: Some(Arc::from("r")),
        group_instance_id: Some(Arc::from("i")),
        subscribed_topic_regex: Some(Arc::from("t")),
        ..joining("b", &[])
    };
    let client = ClientId::new("app").with_host("/10.0.0.7");
    scene.rig.broker.call(&client, request, scene.rig.now).unwrap();
    let request = ConsumerGroupDescribeRequest { group_ids: vec![Arc::from("g")] };
    let group = scene.rig.ask::<ConsumerGroupDescribeResponse>(request).groups.remove(0);
    assert_eq!((group.group_epoch, group.assignment_epoch, &*group.assignor), (2, 2, "uniform"));
    assert_eq!(group.state, GroupState::Reconciling);
    let show = |member: &DescribedConsumer| {
        let partitions = |named: &[headwater_broker::api::NamedPartitions]| {
            named.iter().map(|named| format!("{}{:?}", named.topic, named.partitions)).collect::<String>()
        };
        let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
        format!(
            "{}@{} {} {} {} {} {} {} has {} shall {}",
            member.member_id,
            member.member_epoch,
            text(&member.group_instance_id),
            text(&member.rack_id),
            member.client_id,
            member.client_host,
            member.subscribed_topics.join(","),
            text(&member.subscribed_topic_regex),
            partitions(&member.assignment),
            partitions(&member.target_assignment)
        )
    };
    let shown: Vec<String> = group.members.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "a@1 - - client  t,u,v - has t[0, 1]u[0] shall t[0]u[0]",
            "b@2 i r app /10.0.0.7  t has  shall t[1]",
        ]
    );
}

fn delete_offsets(rig: &mut Rig, group: &str, topics: &[&str]) -> Result<Vec<ErrorCode>, ErrorCode> {
    let partitions = topics.iter().map(|topic| TopicPartition::new(*topic, 0)).collect();
    let answer: OffsetDeleteResponse =
        rig.ask(OffsetDeleteRequest { group_id: Arc::from(group), partitions });
    answer.error.check().map(|()| answer.partitions.iter().map(|result| result.error).collect())
}

#[test]
fn offsets_that_no_member_reads_are_deleted() {
    let mut scene = check("topic t 1\n topic u 1\n a joins /t/ -> a@1 t0\n a commits -> NONE");
    let rig = &mut scene.rig;
    assert_eq!(rig.commit_offset("g", MemberClaim::new(1, "a"), "u", 4), ErrorCode::None);
    let (read, unknown) = (ErrorCode::GroupSubscribedToTopic, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(delete_offsets(rig, "g", &["t", "u", "x"]), Ok(vec![read, ErrorCode::None, unknown]));
    assert_eq!((rig.fetch_offset("g", "t", true), rig.fetch_offset("g", "u", true)), (Ok(1), Ok(-1)));
    assert_eq!(delete_offsets(rig, "none", &["t"]), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(delete_offsets(rig, "", &["t"]), Err(ErrorCode::InvalidGroupId));
    assert_eq!(scene.run("a leaves"), "a@-1");
    assert_eq!(delete_offsets(&mut scene.rig, "g", &["t"]), Ok(vec![ErrorCode::None]));
    assert_eq!(scene.rig.fetch_offset("g", "t", true), Ok(-1));
}

/// `offsets.retention.minutes`: what a member reads stays, other offsets go, and at last the group.
#[test]
fn old_offsets_are_forgotten() {
    let config = BrokerConfig {
        offsets_retention_ms: 100_000,
        offsets_retention_check_interval_ms: Some(10_000),
        ..BrokerConfig::default()
    };
    let mut scene = check_with(config, "topic t 1\n topic u 1\n a joins t -> a@1 t0\n a commits -> NONE");
    let member = MemberClaim::new(1, "a");
    assert_eq!(scene.rig.commit_offset("g", member, "u", 4), ErrorCode::None);
    assert_eq!(scene.rig.commit_offset("simple", MemberClaim::none(), "u", 4), ErrorCode::None);
    for _ in 0..9 {
        scene.rig.pass(10_000);
        assert_eq!(scene.run("a lives"), "a@1");
    }
    assert_eq!(scene.rig.fetch_offset("g", "u", true), Ok(4));
    for _ in 0..2 {
        scene.rig.pass(10_000);
        assert_eq!(scene.run("a lives"), "a@1");
    }
    let rig = &mut scene.rig;
    assert_eq!((rig.fetch_offset("g", "t", true), rig.fetch_offset("g", "u", true)), (Ok(1), Ok(-1)));
    assert_eq!(list(rig, &[], &[]), ["g Stable consumer consumer"], "the simple group is gone");
    scene.rig.pass(SESSION_MS);
    assert_eq!(scene.run("group"), "Empty 2/1");
    scene.rig.pass(99_999);
    assert_eq!(scene.rig.fetch_offset("g", "t", true), Ok(1), "it was lost a moment ago");
    scene.rig.pass(10_000);
    assert!(list(&mut scene.rig, &[], &[]).is_empty());
    scene.rig.commit_offset("undecided", MemberClaim::none(), "t", 1);
    let producer = scene.rig.init("x");
    scene.rig.add_offsets("x", producer, "undecided");
    scene.rig.txn_offset("x", producer, ("undecided", MemberClaim::none()), ("t", 7));
    scene.rig.broker.expire_offsets(scene.rig.now + 200_000);
    assert_eq!(scene.rig.broker.committed_offset("undecided", "t", 0).unwrap().offset, 1);
}

#[test]
fn a_crash_starts_retention_anew() {
    let config = BrokerConfig { offsets_retention_ms: 100_000, ..BrokerConfig::default() };
    let mut scene = check_with(config, "topic t 1\n a joins t -> a@1 t0\n a commits -> NONE");
    for _ in 0..4 {
        scene.rig.pass(40_000);
        assert_eq!(scene.run("a lives"), "a@1");
    }
    scene.run("crash");
    scene.rig.broker.expire_offsets(scene.rig.now);
    assert_eq!(scene.rig.fetch_offset("g", "t", true), Ok(1), "its members have had no time to come back");
}
