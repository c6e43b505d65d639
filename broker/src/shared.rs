//! Sharing: one broker for all threads of a process, and whoever waits for it to change.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::broker::{Broker, Moved};

/// What has changed while somebody had the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether data was appended or deleted, or a last stable offset moved: see [`Broker::data_version`].
    pub data: bool,
    /// Whether answers have come that nobody has fetched yet. Those that were there before are no news: who looks for
    /// its own would wake itself.
    pub answers: bool,
    /// Whether there is news for who waits for others: see [`Broker::news`].
    pub news: bool,
}

type Listener = Box<dyn Fn(Change, &Moved) + Send + Sync>;

struct Inside {
    broker: Mutex<Broker>,
    listeners: RwLock<Vec<Listener>>,
}

/// A broker that threads share. Clones are the same broker.
#[derive(Clone)]
pub struct SharedBroker {
    inside: Arc<Inside>,
}

impl SharedBroker {
    /// Shares a broker.
    #[must_use]
    pub fn new(broker: Broker) -> Self {
        let inside = Inside { broker: Mutex::new(broker), listeners: RwLock::default() };
        Self { inside: Arc::new(inside) }
    }

    /// Has `listener` called whenever there is news or answers are ready. It is called by the thread that made the
    /// change, after it has let the broker go; it must not wait for anything.
    pub fn listen(&self, listener: impl Fn(Change) + Send + Sync + 'static) {
        self.listen_closely(move |change, _| listener(change));
    }

    /// The same for who wants to know which partitions moved.
    pub fn listen_closely(&self, listener: impl Fn(Change, &Moved) + Send + Sync + 'static) {
        self.inside.listeners.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    /// The broker, until the guard is dropped.
    ///
    /// A panic of another thread does not hurt: the broker answers each request completely or not at all.
    #[must_use]
    pub fn lock(&self) -> BrokerGuard<'_> {
        let broker = self.inside.broker.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Versions::of(&broker);
        BrokerGuard { broker: Some(broker), known, shared: self }
    }

    fn tell(&self, change: Change, moved: &Moved) {
        for listener in &*self.inside.listeners.read().unwrap_or_else(PoisonError::into_inner) {
            listener(change, moved);
        }
    }
}

impl fmt::Debug for SharedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBroker").finish_non_exhaustive()
    }
}

/// What a broker had when it was locked.
#[derive(Clone, Copy)]
struct Versions {
    all: u64,
    data: u64,
    news: u64,
}

impl Versions {
    fn of(broker: &Broker) -> Self {
        Self { all: broker.version(), data: broker.data_version(), news: broker.news() }
    }
}

/// The broker, locked. Whoever listens hears of changes when it is dropped.
pub struct BrokerGuard<'a> {
    /// Taken when it is dropped.
    broker: Option<MutexGuard<'a, Broker>>,
    known: Versions,
    shared: &'a SharedBroker,
}

impl Deref for BrokerGuard<'_> {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        self.broker.as_ref().expect("it is taken by its drop only")
    }
}

impl DerefMut for BrokerGuard<'_> {
    fn deref_mut(&mut self) -> &mut Broker {
        self.broker.as_mut().expect("it is taken by its drop only")
    }
}

impl Drop for BrokerGuard<'_> {
    fn drop(&mut self) {
        let Some(mut broker) = self.broker.take() else { return };
        let now = Versions::of(&broker);
        let change = Change {
            data: now.data != self.known.data,
            answers: now.all != self.known.all && broker.has_answers(),
            news: now.news != self.known.news,
        };
        let moved = if change.data { broker.take_moved() } else { Moved::default() };
        drop(broker);
        if change.news || change.answers {
            self.shared.tell(change, &moved);
        }
    }
}

impl fmt::Debug for BrokerGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::{Change, SharedBroker};
    use crate::api::{ClientId, CreateTopicsRequest, NewTopic};
    use crate::{Broker, BrokerConfig};

    #[test]
    fn who_listens_hears_of_answers_that_wait_and_may_look() {
        let shared = SharedBroker::new(Broker::new(BrokerConfig::default()));
        let (heard, topics) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (ear, eye, same) = (heard.clone(), topics.clone(), shared.clone());
        shared.listen(move |change| {
            ear.lock().unwrap().push(change);
            // Were the guard still held, this would wait for ever.
            eye.store(same.inside.broker.lock().unwrap().topics().len(), Ordering::Relaxed);
        });
        let create = |name: &str| CreateTopicsRequest::new(vec![NewTopic::new(name, 1)]);
        shared.lock().call(&ClientId::new("a"), create("t"), 0);
        let change = Change { data: false, answers: false, news: true };
        assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), [change], "its answer was fetched at once");
        let ticket = shared.lock().submit(ClientId::new("a"), create("u"), 0);
        assert_eq!(*heard.lock().unwrap(), [Change { answers: true, ..change }]);
        assert_eq!(topics.load(Ordering::Relaxed), 2);
        assert!(shared.lock().has_answers(), "an answer that was there before is no news");
        assert!(shared.lock().poll(ticket, 0).is_some());
        assert_eq!(heard.lock().unwrap().len(), 1);
    }
}
