//! A random walk against a model: whatever is produced, aborted, compacted, trimmed and crashed, a committed
//! reader sees what the model says, and reading in small steps sees the same as reading at once.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::collections::BTreeMap;

use headwater_broker::ErrorCode;
use headwater_broker::api::{Isolation, NewTopic, ProducerStamp};
use headwater_broker::batch::{BatchHeader, BatchOptions};
use rig::{Rig, txn, visible};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Producer {
    id: String,
    stamp: ProducerStamp,
    sequence: i32,
    /// Records of the open transaction: key, value, offset.
    open: Option<Vec<(String, String, i64)>>,
}

struct Walk {
    rig: Rig,
    dice: Dice,
    producers: Vec<Producer>,
    /// All committed records, by offset.
    committed: BTreeMap<i64, (String, String)>,
    count: u64,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut rig = Rig::new();
        let mut topic = NewTopic::new("t", 1).with_config("cleanup.policy", "compact");
        if !seed.is_multiple_of(3) {
            topic = topic.with_config("segment.bytes", (seed % 3 * 300).to_string());
        }
        rig.topic(topic.with_config("delete.retention.ms", "50"));
        let producer = |rig: &mut Rig, id: &str| Producer {
            id: id.to_owned(),
            stamp: rig.init(id),
            sequence: 0,
            open: None,
        };
        let producers = ["x", "y", "z"].map(|id| producer(&mut rig, id)).into();
        Self { rig, dice: Dice(seed), producers, committed: BTreeMap::new(), count: 0 }
    }

    /// One to three records; a quarter of them tombstones, written as `key` alone.
    fn records(&mut self) -> Vec<(String, String)> {
        let records = 1 + self.dice.roll(3);
        let record = |walk: &mut Self| {
            walk.count += 1;
            let key = format!("k{}", walk.dice.roll(5));
            let value = if walk.dice.roll(4) == 0 { String::new() } else { format!("={}", walk.count) };
            (key, value)
        };
        (0..records).map(|_| record(self)).collect()
    }

    fn produce_plain(&mut self) {
        let records = self.records();
        let base = self.produce(&BatchOptions::default(), &records);
        self.committed.extend((base..).zip(records));
    }

    fn produce(&mut self, options: &BatchOptions, records: &[(String, String)]) -> i64 {
        let texts: Vec<String> = records.iter().map(|(key, value)| format!("{key}{value}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.rig.produce_as("t", options, &texts).unwrap()
    }

    fn produce_in_transaction(&mut self, who: usize) {
        let records = self.records();
        let producer = &mut self.producers[who];
        if producer.open.is_none() {
            assert_eq!(self.rig.add(&producer.id, producer.stamp, &["t"]), ErrorCode::None);
            producer.open = Some(Vec::new());
        }
        let options = txn(producer.stamp, producer.sequence);
        producer.sequence += i32::try_from(records.len()).unwrap();
        let base = self.produce(&options, &records);
        let placed = (base..).zip(records).map(|(offset, (key, value))| (key, value, offset));
        self.producers[who].open.as_mut().unwrap().extend(placed);
    }

    fn end(&mut self, who: usize, commit: bool) {
        let producer = &mut self.producers[who];
        let Some(records) = producer.open.take() else { return };
        assert_eq!(self.rig.end(&producer.id, producer.stamp, commit), ErrorCode::None);
        if commit {
            self.committed.extend(records.into_iter().map(|(key, value, offset)| (offset, (key, value))));
        }
    }

    fn fence(&mut self, who: usize) {
        let producer = &mut self.producers[who];
        producer.open = None;
        producer.stamp = self.rig.init(&producer.id);
        producer.sequence = 0;
    }

    fn step(&mut self) {
        let who = usize::try_from(self.dice.roll(3)).unwrap();
        self.rig.pass(7);
        match self.dice.roll(20) {
            0..=3 => self.produce_plain(),
            4..=11 => self.produce_in_transaction(who),
            12..=14 => self.end(who, true),
            15 | 16 => self.end(who, false),
            17 => self.fence(who),
            18 => {
                self.rig.broker.compact("t", 0, self.rig.now).unwrap();
            }
            _ => {
                self.rig.broker.crash(self.rig.now);
                self.rig.broker.restart(self.rig.now).unwrap();
            }
        }
    }

    /// The table that the records make; what is not stable yet does not count.
    fn expected(&self) -> BTreeMap<String, String> {
        let stable = self.rig.broker.partition("t", 0).unwrap().last_stable_offset;
        let mut table = BTreeMap::new();
        for (key, value) in self.committed.range(..stable).map(|(_, record)| record) {
            table.insert(key.clone(), value.clone());
        }
        table.retain(|_, value| !value.is_empty());
        table
    }

    fn check(&mut self) {
        let at_once = self.rig.committed("t");
        let mut in_steps = Vec::new();
        let mut offset = 0;
        loop {
            let fetched = self.rig.fetch_bytes("t", offset, Isolation::ReadCommitted, 1);
            assert!(fetched.error == ErrorCode::None && fetched.batches.len() <= 1);
            in_steps.extend(visible(&fetched, offset));
            let Some(batch) = fetched.batches.first() else { break };
            offset = BatchHeader::parse(batch).unwrap().next_offset();
        }
        assert_eq!(in_steps, at_once);
        assert_eq!(offset, self.rig.broker.partition("t", 0).unwrap().last_stable_offset);
        let mut table = BTreeMap::new();
        for shown in &at_once {
            let (offset, record) = shown.split_once(':').unwrap();
            let (key, value) = record.split_at(2);
            let known = &self.committed[&offset.parse().unwrap()];
            assert_eq!((key, value), (known.0.as_str(), known.1.as_str()), "offset {offset}");
            table.insert(key.to_owned(), value.to_owned());
        }
        table.retain(|_, value| !value.is_empty());
        assert_eq!(table, self.expected());
    }
}

#[test]
fn committed_readers_see_what_was_committed() {
    for seed in 0..if rig::in_files() { 9 } else { 30 } {
        let mut walk = Walk::new(seed);
        for _ in 0..200 {
            walk.step();
            walk.check();
        }
    }
}
