//! The worker: one loop body that takes records from station to station, and the only place that reacts to errors.
//!
//! [`Worker::step`] never waits. Whoever drives it (a thread of the application, the test kit, a simulation) calls it again
//! and again, and waits when it says that there was nothing to do.

mod figures;
mod levels;
mod observer;
mod options;
mod orders;
mod out_of_range;
mod rebalance;
mod recover;
mod refusals;
mod restoring;
mod retention;
mod setbacks;
mod state;
mod stations;

pub use figures::Figures;
pub use levels::{InputLag, Levels, TaskLevels};
pub use observer::Observer;
pub use options::WorkerOptions;
pub use state::WorkerState;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use crate::commit::{CommitOptions, Committer, FlushOptions, Planted, Probe};
use crate::config::Settings;
use crate::consume::{Lag, Lane};
use crate::error::{Reaction, Result};
use crate::group::{Layout, Startup, subscription};
use crate::kafka::{Admin, Cluster, Consumer, Isolation, Membership};
use crate::operator::{HandlerResponse, Handlers};
use crate::produce::{Outbox, OutboxOptions, Sender};
use crate::state::StateBackend;
use crate::task::{Restore, Task};
use crate::time::SteadyTime;
use crate::topic::{TaskId, TopicName, TopicPartition};
use crate::topology::Plan;

use out_of_range::OutOfRange;
use recover::Recovery;
use setbacks::Setbacks;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records that were consumed.
    pub consumed: usize,
    /// Whether anything moved: then another step may move more at once.
    pub busy: bool,
    /// Whether it waits for a thread of this process, which is done in a moment and rings no bell.
    pub soon: bool,
}

/// Why tasks are about to be given back.
#[derive(Clone, Copy, Debug, Default)]
struct Leaving {
    revoked: bool,
    stop: bool,
    /// Since when it is told to stop, as of its first step since.
    since_ms: Option<i64>,
}

/// One consumer, one producer, and the tasks that the group gives them.
pub struct Worker {
    plan: Arc<Plan>,
    settings: Settings,
    cluster: Arc<dyn Cluster>,
    backend: Arc<dyn StateBackend>,
    observer: Option<Arc<dyn Observer>>,
    handlers: Arc<Handlers>,
    client: String,
    number: usize,
    planted: Planted,
    probe: Probe,
    state: WorkerState,
    startup: Option<Startup>,
    layout: Layout,
    membership: Box<dyn Membership>,
    consumer: Box<dyn Consumer>,
    lookup: Box<dyn Admin>,
    resolver: Box<dyn Admin>,
    purger: Box<dyn Admin>,
    sender: Sender,
    outbox: Outbox,
    tasks: BTreeMap<TaskId, Task>,
    restore: Option<Restore>,
    told: Told,
    committer: Committer,
    recovery: Recovery,
    leaving: Leaving,
    paused: bool,
    figures: Figures,
    out_of_range: OutOfRange,
    /// How often in a row inputs could not be fetched.
    unfetched: BTreeMap<TopicPartition, u32>,
    /// Partitions whose committed offsets were asked for by a restore that was given up: the call has to be made until
    /// it is answered.
    unanswered: Option<Vec<TopicPartition>>,
    purge: stations::Purge,
    /// When state was looked for that nobody has.
    cleaned_ms: Option<i64>,
    trouble: recover::Trouble,
    /// Since when a record waits that cannot be read for want of an answer from elsewhere.
    head_waits_since: Option<i64>,
    steady: SteadyTime,
    /// The wall clock as of this step; everything that measures goes by the steady time.
    wall_ms: i64,
    setbacks: Setbacks,
    /// The task whose records are handled now, for the message where that panics.
    at_work: Option<TaskId>,
    steps: u64,
    over_budget: bool,
    /// How many workers share what the process may take.
    workers: usize,
    /// Bytes fetched since the last look at memory.
    taken_in: usize,
    /// Tasks whose state was rebuilt after an error: a second time would not help.
    rebuilt: std::collections::BTreeSet<TaskId>,
}

/// What the log was told already.
#[derive(Default)]
struct Told {
    /// When it was told how far a restore is.
    restore_ms: i64,
    /// Changelogs whose records are too old for their retention.
    old_changelogs: BTreeSet<TopicName>,
}

