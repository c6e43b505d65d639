//! Recovery: what a start makes of a folder that was damaged in any way.
//!
//! 1. A [`template`] is a folder that a broker has left: in order, killed, or killed within a compaction.
//! 2. An input is read as [`damage`] to its files.
//! 3. A broker starts on it. It may refuse, with an error; it may not panic.
//! 4. If it starts, it serves no batch with a wrong checksum, takes what is appended, and after an orderly end the
//!    next start finds [the same](witness).
//! 5. If the input wants it, time passes then, logs are cleaned, and the broker is killed: the next start works as well.

pub mod damage;
pub mod template;
pub mod witness;

use std::fs;
use std::path::{Path, PathBuf};

use headwater_broker::storage::files::{FileOptions, FileStorage};
use headwater_broker::{Broker, BrokerConfig};

use template::{Files, Template};
use witness::Witness;

/// What the clock says when a broker starts.
const NOW: i64 = 1_000_000;
/// Transactions that are open have run out by then, and so has the retention of old records.
const LATER: i64 = NOW + 8 * 24 * 3_600_000;

/// In the first byte of an input, beside the number of a template: the broker lives on.
const LIVES_ON: u8 = 0x80;

/// A folder that goes with its owner. In memory, where the system has such a place: nothing has to outlive the process.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = Self(place.join(format!("headwater-fuzz-{name}-{}", std::process::id())));
        folder.clear();
        folder
    }

    /// Removes what is in it.
    fn clear(&self) {
        let _ = fs::remove_dir_all(&self.0);
        fs::create_dir_all(&self.0).expect("a folder can be made");
    }

    fn fill(&self, files: &Files) {
        self.clear();
        for (name, content) in files {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder can be made");
            fs::write(path, content).expect("a file can be written");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What inputs are tried on.
#[derive(Debug)]
pub struct Target {
    templates: Vec<Template>,
    folder: Folder,
}

/// Starts a broker on a folder.
fn open(folder: &Path, now: i64) -> Result<Broker, String> {
    // Few files may be open, so that handles come and go.
    let options = FileOptions { open_files: 3, ..FileOptions::default() };
    let storage = FileStorage::open(folder, options).map_err(|error| error.to_string())?;
    Broker::open(BrokerConfig::default(), Box::new(storage), now).map_err(|error| error.to_string())
}

impl Target {
    /// Makes the templates. Processes and threads that have targets at the same time name them.
    ///
    /// # Panics
    /// If a folder cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        Self { templates: template::all(&folder), folder }
    }

    /// How many templates there are: the first byte of an input says which one is taken.
    #[must_use]
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// Tries an input; says what a start said that refused.
    ///
    /// # Errors
    /// The broker's.
    ///
    /// # Panics
    /// If the broker does what it may not.
    pub fn run(&self, input: &[u8]) -> Result<(), String> {
        let (number, input) = input.split_first().unwrap_or((&0, &[]));
        let template = &self.templates[usize::from(*number & !LIVES_ON) % self.templates.len()];
        let mut files = template.files.clone();
        damage::apply(&mut files, input);
        self.folder.fill(&files);
        let mut broker = match open(&self.folder.0, NOW) {
            Ok(broker) => broker,
            Err(why) => {
                assert!(!why.is_empty(), "a start that is refused says why");
                return Err(why);
            }
        };
        witness::append(&mut broker, NOW);
        let before = Witness::of(&mut broker, NOW);
        broker.close(NOW).expect("the disk takes what it is given");
        drop(broker);
        let mut broker = self.again(NOW);
        let after = Witness::of(&mut broker, NOW);
        before.check_same(&after);
        if number & LIVES_ON != 0 {
            self.live_on(broker);
        }
        Ok(())
    }

    /// Starts where another start was fine.
    fn again(&self, now: i64) -> Broker {
        open(&self.folder.0, now)
            .unwrap_or_else(|error| panic!("it had started, and does not any more: {error}"))
    }

    /// Time passes, logs are cleaned, and the process is killed.
    fn live_on(&self, mut broker: Broker) {
        broker.tick(LATER);
        for (topic, partition) in witness::partitions(&broker) {
            // Refused where something is damaged.
            let _ = broker.compact(&topic, partition, LATER);
            let _ = broker.apply_retention(&topic, partition, LATER);
        }
        witness::append(&mut broker, LATER);
        let _ = Witness::of(&mut broker, LATER);
        drop(broker);
        let mut broker = self.again(LATER);
        let _ = Witness::of(&mut broker, LATER);
    }
}
