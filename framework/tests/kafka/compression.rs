//! Compression: batches of every kind there and back.

use headwater::kafka::Isolation;
use headwater::{RecordBatch, TopicPartition};

use crate::broker::on_a_broker;
use crate::clusters::{Scene, values};

/// Bytes that the broker keeps of a partition.
fn kept(folder: &std::path::Path, topic: &str) -> u64 {
    std::fs::metadata(folder.join(format!("1/data/{topic}-0/00000000000000000000.log"))).unwrap().len()
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn every_kind_of_compression_comes_back_and_takes_less_room() {
    on_a_broker(|broker| {
        let sent: Vec<_> =
            (0..2_000).map(|number| format!("{number} {}", "the same again ".repeat(20))).collect();
        let bytes = sent.iter().map(String::len).sum::<usize>() as u64;
        for kind in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let scene =
                Scene::on(broker.cluster(&format!("bootstrap.servers=<PLAINTEXT>\ncompression.type={kind}")));
            let partition = TopicPartition::new(scene.topic(kind, 1), 0);
            let mut producer = scene.producer(None);
            let mut batch = RecordBatch::default();
            sent.iter().for_each(|value| batch.push(1_000, None, Some(value.as_bytes()), 0));
            producer.send(&partition, &mut batch, scene.now_ms()).unwrap();
            scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
            assert_eq!(values(&scene.read(&partition, 0, Isolation::ReadCommitted).0), sent, "{kind}");
            let kept = kept(broker.folder(), &partition.topic);
            assert_eq!(kept < bytes / 2, kind != "none", "{kind}: {kept} bytes of {bytes}");
        }
    });
}
