//! An instance: the application, with state on disk, telling what it does line by line.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use headwater::commit::{CommitRecord, Window};
use headwater::kafka::KafkaCluster;
use headwater::state::{RocksBackend, RocksOptions};
use headwater::task::{Rebuild, RestoreProgress};
use headwater::topic::{TaskId, TopicPartition};
use headwater::worker::{Observer, WorkerState};
use headwater::{Application, Config};

use crate::Fallible;
use crate::topology::{self, Pipeline};

/// Settings of an instance.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The cluster.
    #[arg(long)]
    bootstrap: String,
    /// Name of the application.
    #[arg(long)]
    application: String,
    /// Number of the instance: part of its static id.
    #[arg(long)]
    number: usize,
    /// Folder of its state.
    #[arg(long)]
    state_dir: PathBuf,
    /// `session.timeout.ms`.
    #[arg(long, default_value_t = 6_000)]
    session_timeout_ms: u32,
    /// `state.flush.interval.ms`.
    #[arg(long, default_value_t = 2_000)]
    flush_interval_ms: u32,
    /// `processing.guarantee`.
    #[arg(long, default_value = "exactly_once_v2")]
    guarantee: String,
    /// What it does.
    #[arg(long, value_enum, default_value_t)]
    pipeline: Pipeline,
    /// `memory.max`.
    #[arg(long, default_value = "1GiB")]
    memory_max: String,
    /// `state.flush.bytes`; by default that of the library.
    #[arg(long)]
    flush_bytes: Option<String>,
    /// Dies, as by kill -9, when it passes this window of a commit for the given time: `Ending:3`.
    #[arg(long)]
    die_at: Option<String>,
    /// Stops there, as by `kill -STOP`, until it is woken.
    #[arg(long, conflicts_with = "die_at")]
    sleep_at: Option<String>,
}

/// Told each window of each worker.
type Hook = dyn Fn(usize, Window) -> bool + Send + Sync;

/// Runs until it is told to stop, or killed.
pub(crate) fn run(arguments: &Arguments) -> Fallible<()> {
    let level = std::env::var("HEADWATER_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(tracing_subscriber::filter::LevelFilter::WARN);
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(std::io::stderr).init();
    let config = Config::builder()
        .set("application.id", arguments.application.as_str())
        .set("bootstrap.servers", arguments.bootstrap.as_str())
        .set("processing.guarantee", arguments.guarantee.as_str())
        .set("commit.interval.ms", "100")
        .set("group.instance.id", format!("{}-{}", arguments.application, arguments.number))
        .set("session.timeout.ms", arguments.session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", "1000")
        .set("state.dir", arguments.state_dir.display().to_string())
        .set("state.flush.interval.ms", arguments.flush_interval_ms.to_string())
        .set("memory.max", arguments.memory_max.as_str());
    let config = match arguments.flush_bytes.as_deref() {
        Some(bytes) => config.set("state.flush.bytes", bytes),
        None => config,
    };
    let config = config.build()?;
    let topology = topology::build(&arguments.application, arguments.pipeline)?;
    let cluster = Arc::new(KafkaCluster::connect(&config.cluster_options())?);
    let backend = Arc::new(RocksBackend::open_folder(&RocksOptions::new(config.settings()))?);
    let mut application = Application::new(&topology, config, cluster, backend)?.observer(Arc::new(Teller));
    if let Some(when) = &arguments.die_at {
        application = application.probe(once_at(when, |window| {
            tell(format_args!("dies {window:?}"));
            // Neither destructors nor buffers: as by kill -9.
            std::process::abort();
        })?);
    }
    if let Some(when) = &arguments.sleep_at {
        application = application.probe(once_at(when, |window| {
            tell(format_args!("sleeps {window:?}"));
            let process = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-STOP", &process]).status();
        })?);
    }
    application.start()?.until_signal()?;
    Ok(())
}

/// Does something when a window is passed for the given time.
fn once_at(when: &str, then: impl Fn(Window) + Send + Sync + 'static) -> Fallible<Arc<Hook>> {
    let (window, times) = when.split_once(':').ok_or("a moment is WINDOW:TIMES")?;
    let window = Window::ALL.into_iter().find(|one| format!("{one:?}") == window).ok_or("no such window")?;
    let left = AtomicU32::new(times.parse()?);
    Ok(Arc::new(move |_, at| {
        if at == window && left.fetch_sub(1, Ordering::Relaxed) == 1 {
            then(window);
        }
        false
    }))
}

fn tell(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // Whoever listened is gone: nothing is lost by that.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Tells on standard output; the diary reads it.
struct Teller;

impl Observer for Teller {
    fn state(&self, _: usize, _: WorkerState, to: WorkerState) {
        tell(format_args!("state {to:?}"));
    }

    fn restored(&self, _: usize, progress: &RestoreProgress) {
        let RestoreProgress { changelog, records, remaining, .. } = progress;
        tell(format_args!("restored {changelog} {records} {remaining}"));
    }

    fn rebuilt(&self, _: usize, task: TaskId, cause: Rebuild) {
        tell(format_args!("rebuilt {task} {cause:?}"));
    }

    fn flushed(&self, _: usize, offsets: &[(TopicPartition, i64)]) {
        let offsets: Vec<_> =
            offsets.iter().map(|(partition, offset)| format!("{partition}={offset}")).collect();
        tell(format_args!("flushed {}", offsets.join(" ")));
    }

    fn committed(&self, _: usize, commit: &CommitRecord) {
        let intervals: Vec<_> = commit
            .intervals
            .iter()
            .map(|one| format!("{}={}..{}", one.partition, one.from, one.to))
            .collect();
        tell(format_args!("committed {} {}", commit.generation, intervals.join(" ")));
    }
}
