//! World: one broker, some instances and the time, moved on by one scheduler; everything follows from the seed.

mod logs;
mod mishaps;
mod settings;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater::codec::partition::partition_for_key;
use headwater::commit::{CommitRecord, Window};
use headwater::group::subscription;
use headwater::kafka::memory::MemoryCluster;
use headwater::time::ManualClock;
use headwater::topology::PlanOptions;
use headwater::worker::WorkerState;
use headwater::{RecordBatch, TopicPartition};
use headwater_broker::faults::MarkerDelay;
use headwater_broker::{Broker, BrokerConfig};

use crate::case::{APPLICATION, CASES, Case, Feed, Wrong};
use crate::instance::{Instance, Mould, Standing, Told, lock};
use crate::network::{Counts, SeededNetwork};
use crate::scenario::Scenario;
use crate::snapshot::Snapshot;
use crate::tally::Tally;

/// `session.timeout.ms`: an instance that is not stepped for longer is a zombie.
const SESSION_MS: i64 = 600;
/// `max.poll.interval.ms`.
const POLL_MS: i64 = 1_500;
/// `transaction.timeout.ms`.
pub(crate) const TRANSACTION_MS: i64 = 2_000;

/// A commit that was acknowledged.
pub(crate) struct Acknowledged {
    /// By whom: instance and worker.
    pub(crate) worker: String,
    pub(crate) commit: CommitRecord,
}

/// One broker, some instances, and the time.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) case: &'static dyn Case,
    pub(crate) mould: Mould,
    random: fastrand::Rng,
    pub(crate) now_ms: i64,
    tick: u64,
    instances: Vec<Instance>,
    feed: std::vec::IntoIter<Feed>,
    network: Counts,
    broker_back_ms: Option<i64>,
    sources: Vec<TopicPartition>,
    /// All offsets that were committed for a partition, in order.
    pub(crate) offsets: BTreeMap<TopicPartition, Vec<i64>>,
    pub(crate) commits: Vec<Acknowledged>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) tally: Tally,
    /// What happened, line by line.
    pub(crate) trace: Vec<String>,
    /// Whether the trace is told while it is written, with everything that appears in the logs.
    pub(crate) aloud: bool,
    seen: logs::Seen,
}

fn text(error: &headwater::Error) -> Wrong {
    error.to_string()
}

impl World {
    /// The world of a scenario, with its topics and nothing in them.
    pub(crate) fn new(scenario: Scenario) -> Result<Self, Wrong> {
        let case = CASES[scenario.case];
        let topology = case.topology().map_err(|error| text(&error))?;
        let options =
            PlanOptions { application: APPLICATION.to_owned(), additional_retention_ms: 86_400_000 };
        let plan = topology.plan(&options).map_err(|error| text(&error))?;
        let config = BrokerConfig {
            seed: scenario.seed,
            group_min_session_timeout_ms: 100,
            compaction_interval_ms: scenario.compaction_ms,
            ..BrokerConfig::default()
        };
        let cluster = MemoryCluster::with_broker(Broker::new(config));
        for topic in case.inputs().iter().chain(case.outputs()) {
            cluster.create_topic(topic, scenario.partitions).map_err(|error| error.to_string())?;
        }
        let clock = ManualClock::at(1_000_000);
        let mut random = fastrand::Rng::with_seed(scenario.seed ^ 0x0123_4567_89ab_cdef);
        let feed = case.feed(&mut random.fork(), scenario.records).into_iter();
        let sources = subscription(&plan).into_iter().flat_map(|topic| {
            (0..scenario.partitions).map(move |partition| TopicPartition { topic: topic.clone(), partition })
        });
        Ok(Self {
            sources: sources.collect(),
            case,
            mould: Mould {
                plan: Arc::new(plan),
                config: settings::settings,
                scenario: scenario.clone(),
                cluster,
                clock,
            },
            random,
            now_ms: 1_000_000,
            tick: 0,
            instances: Vec::new(),
            feed,
            network: Counts::default(),
            broker_back_ms: None,
            offsets: BTreeMap::new(),
            commits: Vec::new(),
            snapshots: Vec::new(),
            tally: Tally::default(),
            trace: Vec::new(),
            aloud: false,
            seen: logs::Seen::default(),
            scenario,
        })
    }

