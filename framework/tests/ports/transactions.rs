//! Transactions: what becomes visible when, and who is shut out.

use headwater::kafka::{CommittedOffset, Fault, GroupMetadata, Isolation, ProducerOptions};
use headwater::{RecordBatch, TopicPartition};

use crate::clusters::{Scene, on_each, values};

#[test]
fn a_transaction_shows_all_or_nothing() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let partitions = [partition.clone()];
        let mut producer = scene.producer(Some("t"));
        producer.begin().unwrap();
        scene.send(producer.as_mut(), &partition, &["lost"]);
        scene.answer("an abort", |now_ms| producer.abort(now_ms)).unwrap();
        assert_eq!(producer.acknowledged(), []);
        producer.begin().unwrap();
        scene.send(producer.as_mut(), &partition, &["a", "b"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();

        let mut admin = scene.admin();
        let mut bounds = |isolation| {
            scene.answer("bounds", |now_ms| admin.bounds(&partitions, isolation, now_ms)).unwrap()[0]
        };
        let (stable, written) = (bounds(Isolation::ReadCommitted).1, bounds(Isolation::ReadUncommitted).1);
        assert_eq!(written - stable, 2);
        assert_eq!(values(&scene.read(&partition, 0, Isolation::ReadCommitted).0), [""; 0]);

        scene.answer("a commit", |now_ms| producer.commit(now_ms)).unwrap();
        assert_eq!(producer.acknowledged(), [(partition.clone(), written)]);
        assert!(!producer.tainted());
        // The marker may come a moment after the answer.
        let (read, end) = scene.until("the commit's records", |_| {
            let (read, end) = scene.read(&partition, 0, Isolation::ReadCommitted);
            (!read.is_empty()).then_some((read, end))
        });
        assert_eq!((values(&read), end), (vec!["a".to_owned(), "b".to_owned()], written + 1));
    });
}

#[test]
fn a_producer_that_goes_leaves_nothing_open() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.cluster.producer(&ProducerOptions {
            client: "ports".to_owned(),
            transactional_id: Some(scene.name("t")),
            // Longer than the end of the transaction is waited for below.
            transaction_timeout_ms: 600_000,
            request_timeout_ms: 10_000,
        });
        scene.answer("an epoch", |now_ms| producer.init(now_ms)).unwrap();
        producer.begin().unwrap();
        scene.send(producer.as_mut(), &partition, &["first"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        // These are on their way, and some have to wait until they can go.
        let mut batch = RecordBatch::default();
        (0..150_000).for_each(|_| batch.push(1_000, None, Some(&[b'v'; 100]), 0));
        producer.send(&partition, &mut batch, scene.now_ms()).unwrap();
        producer.part(scene.now_ms());
        drop(producer);

        let (mut admin, partitions) = (scene.admin(), [partition]);
        let mut end = |isolation| {
            scene.answer("bounds", |now_ms| admin.bounds(&partitions, isolation, now_ms)).unwrap()[0].1
        };
        scene.until("an end of the transaction", |_| {
            (end(Isolation::ReadCommitted) == end(Isolation::ReadUncommitted)).then_some(())
        });
    });
}

/// Member of a group that has one partition.
fn joined(scene: &Scene, group: &str, topic: &str) -> (Box<dyn headwater::kafka::Membership>, GroupMetadata) {
    let mut member = scene.cluster.membership(&scene.member_options(group, "c"));
    member.subscribe(&[topic.into()]);
    scene.until("an assignment", |now_ms| member.poll(now_ms).unwrap());
    let generation = member.generation();
    assert!(generation.generation >= 0 && !generation.member.is_empty());
    (member, generation)
}

#[test]
fn offsets_are_committed_with_the_records_and_carry_text() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let (mut member, generation) = joined(scene, "g", &partition.topic);
        let partitions = [partition.clone()];
        let mut committed = |scene: &Scene| {
            scene.answer("offsets", |now_ms| member.committed(&partitions, now_ms)).unwrap().remove(0)
        };
        assert_eq!(committed(scene), None);
        let offset = CommittedOffset { offset: 7, metadata: "AgAAAAAAAAPo".to_owned() };
        let offsets = [(partition.clone(), offset.clone())];
        let mut producer = scene.producer(Some("t"));
        for (end, expected) in [(false, None), (true, Some(offset))] {
            producer.begin().unwrap();
            scene.send(producer.as_mut(), &partition, &["a"]);
            scene
                .answer("offsets in a transaction", |now_ms| {
                    producer.send_offsets(&offsets, &generation, now_ms)
                })
                .unwrap();
            let ended = scene.answer("the end of a transaction", |now_ms| match end {
                true => producer.commit(now_ms),
                false => producer.abort(now_ms),
            });
            ended.unwrap();
            assert_eq!(committed(scene), expected);
        }
    });
}

#[test]
fn a_stale_generation_cannot_commit() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let (_member, generation) = joined(scene, "g", &partition.topic);
        let mut producer = scene.producer(Some("t"));
        let offsets = [(partition.clone(), CommittedOffset { offset: 7, metadata: String::new() })];
        let stale = GroupMetadata { generation: generation.generation + 1, ..generation.clone() };
        let stranger = GroupMetadata { member: "nobody".to_owned(), ..generation };
        for (group, code) in [(stale, "ILLEGAL_GENERATION"), (stranger, "UNKNOWN_MEMBER_ID")] {
            producer.begin().unwrap();
            scene.send(producer.as_mut(), &partition, &["a"]);
            let refused = scene
                .answer("a refusal", |now_ms| producer.send_offsets(&offsets, &group, now_ms))
                .unwrap_err();
            assert_eq!((refused.code, refused.fault), (code, Fault::Stale));
            scene.answer("an abort", |now_ms| producer.abort(now_ms)).unwrap();
        }
        assert_eq!(values(&scene.read(&partition, 0, Isolation::ReadCommitted).0), [""; 0]);
    });
}

#[test]
fn a_newer_producer_of_the_same_id_fences_the_older_one() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut zombie = scene.producer(Some("t"));
        zombie.begin().unwrap();
        scene.send(zombie.as_mut(), &partition, &["zombie"]);
        scene.answer("a flush", |now_ms| zombie.flush(now_ms)).unwrap();
        let mut heir = scene.producer(Some("t"));
        let fenced = scene.answer("a refusal", |now_ms| zombie.commit(now_ms)).unwrap_err();
        assert_eq!(fenced.fault, Fault::Fatal, "{fenced}");
        assert!(["INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"].contains(&fenced.code), "{fenced}");
        heir.begin().unwrap();
        scene.send(heir.as_mut(), &partition, &["heir"]);
        scene.answer("a commit", |now_ms| heir.commit(now_ms)).unwrap();
        let read = scene.until("the heir's record", |_| {
            let (read, _) = scene.read(&partition, 0, Isolation::ReadCommitted);
            (!read.is_empty()).then_some(read)
        });
        assert_eq!(values(&read), ["heir"]);
    });
}
