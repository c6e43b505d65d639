//! Committing: who may, and that it is a sign of life.

use super::{ClassicGroup, CommitCheck, Phase};
use crate::api::MemberClaim;
use crate::error::ErrorCode;

impl ClassicGroup {
    /// Whether who claims to be `member` may commit (KIP-447 for transactional commits).
    pub(crate) fn check_commit(&self, member: &MemberClaim, check: CommitCheck) -> Result<(), ErrorCode> {
        if member.generation < 0 && self.state == Phase::Empty || check.accept_stale_generation {
            return Ok(());
        }
        if !member.claims_nothing() {
            self.check_generation(member)?;
        } else if !check.transactional {
            // A transactional commit without a claim is let through, as in Kafka.
            return Err(ErrorCode::UnknownMemberId);
        }
        if !check.transactional && self.state == Phase::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit is a sign of life.
    pub(crate) fn committed_by(&mut self, member: &MemberClaim, now: i64) {
        self.refresh(&member.member_id, now);
    }
}
