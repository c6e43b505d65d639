//! A bench: instances of one application on one cluster, with chaos from a seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::codec::partition::partition_for_key;
use headwater::commit::{CommitRecord, Planted, Window};
use headwater::consume::Lane;
use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Isolation};
use headwater::state::MemoryBackend;
use headwater::task::Rebuild;
use headwater::time::{Clock, ManualClock};
use headwater::topology::{Plan, PlanOptions};
use headwater::worker::{Observer, Worker, WorkerOptions};
use headwater::{
    Config, Materialized, RecordBatch, StreamsBuilder, TaskId, TimeWindows, TopicPartition, Topology,
};
use headwater_broker::api::{ClientId, Request};
use headwater_broker::faults::{MarkerDelay, Network, Verdict};

const PARTITIONS: i32 = 3;
const INPUTS: usize = 400;
const STEP_MS: i64 = 10;

/// A small seeded generator (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chaos {
    /// One request of so many suffers; 0 for none.
    pub(crate) network: u64,
    /// A crash every so many steps; 0 for none.
    pub(crate) crashes: u64,
    /// Workers crash in this window of a commit, each of them a few times.
    pub(crate) window: Option<Window>,
    /// At least once instead of exactly once.
    pub(crate) at_least_once: bool,
    /// Markers of transactions come late.
    pub(crate) markers: bool,
}

struct Weather {
    random: Random,
    one_of: u64,
    on: Arc<Mutex<bool>>,
}

impl Network for Weather {
    fn verdict(&mut self, client: &ClientId, _request: &Request, _now: i64) -> Verdict {
        if client.as_str() == MemoryCluster::CLIENT || !*self.on.lock().unwrap() {
            return Verdict::Pass;
        }
        if self.random.below(self.one_of) > 0 {
            return Verdict::Pass;
        }
        let ms = i64::try_from(self.random.below(300)).unwrap();
        match self.random.below(5) {
            0 => Verdict::DropRequest,
            1 => Verdict::DropResponse,
            2 => Verdict::Delay { request_ms: ms, response_ms: 0 },
            3 => Verdict::Delay { request_ms: 0, response_ms: ms },
            _ => Verdict::Duplicate { after_ms: ms },
        }
    }
}

#[derive(Default)]
struct Notes {
    commits: Mutex<Vec<CommitRecord>>,
    rebuilds: Mutex<Vec<(TaskId, Rebuild)>>,
}

impl Observer for Notes {
    fn committed(&self, _worker: usize, commit: &CommitRecord) {
        self.commits.lock().unwrap().push(commit.clone());
    }

    fn rebuilt(&self, _worker: usize, task: TaskId, cause: Rebuild) {
        self.rebuilds.lock().unwrap().push((task, cause));
    }
}

pub(crate) struct Bench {
    seed: u64,
    random: Random,
    chaos: Chaos,
    planted: Planted,
    cluster: MemoryCluster,
    clock: ManualClock,
    plan: Arc<Plan>,
    config: Config,
    workers: Vec<Option<Worker>>,
    backends: Vec<MemoryBackend>,
    notes: Arc<Notes>,
    network_on: Arc<Mutex<bool>>,
    window_crashes: Arc<Mutex<u64>>,
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let clicks = builder.stream::<String, String>("clicks");
    clicks.group_by_key().count_with(Materialized::named("counts")).to_stream().to("counts-out");
    clicks
        .group_by_key()
        .windowed_by(TimeWindows::of_size_with_no_grace(Duration::from_millis(1_000)))
        // Kept for longer than needed, so that only the operator's own time tells what is late.
        .count_with(Materialized::named("windows").with_retention(Duration::from_secs(3_600)))
        .to_stream()
        .map(|key, count| (key.key.clone(), format!("{}:{}", key.window.start, count.unwrap_or(0))))
        .to("windows-out");
    // Every third record of a key deletes its row.
    builder
        .stream::<String, String>("rows")
        .group_by_key()
        .aggregate_with(
            || None,
            |_, _, row: Option<i64>| match row {
                None => Some(1),
                Some(2) => None,
                Some(count) => Some(count + 1),
            },
            Materialized::named("rows"),
        )
        .to_stream()
        .to("rows-out");
    builder.build().unwrap()
}

