//! Thread: the metrics of one worker and of its tasks. Kafka Streams calls a worker a thread.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::page::{Page, number};
use super::{WorkerSnapshot, health};
use crate::task::Rebuild;
use crate::telemetry::{Counters, DropReason, Stage};
use crate::topic::TaskId;
use crate::worker::{TaskLevels, WorkerState};

/// Of workers by owner; of the process for the state backend.
pub(super) const MEMORY: (&str, &str) = ("headwater_memory_bytes", "What memory.max counts, by owner");

/// Microseconds, or milliseconds, in a millisecond.
const MICROSECONDS: f64 = 1_000.0;
const MILLISECONDS: f64 = 1.0;

/// Shows a worker.
pub(super) fn show(worker: &WorkerSnapshot, process: &str, page: &mut Page) {
    let thread = ("thread_id", worker.thread.as_str());
    state(worker, process, page);
    totals(worker, page);
    latencies(worker, page);
    lags(worker, page);
    memory(worker, page);
    for (task, counters) in &worker.figures.counters {
        counts(counters, thread, *task, page);
    }
    let mut remaining = BTreeMap::<TaskId, i64>::new();
    for restore in &worker.levels.restores {
        *remaining.entry(restore.task).or_default() += restore.remaining;
    }
    for (task, levels) in &worker.levels.tasks {
        // A restore does not know at once how much there is.
        let remaining = remaining.get(task).copied().or(levels.runs.then_some(0));
        contents(levels, (thread, *task), remaining, page);
    }
}

fn state(worker: &WorkerSnapshot, process: &str, page: &mut Page) {
    let thread = ("thread_id", worker.thread.as_str());
    page.gauge(
        (
            "kafka_streams_stream_thread_metrics_thread_state",
            "A worker, as StreamThread.State: 0 created, 1 starting, 3 rebalancing, 4 running, 5 stopping, 6 gone",
        ),
        &[thread, ("process_id", process)],
        match worker.state {
            WorkerState::Created => 0.0,
            WorkerState::Starting => 1.0,
            WorkerState::Rebalancing => 3.0,
            WorkerState::Running => 4.0,
            WorkerState::Stopping => 5.0,
            WorkerState::Stopped | WorkerState::Failed => 6.0,
        },
    );
    let state = ("state", health::name(worker.state));
    page.gauge(("headwater_worker_state", "1, with the worker's state"), &[thread, state], 1.0);
    page.gauge(
        (
            "kafka_streams_stream_state_updater_metrics_active_restoring_tasks",
            "Tasks that are being restored",
        ),
        &[thread],
        number(worker.levels.tasks.values().filter(|task| !task.runs).count() as u64),
    );
}

fn totals(worker: &WorkerSnapshot, page: &mut Page) {
    let (thread, figures) = (("thread_id", worker.thread.as_str()), &worker.figures);
    let all = [
        (
            ("kafka_streams_stream_thread_metrics_process_total", "Records processed"),
            figures.total().processed,
        ),
        (("kafka_streams_stream_thread_metrics_commit_total", "Commits"), figures.commits),
        (("headwater_aborts_total", "Transactions aborted, and producers replaced"), figures.aborts),
        (
            ("headwater_restored_records_total", "Changelog records read by restores that are over"),
            figures.restored,
        ),
    ];
    for (name, count) in all {
        page.counter(name, &[thread], count);
    }
    for cause in Rebuild::ALL {
        let count = figures.rebuilds.get(&cause).copied().unwrap_or(0);
        let name = ("headwater_rebuilds_total", "How often a task lost its local state");
        page.counter(name, &[thread, ("cause", cause.name())], count);
    }
}

fn latencies(worker: &WorkerSnapshot, page: &mut Page) {
    let (labels, figures) = ([("thread_id", worker.thread.as_str())], &worker.figures);
    let (commit, e2e) = (&figures.commit_us, &figures.latency_ms);
    let name = ("headwater_commit_latency_ms", "How long commits took");
    page.summary(name, &labels, (commit, MICROSECONDS));
    let name =
        ("headwater_record_e2e_latency_ms", "From a record's time to the commit that carries it, of samples");
    page.summary(name, &labels, (e2e, MILLISECONDS));

    let mut of = |values: &Histogram<u64>, (name, help): (&str, &str), value: f64| {
        if !values.is_empty() {
            page.gauge((name, help), &labels, value);
        }
    };
    let name = "kafka_streams_stream_thread_metrics_commit_latency_avg";
    of(commit, (name, "How long a commit took on average, ms"), commit.mean() / MICROSECONDS);
    let name = "kafka_streams_stream_thread_metrics_commit_latency_max";
    of(commit, (name, "How long the longest commit took, ms"), number(commit.max()) / MICROSECONDS);
    let name = "kafka_streams_stream_processor_node_metrics_record_e2e_latency_min";
    of(e2e, (name, "The shortest time to the commit, ms"), number(e2e.min()));
    let name = "kafka_streams_stream_processor_node_metrics_record_e2e_latency_avg";
    of(e2e, (name, "The average time to the commit, ms"), e2e.mean());
    let name = "kafka_streams_stream_processor_node_metrics_record_e2e_latency_max";
    of(e2e, (name, "The longest time to the commit, ms"), number(e2e.max()));
}

