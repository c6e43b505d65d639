//! Headwater: a pipeline as an application runs it.

use std::io::{Write, stdout};
use std::sync::Arc;

use headwater::kafka::KafkaCluster;
use headwater::state::{MemoryBackend, RocksBackend, RocksOptions, StateBackend};
use headwater::{Application, Config};

use super::{Fallible, Guarantee, Job, Pipeline, State, topologies};

/// Runs the pipeline until the process is told to end.
pub(crate) fn run(job: &Job) -> Fallible<()> {
    log_to_stderr()?;
    let guarantee = match job.guarantee {
        Guarantee::AtLeastOnce => "at_least_once",
        Guarantee::ExactlyOnce => "exactly_once_v2",
    };
    let mut properties = Config::builder()
        .set("application.id", job.group.as_str())
        .set("bootstrap.servers", job.ends.bootstrap.as_str())
        .set("processing.guarantee", guarantee)
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