const OUTPUTS: [&str; 3] = ["counts-out", "windows-out", "rows-out"];

impl Bench {
    pub(crate) fn new(seed: u64, instances: usize, chaos: Chaos, planted: Planted) -> Self {
        let cluster = MemoryCluster::new();
        for topic in ["clicks", "rows"].iter().chain(&OUTPUTS) {
            cluster.create_topic(topic, PARTITIONS).unwrap();
        }
        let config = Config::from_properties([
            ("application.id", "bench"),
            ("processing.guarantee", if chaos.at_least_once { "at_least_once" } else { "exactly_once_v2" }),
            ("commit.interval.ms", "100"),
            ("state.flush.interval.ms", "500"),
            ("max.task.idle.ms", "0"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
            // A request to join that is lost goes out again only after this.
            ("max.poll.interval.ms", "20000"),
            ("request.timeout.ms", "1000"),
        ])
        .unwrap();
        let options = PlanOptions { application: "bench".to_owned(), additional_retention_ms: 0 };
        let plan = Arc::new(topology().plan(&options).unwrap());
        let network_on = Arc::new(Mutex::new(true));
        if chaos.network > 0 {
            let weather =
                Weather { random: Random::new(seed + 77), one_of: chaos.network, on: network_on.clone() };
            cluster.broker().faults_mut().network = Some(Box::new(weather));
        }
        if chaos.markers {
            cluster.broker().faults_mut().marker_delay =
                MarkerDelay { offsets_ms: 20, data_ms: 60, step_ms: 30 };
        }
        let mut bench = Self {
            seed,
            random: Random::new(seed + 1),
            chaos,
            planted,
            cluster,
            clock: ManualClock::at(1_000_000),
            plan,
            config,
            workers: Vec::new(),
            backends: vec![MemoryBackend::default(); instances],
            notes: Arc::default(),
            network_on,
            window_crashes: Arc::new(Mutex::new(0)),
        };
        // Clones of one backend would share its data.
        bench.backends = (0..instances).map(|_| MemoryBackend::default()).collect();
        for instance in 0..instances {
            bench.workers.push(None);
            bench.start(instance);
        }
        bench
    }

    fn start(&mut self, instance: usize) {
        let options = WorkerOptions::new(
            self.plan.clone(),
            self.config.clone(),
            Arc::new(self.cluster.clone()) as Arc<dyn Cluster>,
            Arc::new(self.backends[instance].clone()),
        );
        let mut options = options
            .named(format!("p{instance}"), 0)
            .clock(Arc::new(self.clock.clone()))
            .observer(self.notes.clone())
            .planted(self.planted);
        if let Some(window) = self.chaos.window {
            let crashes = self.window_crashes.clone();
            let mut passed = 0;
            options = options.probe(Box::new(move |at| {
                passed += u64::from(at == window);
                let mut crashes = crashes.lock().unwrap();
                let now = at == window && passed.is_multiple_of(3) && *crashes < 6;
                *crashes += u64::from(now);
                now
            }));
        }
        self.workers[instance] = Some(Worker::new(options));
    }

    /// Feeds everything and lets chaos reign, then lets the instances come to rest.
    pub(crate) fn run(&mut self) {
        let mut input = Random::new(self.seed + 2);
        let mut event_time = 10_000;
        for number in 0..INPUTS {
            self.feed(number, &mut input, &mut event_time);
            for _ in 0..4 {
                self.step();
            }
        }
        *self.network_on.lock().unwrap() = false;
        self.chaos = Chaos::default();
        for _ in 0..20_000 {
            self.step();
            if self.is_at_rest() {
                return;
            }
        }
        let states: Vec<_> =
            self.workers.iter().flatten().map(|worker| (worker.state(), worker.waits_for())).collect();
        panic!("seed {}: the instances do not come to rest: {states:?}", self.seed);
    }

    fn feed(&mut self, number: usize, random: &mut Random, event_time: &mut i64) {
        let key = format!("k{}", random.below(12));
        *event_time += i64::try_from(random.below(120)).unwrap();
        let late = if random.below(3) == 0 { 1_500 } else { 0 };
        let mut batch = RecordBatch::default();
        let topic = if random.below(3) == 0 { "rows" } else { "clicks" };
        batch.push(*event_time - late, Some(key.as_bytes()), Some(format!("c{number}").as_bytes()), 0);
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        self.cluster.produce(&TopicPartition::new(topic, partition), &batch).unwrap();
    }

    fn step(&mut self) {
        self.clock.advance_ms(STEP_MS);
        let now_ms = self.clock.now_ms();
        for instance in 0..self.workers.len() {
            let Some(worker) = &mut self.workers[instance] else {
                if self.random.below(30) == 0 || self.chaos.crashes == 0 {
                    self.start(instance);
                }
                continue;
            };
            if let Err(error) = worker.step(now_ms) {
                assert!(error.message().starts_with("crashed on purpose"), "seed {}: {error}", self.seed);
                self.workers[instance] = None;
            }
        }
        if self.chaos.crashes > 0 && self.random.below(self.chaos.crashes) == 0 {
            let instance = usize::try_from(self.random.below(self.workers.len() as u64)).unwrap();
            self.workers[instance] = None;
        }
    }

    /// Everything is consumed, committed and decided.
    fn is_at_rest(&self) -> bool {
        let workers = || self.workers.iter().flatten();
        if workers().count() < self.workers.len() || !workers().all(Worker::is_idle) {
            return false;
        }
        let broker = self.cluster.broker();
        let lanes = || workers().flat_map(|worker| worker.tasks().values()).flat_map(|task| task.lanes());
        let consumed = |lane: &Lane| {
            let at = lane.partition();
            broker.partition(&at.topic, at.partition).unwrap().high_watermark == lane.next_offset()
        };
        let decided = |topic: &&str| {
            (0..PARTITIONS).all(|partition| {
                let view = broker.partition(topic, partition).unwrap();
                view.last_stable_offset == view.high_watermark
            })
        };
        lanes().count() == 6 && lanes().all(consumed) && OUTPUTS.iter().all(decided)
    }

    /// The committed records of each output partition as text.
    pub(crate) fn outputs(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for topic in OUTPUTS {
            for batch in self.cluster.read_all(topic, Isolation::ReadCommitted).unwrap() {
                let mut text = format!("{topic}\n");
                for record in &batch {
                    let show = |bytes: Option<&[u8]>| {
                        bytes.map_or("null".to_owned(), |bytes| bytes.escape_ascii().to_string())
                    };
                    let _ =
                        writeln!(text, "{} {} @{}", show(record.key), show(record.value), record.timestamp);
                }
                texts.push(text);
            }
        }
        texts
    }

    /// The last count of each key.
    pub(crate) fn counts(&self) -> BTreeMap<Vec<u8>, i64> {
        let mut counts = BTreeMap::new();
        for batch in self.cluster.read_all("counts-out", Isolation::ReadCommitted).unwrap() {
            for record in &batch {
                let count = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                counts.insert(record.key.unwrap().to_vec(), count);
            }
        }
        counts
    }

    pub(crate) fn rebuilds(&self) -> usize {
        self.notes.rebuilds.lock().unwrap().len()
    }

    /// No two commits consumed the same record.
    pub(crate) fn check_intervals(&self) {
        let mut intervals: BTreeMap<TopicPartition, Vec<(i64, i64)>> = BTreeMap::new();
        for interval in self.notes.commits.lock().unwrap().iter().flat_map(|commit| &commit.intervals) {
            intervals.entry(interval.partition.clone()).or_default().push((interval.from, interval.to));
        }
        for (partition, mut spans) in intervals {
            spans.retain(|(from, to)| from < to);
            spans.sort_unstable();
            for pair in spans.windows(2) {
                assert!(pair[0].1 <= pair[1].0, "{partition}: {pair:?} overlap; seed {}", self.seed);
            }
        }
    }
}