impl Worker {
    /// A worker; nothing happens before its first step.
    #[must_use]
    pub fn new(options: WorkerOptions) -> Self {
        let WorkerOptions { plan, config, cluster, backend, clock, .. } = options;
        let settings = config.settings().clone();
        let member = config.member_options(&options.process, options.number);
        let producer = config.producer_options(&options.process, options.number);
        let client = member.client.clone();
        let admin = |what: &str| cluster.admin(&format!("{client}-{what}"));
        let handlers = Arc::new(handlers(&settings));
        let (dead_letters, replicas) = (handlers.dead_letter_topic.as_ref(), settings.replication_factor);
        let startup = Startup::new(Arc::clone(&plan), admin("admin"), dead_letters, replicas);
        let limit = settings.topic_max_message_bytes.iter();
        let startup = startup.internal_configs(
            limit.map(|limit| ("max.message.bytes".to_owned(), limit.to_string())).collect(),
        );
        let workers = settings.num_stream_threads.max(1);
        let commit = CommitOptions {
            interval_ms: settings.commit_interval_ms,
            transaction_timeout_ms: settings.transaction_timeout_ms,
            task_timeout_ms: settings.task_timeout_ms,
            flush: FlushOptions::new(&settings, orders::share(&settings, backend.as_ref(), workers)),
            planted: options.planted,
        };
        Self {
            membership: cluster.membership(&member),
            consumer: cluster.consumer(&client, Isolation::ReadCommitted),
            lookup: admin("lookup"),
            resolver: admin("resolver"),
            purger: admin("purger"),
            sender: Sender::new(Arc::clone(&cluster), producer),
            outbox: Outbox::new(OutboxOptions::default(), &[], &std::collections::HashMap::new()),
            committer: Committer::new(commit, &plan, clock),
            plan,
            settings,
            cluster,
            backend,
            observer: options.observer,
            handlers,
            client,
            number: options.number,
            planted: options.planted,
            probe: options.probe,
            state: WorkerState::Created,
            startup: Some(startup),
            layout: Layout::default(),
            tasks: BTreeMap::new(),
            restore: None,
            told: Told::default(),
            recovery: Recovery::Nothing,
            leaving: Leaving::default(),
            paused: false,
            figures: Figures::default(),
            out_of_range: OutOfRange::default(),
            unfetched: BTreeMap::new(),
            unanswered: None,
            purge: stations::Purge::default(),
            cleaned_ms: None,
            trouble: recover::Trouble::default(),
            head_waits_since: None,
            steady: SteadyTime::default(),
            wall_ms: 0,
            setbacks: Setbacks::default(),
            at_work: None,
            steps: 0,
            over_budget: false,
            workers,
            taken_in: 0,
            rebuilt: std::collections::BTreeSet::new(),
        }
    }

    /// Goes on as far as it can without waiting. `wall_ms` is what the wall clock shows; it may have been set back: then
    /// operators and figures see that, while intervals and time-outs, the cluster's among them, go on as if it had not.
    ///
    /// # Errors
    /// If the worker has failed; errors that it can deal with itself are logged, and it goes on.
    pub fn step(&mut self, wall_ms: i64) -> Result<Progress> {
        if self.state.is_final() {
            return Ok(Progress::default());
        }
        self.steps += 1;
        self.wall_ms = wall_ms;
        let now_ms = self.steady.at(wall_ms);
        if self.leaving.stop
            && let Some(error) = self.overdue(now_ms)
        {
            self.fail(error, now_ms)?;
        }
        match self.advance(now_ms) {
            Ok(progress) => Ok(progress),
            Err(error) => {
                // What is tried again as it is has to be waited for.
                let busy = error.reaction() != Reaction::Retry;
                self.react(error, now_ms).map(|()| Progress { busy, ..Progress::default() })
            }
        }
    }

    fn advance(&mut self, now_ms: i64) -> Result<Progress> {
        let mut progress = Progress::default();
        if !self.start(now_ms, &mut progress)? {
            return Ok(progress);
        }
        self.poll_group(now_ms, &mut progress)?;
        if self.recover(now_ms, &mut progress)? {
            self.resolve(now_ms)?;
            self.restore(now_ms, &mut progress)?;
            if !self.is_standing_still() {
                self.intake(now_ms, &mut progress)?;
                if !self.paused {
                    self.process(now_ms, &mut progress)?;
                    self.tick()?;
                }
            }
            self.send(now_ms)?;
            self.commit(now_ms, &mut progress)?;
            self.purge(now_ms);
        }
        self.clean_up(now_ms);
        self.conclude(now_ms, &mut progress);
        if progress.busy {
            self.trouble.over();
        }
        Ok(progress)
    }

    /// Nothing is processed while a commit is under way, or once tasks are to be given back.
    fn is_standing_still(&self) -> bool {
        self.committer.is_busy() || self.leaving.revoked || self.leaving.stop
    }

    /// Start-up: topics, producer epoch, subscription. Returns whether it is over.
    fn start(&mut self, now_ms: i64, progress: &mut Progress) -> Result<bool> {
        if self.state == WorkerState::Created {
            self.go(if self.leaving.stop { WorkerState::Stopping } else { WorkerState::Starting });
        }
        if self.state == WorkerState::Stopping && self.startup.is_some() {
            self.go(WorkerState::Stopped);
        }
        if self.state != WorkerState::Starting {
            return Ok(!self.state.is_final());
        }
        if self.leaving.stop {
            self.go(WorkerState::Stopping);
            self.go(WorkerState::Stopped);
            return Ok(false);
        }
        if let Some(startup) = &mut self.startup {
            let Poll::Ready(layout) = startup.advance(now_ms)? else { return Ok(false) };
            let options = OutboxOptions {
                max_request_size: self.settings.max_request_size,
                dead_letter_topic: self.handlers.dead_letter_topic.clone(),
                rules: layout.rules.clone(),
            };
            self.outbox = Outbox::new(options, &self.plan.sinks, &layout.partitions);
            self.layout = layout;
            self.startup = None;
        }
        if self.setbacks.pauses(now_ms) {
            return Ok(false);
        }
        let Poll::Ready(()) = self.sender.open(now_ms)? else { return Ok(false) };
        self.membership.subscribe(&subscription(&self.plan));
        self.go(WorkerState::Rebalancing);
        progress.busy = true;
        Ok(true)
    }

