//! The simulation: real workers on the in-process broker, with all that can go wrong, replayed from a seed.
//!
//! `simulation --seeds 1000` runs seeds, `SEED=n simulation --trace` replays one, `simulation --planted all` plants
//! faults and shows that each is caught; `SEED=n simulation --planted NAME --trace` replays one of those.

mod tally;
mod case;
mod scenario;
mod network;
mod instance;
mod snapshot;
mod world;
mod check;
mod seed;
mod planted;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scenario::{Plant, Scenario};
use tally::Tally;

/// Runs workers on an in-process broker through crashes, lost answers, zombies and rebalances, by seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Plants a fault (`all`, or its name) and runs seeds until it is caught.
    #[arg(long)]
    planted: Option<String>,
    /// Folder for a summary.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Tells what happens, line by line; with `SEED=n`.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace {
        let subscriber = tracing_subscriber::fmt().without_time().with_target(false);
        subscriber.with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG).init();
    } else {
        // A panic is a verdict over a seed, told with the seed.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let one = match std::env::var("SEED").map(|seed| (seed.parse(), seed)) {
        Err(_) => None,
        Ok((Ok(seed), _)) => Some(seed),
        Ok((Err(_), text)) => {
            eprintln!("SEED is `{text}`: the number of a seed is needed, such as SEED=7");
            return ExitCode::from(2);
        }
    };
    let passed = match (&arguments.planted, one) {
        (Some(name), None) => planted(name, &arguments),
        (Some(name), Some(seed)) => replay_planted(name, seed, arguments.trace),
        (None, Some(seed)) => replay(&Scenario::of(seed), arguments.trace),
        (None, None) => many(&arguments),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(scenario: &Scenario, trace: bool) -> bool {
    if trace {
        println!("{scenario:#?}");
    }
    let outcome = seed::run(scenario, trace);
    print!("{}", outcome.tally);
    let passed = outcome.verdict.is_ok();
    match &outcome.verdict {
        Ok(()) => println!("seed {} passed", scenario.seed),
        Err(wrong) => println!("FAILED seed {}: {wrong}", scenario.seed),
    }
    if !passed {
        // Is it the faults, or does the model not know better?
        let calm = seed::run(&scenario.undisturbed(), false).verdict;
        println!("  without any fault: {}", calm.map_or_else(|wrong| wrong, |()| "passes".to_owned()));
    }
    passed
}

/// The faults of that name, or all.
fn plants(name: &str) -> Vec<Plant> {
    let chosen: Vec<_> =
        Plant::all().into_iter().filter(|plant| name == "all" || plant.name() == name).collect();
    if chosen.is_empty() {
        let names: Vec<_> = Plant::all().into_iter().map(Plant::name).collect();
        eprintln!("no fault is called `{name}`; there are: all, {}", names.join(", "));
    }
    chosen
}

/// Replays one seed with a fault; it passes where the fault is noticed.
fn replay_planted(name: &str, seed: u64, trace: bool) -> bool {
    let caught = |plant: Plant| {
        println!("{} at seed {seed}:", plant.name());
        !replay(&Scenario::of(seed).planted(plant), trace)
    };
    let caught: Vec<bool> = plants(name).into_iter().map(caught).collect();
    !caught.is_empty() && caught.iter().all(|caught| *caught)
}

/// The line about a seed that failed.
fn report(seed: u64, outcome: &seed::Outcome) -> Option<String> {
    let Err(wrong) = &outcome.verdict else { return None };
    let name = outcome.tally.seeds.keys().next().map_or("", String::as_str);
    let line = format!(
        "FAILED seed {seed} ({name}): {wrong}\n  replay: SEED={seed} cargo run -p headwater-tests --bin simulation -- --trace"
    );
    println!("{line}");
    Some(line)
}

fn many(arguments: &Arguments) -> bool {
    let mut total = Tally::default();
    let mut failures = Vec::new();
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        let outcome = seed::run(&Scenario::of(seed), false);
        failures.extend(report(seed, &outcome));
        total.add(&outcome.tally);
        let done = seed + 1 - arguments.first;
        if done.is_multiple_of(100) {
            println!("{done} seeds, {} failed", failures.len());
        }
    }
    let missed = total.missed();
    let passed = arguments.seeds - failures.len() as u64;
    let mut summary = format!("{total}");
    missed.iter().chain(&failures).for_each(|line| {
        let _ = writeln!(summary, "{line}");
    });
    let _ = writeln!(summary, "{passed} of {} seeds passed", arguments.seeds);
    print!("{total}");
    missed.iter().for_each(|line| println!("{line}"));
    println!("{passed} of {} seeds passed", arguments.seeds);
    if !missed.is_empty() {
        println!("FAILED: every window has to be hit for the run to count; take more seeds (100 are enough)");
    }
    keep(arguments, "simulation.txt", &summary) && failures.is_empty() && missed.is_empty()
}

fn planted(name: &str, arguments: &Arguments) -> bool {
    let chosen = plants(name);
    let mut summary = String::new();
    let mut all = !chosen.is_empty();
    for plant in chosen {
        let caught = planted::catch(plant, arguments.first);
        all &= caught.is_ok();
        let line = caught.unwrap_or_else(|line| line);
        println!("{line}");
        let _ = writeln!(summary, "{line}");
    }
    keep(arguments, "planted.txt", &summary) && all
}

/// Writes a summary, if a folder is named. Returns whether that worked.
fn keep(arguments: &Arguments, name: &str, summary: &str) -> bool {
    let Some(folder) = &arguments.out else { return true };
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(folder.join(name), summary));
    if let Err(error) = &written {
        eprintln!("cannot write {}: {error}", folder.join(name).display());
    }
    written.is_ok()
}
