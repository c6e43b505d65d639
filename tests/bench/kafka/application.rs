//! Headwater: a pipeline as an application runs it.

use std::io::{Write, stdout};
use std::sync::Arc;

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Isolation, KafkaCluster};
use headwater::state::{MemoryBackend, RocksBackend, RocksOptions, StateBackend};
use headwater::{Application, Config, RecordBatch, TopicPartition};

use super::topologies::{self, Topics};
use super::{Fallible, Guarantee, Job, Pipeline, State};

/// Partitions of each topic on the in-process broker.
const PARTITIONS: i32 = 4;

/// Runs the pipeline until the process is told to end.
pub(crate) fn run(job: &Job) -> Fallible<()> {
    log_to_stderr()?;
    let mut properties = Config::builder()
        .set("application.id", job.group.as_str())
        .set("bootstrap.servers", job.ends.bootstrap.as_str())
        .set("processing.guarantee", job.guarantee.name())
        .set("commit.interval.ms", job.commit_ms.to_string())
        .set("memory.max", job.memory_max.as_str())
        .set("auto.offset.reset", "earliest")
        .environment(std::env::vars_os());
    if let Some(folder) = &job.state_dir {
        properties = properties.set("state.dir", folder.as_str());
    }
    let config = properties.build()?;
    let build = match job.pipeline {
        Pipeline::Passthrough => topologies::passthrough,
        Pipeline::JsonFilterMap => topologies::json,
        Pipeline::WindowedCount => topologies::windowed_count,
        Pipeline::StreamTable => topologies::join,
    };
    let cluster = Arc::new(KafkaCluster::connect(&config.cluster_options())?);
    let backend = backend(job, &config)?;
    let figures =
        Application::new(&build(&job.topics())?, config, cluster, backend)?.start()?.until_signal()?;
    Ok(writeln!(stdout(), "{}", figures.total())?)
}

/// Starts passthrough on the in-process broker, and tells when a record has come through, committed.
pub(crate) fn run_embedded(guarantee: Guarantee) -> Fallible<()> {
    log_to_stderr()?;
    let topics = Topics { input: "in".to_owned(), table: "table".to_owned(), out: "out".to_owned() };
    let cluster = MemoryCluster::new();
    for topic in [&topics.input, &topics.out] {
        cluster.create_topic(topic, PARTITIONS)?;
    }
    let mut batch = RecordBatch::default();
    batch.push(1, Some(b"key"), Some(b"value"), 0);
    cluster.produce(&TopicPartition::new(&*topics.input, 0), &batch)?;
    let config = Config::builder()
        .set("application.id", "embedded")
        .set("processing.guarantee", guarantee.name())
        .set("commit.interval.ms", "100")
        .build()?;
    let topology = topologies::passthrough(&topics)?;
    let (brokers, backend) = (Arc::new(cluster.clone()), Arc::new(MemoryBackend::default()));
    let running = Application::new(&topology, config, brokers, backend)?.start()?;
    while cluster.read_all(&topics.out, Isolation::ReadCommitted)?.iter().all(RecordBatch::is_empty) {
        cluster.wait(1);
    }
    let mut told = stdout();
    writeln!(told, "first output")?;
    told.flush()?;
    running.stop()?;
    Ok(())
}

fn backend(job: &Job, config: &Config) -> Fallible<Arc<dyn StateBackend>> {
    Ok(match job.state {
        State::Memory => Arc::new(MemoryBackend::default()),
        State::Rocksdb => Arc::new(RocksBackend::open_folder(&RocksOptions::new(config.settings()))?),
    })
}

/// `HEADWATER_LOG` names the level of what is logged: warnings, where it is not set.
fn log_to_stderr() -> Fallible<()> {
    let level = std::env::var("HEADWATER_LOG").unwrap_or_else(|_| "warn".to_owned());
    let level = level.parse::<tracing_subscriber::filter::LevelFilter>()?;
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    Ok(())
}
