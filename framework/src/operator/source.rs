//! The entrance of a topology: bytes become typed records with event times.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::{Context, Outlet, Stage};
use crate::codec::{Part, Serde, SerdeError};
use crate::error::{Error, Reaction, Result};
use crate::record::{Columns, Headers, SharedBatch};
use crate::telemetry::DropReason;

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

impl<K, V> TimestampExtractor<K, V> {
    /// Whether a record's event time is its own timestamp in any case.
    fn takes_its_own(&self) -> bool {
        matches!(self, Self::FailOnInvalid | Self::LogAndSkip)
    }

    /// Adds the event times of records that have been read.
    fn extract(&self, now_ms: i64, reading: &Reading<'_>, records: &mut Columns<K, V>) {
        let own = reading.batch.timestamps(reading.rows.clone());
        if self.takes_its_own() {
            return records.timestamps.extend(own);
        }
        let mut newest = reading.partition_time;
        for (own, (key, value)) in own.zip(records.keys.iter().zip(&records.values)) {
            let time = match self {
                Self::UsePartitionTime if own < 0 => newest,
                Self::Wallclock => now_ms,
                Self::By(function) => function(key, value, own, newest),
                _ => own,
            };
            newest = newest.max(time);
            records.timestamps.push(time);
        }
    }
}

/// The entrance for the records of one or several topics.
pub trait Intake {
    /// Reads records, which wait from then on as the next ones of the lane, and appends their event times to `times`.
    /// It reads up to the first record that is dropped or cannot be read; only if that is the first of all is it dealt
    /// with. Returns how many records were dropped: one at most, and then none waits.
    ///
    /// # Errors
    /// If the record cannot be read and the handler says to fail.
    fn load(
        &mut self,
        context: &mut Context<'_>,
        reading: &Reading<'_>,
        times: &mut VecDeque<i64>,
    ) -> Result<usize>;
    /// Sends the next `count` records that wait for `lane` down the topology.
    ///
    /// # Errors
    /// As [`super::Process::process_all`].
    fn run(&mut self, context: &mut Context<'_>, lane: usize, count: usize) -> Result<()>;
    /// Forgets the records that wait for `lane`.
    fn forget(&mut self, lane: usize);
}

/// Records of a batch that are about to be read. None of the lane's may wait.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// The input partition's number within its task.
    pub lane: usize,
    /// The batch.
    pub batch: &'a SharedBatch,
    /// The records' places in the batch.
    pub rows: Range<usize>,
    /// The newest event time of the partition, -1 before the first.
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
    /// The records of each lane that are read and wait.
    pub heads: Vec<Columns<K, V>>,
    /// Memory for records that are sent before others of their lane.
    pub first: Columns<K, V>,
    /// Successors.
    pub out: Outlet<K, V>,
}

impl<K, V> Source<K, V> {
    /// Reads records with their event times, up to the first that is dropped or cannot be read. Returns what is wrong with
    /// the first of all, if that is its bytes.
    fn read_all(
        &mut self,
        context: &Context<'_>,
        reading: &Reading<'_>,
        times: &mut VecDeque<i64>,
    ) -> Option<(&'static str, SerdeError)> {
        let Reading { lane, batch, rows, .. } = reading.clone();
        let rows = rows.start..self.end_of(batch, rows);
        let records = &mut self.heads[lane];
        // Where it is a later one, it will be the first another time.
        if let Err(error) = self.keys.deserialize_all(Part::Key, batch, rows.clone(), &mut records.keys)
            && records.keys.is_empty()
        {
            return Some(("key", error));
        }
        let rows = rows.start..rows.start + records.keys.len();
        if let Err(error) = self.values.deserialize_all(Part::Value, batch, rows.clone(), &mut records.values)
            && records.values.is_empty()
        {
            records.keys.clear();
            return Some(("value", error));
        }
        let rows = rows.start..rows.start + records.values.len();
        self.extractor.extract(context.now_ms, &Reading { rows: rows.clone(), ..reading.clone() }, records);
        let valid = records.timestamps.iter().position(|time| *time < 0).unwrap_or(rows.len());
        records.truncate(valid);
        let rows = rows.start..rows.start + valid;
        if batch.any_headers() {
            records.headers.extend(rows.clone().map(|row| batch.get(row).to_headers()));
        } else {
            records.headers.resize_with(valid, Headers::default);
        }
        let row = |row| u32::try_from(row).expect("a batch has fewer than 4 billion records");
        records.origins.extend(row(rows.start)..row(rows.end));
        times.extend(&records.timestamps);
        None
    }

    /// The end of what may be read together: the first record behind the first of all that is known to be dropped.
    fn end_of(&self, batch: &SharedBatch, rows: Range<usize>) -> usize {
        let mut end = rows.end;
        if self.extractor.takes_its_own() {
            let bad = batch.timestamps(rows.clone()).position(|time| time < 0);
            end = bad.map_or(end, |bad| rows.start + bad.max(1));
        }
        if self.needs_key {
            end = (rows.start..end).find(|row| batch.key(*row).is_none()).unwrap_or(end);
        }
        end
    }

    /// Deals with the first record, which [`Source::read_all`] did not read.
    #[cold]
    fn refuse(
        &self,
        context: &mut Context<'_>,
        reading: &Reading<'_>,
        problem: Option<(&'static str, SerdeError)>,
    ) -> Result<()> {
        let Reading { batch, rows, .. } = reading;
        let raw = batch.get(rows.start);
        if let Some((what, error)) = problem {
            return context.serde_failed(Stage::Deserialization, &self.node, what, error);
        }
        if self.needs_key && raw.key.is_none() {
            context.drop(&self.node, DropReason::NullKey);
            context.counters.processed += 1;
            return Ok(());
        }
        if matches!(self.extractor, TimestampExtractor::FailOnInvalid) {
            let message = format!("the record has the timestamp {}", raw.timestamp);
            let hint = "choose another timestamp extractor in `Consumed` or `default.timestamp.extractor`";
            let error = Error::new(Reaction::Skip, message).hint(hint);
            return context.failed_as(DropReason::BadTimestamp, Stage::Deserialization, &self.node, error);
        }
        context.drop(&self.node, DropReason::BadTimestamp);
        Ok(())
    }
}

impl<K: Clone, V: Clone> Intake for Source<K, V> {
    fn load(
        &mut self,
        context: &mut Context<'_>,
        reading: &Reading<'_>,
        times: &mut VecDeque<i64>,
    ) -> Result<usize> {
        if self.heads.len() <= reading.lane {
            self.heads.resize_with(reading.lane + 1, Columns::default);
        }
        let problem = self.read_all(context, reading, times);
        if self.heads[reading.lane].is_empty() {
            self.refuse(context, reading, problem)?;
            return Ok(1);
        }
        Ok(0)
    }

    fn run(&mut self, context: &mut Context<'_>, lane: usize, count: usize) -> Result<()> {
        let records = &mut self.heads[lane];
        if count == records.len() {
            return self.out.forward_all(context, records);
        }
        self.first.clear();
        for (record, origin) in records.drain_first(count) {
            self.first.push(record, origin);
        }
        self.out.forward_all(context, &mut self.first)
    }

    fn forget(&mut self, lane: usize) {
        if let Some(records) = self.heads.get_mut(lane) {
            records.clear();
        }
    }
}
