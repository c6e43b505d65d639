//! The fuzz targets without a fuzzer: inputs to begin with, those that once failed, and changes of both by chance. What
//! fuzzes for hours is `broker/fuzz/run`.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]
#![allow(unreachable_pub, reason = "the fuzzer reaches it")]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

use targets::{recovery, requests};

/// Inputs that once made the broker fail; their names say how.
fn regressions(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(target);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "input"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// How often chance is tried; `HEADWATER_FUZZ_ROUNDS` may say otherwise.
fn rounds() -> usize {
    std::env::var("HEADWATER_FUZZ_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap())
}

/// Numbers without an end that are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

#[test]
fn requests_that_once_failed_and_those_to_begin_with() {
    let target = requests::Target::new();
    for (name, input) in regressions("requests").into_iter().chain(requests::seeds::all()) {
        println!("{name}");
        target.run(&input);
    }
}

#[test]
fn requests_with_a_few_bytes_changed() {
    let target = requests::Target::new();
    let mut chance = Chance(1);
    let seeds = requests::seeds::all();
    for _ in 0..rounds() {
        let (name, mut input) = seeds[chance.below(seeds.len())].clone();
        for _ in 0..=chance.below(3) {
            let at = chance.below(input.len());
            input[at] = chance.byte();
        }
        println!("{name}: {input:?}");
        target.run(&input);
    }
}

#[test]
fn folders_that_once_failed_and_those_that_are_whole() {
    let target = recovery::Target::new("regressions");
    for (name, input) in regressions("recovery") {
        println!("{name}");
        // Whether it is refused is not what it was about.
        let _ = target.run(&input);
    }
    for (number, template) in (0..).zip(target.templates()) {
        assert_eq!(target.run(&[number | 0x80]), Ok(()), "{}", template.name);
    }
}

#[test]
fn folders_that_are_damaged_by_chance() {
    let target = recovery::Target::new("chance");
    let mut chance = Chance(2);
    let mut refused = 0;
    for _ in 0..rounds() {
        let length = chance.below(40);
        let input: Vec<u8> = (0..length).map(|_| chance.byte()).collect();
        println!("{input:?}");
        refused += usize::from(target.run(&input).is_err());
    }
    assert!(refused < rounds() / 2, "{refused} starts are refused");
}
