//! Inspection: what is inside, for tests and tools. Nothing here changes anything or is befallen by faults.

use std::sync::Arc;

use bytes::Bytes;

use super::Broker;
use crate::api::{
    CommittedOffset, DescribedConsumerGroup, DescribedGroup, Isolation, ProducerStamp, TopicId,
    TopicPartition,
};
use crate::batch::{Batch, CommittedFilter, Compression, Marker, MarkerKind, Record};
use crate::error::ErrorCode;
use crate::log::ProducerView;
use crate::transaction::TransactionState;

/// The offsets of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// The topic's id.
    pub topic_id: TopicId,
    /// Where the log starts.
    pub log_start_offset: i64,
    /// Where it ends for `read_committed`.
    pub last_stable_offset: i64,
    /// Where it ends.
    pub high_watermark: i64,
    /// Epoch of its leader.
    pub leader_epoch: i32,
    /// Bytes of all batches.
    pub size: u64,
    /// Producers with an open transaction, and where it starts.
    pub open_transactions: Vec<(i64, i64)>,
}

/// What a record in a log is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// It counts: its transaction was committed, or it never had one.
    Committed,
    /// Its transaction was aborted.
    Aborted,
    /// It lies at or beyond the last stable offset: `read_committed` does not see it yet.
    Unstable,
    /// It is a marker.
    Marker(MarkerKind),
}

/// A record with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its place in the partition.
    pub offset: i64,
    /// Its time.
    pub timestamp: i64,
    /// Its key, or `None` for null.
    pub key: Option<Bytes>,
    /// Its value, or `None` for null.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Who wrote it, if the producer was idempotent.
    pub producer: Option<ProducerStamp>,
    /// What it is worth.
    pub state: RecordState,
}

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionView {
    /// What it is doing.
    pub state: TransactionState,
    /// Its current producer.
    pub producer: ProducerStamp,
    /// Partitions of the transaction that is open or being ended.
    pub partitions: Vec<TopicPartition>,
    /// Groups of it.
    pub groups: Vec<Arc<str>>,
    /// After so long an open transaction is aborted.
    pub timeout_ms: i64,
    /// When the transaction began that is open or being ended.
    pub started_at: Option<i64>,
}

/// An offset whose transaction is not decided, or whose marker is still on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOffset {
    /// Whose transaction.
    pub producer_id: i64,
    /// Which partition.
    pub at: TopicPartition,
    /// What would be committed.
    pub committed: CommittedOffset,
}

impl Broker {
    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> Arc<str> {
        let own = || crate::identity::IdSource::new(!self.config.seed).cluster_id();
        self.config.cluster_id.clone().unwrap_or_else(own)
    }

