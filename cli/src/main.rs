//! The command `headwater`: what operators do to applications built on Headwater.

mod moment;
mod reset;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What operators do to applications built on Headwater.
#[derive(Debug, Parser)]
#[command(name = "headwater", version)]
struct Headwater {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Reset(Box<reset::Arguments>),
}

#[expect(clippy::print_stderr, reason = "a command says on its error output why it fails")]
fn main() -> ExitCode {
    let Command::Reset(arguments) = Headwater::parse().command;
    // Such as that no broker answers, while one is waited for.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
    match reset::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headwater: {error}");
            ExitCode::FAILURE
        }
    }
}
