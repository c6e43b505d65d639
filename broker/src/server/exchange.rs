//! An exchange: one request of a client, and what is needed to answer it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::{BrokerId, TopicName};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::host::{Host, NODE_ID, PERMIT_BYTES, Peer};
use crate::api::{ApiKey, Request, Response, Ticket, TopicId, TopicPartition};
use crate::error::ErrorCode;
use crate::shared::{BrokerGuard, SharedBroker};
use crate::wire::{self, Malformed};

/// Why a connection ends without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hangup {
    /// Nothing has come for `connections.max.idle.ms`.
    Idle,
    /// The request makes no sense, so whatever comes behind it would not either.
    Malformed(String),
    /// The broker failed as a whole: a fault that was planted, or its end.
    Failed(ErrorCode),
}

impl From<Malformed> for Hangup {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.0)
    }
}

/// One request.
pub(super) struct Exchange<'a> {
    pub(super) host: &'a Host,
    pub(super) peer: &'a Peer,
    pub(super) version: i16,
    /// The room that its answer takes until it is sent.
    pub(super) held: Cell<Option<OwnedSemaphorePermit>>,
}

/// A ticket whose answer is of no interest any more when this is dropped before it came.
struct Waiting<'a> {
    broker: &'a SharedBroker,
    ticket: Ticket,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.broker.lock().abandon(self.ticket);
        }
    }
}

impl<'a> Exchange<'a> {
    pub(super) fn new(host: &'a Host, peer: &'a Peer, version: i16) -> Self {
        Self { host, peer, version, held: Cell::new(None) }
    }

    /// Bytes that there is room for in answers.
    pub(super) fn answer_room(&self) -> usize {
        self.host.answer_room.available_permits().saturating_mul(PERMIT_BYTES)
    }

    /// Takes room for an answer of so many bytes. A batch that is larger than what is left is answered all the same:
    /// who reads has to get on.
    pub(super) fn hold(&self, bytes: usize) {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        self.held.set(Arc::clone(&self.host.answer_room).try_acquire_many_owned(permits).ok());
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.host.clock.now_ms()
    }

    pub(super) fn broker(&self) -> BrokerGuard<'_> {
        self.host.broker.lock()
    }

    /// Asks the broker, and waits for its answer: for most requests it is there at once.
    pub(super) async fn ask<T>(&self, request: impl Into<Request>) -> Result<T, Hangup>
    where
        T: TryFrom<Response, Error = ErrorCode>,
    {
        let request = request.into();
        let api = request.api_key();
        let response = match self.submit(request) {
            Ok(response) => response,
            Err(ticket) => self.wait(ticket).await,
        };
        self.host.counters.count_errors(api, &response, |error| self.tell(api, error));
        T::try_from(response).map_err(Hangup::Failed)
    }

    /// An error goes out. That of storage is the operator's business.
    fn tell(&self, api: ApiKey, error: ErrorCode) {
        let (peer, client, error_name) = (self.peer.remote, self.peer.client.as_str(), error.name());
        let of_storage = matches!(error, ErrorCode::KafkaStorageError | ErrorCode::CoordinatorNotAvailable);
        if of_storage && let Ok(untold) = self.host.notices.storage.admit(self.now_ms()) {
            tracing::warn!(
                %peer, client, ?api, error = error_name, untold,
                "what a client sent cannot be written; is the disk full? It goes on when there is room"
            );
        } else {
            tracing::debug!(%peer, client, ?api, error = error_name, "a request is refused");
        }
    }

    fn submit(&self, request: Request) -> Result<Response, Ticket> {
        let now = self.now_ms();
        let mut broker = self.broker();
        let ticket = broker.submit(self.peer.client.clone(), request, now);
        broker.poll(ticket, now).ok_or(ticket)
    }

    async fn wait(&self, ticket: Ticket) -> Response {
        let mut waiting = Waiting { broker: &self.host.broker, ticket, answered: false };
        loop {
            let mut news = std::pin::pin!(self.host.answers.notified());
            news.as_mut().enable();
            // In a statement of its own: the guard must not be held while this waits.
            let answer = self.broker().poll(ticket, self.now_ms());
            if let Some(response) = answer {
                waiting.answered = true;
                return response;
            }
            news.await;
        }
    }

    /// What clients are told to connect to.
    pub(super) fn address(&self) -> (Arc<str>, i32) {
        let (host, port) = self.peer.entrance.address(self.peer.local);
        (host, i32::from(port))
    }

    /// The name of a topic that a client knows by its id; a name that no topic has, if there is none.
    pub(super) fn name_of(&self, id: Uuid) -> Arc<str> {
        self.broker().topic_name(TopicId(id.as_u128())).unwrap_or_else(|| format!(":{id}").into())
    }
}

/// The only node.
pub(super) fn node() -> BrokerId {
    BrokerId(NODE_ID)
}

/// Partitions of topics, as requests have them, one by one.
pub(super) fn partitions(topic: &TopicName, numbers: impl IntoIterator<Item = i32>) -> Vec<TopicPartition> {
    let name = wire::name(&topic.0);
    numbers.into_iter().map(|partition| TopicPartition { topic: name.clone(), partition }).collect()
}

/// What a client asks for, each once: whatever is asked for again and again could make an answer as large as one likes.
pub(super) fn each_once<T: Clone + Ord>(wanted: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    wanted.into_iter().filter(|one| seen.insert(one.clone())).collect()
}

/// Answers for partitions, gathered by topic again. They stand in the order of the request, where partitions of a topic
/// stand together.
pub(super) fn by_topic<T>(
    answers: impl IntoIterator<Item = T>,
    topic_of: impl Fn(&T) -> &Arc<str>,
) -> Vec<(Arc<str>, Vec<T>)> {
    let mut topics: Vec<(Arc<str>, Vec<T>)> = Vec::new();
    for answer in answers {
        let topic = topic_of(&answer);
        match topics.last_mut() {
            Some((last, answers)) if last == topic => answers.push(answer),
            _ => topics.push((topic.clone(), vec![answer])),
        }
    }
    topics
}

/// A topic's name on the wire.
pub(super) fn topic(name: &str) -> TopicName {
    TopicName(wire::text(name))
}
