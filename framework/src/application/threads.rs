//! Threads: each runs the workers of one number, one after the other; threads come and go while others run.
//!
//! 1. A worker has the smallest number that is free. A number is taken until its worker is gone for good, since transactional
//!    id and `group.instance.id` are made of it.
//! 2. A worker that fails is replaced on the same thread, under the same number, where the handler says so. It is dropped
//!    before: nothing of it lives on but what is committed, and its figures.
//! 3. The one with the highest number is removed first. So number 0, which looks after the state folder, goes last.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use super::Application;
use super::drive::drive;
use super::uncaught::{Failures, UncaughtErrorResponse};
use crate::error::{Error, Reaction, Result};
#[cfg(feature = "metrics")]
use crate::metrics::WorkerSnapshot;
use crate::time::SteadyTime;
use crate::worker::{Figures, Levels, Worker, WorkerState};

/// How long a signal, or the end of a pause, may go unnoticed.
pub(super) const LISTEN: Duration = Duration::from_millis(20);
/// How often a worker publishes its figures.
const PUBLISH_MS: i64 = 1_000;
/// The upper limit of `num.stream.threads`: a worker's number has three digits in the names of its clients.
const THREADS_MAX: usize = 999;

/// What the threads of an application share.
pub(super) struct Shared {
    pub(super) application: Application,
    stop: AtomicBool,
    pub(super) paused: AtomicBool,
    /// How many threads there are.
    workers: AtomicUsize,
    board: Mutex<Board>,
    /// Told when a thread has ended.
    ended: Condvar,
}

/// What the threads publish, and the threads themselves.
#[derive(Default)]
pub(super) struct Board {
    threads: BTreeMap<usize, Thread>,
    /// Threads that have nothing to do any more.
    done: Vec<JoinHandle<()>>,
    pub(super) figures: Vec<(usize, WorkerState, Figures)>,
    pub(super) levels: BTreeMap<usize, Levels>,
    /// The figures of workers that were replaced or removed.
    pub(super) past: Figures,
    pub(super) error: Option<Error>,
    /// What that error says; stays where the error is taken.
    pub(super) failure: Option<String>,
}

