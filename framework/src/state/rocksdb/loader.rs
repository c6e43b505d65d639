//! Loader: a thread of the database. It makes files of what restores bring, and takes them in, while workers go on.
//!
//! The thread begins with the first file and ends with the database. Whoever has sent a file off waits for it before
//! anything else is done to the task, so nothing comes in behind the back of its owner.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};

use super::database::Database;
use super::load;
use super::owners::Claim;
use crate::error::{Error, Reaction, Result};
use crate::state::bytes::lock;
use crate::state::gathered::Gathered;

/// What is to become a file.
struct Cargo {
    database: Arc<Database>,
    claim: Claim,
    gathered: Gathered,
    done: Sender<Result<()>>,
}

impl Cargo {
    /// Takes it in, and tells how that went when nothing is held on to any more.
    fn unload(self) {
        let Self { database, claim, gathered, done } = self;
        let outcome = load::take_in(&database, &claim, gathered);
        drop(database);
        // Whoever has sent it may be gone.
        let _ = done.send(outcome);
    }
}

/// The way to the thread, once there is one.
#[derive(Debug, Default)]
pub(super) struct Loader {
    thread: Mutex<Option<Sender<Cargo>>>,
}

impl Loader {
    /// Sends what was gathered off.
    pub(super) fn send(database: &Arc<Database>, claim: &Claim, gathered: Gathered) -> Result<Coming> {
        let (done, outcome) = channel();
        let cargo = Cargo { database: Arc::clone(database), claim: claim.clone(), gathered, done };
        let mut thread = lock(&database.loader.thread);
        let sent = match &*thread {
            Some(thread) => thread.send(cargo).map_err(|unsent| unsent.0),
            None => Err(cargo),
        };
        if let Err(cargo) = sent {
            let next =
                start().map_err(|error| claim.failed("cannot restore: no thread for it").because(error))?;
            next.send(cargo).map_err(|_| claim.failed("cannot restore: its thread is gone"))?;
            *thread = Some(next);
        }
        Ok(Coming { claim: claim.clone(), outcome })
    }
}

fn start() -> std::io::Result<Sender<Cargo>> {
    let (thread, inbox) = channel::<Cargo>();
    let work = move || inbox.into_iter().for_each(Cargo::unload);
    std::thread::Builder::new().name("headwater-restore".to_owned()).spawn(work)?;
    Ok(thread)
}

/// A file on its way into the database.
#[derive(Debug)]
pub(super) struct Coming {
    claim: Claim,
    outcome: Receiver<Result<()>>,
}

impl Coming {
    /// What became of it, if that is known already.
    pub(super) fn arrived(&self) -> Option<Result<()>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.lost())),
        }
    }

    /// Waits for it.
    pub(super) fn arrive(self) -> Result<()> {
        self.outcome.recv().unwrap_or_else(|_| Err(self.lost()))
    }

    fn lost(&self) -> Error {
        self.claim.failed("cannot restore: its thread has panicked")
    }
}

impl Claim {
    fn failed(&self, message: &str) -> Error {
        Error::new(Reaction::Stop, message).in_task(self.task)
    }
}
