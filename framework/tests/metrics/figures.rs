//! Counts, latencies, sizes.

use headwater::time::{Clock, SystemClock};
use headwater::{Materialized, StreamsBuilder};

use crate::bench::{cluster, page, put, serve};

const CONSUMED: &str = "kafka_streams_stream_topic_metrics_records_consumed_total";
const PRODUCED: &str = "kafka_streams_stream_topic_metrics_records_produced_total";
const PROCESSED: &str = "kafka_streams_stream_thread_metrics_process_total";
const DROPPED: &str = "kafka_streams_stream_task_metrics_dropped_records_total";
const LAG: &str = "kafka_consumer_consumer_fetch_manager_metrics_records_lag";

fn counting(builder: &StreamsBuilder) {
    let grouped = builder.stream::<String, i64>("in").group_by_key();
    grouped.count_with(Materialized::named("counts")).to_stream().to("out");
}

#[test]
fn every_record_is_on_the_page_as_what_it_became() {
    let cluster = cluster(&["in", "out", "dead"]);
    let now_ms = SystemClock::new().now_ms();
    let value = 1_i64.to_be_bytes();
    for number in 0..7 {
        put(&cluster, "in", now_ms - 60_000, (Some(&format!("key {number}")), &value));
    }
    put(&cluster, "in", -1, (Some("before 1970"), &value));
    put(&cluster, "in", now_ms, (Some("short"), b"no"));
    let settings = [
        ("default.timestamp.extractor", "log-and-skip-on-invalid-timestamp"),
        ("deserialization.exception.handler", "dead-letter"),
        ("errors.dead.letter.queue.topic.name", "dead"),
    ];
    let (running, address) = serve(&cluster, &settings, counting);
    let page = page(&cluster, address, "nine records", |page| page.sum(CONSUMED, &[]) == Some(9.0));

    let task = ("task_id", "0_0");
    let thread = ("thread_id", "app-000-p");
    assert_eq!(page.value(CONSUMED, &[thread, task]), 9.0);
    assert_eq!((page.value(PROCESSED, &[thread]), page.value(PRODUCED, &[thread, task])), (7.0, 7.0));
    assert_eq!(page.value(DROPPED, &[thread, task, ("reason", "bad-timestamp")]), 1.0);
    assert_eq!(page.value(DROPPED, &[]), 1.0, "and no other");
    let dead = "headwater_dead_letters_total";
    assert_eq!(page.value(dead, &[thread, task, ("stage", "deserialization")]), 1.0);
    assert_eq!(page.value(dead, &[]), 1.0, "and no other");

    let place = [("client_id", "app-000-p"), ("topic", "in"), ("partition", "0")];
    assert_eq!(page.value(LAG, &place), 0.0);
    assert_eq!(page.value("kafka_streams_stream_task_metrics_active_buffer_count", &[task]), 0.0);
    assert_eq!(page.value("kafka_streams_stream_task_metrics_restore_remaining_records_total", &[task]), 0.0);
    assert_eq!(page.value("kafka_streams_stream_metrics_client_state", &[("client_id", "app-p")]), 2.0);
    assert_eq!(page.value("kafka_streams_stream_thread_metrics_thread_state", &[thread]), 4.0);
    assert_eq!(page.value("headwater_worker_state", &[thread, ("state", "running")]), 1.0);
    for name in ["headwater_aborts_total", "headwater_rebuilds_total", "headwater_skipped_offsets_total"] {
        assert_eq!(page.value(name, &[]), 0.0, "{name}");
    }
    assert_eq!(running.figures().total().to_string(), running.stop().unwrap().total().to_string());
}

