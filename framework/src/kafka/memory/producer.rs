//! Producer: the calls of the port, and which of them are legal when.
//!
//! ```text
//! New --init--> Ready --begin--> Open --commit, abort--> Ready
//!                                 |  Failed --abort--> Ready        any --fatal error--> Dead
//!                                 +--abortable error--> Failed
//! ```
//! A producer without transactional id stays Ready.

use std::sync::Arc;
use std::task::{Poll, ready};

use headwater_broker::ErrorCode;
use headwater_broker::api::{InitProducerIdRequest, InitProducerIdResponse, ProducerStamp};

use super::door::Door;
use super::errand::Errand;
use super::outbox::{Outbox, Sender, Undelivered};
use super::place;
use super::transaction::{Step, Transaction};
use super::verdict::{Asked, Verdict, verdict};
use crate::kafka::{
    Answer, Fault, GroupMetadata, KafkaError, OffsetCommit, Producer, ProducerOptions, Refusal,
};
use crate::record::RecordBatch;
use crate::topic::TopicPartition;

/// Kafka's default for `delivery.timeout.ms` (librdkafka: `message.timeout.ms` is 5 minutes) outside of transactions.
const DELIVERY_TIMEOUT_MS: i64 = 300_000;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Ready,
    Open,
    Failed(KafkaError),
    Dead(KafkaError),
}

/// A producer, transactional or only idempotent.
#[derive(Debug)]
pub(super) struct MemoryProducer {
    door: Door,
    sender: Sender,
    transaction_timeout_ms: i64,
    stage: Stage,
    initialising: Option<Errand>,
    outbox: Outbox,
    transaction: Transaction,
    /// Whether the next abort has to get a new epoch.
    bump: bool,
    aborting: bool,
    tainted: bool,
}

impl MemoryProducer {
    pub(super) fn new(door: Door, options: &ProducerOptions) -> Self {
        let transactional_id: Option<Arc<str>> = options.transactional_id.as_deref().map(Arc::from);
        let delivery_timeout_ms = match transactional_id {
            Some(_) => options.transaction_timeout_ms,
            None => DELIVERY_TIMEOUT_MS,
        };
        let sender = Sender {
            transactional_id,
            stamp: ProducerStamp { id: -1, epoch: -1 },
            request_timeout_ms: options.request_timeout_ms,
            delivery_timeout_ms,
        };
        Self {
            door,
            sender,
            transaction_timeout_ms: options.transaction_timeout_ms,
            stage: Stage::New,
            initialising: None,
            outbox: Outbox::default(),
            transaction: Transaction::default(),
            bump: false,
            aborting: false,
            tainted: false,
        }
    }

    fn is_transactional(&self) -> bool {
        self.sender.transactional_id.is_some()
    }

    /// Who this is, for messages.
    fn name(&self) -> String {
        match &self.sender.transactional_id {
            Some(id) => format!("producer `{id}`"),
            None => "producer".to_owned(),
        }
    }

