//! Door: the way into the shared broker, for one client of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use headwater_broker::{BrokerGuard, ClientId, Request, Response, SharedBroker, Ticket};

use crate::kafka::Isolation;
use crate::topic::TopicPartition;

/// The broker with what its clients share.
pub(super) struct Shared {
    broker: SharedBroker,
    /// Largest time that a client has come with.
    now_ms: AtomicI64,
    lobby: Arc<Lobby>,
}

/// Where threads wait for news.
#[derive(Default)]
struct Lobby {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// How often there was news.
    news: u64,
    /// What a thread knew when it last waited: it need not wait when there is something newer.
    seen: HashMap<ThreadId, u64>,
}

impl Lobby {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(broker: SharedBroker) -> Self {
        let lobby = Arc::new(Lobby::default());
        let bell = Arc::clone(&lobby);
        broker.listen(move |change| {
            if change.news {
                bell.lock().news += 1;
                bell.bell.notify_all();
            }
        });
        Self { broker, now_ms: AtomicI64::new(i64::MIN), lobby }
    }

    pub(super) fn broker(&self) -> BrokerGuard<'_> {
        self.broker.lock()
    }

    #[cfg(feature = "embedded")]
    pub(super) fn shared(&self) -> &SharedBroker {
        &self.broker
    }

    /// The broker, which has done what is due by now, once per moment.
    fn at(&self, now_ms: i64) -> BrokerGuard<'_> {
        let mut broker = self.broker.lock();
        if self.now_ms.fetch_max(now_ms, Ordering::Relaxed) < now_ms {
            broker.tick(now_ms);
        }
        broker
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed).max(0)
    }

    /// Returns when something has changed since this thread last waited, or after `timeout_ms`.
    pub(super) fn wait(&self, timeout_ms: i64) {
        let thread = std::thread::current().id();
        let mut waiting = self.lobby.lock();
        let known = waiting.seen.get(&thread).copied().unwrap_or_default();
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        if waiting.news == known {
            let waited =
                self.lobby.bell.wait_timeout_while(waiting, timeout, |waiting| waiting.news == known);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let news = waiting.news;
        waiting.seen.insert(thread, news);
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
        self.shared.at(now_ms).submit(self.client.clone(), request, now_ms)
    }

    pub(super) fn poll(&self, ticket: Ticket, now_ms: i64) -> Option<Response> {
        self.shared.at(now_ms).poll(ticket, now_ms)
    }

    /// Gives a ticket back: its answer is of no interest any more.
    pub(super) fn abandon(&self, ticket: Ticket) {
        self.shared.broker().abandon(ticket);
    }

    /// While it stays the same, a fetch that found nothing would find nothing again.
    pub(super) fn data_version(&self, now_ms: i64) -> u64 {
        self.shared.at(now_ms).data_version()
    }

    /// The end of a partition as the broker has it now.
    pub(super) fn end(&self, partition: &TopicPartition, isolation: Isolation) -> Option<i64> {
        let view = self.shared.broker().partition(&partition.topic, partition.partition)?;
        Some(match isolation {
            Isolation::ReadUncommitted => view.high_watermark,
            Isolation::ReadCommitted => view.last_stable_offset,
        })
    }
}
