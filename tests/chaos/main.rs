//! Chaos: instances of an application on a real Kafka cluster, killed with -9 again and again. Its output has to be that of
//! an undisturbed run, record by record.
//!
//! `chaos kill-loop --bootstrap ADDRESS --kills 200` starts the instances (which are this program as well), feeds them, kills
//! them at random moments and at each window of a commit, and checks what they have written.

mod cast;
mod check;
mod cluster;
mod diary;
mod feed;
mod instance;
mod kill_loop;
mod soak;
mod topology;

use std::process::ExitCode;

use clap::Parser;

/// A result of the program.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// As the example has it, and as whoever keeps state on disk should.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
enum Command {
    /// Kills instances, and checks what they have written.
    KillLoop(kill_loop::Arguments),
    /// Lets one instance count as fast as it can for long, and watches what it needs.
    Soak(soak::Arguments),
    /// An instance; the others start them.
    Instance(instance::Arguments),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::KillLoop(arguments) => kill_loop::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Instance(arguments) => instance::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}
