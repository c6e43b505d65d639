//! Loader: a thread of the database. It brings in what restores have gathered, while workers go on.
//!
//! The thread begins with the first load and ends with the database. Whoever has sent a load off waits for it before anything
//! else is done to the task, so nothing comes in behind the back of its owner.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};

use super::database::Database;
use super::load;
use super::owners::Claim;
use crate::error::Result;
use crate::state::bytes::lock;
use crate::state::gathered::Gathered;

/// What is to be brought in.
struct Load {
    database: Arc<Database>,
    claim: Claim,
    gathered: Gathered,
    wanted: Arc<AtomicBool>,
    done: Sender<Result<()>>,
}

impl Load {
    /// Brings it in, and tells how that went when nothing is held on to any more.
    fn bring_in(self) {
        let Self { database, claim, gathered, wanted, done } = self;
        let is_wanted = wanted.load(Ordering::Relaxed);
        let outcome = if is_wanted { load::take_in(&database, &claim, gathered) } else { Ok(()) };
        drop(database);
        // Whoever has sent it may be gone.
        let _ = done.send(outcome);
    }
}

/// The way to the thread, once there is one.
#[derive(Debug, Default)]
pub(super) struct Loader {
    thread: Mutex<Option<Sender<Load>>>,
}

impl Loader {
    /// Sends what was gathered off.
    pub(super) fn send(database: &Arc<Database>, claim: &Claim, gathered: Gathered) -> Result<Coming> {
        let ((done, outcome), wanted) = (channel(), Arc::new(AtomicBool::new(true)));
        let coming = Coming { claim: claim.clone(), wanted: Arc::clone(&wanted), outcome };
        let load = Load { database: Arc::clone(database), claim: claim.clone(), gathered, wanted, done };
        let mut thread = lock(&database.loader.thread);
        let sent = match &*thread {
            Some(thread) => thread.send(load).map_err(|unsent| unsent.0),
            None => Err(load),
        };
        if let Err(load) = sent {
            let failed = |why: String| claim.failed(&format!("cannot restore: {why}"));
            let next = start().map_err(|error| failed(format!("no thread for it: {error}")))?;
            next.send(load).map_err(|_| failed("its thread is gone".to_owned()))?;
            *thread = Some(next);
        }
        Ok(coming)
    }
}

fn start() -> std::io::Result<Sender<Load>> {
    let (thread, inbox) = channel::<Load>();
    let work = move || inbox.into_iter().for_each(Load::bring_in);
    std::thread::Builder::new().name("headwater-restore".to_owned()).spawn(work)?;
    Ok(thread)
}

/// A load on its way into the database.
#[derive(Debug)]
pub(super) struct Coming {
    claim: Claim,
    wanted: Arc<AtomicBool>,
    outcome: Receiver<Result<()>>,
}

impl Coming {
    /// What became of it, if that is known already.
    pub(super) fn arrived(&self) -> Option<Result<()>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.lost()),
        }
    }

    /// Waits for it.
    pub(super) fn arrive(self) -> Result<()> {
        self.outcome.recv().unwrap_or_else(|_| self.lost())
    }

    /// Waits until it is in, or will never be: nobody wants it any more.
    pub(super) fn call_off(self) -> Result<()> {
        self.wanted.store(false, Ordering::Relaxed);
        self.arrive()
    }

    fn lost(&self) -> Result<()> {
        Err(self.claim.failed("cannot restore: its thread has panicked"))
    }
}
