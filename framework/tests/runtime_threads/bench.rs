//! Bench: an application that counts records, on an in-process cluster, and what came out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater::kafka::Isolation;
use headwater::kafka::memory::MemoryCluster;
use headwater::state::MemoryBackend;
use headwater::{
    Application, Config, KStream, Materialized, RecordBatch, Running, StreamsBuilder, TopicPartition,
    Topology,
};

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 4;
/// Keys of each partition.
const KEYS: i64 = 5;
/// How often a condition is looked at before the test gives up.
const LOOKS: usize = 12_000;
const LOOK: Duration = Duration::from_millis(5);

/// Counts by key, and what `then` makes of the counts.
pub(crate) fn counting(then: impl Fn(KStream<String, i64>) -> KStream<String, i64>) -> Topology {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, i64>("in").group_by_key().count_with(Materialized::named("counts"));
    then(counts.to_stream().map_values(|count| count.unwrap_or_default())).to("out");
    builder.build().unwrap()
}

/// An application's surroundings.
pub(crate) struct Bench {
    pub(crate) cluster: MemoryCluster,
    /// How many records of each key were fed.
    pub(crate) rounds: i64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let cluster = MemoryCluster::new();
        ["in", "out"].iter().for_each(|topic| cluster.create_topic(topic, PARTITIONS).unwrap());
        Self { cluster, rounds: 0 }
    }

    /// The application, called `threads` in a process `p`, exactly once.
    pub(crate) fn application(&self, topology: &Topology, workers: usize) -> Application {
        let workers = workers.to_string();
        let config = Config::from_properties([
            ("application.id", "threads"),
            ("num.stream.threads", workers.as_str()),
            ("processing.guarantee", "exactly_once_v2"),
            ("commit.interval.ms", "10"),
        ]);
        let backend = Arc::new(MemoryBackend::default());
        let cluster = Arc::new(self.cluster.clone());
        Application::new(topology, config.unwrap(), cluster, backend).unwrap().process("p")
    }

    /// One record for each key of each partition.
    pub(crate) fn feed(&mut self) {
        for partition in 0..PARTITIONS {
            let mut batch = RecordBatch::default();
            for key in 0..KEYS {
                let key = format!("{partition}-{key}");
                batch.push(self.rounds, Some(key.as_bytes()), Some(&self.rounds.to_be_bytes()), 0);
            }
            self.cluster.produce(&TopicPartition::new("in", partition), &batch).unwrap();
        }
        self.rounds += 1;
    }

    /// How many records were fed.
    pub(crate) fn fed(&self) -> u64 {
        (self.rounds * KEYS * i64::from(PARTITIONS)).try_into().unwrap()
    }

    /// Waits for `condition`.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..LOOKS {
            if condition() {
                return;
            }
            std::thread::park_timeout(LOOK);
        }
        panic!("in vain: {what}");
    }

    /// Feeds until `condition`.
    pub(crate) fn flow_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..LOOKS {
            if condition() {
                return;
            }
            self.feed();
            std::thread::park_timeout(LOOK);
        }
        panic!("in vain: {what}");
    }

    /// The committed values of each key, in order.
    pub(crate) fn out(&self) -> BTreeMap<String, Vec<i64>> {
        let mut out = BTreeMap::<String, Vec<i64>>::new();
        for batch in self.cluster.read_all("out", Isolation::ReadCommitted).unwrap() {
            for record in batch.iter() {
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                let value = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                out.entry(key).or_default().push(value);
            }
        }
        out
    }

    pub(crate) fn written(&self) -> u64 {
        self.out().values().map(|values| values.len() as u64).sum()
    }

    /// Waits for all output, and checks that each key's counts go up by one, from one.
    pub(crate) fn check_out(&self) {
        self.until("all output", || self.written() >= self.fed());
        let expected: Vec<_> = (1..=self.rounds).collect();
        for (key, found) in self.out() {
            assert_eq!(found, expected, "key {key}");
        }
    }

    pub(crate) fn members(&self) -> usize {
        self.cluster.broker().group("threads").map_or(0, |group| group.members.len())
    }

    pub(crate) fn generation(&self) -> i32 {
        self.cluster.broker().group("threads").map_or(-1, |group| group.generation)
    }

    /// Checks that there never were other producers than those of workers with these numbers.
    pub(crate) fn check_producers(&self, numbers: usize) {
        let ids: Vec<_> = self.cluster.broker().transactional_ids().iter().map(ToString::to_string).collect();
        assert_eq!(ids, (0..numbers).map(|number| format!("threads-p-{number}")).collect::<Vec<_>>());
    }

    /// Stops the application, without waiting for longer than a test may.
    pub(crate) fn stop(&self, running: &Running) -> headwater::Result<headwater::worker::Figures> {
        let stopping = running.clone();
        let stopped = std::thread::spawn(move || stopping.stop());
        self.until("the end", || running.is_finished());
        stopped.join().unwrap()
    }
}
