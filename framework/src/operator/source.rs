//! The entrance of a topology: bytes become a typed record with an event time.

use std::sync::Arc;

use super::{Context, Input, Outlet, Stage};
use crate::codec::Serde;
use crate::error::{Error, Reaction, Result};
use crate::record::{RawRecord, Record, SharedBatch};
use crate::telemetry::DropReason;
use crate::topic::TopicPartition;

/// Looks at a record (key, value, its own timestamp, the newest time of its partition) and tells its event time.
pub type ExtractFn<K, V> = dyn Fn(&K, &V, i64, i64) -> i64 + Send + Sync;

/// Where a record's event time comes from. Kafka Streams' extractors; the default fails on a negative timestamp.
#[derive(Default)]
pub enum TimestampExtractor<K, V> {
    /// The record's timestamp; a negative one is an error of the stage deserialization.
    #[default]
    FailOnInvalid,
    /// The record's timestamp; a record with a negative one is dropped and counted.
    LogAndSkip,
    /// The record's timestamp, or if negative the newest time of its partition.
    UsePartitionTime,
    /// The wall clock at the time of reading.
    Wallclock,
    /// A function; a record for which it tells a negative time is dropped and counted.
    By(Arc<ExtractFn<K, V>>),
}

impl<K, V> Clone for TimestampExtractor<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::FailOnInvalid => Self::FailOnInvalid,
            Self::LogAndSkip => Self::LogAndSkip,
            Self::UsePartitionTime => Self::UsePartitionTime,
            Self::Wallclock => Self::Wallclock,
            Self::By(function) => Self::By(Arc::clone(function)),
        }
    }
}

/// The entrance for the records of one or several topics.
pub trait Intake {
    /// Reads a record, which becomes the head of `lane` (an input partition of the task). Returns its event time, or
    /// `None` where the record was dropped or became a dead letter.
    ///
    /// # Errors
    /// If the record cannot be read and the handler says to fail.
    fn load(&mut self, context: &mut Context<'_>, at: At<'_>) -> Result<Option<i64>>;
    /// Sends the head of `lane` down the topology.
    ///
    /// # Errors
    /// As [`super::Process::process`].
    fn run(&mut self, context: &mut Context<'_>, lane: usize) -> Result<()>;
    /// Reads the records of `run` and sends each down the topology at once: the way where no other lane has to be
    /// looked at. `run.next` and `run.partition_time` tell how far it came, also after an error.
    ///
    /// # Errors
    /// As [`Intake::load`] and [`Intake::run`].
    fn stream<'a>(&mut self, context: &mut Context<'a>, run: &mut Run<'a>) -> Result<()>;
    /// Forgets all heads.
    fn discard(&mut self);
}

/// Records of one batch that are processed one after another.
pub struct Run<'a> {
    /// The input partition.
    pub partition: &'a TopicPartition,
    /// The input partition's number within its task.
    pub lane: usize,
    /// The batch.
    pub batch: &'a SharedBatch,
    /// Index of the next record.
    pub next: usize,
    /// Index behind the last record.
    pub end: usize,
    /// The newest event time of the partition, -1 before the first.
    pub partition_time: i64,
}

/// A record that is about to be read.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The input partition's number within its task.
    pub lane: usize,
    /// The record.
    pub raw: RawRecord<'a>,
    /// The batch in whose memory it lies.
    pub batch: &'a SharedBatch,
    /// The newest event time of its partition, -1 before the first.
    pub partition_time: i64,
}

/// A source node.
pub struct Source<K, V> {
    /// Name of the node.
    pub node: String,
    /// Reads keys.
    pub keys: Arc<dyn Serde<K>>,
    /// Reads values.
    pub values: Arc<dyn Serde<V>>,
    /// Tells event times.
    pub extractor: TimestampExtractor<K, V>,
    /// Whether records without key are dropped (tables).
    pub needs_key: bool,
    /// The head of each lane.
    pub heads: Vec<Option<Record<K, V>>>,
    /// Successors.
    pub out: Outlet<K, V>,
}

