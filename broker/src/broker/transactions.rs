//! Initialise a producer, add to a transaction, end it, write its markers.

use std::sync::Arc;

use super::Broker;
use crate::api::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, PartitionResult,
    ProducerStamp,
};
use crate::batch::{MarkerKind, NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use crate::error::ErrorCode;
use crate::transaction::{DueMarker, Initialised, MarkerSchedule, MarkerTarget};

impl Broker {
    pub(super) fn init_producer_id(&mut self, request: &InitProducerIdRequest) -> InitProducerIdResponse {
        let initialised = match &request.transactional_id {
            None => Ok(ProducerStamp { id: self.coordinator.new_producer_id(), epoch: 0 }),
            Some(transactional_id) => self.init_transactional(transactional_id, request),
        };
        let nobody = ProducerStamp { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH };
        let error = ErrorCode::of(&initialised);
        InitProducerIdResponse { error, producer: initialised.unwrap_or(nobody) }
    }

    /// Where Kafka sends the client back once with `CONCURRENT_TRANSACTIONS` when it had to abort, this
    /// answers at once if the markers could be written at once.
    fn init_transactional(
        &mut self,
        transactional_id: &Arc<str>,
        request: &InitProducerIdRequest,
    ) -> Result<ProducerStamp, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let longest = self.config.transaction_max_timeout_ms;
        if request.transaction_timeout_ms <= 0 || request.transaction_timeout_ms > longest {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        match self.coordinator.init(transactional_id, request)? {
            Initialised::Ready(producer) => return Ok(producer),
            Initialised::Aborting => self.decide(transactional_id, MarkerKind::Abort),
        }
        let again = InitProducerIdRequest { current: None, ..request.clone() };
        match self.coordinator.init(transactional_id, &again)? {
            Initialised::Ready(producer) => Ok(producer),
            Initialised::Aborting => Err(ErrorCode::ConcurrentTransactions),
        }
    }

    pub(super) fn add_partitions_to_txn(
        &mut self,
        request: &AddPartitionsToTxnRequest,
    ) -> AddPartitionsToTxnResponse {
        let unknown = self.unknown_partitions(&request.partitions);
        let error = |at| match unknown.contains(at) {
            true => ErrorCode::UnknownTopicOrPartition,
            false if !unknown.is_empty() => ErrorCode::OperationNotAttempted,
            false => ErrorCode::None,
        };
        let mut errors: Vec<ErrorCode> = request.partitions.iter().map(error).collect();
        if unknown.is_empty() {
            let id = &request.transactional_id;
            let now = self.now;
            let added = self.coordinator.add_partitions(id, request.producer, &request.partitions, now);
            errors.fill(ErrorCode::of(&added));
        }
        let partitions = request.partitions.iter().zip(errors);
        let partitions = partitions.map(|(at, error)| PartitionResult { at: at.clone(), error }).collect();
        AddPartitionsToTxnResponse { partitions }
    }

    pub(super) fn add_offsets_to_txn(&mut self, request: &AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
        let AddOffsetsToTxnRequest { transactional_id, producer, group_id } = request;
        let added = self.coordinator.add_group(transactional_id, *producer, group_id, self.now);
        AddOffsetsToTxnResponse { error: ErrorCode::of(&added) }
    }

    pub(super) fn end_txn(&mut self, request: &EndTxnRequest) -> EndTxnResponse {
        let kind = if request.commit { MarkerKind::Commit } else { MarkerKind::Abort };
        let schedule = self.marker_schedule();
        let ended = self.coordinator.end(&request.transactional_id, request.producer, kind, schedule);
        self.write_due_markers();
        EndTxnResponse { error: ErrorCode::of(&ended) }
    }

    fn marker_schedule(&self) -> MarkerSchedule {
        MarkerSchedule { now: self.now, delay: self.faults.marker_delay }
    }

    fn decide(&mut self, transactional_id: &Arc<str>, kind: MarkerKind) {
        let schedule = self.marker_schedule();
        self.coordinator.decide(transactional_id, kind, schedule);
        self.write_due_markers();
    }

    /// Fences the producer and aborts what it left open.
    pub(super) fn fence_and_abort(&mut self, transactional_id: &Arc<str>) -> Result<(), ErrorCode> {
        if self.coordinator.fence(transactional_id)? {
            self.decide(transactional_id, MarkerKind::Abort);
        }
        Ok(())
    }

    /// Writes the markers that are due. One that storage refuses stays due; one for a partition that is gone
    /// is done.
    pub(super) fn write_due_markers(&mut self) {
        for due in self.coordinator.due_markers(self.now) {
            let written = match &due.target {
                MarkerTarget::Group(group_id) => {
                    if let Some(group) = self.groups.get_mut(group_id) {
                        group.offsets.end_transaction(due.marker.producer_id, due.marker.kind);
                    }
                    self.version += 1;
                    true
                }
                MarkerTarget::Partition(_) => self.write_data_marker(&due),
            };
            if written {
                self.coordinator.marker_written(&due);
            }
        }
    }

    fn write_data_marker(&mut self, due: &DueMarker) -> bool {
        let MarkerTarget::Partition(at) = &due.target else { return true };
        let Ok((log, _)) = self.catalogue.log_mut(at) else { return true };
        let written = log.append_marker(self.storage.as_mut(), &due.marker);
        self.data_changed();
        written.is_ok()
    }
}