    /// Names of all topics, in order.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.catalogue.topics.keys().map(|name| name.to_string()).collect()
    }

    /// The name of the topic with this id.
    #[must_use]
    pub fn topic_name(&self, id: TopicId) -> Option<Arc<str>> {
        self.catalogue.name_of(id).cloned()
    }

    /// Where a partition ends for readers of this isolation.
    #[must_use]
    pub fn end_offset(&self, at: &TopicPartition, isolation: Isolation) -> Option<i64> {
        self.catalogue.log(at).ok().map(|log| log.end_for(isolation))
    }

    /// The producers that a partition remembers, by id.
    #[must_use]
    pub fn producers(&self, topic: &str, partition: i32) -> Option<Vec<ProducerView>> {
        let log = self.catalogue.log(&TopicPartition::new(topic, partition)).ok()?;
        Some(log.producers().collect())
    }

    /// Number of partitions of a topic.
    #[must_use]
    pub fn partition_count(&self, topic: &str) -> Option<i32> {
        self.catalogue.topic(topic).ok().map(crate::topic::Topic::partition_count)
    }

    /// The offsets of a partition.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Option<PartitionView> {
        let log = self.catalogue.log(&TopicPartition::new(topic, partition)).ok()?;
        Some(PartitionView {
            topic_id: log.id().topic,
            log_start_offset: log.start(),
            last_stable_offset: log.last_stable_offset(),
            high_watermark: log.high_watermark(),
            leader_epoch: log.leader_epoch(),
            size: self.storage.size(log.id()),
            open_transactions: log.open_transactions().collect(),
        })
    }

    /// Everything that a partition holds, markers included.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `CORRUPT_MESSAGE` when a batch cannot be read (one that is compressed
    /// with a codec that this build lacks, for instance); `KAFKA_STORAGE_ERROR`.
    pub fn records(&self, topic: &str, partition: i32) -> Result<Vec<OwnedRecord>, ErrorCode> {
        let log = self.catalogue.log(&TopicPartition::new(topic, partition))?;
        let mut filter = CommittedFilter::new(log.aborted());
        let stable = log.last_stable_offset();
        let mut records = Vec::new();
        let mut room = Vec::new();
        for bytes in log.read_all(self.storage.as_ref())? {
            let batch = Batch::parse(&bytes).map_err(|_| ErrorCode::CorruptMessage)?;
            let admitted = filter.admits(&batch);
            let state = match Marker::decode(&batch) {
                Some(marker) => RecordState::Marker(marker.kind),
                None if batch.header().base_offset >= stable => RecordState::Unstable,
                None if admitted => RecordState::Committed,
                None => RecordState::Aborted,
            };
            let opened = batch.open(&mut room).map_err(|_| ErrorCode::CorruptMessage)?;
            for record in opened {
                let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
                if record.offset >= log.start() {
                    records.push(owned(&batch, &bytes, &record, state));
                }
            }
        }
        Ok(records)
    }

    /// The records of a partition that count, without markers.
    ///
    /// # Errors
    /// As [`Broker::records`].
    pub fn committed_records(&self, topic: &str, partition: i32) -> Result<Vec<OwnedRecord>, ErrorCode> {
        let mut records = self.records(topic, partition)?;
        records.retain(|record| record.state == RecordState::Committed);
        Ok(records)
    }

    /// A group of the classic protocol, if it exists.
    #[must_use]
    pub fn group(&self, group_id: &str) -> Option<DescribedGroup> {
        self.groups.get(group_id)?.described()
    }

    /// A consumer group, if it exists.
    #[must_use]
    pub fn consumer_group(&self, group_id: &str) -> Option<DescribedConsumerGroup> {
        let (id, group) = self.groups.get_with_id(group_id)?;
        Some(group.consumer()?.described(id.clone(), &self.catalogue))
    }

    /// What a group has committed for a partition.
    #[must_use]
    pub fn committed_offset(&self, group_id: &str, topic: &str, partition: i32) -> Option<CommittedOffset> {
        let group = self.groups.get(group_id)?;
        group.offsets.committed(&TopicPartition::new(topic, partition)).cloned()
    }

    /// Offsets of a group that wait for a marker.
    #[must_use]
    pub fn pending_offsets(&self, group_id: &str) -> Vec<PendingOffset> {
        let Some(group) = self.groups.get(group_id) else { return Vec::new() };
        let view = |(producer_id, at, committed): (i64, &TopicPartition, &CommittedOffset)| PendingOffset {
            producer_id,
            at: at.clone(),
            committed: committed.clone(),
        };
        group.offsets.pending().map(view).collect()
    }

    /// All transactional ids, in order.
    #[must_use]
    pub fn transactional_ids(&self) -> Vec<Arc<str>> {
        self.coordinator.ids()
    }

    /// A transactional id, if it is known.
    #[must_use]
    pub fn transaction(&self, transactional_id: &str) -> Option<TransactionView> {
        let transaction = self.coordinator.get(transactional_id)?;
        Some(TransactionView {
            state: transaction.state(),
            producer: transaction.producer(),
            partitions: transaction.partitions().iter().cloned().collect(),
            groups: transaction.groups().iter().cloned().collect(),
            timeout_ms: transaction.timeout_ms(),
            started_at: transaction.started_at(),
        })
    }
}

fn owned(batch: &Batch<'_>, bytes: &Bytes, record: &Record<'_>, state: RecordState) -> OwnedRecord {
    let header = batch.header();
    let packed = header.compression() != Compression::None;
    let own = |part: Option<&[u8]>| {
        part.map(|part| if packed { Bytes::copy_from_slice(part) } else { bytes.slice_ref(part) })
    };
    let producer = ProducerStamp { id: header.producer_id, epoch: header.producer_epoch };
    OwnedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: own(record.key),
        value: own(record.value),
        headers: record.headers.iter().map(|header| (header.key.to_owned(), own(header.value))).collect(),
        producer: header.has_producer().then_some(producer),
        state,
    }
}
