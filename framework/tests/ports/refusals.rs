//! Records that a topic does not take.

use std::sync::Arc;

use headwater::kafka::{Fault, Isolation, Producer};
use headwater::state::MemoryBackend;
use headwater::{Application, Config, RecordBatch, StreamsBuilder, TopicPartition};

use crate::clusters::{Scene, on_each, values};

/// A topic that takes no more than so many bytes at once.
const LIMIT: usize = 20_000;

fn small_topic(scene: &Scene, name: &str) -> TopicPartition {
    let configs = vec![("max.message.bytes".to_owned(), LIMIT.to_string())];
    TopicPartition::new(scene.topic_with(name, 1, configs), 0)
}

/// Values of a thousand bytes that no compression makes smaller.
fn thousands(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:01000}")).collect()
}

/// A transaction to a topic, and the value in it that the topic does not take.
fn sent_too_much(scene: &Scene) -> (TopicPartition, Box<dyn Producer>, String) {
    let partition = small_topic(scene, "out");
    let mut producer = scene.producer(Some("t"));
    producer.begin().unwrap();
    let large = "x".repeat(2 * LIMIT);
    scene.send(producer.as_mut(), &partition, &[&large]);
    (partition, producer, large)
}

#[test]
fn a_record_that_is_too_large_for_its_topic_is_told_as_the_transaction_ends() {
    on_each(|scene| {
        let (partition, mut producer, large) = sent_too_much(scene);
        let error = scene
            .answer("a flush", |now_ms| producer.flush(now_ms))
            .and_then(|()| scene.answer("a commit", |now_ms| producer.commit(now_ms)))
            .unwrap_err();
        assert_eq!((error.code, error.fault), ("MESSAGE_TOO_LARGE", Fault::Abortable), "{error}");
        let refused = producer.refused();
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].code, &refused[0].partition), ("MESSAGE_TOO_LARGE", &partition));
        let record = refused[0].record.as_ref().unwrap();
        assert_eq!(record.value.as_deref(), Some(large.as_bytes()));
        scene.answer("an abort", |now_ms| producer.abort(now_ms)).unwrap();
    });
}

#[test]
fn after_a_record_that_was_refused_no_other_is_taken_and_the_cause_is_told() {
    on_each(|scene| {
        let (partition, mut producer, _) = sent_too_much(scene);
        let error = scene.until("a refusal", |now_ms| {
            let mut batch = RecordBatch::default();
            batch.push(now_ms, None, Some(b"small"), 0);
            producer.send(&partition, &mut batch, now_ms).and_then(|()| producer.poll(now_ms)).err()
        });
        // Where both went in one batch it may be the batch that is too large, and the next producer makes smaller ones.
        let told = (error.code, error.fault);
        assert!(
            [("MESSAGE_TOO_LARGE", Fault::Abortable), ("BATCH_REFUSED", Fault::Fatal)].contains(&told),
            "{error}"
        );
    });
}

#[test]
fn many_records_that_are_too_large_together_arrive_in_smaller_batches() {
    on_each(|scene| {
        let (input, out) = (TopicPartition::new(scene.topic("in", 1), 0), small_topic(scene, "out"));
        let sent = thousands(3_000);
        let mut feeder = scene.producer(None);
        let mut batch = RecordBatch::default();
        sent.iter().for_each(|value| batch.push(1_000, None, Some(value.as_bytes()), 0));
        feeder.send(&input, &mut batch, scene.now_ms()).unwrap();
        scene.answer("the input", |now_ms| feeder.flush(now_ms)).unwrap();

        let builder = StreamsBuilder::new();
        builder.stream::<Option<String>, String>(&*input.topic).to(&out.topic);
        let name = scene.name("app");
        let properties = [("application.id", name.as_str()), ("processing.guarantee", "exactly_once_v2")];
        let config = Config::from_properties(properties).unwrap();
        let cluster = Arc::clone(&scene.cluster);
        let backend = Arc::new(MemoryBackend::default());
        let running =
            Application::new(&builder.build().unwrap(), config, cluster, backend).unwrap().start().unwrap();
        let read = scene.until("all records", |_| {
            assert_eq!(running.failure(), None);
            let (read, _) = scene.read(&out, 0, Isolation::ReadCommitted);
            (read.len() >= sent.len()).then_some(read)
        });
        assert_eq!(values(&read), sent);
        running.stop().unwrap();
    });
}
