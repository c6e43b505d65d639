//! Producer: records out, in transactions or not, and what became of them.
//!
//! 1. Records go to librdkafka at once, up to what a request to their partition holds; what is more waits in our own batches
//!    (the [`Backlog`]) and follows as delivery reports make room.
//! 2. Calls that wait are made by the [`Clerk`]; meanwhile delivery reports are taken here, without which they would not end.
//! 3. librdkafka takes timestamp 0 for "now": such a record is written with timestamp 1, and that is said once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::bindings::{RD_KAFKA_EVENT_DR, RD_KAFKA_EVENT_ERROR};

use super::backlog::Backlog;
use super::bell::Bell;
use super::clerk::{Clerk, Job};
use super::raw::{Blame, Client, Delivery, Event, Failure, Kind, Message, Queue, Topic};
use super::servers::Servers;
use super::{Core, Tuning, verdict};
use crate::kafka::{
    Answer, Fault, GroupMetadata, KafkaError, OffsetCommit, Producer, ProducerOptions, Refusal, RefusedRecord,
};
use crate::record::RecordBatch;
use crate::time::SystemClock;
use crate::topic::{TopicName, TopicPartition};

/// A producer that lives.
#[derive(Debug)]
struct Live {
    // Before the client: they hold on to it.
    topics: HashMap<TopicName, Topic>,
    main: Queue,
    clerk: Clerk,
    client: Arc<Client>,
    servers: Servers,
}

/// So many partitions are remembered, of topics that may be chosen record by record.
const LANES_MAX: usize = 4_096;

/// How long the last abort of a producer is waited for.
const PARTING_STEPS: u32 = 100;
const PARTING_STEP: Duration = Duration::from_millis(20);

/// A producer by librdkafka.
#[derive(Debug)]
pub(super) struct KafkaProducer {
    live: Result<Live, KafkaError>,
    core: Arc<Core>,
    transactional: bool,
    /// How large its batches are.
    batch_bytes: usize,
    backlog: Backlog,
    acknowledged: HashMap<TopicPartition, i64>,
    failed: Option<KafkaError>,
    refused: Vec<Refusal>,
    aborting: bool,
    told_of_zero: bool,
}

impl KafkaProducer {
    pub(super) fn new(core: &Arc<Core>, bell: &Arc<Bell>, options: &ProducerOptions) -> Self {
        let batch_bytes = core.tuning.batch_bytes.load(Ordering::Relaxed);
        let live = || {
            let settings = core.tuning.producer(options, batch_bytes);
            let events = RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR;
            let client = core.connect(Kind::Producer, &settings, events)?;
            let main = Queue::main(&client, bell);
            // The worker counts on an answer in half of the transaction's time.
            let offsets_ms = i32::try_from(options.transaction_timeout_ms / 2).unwrap_or(i32::MAX);
            let clerk = Clerk::new(&client, bell, offsets_ms).map_err(|error| KafkaError {
                code: "_FAIL",
                fault: Fault::Refused,
                message: format!("a producer's thread cannot be started: {error}"),
            })?;
            let servers = Servers::new(&core.line);
            Ok(Live { topics: HashMap::new(), main, clerk, client, servers })
        };
        Self {
            live: live(),
            core: Arc::clone(core),
            transactional: options.transactional_id.is_some(),
            batch_bytes,
            backlog: Backlog::new(core.tuning.request(batch_bytes), Arc::new(SystemClock::new())),
            acknowledged: HashMap::new(),
            failed: None,
            refused: Vec::new(),
            aborting: false,
            told_of_zero: false,
        }
    }

    fn live(&mut self) -> Result<&mut Live, KafkaError> {
        self.live.as_mut().map_err(|error| error.clone())
    }

    /// Takes delivery reports in, and hands on what waits.
    fn pump(&mut self) -> Result<(), KafkaError> {
        let live = self.live()?;
        live.servers.look_after(&live.client);
        self.listen()?;
        self.hand_backlog_on()
    }

