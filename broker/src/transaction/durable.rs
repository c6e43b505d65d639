//! What of the coordinator outlives the broker, and how a change that could not be written is undone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::end::MarkerTarget;
use super::{Coordinator, PendingMarker, Transaction, TransactionState};
use crate::api::{ProducerStamp, TopicPartition};

/// A transactional id as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionFact {
    pub(crate) id: Arc<str>,
    pub(crate) producer: ProducerStamp,
    pub(crate) last_epoch: i16,
    pub(crate) timeout_ms: i64,
    pub(crate) state: TransactionState,
    pub(crate) started_at: i64,
    pub(crate) updated_at: Option<i64>,
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) groups: Vec<Arc<str>>,
}

/// A transactional id before a change.
pub(crate) struct Before {
    transaction: Option<Transaction>,
    next_producer_id: i64,
}

impl Coordinator {
    pub(crate) fn fact(&self, id: &str) -> Option<TransactionFact> {
        let (id, transaction) = self.transactions.get_key_value(id)?;
        Some(TransactionFact {
            id: id.clone(),
            producer: transaction.producer,
            last_epoch: transaction.last_epoch,
            timeout_ms: transaction.timeout_ms,
            state: transaction.state,
            started_at: transaction.started_at,
            updated_at: transaction.updated_at,
            partitions: transaction.partitions.iter().cloned().collect(),
            groups: transaction.groups.iter().cloned().collect(),
        })
    }

    /// Takes a transactional id from the journal. One that was decided owes all its markers again.
    pub(crate) fn restore(&mut self, fact: TransactionFact) {
        let mut markers = Vec::new();
        if fact.state.is_ending() {
            let groups = fact.groups.iter().cloned().map(MarkerTarget::Group);
            let targets = groups.chain(fact.partitions.iter().cloned().map(MarkerTarget::Partition));
            markers.extend(targets.map(|target| PendingMarker { due: i64::MIN, target }));
        }
        let transaction = Transaction {
            producer: fact.producer,
            last_epoch: fact.last_epoch,
            timeout_ms: fact.timeout_ms,
            state: fact.state,
            started_at: fact.started_at,
            updated_at: fact.updated_at,
            partitions: fact.partitions.into_iter().collect(),
            groups: fact.groups.into_iter().collect::<BTreeSet<Arc<str>>>(),
            markers,
        };
        self.put(&fact.id, Some(transaction));
        self.complete_if_written(&fact.id);
    }

    /// What [`Coordinator::undo`] needs.
    pub(crate) fn before(&self, id: &str) -> Before {
        let transaction = self.transactions.get(id).cloned();
        Before { transaction, next_producer_id: self.next_producer_id }
    }

    /// Makes a transactional id what it was before a change.
    pub(crate) fn undo(&mut self, id: &Arc<str>, before: Before) {
        self.put(id, before.transaction);
        self.next_producer_id = before.next_producer_id;
    }

    pub(super) fn put(&mut self, id: &Arc<str>, transaction: Option<Transaction>) {
        if let Some(old) = self.transactions.remove(id) {
            self.owners.remove(&old.producer.id);
            self.ending.remove(id);
        }
        let Some(transaction) = transaction else { return };
        self.owners.insert(transaction.producer.id, id.clone());
        if transaction.state.is_ending() {
            self.ending.insert(id.clone());
        }
        self.transactions.insert(id.clone(), transaction);
    }

    /// The producer id that is given out next.
    pub(crate) fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Gives out no producer id below this one any more.
    pub(crate) fn skip_producer_ids(&mut self, next: i64) {
        self.next_producer_id = self.next_producer_id.max(next);
    }
}
