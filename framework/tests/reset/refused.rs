//! Members in the group, answers that do not come, and what is told of a reset that stops half way.

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{
    Cluster, CommittedOffset, GroupEvent, GroupMetadata, MemberOptions, Membership, ProducerOptions,
};
use headwater::reset::{Position, Reset, ResetOptions};
use headwater::time::{ManualClock, SystemClock};
use headwater::{TopicName, TopicPartition};

/// A cluster with an input of two partitions and two internal topics, and a reset of all of it.
fn scene() -> (MemoryCluster, ResetOptions) {
    let cluster = MemoryCluster::new();
    cluster.create_topic("in", 2).unwrap();
    cluster.create_topic_with("app-a-changelog", 2, &[("cleanup.policy", "compact")]).unwrap();
    cluster.create_topic_with("app-b-repartition", 2, &[]).unwrap();
    (cluster, ResetOptions { inputs: vec!["in".into()], ..ResetOptions::new("app") })
}

/// A member of the group `app` that has its assignment.
fn join(cluster: &MemoryCluster, instance: Option<&str>) -> Box<dyn Membership> {
    let mut member = cluster.membership(&MemberOptions {
        group: "app".to_owned(),
        client: "worker".to_owned(),
        instance: instance.map(str::to_owned),
        session_timeout_ms: 10_000,
        heartbeat_interval_ms: 3_000,
        max_poll_interval_ms: 60_000,
    });
    let topics: [TopicName; 1] = ["in".into()];
    member.subscribe(&topics);
    let assigned = (0..100).any(|_| matches!(member.poll(0).unwrap(), Some(GroupEvent::Assigned(_))));
    assert!(assigned);
    member
}

/// What is told of a reset, and how it ends; `between` is called after each step.
fn told(cluster: &MemoryCluster, options: &ResetOptions, between: &mut dyn FnMut()) -> (Vec<String>, String) {
    let clock = ManualClock::at(0);
    let mut steps = Vec::new();
    let reset = Reset::prepare(options, cluster, &clock);
    let done = reset.and_then(|reset| {
        reset.run(&mut |step| {
            steps.push(step.to_string());
            between();
        })
    });
    (steps, done.err().map(|error| error.to_string()).unwrap_or_default())
}

#[test]
fn a_group_with_members_is_left_alone() {
    let (cluster, options) = scene();
    let mut dynamic = join(&cluster, None);
    let options = ResetOptions { session_timeout_ms: 12_345, ..options };
    let advice = "stop all instances of the application; one that is gone without leaving, as static ones are, stays until \
                  its session times out, after 12345 ms (`session.timeout.ms`), or until it is removed by force";
    let expected = format!("the group `app` has members: `worker`; {advice}");
    assert_eq!(told(&cluster, &options, &mut || ()), (vec![], expected));
    dynamic.leave(0);

    let mut gone = join(&cluster, Some("west"));
    gone.leave(0);
    drop(gone);
    let expected = format!("the group `app` has members: `worker` (static, `west`); {advice}");
    assert_eq!(told(&cluster, &options, &mut || ()), (vec![], expected));
    assert_eq!(cluster.broker().topics().len(), 3);

    let options = ResetOptions { remove_members: true, ..options };
    let (steps, error) = told(&cluster, &options, &mut || ());
    assert!(steps[0].starts_with("removed member `west-"), "{}", steps[0]);
    assert_eq!((steps.len(), error.as_str()), (5, ""));
}

#[test]
fn a_member_that_comes_back_ends_the_reset_and_what_was_done_is_said() {
    let (cluster, options) = scene();
    let clock = ManualClock::at(0);
    let reset = Reset::prepare(&options, &cluster, &clock).unwrap();
    let mut early = join(&cluster, None);
    let error = reset.run(&mut |_| ()).unwrap_err().to_string();
    let expected = "the group `app` has members again, 1 of them; no step was done before; stop all instances of the application";
    assert_eq!(error, expected);
    early.leave(0);

    let mut late = None;
    let (steps, error) = told(&cluster, &options, &mut || {
        late.get_or_insert_with(|| join(&cluster, None));
    });
    assert_eq!(steps, ["set in-0 to offset 0 (none was committed)"]);
    let expected = "cannot set in-1 to offset 0 (none was committed); 1 of 4 steps were done before: the offset of in-1 cannot \
                    be set (UNKNOWN_MEMBER_ID); the group has members again: stop all instances; reset again before the \
                    application starts";
    assert_eq!(error, expected);
    late.unwrap().leave(0);

    let (steps, error) = told(&cluster, &options, &mut || ());
    let expected = [
        "set in-0 to offset 0 (was 0)",
        "set in-1 to offset 0 (none was committed)",
        "deleted topic `app-a-changelog`",
        "deleted topic `app-b-repartition`",
    ];
    assert_eq!((steps.as_slice(), error.as_str()), (expected.map(str::to_owned).as_slice(), ""));
}

#[test]
fn an_offset_that_a_transaction_holds_is_waited_for_as_long_as_patience_lasts() {
    let (cluster, options) = scene();
    let mut producer = cluster.producer(&ProducerOptions {
        client: "worker".to_owned(),
        transactional_id: Some("app-0".to_owned()),
        transaction_timeout_ms: 600_000,
        request_timeout_ms: 10_000,
    });
    let clock = SystemClock::new();
    let offset = CommittedOffset { offset: 1, metadata: String::new() };
    let offsets = [(TopicPartition::new("in", 0), offset)];
    let group =
        GroupMetadata { group: "app".to_owned(), generation: -1, member: String::new(), instance: None };
    let now_ms = headwater::time::Clock::now_ms(&clock);
    assert!(producer.init(now_ms).is_ready());
    producer.begin().unwrap();
    assert!(producer.send_offsets(&offsets, &group, now_ms).is_ready());

    let options = ResetOptions { patience_ms: 20, position: Position::ShiftBy(-1), ..options };
    let error = Reset::prepare(&options, &cluster, &clock).unwrap_err();
    let expected = "cannot ask for the committed offsets: the cluster has not answered for 20 ms";
    assert!(error.to_string().starts_with(expected), "{error}");

    assert!(producer.commit(now_ms).is_ready());
    let reset = Reset::prepare(&options, &cluster, &clock).unwrap();
    assert_eq!(reset.steps()[0].intention(), "set in-0 to offset 0 (was 1)");
}
