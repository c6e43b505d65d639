//! Timers: what happens because time passes.

use super::Broker;

impl Broker {
    /// Does what is due: ends sessions and rebalances, aborts transactions that take too long, writes delayed
    /// markers, compacts, trims and forgets old offsets, producers and transactional ids when the configuration
    /// says so, and lets delayed requests and answers arrive.
    pub fn tick(&mut self, now: i64) {
        self.advance(now);
        if self.down {
            return;
        }
        self.with_all_groups(|groups, turn| {
            for group in groups.iter_mut() {
                group.tick(turn);
            }
        });
        if self.now >= self.stalled_until {
            for transactional_id in self.coordinator.timed_out(self.now) {
                // It was just listed, so it exists; what cannot be written is tried again.
                match self.fence_and_abort(&transactional_id) {
                    Ok(()) => self.figures.timed_out += 1,
                    Err(_) => self.stall(),
                }
            }
            self.write_due_markers();
        }
        self.clean_by_clock();
        self.expire_offsets_by_clock();
        self.expire_ids_by_clock();
        self.storage.upkeep(self.now);
    }

    /// When [`Broker::tick`] will have something to do; `None` when only a request can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let under_way = self.late.keys().next().map(|(due, _)| *due);
        if self.down {
            return under_way;
        }
        let groups = self.groups.iter().filter_map(crate::group::Group::next_deadline).min();
        let more_to_compact = (!self.compacting.is_empty()).then_some(self.now);
        let upkeep = self.storage.next_upkeep().map(|due| due.max(self.now));
        // Markers that a start owes are due at once.
        let transactions = self.coordinator.next_deadline();
        let transactions = transactions.map(|due| due.max(self.stalled_until).max(self.now));
        let cleaning = [self.next_compaction, self.next_retention, upkeep, more_to_compact];
        let expiry = [self.next_offset_expiry, self.next_producer_expiry, self.next_transactional_id_expiry];
        let deadlines = [under_way, groups, transactions].into_iter().chain(cleaning).chain(expiry);
        deadlines.into_iter().flatten().min()
    }
}
