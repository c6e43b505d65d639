//! A static member whose place is taken: by a request of its own that a broker came to late, and by another process.

use std::time::Duration;

use headwater::TopicName;
use headwater::kafka::{GroupEvent, KafkaError, MemberOptions, Membership};

use crate::broker::on_a_broker;
use crate::clusters::Scene;
use crate::heard;
use crate::pipeline::Pipeline;

/// The next thing that a member is told; partitions that are not its own any more are given back.
fn told(scene: &Scene, what: &str, member: &mut dyn Membership) -> Result<GroupEvent, KafkaError> {
    let told = scene.until(what, |now_ms| member.poll(now_ms).transpose())?;
    if matches!(told, GroupEvent::Revoked | GroupEvent::Lost) {
        member.release();
    }
    Ok(told)
}

fn assigned(scene: &Scene, what: &str, member: &mut dyn Membership) -> Result<(), KafkaError> {
    while !matches!(told(scene, what, member)?, GroupEvent::Assigned(_)) {}
    Ok(())
}

fn join(scene: &Scene, options: &MemberOptions, topic: &TopicName) -> Box<dyn Membership> {
    let mut member = scene.cluster.membership(options);
    member.subscribe(std::slice::from_ref(topic));
    member
}

/// What a broker that has no time comes to late: a request to join, by the same name, without the id of the member.
fn take_place(scene: &Scene, options: &MemberOptions, topic: &TopicName) {
    assigned(scene, "the assignment of whoever takes the place", join(scene, options, topic).as_mut())
        .unwrap();
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_static_member_that_was_away_takes_its_place_back_once() {
    on_a_broker(|broker| {
        let scene = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
        let topic = scene.topic("in", 1);
        let options = MemberOptions {
            instance: Some("of-this-name".to_owned()),
            ..scene.member_options("group", "member")
        };
        let mut member = join(&scene, &options, &topic);
        assigned(&scene, "the first assignment", member.as_mut()).unwrap();

        broker.command("pause");
        assert_eq!(told(&scene, "the loss", member.as_mut()), Ok(GroupEvent::Lost));
        broker.command("resume");
        assigned(&scene, "the assignment after the loss", member.as_mut()).unwrap();
        take_place(&scene, &options, &topic);
        let error = assigned(&scene, "the fence", member.as_mut()).unwrap_err();
        assert_eq!(error.code, "UNKNOWN_MEMBER_ID");
        member.rejoin();
        assigned(&scene, "the assignment after the fence", member.as_mut()).unwrap();

        take_place(&scene, &options, &topic);
        let error = assigned(&scene, "the end of who is fenced again", member.as_mut()).unwrap_err();
        assert_eq!(error.code, "FENCED_INSTANCE_ID");
    });
}

/// Its commits hear of the fence before its heartbeats do.
fn goes_on(lines: &str, check: impl Fn(&mut Pipeline<'_>)) {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        let lines = format!("group.instance.id=here\nheartbeat.interval.ms=2000\n{lines}");
        let running = pipeline.application(&lines).unwrap().start().unwrap();
        pipeline.feed(Duration::from_secs(1));
        check(&mut pipeline);
        broker.command("pause");
        heard::wait("tasks are lost", Duration::from_secs(60));
        broker.command("resume");
        pipeline.feed(Duration::from_secs(1));
        check(&mut pipeline);

        let options = pipeline.scene.member_options("app", "other");
        let options = MemberOptions { instance: Some("here-000".to_owned()), ..options };
        pipeline.feed(Duration::from_millis(200));
        take_place(&pipeline.scene, &options, &pipeline.input);
        pipeline.feed(Duration::from_secs(3));
        check(&mut pipeline);
        assert_eq!(running.failure(), None);
        assert!(!heard::lines("fenced, perhaps by a request of our own").is_empty(), "nobody was fenced");
        running.stop().unwrap();
        check(&mut pipeline);
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn an_application_that_was_away_takes_its_place_back_and_doubles_nothing() {
    goes_on("", |pipeline| pipeline.check());
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn an_application_that_was_away_takes_its_place_back_and_loses_nothing_at_least_once() {
    goes_on("processing.guarantee=at_least_once", |pipeline| pipeline.check_at_least_once());
}
