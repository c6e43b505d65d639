//! What a record costs on a Kafka cluster: Headwater, and below it two floors that do the same with nothing of a framework.
//!
//! ```text
//! headwater   a pipeline on Headwater, as an application runs it
//! floor       the same work by hand on librdkafka: batches in, single records out, offsets or transactions
//! wire        the same bytes by hand on sockets: a probe of the machine, passthrough only
//! embedded    a record through Headwater on its in-process broker: how long that takes from the start of the process
//! ```
//! Each runs until it is told to stop (SIGTERM), but `wire`, which ends with its input, and `embedded`. `tests/bench/kafka/run` starts them
//! under a meter.

mod application;
mod floor;
#[path = "../topologies.rs"]
mod topologies;
mod wire;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use topologies::Topics;

/// A result of the bench.
type Fallible<T> = Result<T, Box<dyn Error>>;

/// As the example has it, and as whoever keeps state on disk should; the floors use it as well.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a record costs on a Kafka cluster.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    system: System,
}

/// What runs.
#[derive(Subcommand)]
enum System {
    /// Headwater.
    Headwater(Job),
    /// librdkafka by hand.
    Floor(Job),
    /// Sockets by hand: passes `--in` on to `--out` once and prints processor time per record.
    Wire(Ends),
    /// Headwater on the in-process broker: prints a line with its first output, and ends.
    Embedded {
        /// How sure it is.
        #[arg(long, value_enum, default_value_t = Guarantee::AtLeastOnce)]
        guarantee: Guarantee,
    },
}

/// The cluster, and the topics at both ends.
#[derive(Args, Clone, Debug)]
struct Ends {
    /// The Kafka cluster, as host:port.
    #[arg(long)]
    bootstrap: String,
    /// The topic that is read.
    #[arg(long = "in", default_value = "in")]
    input: String,
    /// The topic that is written.
    #[arg(long, default_value = "out")]
    out: String,
}

/// A pipeline to run.
#[derive(Args, Clone, Debug)]
struct Job {
    #[command(flatten)]
    ends: Ends,
    /// What is done.
    #[arg(long, value_enum)]
    pipeline: Pipeline,
    /// The topic of the table that is joined.
    #[arg(long, default_value = "table")]
    table: String,
    /// The application id, which is its group's name.
    #[arg(long)]
    group: String,
    /// How sure it is.
    #[arg(long, value_enum, default_value_t = Guarantee::AtLeastOnce)]
    guarantee: Guarantee,
    /// How often it commits, milliseconds.
    #[arg(long, default_value_t = 100)]
    commit_ms: u64,
    /// Where Headwater's state lives.
    #[arg(long, value_enum, default_value_t = State::Memory)]
    state: State,
    /// The folder of state on disk.
    #[arg(long)]
    state_dir: Option<String>,
    /// Headwater's limit of memory for state.
    #[arg(long, default_value = "3GiB")]
    memory_max: String,
}

impl Job {
    fn topics(&self) -> Topics {
        Topics { input: self.ends.input.clone(), table: self.table.clone(), out: self.ends.out.clone() }
    }
}

/// What is done, by the names of the bench in process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pipeline {
    Passthrough,
    JsonFilterMap,
    WindowedCount,
    StreamTable,
}

/// How sure it is, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Guarantee {
    #[value(name = "at_least_once")]
    AtLeastOnce,
    #[value(name = "exactly_once_v2")]
    ExactlyOnce,
}

impl Guarantee {
    /// As `processing.guarantee` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once_v2",
        }
    }
}

/// Where state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Memory,
    Rocksdb,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().system {
        System::Headwater(job) => application::run(&job),
        System::Floor(job) => floor::run(&job),
        System::Wire(ends) => wire::run(&ends),
        System::Embedded { guarantee } => application::run_embedded(guarantee),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-kafka: {error}");
            ExitCode::FAILURE
        }
    }
}
