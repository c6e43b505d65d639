//! A few seeds with every ordinary run of the tests.

use crate::case::CASES;
use crate::planted::catch;
use crate::scenario::{Plant, Scenario};
use crate::seed::run;
use headwater::commit::Planted;

#[test]
fn thirty_seeds_pass() {
    for seed in 0..30 {
        let outcome = run(&Scenario::of(seed), false);
        assert_eq!(outcome.verdict, Ok(()), "seed {seed}");
    }
}

#[test]
fn a_seed_replays_to_the_letter() {
    for seed in [3, 14] {
        let (one, other) = (run(&Scenario::of(seed), false), run(&Scenario::of(seed), false));
        assert!(one.trace.len() > 20);
        assert_eq!(one.trace, other.trace);
        assert_eq!(one.tally, other.tally);
    }
}

#[test]
fn planted_faults_are_caught() {
    for plant in [Plant::Worker(Planted::OffsetsBeforeState), Plant::NoRequireStable] {
        let caught = catch(plant, 0);
        assert!(caught.is_ok(), "{caught:?}");
    }
}

/// Tasks move in the middle of a run, and the late records that are dropped are those of a run without any fault.
#[test]
fn moved_tasks_drop_the_same_late_records() {
    let (mut moves, mut late) = (0, 0);
    for seed in (100..250).filter(|seed| CASES[Scenario::of(*seed).case].name() == "window-count") {
        let outcome = run(&Scenario::of(seed), false);
        assert_eq!(outcome.verdict, Ok(()), "seed {seed}");
        moves += outcome.tally.events["tasks moved"];
        late += outcome.tally.events["late records dropped"];
    }
    assert!(moves > 10 && late > 100, "{moves} moves, {late} late records");
}
