//! Facts as bytes: a number for the kind, then its fields in order (big endian; texts and lists after their
//! length). A kind's number is never used for another one.

use std::sync::Arc;

use super::Fact;
use crate::api::{CommittedOffset, OffsetCommitPartition, ProducerStamp, TopicId, TopicPartition};
use crate::batch::MarkerKind;
use crate::group::{GroupFact, MembersFact};
use crate::topic::{MOST_PARTITIONS, TopicFact};
use crate::transaction::{TransactionFact, TransactionState};

const STARTED: u8 = 1;
const TOPIC: u8 = 2;
const TOPIC_DELETED: u8 = 3;
const COMMITTED: u8 = 4;
const ENDED: u8 = 5;
const OFFSETS_DELETED: u8 = 6;
/// Without members, as in journals that were written before they were kept.
const GROUP_OLD: u8 = 7;
const GROUP_DELETED: u8 = 8;
/// Without the time of its last change, as journals have it that were written before that was kept.
const TRANSACTION_OLD: u8 = 9;
const PRODUCER_IDS: u8 = 10;
const TRANSACTION: u8 = 11;
const TRANSACTION_FORGOTTEN: u8 = 12;
const CLASSIC_GROUP: u8 = 13;
const CONSUMER_GROUP: u8 = 14;

const STATES: [TransactionState; 6] = [
    TransactionState::Empty,
    TransactionState::Ongoing,
    TransactionState::PrepareCommit,
    TransactionState::PrepareAbort,
    TransactionState::CompleteCommit,
    TransactionState::CompleteAbort,
];

#[derive(Default)]
pub(super) struct Put(pub(super) Vec<u8>);

impl Put {
    pub(super) fn number(&mut self, number: impl Into<i64>) {
        self.0.extend_from_slice(&number.into().to_be_bytes());
    }

    pub(super) fn len(&mut self, len: usize) {
        self.number(i64::try_from(len).expect("lengths fit into 63 bits"));
    }

    pub(super) fn text(&mut self, text: &str) {
        self.len(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn optional(&mut self, text: Option<&str>) {
        self.number(i64::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    pub(super) fn id(&mut self, id: TopicId) {
        self.0.extend_from_slice(&id.0.to_be_bytes());
    }

    pub(super) fn list<T>(&mut self, list: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.len(list.len());
        list.iter().for_each(|item| put(self, item));
    }

    fn partition(&mut self, at: &TopicPartition) {
        self.text(&at.topic);
        self.number(at.partition);
    }

    fn kind(&mut self, kind: MarkerKind) {
        self.number(i64::from(kind == MarkerKind::Commit));
    }

    fn topic(&mut self, topic: &TopicFact) {
        self.text(&topic.name);
        self.id(topic.id);
        self.number(topic.partitions);
        self.number(topic.made_in);
        self.len(topic.configs.len());
        for (name, value) in &topic.configs {
            self.text(name);
            self.text(value);
        }
    }

    fn offset(&mut self, offset: &OffsetCommitPartition) {
        self.partition(&offset.at);
        self.number(offset.committed.offset);
        self.number(offset.committed.leader_epoch);
        self.text(&offset.committed.metadata);
    }

    fn transaction(&mut self, transaction: &TransactionFact) {
        self.text(&transaction.id);
        self.number(transaction.producer.id);
        self.number(transaction.producer.epoch);
        self.number(transaction.last_epoch);
        self.number(transaction.timeout_ms);
        self.len(STATES.iter().position(|state| *state == transaction.state).unwrap_or(0));
        self.number(transaction.started_at);
        self.list(&transaction.partitions, Self::partition);
        self.list(&transaction.groups, |put, group| put.text(group));
        self.number(transaction.updated_at.unwrap_or(i64::MIN));
    }
}

pub(super) struct Take<'a>(pub(super) &'a [u8]);

impl Take<'_> {
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Option<T> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        T::try_from(i64::from_be_bytes(*number)).ok()
    }

    pub(super) fn text(&mut self) -> Option<Arc<str>> {
        let len = self.number()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Arc::from)
    }

    pub(super) fn optional(&mut self) -> Option<Option<Arc<str>>> {
        match self.number::<i64>()? {
            0 => Some(None),
            _ => self.text().map(Some),
        }
    }

    pub(super) fn id(&mut self) -> Option<TopicId> {
        let (id, rest) = self.0.split_first_chunk::<16>()?;
        self.0 = rest;
        Some(TopicId(u128::from_be_bytes(*id)))
    }

    pub(super) fn list<T>(&mut self, mut take: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len: usize = self.number()?;
        (0..len).map(|_| take(self)).collect()
    }

    fn partition(&mut self) -> Option<TopicPartition> {
        Some(TopicPartition { topic: self.text()?, partition: self.number()? })
    }

    fn kind(&mut self) -> Option<MarkerKind> {
        let commits: i64 = self.number()?;
        Some(if commits == 1 { MarkerKind::Commit } else { MarkerKind::Abort })
    }

    /// How many partitions a topic has.
    fn partition_count(&mut self) -> Option<i32> {
        self.number().filter(|partitions| (0..=MOST_PARTITIONS).contains(partitions))
    }

