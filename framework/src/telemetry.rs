//! Counting: plain integers that belong to one task, made public when a commit makes them true.

use std::fmt;
use std::ops::AddAssign;

/// Why a record (or one of its windows), or a result of records was dropped. Nothing is dropped without being counted
/// here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Its window is closed: it came after the window's end plus the grace.
    Late,
    /// Its key is null where an operator needs one.
    NullKey,
    /// Its value is null where an operator needs one.
    NullValue,
    /// Its timestamp is negative.
    BadTimestamp,
    /// It could not be deserialised, and the handler said to go on.
    Undecodable,
    /// An operator failed on it, and the handler said to go on.
    Failed,
    /// It could not be produced, and the handler said to go on.
    Unproducible,
    /// A result: an entry of a window that was to be told when the window closes, but event time leapt so far that the
    /// store had dropped it by then. Its records are processed; each key and window counts once.
    Expired,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Late,
        Self::NullKey,
        Self::NullValue,
        Self::BadTimestamp,
        Self::Undecodable,
        Self::Failed,
        Self::Unproducible,
        Self::Expired,
    ];

    /// The reason's name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::NullKey => "null-key",
            Self::NullValue => "null-value",
            Self::BadTimestamp => "bad-timestamp",
            Self::Undecodable => "undecodable",
            Self::Failed => "failed",
            Self::Unproducible => "unproducible",
            Self::Expired => "expired",
        }
    }

    /// What can be done about such records.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Late => "a longer grace lets records that late in",
            Self::Expired => "keep windows longer with `Materialized::with_retention`",
            Self::NullKey => "write such records with a key, or give them one with `select_key`",
            Self::NullValue => "give such records a value with `map_values`, or `filter` them out",
            Self::BadTimestamp => {
                "choose another timestamp extractor in `Consumed` or `default.timestamp.extractor`"
            }
            Self::Undecodable | Self::Failed | Self::Unproducible => {
                "the handler `dead-letter` keeps such records in a topic"
            }
        }
    }
}

/// At which stage a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its bytes could not be read.
    Deserialization,
    /// An operator failed on it.
    Processing,
    /// It could not be written.
    Production,
}

impl Stage {
    /// All stages, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Deserialization, Self::Processing, Self::Production];

    /// The stage's name in headers and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deserialization => "deserialization",
            Self::Processing => "processing",
            Self::Production => "production",
        }
    }
}

/// What happened to the records of a task, or of many.
///
/// Every record read is processed, a dead letter, or dropped before it was processed: [`Counters::balance`] is zero. What
/// was processed and failed later is counted as well, but not in that balance: one record may come to many results.
///
/// The other reasons are of what comes after: a processed record may be late in several windows, and what expires is a
/// result of many records. They stand beside this sum.
///
/// ```
/// use headwater::telemetry::{Counters, DropReason};
/// let mut counters = Counters::default();
/// counters.consumed = 2;
/// counters.processed = 1;
/// counters.drop(DropReason::BadTimestamp);
/// assert_eq!(counters.to_string(), "consumed 2, processed 1, produced 0, dropped 1 bad-timestamp");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records read from input topics.
    pub consumed: u64,
    /// Records that went into the topology.
    pub processed: u64,
    /// Records written to sink topics (repartition topics included, changelogs not).
    pub produced: u64,
    /// Offsets that were passed over since the input did not have them any more (`OFFSET_OUT_OF_RANGE`): records that were
    /// never read.
    pub skipped_offsets: u64,
    dead_letters: [u64; Stage::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Counts a drop.
    pub fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Counts a record written to the dead letter topic.
    pub fn bury(&mut self, stage: Stage) {
        self.dead_letters[stage as usize] += 1;
    }

    /// Number of records written to the dead letter topic at a stage.
    #[must_use]
    pub fn dead_letters(&self, stage: Stage) -> u64 {
        self.dead_letters[stage as usize]
    }

    /// Number of records written to the dead letter topic.
    #[must_use]
    pub fn dead_letters_total(&self) -> u64 {
        self.dead_letters.iter().sum()
    }

    /// Records read of which nothing is known; 0, or there is an error in the framework:
    /// `consumed - processed - dead letters of stage deserialization - drops of bad-timestamp and undecodable`.
    ///
    /// ```
    /// use headwater::telemetry::{Counters, Stage};
    /// let mut counters = Counters::default();
    /// counters.consumed = 2;
    /// counters.bury(Stage::Deserialization);
    /// assert_eq!(counters.balance(), 1);
    /// ```
    #[must_use]
    pub fn balance(&self) -> i64 {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let unread = self.dead_letters(Stage::Deserialization)
            + self.dropped(DropReason::BadTimestamp)
            + self.dropped(DropReason::Undecodable);
        number(self.consumed) - number(self.processed) - number(unread)
    }

    /// Number of drops for a reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Number of drops for all reasons.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.consumed += other.consumed;
        self.processed += other.processed;
        self.produced += other.produced;
        self.skipped_offsets += other.skipped_offsets;
        for (sum, count) in self.dead_letters.iter_mut().zip(other.dead_letters) {
            *sum += count;
        }
        for (sum, count) in self.dropped.iter_mut().zip(other.dropped) {
            *sum += count;
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "consumed {}, processed {}, produced {}", self.consumed, self.processed, self.produced)?;
        if self.skipped_offsets > 0 {
            write!(f, ", skipped offsets {}", self.skipped_offsets)?;
        }
        for stage in Stage::ALL {
            if self.dead_letters(stage) > 0 {
                write!(f, ", dead letters {} {}", self.dead_letters(stage), stage.name())?;
            }
        }
        for reason in DropReason::ALL {
            if self.dropped(reason) > 0 {
                write!(f, ", dropped {} {}", self.dropped(reason), reason.name())?;
            }
        }
        Ok(())
    }
}
