//! An application that runs: its threads, and what they publish.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::drive::drive;
use crate::error::{Error, Reaction, Result};
use crate::kafka::Cluster;
use crate::time::Clock;
use crate::worker::{Figures, Worker, WorkerOptions, WorkerState};

/// How long a signal may go unnoticed.
const LISTEN: Duration = Duration::from_millis(20);
/// How often a worker publishes its figures.
const PUBLISH_MS: i64 = 1_000;

/// What the threads of an application share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    figures: Vec<(usize, WorkerState, Figures)>,
    error: Option<Error>,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, number: usize, worker: &Worker) {
        let mut board = self.board();
        board.figures.retain(|(other, ..)| *other != number);
        board.figures.push((number, worker.state(), worker.figures().clone()));
    }
}

/// An application that runs. Dropping it does not stop it; [`Running::stop`] does.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    pub(super) fn new(shared: Arc<Shared>, threads: Vec<JoinHandle<()>>) -> Self {
        Self { shared, threads }
    }

    /// The states of the workers, as of the last second.
    #[must_use]
    pub fn states(&self) -> Vec<WorkerState> {
        let mut figures: Vec<_> =
            self.shared.board().figures.iter().map(|(number, state, _)| (*number, *state)).collect();
        figures.sort_by_key(|(number, _)| *number);
        figures.into_iter().map(|(_, state)| state).collect()
    }

    /// The figures of all workers together, as of the last second.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut all = Figures::default();
        self.shared.board().figures.iter().for_each(|(.., figures)| all.add(figures));
        all
    }

    /// What the first worker that failed said; [`Running::wait`] returns it once all are gone.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared.board().error.as_ref().map(ToString::to_string)
    }

    /// Whether all workers are gone: one has failed, or they were stopped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Commits, leaves the group, and waits for the workers.
    ///
    /// # Errors
    /// That of the first worker that failed, now or before.
    pub fn stop(self) -> Result<Figures> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits until the process is told to end (SIGTERM, or SIGINT as by Ctrl-C), then commits, leaves the group and waits for
    /// the workers; or until they are gone by themselves. A second signal ends the process at once.
    ///
    /// # Errors
    /// As [`Running::stop`]; or if signals cannot be listened to.
    pub fn until_signal(self) -> Result<Figures> {
        let told = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // First the one for the second time: it looks at what the first time has left.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&told))
                .and_then(|_| flag::register(signal, Arc::clone(&told)))
                .map_err(|error| {
                    Error::new(Reaction::Stop, "signals cannot be listened to").because(error)
                })?;
        }
        while !told.load(Ordering::Relaxed) && !self.is_finished() {
            std::thread::park_timeout(LISTEN);
        }
        self.stop()
    }

    /// Waits until the workers are gone.
    ///
    /// # Errors
    /// That of the first worker that failed. One that fails stops the others.
    pub fn wait(mut self) -> Result<Figures> {
        for thread in self.threads.drain(..) {
            // Not a worker that panicked while it worked, which has told so itself.
            if thread.join().is_err() {
                let error = Error::new(Reaction::Stop, "a worker's thread panicked");
                self.shared.board().error.get_or_insert(error);
            }
        }
        let error = self.shared.board().error.take();
        error.map_or_else(|| Ok(self.figures()), Err)
    }
}

/// What a worker's thread takes from outside.
pub(super) type Outside = (Arc<dyn Cluster>, Arc<dyn Clock>);

/// The body of a worker's thread.
pub(super) fn run(number: usize, options: WorkerOptions, (cluster, clock): &Outside, shared: &Shared) {
    let mut worker = Worker::new(options);
    let mut published_ms = 0;
    // A worker that panics must not leave the others, and whoever waits for them, in the belief that it lives.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        drive(&mut worker, cluster.as_ref(), clock.as_ref(), &mut |worker| {
            if shared.stop.load(Ordering::Relaxed) {
                worker.stop();
            }
            let now_ms = clock.now_ms();
            if (now_ms - published_ms).abs() >= PUBLISH_MS {
                published_ms = now_ms;
                shared.publish(number, worker);
            }
        })
    }));
    let outcome = outcome.unwrap_or_else(|panic| {
        let message = said(panic.as_ref());
        // What it has broken may make it panic again.
        let failed = catch_unwind(AssertUnwindSafe(|| worker.panicked(message)));
        Err(failed
            .unwrap_or_else(|_| Error::new(Reaction::Stop, format!("worker {number} panicked: {message}"))))
    });
    if let Err(error) = outcome {
        shared.board().error.get_or_insert(error);
        shared.stop.store(true, Ordering::Relaxed);
    }
    shared.publish(number, &worker);
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
