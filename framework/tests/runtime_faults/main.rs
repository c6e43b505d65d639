//! Exactly once under crashes, lost requests and rebalances: after any of them, outputs are those of an undisturbed run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

mod bench;

use bench::{Bench, Chaos};
use headwater::commit::{Planted, Window};

/// Outputs of an undisturbed run.
fn undisturbed(seed: u64) -> Vec<String> {
    let mut bench = Bench::new(seed, 1, Chaos::default(), Planted::Nothing);
    bench.run();
    bench.outputs()
}

fn check(seed: u64, instances: usize, chaos: Chaos) {
    let mut bench = Bench::new(seed, instances, chaos.clone(), Planted::Nothing);
    bench.run();
    let (expected, found) = (undisturbed(seed), bench.outputs());
    for (expected, found) in expected.iter().zip(&found) {
        let same =
            expected.lines().zip(found.lines()).take_while(|(expected, found)| expected == found).count();
        let after =
            |text: &str| text.lines().skip(same.saturating_sub(2)).take(8).collect::<Vec<_>>().join("\n");
        assert!(
            expected == found,
            "seed {seed}, {instances} instances, {chaos:?}\nexpected\n{}\nfound\n{}",
            after(expected),
            after(found)
        );
    }
    bench.check_intervals();
    assert_eq!(bench.rebuilds(), 0, "no crash costs local state; seed {seed}, {chaos:?}");
}

#[test]
fn nothing_goes_wrong_without_chaos() {
    for seed in 0..3 {
        check(seed, 2, Chaos::default());
    }
}

#[test]
fn a_crash_in_any_window_of_a_commit_repeats_and_loses_nothing() {
    for window in Window::ALL {
        for seed in 0..4 {
            check(seed, 1 + seed as usize % 2, Chaos { window: Some(window), ..Chaos::default() });
        }
    }
}

#[test]
fn lost_late_and_repeated_requests_repeat_and_lose_nothing() {
    for seed in 0..12 {
        check(seed, 2, Chaos { network: 40, ..Chaos::default() });
    }
}

#[test]
fn everything_at_once_repeats_and_loses_nothing() {
    for seed in 0..20 {
        check(seed, 3, Chaos { network: 60, crashes: 150, markers: true, ..Chaos::default() });
    }
}

#[test]
fn at_least_once_loses_nothing() {
    for seed in 0..12 {
        let chaos = Chaos { network: 60, crashes: 150, at_least_once: true, ..Chaos::default() };
        let mut bench = Bench::new(seed, 2, chaos, Planted::Nothing);
        bench.run();
        let mut calm =
            Bench::new(seed, 1, Chaos { at_least_once: true, ..Chaos::default() }, Planted::Nothing);
        calm.run();
        let counts = bench.counts();
        for (key, count) in calm.counts() {
            assert!(counts[&key] >= count, "seed {seed}: {} of {count}", counts[&key]);
        }
    }
}

/// The first seed whose outputs are not those of an undisturbed run.
fn first_noticed(planted: Planted) -> Option<u64> {
    (0..20).find(|seed| {
        let chaos = Chaos { network: 60, crashes: 100, markers: true, ..Chaos::default() };
        let mut bench = Bench::new(*seed, 2, chaos, planted);
        bench.run();
        bench.outputs() != undisturbed(*seed)
    })
}

#[test]
fn every_planted_fault_is_noticed() {
    assert_eq!(first_noticed(Planted::Nothing), None, "the same chaos alone does no harm");
    for planted in Planted::ALL {
        assert!(first_noticed(planted).is_some(), "{planted:?} goes unnoticed");
    }
}
