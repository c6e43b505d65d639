//! Transaction: what a producer has registered with the coordinator, and the requests that register and end it.
//!
//! 1. A partition is added before its first batch, a group before its offsets.
//! 2. One request at a time. What was sent is waited for before the transaction ends, so that nothing can arrive
//!    behind the end; a copy that was given up may, and taints the producer.
//! 3. A transaction that never reached the coordinator ends without a request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;

use headwater_broker::ErrorCode;
use headwater_broker::api::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    CommittedOffset, EndTxnRequest, EndTxnResponse, MemberClaim, OffsetCommitPartition, PartitionResult,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::door::Door;
use super::errand::Errand;
use super::outbox::Sender;
use super::place;
use super::verdict::Asked;
use crate::kafka::{GroupMetadata, OffsetCommit};
use crate::topic::TopicPartition;

/// A step's outcome: not yet, done, or the code that one of its requests was answered with.
pub(super) type Step = Poll<Result<(), (Asked, ErrorCode)>>;

/// The coordinator's side of one transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    partitions: BTreeSet<TopicPartition>,
    adding: Option<(Errand, Vec<TopicPartition>)>,
    /// Group to which the offsets that are being sent were added.
    group_added: bool,
    adding_group: Option<Errand>,
    sending_offsets: Option<Errand>,
    ending: Option<Errand>,
    /// When the sending of offsets began.
    offsets_since_ms: Option<i64>,
    /// Whether the coordinator knows of the transaction.
    begun: bool,
    /// Whether a copy of a request was given up.
    tainted: bool,
    /// A partition that may not be written by us.
    forbidden: Option<TopicPartition>,
}

impl Transaction {
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    pub(super) fn is_tainted(&self) -> bool {
        self.tainted
    }

    /// Whether batches may be sent to the partition.
    pub(super) fn includes(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains(partition)
    }

    /// The partition that may not be written, where the last answer named one.
    pub(super) fn take_forbidden(&mut self) -> Option<TopicPartition> {
        self.forbidden.take()
    }

