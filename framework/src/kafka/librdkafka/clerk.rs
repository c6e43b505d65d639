//! Clerk: a thread that makes the calls of a transaction, which wait, so that the worker does not have to.

use std::mem::{Discriminant, discriminant};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use super::bell::Bell;
use super::raw::{Client, Failure};
use crate::kafka::{GroupMetadata, OffsetCommit};

/// How long a call waits before it is seen whether anybody still wants its answer. But the one for offsets begins anew each
/// time, so it has all the time that it may take (and while no coordinator is there librdkafka does not end it at all).
const SLICE_MS: i32 = 500;
/// After so many of them the call for an epoch, with which nothing is lost, is given back: whoever makes it counts how long
/// that is worth the while. The others go on, since a transaction has a time-out of its own.
const INIT_SLICES: u32 = 20;

/// A call that waits.
#[derive(Debug)]
pub(super) enum Job {
    Init,
    Offsets(Vec<OffsetCommit>, GroupMetadata),
    Commit,
    Abort,
}

impl Job {
    /// Whether it is made again after so many times.
    fn is_worth_another(&self, times: u32) -> bool {
        !matches!(self, Self::Init) || times < INIT_SLICES
    }

    fn call(&self, client: &Client, offsets_ms: i32) -> Result<(), Failure> {
        match self {
            Self::Init => client.init_transactions(SLICE_MS),
            Self::Offsets(offsets, group) => client.send_offsets(offsets, group, offsets_ms),
            Self::Commit => client.commit_transaction(SLICE_MS),
            Self::Abort => client.abort_transaction(SLICE_MS),
        }
    }
}

#[derive(Debug, Default)]
struct Desk {
    outcome: Mutex<Option<Result<(), Failure>>>,
    dismissed: AtomicBool,
}

/// A thread that makes the calls of a transaction, one after the other.
#[derive(Debug)]
pub(super) struct Clerk {
    jobs: Sender<Job>,
    desk: Arc<Desk>,
    /// The call under way, or whose answer was not taken.
    busy: Option<Discriminant<Job>>,
}

impl Clerk {
    /// The call for offsets may take so long.
    pub(super) fn new(client: &Arc<Client>, bell: &Arc<Bell>, offsets_ms: i32) -> std::io::Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        let desk = Arc::new(Desk::default());
        let (client, bell, shared) = (Arc::clone(client), Arc::clone(bell), Arc::clone(&desk));
        let work = move || {
            for job in inbox {
                let mut times = 1;
                let outcome = loop {
                    let wanted = job.is_worth_another(times) && !shared.dismissed.load(Ordering::Relaxed);
                    match job.call(&client, offsets_ms) {
                        Err(failure) if failure.retriable && wanted => {
                            tracing::debug!(code = failure.code, text = failure.text, ?job, "called again");
                            times += 1;
                        }
                        outcome => break outcome,
                    }
                };
                *shared.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                bell.ring();
            }
        };
        std::thread::Builder::new().name("headwater-clerk".to_owned()).spawn(work)?;
        Ok(Self { jobs, desk, busy: None })
    }

    /// Makes a call unless it is under way, and brings its answer, once. The answer to another call that nobody has waited
    /// for is dropped first.
    pub(super) fn call(&mut self, job: impl FnOnce() -> Job) -> Poll<Result<(), Failure>> {
        let outcome = self.desk.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.busy.is_some() && outcome.is_none() {
            return Poll::Pending;
        }
        let job = job();
        let wanted = discriminant(&job);
        match outcome {
            Some(outcome) if self.busy.take() == Some(wanted) => Poll::Ready(outcome),
            _ => {
                self.busy = self.jobs.send(job).is_ok().then_some(wanted);
                Poll::Pending
            }
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.desk.dismissed.store(true, Ordering::Relaxed);
    }
}
