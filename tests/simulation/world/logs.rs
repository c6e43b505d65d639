//! Logs: what appears in the broker's logs, told while it appears; consumed repartition records are deleted later.

use std::collections::BTreeMap;

use headwater_broker::broker::{OwnedRecord, RecordState};

use super::World;
use crate::case;

/// The records that were told, with the state in which they were.
pub(super) type Seen = BTreeMap<(String, i32, i64), RecordState>;

impl World {
    /// Tells records that are new, and those whose transaction was decided since.
    pub(super) fn tell_logs(&mut self) {
        let mut lines = Vec::new();
        {
            let broker = self.mould.cluster.broker();
            for topic in broker.topics() {
                for partition in 0..broker.partition_count(&topic).unwrap_or(0) {
                    for record in broker.records(&topic, partition).unwrap_or_default() {
                        let key = (topic.clone(), partition, record.offset);
                        if self.seen.insert(key, record.state) != Some(record.state) {
                            lines.push(format!("log {topic}-{partition} {}", show(&record)));
                        }
                    }
                }
            }
        }
        lines.iter().for_each(|line| println!("{} ms, tick {}: {line}", self.now_ms, self.tick));
    }
}

fn show(record: &OwnedRecord) -> String {
    let writer =
        record.producer.map_or_else(String::new, |stamp| format!(" by {}/{}", stamp.id, stamp.epoch));
    let what = match record.state {
        RecordState::Marker(_) => String::new(),
        _ => case::show(record).escape_debug().to_string(),
    };
    format!("{} {:?}{writer} {what}", record.offset, record.state)
}
