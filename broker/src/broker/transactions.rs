//! Initialise a producer, add to a transaction, end it, write its markers.

use std::sync::Arc;

use super::Broker;
use crate::api::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, PartitionResult,
    ProducerStamp, TopicPartition,
};
use crate::batch::{Marker, MarkerKind, NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use crate::error::ErrorCode;
use crate::journal::Fact;
use crate::transaction::{DueMarker, Initialised, MarkerSchedule, MarkerTarget};

impl Broker {
    pub(super) fn init_producer_id(&mut self, request: &InitProducerIdRequest) -> InitProducerIdResponse {
        let initialised = match &request.transactional_id {
            None => self.reserve_producer_ids().map(|()| {
                let id = self.coordinator.new_producer_id();
                ProducerStamp { id, epoch: 0 }
            }),
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
        self.reserve_producer_ids()?;
        let schedule = self.marker_schedule();
        let initialised = self.with_transaction(transactional_id, |coordinator| {
            let initialised = coordinator.init(transactional_id, request)?;
            if initialised == Initialised::Aborting {
                coordinator.decide(transactional_id, MarkerKind::Abort, schedule);
            }
            Ok(initialised)
        })?;
        if let Initialised::Ready(producer) = initialised {
            return Ok(producer);
        }
        self.write_due_markers();
        // A producer that asks for itself gets the epoch that the abort has taken, and gets it again if it asks again.
        match self
            .with_transaction(transactional_id, |coordinator| coordinator.init(transactional_id, request))?
        {
            Initialised::Ready(producer) => Ok(producer),
            Initialised::Aborting => Err(ErrorCode::ConcurrentTransactions),
        }
    }

    pub(super) fn add_partitions_to_txn(
        &mut self,
        request: &AddPartitionsToTxnRequest,
    ) -> AddPartitionsToTxnResponse {
        let known = |at: &TopicPartition| self.catalogue.log(at).is_ok();
        let all_known = request.partitions.iter().all(known);
        let error = |at| match known(at) {
            false => ErrorCode::UnknownTopicOrPartition,
            true if !all_known => ErrorCode::OperationNotAttempted,
            true => ErrorCode::None,
        };
        let mut errors: Vec<ErrorCode> = request.partitions.iter().map(error).collect();
        if all_known {
            let id = &request.transactional_id;
            let now = self.now;
            let added = self.with_transaction(id, |coordinator| {
                coordinator.add_partitions(id, request.producer, &request.partitions, now)
            });
            errors.fill(ErrorCode::of(&added));
        }
        let partitions = request.partitions.iter().zip(errors);
        let partitions = partitions.map(|(at, error)| PartitionResult { at: at.clone(), error }).collect();
        AddPartitionsToTxnResponse { partitions }
    }

    pub(super) fn add_offsets_to_txn(&mut self, request: &AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
        let AddOffsetsToTxnRequest { transactional_id, producer, group_id } = request;
        let now = self.now;
        let added = self.with_transaction(transactional_id, |coordinator| {
            coordinator.add_group(transactional_id, *producer, group_id, now)
        });
        AddOffsetsToTxnResponse { error: ErrorCode::of(&added) }
    }

    pub(super) fn end_txn(&mut self, request: &EndTxnRequest) -> EndTxnResponse {
        let kind = if request.commit { MarkerKind::Commit } else { MarkerKind::Abort };
        let schedule = self.marker_schedule();
        let id = &request.transactional_id;
        let ended =
            self.with_transaction(id, |coordinator| coordinator.end(id, request.producer, kind, schedule));
        self.write_due_markers();
        EndTxnResponse { error: ErrorCode::of(&ended) }
    }

    fn marker_schedule(&self) -> MarkerSchedule {
        MarkerSchedule { now: self.now, delay: self.faults.marker_delay }
    }

    /// Fences the producer and aborts what it left open.
    pub(super) fn fence_and_abort(&mut self, transactional_id: &Arc<str>) -> Result<(), ErrorCode> {
        let schedule = self.marker_schedule();
        self.with_transaction(transactional_id, |coordinator| {
            if coordinator.fence(transactional_id)? {
                coordinator.decide(transactional_id, MarkerKind::Abort, schedule);
            }
            Ok(())
        })?;
        self.write_due_markers();
        Ok(())
    }

    /// Writes the markers that are due. One that storage refuses stays due; one for a partition or a group
    /// that is gone is done.
    pub(super) fn write_due_markers(&mut self) {
        for due in self.coordinator.due_markers(self.now) {
            let written = match &due.target {
                MarkerTarget::Group(group) => self.end_offsets(group, &due),
                MarkerTarget::Partition(_) => self.write_data_marker(&due),
            };
            if !written {
                self.stall();
                continue;
            }
            let id = &due.transactional_id;
            self.coordinator.marker_written(&due);
            self.coordinator.touch(id, self.now);
            if let Some(fact) = self.coordinator.fact(id).filter(|fact| fact.partitions.is_empty()) {
                // All is written. Who does not know it after a crash looks, and finds the markers.
                let _ = self.note(&Fact::Transaction(fact));
            }
        }
    }

    fn end_offsets(&mut self, group: &Arc<str>, due: &DueMarker) -> bool {
        let Marker { producer_id, kind, .. } = due.marker;
        let fact = Fact::Ended { group: group.clone(), producer_id, kind };
        let written = self.groups.get(group).is_none() || self.note(&fact).is_ok();
        if written {
            fact.apply_to_groups(&mut self.groups);
            self.version += 1;
        }
        written
    }

    fn write_data_marker(&mut self, due: &DueMarker) -> bool {
        let MarkerTarget::Partition(at) = &due.target else { return true };
        if self.say_start().is_err() {
            return false;
        }
        let Ok((log, settings)) = self.catalogue.log_mut(at) else { return true };
        let rules = settings.keep_rules(self.now);
        let written = log.append_marker(self.storage.as_mut(), &due.marker, &rules);
        self.data_changed(Some(at));
        written.is_ok()
    }
}
