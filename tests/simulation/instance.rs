//! Instance: a process with one worker, and what survives its crashes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater::commit::{CommitRecord, Window};
use headwater::kafka::memory::MemoryCluster;
use headwater::state::MemoryBackend;
use headwater::task::Rebuild;
use headwater::worker::{Observer, Worker, WorkerOptions, WorkerState};
use headwater::{Config, TaskId};
use headwater_broker::Broker;
use headwater_broker::api::GroupState;

use crate::case::APPLICATION;

/// What happens to a worker as soon as its commit stands in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It crashes.
    Crash,
    /// The coordinator throws out a member: another one (the number chooses), or this one if it is alone.
    Rebalance(usize),
}

/// The hook into the commits of an instance's worker.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) now_ms: i64,
    pub(crate) armed: Option<(Window, Deed)>,
    /// The window in which the worker has crashed.
    pub(crate) crashed: Option<Window>,
    /// Windows that were passed while the group was rebalancing.
    pub(crate) rebalancing: Vec<Window>,
    /// Members that were thrown out.
    pub(crate) expired: u64,
}

impl Control {
    /// Returns whether the worker crashes.
    fn at(&mut self, window: Window, name: &str, cluster: &MemoryCluster) -> bool {
        match self.armed.take_if(|(armed, _)| *armed == window) {
            Some((_, Deed::Crash)) => {
                self.crashed = Some(window);
                return true;
            }
            Some((_, Deed::Rebalance(number))) => {
                let thrown = expire_member(&mut cluster.broker(), Some(name), number, self.now_ms);
                self.expired += u64::from(thrown);
            }
            None => {}
        }
        let state = cluster.broker().group(APPLICATION).map(|group| group.state);
        if matches!(state, Some(GroupState::PreparingRebalance | GroupState::CompletingRebalance)) {
            self.rebalancing.push(window);
        }
        false
    }
}

/// Throws a member out of the group, not that of the instance `spared` if there are others. Returns whether there was
/// one.
pub(crate) fn expire_member(broker: &mut Broker, spared: Option<&str>, number: usize, now_ms: i64) -> bool {
    let Some(group) = broker.group(APPLICATION) else { return false };
    let is_spared = |client: &str| spared.is_some_and(|name| client.ends_with(&format!("-{name}")));
    let others: Vec<_> = group.members.iter().filter(|member| !is_spared(&member.client_id)).collect();
    let members = if others.is_empty() { group.members.iter().collect() } else { others };
    let Some(member) = members.get(number % members.len().max(1)) else { return false };
    !broker.is_down() && broker.expire_member(APPLICATION, &member.member_id, now_ms).is_ok()
}

/// What a worker has told.
#[derive(Debug)]
pub(crate) enum Told {
    Committed(CommitRecord),
    Rebuilt(TaskId, Rebuild),
    State(WorkerState),
}

/// Keeps what a worker tells until somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    told: Mutex<Vec<Told>>,
}

impl Ear {
    fn hear(&self, told: Told) {
        lock(&self.told).push(told);
    }

    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *lock(&self.told))
    }
}

impl Observer for Ear {
    fn state(&self, _worker: usize, _from: WorkerState, to: WorkerState) {
        self.hear(Told::State(to));
    }

    fn rebuilt(&self, _worker: usize, task: TaskId, cause: Rebuild) {
        self.hear(Told::Rebuilt(task, cause));
    }

    fn committed(&self, _worker: usize, commit: &CommitRecord) {
        self.hear(Told::Committed(commit.clone()));
    }
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its worker is stepped.
    Up,
    /// Its worker exists and is not stepped before then.
    Frozen(i64),
    /// It has no worker; it starts then.
    Down(i64),
}

/// A process with one worker.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) worker: Option<Worker>,
    /// What has reached the byte stores. It survives crashes.
    pub(crate) backend: MemoryBackend,
    pub(crate) control: Arc<Mutex<Control>>,
    pub(crate) ear: Arc<Ear>,
}

/// What all instances are made of.
pub(crate) struct Mould {
    pub(crate) plan: Arc<headwater::topology::Plan>,
    pub(crate) config: Config,
    pub(crate) cluster: MemoryCluster,
    pub(crate) clock: headwater::time::ManualClock,
    pub(crate) planted: headwater::commit::Planted,
}

impl Instance {
    /// An instance that starts at `start_ms`.
    pub(crate) fn new(number: usize, start_ms: i64) -> Self {
        Self {
            name: format!("p{number}"),
            standing: Standing::Down(start_ms),
            worker: None,
            backend: MemoryBackend::default(),
            control: Arc::default(),
            ear: Arc::default(),
        }
    }

    /// Makes its worker.
    pub(crate) fn start(&mut self, mould: &Mould) {
        let control = Arc::new(Mutex::new(Control::default()));
        let (hook, cluster, name) = (Arc::clone(&control), mould.cluster.clone(), self.name.clone());
        let options = WorkerOptions::new(
            Arc::clone(&mould.plan),
            mould.config.clone(),
            Arc::new(mould.cluster.clone()),
            Arc::new(self.backend.clone()),
        )
        .named(self.name.clone(), 0)
        .clock(Arc::new(mould.clock.clone()))
        .observer(self.ear.clone())
        .planted(mould.planted)
        .probe(Box::new(move |window| lock(&hook).at(window, &name, &cluster)));
        self.control = control;
        self.worker = Some(Worker::new(options));
        self.standing = Standing::Up;
    }

    /// Loses everything but the byte stores.
    pub(crate) fn crash(&mut self, back_ms: i64) {
        self.worker = None;
        self.standing = Standing::Down(back_ms);
    }
}

/// One thread uses these locks; a panic is told as the seed's verdict.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
