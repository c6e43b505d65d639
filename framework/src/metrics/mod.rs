//! Metrics and health of a running application over HTTP (feature `metrics`): `/metrics` for Prometheus, `/health` for probes.
//! [`Running::serve_metrics`](crate::Running::serve_metrics) starts it.
//!
//! 1. Workers publish once a second; a page shows what they have published last. No record pays for it.
//! 2. Counts of records are those that commits made true; they begin at 0 with each start. Latencies are since the start
//!    as well, where Kafka Streams' are of the last minute: use the sums and counts of the summaries for rates.
//! 3. A metric has Kafka Streams' name, in the form that Prometheus' JMX exporter gives it, where it has the same meaning; dashboards
//!    for Kafka Streams find it. What Kafka Streams does not have begins with `headwater_`.
//! 4. `thread_id` is the worker's `client.id`, which brokers show, too.
//!
//! # Metrics
//!
//! `kafka_streams_` in front of these:
//!
//! | here | in Kafka Streams | what |
//! |---|---|---|
//! | `stream_metrics_client_state` | `client-state` of `stream-metrics` | the process, as the number of `KafkaStreams.State` |
//! | `stream_metrics_alive_stream_threads`, `_failed_stream_threads` | the same | workers that live, and that have failed since the start |
//! | `stream_thread_metrics_thread_state` | `thread-state` of `stream-thread-metrics` | a worker, as the number of `StreamThread.State` |
//! | `stream_thread_metrics_process_total` | `process-total` | records processed |
//! | `stream_thread_metrics_commit_total`, `_commit_latency_avg`, `_commit_latency_max` | the same | commits, and how long they took, ms |
//! | `stream_task_metrics_dropped_records_total` | `dropped-records-total` of `stream-task-metrics` | records dropped; here with a `reason` |
//! | `stream_task_metrics_active_buffer_count`, `_input_buffer_bytes_total` | the same | records that wait to be processed, and their batches' bytes |
//! | `stream_task_metrics_restore_remaining_records_total` | the same | offsets of changelogs that a restore has before it; 0 for a task that runs |
//! | `stream_topic_metrics_records_consumed_total`, `_records_produced_total` | the same, of `stream-topic-metrics` | records read and written, here of a task: without `topic_name` |
//! | `stream_processor_node_metrics_record_e2e_latency_min`, `_avg`, `_max` | `record-e2e-latency-*` at a sink | from a record's time to the commit that carries it, ms; of samples, of a worker |
//! | `stream_state_updater_metrics_active_restoring_tasks` | the same | tasks that are being restored |
//! | `stream_state_metrics_estimate_num_keys`, `_total_sst_files_size`, `_size_all_mem_tables`, `_block_cache_usage`, `_block_cache_pinned_usage`, `_block_cache_capacity`, `_estimate_table_readers_mem`, `_estimate_pending_compaction_bytes`, `_background_errors` | the same, of each store | RocksDB, here one database of the process |
//!
//! And of consumers:
//!
//! | here | in Kafka's consumer | what |
//! |---|---|---|
//! | `kafka_consumer_consumer_fetch_manager_metrics_records_lag` | `records-lag` of `consumer-fetch-manager-metrics` | from the next record to be processed to the last stable offset; Java's begins with the next record to be fetched |
//! | `kafka_consumer_consumer_fetch_manager_metrics_records_lag_max` | `records-lag-max` | the highest of a worker |
//!
//! `headwater_` in front of these, which Kafka Streams does not have:
//!
//! | here | what |
//! |---|---|
//! | `worker_state` | 1, with the worker's `state` |
//! | `dead_letters_total` | records written to the dead letter topic, by `stage` |
//! | `skipped_offsets_total` | offsets that the input did not have any more |
//! | `aborts_total` | transactions that were aborted, and producers that were replaced |
//! | `rebuilds_total` | how often a task lost its local state, by `cause` |
//! | `restored_records_total` | changelog records read by restores that are over |
//! | `commit_latency_ms`, `record_e2e_latency_ms` | summaries of the latencies above, with quantiles |
//! | `store_memory_bytes` | what a store has in memory |
//! | `memory_bytes` | what `memory.max` counts, by `owner`: `records` that wait, `stores`, `changelogs` and `output` on their way, `state-backend` |
//! | `memory_max_bytes` | `memory.max` |
//! | `state_estimate_live_data_size`, `state_num_files_at_level_0` | more of RocksDB |
//!
//! # Health
//!
//! `/health` answers 200 while the process starts, rebalances, runs or stops, and 503 once a worker has failed and is not replaced, or all are gone; its
//! body says what they do: `{"status":"running","workers":["running"]}`. `/health/live` is the same; `/health/ready` answers 200
//! while all workers run all their tasks, and 503 while one is being restored. For Kubernetes, with the server at `0.0.0.0:9464`:
//!
//! ```yaml
//! livenessProbe:  { httpGet: { path: /health/live, port: 9464 } }
//! readinessProbe: { httpGet: { path: /health/ready, port: 9464 } }
//! ```
//!
//! A pod that is not ready still does its work: a stream application gets no traffic by a service. Readiness makes a rolling
//! update wait until the tasks of one pod are restored before it takes the next; so give updates a `progressDeadlineSeconds` above the
//! longest restore. A rebalance makes all pods unready for a moment.

mod health;
mod page;
mod server;
mod snapshot;
mod thread;

pub use health::{Health, Status};
pub(crate) use page::text;
pub(crate) use server::MetricsServer;
pub(crate) use snapshot::{Snapshot, Source, WorkerSnapshot};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An address that only this machine reaches, with the port that exporters of OpenTelemetry use.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
