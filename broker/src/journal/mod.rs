//! The journal: what the broker knows beside its logs is a fold of *facts*.
//!
//! 1. A fact is written before what it says is answered; if it cannot be written, it has not happened.
//! 2. A start reads all facts, in order, and knows what was known before: topics with their settings, offsets
//!    committed and pending, groups with their members, transactions, producer ids. What is under way is not among
//!    them.
//! 3. Now and then the journal is written anew, as the shortest list of facts that says the same.

mod bytes;
mod groups;

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
    /// A group is now like this; of a consumer group only what has changed.
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
        CommittedOffset, OffsetCommitPartition, ProducerStamp, Protocol, TopicId, TopicIdPartitions,
        TopicPartition,
    };
    use crate::batch::MarkerKind;
    use crate::group::{ClassicFact, ClassicMemberFact, ConsumerFact, ConsumersFact, MembersFact, Step};
    use crate::transaction::TransactionState;
    use bytes::Bytes;
    use std::sync::Arc;

    fn classic() -> ClassicFact {
        let protocols = vec![Protocol { name: Arc::from("range"), metadata: Bytes::from_static(b"\0\xff") }];
        let member = ClassicMemberFact {
            id: Arc::from("m"),
            instance_id: Some(Arc::from("i")),
            client_id: Arc::from("c"),
            client_host: Arc::from("/h"),
            session_timeout_ms: 1,
            rebalance_timeout_ms: 2,
            protocols,
            assignment: Bytes::from_static(b"a"),
        };
        let leader = Some(member.id.clone());
        let members = vec![member];
        ClassicFact {
            protocol_name: Arc::from("range"),
            leader,
            members,
            ..ClassicFact::empty(12, Arc::from("k"))
        }
    }

    fn consumers() -> ConsumersFact {
        let some = |partitions: &[i32]| {
            vec![TopicIdPartitions { topic_id: TopicId(u128::MAX - 1), partitions: partitions.to_vec() }]
        };
        let member = ConsumerFact {
            instance_id: None,
            rack_id: Some(Arc::from("r")),
            client_id: Arc::from("c"),
            client_host: Arc::from("/h"),
            rebalance_timeout_ms: 5,
            topics: vec![Arc::from("t"), Arc::from("u")],
            pattern: Some(Arc::from("v.*")),
            assignor: Some(Arc::from("range")),
            epoch: -2,
            previous_epoch: 6,
            step: Step::Unreleased,
            assigned: some(&[0, 3]),
            revoking: Vec::new(),
            target: some(&[3]),
        };
        ConsumersFact {
            assignment_epoch: 7,
            topics: Some(vec![(TopicId(3), 4)]),
            members: [(Arc::from("m"), member)].into(),
            gone: vec![Arc::from("n")],
            ..ConsumersFact::empty(8)
        }
    }

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
            Fact::Group(GroupFact { id: group.clone(), members: MembersFact::Classic(classic()) }),
            Fact::Group(GroupFact { id: group.clone(), members: MembersFact::Consumer(consumers()) }),
            Fact::Group(GroupFact {
                id: group.clone(),
                members: MembersFact::Consumer(ConsumersFact::empty(3)),
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

    /// What journals hold that older versions have written.
    #[test]
    fn what_older_versions_have_written_is_read() {
        let number = i64::to_be_bytes;
        let text = [&number(1)[..], b"g"].concat();
        let group = |kind: i64| [&[7], &text[..], &number(kind), &number(12), &text].concat();
        let id: Arc<str> = Arc::from("g");
        let members = [
            MembersFact::Classic(ClassicFact::empty(12, id.clone())),
            MembersFact::Consumer(ConsumersFact::empty(12)),
        ];
        for (kind, members) in (0..).zip(members) {
            let expected = Fact::Group(GroupFact { id: id.clone(), members });
            assert_eq!(Fact::decode(&group(kind)), Some(expected));
        }
        let numbers = [1, 2, -1, 60_000, 4, 77, 0, 0].map(number).concat();
        let transaction = TransactionFact {
            id,
            producer: ProducerStamp { id: 1, epoch: 2 },
            last_epoch: -1,
            timeout_ms: 60_000,
            state: TransactionState::CompleteCommit,
            started_at: 77,
            updated_at: None,
            partitions: Vec::new(),
            groups: Vec::new(),
        };
        let old = [&[9], &text[..], &numbers].concat();
        assert_eq!(Fact::decode(&old), Some(Fact::Transaction(transaction)));
    }
}
