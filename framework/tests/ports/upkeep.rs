//! What an operator asks for: all topics and groups, deletions, offsets by time, offsets set from outside.

use std::task::Poll;

use headwater::kafka::{CommittedOffset, Fault, GroupEvent, Membership, OffsetCommit};
use headwater::{RecordBatch, TopicName, TopicPartition};

use crate::clusters::{Scene, on_each};

/// A member that has its assignment.
fn join(scene: &Scene, topic: &TopicName, instance: Option<&str>) -> Box<dyn Membership> {
    let mut options = scene.member_options("g", "upkeep");
    options.instance = instance.map(|name| scene.name(name));
    let mut member = scene.cluster.membership(&options);
    member.subscribe(std::slice::from_ref(topic));
    scene.until("an assignment", |now_ms| {
        matches!(member.poll(now_ms).unwrap(), Some(GroupEvent::Assigned(_))).then_some(())
    });
    member
}

fn offset(topic: &TopicName, partition: i32, offset: i64) -> OffsetCommit {
    let committed = CommittedOffset { offset, metadata: format!("at {offset}") };
    (TopicPartition::new(topic.clone(), partition), committed)
}

#[test]
fn deleted_topics_are_gone_and_the_others_are_listed() {
    on_each(|scene| {
        let mut admin = scene.admin();
        let (kept, deleted) = (scene.topic("kept", 1), scene.topic("deleted", 2));
        let none: TopicName = scene.name("none").as_str().into();
        let names = [deleted.clone(), none.clone()];
        for _ in 0..2 {
            scene.answer("a deletion", |now_ms| admin.delete(&names, now_ms)).unwrap();
            let found = scene.answer("a description", |now_ms| admin.describe(&names, now_ms)).unwrap();
            assert_eq!(found, [None, None]);
            let listed = scene.answer("all topics", |now_ms| admin.topics(now_ms)).unwrap();
            assert!(listed.contains(&kept) && !listed.contains(&deleted) && !listed.contains(&none));
            assert!(listed.is_sorted());
        }
        // One that is made again is another one.
        assert_eq!(scene.topic("deleted", 3), deleted);
        let names = [deleted];
        let found = scene.answer("a description", |now_ms| admin.describe(&names, now_ms)).unwrap();
        assert_eq!(found[0].as_ref().unwrap().partitions, 3);
    });
}

#[test]
fn a_time_has_the_offset_of_the_first_record_that_is_not_older() {
    on_each(|scene| {
        let topic = scene.topic("a", 2);
        let partitions = [0, 1].map(|number| TopicPartition::new(topic.clone(), number));
        let mut producer = scene.producer(None);
        let mut batch = RecordBatch::default();
        [1_000, 3_000, 2_000].iter().for_each(|time| batch.push(*time, Some(b"k"), Some(b"v"), 0));
        producer.send(&partitions[0], &mut batch, scene.now_ms()).unwrap();
        scene.answer("the records", |now_ms| producer.flush(now_ms)).unwrap();
        let mut admin = scene.admin();
        for (time, expected) in
            [(0, Some(0)), (1_000, Some(0)), (1_001, Some(1)), (3_000, Some(1)), (3_001, None)]
        {
            let found =
                scene.answer("offsets", |now_ms| admin.offsets_at(&partitions, time, now_ms)).unwrap();
            assert_eq!(found, [expected, None], "{time}");
        }
    });
}

#[test]
fn a_group_shows_its_members_and_only_without_them_are_its_offsets_set() {
    on_each(|scene| {
        let (topic, group) = (scene.topic("a", 2), scene.name("g"));
        let mut admin = scene.admin();
        // The first question about a group may find a cluster that is about to make room for groups.
        let mut members = || {
            scene.until("members", |now_ms| match admin.members(&group, now_ms) {
                Poll::Ready(Err(error)) if error.fault == Fault::Retriable => None,
                Poll::Ready(answer) => Some(answer.unwrap()),
                Poll::Pending => None,
            })
        };
        assert_eq!(members(), []);

        let mut member = join(scene, &topic, None);
        let [seen] = members().try_into().unwrap();
        assert_eq!((seen.member, seen.instance), (member.generation().member, None));
        assert!(seen.client.starts_with("upkeep"), "{}", seen.client);

        let mut admin = scene.admin();
        let listed = scene.answer("groups", |now_ms| admin.groups(now_ms)).unwrap();
        assert!(listed.contains(&group), "{listed:?}");
        let offsets = [offset(&topic, 0, 3), offset(&topic, 1, 4)];
        let set = |now_ms| admin.set_group_offsets(&group, &offsets, now_ms);
        assert_eq!(scene.answer("a refusal", set).unwrap_err().code, "UNKNOWN_MEMBER_ID");

        member.leave(scene.now_ms());
        scene.until("an empty group", |now_ms| {
            let _ = member.poll(now_ms);
            members().is_empty().then_some(())
        });
        let mut admin = scene.admin();
        let read = |admin: &mut dyn headwater::kafka::Admin| {
            scene.answer("offsets", |now_ms| admin.group_offsets(&group, now_ms)).unwrap()
        };
        assert_eq!(read(admin.as_mut()), []);
        scene.answer("a commit", |now_ms| admin.set_group_offsets(&group, &offsets, now_ms)).unwrap();
        assert_eq!(read(admin.as_mut()), offsets);
        let back = [offset(&topic, 1, 0)];
        scene.answer("a commit", |now_ms| admin.set_group_offsets(&group, &back, now_ms)).unwrap();
        assert_eq!(read(admin.as_mut()), [offsets[0].clone(), back[0].clone()]);
    });
}

#[test]
fn a_static_member_that_is_gone_stays_in_its_group_until_it_is_removed() {
    on_each(|scene| {
        let (topic, group) = (scene.topic("a", 1), scene.name("g"));
        let mut member = join(scene, &topic, Some("i-1"));
        member.leave(scene.now_ms());
        drop(member);
        let mut admin = scene.admin();
        let seen = scene.answer("members", |now_ms| admin.members(&group, now_ms)).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].instance, Some(scene.name("i-1")));
        match scene.answer("a removal", |now_ms| admin.remove_members(&group, &seen, now_ms)) {
            // librdkafka has no request for it.
            Err(refused) => assert_eq!(refused.code, "_NOT_IMPLEMENTED"),
            Ok(()) => {
                let left = scene.answer("members", |now_ms| admin.members(&group, now_ms)).unwrap();
                assert_eq!(left, []);
                scene.answer("nothing", |now_ms| admin.remove_members(&group, &seen, now_ms)).unwrap();
            }
        }
    });
}
