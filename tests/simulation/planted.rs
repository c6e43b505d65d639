//! Planted faults: each has to be noticed by the checks that every run goes through.

use crate::scenario::{Plant, Scenario};
use crate::seed;

/// A fault that so many seeds do not show is not caught.
const MOST_SEEDS: u64 = 300;

/// Runs seeds from `first` on with the fault until one of them fails that passes without it.
///
/// # Errors
/// If none fails, or one fails without the fault as well.
pub(crate) fn catch(plant: Plant, first: u64) -> Result<String, String> {
    let name = plant.name();
    for seed in first..first + MOST_SEEDS {
        let scenario = Scenario::of(seed).planted(plant);
        let Err(wrong) = seed::run(&scenario, false).verdict else { continue };
        if let Err(other) = seed::run(&scenario.cured(), false).verdict {
            return Err(format!(
                "NOT PROVEN: {name} at seed {seed}, which fails without it as well: {other}"
            ));
        }
        let count = seed + 1 - first;
        let seeds = if count == 1 { "seed" } else { "seeds" };
        return Ok(format!("caught: {name} after {count} {seeds} at seed {seed}: {wrong}"));
    }
    Err(format!("NOT CAUGHT: {name} in {MOST_SEEDS} seeds"))
}
