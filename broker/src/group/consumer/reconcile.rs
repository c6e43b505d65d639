//! Reconciling: a member goes towards the target, by giving up first and taking then what nobody holds.

use std::sync::Arc;

use super::{ConsumerGroup, Partitions, Place, Step};

impl ConsumerGroup {
    /// Takes the member as far as it can go now. `owned` is what it says that it holds, if it says so.
    pub(super) fn reconcile(&mut self, member_id: &Arc<str>, owned: Option<&Partitions>, now: i64) {
        let member = &self.members[member_id];
        if member.is_reconciled(self.assignment_epoch) {
            return;
        }
        // Who does not say what it holds may hold all of it.
        let holds_any = |of: &Partitions| owned.is_none_or(|owned| !owned.is_disjoint(of));
        let mut epoch = member.epoch;
        if member.step == Step::Unrevoked {
            if !member.revoking.is_empty() && holds_any(&member.revoking) {
                return;
            }
            epoch += 1;
        }
        let nothing = Partitions::new();
        let target = self.target.get(member_id).unwrap_or(&nothing);
        let mut assigned: Partitions = member.assigned.intersection(target).copied().collect();
        let revoking: Partitions = member.assigned.difference(target).copied().collect();
        let mut free: Partitions = target.difference(&assigned).copied().collect();
        let missing = free.len();
        free.retain(|at| !self.is_held_by_another(at, member_id));
        let rebalance_timeout_ms = member.rebalance_timeout_ms;

        let (step, epoch, revoking) = if !revoking.is_empty() && holds_any(&revoking) {
            (Step::Unrevoked, epoch, revoking)
        } else {
            let step = if free.len() < missing { Step::Unreleased } else { Step::Stable };
            assigned.append(&mut free);
            (step, self.assignment_epoch, Partitions::new())
        };
        let member = self.members.get_mut(member_id).expect("it was found above");
        member.previous_epoch = member.epoch;
        member.epoch = epoch;
        member.step = step;
        member.assigned = assigned;
        member.revoking = revoking;
        member.revoked_by = (step == Step::Unrevoked).then(|| now.saturating_add(rebalance_timeout_ms));
    }

    fn is_held_by_another(&self, at: &Place, member_id: &str) -> bool {
        let others = self.members.iter().filter(|(id, _)| ***id != *member_id);
        others.into_iter().any(|(_, other)| other.assigned.contains(at) || other.revoking.contains(at))
    }
}
