//! The whole of it: an application runs, is reset, and does everything again, as if it never had. In process and on Kafka.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use headwater::kafka::Isolation;
use headwater::reset::{Reset, ResetOptions};
use headwater::state::{RocksBackend, RocksOptions};
use headwater::time::SystemClock;
use headwater::{
    Application, Config, Grouped, Materialized, RecordBatch, Running, StreamsBuilder, TopicName,
    TopicPartition,
};

use crate::clusters::{Scene, on_each};

const PARTITIONS: i32 = 2;

/// A `state.dir` that is deleted with this.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("reset-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An application that counts by another key than its input has, so that it has topics of both kinds.
struct Count<'a> {
    scene: &'a Scene,
    place: Place,
    input: TopicName,
    output: TopicName,
}

impl<'a> Count<'a> {
    fn new(scene: &'a Scene) -> Self {
        let (input, output) = (scene.topic("in", PARTITIONS), scene.topic("out", PARTITIONS));
        Self { scene, place: Place::new(), input, output }
    }

    fn application(&self) -> String {
        self.scene.name("app")
    }

    fn start(&self) -> Running {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>(&*self.input)
            .group_by_with(|_, word| word.clone(), Grouped::named("words"))
            .count_with(Materialized::named("counts"))
            .to_stream()
            .to(&self.output);
        let state_dir = self.place.0.display().to_string();
        let properties = [
            ("application.id", self.application().as_str()),
            ("processing.guarantee", "exactly_once_v2"),
            ("session.timeout.ms", "6000"),
            ("state.dir", state_dir.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::from_properties(properties).unwrap();
        let backend = RocksBackend::open_folder(&RocksOptions::new(config.settings())).unwrap();
        let cluster = Arc::clone(&self.scene.cluster);
        let topology = builder.build().unwrap();
        Application::new(&topology, config, cluster, Arc::new(backend)).unwrap().start().unwrap()
    }

    fn feed(&self, words: &[&str]) {
        let mut producer = self.scene.producer(None);
        for (number, word) in (0_i32..).zip(words) {
            let mut batch = RecordBatch::default();
            batch.push(self.scene.now_ms(), Some(b"k"), Some(word.as_bytes()), 0);
            let partition = TopicPartition::new(self.input.clone(), number % PARTITIONS);
            producer.send(&partition, &mut batch, self.scene.now_ms()).unwrap();
        }
        self.scene.answer("the input", |now_ms| producer.flush(now_ms)).unwrap();
    }

    /// What was told of each word, in order, once there are so many counts.
    fn counts(&self, expected: usize) -> BTreeMap<String, Vec<i64>> {
        self.scene.until("all counts", |_| {
            let mut counts = BTreeMap::<_, Vec<_>>::new();
            for number in 0..PARTITIONS {
                let partition = TopicPartition::new(self.output.clone(), number);
                for record in self.scene.read(&partition, 0, Isolation::ReadCommitted).0 {
                    let count = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
                    counts.entry(String::from_utf8(record.key.unwrap()).unwrap()).or_default().push(count);
                }
            }
            let found: usize = counts.values().map(Vec::len).sum();
            assert!(found <= expected, "{counts:?}");
            (found == expected).then_some(counts)
        })
    }

    /// Resets the application, once its members are gone.
    fn reset(&self, state_dir: Option<PathBuf>) -> Vec<String> {
        let mut admin = self.scene.admin();
        let group = self.application();
        self.scene.until("an empty group", |_| {
            let members = self.scene.answer("members", |now_ms| admin.members(&group, now_ms)).unwrap();
            members.is_empty().then_some(())
        });
        let options =
            ResetOptions { inputs: vec![self.input.clone()], state_dir, ..ResetOptions::new(group.clone()) };
        let clock = SystemClock::new();
        let reset = Reset::prepare(&options, self.scene.cluster.as_ref(), &clock).unwrap();
        assert_eq!(reset.remarks(), [""; 0]);
        let mut told = Vec::new();
        reset.run(&mut |step| told.push(step.to_string().replace(&group, "app"))).unwrap();
        told
    }
}

/// Words are counted, then some more; after a reset all of them anew. With the state folder, and without: as on a machine
/// where nobody deleted it.
fn counts_anew(scene: &Scene, deletes_folder: bool) {
    let count = Count::new(scene);
    let words = ["a", "b", "a", "c", "a", "b"];
    count.feed(&words);
    let running = count.start();
    count.counts(6);
    running.stop().unwrap();
    count.feed(&["a"]);
    let running = count.start();
    let first = count.counts(7);
    let expected = [("a", vec![1, 2, 3, 4]), ("b", vec![1, 2]), ("c", vec![1])];
    assert_eq!(first, expected.map(|(word, counts)| (word.to_owned(), counts)).into());

    let options = ResetOptions::new(count.application());
    let clock = SystemClock::new();
    let refused = Reset::prepare(&options, scene.cluster.as_ref(), &clock).unwrap_err();
    assert!(refused.message().contains("has members: "), "{refused}");
    running.stop().unwrap();

    let folder = count.place.0.join(count.application());
    assert!(folder.join("identity").exists());
    let told = count.reset(deletes_folder.then(|| count.place.0.clone()));
    assert_eq!(folder.exists(), !deletes_folder);
    let kinds: Vec<_> =
        told.iter().map(|step| step.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let sets = |number| format!("set {}-{number}", count.input);
    let expected =
        ["deleted the".to_owned(), sets(0), sets(1), "deleted topic".to_owned(), "deleted topic".to_owned()];
    assert_eq!(kinds, expected[usize::from(!deletes_folder)..]);
    assert!(told.ends_with(&[
        "deleted topic `app-counts-changelog`".to_owned(),
        "deleted topic `app-words-repartition`".to_owned()
    ]));

    let running = count.start();
    let twice = first.into_iter().map(|(word, counts)| (word, counts.repeat(2))).collect();
    assert_eq!(count.counts(14), twice);
    running.stop().unwrap();
}

#[test]
fn after_a_reset_everything_is_done_again() {
    on_each(|scene| counts_anew(scene, true));
}

#[test]
fn after_a_reset_a_state_folder_that_stayed_is_not_believed() {
    on_each(|scene| counts_anew(scene, false));
}