fn lags(worker: &WorkerSnapshot, page: &mut Page) {
    let client = ("client_id", worker.thread.as_str());
    let mut highest = None;
    for (partition, lag) in worker.levels.tasks.values().flat_map(|task| &task.inputs) {
        let Some(records) = lag.records() else { continue };
        let place = [client, ("topic", &partition.topic), ("partition", &partition.partition.to_string())];
        let name = "kafka_consumer_consumer_fetch_manager_metrics_records_lag";
        let help = "Records from the next to be processed to the last stable offset";
        page.gauge((name, help), &place, number(records.unsigned_abs()));
        highest = highest.max(Some(records));
    }
    if let Some(highest) = highest {
        let name = "kafka_consumer_consumer_fetch_manager_metrics_records_lag_max";
        page.gauge((name, "The highest lag of a worker"), &[client], number(highest.unsigned_abs()));
    }
}

fn memory(worker: &WorkerSnapshot, page: &mut Page) {
    let thread = ("thread_id", worker.thread.as_str());
    let tasks = || worker.levels.tasks.values();
    let owners = [
        ("records", tasks().map(|task| task.waiting_bytes).sum()),
        ("stores", tasks().flat_map(|task| task.stores.values()).sum()),
        ("changelogs", tasks().map(|task| task.changelog_bytes).sum::<usize>()),
        ("output", worker.levels.output_bytes),
    ];
    for (owner, bytes) in owners {
        page.gauge(MEMORY, &[thread, ("owner", owner)], number(bytes as u64));
    }
}

fn counts(counters: &Counters, thread: (&str, &str), task: TaskId, page: &mut Page) {
    let id = task.to_string();
    let labels = [thread, ("task_id", id.as_str())];
    let all = [
        (
            ("kafka_streams_stream_topic_metrics_records_consumed_total", "Records read from inputs"),
            counters.consumed,
        ),
        (
            ("kafka_streams_stream_topic_metrics_records_produced_total", "Records written to outputs"),
            counters.produced,
        ),
        (
            ("headwater_skipped_offsets_total", "Offsets that the input did not have any more"),
            counters.skipped_offsets,
        ),
    ];
    for (name, count) in all {
        page.counter(name, &labels, count);
    }
    for reason in DropReason::ALL {
        let name = ("kafka_streams_stream_task_metrics_dropped_records_total", "Records dropped, by reason");
        page.counter(name, &[labels[0], labels[1], ("reason", reason.name())], counters.dropped(reason));
    }
    for stage in Stage::ALL {
        let name = ("headwater_dead_letters_total", "Records written to the dead letter topic");
        page.counter(name, &[labels[0], labels[1], ("stage", stage.name())], counters.dead_letters(stage));
    }
}

fn contents(
    levels: &TaskLevels,
    (thread, task): ((&str, &str), TaskId),
    remaining: Option<i64>,
    page: &mut Page,
) {
    let id = task.to_string();
    let labels = [thread, ("task_id", id.as_str())];
    let name = "kafka_streams_stream_task_metrics_active_buffer_count";
    page.gauge((name, "Records that wait to be processed"), &labels, number(levels.waiting_records as u64));
    let name = "kafka_streams_stream_task_metrics_input_buffer_bytes_total";
    page.gauge(
        (name, "Bytes of the batches in which they lie"),
        &labels,
        number(levels.waiting_bytes as u64),
    );
    if let Some(remaining) = remaining {
        let name = "kafka_streams_stream_task_metrics_restore_remaining_records_total";
        page.gauge(
            (name, "Offsets of changelogs that a restore has before it"),
            &labels,
            number(remaining.unsigned_abs()),
        );
    }
    for (store, bytes) in &levels.stores {
        let name = ("headwater_store_memory_bytes", "What a store has in memory, estimated");
        page.gauge(name, &[labels[0], labels[1], ("store", store)], number(*bytes as u64));
    }
}
