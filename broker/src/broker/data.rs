//! Produce, fetch, list offsets, delete records.

use std::sync::Arc;

use super::Broker;
use crate::api::{
    DeleteRecordsRequest, DeleteRecordsResponse, EpochEnd, FetchRequest, FetchResponse, FetchedPartition,
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListedOffset, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProducePartition, ProduceRequest, ProduceResponse, ProducedPartition,
    ProducerStamp, TopicPartition, TrimmedPartition,
};
use crate::batch::{BatchHeader, TimestampType};
use crate::error::ErrorCode;
use crate::log::{AppendRules, FetchSpec, Fetched, PartitionLog, Rejection};

impl Broker {
    pub(super) fn produce(&mut self, request: ProduceRequest) -> ProduceResponse {
        let partitions =
            request.partitions.into_iter().map(|partition| self.produce_one(partition)).collect();
        ProduceResponse { partitions }
    }

    fn produce_one(&mut self, partition: ProducePartition) -> ProducedPartition {
        let ProducePartition { at, batch } = partition;
        let appended = self.append(&at, batch);
        let (error, bad_records) = match &appended {
            Ok(_) => (ErrorCode::None, Vec::new()),
            Err(rejection) => (rejection.error, rejection.records.clone()),
        };
        let (base_offset, log_append_time, log_start_offset) = appended.unwrap_or((-1, -1, -1));
        ProducedPartition { at, error, base_offset, log_append_time, log_start_offset, bad_records }
    }

    fn append(&mut self, at: &TopicPartition, batch: bytes::Bytes) -> Result<(i64, i64, i64), Rejection> {
        self.say_start()?;
        let header = BatchHeader::parse(&batch);
        let in_transaction = match header {
            Ok(header) if header.is_transactional() => {
                let producer = ProducerStamp { id: header.producer_id, epoch: header.producer_epoch };
                self.coordinator.verify_partition(producer, at)
            }
            _ => Ok(()),
        };
        let (log, settings) = self.catalogue.log_mut(at)?;
        let rules = AppendRules {
            max_bytes: settings.max_message_bytes,
            timestamp_type: settings.timestamp_type,
            keys_required: settings.compacted,
            in_transaction,
            times: settings.allowed_times(self.now),
            keep: settings.keep_rules(self.now),
        };
        let appended = log.append(self.storage.as_mut(), batch, &rules)?;
        let start = log.start();
        if !appended.duplicate {
            if let Ok(header) = header {
                self.figures.appended_records += u64::try_from(header.records_count).unwrap_or(0);
                self.figures.appended_bytes += header.size() as u64;
            }
            self.data_changed(Some(at));
        }
        let by_broker = rules.timestamp_type == TimestampType::LogAppendTime;
        Ok((appended.base_offset, if by_broker { self.now } else { -1 }, start))
    }

    pub(super) fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let mut room = request.max_bytes;
        let (mut anything, mut full) = (false, false);
        let mut partitions = Vec::with_capacity(request.partitions.len());
        for wanted in request.partitions {
            // The very first batch comes whatever its size; after that, room is left or nothing comes.
            let spec = FetchSpec {
                offset: wanted.offset,
                max_bytes: wanted.max_bytes.min(room),
                isolation: request.isolation,
            };
            let may_exceed = !anything;
            let log = self
                .catalogue
                .log(&wanted.at)
                .and_then(|log| log.check_leader_epoch(wanted.current_leader_epoch).map(|()| log));
            let fetched = log.and_then(|log| match full {
                true => log.check_offset(wanted.offset).map(|()| Fetched::default()),
                false => log.fetch(self.storage.as_ref(), &spec),
            });
            let fetched = fetched.map(|fetched| {
                let first = fetched.batches.first().map_or(0, bytes::Bytes::len);
                // What is read in vain once is not read for all that follow.
                full |= first > room && !may_exceed;
                if first > spec.max_bytes && !may_exceed { Fetched::default() } else { fetched }
            });
            let read = fetched.as_ref().map_or(0, |found| found.batches.iter().map(bytes::Bytes::len).sum());
            anything |= read > 0;
            room = room.saturating_sub(read);
            full |= room == 0 && anything;
            partitions.push(fetched_partition(wanted.at, log, fetched));
        }
        FetchResponse { partitions }
    }

    pub(super) fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let isolation = request.isolation;
        let find = |wanted: &ListOffsetsPartition| {
            let log = self.catalogue.log(&wanted.at)?;
            log.check_leader_epoch(wanted.current_leader_epoch)?;
            log.find_offset(self.storage.as_ref(), wanted.spec, isolation)
        };
        let partitions = request.partitions.into_iter().map(|wanted| {
            let found = find(&wanted);
            let error = ErrorCode::of(&found);
            let (offset, timestamp, leader_epoch) = found.ok().flatten().unwrap_or((-1, -1, -1));
            ListedOffset { at: wanted.at, error, offset, timestamp, leader_epoch }
        });
        ListOffsetsResponse { partitions: partitions.collect() }
    }

    pub(super) fn delete_records(&mut self, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        let mut partitions = Vec::with_capacity(request.partitions.len());
        for wanted in request.partitions {
            let storage = self.storage.as_mut();
            let log = self.catalogue.log_mut(&wanted.at);
            // As in Kafka: who only compacts keeps the last value of each key.
            let trimmed = log.and_then(|(log, settings)| match settings.deleted {
                true => log.delete_records(storage, wanted.before_offset),
                false => Err(ErrorCode::PolicyViolation),
            });
            if trimmed.is_ok() {
                self.data_changed(Some(&wanted.at));
            }
            let error = ErrorCode::of(&trimmed);
            partitions.push(TrimmedPartition { at: wanted.at, error, low_watermark: trimmed.unwrap_or(-1) });
        }
        DeleteRecordsResponse { partitions }
    }

    pub(super) fn offset_for_leader_epoch(
        &self,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let partitions = request.partitions.into_iter().map(|wanted| {
            let found = self.catalogue.log(&wanted.at).and_then(|log| {
                log.check_leader_epoch(wanted.current_leader_epoch)?;
                Ok(log.epoch_end(wanted.leader_epoch))
            });
            let error = ErrorCode::of(&found);
            let (leader_epoch, end_offset) = found.ok().flatten().unwrap_or((-1, -1));
            EpochEnd { at: wanted.at, error, leader_epoch, end_offset }
        });
        OffsetForLeaderEpochResponse { partitions: partitions.collect() }
    }

    pub(super) fn topic_names(&self) -> Vec<Arc<str>> {
        self.catalogue.topics.keys().cloned().collect()
    }
}

fn fetched_partition(
    at: TopicPartition,
    log: Result<&PartitionLog, ErrorCode>,
    fetched: Result<Fetched, ErrorCode>,
) -> FetchedPartition {
    let error = ErrorCode::of(&fetched);
    let Fetched { batches, aborted } = fetched.unwrap_or_default();
    let (high_watermark, last_stable_offset, log_start_offset) =
        log.map_or((-1, -1, -1), |log| (log.high_watermark(), log.last_stable_offset(), log.start()));
    FetchedPartition { at, error, high_watermark, last_stable_offset, log_start_offset, aborted, batches }
}
