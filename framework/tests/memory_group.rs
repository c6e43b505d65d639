//! Group membership in the in-process cluster: who gets what, who hears what, and what the coordinator takes from whom.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

use std::task::Poll;

use headwater::TopicPartition;
use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{
    Answer, Cluster, CommittedOffset, Fault, GroupEvent, KafkaError, MemberOptions, Membership,
    ProducerOptions,
};
use headwater_broker::api::GroupState;
use headwater_broker::faults::{Rule, Verdict};
use headwater_broker::{ApiKey, ErrorCode};

/// Two co-partitioned topics of four partitions.
fn cluster() -> MemoryCluster {
    let cluster = MemoryCluster::new();
    cluster.create_topic("a", 4).unwrap();
    cluster.create_topic("b", 4).unwrap();
    cluster
}

fn options(client: &str) -> MemberOptions {
    MemberOptions {
        group: "app".to_owned(),
        client: client.to_owned(),
        instance: None,
        session_timeout_ms: 10_000,
        heartbeat_interval_ms: 1_000,
        max_poll_interval_ms: 60_000,
    }
}

fn subscribed(cluster: &MemoryCluster, options: &MemberOptions) -> Box<dyn Membership> {
    let mut member = cluster.membership(options);
    member.subscribe(&["a".into(), "b".into()]);
    member
}

fn ready<T>(answer: Answer<T>) -> Result<T, KafkaError> {
    match answer {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the answer is not there yet"),
    }
}

/// Members that poll in turn and give back what they are asked for.
#[derive(Default)]
struct Crew {
    members: Vec<(String, Box<dyn Membership>)>,
    told: Vec<String>,
}

impl Crew {
    fn join(&mut self, cluster: &MemoryCluster, name: &str) {
        self.members.push((name.to_owned(), subscribed(cluster, &options(name))));
    }

    fn member(&mut self, name: &str) -> &mut dyn Membership {
        self.members.iter_mut().find(|(known, _)| known == name).unwrap().1.as_mut()
    }

    /// Without a word to anybody.
    fn die(&mut self, name: &str) {
        self.members.retain(|(known, _)| known != name);
    }

    fn round(&mut self, now_ms: i64) {
        for (name, member) in &mut self.members {
            match member.poll(now_ms).unwrap() {
                None => {}
                Some(GroupEvent::Assigned(partitions)) => {
                    self.told.push(format!("{name}: {}", short(&partitions)))
                }
                Some(event) => {
                    self.told.push(format!("{name} {event:?}"));
                    member.release();
                }
            }
        }
    }

    /// What is told until `until_ms`, in steps of half a second.
    fn until(&mut self, now_ms: &mut i64, until_ms: i64) -> Vec<String> {
        while *now_ms < until_ms {
            *now_ms += 500;
            for _ in 0..3 {
                self.round(*now_ms);
            }
        }
        std::mem::take(&mut self.told)
    }
}

fn short(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(|one| format!("{}{}", one.topic, one.partition)).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}

#[test]
fn members_come_go_and_die() {
    let cluster = cluster();
    let mut crew = Crew::default();
    let mut now_ms = 0;
    crew.join(&cluster, "m1");
    assert_eq!(crew.until(&mut now_ms, 1_000), ["m1: a0 a1 a2 a3 b0 b1 b2 b3"]);
    crew.join(&cluster, "m2");
    let told = crew.until(&mut now_ms, 4_000);
    assert_eq!(told, ["m1 Revoked", "m1: a0 a1 b0 b1", "m2: a2 a3 b2 b3"]);
    crew.join(&cluster, "m3");
    let mut told = crew.until(&mut now_ms, 7_000);
    told.sort();
    let expected = ["m1 Revoked", "m1: a0 a1 b0 b1", "m2 Revoked", "m2: a2 b2", "m3: a3 b3"];
    assert_eq!(told, expected);
    crew.member("m2").leave(now_ms);
    crew.die("m2");
    let mut told = crew.until(&mut now_ms, 10_000);
    told.sort();
    assert_eq!(told, ["m1 Revoked", "m1: a0 a1 b0 b1", "m3 Revoked", "m3: a2 a3 b2 b3"]);
    crew.die("m1");
    assert_eq!(crew.until(&mut now_ms, 19_000), Vec::<String>::new(), "its session is not over");
    assert_eq!(crew.until(&mut now_ms, 22_000), ["m3 Revoked", "m3: a0 a1 a2 a3 b0 b1 b2 b3"]);
}

