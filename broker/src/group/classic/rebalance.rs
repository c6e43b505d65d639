//! Rebalancing: all members join, the broker picks protocol and leader, a new generation starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::join::refused;
use super::sync::unassigned;
use super::{ClassicGroup, Phase, Turn, Waiting};
use crate::error::ErrorCode;

impl ClassicGroup {
    /// Asks everybody to join again.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("its id was just read");
            if let Waiting::Sync(ticket) = member.waiting {
                member.waiting = Waiting::Nothing;
                member.refresh(turn.now);
                turn.answer(ticket, unassigned(ErrorCode::RebalanceInProgress));
            }
        }
        let was_empty = self.state == Phase::Empty;
        self.state = Phase::PreparingRebalance;
        self.unsynced.clear();
        self.deadline = Some(turn.now.saturating_add(self.longest_rebalance_ms()));
        self.not_before = None;
        if was_empty && turn.rules.initial_rebalance_delay_ms > 0 {
            self.not_before = Some(turn.now);
            self.extend_initial_delay(turn);
        }
        self.complete_join_if_all_joined(turn);
    }

    /// The first rebalance waits a while for more members; each new one prolongs it, up to the deadline.
    pub(super) fn extend_initial_delay(&mut self, turn: &Turn<'_>) {
        if let (Some(not_before), Some(deadline)) = (&mut self.not_before, self.deadline) {
            *not_before = turn.now.saturating_add(turn.rules.initial_rebalance_delay_ms).min(deadline);
        }
    }

    pub(super) fn longest_rebalance_ms(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    pub(super) fn complete_join_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        let all_joined = self.promised.is_empty() && self.members.values().all(super::Member::is_joining);
        let late_enough = self.not_before.is_none_or(|time| turn.now >= time);
        if self.state == Phase::PreparingRebalance && all_joined && late_enough {
            self.complete_join(turn);
        }
    }

    /// Ends the phase of joining: who has not joined is out, unless it is static.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.not_before = None;
        self.members.retain(|_, member| member.is_joining() || member.instance_id.is_some());
        if !self.members.is_empty() && !self.members.values().any(super::Member::is_joining) {
            // Only static members are left, and all are away: wait for them, or for their sessions to end.
            self.deadline = Some(turn.now.saturating_add(self.longest_rebalance_ms()));
            return;
        }
        self.generation += 1;
        self.revision += 1;
        if self.members.is_empty() {
            self.become_empty();
            return;
        }
        let leads = |id: &Arc<str>| self.members.get(id).is_some_and(super::Member::is_joining);
        if !self.leader.as_ref().is_some_and(leads) {
            let mut joined = self.members.iter().filter(|(_, member)| member.is_joining());
            self.leader = joined.next().map(|(id, _)| id.clone());
        }
        self.protocol_name = self.choose_protocol();
        self.state = Phase::CompletingRebalance;
        self.deadline = Some(turn.now.saturating_add(self.longest_rebalance_ms()));
        self.unsynced = self.members.keys().cloned().collect();
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.current_answer(&id);
            let member = self.members.get_mut(&id).expect("its id was just read");
            member.assignment.clear();
            if let Waiting::Join(ticket) = member.waiting {
                member.waiting = Waiting::Nothing;
                member.refresh(turn.now);
                turn.answer(ticket, answer);
            }
        }
    }

    pub(super) fn become_empty(&mut self) {
        self.state = Phase::Empty;
        self.protocol_name = Arc::from("");
        self.leader = None;
        self.deadline = None;
        self.not_before = None;
        self.unsynced.clear();
        self.instances.clear();
    }

    /// The protocol that all support and most like best; of equals the first by name.
    pub(super) fn choose_protocol(&self) -> Arc<str> {
        let names = |member: &super::Member| -> BTreeSet<Arc<str>> {
            member.protocols.iter().map(|known| known.name.clone()).collect()
        };
        let sets = self.members.values().map(names);
        let supported_by_all = sets.reduce(|shared, names| &shared & &names).unwrap_or_default();
        let mut votes: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(best) = member.protocols.iter().find(|known| supported_by_all.contains(&known.name)) {
                *votes.entry(best.name.clone()).or_default() += 1;
            }
        }
        let most = votes.values().copied().max().unwrap_or(0);
        let winner = votes.into_iter().find(|(_, count)| *count == most);
        winner.map(|(name, _)| name).unwrap_or_else(|| Arc::from(""))
    }

    /// Takes a member out and rebalances over the rest.
    pub(super) fn remove_member(&mut self, member_id: &Arc<str>, turn: &mut Turn<'_>) {
        let Some(member) = self.members.remove(member_id) else { return };
        self.answer_waiting(member_id, member.waiting, ErrorCode::UnknownMemberId, turn);
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance) == Some(member_id)
        {
            self.instances.remove(instance);
        }
        self.unsynced.remove(member_id);
        if self.leader.as_ref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        match self.state {
            Phase::Stable | Phase::CompletingRebalance => self.prepare_rebalance(turn),
            Phase::PreparingRebalance => self.complete_join_if_all_joined(turn),
            Phase::Empty => {}
        }
    }

    pub(super) fn answer_waiting(
        &self,
        member_id: &Arc<str>,
        waiting: Waiting,
        error: ErrorCode,
        turn: &mut Turn<'_>,
    ) {
        match waiting {
            Waiting::Nothing => {}
            Waiting::Join(ticket) => turn.answer(ticket, refused(error, member_id)),
            Waiting::Sync(ticket) => turn.answer(ticket, unassigned(error)),
        }
    }
}
