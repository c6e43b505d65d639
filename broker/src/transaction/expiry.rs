//! Expiry: a transactional id that has done nothing for long is forgotten. Its producer, if there is one still, hears
//! `INVALID_PRODUCER_ID_MAPPING` and has to initialise again.

use std::sync::Arc;

use super::Coordinator;

impl Coordinator {
    /// Notes that a transactional id has changed just now.
    pub(crate) fn touch(&mut self, transactional_id: &str, now: i64) {
        if let Some(transaction) = self.transactions.get_mut(transactional_id) {
            transaction.updated_at = Some(now);
        }
    }

    /// Transactional ids without a transaction that have not changed for so long. What is not known counts from now.
    pub(crate) fn idle_since(&mut self, now: i64, expiration_ms: i64) -> Vec<Arc<str>> {
        let mut idle = Vec::new();
        for (id, transaction) in &mut self.transactions {
            let updated_at = *transaction.updated_at.get_or_insert(now);
            if transaction.is_idle() && now.saturating_sub(updated_at) >= expiration_ms {
                idle.push(id.clone());
            }
        }
        idle
    }

    /// Forgets a transactional id.
    pub(crate) fn forget(&mut self, transactional_id: &Arc<str>) {
        self.put(transactional_id, None);
    }
}
