//! Page: all metrics of a snapshot in Prometheus' text form, and those of the process as a whole.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary};

use super::{Health, Snapshot, Status, thread};

/// The version of the text form; its text is UTF-8.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The quantiles of a summary.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// Labels, each with its value.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The metrics of a page, by name.
#[derive(Default)]
pub(super) struct Page {
    families: BTreeMap<String, MetricFamily>,
}

impl Page {
    /// Adds a count that only rises.
    pub(super) fn counter(&mut self, (name, help): (&str, &str), labels: Labels<'_>, value: u64) {
        let mut counter = Counter::default();
        counter.set_value(number(value));
        self.add(MetricType::COUNTER, (name, help), labels).set_counter(counter);
    }

    /// Adds a value of now.
    pub(super) fn gauge(&mut self, (name, help): (&str, &str), labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.add(MetricType::GAUGE, (name, help), labels).set_gauge(gauge);
    }

    /// Adds a distribution; its values are divided by `unit`.
    pub(super) fn summary(
        &mut self,
        (name, help): (&str, &str),
        labels: Labels<'_>,
        (values, unit): (&Histogram<u64>, f64),
    ) {
        let quantile = |at: f64| {
            let mut quantile = Quantile::default();
            quantile.set_quantile(at);
            // Prometheus' value for a quantile of nothing.
            let value = if values.is_empty() { f64::NAN } else { number(values.value_at_quantile(at)) };
            quantile.set_value(value / unit);
            quantile
        };
        let mut summary = Summary::default();
        summary.set_sample_count(values.len());
        summary.set_sample_sum(values.mean() * number(values.len()) / unit);
        summary.set_quantile(QUANTILES.map(quantile).into());
        self.add(MetricType::SUMMARY, (name, help), labels).set_summary(summary);
    }

    fn add(&mut self, kind: MetricType, (name, help): (&str, &str), labels: Labels<'_>) -> &mut Metric {
        let family = self.families.entry(name.to_owned()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let metrics = family.mut_metric();
        metrics.push(Metric::from_label(labels.iter().map(pair).collect()));
        metrics.last_mut().expect("one was pushed just now")
    }
}

/// A count as Prometheus has it. Above 2^53 it loses its last digits.
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// The page of a snapshot.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    process(snapshot, &mut page);
    backend(snapshot, &mut page);
    for worker in &snapshot.workers {
        thread::show(worker, &snapshot.process, &mut page);
    }
    let families: Vec<_> = page.families.into_values().collect();
    // It refuses families without a name or a metric; there are none.
    TextEncoder.encode_to_string(&families).unwrap_or_else(|error| format!("# {error}\n"))
}

fn process(snapshot: &Snapshot, page: &mut Page) {
    let health = Health::of(snapshot);
    let client = [("client_id", snapshot.client.as_str())];
    let count = |which: &dyn Fn(&str) -> bool| {
        number(health.workers.iter().filter(|state| which(state)).count() as u64)
    };
    page.gauge(
        (
            "kafka_streams_stream_metrics_client_state",
            "The process, as KafkaStreams.State: 0 created, 1 rebalancing, 2 running, 3 stopping, 4 stopped, 6 failed",
        ),
        &[client[0], ("process_id", &snapshot.process)],
        match health.status {
            Status::Starting => 0.0,
            Status::Rebalancing => 1.0,
            Status::Running => 2.0,
            Status::Stopping => 3.0,
            Status::Stopped => 4.0,
            Status::Failed => 6.0,
        },
    );
    page.gauge(
        ("kafka_streams_stream_metrics_alive_stream_threads", "Workers that live"),
        &client,
        count(&|state| !matches!(state, "stopped" | "failed")),
    );
    page.gauge(
        ("kafka_streams_stream_metrics_failed_stream_threads", "Workers that have failed since the start"),
        &client,
        number(snapshot.failures),
    );
    page.gauge(("headwater_memory_max_bytes", "memory.max"), &client, number(snapshot.memory_max as u64));
}

/// Sizes that Kafka Streams does not have.
const OURS: [&str; 2] = ["estimate-live-data-size", "num-files-at-level-0"];
/// What of a database is memory: the memtables are part of the cache.
const MEMORY: [&str; 2] = ["block-cache-usage", "estimate-table-readers-mem"];

