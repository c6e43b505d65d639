//! Position: where an application begins again in its input topics.

use std::fmt;

use crate::error::{Error, Reaction, Result};
use crate::topic::TopicPartition;

/// Where to begin in the input topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// At the oldest record.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At this offset in every partition, or at the nearest one that there is.
    Offset(i64),
    /// At the first record of this time or a later one, milliseconds since 1970; behind the newest where there is none.
    Time(i64),
    /// So many records behind the committed offset (before it, if negative), as far as there are some. Where nothing is
    /// committed it counts from the oldest record.
    ShiftBy(i64),
    /// At an offset for each partition; all partitions of the input topics have to be listed, and no others.
    Each(Vec<(TopicPartition, i64)>),
}

/// What is known of a partition.
pub(super) struct Known {
    pub(super) partition: TopicPartition,
    pub(super) start: i64,
    pub(super) end: i64,
    /// The offset of [`Position::Time`].
    pub(super) at_time: Option<i64>,
    pub(super) committed: Option<i64>,
}

/// Why an offset is not quite the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The partition begins later than this offset.
    BeforeStart(i64),
    /// The partition ends before this offset.
    BeyondEnd(i64),
    /// No record is as young as that.
    NoRecordSince,
    /// There is no committed offset to count from.
    FromStart,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeStart(wanted) => write!(f, "the partition begins there, not at {wanted}"),
            Self::BeyondEnd(wanted) => write!(f, "the partition ends there, before {wanted}"),
            Self::NoRecordSince => write!(f, "no record since then, so behind the last one"),
            Self::FromStart => write!(f, "nothing is committed, so counted from the start"),
        }
    }
}

/// A committed offset that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetMove {
    /// Of this partition.
    pub partition: TopicPartition,
    /// What is committed now.
    pub from: Option<i64>,
    /// What is committed then.
    pub to: i64,
    /// What there is to say of it.
    pub note: Option<Note>,
}

impl Position {
    /// Whether a list of offsets is one for these partitions.
    pub(super) fn check(&self, partitions: &[TopicPartition]) -> Result<()> {
        let Self::Each(each) = self else { return Ok(()) };
        let listed = |partition: &&TopicPartition| each.iter().any(|(one, _)| one == *partition);
        let missing = partitions.iter().find(|partition| !listed(partition));
        let foreign = each.iter().find(|(one, _)| !partitions.contains(one)).map(|(one, _)| one);
        let twice =
            each.iter().enumerate().find(|(at, (one, _))| each[..*at].iter().any(|(other, _)| other == one));
        let twice = twice.map(|(_, (one, _))| one);
        let message = match (missing, foreign, twice) {
            (Some(partition), ..) => format!("no offset is given for {partition}"),
            (_, Some(partition), _) => format!("an offset is given for {partition}, which is no input"),
            (.., Some(partition)) => format!("two offsets are given for {partition}"),
            (None, None, None) => return Ok(()),
        };
        let hint = "list each partition of each input topic once; nothing was changed";
        Err(Error::new(Reaction::Stop, message).hint(hint))
    }

    /// Where this is in a partition.
    pub(super) fn place(&self, known: Known) -> OffsetMove {
        let Known { partition, start, end, at_time, committed } = known;
        let (wanted, note) = match self {
            Self::Earliest => (start, None),
            Self::Latest => (end, None),
            Self::Offset(offset) => (*offset, None),
            Self::Time(_) => at_time.map_or((end, Some(Note::NoRecordSince)), |offset| (offset, None)),
            Self::ShiftBy(by) => match committed {
                Some(offset) => (offset.saturating_add(*by), None),
                None => (start.saturating_add(*by), Some(Note::FromStart)),
            },
            Self::Each(each) => {
                let given = each.iter().find(|(one, _)| *one == partition);
                (given.map_or(start, |(_, offset)| *offset), None)
            }
        };
        let (to, note) = match wanted {
            below if below < start => (start, note.or(Some(Note::BeforeStart(below)))),
            beyond if beyond > end => (end, note.or(Some(Note::BeyondEnd(beyond)))),
            within => (within, note),
        };
        OffsetMove { partition, from: committed, to, note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(offsets: &[(i32, i64)]) -> Position {
        Position::Each(
            offsets.iter().map(|(number, offset)| (TopicPartition::new("in", *number), *offset)).collect(),
        )
    }

    /// Of a partition with the offsets 10 to 20: position, what is committed, the offset of the time, and where it leads.
    #[test]
    fn positions_lead_to_offsets_that_there_are() {
        let cases = [
            (Position::Earliest, Some(15), None, 10, None),
            (Position::Latest, Some(15), None, 20, None),
            (Position::Offset(12), None, None, 12, None),
            (Position::Offset(20), None, None, 20, None),
            (Position::Offset(3), None, None, 10, Some(Note::BeforeStart(3))),
            (Position::Offset(21), None, None, 20, Some(Note::BeyondEnd(21))),
            (Position::Time(5), None, Some(14), 14, None),
            (Position::Time(5), None, None, 20, Some(Note::NoRecordSince)),
            (Position::ShiftBy(2), Some(15), None, 17, None),
            (Position::ShiftBy(-2), Some(15), None, 13, None),
            (Position::ShiftBy(-6), Some(15), None, 10, Some(Note::BeforeStart(9))),
            (Position::ShiftBy(i64::MAX), Some(15), None, 20, Some(Note::BeyondEnd(i64::MAX))),
            (Position::ShiftBy(3), None, None, 13, Some(Note::FromStart)),
            (Position::ShiftBy(-3), None, None, 10, Some(Note::FromStart)),
            (each(&[(0, 1), (1, 19)]), Some(15), None, 19, None),
        ];
        for (position, committed, at_time, to, note) in cases {
            let partition = TopicPartition::new("in", 1);
            let known = Known { partition: partition.clone(), start: 10, end: 20, at_time, committed };
            let expected = OffsetMove { partition, from: committed, to, note };
            assert_eq!(position.place(known), expected, "{position:?}");
        }
    }

    #[test]
    fn a_list_names_each_partition_once() {
        let partitions = [0, 1].map(|number| TopicPartition::new("in", number));
        let cases = [
            (each(&[(0, 1), (1, 2)]), None),
            (each(&[(1, 2)]), Some("no offset is given for in-0")),
            (each(&[(0, 1), (1, 2), (2, 3)]), Some("an offset is given for in-2, which is no input")),
            (each(&[(0, 1), (1, 2), (0, 3)]), Some("two offsets are given for in-0")),
            (Position::Latest, None),
        ];
        for (position, expected) in cases {
            let error = position.check(&partitions).err();
            assert_eq!(error.as_ref().map(Error::message), expected, "{position:?}");
        }
    }
}
