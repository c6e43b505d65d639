//! Signals: SIGTERM and SIGINT end the applications that listen for them. While nobody listens, and from the second one on, they
//! end the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, Reaction, Result};

/// What the handlers of the process look at and set. They stay: without them signals would be ignored.
#[derive(Debug)]
struct Ears {
    told: Arc<AtomicBool>,
    ends_process: Arc<AtomicBool>,
    listeners: usize,
}

static EARS: Mutex<Option<Ears>> = Mutex::new(None);

impl Ears {
    fn new() -> std::io::Result<Self> {
        let (told, ends_process) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first one looks at what the signal before has left.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&ends_process))?;
            flag::register(signal, Arc::clone(&ends_process))?;
            flag::register(signal, Arc::clone(&told))?;
        }
        Ok(Self { told, ends_process, listeners: 0 })
    }
}

/// One who listens, until it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    told: Arc<AtomicBool>,
}

impl Listener {
    /// # Errors
    /// If the system takes no handler.
    pub(super) fn new() -> Result<Self> {
        let mut ears = EARS.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = match &mut *ears {
            Some(heard) => heard,
            none => none.insert(Ears::new().map_err(|error| {
                Error::new(Reaction::Stop, "signals cannot be listened to").because(error)
            })?),
        };
        if heard.listeners == 0 {
            heard.told.store(false, Ordering::SeqCst);
            heard.ends_process.store(false, Ordering::SeqCst);
        }
        heard.listeners += 1;
        Ok(Self { told: Arc::clone(&heard.told) })
    }

    /// Whether a signal has come.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut ears = EARS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = ears.as_mut() {
            heard.listeners -= 1;
            if heard.listeners == 0 {
                heard.ends_process.store(true, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_process() -> bool {
        EARS.lock().unwrap().as_ref().is_some_and(|ears| ears.ends_process.load(Ordering::SeqCst))
    }

    #[test]
    fn a_signal_is_for_who_listens_and_ends_the_process_where_nobody_does() {
        let (one, other) = (Listener::new().unwrap(), Listener::new().unwrap());
        assert!(!one.is_told() && !ends_process());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(one.is_told() && other.is_told() && ends_process());
        drop(one);
        let late = Listener::new().unwrap();
        assert!(late.is_told(), "the others have not ended yet");
        drop((other, late));
        // The next application of the process.
        let next = Listener::new().unwrap();
        assert!(!next.is_told() && !ends_process());
        drop(next);
        assert!(ends_process(), "nobody would hear it");
    }
}
