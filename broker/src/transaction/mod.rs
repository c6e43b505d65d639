//! A transaction, as its coordinator sees it: a transactional id, its producer, and what the producer
//! touched.
//!
//! ```text
//! Empty --add--> Ongoing --end--> PrepareCommit --all markers written--> CompleteCommit --add--> Ongoing
//!                   |
//!                   +--end, time-out or fencing--> PrepareAbort --all markers--> CompleteAbort --add--> Ongoing
//! ```
//! 1. The decision is made when the state becomes `Prepare...`; from then on it cannot change, crash or not.
//! 2. A fencing (another producer with the same transactional id, a time-out) first bumps the epoch and then
//!    aborts: the markers carry the new epoch, so that the partitions refuse the fenced producer's late
//!    batches.
//! 3. Groups get their marker before data partitions. With [`crate::faults::MarkerDelay`] one can see offsets
//!    that are committed while the last stable offset of a changelog still lags.

mod add;
mod durable;
mod end;
mod expiry;
mod init;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::{ProducerStamp, TopicPartition};
use crate::batch::{MarkerKind, NO_PRODUCER_EPOCH};
use crate::error::ErrorCode;

pub(crate) use durable::TransactionFact;
pub(crate) use end::{DueMarker, MarkerSchedule, MarkerTarget};
pub(crate) use init::Initialised;

/// What a transactional id is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// Its producer has not begun a transaction yet.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// Decided: commit. Markers are on their way.
    PrepareCommit,
    /// Decided: abort. Markers are on their way.
    PrepareAbort,
    /// The last transaction was committed.
    CompleteCommit,
    /// The last transaction was aborted.
    CompleteAbort,
}

impl TransactionState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A marker that has yet to be written, and when.
#[derive(Clone, Debug)]
struct PendingMarker {
    due: i64,
    target: MarkerTarget,
}

/// A transactional id with its current or last transaction.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    producer: ProducerStamp,
    /// The epoch before a bump that the producer itself asked for (KIP-360), so that it may ask twice.
    last_epoch: i16,
    timeout_ms: i64,
    state: TransactionState,
    started_at: i64,
    /// When it changed last; unknown of one that an old journal has.
    updated_at: Option<i64>,
    partitions: BTreeSet<TopicPartition>,
    groups: BTreeSet<Arc<str>>,
    markers: Vec<PendingMarker>,
}

impl Transaction {
    fn new(producer_id: i64) -> Self {
        Self {
            producer: ProducerStamp { id: producer_id, epoch: NO_PRODUCER_EPOCH },
            last_epoch: NO_PRODUCER_EPOCH,
            timeout_ms: 0,
            state: TransactionState::Empty,
            started_at: 0,
            updated_at: None,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            markers: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> TransactionState {
        self.state
    }

    pub(crate) fn producer(&self) -> ProducerStamp {
        self.producer
    }

    pub(crate) fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    pub(crate) fn groups(&self) -> &BTreeSet<Arc<str>> {
        &self.groups
    }

    pub(crate) fn timeout_ms(&self) -> i64 {
        self.timeout_ms
    }

    /// When the transaction began that is open or being ended.
    pub(crate) fn started_at(&self) -> Option<i64> {
        (!self.is_idle()).then_some(self.started_at)
    }

    /// Whether nothing is open or being ended.
    fn is_idle(&self) -> bool {
        self.state != TransactionState::Ongoing && !self.state.is_ending()
    }

    fn deadline(&self) -> i64 {
        self.started_at.saturating_add(self.timeout_ms)
    }
}

/// All transactional ids, and the producer ids given out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coordinator {
    transactions: BTreeMap<Arc<str>, Transaction>,
    /// Transactional id, by current producer id.
    owners: BTreeMap<i64, Arc<str>>,
    /// Transactional ids with markers to write.
    ending: BTreeSet<Arc<str>>,
    next_producer_id: i64,
}

impl Coordinator {
    pub(crate) fn get(&self, transactional_id: &str) -> Option<&Transaction> {
        self.transactions.get(transactional_id)
    }

    /// The states of all transactional ids.
    pub(crate) fn states(&self) -> impl Iterator<Item = TransactionState> {
        self.transactions.values().map(Transaction::state)
    }

    pub(crate) fn ids(&self) -> Vec<Arc<str>> {
        self.transactions.keys().cloned().collect()
    }

    /// The transaction, if this is its current producer.
    fn owned(
        &mut self,
        transactional_id: &str,
        producer: ProducerStamp,
    ) -> Result<&mut Transaction, ErrorCode> {
        let transaction =
            self.transactions.get_mut(transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        check_producer(transaction, producer)?;
        Ok(transaction)
    }

    /// Whether a producer may write to a partition as part of its ongoing transaction.
    pub(crate) fn verify_partition(
        &self,
        producer: ProducerStamp,
        at: &TopicPartition,
    ) -> Result<(), ErrorCode> {
        let owner = self.owners.get(&producer.id).and_then(|id| self.transactions.get(id));
        verify(owner, producer, |transaction| transaction.partitions.contains(at))
    }

    /// Whether a producer may commit a group's offsets as part of its ongoing transaction.
    pub(crate) fn verify_group(
        &self,
        transactional_id: &str,
        producer: ProducerStamp,
        group: &str,
    ) -> Result<(), ErrorCode> {
        let owner = self.transactions.get(transactional_id);
        verify(owner, producer, |transaction| transaction.groups.contains(group))
    }
}

fn check_producer(transaction: &Transaction, producer: ProducerStamp) -> Result<(), ErrorCode> {
    if transaction.producer.id != producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if transaction.producer.epoch != producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    Ok(())
}

/// Partition verification (KIP-890): what is not registered in the ongoing transaction may not be written, or
/// it would stay open for ever. Data requests know a fenced producer as `INVALID_PRODUCER_EPOCH`.
fn verify(
    owner: Option<&Transaction>,
    producer: ProducerStamp,
    registered: impl Fn(&Transaction) -> bool,
) -> Result<(), ErrorCode> {
    let transaction = owner.ok_or(ErrorCode::InvalidProducerIdMapping)?;
    check_producer(transaction, producer).map_err(|error| match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        other => other,
    })?;
    if transaction.state.is_ending() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    if registered(transaction) { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
}

fn outcome(kind: MarkerKind) -> (TransactionState, TransactionState) {
    match kind {
        MarkerKind::Commit => (TransactionState::PrepareCommit, TransactionState::CompleteCommit),
        MarkerKind::Abort => (TransactionState::PrepareAbort, TransactionState::CompleteAbort),
    }
}