    fn topic(&mut self) -> Option<TopicFact> {
        Some(TopicFact {
            name: self.text()?,
            id: self.id()?,
            partitions: self.partition_count()?,
            made_in: self.number()?,
            configs: self
                .list(|from| Some((from.text()?.to_string(), from.text()?.to_string())))?
                .into_iter()
                .collect(),
        })
    }

    fn offset(&mut self) -> Option<OffsetCommitPartition> {
        let at = self.partition()?;
        let (offset, leader_epoch) = (self.number()?, self.number()?);
        let committed = CommittedOffset { offset, leader_epoch, metadata: self.text()? };
        Some(OffsetCommitPartition { at, committed })
    }

    fn transaction(&mut self) -> Option<TransactionFact> {
        let old = self.old_transaction()?;
        let updated_at = self.number().map(|time: i64| Some(time).filter(|time| *time > i64::MIN))?;
        Some(TransactionFact { updated_at, ..old })
    }

    fn old_transaction(&mut self) -> Option<TransactionFact> {
        Some(TransactionFact {
            id: self.text()?,
            producer: ProducerStamp { id: self.number()?, epoch: self.number()? },
            last_epoch: self.number()?,
            timeout_ms: self.number()?,
            state: *STATES.get(self.number::<usize>()?)?,
            started_at: self.number()?,
            updated_at: None,
            partitions: self.list(Self::partition)?,
            groups: self.list(Self::text)?,
        })
    }

    fn fact(&mut self) -> Option<Fact> {
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match *kind {
            STARTED => Fact::Started(self.number()?),
            TOPIC => Fact::Topic(self.topic()?),
            TOPIC_DELETED => {
                Fact::TopicDeleted { name: self.text()?, id: self.id()?, partitions: self.partition_count()? }
            }
            COMMITTED => Fact::Committed {
                group: self.text()?,
                // Producer ids are not negative.
                producer_id: self.number().map(|id: i64| Some(id).filter(|id| *id >= 0))?,
                at_ms: self.number()?,
                offsets: self.list(Self::offset)?,
            },
            ENDED => Fact::Ended { group: self.text()?, producer_id: self.number()?, kind: self.kind()? },
            OFFSETS_DELETED => {
                Fact::OffsetsDeleted { group: self.text()?, partitions: self.list(Self::partition)? }
            }
            GROUP_OLD => Fact::Group(self.old_group()?),
            CLASSIC_GROUP => {
                Fact::Group(GroupFact { id: self.text()?, members: MembersFact::Classic(self.classic()?) })
            }
            CONSUMER_GROUP => {
                Fact::Group(GroupFact { id: self.text()?, members: MembersFact::Consumer(self.consumers()?) })
            }
            GROUP_DELETED => Fact::GroupDeleted(self.text()?),
            TRANSACTION => Fact::Transaction(self.transaction()?),
            TRANSACTION_OLD => Fact::Transaction(self.old_transaction()?),
            TRANSACTION_FORGOTTEN => Fact::TransactionForgotten(self.text()?),
            PRODUCER_IDS => Fact::ProducerIds(self.number()?),
            _ => return None,
        })
    }
}

impl Fact {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Put::default();
        match self {
            Self::Started(count) => {
                out.0.push(STARTED);
                out.number(*count);
            }
            Self::Topic(topic) => {
                out.0.push(TOPIC);
                out.topic(topic);
            }
            Self::TopicDeleted { name, id, partitions } => {
                out.0.push(TOPIC_DELETED);
                out.text(name);
                out.id(*id);
                out.number(*partitions);
            }
            Self::Committed { group, producer_id, at_ms, offsets } => {
                out.0.push(COMMITTED);
                out.text(group);
                out.number(producer_id.unwrap_or(-1));
                out.number(*at_ms);
                out.list(offsets, Put::offset);
            }
            Self::Ended { group, producer_id, kind } => {
                out.0.push(ENDED);
                out.text(group);
                out.number(*producer_id);
                out.kind(*kind);
            }
            Self::OffsetsDeleted { group, partitions } => {
                out.0.push(OFFSETS_DELETED);
                out.text(group);
                out.list(partitions, Put::partition);
            }
            Self::Group(GroupFact { id, members: MembersFact::Classic(group) }) => {
                out.0.push(CLASSIC_GROUP);
                out.text(id);
                out.classic(group);
            }
            Self::Group(GroupFact { id, members: MembersFact::Consumer(group) }) => {
                out.0.push(CONSUMER_GROUP);
                out.text(id);
                out.consumers(group);
            }
            Self::GroupDeleted(group) => {
                out.0.push(GROUP_DELETED);
                out.text(group);
            }
            Self::Transaction(transaction) => {
                out.0.push(TRANSACTION);
                out.transaction(transaction);
            }
            Self::TransactionForgotten(id) => {
                out.0.push(TRANSACTION_FORGOTTEN);
                out.text(id);
            }
            Self::ProducerIds(next) => {
                out.0.push(PRODUCER_IDS);
                out.number(*next);
            }
        }
        out.0
    }

    /// `None` when the bytes say nothing, or more than one fact.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Take(bytes);
        from.fact().filter(|_| from.0.is_empty())
    }
}
