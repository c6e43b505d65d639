//! Committing and fetching offsets: who claims to be a member must come in its current epoch.

use super::ConsumerGroup;
use crate::api::MemberClaim;
use crate::error::ErrorCode;
use crate::group::CommitCheck;

impl ConsumerGroup {
    /// Whether who claims to be `member` may commit (KIP-447 for transactional commits).
    pub(crate) fn check_commit(&self, member: &MemberClaim, check: CommitCheck) -> Result<(), ErrorCode> {
        if member.generation < 0 && self.members.is_empty() || check.accept_stale_generation {
            return Ok(());
        }
        if check.transactional && member.claims_nothing() {
            return Ok(());
        }
        match self.check_epoch(member) {
            // Transactional producers know the error of the classic protocol only.
            Err(ErrorCode::StaleMemberEpoch) if check.transactional => Err(ErrorCode::IllegalGeneration),
            checked => checked,
        }
    }

    /// Whether who claims to be `member` may fetch offsets; who claims nothing may.
    pub(crate) fn check_fetch(&self, member: &MemberClaim) -> Result<(), ErrorCode> {
        if member.claims_nothing() { Ok(()) } else { self.check_epoch(member) }
    }

    fn check_epoch(&self, claim: &MemberClaim) -> Result<(), ErrorCode> {
        let member = self.members.get(&claim.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch == claim.generation { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }
}
