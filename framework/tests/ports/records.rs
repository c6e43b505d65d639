//! Topics, records, offsets.

use headwater::kafka::{Fault, Isolation, NewTopic};
use headwater::{RecordBatch, TopicName, TopicPartition};

use crate::clusters::{on_each, values};

#[test]
fn topics_are_made_once_and_described() {
    on_each(|scene| {
        let mut admin = scene.admin();
        let topic = NewTopic {
            name: scene.name("a").as_str().into(),
            partitions: 3,
            replication_factor: None,
            configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
        };
        let topics = [topic];
        for _ in 0..2 {
            scene.answer("a topic", |now_ms| admin.create(&topics, now_ms)).unwrap();
        }
        let names: [TopicName; 2] = [scene.name("none").as_str().into(), topics[0].name.clone()];
        let found = scene.answer("a description", |now_ms| admin.describe(&names, now_ms)).unwrap();
        assert_eq!(found[0], None);
        let found = found[1].clone().unwrap();
        assert_eq!((found.partitions, found.rules().needs_keys), (3, true));
        assert_ne!(found.id, 0);
    });
}

#[test]
fn records_come_back_as_they_were_sent() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 2), 1);
        let mut producer = scene.producer(None);
        let mut batch = RecordBatch::default();
        batch.push(1_234, Some(b"key"), Some(b"value"), 0);
        batch.push_header("trace", Some(b"t-1"));
        batch.push_header("trace", None);
        batch.push_header("", Some(b""));
        batch.push(77, None, Some(b""), 0);
        batch.push(1, Some(b""), None, 0);
        producer.send(&partition, &mut batch, scene.now_ms()).unwrap();
        assert!(producer.pending_bytes() > 0);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        assert_eq!(producer.pending_bytes(), 0);
        assert_eq!(producer.acknowledged(), [(partition.clone(), 3)]);
        assert_eq!(producer.acknowledged(), []);

        let (read, end) = scene.read(&partition, 0, Isolation::ReadCommitted);
        assert_eq!(end, 3);
        let shown: Vec<_> = read.iter().map(|one| (one.offset, one.timestamp)).collect();
        assert_eq!(shown, [(0, 1_234), (1, 77), (2, 1)]);
        assert_eq!(read[0].key.as_deref(), Some(&b"key"[..]));
        assert_eq!((&read[1].key, read[1].value.as_deref()), (&None, Some(&b""[..])));
        assert_eq!((read[2].key.as_deref(), &read[2].value), (Some(&b""[..]), &None));
        let headers = vec![
            ("trace".to_owned(), Some(b"t-1".to_vec())),
            ("trace".to_owned(), None),
            (String::new(), Some(Vec::new())),
        ];
        assert_eq!(read[0].headers, headers);
        assert!(read[1].headers.is_empty());
    });
}

#[test]
fn a_partition_is_read_from_where_it_is_told_and_told_anew() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.producer(None);
        scene.send(producer.as_mut(), &partition, &["0", "1", "2", "3"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        let mut consumer = scene.cluster.consumer("ports", Isolation::ReadCommitted);
        for (offset, expected) in [(2, vec!["2", "3"]), (0, vec!["0", "1", "2", "3"]), (4, vec![])] {
            consumer.add(&partition, offset);
            let (read, end) = scene.read_on(consumer.as_mut(), &partition);
            assert_eq!((values(&read), end), (expected.iter().map(ToString::to_string).collect(), 4));
        }
        // What comes later comes by itself.
        scene.send(producer.as_mut(), &partition, &["4"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        assert_eq!(values(&scene.read_on(consumer.as_mut(), &partition).0), ["4"]);
        consumer.remove(&partition);
        scene.send(producer.as_mut(), &partition, &["5"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        assert!(consumer.fetch(&partition, 1 << 20, scene.now_ms()).unwrap_or_default().is_none());
    });
}

#[test]
fn queues_of_any_size_bring_everything() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.producer(None);
        // One that is larger than a small queue, among others.
        let large = "l".repeat(200_000);
        let mut all: Vec<_> = (0..2_000).map(|number| number.to_string()).collect();
        all[1_000] = large;
        let texts: Vec<_> = all.iter().map(String::as_str).collect();
        scene.send(producer.as_mut(), &partition, &texts);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        let mut consumer = scene.cluster.consumer("ports", Isolation::ReadCommitted);
        for (partitions, bytes) in [(1_000, 1 << 20), (1, usize::MAX)] {
            consumer.expect(partitions, bytes);
            consumer.add(&partition, 0);
            // While something is read it stays as it is.
            consumer.expect(1, 0);
            assert_eq!(values(&scene.read_on(consumer.as_mut(), &partition).0), all);
            consumer.remove(&partition);
        }
    });
}