    /// Runs the scenario: with its faults, then without until everything is consumed and committed; then all leave.
    pub(crate) fn run(&mut self) -> Result<(), Wrong> {
        let before = self.random.u64(0..=self.scenario.records / 2);
        self.produce(before)?;
        for number in 0..self.scenario.instances {
            let start_ms = self.now_ms + if number == 0 { 0 } else { self.random.i64(0..1_000) };
            self.instances.push(Instance::new(number, start_ms));
        }
        self.begin_faults();
        while self.tick < self.scenario.ticks || !self.feed.as_slice().is_empty() {
            self.mishaps()?;
            self.advance(true)?;
        }
        self.heal()?;
        self.settle()?;
        self.feed = self.case.finale().into_iter();
        self.produce(u64::MAX)?;
        self.settle()?;
        self.leave()
    }

    pub(crate) fn say(&mut self, line: std::fmt::Arguments<'_>) {
        let line = format!("{} ms, tick {}: {line}", self.now_ms, self.tick);
        if self.aloud {
            println!("{line}");
        }
        self.trace.push(line);
    }

    fn fault(&mut self, kind: &'static str, detail: &str) {
        self.tally.fault(kind);
        self.say(format_args!("{kind} {detail}"));
    }

    fn happens(&mut self, share: u32) -> bool {
        share > 0 && self.random.u32(..10_000) < share
    }

    fn begin_faults(&mut self) {
        let network = SeededNetwork {
            random: self.random.fork(),
            weather: self.scenario.weather,
            counts: Arc::clone(&self.network),
        };
        let mut broker = self.mould.cluster.broker();
        let faults = broker.faults_mut();
        faults.network = Some(Box::new(network));
        faults.misbehaviour = self.scenario.misbehaviour;
    }

    /// Nothing goes wrong from now on.
    fn heal(&mut self) -> Result<(), Wrong> {
        self.say(format_args!("all is well from now on"));
        if self.broker_back_ms.is_some() {
            self.broker_back_ms = Some(self.now_ms);
            self.revive_broker()?;
        }
        {
            let mut broker = self.mould.cluster.broker();
            broker.faults_mut().network = None;
            broker.faults_mut().marker_delay = MarkerDelay::default();
        }
        let counts = std::mem::take(&mut *lock(&self.network));
        counts.into_iter().for_each(|(kind, count)| *self.tally.faults.entry(kind).or_default() += count);
        for instance in &mut self.instances {
            instance.posts.iter().for_each(|post| lock(&post.control).armed = None);
            instance.standing = match instance.standing {
                Standing::Frozen(_) => Standing::Frozen(self.now_ms),
                Standing::Down(_) => Standing::Down(self.now_ms),
                Standing::Up => Standing::Up,
            };
        }
        Ok(())
    }

    /// One tick: time passes, something is produced, an instance is stepped.
    fn advance(&mut self, feeding: bool) -> Result<(), Wrong> {
        self.tick += 1;
        let by_ms = match self.random.u32(..40) {
            0 => self.random.i64(0..150),
            _ => self.random.i64(0..12),
        };
        self.now_ms += by_ms;
        self.mould.clock.advance_ms(by_ms);
        self.mould.cluster.broker().tick(self.now_ms);
        self.revive_broker()?;
        self.look_at_offsets();
        if feeding {
            let rate = self.scenario.records * 2 * 10_000 / self.scenario.ticks;
            if self.happens(u32::try_from(rate).unwrap_or(10_000)) {
                self.produce(1)?;
            }
        }
        self.wake()?;
        let up = |instance: &Instance| instance.standing == Standing::Up;
        let awake: Vec<_> = (0..self.instances.len()).filter(|index| up(&self.instances[*index])).collect();
        if !awake.is_empty() {
            let index = awake[self.random.usize(..awake.len())];
            self.step(index)?;
            self.look_at_offsets();
        }
        Ok(())
    }

    fn revive_broker(&mut self) -> Result<(), Wrong> {
        if self.broker_back_ms.take_if(|back_ms| *back_ms <= self.now_ms).is_some() {
            let restarted = self.mould.cluster.broker().restart(self.now_ms);
            restarted.map_err(|code| format!("the broker cannot read its logs: {code}"))?;
            self.say(format_args!("the broker is back"));
        }
        Ok(())
    }

