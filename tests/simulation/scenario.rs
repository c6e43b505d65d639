//! Scenario: what a seed decides before anything runs: the topology, the settings, and how often what goes wrong.

use headwater::commit::Planted;
use headwater_broker::Misbehaviour;

use crate::case::CASES;

/// How often something happens: so many times in ten thousand.
pub(crate) type Share = u32;

/// What goes wrong between the workers and the broker, of ten thousand requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Requests that are lost.
    pub(crate) drop_request: Share,
    /// Answers that are lost.
    pub(crate) drop_response: Share,
    /// Requests or answers that take long.
    pub(crate) delay: Share,
    /// Requests that arrive twice.
    pub(crate) duplicate: Share,
    /// Requests that are answered with an error that goes away.
    pub(crate) retriable: Share,
    /// Requests of a transaction that are answered with an error that costs the transaction.
    pub(crate) abortable: Share,
    /// Heartbeats whose answers take so long that their worker works on as a zombie.
    pub(crate) slow_heartbeat: Share,
}

/// What goes wrong with instances and the broker, of ten thousand ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mishaps {
    /// An instance crashes between two steps.
    pub(crate) crash: Share,
    /// An instance crashes in a window of its next commit.
    pub(crate) window_crash: Share,
    /// Another member is thrown out in a window of an instance's next commit.
    pub(crate) window_rebalance: Share,
    /// An instance is not stepped for longer than its session: a zombie.
    pub(crate) freeze: Share,
    /// An instance leaves in order, and comes again later.
    pub(crate) stop: Share,
    /// The coordinator throws a member out.
    pub(crate) expire: Share,
    /// The coordinator fences a producer.
    pub(crate) fence: Share,
    /// The broker crashes and comes back.
    pub(crate) broker_crash: Share,
    /// Markers are delayed from now on, or no longer.
    pub(crate) markers: Share,
    /// Crashes that cost the local state as well.
    pub(crate) wipe: Share,
    /// Crashes after which the local state cannot be used any more, and has to be found out.
    pub(crate) spoil: Share,
}

/// What a seed decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// Index in [`CASES`].
    pub(crate) case: usize,
    pub(crate) exactly_once: bool,
    pub(crate) partitions: i32,
    pub(crate) instances: usize,
    /// Workers of each instance: they share its byte stores.
    pub(crate) workers: usize,
    pub(crate) records: u64,
    pub(crate) commit_interval_ms: i64,
    pub(crate) flush_interval_ms: i64,
    /// `memory.max`, where it is so small that state has to be dropped from memory.
    pub(crate) memory_bytes: Option<u64>,
    /// How often changelogs are compacted.
    pub(crate) compaction_ms: Option<i64>,
    /// Whether instances are static members.
    pub(crate) static_members: bool,
    /// Ticks with faults.
    pub(crate) ticks: u64,
    pub(crate) weather: Weather,
    pub(crate) mishaps: Mishaps,
    pub(crate) planted: Planted,
    pub(crate) misbehaviour: Misbehaviour,
}

/// A fault planted on purpose, in the worker or in the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    Worker(Planted),
    NoRequireStable,
    StaleGeneration,
}

impl Plant {
    /// All ten.
    pub(crate) fn all() -> Vec<Self> {
        let mut all: Vec<_> = Planted::ALL.into_iter().map(Self::Worker).collect();
        all.insert(2, Self::NoRequireStable);
        all.insert(3, Self::StaleGeneration);
        all
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoRequireStable => "no-require-stable",
            Self::StaleGeneration => "stale-generation-accepted",
            Self::Worker(planted) => match planted {
                Planted::Nothing => "nothing",
                Planted::OffsetsBeforeState => "offsets-before-state",
                Planted::RestoreToLso => "restore-to-lso",
                Planted::InputsNotRewound => "inputs-not-rewound",
                Planted::StreamTimeNotStored => "stream-time-not-stored",
                Planted::OffsetAheadOfData => "offset-ahead-of-data",
                Planted::LostTombstone => "lost-tombstone",
                Planted::DoubleFlush => "double-flush",
                Planted::CommitWithoutOffset => "commit-without-offset",
            },
        }
    }
}

