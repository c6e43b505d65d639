//! The diary: what an instance has told, over all its lives.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Fallible;

/// A part of an instance's lives in which it tells every commit. It is broken off where the instance dies, or stops running as
/// by an abort: one commit may have come through then that it never heard of.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    /// How many commits.
    pub(crate) commits: usize,
    /// What they took from each partition, in order: from, to.
    pub(crate) intervals: BTreeMap<String, Vec<(i64, i64)>>,
}

/// What an instance has told.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    /// What it has committed; all stretches but the last are broken off.
    pub(crate) stretches: Vec<Stretch>,
    /// How often it lost local state.
    pub(crate) wipes: usize,
    /// The flushes: changelog partitions with the offsets that are on their way to disk.
    pub(crate) flushes: Vec<BTreeMap<String, i64>>,
    /// Records restored from each changelog partition since the last start.
    pub(crate) restored: BTreeMap<String, i64>,
    /// The last state told since the last start.
    pub(crate) state: String,
    /// The window in which it said that it dies, since the last start.
    pub(crate) dies: Option<String>,
    /// The window in which it said that it stops, since the last start.
    pub(crate) sleeps: Option<String>,
}

impl Diary {
    /// Reads what is there. A line that a kill has cut off, which is the last or stands before a new start, is no line.
    pub(crate) fn read(path: &Path) -> Fallible<Self> {
        let text = std::fs::read_to_string(path)?;
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        let mut diary = Self::default();
        for (at, line) in lines.iter().enumerate() {
            let cut_off = lines.get(at + 1).is_none_or(|next| *next == "starts");
            if diary.line(line).is_none() && !cut_off {
                return Err(format!("{}: `{line}` is not understood", path.display()).into());
            }
        }
        Ok(diary)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        match what {
            "starts" => {
                self.stretches.push(Stretch::default());
                self.restored.clear();
                self.state.clear();
                self.dies = None;
                self.sleeps = None;
            }
            "state" => {
                if self.state == "Running" && rest != "Stopping" {
                    self.stretches.push(Stretch::default());
                }
                rest.clone_into(&mut self.state);
            }
            "sleeps" => self.sleeps = Some(rest.to_owned()),
            "dies" => self.dies = Some(rest.to_owned()),
            "rebuilt" => self.wipes += 1,
            "restored" => {
                let (changelog, records) = (words.next()?, words.next()?.parse().ok()?);
                self.restored.insert(changelog.to_owned(), records);
            }
            "flushed" => {
                let pair = |word: &str| {
                    let (partition, offset) = word.rsplit_once('=')?;
                    Some((partition.to_owned(), offset.parse().ok()?))
                };
                self.flushes.push(words.map(pair).collect::<Option<_>>()?);
            }
            "committed" => {
                let _generation: i32 = words.next()?.parse().ok()?;
                let stretch = self.stretches.last_mut()?;
                stretch.commits += 1;
                for word in words {
                    let (partition, interval) = word.rsplit_once('=')?;
                    let (from, to) = interval.split_once("..")?;
                    let interval = (from.parse().ok()?, to.parse().ok()?);
                    stretch.intervals.entry(partition.to_owned()).or_default().push(interval);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// How far it has committed a partition.
    pub(crate) fn committed(&self, partition: &str) -> i64 {
        let intervals = self.stretches.iter().filter_map(|stretch| stretch.intervals.get(partition));
        intervals.flatten().map(|(_, to)| *to).max().unwrap_or(-1)
    }

    /// The offset of a changelog partition that is on disk for certain: the flush before the last has had its time.
    pub(crate) fn on_disk(&self, partition: &str) -> i64 {
        let before_last = self.flushes.iter().rev().filter_map(|flush| flush.get(partition)).nth(1);
        before_last.copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let mut diary = Diary::default();
        let lines = [
            "starts",
            "state Running",
            "restored a-changelog-0 5 2",
            "restored a-changelog-0 7 0",
            "flushed a-changelog-0=10 a-changelog-1=20",
            "committed 3 in-0=0..5 in-1=2..9",
            "flushed a-changelog-0=30",
            "rebuilt 0_1 Corrupt",
            "sleeps Offsets",
            "dies Ending",
        ];
        assert!(lines.iter().all(|line| diary.line(line).is_some()));
        assert_eq!(diary.restored["a-changelog-0"], 7);
        assert_eq!([diary.on_disk("a-changelog-0"), diary.on_disk("a-changelog-1")], [10, 0]);
        let last = diary.stretches.last().unwrap();
        assert_eq!(
            (last.commits, &*last.intervals["in-0"], &*last.intervals["in-1"]),
            (1, &[(0, 5)][..], &[(2, 9)][..])
        );
        assert_eq!((diary.wipes, diary.dies.as_deref(), &*diary.state), (1, Some("Ending"), "Running"));
        assert_eq!(diary.sleeps.as_deref(), Some("Offsets"));
        assert_eq!([diary.committed("in-1"), diary.committed("in-2")], [9, -1]);
        assert!(diary.line("what").is_none() && diary.line("committed x").is_none());
    }

    #[test]
    fn a_death_and_an_abort_break_a_stretch_off() {
        let mut diary = Diary::default();
        let lines =
            ["starts", "state Running", "committed 1 in-0=0..5", "state Rebalancing", "state Running"];
        assert!(lines.iter().all(|line| diary.line(line).is_some()));
        assert_eq!(diary.stretches.iter().map(|stretch| stretch.commits).collect::<Vec<_>>(), [1, 0]);
        assert!(diary.line("starts").is_some());
        assert_eq!(diary.stretches.len(), 3);
    }
}