#[test]
fn latencies_and_sizes_are_those_of_the_records() {
    let cluster = cluster(&["in", "out"]);
    let now_ms = SystemClock::new().now_ms();
    put(&cluster, "in", now_ms - 60_000, (Some("a"), &1_i64.to_be_bytes()));
    let (running, address) = serve(&cluster, &[("memory.max", "64 MiB")], counting);
    let page = page(&cluster, address, "a record", |page| page.sum(PRODUCED, &[]) == Some(1.0));

    let commits = page.value("kafka_streams_stream_thread_metrics_commit_total", &[]);
    assert!(commits >= 1.0);
    assert_eq!(page.value("headwater_commit_latency_ms_count", &[]), commits);
    let longest = page.value("kafka_streams_stream_thread_metrics_commit_latency_max", &[]);
    let average = page.value("kafka_streams_stream_thread_metrics_commit_latency_avg", &[]);
    let sum = page.value("headwater_commit_latency_ms_sum", &[]);
    assert!(average <= longest && (sum / commits - average).abs() < 0.001, "{average} {longest} {sum}");
    // One record, a minute old, and as long as the start has taken; two digits are kept.
    let late = |value: f64| (59_000.0..120_000.0).contains(&value);
    for part in ["min", "avg", "max"] {
        let name = format!("kafka_streams_stream_processor_node_metrics_record_e2e_latency_{part}");
        assert!(late(page.value(&name, &[])), "{name}\n{}", page.text);
    }
    let name = "headwater_record_e2e_latency_ms";
    assert_eq!(page.value(&format!("{name}_count"), &[]), 1.0);
    for quantile in ["0.5", "0.9", "0.99", "0.999"] {
        assert!(late(page.value(name, &[("quantile", quantile)])), "{quantile}\n{}", page.text);
    }

    let store = page.value("headwater_store_memory_bytes", &[("task_id", "0_0"), ("store", "counts")]);
    assert!(store > 0.0);
    assert_eq!(page.value("headwater_memory_bytes", &[("owner", "stores")]), store);
    for owner in ["records", "changelogs", "output", "state-backend"] {
        assert_eq!(page.value("headwater_memory_bytes", &[("owner", owner)]), 0.0, "{owner}");
    }
    assert_eq!(page.value("headwater_memory_max_bytes", &[]), f64::from(64 << 20));
    running.stop().unwrap();
}

#[test]
#[cfg(feature = "rocksdb")]
fn what_the_database_takes_is_on_the_page() {
    use std::sync::Arc;

    use headwater::state::{RocksBackend, RocksOptions, StateBackend};

    let state_dir = std::env::temp_dir().join(format!("headwater-metrics-{}", std::process::id()));
    let options =
        RocksOptions { state_dir: state_dir.clone(), application: "app".to_owned(), memory_bytes: 8 << 20 };
    let backend = Arc::new(RocksBackend::open_folder(&options).unwrap());
    let cluster = cluster(&["in", "out"]);
    for number in 0..50 {
        put(&cluster, "in", 1, (Some(&format!("key {number}")), &1_i64.to_be_bytes()));
    }
    // State goes to the database with each commit.
    let settings = [("state.flush.interval.ms", "1")];
    let shared: Arc<dyn StateBackend> = backend.clone();
    let (running, address) = crate::bench::serve_on(&cluster, shared, &settings, counting);
    let keys = "kafka_streams_stream_state_metrics_estimate_num_keys";
    let page =
        page(&cluster, address, "50 keys", |page| page.sum(keys, &[]).is_some_and(|keys| keys >= 50.0));
    assert_eq!(
        page.value("kafka_streams_stream_state_metrics_block_cache_capacity", &[]),
        f64::from(8 << 20)
    );
    assert!(page.value("kafka_streams_stream_state_metrics_size_all_mem_tables", &[]) > 0.0);
    let cache = page.value("kafka_streams_stream_state_metrics_block_cache_usage", &[]);
    let readers = page.value("kafka_streams_stream_state_metrics_estimate_table_readers_mem", &[]);
    assert_eq!(page.value("headwater_memory_bytes", &[("owner", "state-backend")]), cache + readers);
    running.stop().unwrap();
    drop(backend);
    std::fs::remove_dir_all(state_dir).unwrap();
}
