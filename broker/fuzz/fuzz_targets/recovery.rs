//! What a start finds in its folder. `HEADWATER_FUZZ_SEEDS` names a folder for inputs to begin with.
#![no_main]

use headwater_broker_fuzz::recovery::Target;
use libfuzzer_sys::{Corpus, fuzz_target};

thread_local! {
    static TARGET: Target = Target::new("recovery");
}

/// Writes the inputs to begin with, where somebody wants them: each template as it is, and each kind of change.
fn begin() {
    if let Some(folder) = std::env::var_os("HEADWATER_FUZZ_SEEDS") {
        for template in 0..5_u8 {
            for change in 0..12_u8 {
                let name = std::path::Path::new(&folder).join(format!("change-{template}-{change}"));
                let input = [
                    template | (change & 1) << 7,
                    change,
                    change.wrapping_mul(7),
                    0,
                    30,
                    1,
                    2,
                    3,
                    4,
                    5,
                    6,
                    7,
                    8,
                ];
                std::fs::write(name, input).expect("the folder is there");
            }
        }
    }
}

fuzz_target!(init: begin(), |input: &[u8]| -> Corpus {
    // An input that is refused may lead to one that is not.
    let _ = TARGET.with(|target| target.run(input));
    Corpus::Keep
});
