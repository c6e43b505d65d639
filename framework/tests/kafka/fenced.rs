//! A static member whose place is taken: by a request of its own that a broker came to late, and by another process.

use headwater::kafka::{GroupEvent, KafkaError, MemberOptions, Membership};

use crate::broker::on_a_broker;
use crate::clusters::Scene;

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

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_static_member_that_was_away_takes_its_place_back_once() {
    on_a_broker(|broker| {
        let scene = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
        let topic = scene.topic("in", 1);
        let named = MemberOptions {
            instance: Some("of-this-name".to_owned()),
            ..scene.member_options("group", "member")
        };
        let join = || {
            let mut member = scene.cluster.membership(&named);
            member.subscribe(std::slice::from_ref(&topic));
            member
        };
        let mut member = join();
        assigned(&scene, "the first assignment", member.as_mut()).unwrap();
        // What a broker that has no time comes to late: a request to join, by the same name, without the id of the member.
        let take_place =
            || assigned(&scene, "the assignment of whoever takes the place", join().as_mut()).unwrap();

        broker.command("pause");
        assert_eq!(told(&scene, "the loss", member.as_mut()), Ok(GroupEvent::Lost));
        broker.command("resume");
        assigned(&scene, "the assignment after the loss", member.as_mut()).unwrap();
        take_place();
        assigned(&scene, "the assignment after the fence", member.as_mut()).unwrap();
        assert_eq!(member.generation().instance.as_deref(), Some("of-this-name"));

        take_place();
        let error = assigned(&scene, "the end of who is fenced again", member.as_mut()).unwrap_err();
        assert_eq!(error.code, "FENCED_INSTANCE_ID");
    });
}
