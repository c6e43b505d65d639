//! Reads topics for a test: every record once.

use std::collections::BTreeMap;

use crate::error::{Error, Reaction, Result};
use crate::kafka::Consumer;
use crate::record::SharedBatch;
use crate::topic::TopicPartition;

/// Bytes of one fetch.
const FETCH_BYTES: usize = 1 << 20;

/// Reads topics, each from where it stopped the last time.
pub(super) struct Reader {
    consumer: Box<dyn Consumer>,
    known: BTreeMap<TopicPartition, i64>,
}

impl Reader {
    pub(super) fn new(consumer: Box<dyn Consumer>) -> Self {
        Self { consumer, known: BTreeMap::new() }
    }

    /// What is new in a topic, by partition, as of now.
    pub(super) fn read(&mut self, topic: &str, partitions: i32, now_ms: i64) -> Result<Vec<SharedBatch>> {
        let mut batches = Vec::new();
        for number in 0..partitions {
            let partition = TopicPartition::new(topic, number);
            if !self.known.contains_key(&partition) {
                self.consumer.add(&partition, 0);
                self.known.insert(partition.clone(), 0);
            }
            loop {
                let Some(fetched) = self.consumer.fetch(&partition, FETCH_BYTES, now_ms)? else {
                    let message = format!("{partition} is not readable now: is a fault planted?");
                    return Err(Error::new(Reaction::Retry, message));
                };
                if !fetched.records.is_empty() {
                    batches.push(fetched.records.freeze());
                }
                if fetched.caught_up {
                    break;
                }
            }
        }
        Ok(batches)
    }
}