    fn wake(&mut self) -> Result<(), Wrong> {
        for index in 0..self.instances.len() {
            let instance = &mut self.instances[index];
            match instance.standing {
                Standing::Frozen(until_ms) if until_ms <= self.now_ms => {
                    instance.standing = Standing::Up;
                    let name = instance.name.clone();
                    self.say(format_args!("{name} goes on"));
                }
                Standing::Down(until_ms) if until_ms <= self.now_ms => {
                    instance.start(&self.mould).map_err(|error| text(&error))?;
                    let name = instance.name.clone();
                    self.say(format_args!("{name} starts"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn step(&mut self, index: usize) -> Result<(), Wrong> {
        let now_ms = self.now_ms;
        let instance = &mut self.instances[index];
        let number = self.random.usize(..instance.posts.len());
        let post = &mut instance.posts[number];
        lock(&post.control).now_ms = now_ms;
        let stepped = post.worker.step(now_ms);
        let told = instance.ear.take();
        let (name, control) = (instance.name.clone(), Arc::clone(&post.control));
        let gone = instance.posts.iter().all(|post| post.worker.state() == WorkerState::Stopped);
        self.listen(index, told)?;
        let mut control = lock(&control);
        for window in control.rebalancing.drain(..) {
            self.tally.rebalances[window as usize] += 1;
        }
        for _ in 0..std::mem::take(&mut control.expired) {
            self.fault("member thrown out in a window", &format!("while {name} commits"));
        }
        if let Some(window) = control.crashed.take() {
            self.tally.crashes[window as usize] += 1;
            if matches!(window, Window::FirstApplied | Window::BetweenBatches) {
                self.cut_off(index);
            }
            self.fault("crash in a window", &format!("{name}, {window:?}"));
            return self.crash(index);
        }
        if let Err(error) = stepped {
            return Err(format!("{name} has failed: {error}"));
        }
        if gone {
            self.instances[index].crash(now_ms + self.random.i64(0..1_500));
            self.take_snapshot(index)?;
        }
        Ok(())
    }

    fn listen(&mut self, index: usize, told: Vec<Told>) -> Result<(), Wrong> {
        let name = self.instances[index].name.clone();
        for one in told {
            match one {
                Told::State(state) => self.say(format_args!("{name} is {state:?}")),
                Told::Rebuilt(task, cause) if self.instances[index].spoilt.remove(&task) == Some(cause) => {
                    self.tally.event("states rebuilt", 1);
                    self.say(format_args!("{name} rebuilds the state of task {task}: {}", cause.name()));
                }
                Told::Rebuilt(task, cause) => {
                    return Err(format!("{name} has thrown away the state of task {task}: {}", cause.name()));
                }
                Told::Committed(worker, commit) => {
                    let intervals: Vec<_> = commit
                        .intervals
                        .iter()
                        .map(|one| format!("{} {}..{}", one.partition, one.from, one.to))
                        .collect();
                    let generation = commit.generation;
                    self.say(format_args!(
                        "{name}/{worker} has committed {} ({generation})",
                        intervals.join(", ")
                    ));
                    self.tally.event("commits", 1);
                    self.commits.push(Acknowledged { worker: format!("{name}/{worker}"), commit });
                }
            }
        }
        Ok(())
    }

    /// Notes that a crash cut a flush off.
    fn cut_off(&mut self, index: usize) {
        let broker = self.mould.cluster.broker();
        for store in self.mould.plan.subtopologies.iter().flat_map(|part| &part.stores) {
            for partition in 0..self.scenario.partitions {
                let records = broker.records(&store.changelog, partition).unwrap_or_default();
                let end = records.last().map_or(0, |record| record.offset + 1);
                self.instances[index].cut.insert((store.changelog.to_string(), partition), end);
            }
        }
    }

    fn take_snapshot(&mut self, index: usize) -> Result<(), Wrong> {
        let instance = &self.instances[index];
        let title = format!("{} at tick {}", instance.name, self.tick);
        let partitions = self.scenario.partitions;
        let taken = Snapshot::take(title, instance, &self.mould.plan, partitions);
        self.snapshots.push(taken.map_err(|error| text(&error))?);
        Ok(())
    }

    /// Notes which offsets are committed by now.
    fn look_at_offsets(&mut self) {
        if self.aloud {
            self.tell_logs();
        }
        let broker = self.mould.cluster.broker();
        for source in &self.sources {
            let committed = broker.committed_offset(APPLICATION, &source.topic, source.partition);
            let Some(committed) = committed else { continue };
            let known = self.offsets.entry(source.clone()).or_default();
            if known.last() != Some(&committed.offset) {
                known.push(committed.offset);
            }
        }
    }

    fn produce(&mut self, count: u64) -> Result<(), Wrong> {
        if self.broker_back_ms.is_some() {
            return Ok(());
        }
        for _ in 0..count {
            let Some(feed) = self.feed.next() else { return Ok(()) };
            let number = partition_for_key(feed.key.as_bytes(), self.scenario.partitions);
            let partition = TopicPartition::new(feed.topic, number);
            let mut batch = RecordBatch::default();
            batch.push(
                feed.timestamp,
                Some(feed.key.as_bytes()),
                feed.value.as_deref().map(str::as_bytes),
                0,
            );
            let produced = self.mould.cluster.produce(&partition, &batch);
            produced.map_err(|error| format!("the input cannot be produced: {error}"))?;
        }
        Ok(())
    }
}
