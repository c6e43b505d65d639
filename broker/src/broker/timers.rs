//! Timers: what happens because time passes.

use super::Broker;

impl Broker {
    /// Does what is due: ends sessions and rebalances, aborts transactions that take too long, writes delayed
    /// markers, compacts and trims when the configuration says so, and lets delayed requests and answers
    /// arrive.
    pub fn tick(&mut self, now: i64) {
        self.advance(now);
        if self.down {
            return;
        }
        self.with_groups(|groups, turn| {
            for group in groups.iter_mut() {
                group.tick(turn);
            }
        });
        for transactional_id in self.coordinator.timed_out(self.now) {
            // It was just listed, so it exists.
            let _ = self.fence_and_abort(&transactional_id);
        }
        self.write_due_markers();
        self.clean_by_clock();
    }

    /// When [`Broker::tick`] will have something to do; `None` when only a request can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let under_way = self.late.keys().next().map(|(due, _)| *due);
        if self.down {
            return under_way;
        }
        let groups = self.groups.iter().filter_map(crate::group::Group::next_deadline).min();
        let deadlines =
            [under_way, groups, self.coordinator.next_deadline(), self.next_compaction, self.next_retention];
        deadlines.into_iter().flatten().min()
    }
}