impl Scenario {
    /// What `seed` decides.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let case = random.usize(..CASES.len());
        let exactly_once = !CASES[case].knows_at_least_once() || random.u32(..4) > 0;
        let mut scenario = Self {
            seed,
            case,
            exactly_once,
            partitions: random.i32(1..=4),
            instances: random.usize(1..=4),
            workers: if random.u32(..3) == 0 { 2 } else { 1 },
            records: random.u64(60..=400),
            commit_interval_ms: random.i64(20..=150),
            flush_interval_ms: random.i64(50..=900),
            memory_bytes: (random.u32(..4) == 0).then(|| random.u64(500..20_000)),
            compaction_ms: (random.u32(..3) == 0).then(|| random.i64(100..1_000)),
            static_members: random.u32(..5) == 0,
            ticks: random.u64(500..=2_500),
            weather: Weather::default(),
            mishaps: Mishaps::default(),
            planted: Planted::Nothing,
            misbehaviour: Misbehaviour::default(),
        };
        // Half of the kinds of faults are left out of each seed, so that the others are seen on their own as well.
        let mut share = |most: Share| if random.bool() { random.u32(1..=most) } else { 0 };
        scenario.mishaps = Mishaps {
            crash: share(60),
            window_crash: share(200),
            window_rebalance: share(100),
            freeze: share(60),
            stop: share(60),
            expire: share(60),
            fence: share(60),
            broker_crash: share(15),
            markers: share(100),
            wipe: share(2_000),
            spoil: share(2_000),
        };
        scenario.weather = Weather {
            drop_request: share(100),
            drop_response: share(100),
            delay: share(600),
            duplicate: share(200),
            retriable: share(300),
            abortable: share(60),
            slow_heartbeat: share(2_000),
        };
        if scenario.static_members {
            // Requests of a process that is gone must not arrive late: they would fence the next one of its name.
            scenario.weather.delay = 0;
            scenario.weather.duplicate = 0;
        }
        if !exactly_once {
            scenario.soften();
        }
        scenario
    }

    /// At least once promises nothing about what a zombie's late requests overwrite: there are none then.
    fn soften(&mut self) {
        self.mishaps.freeze = 0;
        self.mishaps.expire = 0;
        self.mishaps.fence = 0;
        self.mishaps.broker_crash = 0;
        self.mishaps.window_rebalance = 0;
        self.weather = Weather { retriable: self.weather.retriable, ..Weather::default() };
    }

    /// The same without any fault.
    pub(crate) fn undisturbed(&self) -> Self {
        Self {
            instances: 1,
            workers: 1,
            ticks: 1,
            weather: Weather::default(),
            mishaps: Mishaps::default(),
            planted: Planted::Nothing,
            misbehaviour: Misbehaviour::default(),
            ..self.clone()
        }
    }

    /// The same without what was planted.
    pub(crate) fn cured(&self) -> Self {
        Self { planted: Planted::Nothing, misbehaviour: Misbehaviour::default(), ..self.clone() }
    }

    /// The same with a fault planted, and with more of what would bring it to light.
    pub(crate) fn planted(mut self, plant: Plant) -> Self {
        let case = |name: &str| CASES.iter().position(|case| case.name() == name).expect("the case exists");
        self.exactly_once = true;
        self.instances = self.instances.max(2);
        self.mishaps.crash = self.mishaps.crash.max(20);
        self.mishaps.stop = self.mishaps.stop.max(20);
        match plant {
            Plant::NoRequireStable => {
                self.misbehaviour.ignore_require_stable = true;
                self.mishaps.markers = 200;
                self.mishaps.window_rebalance = 100;
            }
            Plant::StaleGeneration => {
                self.misbehaviour.accept_stale_generation = true;
                self.mishaps.expire = 60;
                self.mishaps.freeze = 60;
                self.weather.slow_heartbeat = 4_000;
            }
            Plant::Worker(planted) => {
                self.planted = planted;
                match planted {
                    Planted::RestoreToLso => {
                        self.mishaps.markers = 300;
                        self.mishaps.stop = 80;
                        self.mishaps.wipe = 5_000;
                    }
                    Planted::InputsNotRewound => self.weather.abortable = 60,
                    Planted::StreamTimeNotStored => self.case = case("window-count"),
                    Planted::LostTombstone => self.case = case("table"),
                    Planted::OffsetAheadOfData => self.flush_interval_ms = 900,
                    _ => {}
                }
            }
        }
        self
    }
}
