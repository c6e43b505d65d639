//! Ending a transaction: the decision, the markers it owes, and the time-out that decides for a silent
//! producer.

use std::sync::Arc;

use super::{Coordinator, PendingMarker, TransactionState, outcome};
use crate::api::{ProducerStamp, TopicPartition};
use crate::batch::{Marker, MarkerKind};
use crate::error::ErrorCode;
use crate::faults::MarkerDelay;

/// Where a marker goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MarkerTarget {
    /// The group's offsets (Kafka: its partition of `__consumer_offsets`).
    Group(Arc<str>),
    Partition(TopicPartition),
}

/// A marker to write now.
#[derive(Clone, Debug)]
pub(crate) struct DueMarker {
    pub(crate) transactional_id: Arc<str>,
    pub(crate) marker: Marker,
    pub(crate) target: MarkerTarget,
}

/// When an ending's markers are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MarkerSchedule {
    pub(crate) now: i64,
    pub(crate) delay: MarkerDelay,
}

impl Coordinator {
    /// Takes an EndTxn. It may be repeated; a decision cannot be changed.
    pub(crate) fn end(
        &mut self,
        transactional_id: &Arc<str>,
        producer: ProducerStamp,
        kind: MarkerKind,
        schedule: MarkerSchedule,
    ) -> Result<(), ErrorCode> {
        let (preparing, complete) = outcome(kind);
        let state = self.owned(transactional_id, producer)?.state;
        match state {
            TransactionState::Ongoing => {
                self.decide(transactional_id, kind, schedule);
                Ok(())
            }
            state if state == complete => Ok(()),
            state if state == preparing => Err(ErrorCode::ConcurrentTransactions),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Makes the decision and schedules the markers: groups first, then partitions.
    pub(crate) fn decide(&mut self, transactional_id: &Arc<str>, kind: MarkerKind, schedule: MarkerSchedule) {
        let Some(transaction) = self.transactions.get_mut(transactional_id) else { return };
        let MarkerSchedule { now, delay } = schedule;
        transaction.state = outcome(kind).0;
        let offsets_due = now.saturating_add(delay.offsets_ms);
        for group in &transaction.groups {
            let target = MarkerTarget::Group(group.clone());
            transaction.markers.push(PendingMarker { due: offsets_due, target });
        }
        let mut due = now.saturating_add(delay.data_ms);
        for at in &transaction.partitions {
            transaction.markers.push(PendingMarker { due, target: MarkerTarget::Partition(at.clone()) });
            due = due.saturating_add(delay.step_ms);
        }
        self.ending.insert(transactional_id.clone());
        self.complete_if_written(transactional_id);
    }

    /// Markers to write by now.
    pub(crate) fn due_markers(&self, now: i64) -> Vec<DueMarker> {
        let mut due = Vec::new();
        for id in &self.ending {
            let transaction = &self.transactions[id];
            let commits = transaction.state == TransactionState::PrepareCommit;
            let marker = Marker {
                kind: if commits { MarkerKind::Commit } else { MarkerKind::Abort },
                producer_id: transaction.producer.id,
                producer_epoch: transaction.producer.epoch,
                coordinator_epoch: 0,
                timestamp: now,
            };
            for pending in transaction.markers.iter().filter(|pending| pending.due <= now) {
                due.push(DueMarker { transactional_id: id.clone(), marker, target: pending.target.clone() });
            }
        }
        due
    }

    /// Notes that a marker is in its log.
    pub(crate) fn marker_written(&mut self, written: &DueMarker) {
        if let Some(transaction) = self.transactions.get_mut(&written.transactional_id) {
            transaction.markers.retain(|pending| pending.target != written.target);
        }
        self.complete_if_written(&written.transactional_id);
    }

    pub(super) fn complete_if_written(&mut self, transactional_id: &Arc<str>) {
        let Some(transaction) = self.transactions.get_mut(transactional_id) else { return };
        if transaction.state.is_ending() && transaction.markers.is_empty() {
            let commits = transaction.state == TransactionState::PrepareCommit;
            transaction.state =
                if commits { TransactionState::CompleteCommit } else { TransactionState::CompleteAbort };
            transaction.partitions.clear();
            transaction.groups.clear();
            self.ending.remove(transactional_id);
        }
    }

    /// Open transactions whose time is up.
    pub(crate) fn timed_out(&self, now: i64) -> Vec<Arc<str>> {
        let is_late = |transaction: &&super::Transaction| {
            transaction.state == TransactionState::Ongoing && transaction.deadline() <= now
        };
        self.transactions.iter().filter(|(_, t)| is_late(t)).map(|(id, _)| id.clone()).collect()
    }

    /// When a marker or a time-out is due next.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        let ongoing = self.transactions.values().filter(|t| t.state == TransactionState::Ongoing);
        let markers = self.ending.iter().flat_map(|id| &self.transactions[id].markers);
        ongoing.map(super::Transaction::deadline).chain(markers.map(|pending| pending.due)).min()
    }
}
