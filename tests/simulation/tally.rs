//! Tally: what a run did and what befell it, in numbers.

use std::collections::BTreeMap;
use std::fmt;

use headwater::commit::Window;

/// What one seed, or many together, did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Seeds by topology and guarantee.
    pub(crate) seeds: BTreeMap<String, u64>,
    /// Faults by kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What happened, by kind.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// Crashes in each window of a commit.
    pub(crate) crashes: [u64; Window::ALL.len()],
    /// Commits that passed each window while the group was rebalancing.
    pub(crate) rebalances: [u64; Window::ALL.len()],
}

impl Tally {
    pub(crate) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn event(&mut self, kind: &'static str, count: u64) {
        *self.events.entry(kind).or_default() += count;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, count) in &other.seeds {
            *self.seeds.entry(name.clone()).or_default() += count;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.events {
            *self.events.entry(kind).or_default() += count;
        }
        for window in 0..Window::ALL.len() {
            self.crashes[window] += other.crashes[window];
            self.rebalances[window] += other.rebalances[window];
        }
    }

    /// Windows in which nothing has crashed, or through which no commit went during a rebalance.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = |hits: &[u64], what: &str| -> Vec<String> {
            let zero = hits.iter().enumerate().filter(|(_, count)| **count == 0);
            zero.map(|(number, _)| format!("no {what} in window {number} ({:?})", Window::ALL[number]))
                .collect()
        };
        let mut all = missed(&self.crashes, "crash");
        all.extend(missed(&self.rebalances, "rebalance"));
        all
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "window                 crashes  rebalances")?;
        for (number, window) in Window::ALL.iter().enumerate() {
            let (crashes, rebalances) = (self.crashes[number], self.rebalances[number]);
            writeln!(f, "{number} {:<20} {crashes:>7}  {rebalances:>10}", format!("{window:?}"))?;
        }
        for (title, counts) in [("faults", &self.faults), ("events", &self.events)] {
            writeln!(f, "{title}")?;
            for (kind, count) in counts {
                writeln!(f, "  {kind:<28} {count:>9}")?;
            }
        }
        writeln!(f, "seeds by topology")?;
        for (name, count) in &self.seeds {
            writeln!(f, "  {name:<28} {count:>9}")?;
        }
        Ok(())
    }
}