    /// Asks the worker to commit and to leave the group; it has once its state is final.
    pub fn stop(&mut self) {
        self.leaving.stop = true;
        self.committer.request_flush();
    }

    /// Asks for a commit as soon as possible.
    pub fn request_commit(&mut self) {
        self.committer.request();
    }

    /// What the worker is doing.
    #[must_use]
    pub fn state(&self) -> WorkerState {
        self.state
    }

    /// The figures, as far as commits made them true.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The worker's tasks, for a look inside.
    #[must_use]
    pub fn tasks(&self) -> &BTreeMap<TaskId, Task> {
        &self.tasks
    }

    /// What start-up found out about topics.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether there is nothing to do until something arrives: everything that was read is processed and committed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let settled = self.restore.is_none() && self.recovery == Recovery::Nothing && !self.leaving.revoked;
        let behind = |lane: &Lane| lane.buffered() > 0 || lane.lag() != Lag::CaughtUp;
        let waits = |task: &Task| task.is_touched() || task.lanes().iter().any(behind);
        self.state.is_final()
            || self.state == WorkerState::Running
                && settled
                && !self.committer.is_busy()
                && !self.committer.is_requested()
                && self.outbox.is_empty()
                && !self.tasks.values().any(waits)
    }

    /// What keeps the worker from running, for people; `None` while it runs.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        match (&self.restore, self.recovery) {
            (_, Recovery::Aborting) => Some("the abort of a transaction".to_owned()),
            (_, Recovery::Opening) => Some("a producer epoch".to_owned()),
            (Some(restore), Recovery::Nothing) => Some(restore.waits_for()),
            _ if self.leaving.revoked => Some("the last commit before tasks go back".to_owned()),
            (None, Recovery::Nothing) if self.committer.is_busy() => Some("a commit".to_owned()),
            (None, Recovery::Nothing) if self.state == WorkerState::Running && self.paused => {
                Some("being resumed".to_owned())
            }
            (None, Recovery::Nothing) if self.state == WorkerState::Running => None,
            (None, Recovery::Nothing) => Some("an assignment".to_owned()),
        }
    }

    /// Whether something was processed that no commit carries yet.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.tasks.values().any(|task| task.is_running() && task.is_touched())
    }

    /// Whether a commit is under way or asked for.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.committer.is_busy() || self.committer.is_requested()
    }

    /// Who the worker is in its group.
    #[must_use]
    pub fn member(&self) -> crate::kafka::GroupMetadata {
        self.membership.generation()
    }

    fn go(&mut self, next: WorkerState) {
        let from = self.state;
        if from == next {
            return;
        }
        assert!(from.may_become(next), "a worker cannot go from {from:?} to {next:?}");
        tracing::info!(worker = self.number, ?from, to = ?next, "worker");
        self.state = next;
        if let Some(observer) = &self.observer {
            observer.state(self.number, from, next);
        }
    }

    /// Drops all tasks. What they have not committed is gone with them.
    fn drop_tasks(&mut self) {
        for task in self.tasks.values_mut() {
            task.lanes().iter().for_each(|lane| self.consumer.remove(lane.partition()));
            task.go(crate::task::Phase::Closed);
        }
        self.tasks.clear();
        self.drop_restore();
        self.outbox.clear();
        self.committer.reset();
        self.figures.samples.clear();
    }

    /// Gives a restore up; what it has asked the group still has to be answered.
    fn drop_restore(&mut self) {
        let asked = self.restore.take().and_then(Restore::into_unanswered);
        self.unanswered = self.unanswered.take().or(asked);
        self.out_of_range.forget();
        self.unfetched.clear();
    }

    /// The store `name` of every task of this worker that has one of this type.
    #[must_use]
    pub fn stores<S: 'static>(&self, name: &str) -> Vec<(TaskId, Rc<std::cell::RefCell<S>>)> {
        let store = |task: &Task| Some((task.id(), task.assembly().typed_store::<S>(name)?));
        self.tasks.values().filter(|task| task.is_running()).filter_map(store).collect()
    }
}

fn handlers(settings: &Settings) -> Handlers {
    use crate::config::ExceptionHandler;
    let response = |handler| match handler {
        ExceptionHandler::Fail => HandlerResponse::Fail,
        ExceptionHandler::Continue => HandlerResponse::Continue,
        ExceptionHandler::DeadLetter => HandlerResponse::DeadLetter,
    };
    Handlers {
        deserialization: response(settings.deserialization_exception_handler),
        processing: response(settings.processing_exception_handler),
        production: response(settings.production_exception_handler),
        dead_letter_topic: settings.dead_letter_topic.clone(),
    }
}
