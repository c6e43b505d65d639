//! Committing and fetching offsets, outside transactions and inside.

use super::Broker;
use crate::api::{
    MemberClaim, OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, PartitionResult, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use crate::error::ErrorCode;
use crate::group::CommitCheck;
use std::sync::Arc;

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
            Some(group) => {
                group.check_commit(member, check)?;
                group.committed_by(member, self.now);
                Ok(())
            }
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
        let mut results = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let allowed = checked
                .and_then(|()| self.catalogue.log(&offset.at).map(|_| ()))
                .and_then(|()| self.check_metadata(offset));
            if allowed.is_ok() {
                let kept = &mut self.groups.get_or_create(group_id).offsets;
                match producer_id {
                    Some(producer_id) => kept.commit_pending(producer_id, offset),
                    None => kept.commit(offset),
                }
            }
            results.push(PartitionResult { at: offset.at.clone(), error: ErrorCode::of(&allowed) });
        }
        results
    }

    fn check_metadata(&self, offset: &OffsetCommitPartition) -> Result<(), ErrorCode> {
        let fits = offset.committed.metadata.len() <= self.group_rules.most_metadata_bytes;
        if fits { Ok(()) } else { Err(ErrorCode::OffsetMetadataTooLarge) }
    }

    pub(super) fn offset_fetch(&self, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let require_stable = request.require_stable && !self.faults.misbehaviour.ignore_require_stable;
        let nothing = crate::group::Offsets::default();
        let kept = self.groups.get(&request.group_id).map_or(&nothing, |group| &group.offsets);
        let fetched = match request.partitions {
            Some(wanted) => wanted.into_iter().map(|at| kept.fetch(at, require_stable)).collect(),
            None => {
                let all = kept.partitions().into_iter().map(|at| kept.fetch(at, require_stable));
                all.filter(|found| found.committed.is_some() || found.error != ErrorCode::None).collect()
            }
        };
        OffsetFetchResponse { error: ErrorCode::None, partitions: fetched }
    }
}
