//! The sender: the producer of a worker, with its transaction, replaced when it is dead or in doubt.

use std::sync::Arc;
use std::task::Poll;

use crate::error::Result;
use crate::kafka::{Answer, Cluster, GroupMetadata, OffsetCommit, Producer, ProducerOptions, Refusal};
use crate::record::RecordBatch;
use crate::topic::TopicPartition;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no epoch yet.
    New,
    /// No transaction is open.
    Idle,
    /// A transaction is open since then.
    Open(i64),
}

/// The producer of a worker.
pub struct Sender {
    cluster: Arc<dyn Cluster>,
    options: ProducerOptions,
    producer: Box<dyn Producer>,
    state: State,
}

impl Sender {
    /// A sender; it is ready once [`Sender::open`] says so.
    #[must_use]
    pub fn new(cluster: Arc<dyn Cluster>, options: ProducerOptions) -> Self {
        let producer = cluster.producer(&options);
        Self { cluster, options, producer, state: State::New }
    }

    /// Whether it writes in transactions.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.options.transactional_id.is_some()
    }

    /// Its transactional id.
    #[must_use]
    pub fn transactional_id(&self) -> Option<&str> {
        self.options.transactional_id.as_deref()
    }

    /// Whether it has an epoch.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state != State::New
    }

    /// Since when a transaction is open.
    #[must_use]
    pub fn open_since(&self) -> Option<i64> {
        match self.state {
            State::Open(since) => Some(since),
            _ => None,
        }
    }

    /// Gets an epoch: older producers of the same transactional id are fenced, their transaction is decided.
    ///
    /// # Errors
    /// As the cluster says.
    pub fn open(&mut self, now_ms: i64) -> Result<Poll<()>> {
        if self.state != State::New {
            return Ok(Poll::Ready(()));
        }
        let Poll::Ready(answer) = self.producer.init(now_ms) else { return Ok(Poll::Pending) };
        answer?;
        self.state = State::Idle;
        Ok(Poll::Ready(()))
    }

    /// Throws the producer away and makes a new one, which has to be opened.
    pub fn replace(&mut self) {
        self.producer = self.cluster.producer(&self.options);
        self.state = State::New;
    }

    /// Whether a transaction has been open for this long.
    pub fn is_overdue(&self, limit_ms: i64, now_ms: i64) -> bool {
        self.open_since().is_some_and(|since| now_ms.saturating_sub(since) >= limit_ms)
    }

    /// Replaces a producer whose last transaction had an indefinite answer: a delayed request may still arrive, and would
    /// count for the next transaction (KAFKA-17754). A new epoch fences it.
    pub fn replace_if_tainted(&mut self) -> bool {
        let tainted = self.state == State::Idle && self.producer.tainted();
        if tainted {
            tracing::info!("the producer had an indefinite answer: it gets a new epoch");
            self.replace();
        }
        tainted
    }

    /// Opens a transaction if none is open, so that even a commit without output carries its offsets.
    ///
    /// # Errors
    /// As the cluster says.
    pub fn begin(&mut self, now_ms: i64) -> Result<()> {
        if self.is_transactional() && self.state == State::Idle {
            self.producer.begin()?;
            self.state = State::Open(now_ms);
        }
        Ok(())
    }

    /// Queues a batch.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn send(&mut self, partition: &TopicPartition, batch: &mut RecordBatch, now_ms: i64) -> Result<()> {
        self.begin(now_ms)?;
        Ok(self.producer.send(partition, batch, now_ms)?)
    }

    /// Bytes queued and not yet acknowledged.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.producer.pending_bytes()
    }

    /// Moves queued records on.
    ///
    /// # Errors
    /// The first delivery that failed.
    pub fn poll(&mut self, now_ms: i64) -> Result<()> {
        Ok(self.producer.poll(now_ms)?)
    }

    /// As [`Producer::flush`].
    pub fn flush(&mut self, now_ms: i64) -> Answer<()> {
        self.producer.flush(now_ms)
    }

    /// As [`Producer::acknowledged`].
    pub fn acknowledged(&mut self) -> Vec<(TopicPartition, i64)> {
        self.producer.acknowledged()
    }

    /// As [`Producer::refused`].
    pub fn refused(&mut self) -> Vec<Refusal> {
        self.producer.refused()
    }

    /// As [`Producer::send_offsets`].
    pub fn send_offsets(
        &mut self,
        offsets: &[OffsetCommit],
        group: &GroupMetadata,
        now_ms: i64,
    ) -> Answer<()> {
        self.producer.send_offsets(offsets, group, now_ms)
    }

    /// As [`Producer::commit`]; then no transaction is open.
    pub fn commit(&mut self, now_ms: i64) -> Answer<()> {
        let answer = self.producer.commit(now_ms);
        if matches!(answer, Poll::Ready(Ok(()))) {
            self.state = State::Idle;
        }
        answer
    }

    /// Aborts the transaction, if one is open.
    pub fn abort(&mut self, now_ms: i64) -> Answer<()> {
        if !matches!(self.state, State::Open(_)) {
            return Poll::Ready(Ok(()));
        }
        let answer = self.producer.abort(now_ms);
        if matches!(answer, Poll::Ready(Ok(()))) {
            self.state = State::Idle;
        }
        answer
    }

    /// As [`Producer::part`], if a transaction is open.
    pub fn part(&mut self, now_ms: i64) {
        if matches!(self.state, State::Open(_)) {
            self.producer.part(now_ms);
        }
    }
}