    /// Adds partitions, as long as there are new ones; a request under way is finished first.
    pub(super) fn add_partitions<'a>(
        &mut self,
        wanted: impl Iterator<Item = &'a TopicPartition>,
        door: &Door,
        sender: &Sender,
        now_ms: i64,
    ) -> Step {
        if self.adding.is_none() {
            let new: Vec<TopicPartition> = wanted.filter(|one| !self.includes(one)).cloned().collect();
            if new.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let request = AddPartitionsToTxnRequest {
                transactional_id: name(sender),
                producer: sender.stamp,
                partitions: new.iter().map(place::at).collect(),
            };
            self.adding = Some((Errand::new(request, sender.request_timeout_ms), new));
        }
        let Some((errand, _)) = &mut self.adding else { return Poll::Pending };
        let answer = errand.poll::<AddPartitionsToTxnResponse>(door, now_ms);
        self.tainted |= errand.was_lost();
        let Poll::Ready(answer) = answer else { return Poll::Pending };
        if let Ok(response) = &answer {
            let forbidden =
                response.partitions.iter().find(|one| one.error == ErrorCode::TopicAuthorizationFailed);
            self.forbidden = forbidden
                .map(|one| TopicPartition { topic: one.at.topic.clone(), partition: one.at.partition });
        }
        match answer.and_then(|response| first_error(&response.partitions)) {
            Ok(()) => {
                self.begun = true;
                self.partitions.extend(self.adding.take().into_iter().flat_map(|(_, added)| added));
                Poll::Ready(Ok(()))
            }
            Err(code) => Poll::Ready(Err((Asked::AddPartitions, code))),
        }
    }

    /// Adds the group, then commits the offsets as part of the transaction.
    pub(super) fn send_offsets(
        &mut self,
        (offsets, group): (&[OffsetCommit], &GroupMetadata),
        door: &Door,
        sender: &Sender,
        now_ms: i64,
    ) -> Step {
        self.offsets_since_ms.get_or_insert(now_ms);
        if !self.group_added {
            let request = AddOffsetsToTxnRequest {
                transactional_id: name(sender),
                producer: sender.stamp,
                group_id: group.group.as_str().into(),
            };
            let errand = Errand::resume(&mut self.adding_group, request, sender.request_timeout_ms);
            let answer = errand.poll::<AddOffsetsToTxnResponse>(door, now_ms);
            self.tainted |= errand.was_lost();
            let Poll::Ready(answer) = answer else { return Poll::Pending };
            if let Err(code) = answer.and_then(|response| response.error.check()) {
                return Poll::Ready(Err((Asked::AddOffsets, code)));
            }
            self.begun = true;
            self.group_added = true;
            self.adding_group = None;
        }
        let request = TxnOffsetCommitRequest {
            transactional_id: name(sender),
            producer: sender.stamp,
            group_id: group.group.as_str().into(),
            member: claim(group),
            offsets: offsets.iter().map(to_commit).collect(),
        };
        let errand = Errand::resume(&mut self.sending_offsets, request, sender.request_timeout_ms);
        let answer = errand.poll::<TxnOffsetCommitResponse>(door, now_ms);
        self.tainted |= errand.was_lost();
        let Poll::Ready(answer) = answer else { return Poll::Pending };
        match answer.and_then(|response| first_error(&response.partitions)) {
            Ok(()) => {
                self.offsets_sent();
                Poll::Ready(Ok(()))
            }
            Err(code) => Poll::Ready(Err((Asked::TxnOffsetCommit, code))),
        }
    }

    /// For how long offsets have been on their way.
    pub(super) fn offsets_age_ms(&self, now_ms: i64) -> i64 {
        self.offsets_since_ms.map_or(0, |since| now_ms - since)
    }

    fn offsets_sent(&mut self) {
        self.sending_offsets = None;
        self.adding_group = None;
        self.group_added = false;
        self.offsets_since_ms = None;
    }

    /// Waits for whatever is under way, whatever the answers are; the transaction is given up.
    pub(super) fn settle(&mut self, door: &Door, now_ms: i64) -> Poll<()> {
        if let Some((errand, _)) = &mut self.adding {
            let answer = errand.poll::<AddPartitionsToTxnResponse>(door, now_ms);
            self.tainted |= errand.was_lost();
            let Poll::Ready(answer) = answer else { return Poll::Pending };
            self.begun |= answer.and_then(|response| first_error(&response.partitions)).is_ok();
            self.adding = None;
        }
        if let Some(errand) = &mut self.adding_group {
            let answer = errand.poll::<AddOffsetsToTxnResponse>(door, now_ms);
            self.tainted |= errand.was_lost();
            let Poll::Ready(answer) = answer else { return Poll::Pending };
            self.begun |= answer.and_then(|response| response.error.check()).is_ok();
        }
        if let Some(errand) = &mut self.sending_offsets {
            let answer = errand.poll::<TxnOffsetCommitResponse>(door, now_ms);
            self.tainted |= errand.was_lost();
            if answer.is_pending() {
                return Poll::Pending;
            }
        }
        self.offsets_sent();
        Poll::Ready(())
    }

    /// Commits or aborts at the coordinator.
    pub(super) fn end(&mut self, commit: bool, door: &Door, sender: &Sender, now_ms: i64) -> Step {
        let request = EndTxnRequest { transactional_id: name(sender), producer: sender.stamp, commit };
        let errand = Errand::resume(&mut self.ending, request, sender.request_timeout_ms);
        let answer = errand.poll::<EndTxnResponse>(door, now_ms);
        self.tainted |= errand.was_lost();
        let Poll::Ready(answer) = answer else { return Poll::Pending };
        Poll::Ready(answer.and_then(|response| response.error.check()).map_err(|code| (Asked::EndTxn, code)))
    }
}

fn name(sender: &Sender) -> Arc<str> {
    sender.transactional_id.clone().unwrap_or_default()
}

/// Who commits, as the coordinator wants to know it.
pub(super) fn claim(group: &GroupMetadata) -> MemberClaim {
    MemberClaim {
        generation: group.generation,
        member_id: group.member.as_str().into(),
        group_instance_id: group.instance.as_deref().map(Arc::from),
    }
}

/// An offset as the coordinator takes it.
pub(super) fn to_commit((partition, committed): &OffsetCommit) -> OffsetCommitPartition {
    let committed = CommittedOffset {
        offset: committed.offset,
        leader_epoch: -1,
        metadata: committed.metadata.as_str().into(),
    };
    OffsetCommitPartition { at: place::at(partition), committed }
}

/// The first error of a request about partitions; one that another partition is to blame for does not count as first.
pub(super) fn first_error(partitions: &[PartitionResult]) -> Result<(), ErrorCode> {
    let errors = || partitions.iter().map(|result| result.error).filter(|code| *code != ErrorCode::None);
    let own = errors().find(|code| *code != ErrorCode::OperationNotAttempted);
    own.or_else(|| errors().next()).map_or(Ok(()), Err)
}
