//! The journal: what the broker knows beside its logs is a fold of *facts*.
//!
//! 1. A fact is written before what it says is answered; if it cannot be written, it has not happened.
//! 2. A start reads all facts, in order, and knows what was known before: topics with their settings, offsets
//!    committed and pending, the numbers of groups, transactions, producer ids. Members of groups, and what is
//!    under way, are not among them.
//! 3. Now and then the journal is written anew, as the shortest list of facts that says the same.

mod bytes;

use std::sync::Arc;

use crate::api::{OffsetCommitPartition, TopicId, TopicPartition};
use crate::batch::MarkerKind;
use crate::group::GroupFact;
use crate::topic::TopicFact;
use crate::transaction::TransactionFact;

/// Something that happened, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The broker has started for this time, counted from 0.
    Started(u32),
    /// A topic was made, or is now like this.
    Topic(TopicFact),
    /// A topic was deleted, and with it all that groups have committed for it.
    TopicDeleted { name: Arc<str>, id: TopicId, partitions: i32 },
    /// A group has committed offsets, in a transaction of this producer if there is one.
    Committed { group: Arc<str>, producer_id: Option<i64>, at_ms: i64, offsets: Vec<OffsetCommitPartition> },
    /// A transaction has ended for a group: its pending offsets are committed, or gone.
    Ended { group: Arc<str>, producer_id: i64, kind: MarkerKind },
    /// A group has no offsets for these partitions any more.
    OffsetsDeleted { group: Arc<str>, partitions: Vec<TopicPartition> },
    /// A group is of this type, and its generation (or epoch) has this number.
    Group(GroupFact),
    /// A group was deleted.
    GroupDeleted(Arc<str>),
    /// A transactional id is now like this.
    Transaction(TransactionFact),
    /// A transactional id is not known any more.
    TransactionForgotten(Arc<str>),
    /// Producer ids below this one may have been given out.
    ProducerIds(i64),
}

#[cfg(test)]
mod tests {
    use super::{Fact, GroupFact, TopicFact, TransactionFact};
    use crate::api::{
        CommittedOffset, GroupType, OffsetCommitPartition, ProducerStamp, TopicId, TopicPartition,
    };
    use crate::batch::MarkerKind;
    use crate::transaction::TransactionState;
    use std::sync::Arc;

    fn facts() -> Vec<Fact> {
        let at = TopicPartition::new("t", 3);
        let committed = CommittedOffset { offset: 5, leader_epoch: -1, metadata: Arc::from("é") };
        let offsets = vec![OffsetCommitPartition { at: at.clone(), committed }];
        let group: Arc<str> = Arc::from("g");
        vec![
            Fact::Started(3),
            Fact::Topic(TopicFact {
                name: Arc::from("t"),
                id: TopicId(u128::MAX - 5),
                partitions: 4,
                made_in: 1,
                configs: [("retention.ms".to_owned(), "5".to_owned())].into(),
            }),
            Fact::TopicDeleted { name: Arc::from("t"), id: TopicId(7), partitions: 2 },
            Fact::Committed { group: group.clone(), producer_id: None, at_ms: -1, offsets: offsets.clone() },
            Fact::Committed { group: group.clone(), producer_id: Some(9), at_ms: 8, offsets },
            Fact::Ended { group: group.clone(), producer_id: 9, kind: MarkerKind::Commit },
            Fact::Ended { group: group.clone(), producer_id: 9, kind: MarkerKind::Abort },
            Fact::OffsetsDeleted { group: group.clone(), partitions: vec![at.clone()] },
            Fact::Group(GroupFact {
                id: group.clone(),
                group_type: GroupType::Consumer,
                number: 12,
                protocol_type: Arc::from("consumer"),
            }),
            Fact::GroupDeleted(group.clone()),
            Fact::Transaction(TransactionFact {
                id: Arc::from("x"),
                producer: ProducerStamp { id: 1, epoch: 2 },
                last_epoch: -1,
                timeout_ms: 60_000,
                state: TransactionState::PrepareAbort,
                started_at: 77,
                updated_at: Some(78),
                partitions: vec![at],
                groups: vec![group],
            }),
            Fact::TransactionForgotten(Arc::from("x")),
            Fact::ProducerIds(1_000),
        ]
    }

    #[test]
    fn facts_come_back() {
        for fact in facts() {
            assert_eq!(Fact::decode(&fact.encode()), Some(fact));
        }
    }

    #[test]
    fn what_is_cut_or_longer_is_no_fact() {
        for fact in facts() {
            let bytes = fact.encode();
            for len in 0..bytes.len() {
                assert_eq!(Fact::decode(&bytes[..len]), None, "{fact:?} cut at {len}");
            }
            assert_eq!(Fact::decode(&[&bytes[..], &[0]].concat()), None, "{fact:?}");
        }
        assert_eq!(Fact::decode(&[255]), None);
    }
}
