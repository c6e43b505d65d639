//! Door: the way into the shared broker, for one client of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use headwater_broker::{ApiKey, Broker, ClientId, Request, Response, Ticket};

use crate::kafka::Isolation;
use crate::topic::TopicPartition;

/// The broker with what its clients share.
pub(super) struct Shared {
    inside: Mutex<Inside>,
    news: Condvar,
}

struct Inside {
    broker: Broker,
    /// Largest time that a client has come with.
    now_ms: i64,
    /// Rises with every request about topics, groups or transactions that somebody else may wait for.
    news: u64,
    /// What a thread knew when it last waited: it need not wait when there is something newer.
    seen: HashMap<ThreadId, Mark>,
}

/// A state of the broker: its data's version, and the number of news.
type Mark = (u64, u64);

impl Inside {
    fn mark(&self) -> Mark {
        (self.broker.data_version(), self.news)
    }

    /// Lets the broker do what is due, once per moment.
    fn advance(&mut self, now_ms: i64) {
        if now_ms > self.now_ms {
            self.now_ms = now_ms;
            self.broker.tick(now_ms);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The broker itself, locked: for tests and simulations that plant faults or look inside.
///
/// No port may be used while it is held.
pub struct BrokerGuard<'a> {
    inside: MutexGuard<'a, Inside>,
    news: &'a Condvar,
}

impl Drop for BrokerGuard<'_> {
    fn drop(&mut self) {
        self.news.notify_all();
    }
}

impl fmt::Debug for BrokerGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerGuard").finish_non_exhaustive()
    }
}

impl std::ops::Deref for BrokerGuard<'_> {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.inside.broker
    }
}

impl std::ops::DerefMut for BrokerGuard<'_> {
    fn deref_mut(&mut self) -> &mut Broker {
        &mut self.inside.broker
    }
}

impl Shared {
    pub(super) fn new(broker: Broker) -> Self {
        let inside = Inside { broker, now_ms: i64::MIN, news: 0, seen: HashMap::new() };
        Self { inside: Mutex::new(inside), news: Condvar::new() }
    }

    /// A panic of another client does not hurt: the broker answers each request completely or not at all.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn broker(&self) -> BrokerGuard<'_> {
        BrokerGuard { inside: self.lock(), news: &self.news }
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.lock().now_ms.max(0)
    }

    /// Returns when something has changed since this thread last waited, or after `timeout_ms`.
    pub(super) fn wait(&self, timeout_ms: i64) {
        let thread = std::thread::current().id();
        let mut inside = self.lock();
        let known = inside.seen.get(&thread).copied().unwrap_or_default();
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        if inside.mark() == known {
            let waited = self.news.wait_timeout_while(inside, timeout, |inside| inside.mark() == known);
            inside = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mark = inside.mark();
        inside.seen.insert(thread, mark);
    }
}

/// One client's connection. Faults can be aimed at its [`ClientId`].
#[derive(Clone, Debug)]
pub(super) struct Door {
    shared: Arc<Shared>,
    client: ClientId,
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>, client: &str) -> Self {
        Self { shared, client: ClientId::new(client) }
    }

    pub(super) fn submit(&self, request: Request, now_ms: i64) -> Ticket {
        let tells = is_news(request.api_key());
        let mut inside = self.shared.lock();
        inside.advance(now_ms);
        let before = inside.mark();
        let ticket = inside.broker.submit(self.client.clone(), request, now_ms);
        inside.news += u64::from(tells);
        if inside.mark() != before {
            drop(inside);
            self.shared.news.notify_all();
        }
        ticket
    }

    pub(super) fn poll(&self, ticket: Ticket, now_ms: i64) -> Option<Response> {
        let mut inside = self.shared.lock();
        inside.advance(now_ms);
        inside.broker.poll(ticket, now_ms)
    }

    /// Gives a ticket back: its answer is of no interest any more.
    pub(super) fn abandon(&self, ticket: Ticket) {
        self.shared.lock().broker.abandon(ticket);
    }

    /// While it stays the same, a fetch that found nothing would find nothing again.
    pub(super) fn data_version(&self, now_ms: i64) -> u64 {
        let mut inside = self.shared.lock();
        inside.advance(now_ms);
        inside.broker.data_version()
    }

    /// The end of a partition as the broker has it now.
    pub(super) fn end(&self, partition: &TopicPartition, isolation: Isolation) -> Option<i64> {
        let view = self.shared.lock().broker.partition(&partition.topic, partition.partition)?;
        Some(match isolation {
            Isolation::ReadUncommitted => view.high_watermark,
            Isolation::ReadCommitted => view.last_stable_offset,
        })
    }
}

/// Whether somebody else may wait for such a request. Appended data has a version of its own.
fn is_news(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::LeaveGroup
            | ApiKey::InitProducerId
            | ApiKey::EndTxn
            | ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
    )
}
