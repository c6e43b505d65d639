//! What is expected: everything that was sent, and what was answered.
//!
//! Workers note what they send before they send it, and what they hear after they have heard it. What was
//! sent and not answered may have happened or not; a check after a restart finds out, and from then on it is
//! known.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use headwater_broker::batch::{Batch, Record};

use crate::client::{Step, wrong};

/// The topic whose keys' old values may go.
pub const COMPACTED: &str = "compacted";

/// Topic and partition.
pub type At = (String, i32);
/// Producer id and epoch.
pub type Stamp = (i64, i16);

/// What can become of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Open,
    Committed,
    Aborted,
}

impl Outcome {
    pub fn of(commit: bool) -> Self {
        if commit { Self::Committed } else { Self::Aborted }
    }
}

/// A batch that was sent.
pub struct Sent {
    pub bytes: Bytes,
    /// Where it is, once that was answered or seen.
    pub at: Option<i64>,
    pub txn: Option<u64>,
}

/// One partition.
#[derive(Default)]
pub struct Log {
    pub sent: Vec<Sent>,
    /// By all that the broker may not change.
    pub by_content: HashMap<Bytes, usize>,
    /// Which batch, and which of its records. Only where the topic is compacted.
    pub by_identity: HashMap<Vec<u8>, (usize, i64)>,
    /// Where it starts at least and at most.
    pub start: (i64, i64),
}

/// What placement of a batch does not touch.
pub fn content(batch: &Bytes) -> Bytes {
    batch.slice(16..)
}

/// What no other record has.
pub fn identity(record: &Record<'_>) -> Vec<u8> {
    let ended = || format!("{} ends at {}", String::from_utf8_lossy(record.key.unwrap()), record.timestamp);
    record.value.map_or_else(|| ended().into_bytes(), <[u8]>::to_vec)
}

/// A group whose offsets are committed by transactions of one producer.
pub struct TxnGroup {
    /// What the last committed transaction said.
    pub base: i64,
    pub txn: u64,
    /// What the current transaction says, and whether that was answered.
    pub offset: Option<(i64, bool)>,
}

/// Counts for the last line.
#[derive(Default)]
pub struct Tally {
    pub records: u64,
    pub committed: u64,
    pub aborted: u64,
    pub undecided: u64,
}

#[derive(Default)]
pub struct Model {
    pub logs: BTreeMap<At, Log>,
    /// What may have become of each transaction.
    pub txns: BTreeMap<u64, BTreeSet<Outcome>>,
    pub txn_groups: BTreeMap<String, TxnGroup>,
    /// Offsets: answered, and sent.
    pub groups: BTreeMap<String, (i64, i64)>,
    /// Topics: whether one may be there, and may be missing.
    pub topics: BTreeMap<String, (bool, bool)>,
    pub tally: Tally,
}

/// The model, as all workers share it.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Model>>);

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Model {
    pub fn log(&mut self, at: &At) -> &mut Log {
        self.logs.entry(at.clone()).or_default()
    }

    /// A batch is going to be sent; its number.
    pub fn send(&mut self, at: &At, bytes: &Bytes, txn: Option<u64>) -> usize {
        let log = self.log(at);
        let number = log.sent.len();
        log.sent.push(Sent { bytes: bytes.clone(), at: None, txn });
        log.by_content.insert(content(bytes), number);
        if at.0 == COMPACTED {
            let batch = Batch::parse(bytes).unwrap();
            for (record, delta) in batch.records().zip(0..) {
                log.by_identity.insert(identity(&record.unwrap()), (number, delta));
            }
        }
        number
    }

    /// The broker says where a batch is.
    pub fn placed(&mut self, at: &At, number: usize, offset: i64) -> Step<()> {
        let sent = &mut self.log(at).sent[number];
        if let Some(known) = sent.at {
            let same = known == offset;
            return if same {
                Ok(())
            } else {
                wrong(format!("batch {number} of {at:?} was at {known}, is at {offset}"))
            };
        }
        sent.at = Some(offset);
        let records = Batch::parse(&sent.bytes).unwrap().header().records_count;
        self.tally.records += u64::try_from(records).unwrap();
        Ok(())
    }

    /// A transaction begins; the one before it has ended.
    pub fn begin(&mut self, group: &str) -> u64 {
        let txn = u64::try_from(self.txns.len()).unwrap();
        self.txns.insert(txn, BTreeSet::from([Outcome::Open]));
        let known = TxnGroup { base: -1, txn, offset: None };
        let group = self.txn_groups.entry(group.to_owned()).or_insert(known);
        if let Some((offset, _)) = group.offset
            && self.txns[&group.txn] == BTreeSet::from([Outcome::Committed])
        {
            group.base = offset;
        }
        (group.txn, group.offset) = (txn, None);
        txn
    }

    /// An outcome is asked for.
    pub fn ask(&mut self, txn: u64, outcome: Outcome) {
        let allowed = self.txns.get_mut(&txn).unwrap();
        if allowed.contains(&Outcome::Open) {
            allowed.insert(outcome);
        }
    }

    /// The end of a transaction is answered.
    pub fn ended(&mut self, txn: u64) {
        let allowed = self.txns.get_mut(&txn).unwrap();
        allowed.remove(&Outcome::Open);
        match allowed.first() {
            Some(Outcome::Committed) => self.tally.committed += 1,
            _ => self.tally.aborted += 1,
        }
    }
}
