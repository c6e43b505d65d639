//! What clients send. `HEADWATER_FUZZ_SEEDS` names a folder for inputs to begin with.
#![no_main]

use headwater_broker_fuzz::requests::{Target, seeds};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static TARGET: Target = Target::new();
}

/// Writes the inputs to begin with, where somebody wants them.
fn begin() {
    if let Some(folder) = std::env::var_os("HEADWATER_FUZZ_SEEDS") {
        for (name, input) in seeds::all() {
            std::fs::write(std::path::Path::new(&folder).join(name), input).expect("the folder is there");
        }
    }
}

fuzz_target!(init: begin(), |input: &[u8]| TARGET.with(|target| target.run(input)));
