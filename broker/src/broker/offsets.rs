//! Committing and fetching offsets, outside transactions and inside.

use super::Broker;
use super::clean::due;
use crate::api::{
    MemberClaim, OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, PartitionResult, TopicPartition,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use crate::error::ErrorCode;
use crate::group::{CommitCheck, Group, Offsets};
use crate::journal::Fact;
use std::sync::Arc;

fn offsets_kept(error: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse { error, partitions: Vec::new() }
}

impl Broker {
    pub(super) fn offset_commit(&mut self, request: &OffsetCommitRequest) -> OffsetCommitResponse {
        let checked = self.check_commit(&request.group_id, &request.member, false);
        OffsetCommitResponse { partitions: self.commit(&request.group_id, &request.offsets, (checked, None)) }
    }

    pub(super) fn txn_offset_commit(&mut self, request: &TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
        let producer = request.producer;
        let checked = self
            .coordinator
            .verify_group(&request.transactional_id, producer, &request.group_id)
            .and_then(|()| self.check_commit(&request.group_id, &request.member, true));
        let partitions = self.commit(&request.group_id, &request.offsets, (checked, Some(producer.id)));
        TxnOffsetCommitResponse { partitions }
    }

    fn check_commit(
        &mut self,
        group_id: &Arc<str>,
        member: &MemberClaim,
        transactional: bool,
    ) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let accept_stale_generation = self.faults.misbehaviour.accept_stale_generation;
        let check = CommitCheck { transactional, accept_stale_generation };
        match self.groups.get_mut(group_id) {
            Some(group) => group.commit(member, check, self.now),
            // Whoever belongs to no group may commit offsets under any name.
            None if member.generation < 0 || accept_stale_generation => Ok(()),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// Commits each partition, for a transaction of this producer if there is one.
    fn commit(
        &mut self,
        group_id: &Arc<str>,
        offsets: &[OffsetCommitPartition],
        (checked, producer_id): (Result<(), ErrorCode>, Option<i64>),
    ) -> Vec<PartitionResult> {
        let check = |offset: &OffsetCommitPartition| {
            checked
                .and_then(|()| self.catalogue.log(&offset.at).map(|_| ()))
                .and_then(|()| self.check_metadata(offset))
        };
        let mut outcomes: Vec<Result<(), ErrorCode>> = offsets.iter().map(check).collect();
        let allowed = offsets.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let allowed: Vec<OffsetCommitPartition> = allowed.map(|(offset, _)| offset.clone()).collect();
        if !allowed.is_empty() {
            let (group, at_ms) = (group_id.clone(), self.now);
            let fact = Fact::Committed { group, producer_id, at_ms, offsets: allowed };
            match self.note(&fact) {
                Ok(()) => fact.apply_to_groups(&mut self.groups),
                Err(_) => outcomes.iter_mut().for_each(|outcome| {
                    *outcome = outcome.and(Err(ErrorCode::CoordinatorNotAvailable));
                }),
            }
        }
        let results = offsets.iter().zip(outcomes);
        let result = |(offset, outcome): (&OffsetCommitPartition, _)| PartitionResult {
            at: offset.at.clone(),
            error: ErrorCode::of(&outcome),
        };
        results.map(result).collect()
    }

    fn check_metadata(&self, offset: &OffsetCommitPartition) -> Result<(), ErrorCode> {
        let fits = offset.committed.metadata.len() <= self.group_rules.most_metadata_bytes;
        if fits { Ok(()) } else { Err(ErrorCode::OffsetMetadataTooLarge) }
    }

    pub(super) fn offset_delete(&mut self, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let group = match self.groups.get(&request.group_id) {
            Some(group) => group,
            None if request.group_id.is_empty() => return offsets_kept(ErrorCode::InvalidGroupId),
            None => return offsets_kept(ErrorCode::GroupIdNotFound),
        };
        if let Err(error) = group.check_offset_delete() {
            return offsets_kept(error);
        }
        let check = |at: &TopicPartition| self.catalogue.log(at).and_then(|_| group.check_unused(at));
        let mut outcomes: Vec<Result<(), ErrorCode>> = request.partitions.iter().map(check).collect();
        let unused = request.partitions.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let partitions: Vec<TopicPartition> = unused.map(|(at, _)| at.clone()).collect();
        let fact = Fact::OffsetsDeleted { group: request.group_id.clone(), partitions };
        match self.note(&fact) {
            Ok(()) => fact.apply_to_groups(&mut self.groups),
            Err(_) => outcomes.iter_mut().for_each(|outcome| {
                *outcome = outcome.and(Err(ErrorCode::CoordinatorNotAvailable));
            }),
        }
        let result = |(at, outcome)| PartitionResult { at, error: ErrorCode::of(&outcome) };
        OffsetDeleteResponse {
            error: ErrorCode::None,
            partitions: request.partitions.into_iter().zip(outcomes).map(result).collect(),
        }
    }

    pub(super) fn offset_fetch(&self, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let require_stable = request.require_stable && !self.faults.misbehaviour.ignore_require_stable;
        let group = self.groups.get(&request.group_id);
        let consumers = group.and_then(Group::consumer);
        if let Some(Err(error)) = consumers.map(|group| group.check_fetch(&request.member)) {
            return OffsetFetchResponse { error, partitions: Vec::new() };
        }
        let nothing = Offsets::default();
        let kept = group.map_or(&nothing, |group| &group.offsets);
        let fetched = match request.partitions {
            Some(wanted) => wanted.into_iter().map(|at| kept.fetch(at, require_stable)).collect(),
            None => {
                let all = kept.partitions().into_iter().map(|at| kept.fetch(at, require_stable));
                all.filter(|found| found.committed.is_some() || found.error != ErrorCode::None).collect()
            }
        };
        OffsetFetchResponse { error: ErrorCode::None, partitions: fetched }
    }

    /// Forgets offsets that nobody has needed for `offsets.retention.minutes`, and groups that have neither
    /// members nor offsets.
    pub fn expire_offsets(&mut self, now: i64) {
        self.advance(now);
        let (retention_ms, now) = (self.group_rules.offsets_retention_ms, self.now);
        let mut facts = Vec::new();
        self.groups.retain(|group| {
            let before = group.offsets.partitions();
            let stays = group.expire_offsets(retention_ms, now);
            let id = group.id().clone();
            let after = group.offsets.partitions();
            if !stays {
                facts.push(Fact::GroupDeleted(id));
            } else if after.len() < before.len() {
                let partitions = before.into_iter().filter(|at| after.binary_search(at).is_err()).collect();
                facts.push(Fact::OffsetsDeleted { group: id, partitions });
            }
            stays
        });
        for fact in facts {
            if let Fact::GroupDeleted(id) = &fact {
                self.noted.remove(id);
            }
            // What cannot be written comes back with the next start, and expires again.
            let _ = self.note(&fact);
        }
    }

    /// The same when it is time for it.
    pub(super) fn expire_offsets_by_clock(&mut self) {
        let interval = self.config.offsets_retention_check_interval_ms;
        if due(&mut self.next_offset_expiry, interval, self.now) {
            self.expire_offsets(self.now);
        }
    }
}
