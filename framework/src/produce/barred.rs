//! Barred: records that a broker has refused. Their transaction was aborted and their input is read again; when the same
//! record comes again it is not sent, and its handler is asked, who now knows its input.
//!
//! 1. A record is known by topic, key and value; by its timestamp only where that was at fault, since one that is taken
//!    from the wall clock differs from time to time.
//! 2. A record that was met is forgotten with the next commit: then its input is done with.
//! 3. A topic that may not be written is barred for [`TOPIC_MS`], then it is tried again.

use crate::error::{Error, Reaction};
use crate::kafka::Refusal;
use crate::operator::OutRecord;

/// More would only cost memory: a record that is forgotten too early is refused again.
const MOST: usize = 64;
/// A permission that is granted is noticed after so long; meanwhile nothing is aborted for want of it.
const TOPIC_MS: i64 = 30_000;

struct Entry {
    refusal: Refusal,
    met: bool,
    since_ms: i64,
}

/// Records that a broker has refused.
#[derive(Default)]
pub(super) struct Barred {
    entries: Vec<Entry>,
}

impl Barred {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn add(&mut self, refusal: Refusal, now_ms: i64) {
        if self.entries.len() == MOST {
            self.entries.remove(0);
        }
        self.entries.push(Entry { refusal, met: false, since_ms: now_ms });
    }

    /// The last commit carried what was met; or none did, and it comes again.
    pub(super) fn settled(&mut self, committed: bool, now_ms: i64) {
        if committed {
            self.entries.retain(|entry| {
                !entry.met
                    || (entry.refusal.record.is_none() && now_ms.saturating_sub(entry.since_ms) < TOPIC_MS)
            });
        }
        self.entries.iter_mut().for_each(|entry| entry.met = false);
    }

    /// Why this record must not be sent.
    pub(super) fn objection(&mut self, topic: &str, record: &OutRecord<'_>) -> Option<Error> {
        let same = |entry: &&mut Entry| {
            entry.refusal.partition.topic.as_ref() == topic && is_same(&entry.refusal, record)
        };
        let entry = self.entries.iter_mut().find(same)?;
        entry.met = true;
        let Refusal { partition, code, record } = &entry.refusal;
        let message = match record {
            Some(_) => format!("the broker does not take the record for {partition} ({code})"),
            None => format!("topic `{topic}` may not be written ({code})"),
        };
        Some(Error::new(Reaction::Skip, message))
    }
}

/// A client may write 1 for 0.
fn is_same_time(refused: i64, timestamp: i64) -> bool {
    refused == timestamp || (refused, timestamp) == (1, 0)
}

fn is_same(refusal: &Refusal, record: &OutRecord<'_>) -> bool {
    refusal.record.as_ref().is_none_or(|refused| {
        refused.key.as_deref() == record.key
            && refused.value.as_deref() == record.value
            && (refusal.code != "INVALID_TIMESTAMP" || is_same_time(refused.timestamp, record.timestamp))
    })
}
