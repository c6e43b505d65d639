//! Bell: what an idle worker sleeps by. Threads of librdkafka ring it when something has arrived.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What an idle worker sleeps by.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Without the lock: most rings come while nobody sleeps.
    rung: AtomicBool,
    asleep: Mutex<bool>,
    woken: Condvar,
}

impl Bell {
    /// Something has arrived.
    pub(super) fn ring(&self) {
        if self.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        if *self.asleep.lock().unwrap_or_else(PoisonError::into_inner) {
            self.woken.notify_all();
        }
    }

    /// Sleeps until the bell rings, or has since the last call; `limit` at most.
    pub(super) fn wait(&self, limit: Duration) {
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.rung.load(Ordering::SeqCst) {
            *asleep = true;
            let waited = self.woken.wait_timeout(asleep, limit).unwrap_or_else(PoisonError::into_inner);
            asleep = waited.0;
        }
        *asleep = false;
        // A swap: what was published before a ring that had nothing to change is seen, too.
        self.rung.swap(false, Ordering::SeqCst);
    }
}

/// Something of one sort has arrived: whether to look, and whom to wake.
#[derive(Debug)]
pub(super) struct Signal {
    raised: AtomicBool,
    bell: std::sync::Arc<Bell>,
}

impl Signal {
    /// A signal that is raised: what has come before it was made is to be looked for.
    pub(super) fn new(bell: &std::sync::Arc<Bell>) -> Self {
        Self { raised: AtomicBool::new(true), bell: std::sync::Arc::clone(bell) }
    }

    /// There is something.
    pub(super) fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// There may be more: look again, without waking anybody.
    pub(super) fn keep(&self) {
        self.raised.store(true, Ordering::Release);
    }

    /// Whether it was raised since the last call.
    pub(super) fn take(&self) -> bool {
        self.raised.load(Ordering::Relaxed) && self.raised.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_ring_before_the_wait_is_not_missed_and_one_during_it_wakes() {
        let bell = Arc::new(Bell::default());
        bell.ring();
        bell.wait(Duration::from_secs(3600));
        let other = Arc::clone(&bell);
        let ringer = std::thread::spawn(move || other.ring());
        bell.wait(Duration::from_secs(3600));
        ringer.join().unwrap();
    }
}
