//! A pipeline whose output tells what was lost and what was doubled: it counts the records of each key, through a repartition
//! topic and a store, and tells every count. So the output of a key is 1, 2, 3 and so on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater::kafka::{Isolation, KafkaCluster, Producer};
use headwater::state::{MemoryBackend, StateBackend};
use headwater::worker::Figures;
use headwater::{
    Application, Config, Grouped, Materialized, RecordBatch, Result, Running, StreamsBuilder, TopicName,
    TopicPartition,
};

use crate::broker::Broker;
use crate::clusters::Scene;
use crate::heard;

pub(crate) const PARTITIONS: i32 = 2;
const KEYS: i64 = 7;

/// A pipeline with its topics, and whoever writes its input.
pub(crate) struct Pipeline<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) scene: Scene,
    pub(crate) input: TopicName,
    pub(crate) output: TopicName,
    feeder: Box<dyn Producer>,
    sent: i64,
}

/// What the application and its topics are called.
pub(crate) struct Names {
    pub(crate) application: String,
    pub(crate) input: String,
    pub(crate) output: String,
}

impl Names {
    /// The application, with these settings beside its own.
    pub(crate) fn application(
        &self,
        broker: &Broker,
        lines: &str,
        backend: impl FnOnce(&Config) -> Result<Arc<dyn StateBackend>>,
        look: impl Fn(i64) + Send + Sync + 'static,
    ) -> Result<Application> {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, i64>(&*self.input)
            .peek(move |_, number| look(*number))
            .group_by_with(|key, _| key.clone(), Grouped::named("again"))
            .count_with(Materialized::named("counts"))
            .to_stream()
            .to(&self.output);
        let servers =
            if lines.contains("bootstrap.servers") { "" } else { "bootstrap.servers=<PLAINTEXT>\n" };
        let config = broker.config(&format!(
            "application.id={}\nprocessing.guarantee=exactly_once_v2\nsession.timeout.ms=6000\n\
             heartbeat.interval.ms=500\n{servers}{lines}",
            self.application
        ));
        let cluster = Arc::new(KafkaCluster::connect(&config.cluster_options())?);
        let backend = backend(&config)?;
        Application::new(&builder.build()?, config, cluster, backend)
    }
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(broker: &'a Broker) -> Self {
        let scene = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
        let (input, output) = (scene.topic("in", PARTITIONS), scene.topic("out", PARTITIONS));
        let feeder = scene.producer(None);
        Self { broker, scene, input, output, feeder, sent: 0 }
    }

    /// The application, with these settings beside its own.
    pub(crate) fn application(&self, lines: &str) -> Result<Application> {
        self.watched(lines, |_| {})
    }

    /// As [`Pipeline::application`], with a `look` at each record on its way to the count.
    pub(crate) fn watched(
        &self,
        lines: &str,
        look: impl Fn(i64) + Send + Sync + 'static,
    ) -> Result<Application> {
        self.with(lines, |_| Ok(Arc::new(MemoryBackend::default())), look)
    }

    /// As [`Pipeline::watched`], with another byte store.
    pub(crate) fn with(
        &self,
        lines: &str,
        backend: impl FnOnce(&Config) -> Result<Arc<dyn StateBackend>>,
        look: impl Fn(i64) + Send + Sync + 'static,
    ) -> Result<Application> {
        self.names().application(self.broker, lines, backend, look)
    }

    /// What another process has to know to run the application.
    pub(crate) fn names(&self) -> Names {
        let topic = |topic: &TopicName| topic.to_string();
        Names { application: self.scene.name("app"), input: topic(&self.input), output: topic(&self.output) }
    }

    /// The application's own topic of this kind.
    pub(crate) fn internal(&self, kind: &str) -> TopicName {
        let app = self.scene.name("app");
        match kind {
            "changelog" => format!("{app}-counts-changelog").as_str().into(),
            _ => format!("{app}-again-repartition").as_str().into(),
        }
    }

    /// Writes a hundred records a second. Whether a broker takes them does not matter now.
    pub(crate) fn feed(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 100 {
            for partition in 0..PARTITIONS {
                let mut batch = RecordBatch::default();
                // Old records would be deleted at the broker's next look at them.
                let now_ms = self.scene.now_ms();
                for _ in 0..5 {
                    let key = format!("k{}", self.sent % KEYS);
                    batch.push(now_ms, Some(key.as_bytes()), Some(&self.sent.to_be_bytes()), 0);
                    self.sent += 1;
                }
                let partition = TopicPartition::new(self.input.clone(), partition);
                self.feeder.send(&partition, &mut batch, self.scene.now_ms()).unwrap();
            }
            self.feeder.poll(self.scene.now_ms()).unwrap();
            heard::pause(100);
        }
    }

    /// Waits until the output tells as many records as were written, and checks that none is lost and none doubled.
    pub(crate) fn check(&mut self) {
        let counts = self.all_counts();
        let expected: BTreeMap<_, _> = (0..KEYS)
            .map(|key| (format!("k{key}"), (1..=(self.sent + KEYS - 1 - key) / KEYS).collect::<Vec<_>>()))
            .collect();
        assert_eq!(counts, expected);
    }

    /// Stops the application. Its last commit has told nothing twice.
    pub(crate) fn stop(&mut self, running: Running) -> Figures {
        let figures = running.stop().unwrap();
        self.check();
        figures
    }

    /// Waits until each key was told its last count, or a higher one where records were counted twice.
    pub(crate) fn check_at_least_once(&mut self) {
        self.flush();
        let least = |key: i64| (self.sent + KEYS - 1 - key) / KEYS;
        self.scene.until("all output", |_| {
            heard::pause(200);
            let counts = self.counts();
            let last = |key: i64| counts.get(&format!("k{key}")).and_then(|counts| counts.last().copied());
            (0..KEYS).all(|key| last(key).is_some_and(|last| last >= least(key))).then_some(())
        });
    }

    /// What was told of each key, in order, once as many records were told as were written.
    pub(crate) fn all_counts(&mut self) -> BTreeMap<String, Vec<i64>> {
        self.flush();
        let (scene, sent) = (&self.scene, usize::try_from(self.sent).unwrap());
        scene.until("all output", |_| {
            heard::pause(200);
            let counts = self.counts();
            (counts.values().map(Vec::len).sum::<usize>() >= sent).then_some(counts)
        })
    }

    /// Waits until brokers have what was written.
    pub(crate) fn flush(&mut self) {
        self.scene.answer("all input", |now_ms| self.feeder.flush(now_ms)).unwrap();
    }

    /// How many records the changelog has.
    pub(crate) fn changelog_len(&self) -> u64 {
        let changelog = self.internal("changelog");
        let partitions = (0..PARTITIONS).map(|number| TopicPartition::new(changelog.clone(), number));
        partitions.map(|one| self.scene.read(&one, 0, Isolation::ReadCommitted).0.len() as u64).sum()
    }

    /// How many records were written.
    pub(crate) fn sent(&self) -> i64 {
        self.sent
    }

    /// How many results were told.
    pub(crate) fn told(&self) -> i64 {
        self.counts().values().map(|counts| counts.len() as i64).sum()
    }

    /// What was told of each key, in order.
    fn counts(&self) -> BTreeMap<String, Vec<i64>> {
        let mut counts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let partition = TopicPartition::new(self.output.clone(), partition);
            for record in self.scene.read(&partition, 0, Isolation::ReadCommitted).0 {
                let key = String::from_utf8(record.key.unwrap()).unwrap();
                let count = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                counts.entry(key).or_default().push(count);
            }
        }
        counts
    }
}
