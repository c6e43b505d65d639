//! The program `headwater-broker`: a broker of one node at a port.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Parser;
use headwater_broker::Broker;
use headwater_broker::server::Builder;
use java_properties::{LineContent, PropertiesIter};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Chunks of megabytes come and go with every read; the system's allocator gives their pages back to the system each time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What holds unless it is set: Kafka's defaults, where a broker that is embedded in a test has others.
const DEFAULTS: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "true"),
    ("listeners", "PLAINTEXT://127.0.0.1:9092"),
    ("log.cleaner.backoff.ms", "15000"),
    ("log.message.timestamp.after.max.ms", "3600000"),
    ("log.retention.check.interval.ms", "300000"),
    ("offsets.retention.check.interval.ms", "600000"),
    ("producer.id.expiration.check.interval.ms", "600000"),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000"),
];

const ENVIRONMENT: &str = "RUST_LOG says what is logged, to standard error: `info` unless it is set, `debug` for each request that is refused,
`headwater_broker::server=debug` for those of one module.";

/// A Kafka broker of one node, for development, tests and demos.
///
/// It has no replicas, and without a folder it keeps nothing when it ends. Whoever outgrows it points bootstrap.servers at a
/// cluster of Apache Kafka and changes nothing else.
#[derive(Parser)]
#[command(version, after_help = ENVIRONMENT)]
struct Arguments {
    /// Address to listen at, 127.0.0.1:9092 by default; port 0 takes a free one, which is printed.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder of its data, which is made when there is none; without one it keeps everything in memory.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<String>,
    /// A file of Kafka's properties, as `server.properties`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serves metrics for Prometheus, and health for probes, over HTTP; without an address at 127.0.0.1:9465.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = Builder::METRICS)]
    metrics: Option<String>,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("headwater-broker: {error}");
        std::process::exit(1);
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let filter = filter(std::env::var("RUST_LOG").unwrap_or_default())?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut builder = Broker::builder();
    for (name, value) in DEFAULTS {
        builder = builder.set(name, value)?;
    }
    if let Some(file) = &arguments.config {
        builder = configure(builder, file)?;
    }
    if let Some(address) = &arguments.listen {
        builder = builder.listen(address);
    }
    if let Some(folder) = &arguments.dir {
        builder = builder.dir(folder);
    }
    if let Some(address) = &arguments.metrics {
        builder = builder.metrics(address);
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the broker starts");
    if !builder.without_effect().is_empty() {
        let names = builder.without_effect().join(", ");
        tracing::info!(names, "properties that mean nothing to a broker of one node have no effect");
    }
    let server = builder.start()?;
    println!("bootstrap.servers={}", server.address());
    if server.addresses().len() > 1 {
        for (name, address) in server.addresses() {
            println!("{name}: bootstrap.servers={address}");
        }
    }
    if let Some(address) = server.metrics_address() {
        println!("metrics: http://{address}/metrics");
    }
    let signal = signals.forever().next();
    tracing::info!(signal, "the broker ends");
    drop(server);
    tracing::info!("the broker has ended");
    Ok(())
}

/// What is logged.
fn filter(wanted: String) -> Result<EnvFilter, String> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    filter.parse(&wanted).map_err(|error| {
        format!("RUST_LOG cannot be `{wanted}`: {error}; allowed: a level, or <module>=<level> and more of them behind commas")
    })
}

/// Sets what stands in a file of properties.
fn configure(mut builder: Builder, path: &Path) -> Result<Builder, Box<dyn Error>> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    for line in PropertiesIter::new(file) {
        let line = line.map_err(|error| format!("{shown}: {error}"))?;
        if let LineContent::KVPair(name, value) = line.content() {
            let number = line.line_number();
            builder = builder.set(name, value).map_err(|error| format!("{shown}:{number}: {error}"))?;
        }
    }
    Ok(builder)
}