    /// The error that has to be dealt with first, if there is one.
    fn check(&self) -> Result<(), KafkaError> {
        match &self.stage {
            Stage::Failed(error) | Stage::Dead(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// That a transaction is open and healthy.
    fn check_open(&self) -> Result<(), KafkaError> {
        self.check()?;
        if self.stage == Stage::Open && !self.aborting {
            return Ok(());
        }
        Err(place::out_of_place(format!("{} has no open transaction", self.name())))
    }

    /// Enters the stage that the error demands.
    fn fail(&mut self, verdict: Verdict, error: KafkaError) -> KafkaError {
        self.outbox.drop_queued();
        if verdict == Verdict::Dead {
            self.outbox.start_over();
            self.stage = Stage::Dead(error.clone());
        } else {
            self.bump |= verdict == Verdict::AbortAndBump;
            self.stage = Stage::Failed(error.clone());
        }
        error
    }

    /// What a step of the transaction protocol means: go on, come again, or an error.
    fn judge(&mut self, step: Step) -> Answer<()> {
        let Poll::Ready(outcome) = step else { return Poll::Pending };
        let Err((asked, code)) = outcome else { return Poll::Ready(Ok(())) };
        let judged = verdict(asked, code);
        if judged == Verdict::Repeat {
            return Poll::Pending;
        }
        let what = format!("{}: {} was refused", self.name(), request_name(asked));
        let error = place::answered(code, judged.fault(), what);
        Poll::Ready(Err(self.fail(judged, error)))
    }

    /// Registers, sends, takes answers in.
    fn pump(&mut self, now_ms: i64) -> Result<(), KafkaError> {
        self.check()?;
        if self.is_transactional() && !self.outbox.is_empty() {
            let step =
                self.transaction.add_partitions(self.outbox.waiting(), &self.door, &self.sender, now_ms);
            if let Poll::Ready(Err(error)) = self.judge(step) {
                if let Some(partition) = self.transaction.take_forbidden() {
                    let code = ErrorCode::TopicAuthorizationFailed.name();
                    self.outbox.note_refused(Refusal { partition, code, record: None });
                }
                return Err(error);
            }
        }
        let open = |partition: &TopicPartition| {
            self.sender.transactional_id.is_none() || self.transaction.includes(partition)
        };
        let pumped = self.outbox.pump(&self.door, &self.sender, open, now_ms);
        pumped.map_err(|(partition, why)| self.undelivered(&partition, why))
    }

    fn undelivered(&mut self, partition: &TopicPartition, why: Undelivered) -> KafkaError {
        let what = format!("{}: a batch for {partition} was not delivered", self.name());
        let (code, judged) = match why {
            Undelivered::TimedOut => ("_MSG_TIMED_OUT", Verdict::AbortAndBump),
            Undelivered::InDoubt(code) => match verdict(Asked::Produce, code) {
                Verdict::Dead => (code.name(), Verdict::Dead),
                _ => (code.name(), Verdict::AbortAndBump),
            },
            Undelivered::Refused(code) => (code.name(), verdict(Asked::Produce, code)),
        };
        if self.is_transactional() {
            return self.fail(judged, KafkaError { code, fault: judged.fault(), message: what });
        }
        // Without a transaction nothing can be taken back: a gap in the sequence needs a new producer.
        match judged {
            Verdict::Dead | Verdict::AbortAndBump => {
                self.fail(Verdict::Dead, KafkaError { code, fault: Fault::Fatal, message: what })
            }
            _ => KafkaError { code, fault: Fault::Refused, message: what },
        }
    }

    /// Asks for a producer id, or as `current` for a new epoch.
    fn get_epoch(&mut self, current: Option<ProducerStamp>, now_ms: i64) -> Answer<()> {
        let request = InitProducerIdRequest {
            transactional_id: self.sender.transactional_id.clone(),
            transaction_timeout_ms: self.transaction_timeout_ms,
            current,
        };
        let errand = Errand::resume(&mut self.initialising, request, self.sender.request_timeout_ms);
        let answer = errand.poll::<InitProducerIdResponse>(&self.door, now_ms);
        let Poll::Ready(answer) = answer else { return Poll::Pending };
        match answer.and_then(|response| response.error.check().map(|()| response.producer)) {
            Ok(stamp) => {
                self.sender.stamp = stamp;
                self.initialising = None;
                self.outbox.start_over();
                Poll::Ready(Ok(()))
            }
            Err(code) => self.judge(Poll::Ready(Err((Asked::InitProducerId, code)))),
        }
    }

    /// Back to Ready.
    fn close_transaction(&mut self) -> Answer<()> {
        self.tainted |= self.transaction.is_tainted();
        self.transaction = Transaction::default();
        self.bump = false;
        self.aborting = false;
        self.stage = Stage::Ready;
        Poll::Ready(Ok(()))
    }

    /// Waits for everything under way, so that nothing arrives behind the abort.
    fn settle(&mut self, now_ms: i64) -> Answer<()> {
        let mut failures = Vec::new();
        let settled = self.outbox.settle(&self.door, &self.sender, now_ms, &mut failures);
        for failure in failures {
            self.bump |= !matches!(failure, Undelivered::Refused(_));
            let (Undelivered::Refused(code) | Undelivered::InDoubt(code)) = failure else { continue };
            let judged = verdict(Asked::Produce, code);
            self.bump |= judged == Verdict::AbortAndBump;
            if judged == Verdict::Dead {
                return self.judge(Poll::Ready(Err((Asked::Produce, code))));
            }
        }
        if self.transaction.settle(&self.door, now_ms).is_pending() || settled.is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Producer for MemoryProducer {
    fn init(&mut self, now_ms: i64) -> Answer<()> {
        match &self.stage {
            Stage::New => {}
            Stage::Dead(error) => return Poll::Ready(Err(error.clone())),
            _ => return Poll::Ready(Ok(())),
        }
        // A predecessor's open transaction is aborted first; in process that is done when we ask again.
        let mut answer = self.get_epoch(None, now_ms);
        if answer.is_pending() {
            answer = self.get_epoch(None, now_ms);
        }
        if answer == Poll::Ready(Ok(())) {
            self.stage = Stage::Ready;
        }
        answer
    }

    fn begin(&mut self) -> Result<(), KafkaError> {
        self.check()?;
        if !self.is_transactional() || self.stage != Stage::Ready {
            let what = format!("{} cannot begin a transaction now", self.name());
            return Err(place::out_of_place(what));
        }
        self.stage = Stage::Open;
        Ok(())
    }

    fn send(
        &mut self,
        partition: &TopicPartition,
        batch: &mut RecordBatch,
        now_ms: i64,
    ) -> Result<(), KafkaError> {
        self.check()?;
        let expected = if self.is_transactional() { Stage::Open } else { Stage::Ready };
        if self.stage != expected || self.transaction.is_ending() || self.aborting {
            let what = format!("{} cannot send to {partition} now", self.name());
            return Err(place::out_of_place(what));
        }
        self.outbox.push(partition, batch, now_ms);
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        self.outbox.pending_bytes()
    }

    fn poll(&mut self, now_ms: i64) -> Result<(), KafkaError> {
        if self.stage == Stage::New || self.aborting {
            return Ok(());
        }
        self.pump(now_ms)
    }

    fn flush(&mut self, now_ms: i64) -> Answer<()> {
        self.pump(now_ms)?;
        if self.outbox.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn acknowledged(&mut self) -> Vec<(TopicPartition, i64)> {
        self.outbox.take_acknowledged()
    }

    fn refused(&mut self) -> Vec<Refusal> {
        self.outbox.take_refused()
    }

    fn send_offsets(&mut self, offsets: &[OffsetCommit], group: &GroupMetadata, now_ms: i64) -> Answer<()> {
        self.check_open()?;
        if offsets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let step = self.transaction.send_offsets((offsets, group), &self.door, &self.sender, now_ms);
        let answer = self.judge(step);
        if answer.is_pending() && self.transaction.offsets_age_ms(now_ms) >= self.transaction_timeout_ms {
            let message = format!("{}: offsets were not taken in time", self.name());
            let error = KafkaError { code: "_TIMED_OUT", fault: Fault::Abortable, message };
            return Poll::Ready(Err(self.fail(Verdict::Abort, error)));
        }
        answer
    }

    fn commit(&mut self, now_ms: i64) -> Answer<()> {
        self.check_open()?;
        ready!(self.flush(now_ms)?);
        if self.transaction.is_begun() {
            let step = self.transaction.end(true, &self.door, &self.sender, now_ms);
            ready!(self.judge(step)?);
        }
        self.close_transaction()
    }

    fn abort(&mut self, now_ms: i64) -> Answer<()> {
        match &self.stage {
            Stage::Open if self.transaction.is_ending() && !self.aborting => {
                let message = format!("{} is committing its transaction", self.name());
                return Poll::Ready(Err(KafkaError { code: "_CONFLICT", fault: Fault::Refused, message }));
            }
            Stage::Open | Stage::Failed(_) => {}
            Stage::Dead(error) => return Poll::Ready(Err(error.clone())),
            Stage::New | Stage::Ready => {
                let what = format!("{} has no transaction to abort", self.name());
                return Poll::Ready(Err(place::out_of_place(what)));
            }
        }
        self.aborting = true;
        self.outbox.drop_queued();
        ready!(self.settle(now_ms)?);
        if self.bump {
            // Getting a new epoch aborts what is open.
            ready!(self.get_epoch(Some(self.sender.stamp), now_ms)?);
        } else if self.transaction.is_begun() {
            let step = self.transaction.end(false, &self.door, &self.sender, now_ms);
            ready!(self.judge(step)?);
        }
        self.close_transaction()
    }

    fn tainted(&self) -> bool {
        self.tainted || self.transaction.is_tainted()
    }
}

fn request_name(asked: Asked) -> &'static str {
    match asked {
        Asked::InitProducerId => "InitProducerId",
        Asked::AddPartitions => "AddPartitionsToTxn",
        Asked::Produce => "Produce",
        Asked::AddOffsets => "AddOffsetsToTxn",
        Asked::TxnOffsetCommit => "TxnOffsetCommit",
        Asked::EndTxn => "EndTxn",
    }
}
