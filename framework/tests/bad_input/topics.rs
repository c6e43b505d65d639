//! Topics that are missing, go missing, or have other partition counts than the topology needs.

use std::sync::Arc;
use std::time::Duration;

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Isolation};
use headwater::state::MemoryBackend;
use headwater::testkit::Testkit;
use headwater::topology::PlanOptions;
use headwater::worker::{Worker, WorkerOptions};
use headwater::{Config, Materialized, StreamsBuilder, TimeWindows};
use headwater_broker::ErrorCode;
use headwater_broker::api::{ApiKey, CreatePartitionsRequest, DeleteTopicsRequest, NewPartitions};
use headwater_broker::faults::{Rule, Verdict};

/// A worker by hand: the test kit would make the topics.
fn worker(cluster: &MemoryCluster, builder: &StreamsBuilder, properties: &[(&str, &str)]) -> Worker {
    let config =
        Config::from_properties([("application.id", "app")].into_iter().chain(properties.iter().copied()));
    let options = PlanOptions { application: "app".to_owned(), additional_retention_ms: 0 };
    let plan = Arc::new(builder.build().unwrap().plan(&options).unwrap());
    let cluster = Arc::new(cluster.clone()) as Arc<dyn Cluster>;
    let backend = Arc::new(MemoryBackend::default());
    Worker::new(WorkerOptions::new(plan, config.unwrap(), cluster, backend))
}

/// Why a worker does not start.
fn failure(mut worker: Worker) -> String {
    let error = (0..100).find_map(|second| worker.step(second * 1_000).err());
    error.unwrap_or_else(|| panic!("it starts: {:?}", worker.state())).to_string()
}

fn start(cluster: &MemoryCluster, builder: &StreamsBuilder, properties: &[(&str, &str)]) -> String {
    failure(worker(cluster, builder, properties))
}

fn make(cluster: &MemoryCluster, topics: &[(&str, i32)]) {
    topics.iter().for_each(|(topic, partitions)| cluster.create_topic(topic, *partitions).unwrap());
}

#[test]
fn missing_topics_are_named_all_at_once() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>(["a", "b"]).to("out");
    builder.stream::<String, String>("c").to("other-out");
    let dead =
        [("processing.exception.handler", "dead-letter"), ("errors.dead.letter.queue.topic.name", "dead")];
    let hint = "create them, then start again; only the application's own topics are made on the way";
    let cluster = MemoryCluster::new();
    cluster.create_topic("b", 1).unwrap();
    let error = start(&cluster, &builder, &dead);
    assert_eq!(error, format!("source topics do not exist: `a`, `c`; {hint}"));
    make(&cluster, &[("a", 1), ("c", 1), ("out", 1)]);
    let error = start(&cluster, &builder, &dead);
    assert_eq!(error, format!("sink topics do not exist: `other-out`, `dead`; {hint}"));
}

#[test]
fn topics_that_are_joined_or_merged_need_equally_many_partitions() {
    let cluster = MemoryCluster::new();
    make(&cluster, &[("in", 3), ("rows", 2), ("out", 1)]);
    let joined = StreamsBuilder::new();
    let table = joined.table::<String, String>("rows");
    joined.stream::<String, String>("in").join(&table, |value, _| value).to("out");
    assert_eq!(
        start(&cluster, &joined, &[]),
        "`in` and `rows` are joined but have 3 and 2 partitions: equal keys would not meet; give both the same number \
         of partitions, or put `repartition` before the join"
    );
    let merged = StreamsBuilder::new();
    let (one, other) = (merged.stream::<String, String>("in"), merged.stream::<String, String>("rows"));
    one.merge(&other).group_by_key().count().to_stream().to("out");
    assert_eq!(
        start(&cluster, &merged, &[]),
        "sub-topology 0 keeps state and reads `in` with 3 and `rows` with 2 partitions; give the topics the same number \
         of partitions, or put `repartition` behind the smaller one"
    );
}

