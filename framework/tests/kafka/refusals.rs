//! Records that a broker refuses, which nobody knows before: the production handler gets them, and all others arrive.

use std::collections::BTreeSet;
use std::sync::Arc;

use headwater::kafka::{Isolation, KafkaCluster};
use headwater::state::MemoryBackend;
use headwater::{Application, RecordBatch, StreamsBuilder, TopicPartition};

use crate::broker::{Broker, on_a_broker};
use crate::clusters::{Scene, values};
use crate::heard;

const RECORDS: usize = 20_000;

/// Whether the record has a time that its topic does not take. There are few of them, and two that stand together.
fn is_bad(number: usize) -> bool {
    number % 4_000 == 1_234 || number == 1_235
}

fn dead_letters(broker: &Broker, guarantee: &str) {
    let scene = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
    let one = |topic| TopicPartition::new(topic, 0);
    let configs = vec![("message.timestamp.before.max.ms".to_owned(), "3600000".to_owned())];
    let (input, dead) = (one(scene.topic("in", 1)), one(scene.topic("dead", 1)));
    let out = one(scene.topic_with("out", 1, configs));

    let mut feeder = scene.producer(None);
    let mut batch = RecordBatch::default();
    let now_ms = scene.now_ms();
    for number in 0..RECORDS {
        let time = if is_bad(number) { 1_000 } else { now_ms };
        batch.push(time, Some(b"k"), Some(number.to_string().as_bytes()), 0);
    }
    feeder.send(&input, &mut batch, now_ms).unwrap();
    scene.answer("the input", |now_ms| feeder.flush(now_ms)).unwrap();

    let builder = StreamsBuilder::new();
    builder.stream::<String, String>(&*input.topic).to(&out.topic);
    let config = broker.config(&format!(
        "bootstrap.servers=<PLAINTEXT>\napplication.id={}\nprocessing.guarantee={guarantee}\n\
         production.exception.handler=dead-letter\nerrors.dead.letter.queue.topic.name={}",
        scene.name("app"),
        dead.topic
    ));
    let cluster = Arc::new(KafkaCluster::connect(&config.cluster_options()).unwrap());
    let backend = Arc::new(MemoryBackend::default());
    let running =
        Application::new(&builder.build().unwrap(), config, cluster, backend).unwrap().start().unwrap();
    let read = |partition| values(&scene.read(partition, 0, Isolation::ReadCommitted).0);
    let numbers = |wanted: bool| -> Vec<_> {
        (0..RECORDS).filter(|number| is_bad(*number) == wanted).map(|number| number.to_string()).collect()
    };
    let (bad, good) = (numbers(true), numbers(false));
    let told = scene.until("all records", |_| {
        assert_eq!(running.failure(), None);
        heard::pause(200);
        let told = [read(&out), read(&dead)].map(|texts| texts.into_iter().collect::<BTreeSet<_>>());
        (told[0].len() + told[1].len() == RECORDS).then_some(told)
    });
    let figures = running.stop().unwrap();
    println!("{guarantee}: {} aborts\n{}", figures.aborts, heard::lines("").join("\n"));
    assert_eq!(told, [&good, &bad].map(|texts| texts.iter().cloned().collect()));
    if guarantee == "exactly_once_v2" {
        assert_eq!((read(&out), read(&dead)), (good, bad), "in order, and once");
    }
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn records_whose_time_a_topic_does_not_take_are_dead_letters_and_all_others_arrive() {
    on_a_broker(|broker| {
        for guarantee in ["exactly_once_v2", "at_least_once"] {
            heard::begin();
            dead_letters(broker, guarantee);
        }
    });
}
