//! Instance: a process with its workers, and what survives its crashes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater::commit::{CommitRecord, Window};
use headwater::kafka::memory::MemoryCluster;
use headwater::state::{Changes, META, MemoryBackend, StateBackend};
use headwater::task::{Rebuild, checkpoint};
use headwater::topology::{Plan, StorePlan};
use headwater::worker::{Observer, Worker, WorkerOptions, WorkerState};
use headwater::{Config, TaskId};
use headwater_broker::Broker;
use headwater_broker::api::GroupState;

use crate::case::APPLICATION;
use crate::scenario::Scenario;

/// What happens to a worker as soon as its commit stands in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It crashes.
    Crash,
    /// The coordinator throws out a member: another one (the number chooses), or this one if it is alone.
    Rebalance(usize),
}

/// The hook into the commits of a worker.
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
    /// Whether the flush that goes on has written anything.
    applied: bool,
    /// The window that was told last, and whether it was counted.
    last: Option<(Window, bool)>,
}

impl Control {
    /// Returns whether the worker crashes.
    fn at(&mut self, window: Window, name: &str, cluster: &MemoryCluster) -> bool {
        self.applied |= window == Window::FirstApplied;
        if window == Window::Flushed && !std::mem::take(&mut self.applied) {
            // There was nothing to flush: this is not the end of a commit.
            return false;
        }
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
        let rebalances =
            matches!(state, Some(GroupState::PreparingRebalance | GroupState::CompletingRebalance));
        // While a commit waits in a window it tells it again and again.
        let counted = self.last.is_some_and(|(last, counted)| last == window && counted);
        if rebalances && !counted {
            self.rebalancing.push(window);
        }
        self.last = Some((window, rebalances || counted));
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
    /// By the worker of this number.
    Committed(usize, CommitRecord),
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

    fn committed(&self, worker: usize, commit: &CommitRecord) {
        self.hear(Told::Committed(worker, commit.clone()));
    }
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its workers are stepped.
    Up,
    /// Its workers exist and are not stepped before then.
    Frozen(i64),
    /// It has no workers; it starts then.
    Down(i64),
}

/// A worker with the hook into its commits.
pub(crate) struct Post {
    pub(crate) worker: Worker,
    pub(crate) control: Arc<Mutex<Control>>,
}

/// A process with its workers.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) posts: Vec<Post>,
    /// What has reached the byte stores. It survives crashes.
    pub(crate) backend: MemoryBackend,
    /// Tasks whose byte stores were spoilt, with what the worker has to find out before it uses them.
    pub(crate) spoilt: BTreeMap<TaskId, Rebuild>,
    /// Changelogs whose byte store may be ahead of its offset, since a crash cut a flush off, each with its end then.
    pub(crate) cut: BTreeMap<(String, i32), i64>,
    pub(crate) ear: Arc<Ear>,
}

/// What all instances are made of.
pub(crate) struct Mould {
    pub(crate) plan: Arc<Plan>,
    /// The settings of the instance of this name.
    pub(crate) config: fn(&Scenario, &str) -> headwater::Result<Config>,
    pub(crate) scenario: Scenario,
    pub(crate) cluster: MemoryCluster,
    pub(crate) clock: headwater::time::ManualClock,
}

impl Instance {
    /// An instance that starts at `start_ms`.
    pub(crate) fn new(number: usize, start_ms: i64) -> Self {
        Self {
            name: format!("p{number}"),
            standing: Standing::Down(start_ms),
            posts: Vec::new(),
            backend: MemoryBackend::default(),
            spoilt: BTreeMap::new(),
            cut: BTreeMap::new(),
            ear: Arc::default(),
        }
    }

    /// Makes its workers.
    pub(crate) fn start(&mut self, mould: &Mould) -> headwater::Result<()> {
        let config = (mould.config)(&mould.scenario, &self.name)?;
        for number in 0..mould.scenario.workers {
            let control = Arc::new(Mutex::new(Control::default()));
            let (hook, cluster, name) = (Arc::clone(&control), mould.cluster.clone(), self.name.clone());
            let options = WorkerOptions::new(
                Arc::clone(&mould.plan),
                config.clone(),
                Arc::new(mould.cluster.clone()),
                Arc::new(self.backend.clone()),
            )
            .named(self.name.clone(), number)
            .clock(Arc::new(mould.clock.clone()))
            .observer(self.ear.clone())
            .planted(mould.scenario.planted)
            .probe(Box::new(move |window| lock(&hook).at(window, &name, &cluster)));
            self.posts.push(Post { worker: Worker::new(options), control });
        }
        self.standing = Standing::Up;
        Ok(())
    }

    /// Asks its workers to leave.
    pub(crate) fn stop(&mut self) {
        self.posts.iter_mut().for_each(|post| post.worker.stop());
    }

    /// Makes what its byte stores know about themselves wrong, in a way that the worker calls `cause`. Returns how many
    /// tasks that concerns.
    pub(crate) fn spoil(&mut self, cause: Rebuild, plan: &Plan, partitions: i32) -> headwater::Result<u64> {
        let mut count = 0;
        for part in &plan.subtopologies {
            for partition in 0..partitions {
                let task = TaskId { subtopology: part.id, partition };
                let bytes = self.backend.open(task)?;
                if self.spoilt.contains_key(&task) || bytes.get(META, b"wall/")?.is_none() {
                    continue;
                }
                let mut spoilt = Changes::default();
                for StorePlan { changelog, .. } in &part.stores {
                    match cause {
                        Rebuild::TopicRecreated => checkpoint::put_topic_id(&mut spoilt, changelog, 1),
                        Rebuild::TooOld => checkpoint::put_number(&mut spoilt, "wall", "", i64::MIN / 2),
                        _ => checkpoint::put_number(&mut spoilt, "offset", changelog, i64::MAX / 2),
                    }
                }
                bytes.apply(&spoilt)?;
                self.spoilt.insert(task, cause);
                count += 1;
            }
        }
        Ok(count)
    }

    /// Loses everything but the byte stores.
    pub(crate) fn crash(&mut self, back_ms: i64) {
        self.posts.clear();
        self.standing = Standing::Down(back_ms);
    }
}

/// One thread uses these locks; a panic is told as the seed's verdict.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
