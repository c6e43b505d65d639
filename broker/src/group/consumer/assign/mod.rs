//! Assigning: which member shall hold which partitions, by an assignor that the members prefer.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::TopicId;

/// A partition of a topic that goes by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: TopicId,
    pub(super) partition: i32,
}

/// Partitions, in order.
pub(super) type Partitions = BTreeSet<Place>;

/// Topics with their numbers of partitions.
pub(super) type Topics = BTreeMap<TopicId, i32>;

/// A member as assignors see it.
#[derive(Clone, Debug)]
pub(super) struct Subscriber<'a> {
    /// Topics that it wants and that exist.
    pub(super) topics: &'a BTreeSet<TopicId>,
    /// What it was to hold until now.
    pub(super) had: &'a Partitions,
}

/// A way to assign. Both are given the subscribers in the same order each time and answer in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Assignor {
    /// Everybody gets as many partitions, and as few as possible move.
    Uniform,
    /// Everybody gets a range of each topic, so that topics of one size are partitioned alike.
    Range,
}

impl Assignor {
    /// All, the default first.
    pub(super) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// What each subscriber shall hold; every partition of a topic that somebody wants has one holder.
    pub(super) fn assign(self, subscribers: &[Subscriber<'_>], topics: &Topics) -> Vec<Partitions> {
        match self {
            Self::Uniform => uniform::assign(subscribers, topics),
            Self::Range => range::assign(subscribers, topics),
        }
    }
}
