//! Membership: who has which partitions, and since when no more.

use headwater::kafka::{CommittedOffset, Fault, GroupEvent, Membership};
use headwater::{TopicName, TopicPartition};

use crate::clusters::{Scene, on_each};

/// A member that does what a worker does: it gives back what it is asked for at once.
struct Member {
    port: Box<dyn Membership>,
    has: Option<Vec<TopicPartition>>,
    told: Vec<&'static str>,
}

impl Member {
    fn join(scene: &Scene, client: &str, topics: &[TopicName]) -> Self {
        let mut port = scene.cluster.membership(&scene.member_options("g", client));
        port.subscribe(topics);
        Self { port, has: None, told: Vec::new() }
    }

    fn step(&mut self, now_ms: i64) {
        match self.port.poll(now_ms).unwrap() {
            None => {}
            Some(GroupEvent::Assigned(mut partitions)) => {
                partitions.sort();
                self.told.push("assigned");
                self.has = Some(partitions);
            }
            Some(event) => {
                self.told.push(if event == GroupEvent::Lost { "lost" } else { "revoked" });
                self.has = None;
                self.port.release();
            }
        }
    }

    fn has(&self, topics: &[TopicName], numbers: &[i32]) -> bool {
        let expected = topics
            .iter()
            .flat_map(|topic| numbers.iter().map(|number| TopicPartition::new(topic.clone(), *number)));
        self.has.as_ref().is_some_and(|has| has.iter().eq(expected.collect::<Vec<_>>().iter()))
    }
}

#[test]
fn members_share_partitions_so_that_those_of_a_number_stay_together() {
    on_each(|scene| {
        let topics = [scene.topic("a", 3), scene.topic("b", 3)];
        let mut first = Member::join(scene, "c-1", &topics);
        scene.until("everything for the first", |now_ms| {
            first.step(now_ms);
            first.has(&topics, &[0, 1, 2]).then_some(())
        });
        let generation = first.port.generation().generation;
        let mut second = Member::join(scene, "c-2", &topics);
        scene.until("a share for each", |now_ms| {
            first.step(now_ms);
            second.step(now_ms);
            (first.has(&topics, &[0, 1]) && second.has(&topics, &[2])).then_some(())
        });
        assert_eq!(first.told, ["assigned", "revoked", "assigned"]);
        assert!(first.port.generation().generation > generation);
        assert_ne!(first.port.generation().member, second.port.generation().member);

        // One that leaves is not waited for.
        first.port.leave(scene.now_ms());
        scene.until("everything for the second", |now_ms| {
            second.step(now_ms);
            second.has(&topics, &[0, 1, 2]).then_some(())
        });
        drop(first);
    });
}

#[test]
fn one_without_partitions_gets_some_when_there_are() {
    on_each(|scene| {
        let topics = [scene.topic("a", 1)];
        let mut first = Member::join(scene, "c-1", &topics);
        let mut second = Member::join(scene, "c-2", &topics);
        scene.until("a partition for the first, none for the second", |now_ms| {
            first.step(now_ms);
            second.step(now_ms);
            (first.has(&topics, &[0]) && second.has(&topics, &[])).then_some(())
        });
        first.port.leave(scene.now_ms());
        scene.until("the partition for the second", |now_ms| {
            second.step(now_ms);
            second.has(&topics, &[0]).then_some(())
        });
        drop(first);
        // Between two assignments stands a revocation, be it of nothing.
        assert!(second.told.windows(2).all(|told| told != ["assigned", "assigned"]), "{:?}", second.told);
    });
}

#[test]
fn who_gives_its_generation_up_loses_everything_and_joins_anew() {
    on_each(|scene| {
        let topics = [scene.topic("a", 2)];
        let mut member = Member::join(scene, "c-1", &topics);
        scene.until("everything", |now_ms| {
            member.step(now_ms);
            member.has(&topics, &[0, 1]).then_some(())
        });
        for _ in 0..2 {
            member.told.clear();
            let generation = member.port.generation();
            member.port.rejoin();
            scene.until("everything again", |now_ms| {
                member.step(now_ms);
                let again = member.told.ends_with(&["assigned"]);
                (again && member.has(&topics, &[0, 1])).then_some(())
            });
            assert_eq!(member.told, ["lost", "assigned"]);
            assert_ne!(member.port.generation(), generation);
        }
    });
}

#[test]
fn a_member_commits_offsets_and_a_stranger_does_not() {
    on_each(|scene| {
        let topics = [scene.topic("a", 2)];
        let mut member = Member::join(scene, "c-1", &topics);
        scene.until("everything", |now_ms| {
            member.step(now_ms);
            member.has(&topics, &[0, 1]).then_some(())
        });
        let partitions = [0, 1].map(|number| TopicPartition::new(topics[0].clone(), number));
        let offset = CommittedOffset { offset: 5, metadata: "text".to_owned() };
        let offsets = [(partitions[1].clone(), offset.clone())];
        scene.answer("a commit", |now_ms| member.port.commit(&offsets, now_ms)).unwrap();
        let committed = scene.answer("offsets", |now_ms| member.port.committed(&partitions, now_ms)).unwrap();
        assert_eq!(committed, [None, Some(offset)]);

        // Before it has joined a member has no generation, and another has one.
        let mut stranger = scene.cluster.membership(&scene.member_options("g", "c-2"));
        assert!(stranger.generation().generation < 0);
        let refused = scene.answer("a refusal", |now_ms| stranger.commit(&offsets, now_ms)).unwrap_err();
        assert_eq!(refused.fault, Fault::Stale, "{refused}");
    });
}
