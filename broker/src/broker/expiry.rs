//! Expiry of producers: whom nobody has heard of for long is forgotten, in the partitions that it wrote to and as the
//! owner of a transactional id.

use super::Broker;
use super::clean::due;
use crate::journal::Fact;

impl Broker {
    /// Forgets producers that have not written to a partition for `producer.id.expiration.ms`. What they send next
    /// there may begin with any sequence number.
    pub fn expire_producers(&mut self, now: i64) {
        self.advance(now);
        let (now, expiration_ms) = (self.now, self.config.producer_id_expiration_ms);
        for topic in self.catalogue.topics.values_mut() {
            topic.partitions.iter_mut().for_each(|log| log.expire_producers(now, expiration_ms));
        }
    }

    /// Forgets transactional ids that have no transaction open and have done nothing for
    /// `transactional.id.expiration.ms`.
    pub fn expire_transactional_ids(&mut self, now: i64) {
        self.advance(now);
        for id in self.coordinator.idle_since(self.now, self.config.transactional_id_expiration_ms) {
            // What cannot be written is tried again the next time.
            if self.note(&Fact::TransactionForgotten(id.clone())).is_ok() {
                self.coordinator.forget(&id);
            }
        }
    }

    /// Both, when it is time for it.
    pub(super) fn expire_ids_by_clock(&mut self) {
        let producers = self.config.producer_id_expiration_check_interval_ms;
        if due(&mut self.next_producer_expiry, producers, self.now) {
            self.expire_producers(self.now);
        }
        let transactional_ids = self.config.transactional_id_expiration_check_interval_ms;
        if due(&mut self.next_transactional_id_expiry, transactional_ids, self.now) {
            self.expire_transactional_ids(self.now);
        }
    }
}