#[test]
fn small_fetches_bring_everything_in_order() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.producer(None);
        let all: Vec<_> = (0..5_000).map(|number| number.to_string()).collect();
        for some in all.chunks(100) {
            let some: Vec<_> = some.iter().map(String::as_str).collect();
            scene.send(producer.as_mut(), &partition, &some);
        }
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        let mut consumer = scene.cluster.consumer("ports", Isolation::ReadCommitted);
        consumer.add(&partition, 0);
        let mut read = Vec::new();
        scene.until("the end", |now_ms| {
            let fetched = consumer.fetch(&partition, 100, now_ms).unwrap()?;
            let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
            read.extend(fetched.records.iter().map(|record| text(record.value)));
            (fetched.position == 5_000).then_some(())
        });
        assert_eq!(read, all);
    });
}

#[test]
fn an_offset_that_is_not_there_is_refused() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.producer(None);
        scene.send(producer.as_mut(), &partition, &["0", "1", "2"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        let mut admin = scene.admin();
        let before = [(partition.clone(), 2)];
        scene.answer("a deletion", |now_ms| admin.delete_records(&before, now_ms)).unwrap();
        let partitions = [partition.clone()];
        let bounds =
            scene.answer("bounds", |now_ms| admin.bounds(&partitions, Isolation::ReadUncommitted, now_ms));
        assert_eq!(bounds.unwrap(), [(2, 3)]);
        for offset in [1, 9] {
            let mut consumer = scene.cluster.consumer("ports", Isolation::ReadCommitted);
            consumer.add(&partition, offset);
            let error = scene.until("a refusal", |now_ms| consumer.fetch(&partition, 1 << 20, now_ms).err());
            assert_eq!((error.code, error.fault), ("OFFSET_OUT_OF_RANGE", Fault::Refused), "{error}");
        }
    });
}

#[test]
fn the_end_of_a_partition_is_known_without_a_question() {
    on_each(|scene| {
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.producer(Some("t"));
        producer.begin().unwrap();
        scene.send(producer.as_mut(), &partition, &["0", "1"]);
        scene.answer("a commit", |now_ms| producer.commit(now_ms)).unwrap();
        producer.begin().unwrap();
        scene.send(producer.as_mut(), &partition, &["2", "3", "4"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();

        // Two records and their marker; behind them a transaction that is open.
        for (isolation, end) in [(Isolation::ReadCommitted, 3), (Isolation::ReadUncommitted, 6)] {
            let mut consumer = scene.cluster.consumer("ports", isolation);
            assert_eq!(consumer.end(&partition), None, "it is not read");
            consumer.add(&partition, 0);
            // One small fetch shows that it is alive; what else it fetches of its own is not taken.
            scene.until("a record", |now_ms| consumer.fetch(&partition, 1, now_ms).unwrap());
            let known = |_| consumer.end(&partition).filter(|known| *known == end);
            scene.until("the end", known);
            consumer.remove(&partition);
            assert_eq!(consumer.end(&partition), None, "it is not read any more");
        }

        let mut consumer = scene.cluster.consumer("ports", Isolation::ReadCommitted);
        consumer.add(&partition, 0);
        assert_eq!(values(&scene.read_on(consumer.as_mut(), &partition).0), ["0", "1"]);
        assert_eq!(consumer.end(&partition), Some(3));
        scene.answer("a commit", |now_ms| producer.commit(now_ms)).unwrap();
        // The end goes on by itself, and nothing of that is taken.
        scene.until("the new end", |_| consumer.end(&partition).filter(|known| *known == 7));
    });
}