struct Thread {
    leave: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl Board {
    /// The figures of worker `number` belong to the past: it is gone, but others go on.
    fn retire(&mut self, number: usize) {
        for (_, _, figures) in self.figures.iter_mut().filter(|(other, ..)| *other == number) {
            self.past.add(&std::mem::take(figures));
        }
        self.levels.remove(&number);
    }
}

impl Shared {
    pub(super) fn new(application: Application, paused: bool) -> Self {
        Self {
            application,
            stop: AtomicBool::new(false),
            paused: AtomicBool::new(paused),
            workers: AtomicUsize::new(0),
            board: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread of one more worker. Returns the worker's number.
    pub(super) fn add_thread(self: &Arc<Self>) -> Result<usize> {
        let mut board = self.board();
        let refused = |why: &str| Err(Error::new(Reaction::Stop, format!("no worker can be added: {why}")));
        if self.is_stopping() {
            return refused("the application stops");
        }
        let free = (0..THREADS_MAX).find(|number| !board.threads.contains_key(number));
        let Some(number) = free else { return refused(&format!("there are {THREADS_MAX}")) };
        let (leave, shared) = (Arc::new(AtomicBool::new(false)), Arc::clone(self));
        let told = Arc::clone(&leave);
        let handle = std::thread::Builder::new()
            .name(format!("{}-{number}", self.application.plan.application))
            .spawn(move || run(number, &told, &shared))
            .map_err(|error| {
                Error::new(Reaction::Stop, "a worker's thread cannot be started").because(error)
            })?;
        board.threads.insert(number, Thread { leave, handle });
        // Whoever looks on knows of it before its first step; unless it has published already.
        if !board.figures.iter().any(|(other, ..)| *other == number) {
            board.figures.push((number, WorkerState::Created, Figures::default()));
        }
        self.workers.store(board.threads.len(), Ordering::Relaxed);
        Ok(number)
    }

    /// Tells the worker of the highest number to leave, and waits until it is gone; on the thread of a worker it does not
    /// wait, since that one may be meant, or be told to wait for another that waits for it.
    pub(super) fn remove_thread(&self) -> Option<usize> {
        let mut board = self.board();
        if self.is_stopping() {
            return None;
        }
        let mut threads = board.threads.iter().rev();
        let (number, thread) = threads.find(|(_, thread)| !thread.leave.load(Ordering::Relaxed))?;
        let (number, leave) = (*number, Arc::clone(&thread.leave));
        leave.store(true, Ordering::Relaxed);
        let settings = self.application.config.settings();
        let session_timeout_ms = settings.session_timeout_ms;
        match settings.group_instance_id {
            Some(_) => tracing::warn!(
                worker = number,
                session_timeout_ms,
                "is removed; as a static member it stays in the group: nobody has its tasks until the session is over"
            ),
            None => tracing::info!(worker = number, "is removed"),
        }
        // Its number may be taken again at once, by another thread.
        let is_there = |board: &Board| {
            board.threads.get(&number).is_some_and(|thread| Arc::ptr_eq(&thread.leave, &leave))
        };
        let waits = !has_thread(&board, std::thread::current().id());
        while waits && is_there(&board) {
            board = self.ended.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        Some(number)
    }

    /// Waits until the application is told to stop, and all threads are gone.
    pub(super) fn wait(&self) -> Result<()> {
        let mut board = self.board();
        if has_thread(&board, std::thread::current().id()) {
            return Err(Error::new(Reaction::Stop, "a worker cannot wait for its own end"));
        }
        while !(self.is_stopping() && board.threads.is_empty()) {
            board = self.ended.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        let done = std::mem::take(&mut board.done);
        drop(board);
        // What they panic of is taken care of where it happens.
        done.into_iter().for_each(|thread| drop(thread.join()));
        Ok(())
    }

    /// Tells all workers to stop, and whoever waits for them that it is so.
    pub(super) fn stop(&self) {
        let board = self.board();
        self.stop.store(true, Ordering::Relaxed);
        drop(board);
        self.ended.notify_all();
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_stopping() && self.board().threads.is_empty()
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn is_leaving(&self, leave: &AtomicBool) -> bool {
        self.is_stopping() || leave.load(Ordering::Relaxed)
    }

    /// Hands on what the worker is told from outside.
    fn tell(&self, worker: &mut Worker, leave: &AtomicBool) {
        if self.is_leaving(leave) {
            worker.stop();
        }
        match self.paused.load(Ordering::Relaxed) {
            true => worker.pause(),
            false => worker.resume(),
        }
        worker.share_memory(self.workers.load(Ordering::Relaxed));
    }

    fn publish(&self, number: usize, worker: &Worker) {
        // Outside of the lock: it takes a while where there are many tasks. Those of a worker that has failed may be broken.
        let has_failed = worker.state() == WorkerState::Failed;
        let levels = if has_failed { Levels::default() } else { worker.levels() };
        let mut board = self.board();
        board.figures.retain(|(other, ..)| *other != number);
        board.figures.push((number, worker.state(), worker.figures().clone()));
        board.levels.insert(number, levels);
    }

    /// What the workers have published last, by number, each under what `thread` calls it; how many have failed; and whether
    /// the application has.
    #[cfg(feature = "metrics")]
    pub(super) fn published(&self, thread: impl Fn(usize) -> String) -> (Vec<WorkerSnapshot>, u64, bool) {
        let board = self.board();
        let snapshot = |(number, state, figures): &(usize, WorkerState, Figures)| WorkerSnapshot {
            thread: thread(*number),
            state: *state,
            figures: figures.clone(),
            levels: board.levels.get(number).cloned().unwrap_or_default(),
        };
        let mut workers: Vec<_> = board.figures.iter().map(snapshot).collect();
        workers.sort_by(|one, other| one.thread.cmp(&other.thread));
        (workers, board.past.failures, board.failure.is_some())
    }

    /// Whether the worker that has failed is to be replaced; else all stop.
    fn is_replaced(&self, number: usize, error: Error) -> bool {
        let response = self.response(number, &error);
        let mut board = self.board();
        board.past.failures += 1;
        // Nobody follows a worker that fails while all stop: what it has not committed is told as the end.
        if response == UncaughtErrorResponse::ReplaceThread && !self.is_stopping() {
            board.retire(number);
            return true;
        }
        self.fail(board, error);
        false
    }

    /// The end of the application.
    fn fail(&self, mut board: MutexGuard<'_, Board>, error: Error) {
        board.failure.get_or_insert_with(|| error.to_string());
        board.error.get_or_insert(error);
        drop(board);
        self.stop();
    }

    fn response(&self, number: usize, error: &Error) -> UncaughtErrorResponse {
        let Some(handler) = &self.application.uncaught else { return UncaughtErrorResponse::ShutdownClient };
        catch_unwind(AssertUnwindSafe(|| handler(error))).unwrap_or_else(|panic| {
            let message = said(panic.as_ref());
            tracing::error!(
                worker = number,
                message,
                "the handler of uncaught errors panicked: all workers stop"
            );
            UncaughtErrorResponse::ShutdownClient
        })
    }

    /// Lets a pause pass. Returns whether nobody wants the worker gone meanwhile.
    fn rest(&self, pause_ms: i64, leave: &AtomicBool) -> bool {
        let (clock, mut steady) = (&self.application.clock, SteadyTime::default());
        let until_ms = steady.at(clock.now_ms()).saturating_add(pause_ms);
        while !self.is_leaving(leave) && steady.at(clock.now_ms()) < until_ms {
            std::thread::park_timeout(LISTEN);
        }
        !self.is_leaving(leave)
    }

    /// The last thing that a thread does.
    fn end(&self, number: usize, leave: &AtomicBool) {
        let mut board = self.board();
        if leave.load(Ordering::Relaxed) {
            board.retire(number);
            board.figures.retain(|(other, ..)| *other != number);
        }
        let thread = board.threads.remove(&number);
        board.done.retain(|done| !done.is_finished());
        board.done.extend(thread.map(|thread| thread.handle));
        self.workers.store(board.threads.len(), Ordering::Relaxed);
        drop(board);
        self.ended.notify_all();
    }
}

fn has_thread(board: &Board, id: ThreadId) -> bool {
    board.threads.values().any(|thread| thread.handle.thread().id() == id)
}

/// The body of a thread.
fn run(number: usize, leave: &AtomicBool, shared: &Shared) {
    // A worker's panics are dealt with before; this is what is left, such as a clock that panics.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| live_on(number, leave, shared))) {
        let message = format!("the thread of worker {number} panicked: {}", said(panic.as_ref()));
        shared.fail(shared.board(), Error::new(Reaction::Stop, message));
    }
    shared.end(number, leave);
}

/// Worker after worker of one number, until one has ended in order, or all shall end.
fn live_on(number: usize, leave: &AtomicBool, shared: &Shared) {
    let clock = &shared.application.clock;
    let (mut steady, mut failures) = (SteadyTime::default(), Failures::default());
    loop {
        let since_ms = steady.at(clock.now_ms());
        let Err(error) = live(number, leave, shared) else { break };
        if leave.load(Ordering::Relaxed) && !shared.is_stopping() {
            tracing::warn!(worker = number, %error, "a worker that was removed has not ended in order; the others go on");
            break;
        }
        let lived_ms = steady.at(clock.now_ms()).saturating_sub(since_ms);
        if !shared.is_replaced(number, error) {
            break;
        }
        let pause_ms = failures.note(lived_ms);
        tracing::warn!(worker = number, pause_ms, "the worker is replaced");
        if !shared.rest(pause_ms, leave) {
            break;
        }
    }
}

/// A worker from its making to its end, whatever it panics of.
fn live(number: usize, leave: &AtomicBool, shared: &Shared) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| work(number, leave, shared))).unwrap_or_else(|panic| {
        let message = said(panic.as_ref());
        tracing::error!(worker = number, message, "the worker panicked at its beginning or end");
        Err(Error::new(Reaction::Stop, format!("worker {number} panicked: {message}")))
    })
}

fn work(number: usize, leave: &AtomicBool, shared: &Shared) -> Result<()> {
    let (cluster, clock) = (shared.application.cluster.for_worker(), &shared.application.clock);
    let mut worker = Worker::new(shared.application.worker(number, &cluster));
    shared.tell(&mut worker, leave);
    let mut published_ms = 0;
    // A worker that panics must not leave the others, and whoever waits for them, in the belief that it lives.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        drive(&mut worker, cluster.as_ref(), clock.as_ref(), &mut |worker| {
            shared.tell(worker, leave);
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
    shared.publish(number, &worker);
    outcome
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::dsl::StreamsBuilder;
    use crate::kafka::memory::MemoryCluster;
    use crate::state::MemoryBackend;

    fn application(workers: &str) -> Application {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").to("out");
        let cluster = MemoryCluster::new();
        ["in", "out"].iter().for_each(|topic| cluster.create_topic(topic, 1).expect("a topic"));
        let properties =
            [("application.id", "a"), ("num.stream.threads", workers), ("memory.max", "12000000")];
        let config = Config::from_properties(properties).expect("settings");
        let topology = builder.build().expect("a topology");
        Application::new(&topology, config, Arc::new(cluster), Arc::new(MemoryBackend::default()))
            .expect("an application")
    }

    #[test]
    fn workers_share_memory_with_those_that_there_are() {
        let shared = Arc::new(Shared::new(application("2"), false));
        let mut worker = Worker::new(shared.application.worker(0, &shared.application.cluster));
        assert_eq!(
            worker.memory_share(),
            4_500_000,
            "as `num.stream.threads` says, until it hears otherwise"
        );
        let mut share = || {
            shared.tell(&mut worker, &AtomicBool::new(false));
            worker.memory_share()
        };
        for (number, expected) in [(0, 9_000_000), (1, 4_500_000), (2, 3_000_000)] {
            assert_eq!((shared.add_thread().expect("a thread"), share()), (number, expected));
        }
        assert_eq!((shared.remove_thread(), share()), (Some(2), 4_500_000));
        shared.stop();
        shared.wait().expect("the end");
        assert_eq!(share(), 9_000_000);
    }

    #[test]
    fn a_thread_that_panics_beside_its_worker_ends_the_application() {
        #[derive(Debug)]
        struct Broken;
        impl crate::time::Clock for Broken {
            fn now_ms(&self) -> i64 {
                panic!("out of time")
            }
            fn elapsed_us(&self) -> u64 {
                0
            }
        }
        let running = application("1").clock(Arc::new(Broken)).start().expect("a start");
        let error = running.wait().map(|_| ()).expect_err("a panic is an error");
        assert_eq!(error.to_string(), "the thread of worker 0 panicked: out of time");
    }
}