impl<K, V> Source<K, V> {
    /// Reads a record with its event time; `None` where it was dropped or became a dead letter.
    #[inline]
    fn read(&self, context: &mut Context<'_>, at: At<'_>) -> Result<Option<Record<K, V>>> {
        if self.needs_key && at.raw.key.is_none() {
            context.drop(&self.node, DropReason::NullKey);
            context.counters.processed += 1;
            return Ok(None);
        }
        let Some(mut record) = self.decode(context, at)? else { return Ok(None) };
        let Some(time) = self.event_time(context, &record, at.partition_time)? else { return Ok(None) };
        record.timestamp = time;
        Ok(Some(record))
    }

    #[inline]
    fn decode(&self, context: &mut Context<'_>, at: At<'_>) -> Result<Option<Record<K, V>>> {
        let memory = at.batch.memory();
        let key = match self.keys.deserialize_shared(at.raw.key, memory) {
            Ok(key) => key,
            Err(error) => {
                context.serde_failed(Stage::Deserialization, &self.node, "key", error)?;
                return Ok(None);
            }
        };
        let value = match self.values.deserialize_shared(at.raw.value, memory) {
            Ok(value) => value,
            Err(error) => {
                context.serde_failed(Stage::Deserialization, &self.node, "value", error)?;
                return Ok(None);
            }
        };
        let mut record = Record::new(key, value, at.raw.timestamp);
        if at.raw.has_headers() {
            record.headers = at.raw.to_headers();
        }
        Ok(Some(record))
    }

    #[inline]
    fn event_time(
        &self,
        context: &mut Context<'_>,
        record: &Record<K, V>,
        partition_time: i64,
    ) -> Result<Option<i64>> {
        let own = record.timestamp;
        let time = match &self.extractor {
            TimestampExtractor::FailOnInvalid if own < 0 => {
                let message = format!("the record has the timestamp {own}");
                let hint =
                    "choose another timestamp extractor in `Consumed` or `default.timestamp.extractor`";
                let error = Error::new(Reaction::Skip, message).hint(hint);
                context.failed_as(DropReason::BadTimestamp, Stage::Deserialization, &self.node, error)?;
                return Ok(None);
            }
            TimestampExtractor::FailOnInvalid | TimestampExtractor::LogAndSkip => own,
            TimestampExtractor::UsePartitionTime => {
                if own < 0 {
                    partition_time
                } else {
                    own
                }
            }
            TimestampExtractor::Wallclock => context.now_ms,
            TimestampExtractor::By(function) => function(&record.key, &record.value, own, partition_time),
        };
        if time < 0 {
            context.drop(&self.node, DropReason::BadTimestamp);
            return Ok(None);
        }
        Ok(Some(time))
    }
}

impl<K: Clone, V: Clone> Intake for Source<K, V> {
    fn load(&mut self, context: &mut Context<'_>, at: At<'_>) -> Result<Option<i64>> {
        let Some(record) = self.read(context, at)? else { return Ok(None) };
        let time = record.timestamp;
        if self.heads.len() <= at.lane {
            self.heads.resize_with(at.lane + 1, || None);
        }
        self.heads[at.lane] = Some(record);
        Ok(Some(time))
    }

    fn run(&mut self, context: &mut Context<'_>, lane: usize) -> Result<()> {
        match self.heads.get_mut(lane).and_then(Option::take) {
            Some(record) => self.out.forward(context, record),
            None => Ok(()),
        }
    }

    fn stream<'a>(&mut self, context: &mut Context<'a>, run: &mut Run<'a>) -> Result<()> {
        while run.next < run.end {
            let raw = run.batch.get(run.next);
            context.input = Some(Input { partition: run.partition, raw });
            let at = At { lane: run.lane, raw, batch: run.batch, partition_time: run.partition_time };
            let Some(record) = self.read(context, at)? else {
                context.counters.consumed += 1;
                run.next += 1;
                continue;
            };
            run.partition_time = run.partition_time.max(record.timestamp);
            context.stream_time = context.stream_time.max(record.timestamp);
            context.counters.consumed += 1;
            context.counters.processed += 1;
            if let Err(error) = self.out.forward(context, record) {
                context.recover(error)?;
            }
            run.next += 1;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.heads.clear();
    }
}
