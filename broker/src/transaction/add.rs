//! Adding to a transaction: partitions and groups are registered before anything is written to them.

use std::sync::Arc;

use super::{Coordinator, Transaction, TransactionState};
use crate::api::{ProducerStamp, TopicPartition};
use crate::error::ErrorCode;

impl Coordinator {
    /// Registers partitions; the first registration begins the transaction.
    pub(crate) fn add_partitions(
        &mut self,
        transactional_id: &str,
        producer: ProducerStamp,
        partitions: &[TopicPartition],
        now: i64,
    ) -> Result<(), ErrorCode> {
        let transaction = self.owned(transactional_id, producer)?;
        begin(transaction, now)?;
        transaction.partitions.extend(partitions.iter().cloned());
        Ok(())
    }

    /// Registers a group; the first registration begins the transaction.
    pub(crate) fn add_group(
        &mut self,
        transactional_id: &str,
        producer: ProducerStamp,
        group: &Arc<str>,
        now: i64,
    ) -> Result<(), ErrorCode> {
        let transaction = self.owned(transactional_id, producer)?;
        begin(transaction, now)?;
        transaction.groups.insert(group.clone());
        Ok(())
    }
}

fn begin(transaction: &mut Transaction, now: i64) -> Result<(), ErrorCode> {
    if transaction.state.is_ending() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    if transaction.state != TransactionState::Ongoing {
        transaction.state = TransactionState::Ongoing;
        transaction.started_at = now;
    }
    Ok(())
}