fn backend(snapshot: &Snapshot, page: &mut Page) {
    let client = ("client_id", snapshot.client.as_str());
    for (name, size) in &snapshot.backend {
        let prefix =
            if OURS.contains(name) { "headwater_state_" } else { "kafka_streams_stream_state_metrics_" };
        let full = format!("{prefix}{}", name.replace('-', "_"));
        page.gauge((&full, "RocksDB's, of the one database of the process"), &[client], number(*size));
    }
    let memory = snapshot.backend.iter().filter(|(name, _)| MEMORY.contains(name));
    let memory: u64 = memory.map(|(_, size)| size).sum();
    page.gauge(thread::MEMORY, &[client, ("owner", "state-backend")], number(memory));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::WorkerSnapshot;
    use crate::task::{Rebuild, RestoreProgress};
    use crate::topic::{TaskId, TopicPartition};
    use crate::worker::{Figures, InputLag, Levels, TaskLevels, WorkerState};

    const TASK: TaskId = TaskId { subtopology: 1, partition: 2 };

    fn figures() -> Figures {
        let mut figures = Figures::default();
        (figures.commits, figures.aborts, figures.restored) = (2, 3, 11);
        figures.rebuilds.insert(Rebuild::TooOld, 5);
        figures.counters.entry(TASK).or_default().skipped_offsets = 4;
        [1_000, 3_000].iter().for_each(|took_us| figures.commit_us.saturating_record(*took_us));
        figures
    }

    fn levels() -> Levels {
        let lag = |end| InputLag { end, next: 7, committed: 5 };
        let inputs = [("a", Some(9)), ("b", None)];
        let inputs = inputs.map(|(topic, end)| (TopicPartition::new(topic, 2), lag(end))).into();
        let task = TaskLevels { runs: true, inputs, changelog_bytes: 8, ..TaskLevels::default() };
        let restoring = TaskId { partition: 3, ..TASK };
        let remains = |changelog, remaining| RestoreProgress {
            task: restoring,
            changelog: TopicPartition::new(changelog, 3),
            records: 1,
            bytes: 1,
            remaining,
            elapsed_ms: 1,
        };
        let begins = TaskId { partition: 4, ..TASK };
        let tasks = [(TASK, task), (restoring, TaskLevels::default()), (begins, TaskLevels::default())];
        Levels { tasks: tasks.into(), restores: vec![remains("c", 6), remains("d", 7)], output_bytes: 13 }
    }

    fn page() -> String {
        text(&Snapshot {
            client: "c-p".to_owned(),
            process: "p".to_owned(),
            memory_max: 100,
            workers: vec![WorkerSnapshot {
                thread: "t\"1\"".to_owned(),
                state: WorkerState::Rebalancing,
                figures: figures(),
                levels: levels(),
            }],
            failures: 0,
            failed: false,
            backend: vec![("estimate-num-keys", 21), ("num-files-at-level-0", 22), ("block-cache-usage", 23)],
        })
    }

    #[test]
    fn what_was_published_is_on_the_page() {
        let page = page();
        let lines: Vec<_> = page.lines().collect();
        for line in r#"
headwater_aborts_total{thread_id="t\"1\""} 3
headwater_commit_latency_ms{thread_id="t\"1\"",quantile="0.5"} 1.003
headwater_commit_latency_ms_count{thread_id="t\"1\""} 2
headwater_memory_bytes{client_id="c-p",owner="state-backend"} 23
headwater_memory_bytes{thread_id="t\"1\"",owner="changelogs"} 8
headwater_memory_bytes{thread_id="t\"1\"",owner="output"} 13
headwater_memory_max_bytes{client_id="c-p"} 100
headwater_rebuilds_total{thread_id="t\"1\"",cause="corrupt"} 0
headwater_rebuilds_total{thread_id="t\"1\"",cause="too-old"} 5
headwater_record_e2e_latency_ms{thread_id="t\"1\"",quantile="0.5"} NaN
headwater_record_e2e_latency_ms_sum{thread_id="t\"1\""} 0
headwater_restored_records_total{thread_id="t\"1\""} 11
headwater_skipped_offsets_total{thread_id="t\"1\"",task_id="1_2"} 4
headwater_state_num_files_at_level_0{client_id="c-p"} 22
kafka_consumer_consumer_fetch_manager_metrics_records_lag{client_id="t\"1\"",topic="a",partition="2"} 2
kafka_consumer_consumer_fetch_manager_metrics_records_lag_max{client_id="t\"1\""} 2
kafka_streams_stream_metrics_client_state{client_id="c-p",process_id="p"} 1
kafka_streams_stream_state_metrics_estimate_num_keys{client_id="c-p"} 21
kafka_streams_stream_state_updater_metrics_active_restoring_tasks{thread_id="t\"1\""} 2
kafka_streams_stream_task_metrics_restore_remaining_records_total{thread_id="t\"1\"",task_id="1_2"} 0
kafka_streams_stream_task_metrics_restore_remaining_records_total{thread_id="t\"1\"",task_id="1_3"} 13
"#
        .trim()
        .lines()
        {
            assert!(lines.contains(&line), "no {line} in\n{page}");
        }
        for unknown in [
            r#"topic="b""#,
            r#"remaining_records_total{thread_id="t\"1\"",task_id="1_4"}"#,
            "e2e_latency_max",
        ] {
            assert!(!page.contains(unknown), "{unknown} is not known:\n{page}");
        }
    }

    /// The names of the docs' tables. A row has one in full, and of others that begin like it what is different.
    fn documented() -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for row in include_str!("mod.rs").lines().filter(|line| line.starts_with("//! | `")) {
            let cell = row.split('|').nth(1).unwrap_or_default();
            let mut told = cell.split('`').skip(1).step_by(2);
            let Some(first) = told.next() else { continue };
            for other in told {
                match other.starts_with('_') {
                    true => {
                        names.extend(first.match_indices('_').map(|(at, _)| first[..at].to_owned() + other))
                    }
                    false => names.extend([other.to_owned()]),
                }
            }
            names.insert(first.to_owned());
        }
        names
    }

    #[test]
    fn the_docs_name_every_metric() {
        let (documented, page) = (documented(), page());
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            let short = name.trim_start_matches("kafka_streams_").trim_start_matches("headwater_");
            assert!(documented.contains(name) || documented.contains(short), "{name}");
        }
    }
}
