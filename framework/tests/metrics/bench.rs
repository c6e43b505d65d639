//! An application in this process whose metrics are served on a socket.

use std::net::SocketAddr;
use std::sync::Arc;

use headwater::kafka::Cluster;
use headwater::kafka::memory::MemoryCluster;
use headwater::state::{MemoryBackend, StateBackend};
use headwater::{Application, Config, RecordBatch, Running, StreamsBuilder, TopicPartition};

use crate::scrape::Scrape;

/// Waits of 10 ms until what was waited for has to have happened.
const WAITS: usize = 3_000;

/// A cluster with these topics, of one partition each.
pub(crate) fn cluster(topics: &[&str]) -> MemoryCluster {
    let cluster = MemoryCluster::new();
    topics.iter().for_each(|topic| cluster.create_topic(topic, 1).unwrap());
    cluster
}

/// Writes a record to the only partition of a topic.
pub(crate) fn put(cluster: &MemoryCluster, topic: &str, time: i64, record: (Option<&str>, &[u8])) {
    let mut batch = RecordBatch::default();
    batch.push(time, record.0.map(str::as_bytes), Some(record.1), 0);
    cluster.produce(&TopicPartition::new(topic, 0), &batch).unwrap();
}

/// Starts an application with these settings and serves its metrics.
pub(crate) fn serve(
    cluster: &MemoryCluster,
    settings: &[(&str, &str)],
    topology: impl Fn(&StreamsBuilder),
) -> (Running, SocketAddr) {
    serve_on(cluster, Arc::new(MemoryBackend::default()), settings, topology)
}

/// As [`serve`], with a state backend.
pub(crate) fn serve_on(
    cluster: &MemoryCluster,
    backend: Arc<dyn StateBackend>,
    settings: &[(&str, &str)],
    topology: impl Fn(&StreamsBuilder),
) -> (Running, SocketAddr) {
    let builder = StreamsBuilder::new();
    topology(&builder);
    let given = [
        ("application.id", "app"),
        ("commit.interval.ms", "20"),
        ("processing.guarantee", "exactly_once_v2"),
    ];
    let config = Config::from_properties(given.iter().chain(settings).copied()).unwrap();
    let topology = builder.build().unwrap();
    let application = Application::new(&topology, config, Arc::new(cluster.clone()), backend).unwrap();
    let running = application.process("p").start().unwrap();
    let address = running.serve_metrics("127.0.0.1:0").unwrap();
    (running, address)
}

/// Repeats `look` until it brings something.
pub(crate) fn until<T>(cluster: &MemoryCluster, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..WAITS {
        if let Some(found) = look() {
            return found;
        }
        cluster.wait(10);
    }
    panic!("{what} has not happened");
}

/// The first page of which `fits` is true.
pub(crate) fn page(
    cluster: &MemoryCluster,
    address: SocketAddr,
    what: &str,
    fits: impl Fn(&Scrape) -> bool,
) -> Scrape {
    until(cluster, what, || Some(Scrape::of(address)).filter(&fits))
}
