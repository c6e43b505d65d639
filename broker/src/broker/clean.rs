//! Cleaning: compaction and retention, by hand or by the clock.

use super::Broker;
use crate::api::TopicPartition;
use crate::error::ErrorCode;
use crate::log::{CompactionReport, Progress, RetentionRules};

/// What a compaction reads and writes at a time: some milliseconds.
const STEP_BYTES: usize = 4 << 20;

impl Broker {
    /// Compacts one partition, if its topic's `cleanup.policy` contains `compact`.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_CONFIG` when the topic is not compacted; `KAFKA_STORAGE_ERROR`.
    pub fn compact(&mut self, topic: &str, partition: i32, now: i64) -> Result<CompactionReport, ErrorCode> {
        self.advance(now);
        let (log, settings) = self.catalogue.log_mut(&TopicPartition::new(topic, partition))?;
        if !settings.compacted {
            return Err(ErrorCode::InvalidConfig);
        }
        let rules = settings.compaction_rules(true, self.now);
        let storage = self.storage.as_mut();
        log.begin_compaction(storage, rules)?;
        loop {
            if let Progress::Done(report) = log.step_compaction(storage, STEP_BYTES)? {
                self.figures.count_compaction(&report);
                return Ok(report);
            }
        }
    }

    /// Removes what is too old or too much by `retention.ms` and `retention.bytes` from one partition, if its
    /// topic's `cleanup.policy` contains `delete`. Returns where the log starts now.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `KAFKA_STORAGE_ERROR`.
    pub fn apply_retention(&mut self, topic: &str, partition: i32, now: i64) -> Result<i64, ErrorCode> {
        self.advance(now);
        let (log, settings) = self.catalogue.log_mut(&TopicPartition::new(topic, partition))?;
        if !settings.deleted {
            return Ok(log.start());
        }
        let rules = RetentionRules {
            max_age_ms: settings.retention_ms,
            max_bytes: settings.retention_bytes,
            now: self.now,
            by_newest: self.config.retention_by_newest,
        };
        let moved = log.retain(self.storage.as_mut(), &rules)?;
        let start = log.start();
        if moved {
            self.data_changed(Some(&TopicPartition::new(topic, partition)));
        }
        Ok(start)
    }

    /// Cleans all partitions when it is time for it.
    pub(super) fn clean_by_clock(&mut self) {
        if due(&mut self.next_compaction, self.config.compaction_interval_ms, self.now) {
            for at in self.all_partitions() {
                let Ok((log, settings)) = self.catalogue.log_mut(&at) else { continue };
                if settings.compacted && !log.is_compacting() {
                    let rules = settings.compaction_rules(false, self.now);
                    // A storage error comes up again the next time.
                    if log.begin_compaction(self.storage.as_mut(), rules).is_ok() && log.is_compacting() {
                        self.compacting.insert(at);
                    }
                }
            }
        }
        self.compact_a_little();
        if due(&mut self.next_retention, self.config.retention_interval_ms, self.now) {
            for at in self.all_partitions() {
                let _ = self.apply_retention(&at.topic, at.partition, self.now);
            }
        }
    }

    /// Goes on with one of the compactions under way.
    fn compact_a_little(&mut self) {
        let Some(at) = self.compacting.first().cloned() else { return };
        let stepped = self
            .catalogue
            .log_mut(&at)
            .and_then(|(log, _)| log.step_compaction(self.storage.as_mut(), STEP_BYTES));
        if let Ok(Progress::Done(report)) = &stepped {
            self.figures.count_compaction(report);
        }
        if stepped != Ok(Progress::More) {
            self.compacting.remove(&at);
        }
    }

    fn all_partitions(&self) -> Vec<TopicPartition> {
        let of_topic = |(name, topic): (&std::sync::Arc<str>, &crate::topic::Topic)| {
            let name = name.clone();
            (0..topic.partition_count()).map(move |partition| TopicPartition::new(name.clone(), partition))
        };
        self.catalogue.topics.iter().flat_map(of_topic).collect()
    }
}

/// Whether something that happens every `interval` is due; the first time is one interval after the first
/// look.
pub(super) fn due(next: &mut Option<i64>, interval: Option<i64>, now: i64) -> bool {
    let Some(interval) = interval else { return false };
    let is_due = next.is_some_and(|next| next <= now);
    if is_due || next.is_none() {
        *next = Some(now.saturating_add(interval));
    }
    is_due
}