#[test]
fn a_changelog_of_a_window_with_another_cleanup_policy() {
    let cluster = MemoryCluster::new();
    make(&cluster, &[("in", 1), ("out", 1)]);
    cluster.create_topic_with("app-windows-changelog", 1, &[("cleanup.policy", "compact")]).unwrap();
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    let grouped = builder.stream::<String, String>("in").group_by_key();
    grouped.windowed_by(windows).count_with(Materialized::named("windows")).to_stream().to("out");
    assert_eq!(
        start(&cluster, &builder, &[]),
        "`app-windows-changelog` has cleanup.policy=compact, but the topology needs cleanup.policy=compact,delete; set it \
         with `kafka-configs --alter --topic app-windows-changelog --add-config cleanup.policy=[compact,delete]`: else \
         records go too early, or get other times"
    );
}

#[test]
fn a_repartition_topic_that_would_lose_what_is_not_read() {
    let cluster = MemoryCluster::new();
    make(&cluster, &[("in", 1), ("out", 1)]);
    let short = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
    cluster.create_topic_with("app-counts-repartition", 1, &short).unwrap();
    let builder = StreamsBuilder::new();
    let rekeyed = builder.stream::<String, String>("in").select_key(|_, value| value.clone());
    rekeyed.group_by_key().count_with(Materialized::named("counts")).to_stream().to("out");
    assert_eq!(
        start(&cluster, &builder, &[]),
        "`app-counts-repartition` has retention.ms=604800000, but the topology needs retention.ms=-1; set it with \
         `kafka-configs --alter --topic app-counts-repartition --add-config retention.ms=-1`: else records go too \
         early, or get other times"
    );
}

/// Another process, of another version, was quicker.
#[test]
fn a_topic_that_another_has_made_otherwise_at_the_same_time() {
    let cluster = MemoryCluster::new();
    make(&cluster, &[("in", 1), ("out", 1)]);
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("in").group_by_key();
    counts.count_with(Materialized::named("counts")).to_stream().to("out");
    let slow = Rule::on(ApiKey::CreateTopics, Verdict::Fail(ErrorCode::RequestTimedOut)).times(1);
    cluster.broker().faults_mut().rules.add(slow);
    let mut worker = worker(&cluster, &builder, &[]);
    worker.step(0).unwrap();
    cluster.create_topic_with("app-counts-changelog", 2, &[("cleanup.policy", "compact")]).unwrap();
    let error = failure(worker);
    assert!(
        error.starts_with("`app-counts-changelog` has 2 partitions, but the topology needs 1"),
        "{error}"
    );
}

#[test]
fn an_input_topic_that_has_got_more_partitions() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("in").group_by_key();
    counts.count_with(Materialized::named("counts")).to_stream().to("out");
    let topology = builder.build().unwrap();
    let mut kit = Testkit::builder().build(&topology).unwrap();
    kit.pipe("in", &"k".to_owned(), &"v".to_owned(), 1).unwrap();
    let more = NewPartitions { name: "in".into(), total: 3 };
    let request = CreatePartitionsRequest { topics: vec![more], validate_only: false };
    kit.cluster().broker().call(&"test".into(), request, 0).unwrap();
    assert_eq!(
        kit.restart(0).unwrap_err().to_string(),
        "`testkit-counts-changelog` has 1 partitions, but the topology needs 3: did an input topic get more partitions?; \
         stop all instances and reset the application (delete its internal topics), or use another `application.id`"
    );
}

#[test]
fn an_input_topic_that_is_deleted_while_it_is_read() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    let mut kit = Testkit::builder().exactly_once().build(&builder.build().unwrap()).unwrap();
    kit.pipe("in", &"k".to_owned(), &"v".to_owned(), 1).unwrap();
    let delete = DeleteTopicsRequest { topics: vec!["in".into()] };
    kit.cluster().broker().call(&"test".into(), delete, 0).unwrap();
    let error = kit.settle().unwrap_err().to_string();
    assert_eq!(
        error,
        "a topic is not there any more: in-0 cannot be read from offset 1 (UNKNOWN_TOPIC_OR_PARTITION) (topic in, \
         partition 0, offset 1); was it deleted? create it, then start again: `auto.offset.reset` says where an \
         input begins"
    );
    assert_eq!(kit.restart(0).unwrap_err().message(), "source topics do not exist: `in`");
    let out = kit.cluster().read_all("out", Isolation::ReadCommitted).unwrap();
    assert_eq!(out[0].len(), 1, "what was committed stays");
}
