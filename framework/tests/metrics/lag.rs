//! How far inputs and restores are behind.

use headwater::kafka::Cluster;
use headwater::kafka::ProducerOptions;
use headwater::{Materialized, RecordBatch, StreamsBuilder, TopicPartition};

use crate::bench::{cluster, page, put, serve, until};
use crate::scrape::get;

const LAG: &str = "kafka_consumer_consumer_fetch_manager_metrics_records_lag";
const REMAINING: &str = "kafka_streams_stream_task_metrics_restore_remaining_records_total";

fn joining(builder: &StreamsBuilder) {
    let users = builder.table::<String, String>("users");
    let clicks = builder.stream::<String, String>("clicks");
    clicks.join(&users, |click, user| format!("{click} by {user}")).to("out");
}

#[test]
fn what_waits_is_behind_and_what_is_processed_is_not() {
    let cluster = cluster(&["clicks", "users", "out"]);
    for number in 0..5 {
        put(&cluster, "clicks", 10 + number, (Some("ann"), b"home"));
    }
    // The task waits for a user, to process both inputs in the order of time.
    let (running, address) = serve(&cluster, &[("max.task.idle.ms", "3600000")], joining);
    let lag = |topic: &'static str| [("topic", topic)];
    let waits = page(&cluster, address, "five clicks", |page| page.sum(LAG, &lag("clicks")) == Some(5.0));
    assert_eq!(waits.value(LAG, &lag("users")), 0.0);
    assert_eq!(waits.value(&format!("{LAG}_max"), &[]), 5.0);
    let buffered = "kafka_streams_stream_task_metrics_active_buffer_count";
    let waits = page(&cluster, address, "a fetch", |page| page.sum(buffered, &[]) == Some(5.0));
    assert_eq!(waits.value("kafka_streams_stream_thread_metrics_process_total", &[]), 0.0);
    let bytes = waits.value("kafka_streams_stream_task_metrics_input_buffer_bytes_total", &[]);
    assert!(bytes > 0.0);
    assert_eq!(waits.value("headwater_memory_bytes", &[("owner", "records")]), bytes);
    let known = running.lag()[&TopicPartition::new("clicks", 0)];
    assert_eq!((known.end, known.next, known.committed, known.records()), (Some(5), 0, 0, Some(5)));

    put(&cluster, "users", 20, (Some("ann"), b"Ann"));
    let after =
        page(&cluster, address, "the clicks' turn", |page| page.sum(LAG, &lag("clicks")) == Some(0.0));
    assert_eq!(after.value(LAG, &lag("users")), 1.0, "it waits for a click now");
    running.stop().unwrap();
}

fn counting(builder: &StreamsBuilder) {
    let grouped = builder.stream::<String, i64>("in").group_by_key();
    grouped.count_with(Materialized::named("counts")).to_stream().to("out");
}

#[test]
fn a_restore_says_how_much_remains() {
    let cluster = cluster(&["in", "out"]);
    put(&cluster, "in", 1, (Some("a"), &1_i64.to_be_bytes()));
    let (running, address) = serve(&cluster, &[], counting);
    let done = "kafka_streams_stream_thread_metrics_process_total";
    page(&cluster, address, "a record", |page| page.sum(done, &[]) == Some(1.0));
    running.stop().unwrap();

    // A restore reads up to what is written now, and so has to wait until this is decided.
    let changelog = TopicPartition::new("app-counts-changelog", 0);
    let mut producer = cluster.producer(&ProducerOptions {
        client: "other".to_owned(),
        transactional_id: Some("other".to_owned()),
        transaction_timeout_ms: 60_000,
        request_timeout_ms: 10_000,
    });
    assert!(producer.init(1).is_ready());
    producer.begin().unwrap();
    let mut batch = RecordBatch::default();
    (0..3).for_each(|_| batch.push(1, Some(b"a"), Some(&9_i64.to_be_bytes()), 0));
    producer.send(&changelog, &mut batch, 1).unwrap();
    until(&cluster, "a flush", || producer.flush(1).is_ready().then_some(()));

    let (running, address) = serve(&cluster, &[], counting);
    let waits = page(&cluster, address, "a restore", |page| page.sum(REMAINING, &[]) == Some(3.0));
    let restoring = "kafka_streams_stream_state_updater_metrics_active_restoring_tasks";
    assert_eq!(waits.value(restoring, &[]), 1.0);
    assert_eq!(waits.value("kafka_streams_stream_metrics_client_state", &[]), 1.0);
    let known = running.levels().restores;
    assert_eq!((known[0].changelog.clone(), known[0].records, known[0].remaining), (changelog, 1, 3));
    assert!(running.lag().is_empty(), "its input is not read yet");
    assert_eq!(get(address, "/health/live").0, 200);
    assert_eq!(
        get(address, "/health"),
        (200, r#"{"status":"rebalancing","workers":["rebalancing"]}"#.into())
    );
    assert_eq!(get(address, "/health/ready").0, 503);

    until(&cluster, "an abort", || producer.abort(1).is_ready().then_some(()));
    let after =
        page(&cluster, address, "the end of the restore", |page| page.sum(REMAINING, &[]) == Some(0.0));
    assert_eq!(after.value(restoring, &[]), 0.0);
    assert_eq!(after.value("headwater_restored_records_total", &[]), 1.0);
    assert_eq!(get(address, "/health/ready").0, 200);
    running.stop().unwrap();
}