#[test]
fn more_members_than_partitions() {
    let cluster = cluster();
    let mut crew = Crew::default();
    for name in ["m1", "m2", "m3", "m4", "m5"] {
        crew.join(&cluster, name);
    }
    let mut now_ms = 0;
    crew.until(&mut now_ms, 5_000);
    // The last one has nothing, and is asked for it back all the same: between two assignments stands a revocation.
    crew.die("m1");
    let mut told = crew.until(&mut now_ms, 20_000);
    told.sort();
    let expected = [
        "m2 Revoked",
        "m2: a0 b0",
        "m3 Revoked",
        "m3: a1 b1",
        "m4 Revoked",
        "m4: a2 b2",
        "m5 Revoked",
        "m5: a3 b3",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_revocation_waits_for_its_release_and_commits_still_count() {
    let cluster = cluster();
    let mut first = subscribed(&cluster, &options("m1"));
    assert_eq!(first.generation().generation, -1);
    assert!(matches!(first.poll(0), Ok(Some(GroupEvent::Assigned(_)))));
    let before = first.generation();
    assert!(before.generation > 0 && before.member.starts_with("m1-"));
    let mut second = subscribed(&cluster, &options("m2"));
    assert_eq!(second.poll(500), Ok(None));
    assert_eq!(first.poll(999), Ok(None), "no heartbeat is due");
    assert_eq!(first.poll(1_000), Ok(Some(GroupEvent::Revoked)));
    // For longer than a session: it heartbeats, and nothing is told twice.
    for now_ms in (1_500..30_000).step_by(500) {
        assert_eq!(first.poll(now_ms), Ok(None));
        assert_eq!(second.poll(now_ms), Ok(None));
    }
    assert_eq!(first.generation(), before);
    let offset = CommittedOffset { offset: 5, metadata: "time".to_owned() };
    let partition = TopicPartition::new("a", 3);
    ready(first.commit(&[(partition.clone(), offset.clone())], 30_000)).unwrap();
    first.release();
    // It leads, and is the last to join: everybody gets his part at once.
    assert!(matches!(first.poll(30_000), Ok(Some(GroupEvent::Assigned(_)))));
    assert!(matches!(second.poll(30_000), Ok(Some(GroupEvent::Assigned(_)))));
    assert!(first.generation().generation > before.generation);
    assert_eq!(ready(second.committed(&[partition], 30_000)), Ok(vec![Some(offset)]));
}

#[test]
fn a_static_member_returns_to_its_partitions_without_a_rebalance() {
    let cluster = cluster();
    let named = |client: &str| MemberOptions { instance: Some(client.to_owned()), ..options(client) };
    let mut crew = Crew::default();
    let mut now_ms = 0;
    for name in ["s1", "s2"] {
        crew.members.push((name.to_owned(), subscribed(&cluster, &named(name))));
    }
    crew.until(&mut now_ms, 5_000);
    let generation = crew.member("s1").generation().generation;
    crew.member("s2").leave(now_ms);
    crew.die("s2");
    assert_eq!(crew.until(&mut now_ms, 10_000), Vec::<String>::new());
    crew.members.push(("s2".to_owned(), subscribed(&cluster, &named("s2"))));
    assert_eq!(crew.until(&mut now_ms, 20_000), ["s2: a2 a3 b2 b3"]);
    assert_eq!(crew.member("s1").generation().generation, generation);
    // The leader too.
    crew.die("s1");
    crew.members.push(("s1".to_owned(), subscribed(&cluster, &named("s1"))));
    assert_eq!(crew.until(&mut now_ms, 30_000), ["s1: a0 a1 b0 b1"]);
    assert_eq!(crew.member("s2").generation().generation, generation);
}

#[test]
fn a_second_process_with_the_same_instance_id_fences_the_first() {
    let cluster = cluster();
    let named = MemberOptions { instance: Some("s".to_owned()), ..options("m") };
    let mut first = subscribed(&cluster, &named);
    assert!(matches!(first.poll(0), Ok(Some(GroupEvent::Assigned(_)))));
    let mut second = subscribed(&cluster, &named);
    assert!(matches!(second.poll(0), Ok(Some(GroupEvent::Assigned(_)))));
    let error = first.poll(1_000).unwrap_err();
    assert_eq!((error.code, error.fault), ("FENCED_INSTANCE_ID", Fault::Stale));
    assert_eq!(first.poll(2_000), Err(error), "it stays fenced");
    let offset = (TopicPartition::new("a", 0), CommittedOffset { offset: 1, metadata: String::new() });
    let error = ready(first.commit(&[offset], 2_000)).unwrap_err();
    assert_eq!((error.code, error.fault), ("FENCED_INSTANCE_ID", Fault::Stale));
}

/// How a member loses its partitions, and the code with which its commits are refused until it knows.
#[test]
fn a_member_that_was_away_too_long_loses_everything() {
    let cluster = cluster();
    let mut crew = Crew::default();
    let mut now_ms = 0;
    crew.join(&cluster, "m1");
    crew.join(&cluster, "m2");
    crew.until(&mut now_ms, 5_000);
    let (_, mut sleeper) = crew.members.remove(0);
    let stale = sleeper.generation();
    assert_eq!(crew.until(&mut now_ms, 20_000), ["m2 Revoked", "m2: a0 a1 a2 a3 b0 b1 b2 b3"]);

    let offset = (TopicPartition::new("a", 0), CommittedOffset { offset: 1, metadata: String::new() });
    let error = ready(sleeper.commit(std::slice::from_ref(&offset), now_ms)).unwrap_err();
    assert_eq!((error.code, error.fault), ("UNKNOWN_MEMBER_ID", Fault::Stale));
    assert_eq!(sleeper.poll(now_ms), Ok(Some(GroupEvent::Lost)));
    assert_eq!(sleeper.poll(now_ms), Ok(None), "told once");
    assert_eq!(sleeper.generation(), stale, "nobody's commits would be taken");
    let mut producer = cluster.producer(&ProducerOptions {
        client: "writer".to_owned(),
        transactional_id: Some("w".to_owned()),
        transaction_timeout_ms: 60_000,
        request_timeout_ms: 1_000,
    });
    ready(producer.init(now_ms)).unwrap();
    producer.begin().unwrap();
    let error = ready(producer.send_offsets(&[offset], &sleeper.generation(), now_ms)).unwrap_err();
    assert_eq!((error.code, error.fault), ("UNKNOWN_MEMBER_ID", Fault::Stale));
    sleeper.release();
    crew.members.push(("m1".to_owned(), sleeper));
    let told = crew.until(&mut now_ms, 25_000);
    assert_eq!(told, ["m2 Revoked", "m2: a2 a3 b2 b3", "m1: a0 a1 b0 b1"]);
}

#[test]
fn not_polling_for_too_long_gives_the_partitions_up() {
    let cluster = cluster();
    let patient = MemberOptions { session_timeout_ms: 600_000, ..options("m1") };
    let mut member = subscribed(&cluster, &patient);
    assert!(matches!(member.poll(0), Ok(Some(GroupEvent::Assigned(_)))));
    assert_eq!(member.poll(60_000), Ok(None));
    assert_eq!(member.poll(120_001), Ok(Some(GroupEvent::Lost)));
    assert_eq!(cluster.broker().group("app").unwrap().state, GroupState::Empty);
    assert_eq!(member.poll(120_001), Ok(None));
    member.release();
    assert!(matches!(member.poll(120_001), Ok(Some(GroupEvent::Assigned(_)))));
}

#[test]
fn rejoining_gives_the_generation_up() {
    let cluster = cluster();
    let mut crew = Crew::default();
    let mut now_ms = 0;
    crew.join(&cluster, "m1");
    crew.join(&cluster, "m2");
    crew.until(&mut now_ms, 5_000);
    let before = crew.member("m2").generation();
    // A follower that merely joined again would be given the same generation again.
    crew.member("m2").rejoin();
    let told = crew.until(&mut now_ms, 10_000);
    assert_eq!(told[0], "m2 Lost");
    assert!(told.contains(&"m2: a2 a3 b2 b3".to_owned()), "{told:?}");
    let after = crew.member("m2").generation();
    assert!(after.generation > before.generation && after.member != before.member);
    assert_eq!(cluster.broker().group("app").unwrap().members.len(), 2);
}

#[test]
fn a_new_subscription_gives_back_and_joins_again() {
    let cluster = cluster();
    let mut member = subscribed(&cluster, &options("m1"));
    assert!(matches!(member.poll(0), Ok(Some(GroupEvent::Assigned(_)))));
    member.subscribe(&["b".into(), "a".into()]);
    assert_eq!(member.poll(0), Ok(None), "the same topics");
    member.subscribe(&["b".into(), "gone".into()]);
    assert_eq!(member.poll(0), Ok(Some(GroupEvent::Revoked)));
    member.release();
    let Ok(Some(GroupEvent::Assigned(partitions))) = member.poll(0) else { panic!("assigned at once") };
    assert_eq!(short(&partitions), "b0 b1 b2 b3");
    member.leave(0);
    assert_eq!(member.poll(100_000), Ok(None));
    assert_eq!(cluster.broker().group("app").unwrap().state, GroupState::Empty);
}

/// What gets lost on the way in; in the end the member has everything.
#[test]
fn lost_requests_of_a_join_are_repeated() {
    let lost = [Verdict::DropRequest, Verdict::DropResponse, Verdict::Fail(ErrorCode::NetworkException)];
    let retriable =
        [Verdict::Fail(ErrorCode::NotCoordinator), Verdict::Fail(ErrorCode::CoordinatorLoadInProgress)];
    for api in [ApiKey::JoinGroup, ApiKey::SyncGroup, ApiKey::Metadata, ApiKey::Heartbeat] {
        for verdict in lost.into_iter().chain(retriable) {
            for skip in 0..2 {
                let cluster = cluster();
                cluster.broker().faults_mut().rules.add(Rule::on(api, verdict).after(skip).times(1));
                let mut crew = Crew::default();
                let mut now_ms = 0;
                crew.join(&cluster, "m1");
                crew.until(&mut now_ms, 200_000);
                let described = cluster.broker().group("app").unwrap();
                let case = format!("{api:?} {verdict:?} after {skip}");
                assert_eq!(described.state, GroupState::Stable, "{case}");
                let claimed = crew.member("m1").generation();
                assert_eq!(claimed.generation, described.generation, "{case}");
                assert_eq!(claimed.member, described.members[0].member_id.as_ref(), "{case}");
                assert_eq!(described.members.len(), 1, "{case}");
            }
        }
    }
}

#[test]
fn heartbeats_that_nobody_answers_end_the_session() {
    let cluster = cluster();
    let mut member = subscribed(&cluster, &options("m1"));
    assert!(matches!(member.poll(0), Ok(Some(GroupEvent::Assigned(_)))));
    cluster.broker().faults_mut().rules.add(Rule::on(ApiKey::Heartbeat, Verdict::DropResponse));
    let mut lost_at = None;
    for now_ms in (500..20_000).step_by(500) {
        if member.poll(now_ms) == Ok(Some(GroupEvent::Lost)) {
            lost_at = Some(now_ms);
            break;
        }
    }
    assert_eq!(lost_at, Some(10_000));
}