    fn listen(&mut self) -> Result<(), KafkaError> {
        while let Some(event) = self.live()?.main.next() {
            match event.kind() {
                RD_KAFKA_EVENT_DR => {
                    event.reports().partitions().for_each(|delivery| self.delivered(&delivery))
                }
                RD_KAFKA_EVENT_ERROR => self.alarmed(&event),
                _ => {}
            }
        }
        Ok(())
    }

    fn hand_backlog_on(&mut self) -> Result<(), KafkaError> {
        // Behind a record that has failed nothing goes.
        while self.failed.is_none()
            && let Some(lane) = self.backlog.next_ready()
        {
            while let Some((batch, from)) = self.backlog.first(lane) {
                let next = self.hand_on(lane, &batch, from)?;
                if !self.backlog.put_back(lane, batch, next) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn alarmed(&mut self, event: &Event) {
        let Ok(live) = &self.live else { return };
        match (live.client.fatal(), live.main.failure(event)) {
            (Some(fatal), _) => {
                self.failed.get_or_insert(fatal.because(Fault::Fatal));
            }
            (None, failure) => failure.into_iter().for_each(|failure| self.core.line.report(failure)),
        }
    }

    /// Hands the records of a batch from `from` on to librdkafka; returns the first for which there is no room.
    fn hand_on(&mut self, lane: usize, batch: &RecordBatch, from: usize) -> Result<usize, KafkaError> {
        let mut next = from;
        loop {
            let admitted = self.backlog.admitted(lane, batch, next);
            if admitted.is_empty() {
                return Ok(next);
            }
            next = self.give(lane, batch, admitted)?;
        }
    }

    /// Gives records to librdkafka; returns the first that it does not have.
    fn give(&mut self, lane: usize, batch: &RecordBatch, records: Range<usize>) -> Result<usize, KafkaError> {
        let partition = self.backlog.partition(lane).clone();
        if !self.live()?.topics.contains_key(&partition.topic) {
            match Topic::new(&self.live()?.client, &partition.topic) {
                Ok(topic) => self.live()?.topics.insert(partition.topic.clone(), topic),
                Err(failure) => return Err(self.unsent(&partition, failure)),
            };
        }
        let live = self.live.as_ref().map_err(KafkaError::clone)?;
        let topic = &live.topics[&partition.topic];
        let (first, end) = (records.start, records.end);
        let (mut next, mut bytes) = (end, 0);
        let mut zeros = false;
        let mut failed = None;
        for at in records {
            let record = batch.get(at);
            match topic.produce(partition.partition, &record, stamp(record.timestamp)) {
                Ok(true) => {
                    zeros |= record.timestamp == 0;
                    bytes += record.byte_len();
                }
                refused => {
                    next = at;
                    failed = refused.err();
                    break;
                }
            }
        }
        if next < end && failed.is_none() {
            self.backlog.refused();
        }
        self.backlog.gave(lane, next - first, bytes);
        if zeros && !std::mem::replace(&mut self.told_of_zero, true) {
            tracing::warn!(%partition, "librdkafka cannot write timestamp 0: such records get timestamp 1");
        }
        match failed {
            Some(failure) => Err(self.unsent(&partition, failure)),
            None => Ok(next),
        }
    }

    /// librdkafka does not take a record for `partition`.
    fn unsent(&mut self, partition: &TopicPartition, failure: Failure) -> KafkaError {
        if verdict::is_about_topic(failure.code) {
            // Its report, which says the same, may still be on its way.
            self.refused.push(Refusal { partition: partition.clone(), code: failure.code, record: None });
        }
        let mut cause = None;
        if self.transactional && failure.code == "_STATE" {
            // The transaction has failed, by another record or by none. Whoever asks for the next one is told why.
            cause = self.live.as_ref().ok().and_then(|live| live.client.begin_transaction().err());
        }
        let failure = match cause.filter(|cause| cause.abortable || cause.fatal) {
            Some(cause) => self.with_topics(cause),
            None => failure,
        };
        let fault = match self.transactional {
            // A report will say by which record.
            true if failure.code == "_STATE" => Fault::Abortable,
            true => verdict::transactional(&failure),
            // One broker may have said so alone: the next producer asks again.
            false if failure.code == "UNKNOWN_TOPIC_OR_PARTITION" => Fault::Fatal,
            false => verdict::plain(&failure),
        };
        let text = format!("a record for {partition} cannot be sent: {}", failure.text);
        Failure { text, ..failure }.because(fault)
    }

    fn delivered(&mut self, delivery: &Delivery<'_>) {
        let Some((topic, partition)) = delivery.place() else { return };
        let partition = TopicPartition { topic: topic.as_str().into(), partition };
        self.backlog.settled(&partition, delivery.len());
        if let Some(offset) = delivery.last_offset() {
            let next = self.acknowledged.entry(partition.clone()).or_default();
            *next = (*next).max(offset + 1);
        }
        if self.aborting {
            return;
        }
        // Those that were refused for another's sake say least: they are the cause only where no other is.
        let mut failures = delivery.failures();
        failures.sort_by_key(|(.., blame)| *blame == Blame::Another);
        for (message, failure, blame) in failures {
            self.undelivered(&partition, message, failure, blame);
        }
    }

    fn undelivered(
        &mut self,
        partition: &TopicPartition,
        message: Message<'_>,
        failure: Failure,
        blame: Blame,
    ) {
        let code = failure.code;
        if matches!(code, "_PURGE_QUEUE" | "_PURGE_INFLIGHT") {
            return;
        }
        let fatal = self.live.as_ref().ok().and_then(|live| live.client.fatal());
        // The batch may have been too large for the topic, or who of several is at fault is not told: smaller ones until the
        // record is alone.
        let divide = blame == Blame::Unknown && verdict::is_about_record(code);
        if divide {
            self.core.tuning.divide_batches(self.batch_bytes);
        } else if verdict::is_about_topic(code) || verdict::is_about_record(code) && blame == Blame::Itself {
            let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
            let record = verdict::is_about_record(code).then(|| RefusedRecord {
                timestamp: message.timestamp(),
                key: bytes(message.key()),
                value: bytes(message.value()),
            });
            self.refused.push(Refusal { partition: partition.clone(), code, record });
        }
        if self.failed.is_some() {
            return;
        }
        let text = format!("a record for {partition} was not delivered: {}", failure.text);
        self.failed = Some(match fatal {
            Some(fatal) => fatal.because(Fault::Fatal),
            None if divide => KafkaError { code: "BATCH_REFUSED", fault: Fault::Fatal, message: text },
            None if self.transactional => KafkaError { code, fault: Fault::Abortable, message: text },
            None if !self.refused.is_empty() => KafkaError { code, fault: Fault::Refused, message: text },
            // Whoever has sent it has to send it again, with what stood behind it.
            None => KafkaError { code, fault: Fault::Fatal, message: text },
        });
    }

    fn with_topics(&self, failure: Failure) -> Failure {
        let Ok(live) = &self.live else { return failure };
        failure.with_topics("that are written", live.topics.keys().map(|topic| &**topic))
    }

    /// A call that waits: makes it if none is under way, and brings its answer.
    fn call(&mut self, job: impl FnOnce() -> Job) -> Answer<()> {
        self.pump()?;
        let outcome = ready!(self.live()?.clerk.call(job));
        // What the call has set free is taken in with it.
        self.pump()?;
        Poll::Ready(outcome.map_err(|failure| match verdict::transactional(&failure) {
            Fault::Retriable => self.core.line.told(failure, Fault::Retriable),
            // A record that was not delivered is why: librdkafka says no more of it than that.
            fault => self.failed.take().unwrap_or_else(|| self.with_topics(failure).because(fault)),
        }))
    }
}

/// Rule 3.
fn stamp(timestamp: i64) -> i64 {
    if timestamp == 0 { 1 } else { timestamp }
}

impl Producer for KafkaProducer {
    fn init(&mut self, _: i64) -> Answer<()> {
        if !self.transactional {
            return Poll::Ready(self.live().map(|_| ()));
        }
        if let Some(error) = self.core.line.turned_away() {
            return Poll::Ready(Err(error));
        }
        self.call(|| Job::Init)
    }

    fn begin(&mut self) -> Result<(), KafkaError> {
        let begun = self.live()?.client.begin_transaction();
        begun.map_err(|failure| failure.judged(verdict::transactional))
    }

    fn send(
        &mut self,
        partition: &TopicPartition,
        batch: &mut RecordBatch,
        now_ms: i64,
    ) -> Result<(), KafkaError> {
        // After a record that was not delivered librdkafka takes none, and does not say which it was.
        self.poll(now_ms)?;
        if self.backlog.lanes() > LANES_MAX && self.backlog.is_settled() {
            self.backlog = self.backlog.renewed();
            self.live()?.topics.clear();
        }
        let lane = self.backlog.lane(partition);
        let next = if self.backlog.is_waiting(lane) { 0 } else { self.hand_on(lane, batch, 0)? };
        if next < batch.len() {
            self.backlog.wait(lane, batch, next);
        } else {
            batch.clear();
        }
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        self.backlog.bytes()
    }

    fn poll(&mut self, _: i64) -> Result<(), KafkaError> {
        self.pump()?;
        self.failed.take().map_or(Ok(()), Err)
    }

    fn flush(&mut self, now_ms: i64) -> Answer<()> {
        self.poll(now_ms)?;
        if self.backlog.is_settled() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn acknowledged(&mut self) -> Vec<(TopicPartition, i64)> {
        self.acknowledged.drain().collect()
    }

    fn refused(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refused)
    }

    fn send_offsets(&mut self, offsets: &[OffsetCommit], group: &GroupMetadata, _: i64) -> Answer<()> {
        self.call(|| Job::Offsets(offsets.to_vec(), group.clone()))
    }

    fn commit(&mut self, now_ms: i64) -> Answer<()> {
        if !self.backlog.is_given() {
            self.poll(now_ms)?;
            if !self.backlog.is_given() {
                return Poll::Pending;
            }
        }
        self.call(|| Job::Commit)
    }

    fn abort(&mut self, _: i64) -> Answer<()> {
        // A transaction that has failed takes nothing more.
        self.backlog.clear();
        if !self.aborting {
            // What was refused is known from reports that may lie there already.
            self.listen()?;
        }
        self.aborting = true;
        let answer = ready!(self.call(|| Job::Abort));
        self.aborting = false;
        self.failed = None;
        self.acknowledged.clear();
        Poll::Ready(answer)
    }

    fn part(&mut self, now_ms: i64) {
        // One of its own: others ring the worker's.
        let bell = Bell::default();
        for _ in 0..PARTING_STEPS {
            if self.abort(now_ms).is_ready() {
                return;
            }
            bell.wait(PARTING_STEP);
        }
        tracing::warn!("the transaction was not aborted in time: readers wait for its time-out");
    }

    fn tainted(&self) -> bool {
        self.live.as_ref().is_ok_and(|live| live.client.was_unanswered())
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        if let Ok(live) = &self.live {
            live.client.purge();
        }
    }
}

impl Tuning {
    /// A topic refuses a batch of several records as too large: the next producer makes smaller ones than these.
    fn divide_batches(&self, bytes: usize) {
        let half = (bytes / 2).max(1);
        let halved = self.batch_bytes.compare_exchange(bytes, half, Ordering::Relaxed, Ordering::Relaxed);
        if half < bytes && halved.is_ok() {
            tracing::info!(bytes = half, "batches become smaller: a topic has refused one");
        }
    }
}
