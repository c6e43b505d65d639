//! Initialising a producer: it gets its id and epoch, and whoever had the transactional id before is fenced.

use std::sync::Arc;

use super::{Coordinator, Transaction, TransactionState};
use crate::api::{InitProducerIdRequest, ProducerStamp};
use crate::batch::NO_PRODUCER_EPOCH;
use crate::error::ErrorCode;

/// The last epoch that is handed out; the one above is left for fencing it.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// What [`Coordinator::init`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initialised {
    /// The producer may begin.
    Ready(ProducerStamp),
    /// The last producer is fenced; its transaction has to be aborted first.
    Aborting,
}

impl Coordinator {
    /// A producer id that nobody has had.
    pub(crate) fn new_producer_id(&mut self) -> i64 {
        let id = self.next_producer_id;
        self.next_producer_id += 1;
        id
    }

    /// Takes an InitProducerId with a transactional id.
    pub(crate) fn init(
        &mut self,
        transactional_id: &Arc<str>,
        request: &InitProducerIdRequest,
    ) -> Result<Initialised, ErrorCode> {
        if !self.transactions.contains_key(transactional_id) {
            let producer_id = self.new_producer_id();
            self.owners.insert(producer_id, transactional_id.clone());
            self.transactions.insert(transactional_id.clone(), Transaction::new(producer_id));
        }
        let transaction =
            self.transactions.get_mut(transactional_id).expect("it was created if it was missing");
        let repeated = check_current(transaction, request.current)?;
        if transaction.state.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if transaction.state == TransactionState::Ongoing {
            if repeated {
                // The bump was heard, for a transaction has begun since: this is a late copy of its request.
                return Err(ErrorCode::ProducerFenced);
            }
            fence(transaction);
            if request.current.is_some() {
                // The producer itself asks: it may come again with the epoch it knows.
                transaction.last_epoch = transaction.producer.epoch - 1;
            }
            return Ok(Initialised::Aborting);
        }
        transaction.timeout_ms = request.transaction_timeout_ms;
        if repeated {
            return Ok(Initialised::Ready(transaction.producer));
        }
        self.bump(transactional_id, request.current.is_some());
        Ok(Initialised::Ready(self.transactions[transactional_id].producer))
    }

    /// Gives the producer its next epoch, or a new id when the epochs are used up.
    pub(crate) fn bump(&mut self, transactional_id: &Arc<str>, asked_by_producer: bool) {
        let fresh_id = self.next_producer_id;
        let Some(transaction) = self.transactions.get_mut(transactional_id) else { return };
        let old = transaction.producer;
        if old.epoch < LAST_EPOCH {
            transaction.producer.epoch += 1;
            transaction.last_epoch = if asked_by_producer { old.epoch } else { NO_PRODUCER_EPOCH };
        } else {
            transaction.producer = ProducerStamp { id: fresh_id, epoch: 0 };
            transaction.last_epoch = NO_PRODUCER_EPOCH;
            self.next_producer_id += 1;
            self.owners.remove(&old.id);
            self.owners.insert(fresh_id, transactional_id.clone());
        }
    }

    /// Fences the current producer: its epoch is used up. Says whether it leaves an open transaction.
    pub(crate) fn fence(&mut self, transactional_id: &str) -> Result<bool, ErrorCode> {
        let transaction =
            self.transactions.get_mut(transactional_id).ok_or(ErrorCode::TransactionalIdNotFound)?;
        fence(transaction);
        Ok(transaction.state == TransactionState::Ongoing)
    }
}

/// The epoch rises before anything else happens, so that the abort's markers carry the new one.
fn fence(transaction: &mut Transaction) {
    transaction.producer.epoch = transaction.producer.epoch.saturating_add(1);
    transaction.last_epoch = NO_PRODUCER_EPOCH;
}

/// KIP-360: who says which producer it is has to be the current one. `true` when its last bump is asked for
/// again.
fn check_current(transaction: &Transaction, current: Option<ProducerStamp>) -> Result<bool, ErrorCode> {
    let Some(current) = current else { return Ok(false) };
    if transaction.producer.epoch == NO_PRODUCER_EPOCH {
        return Ok(false);
    }
    if current == transaction.producer {
        return Ok(false);
    }
    let before = ProducerStamp { id: transaction.producer.id, epoch: transaction.last_epoch };
    if current == before && current.epoch != NO_PRODUCER_EPOCH {
        Ok(true)
    } else {
        Err(ErrorCode::ProducerFenced)
    }
}
