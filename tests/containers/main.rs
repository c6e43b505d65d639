//! `with-kafka COMMAND...`: runs a command beside an Apache Kafka in a container, for machines with a Docker engine. The
//! command finds the broker in `HEADWATER_TEST_BOOTSTRAP`; the container goes when it ends, and this ends as it did.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use testcontainers_modules::kafka::apache::{KAFKA_PORT, Kafka};
use testcontainers_modules::testcontainers::ImageExt;
use testcontainers_modules::testcontainers::runners::SyncRunner;

/// Runs a command beside an Apache Kafka in a container.
#[derive(Debug, Parser)]
#[command(name = "with-kafka")]
struct Arguments {
    /// Version of Apache Kafka: a tag of the image `apache/kafka`.
    #[arg(long, value_name = "VERSION", default_value = "4.1.1")]
    kafka: String,
    /// The command, with its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// One node has to be enough for offsets and transactions, and a group has not to wait for members.
const SETTINGS: [(&str, &str); 4] = [
    ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
];

#[expect(clippy::print_stderr, reason = "a command says on its error output why it fails")]
fn main() -> ExitCode {
    run(&Arguments::parse()).unwrap_or_else(|error| {
        eprintln!("with-kafka: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let image = SETTINGS
        .iter()
        .fold(Kafka::default().with_jvm_image().with_tag(&arguments.kafka), |image, (name, value)| {
            image.with_env_var(*name, *value)
        });
    let kafka = image.start().map_err(|error| {
        format!("no container with Apache Kafka: {error}; is a Docker engine running? without one `make kafka` starts a broker")
    })?;
    let bootstrap = format!("{}:{}", kafka.get_host()?, kafka.get_host_port_ipv4(KAFKA_PORT)?);
    let (program, words) = arguments.command.split_first().ok_or("there is no command")?;
    let ended = Command::new(program).args(words).env("HEADWATER_TEST_BOOTSTRAP", bootstrap).status();
    let status = ended.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    // As a shell has it for a command that a signal has ended.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
