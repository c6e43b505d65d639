//! Planted faults: each has to be noticed by the checks that every run goes through.

use crate::scenario::{Plant, Scenario};
use crate::seed;

/// A fault that so many seeds do not show is not caught.
const MOST_SEEDS: u64 = 300;

/// Runs seeds with the fault until one of them fails.
///
/// # Errors
/// If none fails.
pub(crate) fn catch(plant: Plant, first: u64) -> Result<String, String> {
    for seed in first..first + MOST_SEEDS {
        let outcome = seed::run(&Scenario::of(seed).planted(plant), false);
        if let Err(wrong) = outcome.verdict {
            let (name, count) = (plant.name(), seed + 1 - first);
            let seeds = if count == 1 { "seed" } else { "seeds" };
            return Ok(format!("caught: {name} after {count} {seeds} at seed {seed}: {wrong}"));
        }
    }
    Err(format!("NOT CAUGHT: {} in {MOST_SEEDS} seeds", plant.name()))
}
