//! Show: what the broker and its server have counted, and what they hold, as metrics.

use super::page::{Page, number};
use super::process;
use crate::api::GroupState;
use crate::broker::Figures;
use crate::server::apis;
use crate::server::counters::{BOUNDS_NS, Counters};
use crate::server::host::Host;
use crate::transaction::TransactionState;

/// With more partitions than this no single one is shown: three lines for each would make pages of megabytes.
const PARTITIONS_SHOWN: usize = 1_000;
const NANOSECONDS: f64 = 1e9;

/// The page of a broker.
pub(in crate::server) fn text(host: &Host) -> String {
    let mut page = Page::default();
    counts(&host.counters, &mut page);
    requests(&host.counters, &mut page);
    let figures = holds(host, &mut page);
    appended(&figures, &host.counters, &mut page);
    process::show(&mut page);
    page.into_text()
}

fn counts(counters: &Counters, page: &mut Page) {
    let open = counters.accepted.get().saturating_sub(counters.ended.get());
    page.gauge(("headwater_broker_connections", "Connections that are open"), &[], number(open));
    let all = [
        ("headwater_broker_accepted_connections_total", "Connections that were accepted", &counters.accepted),
        (
            "headwater_broker_refused_connections_total",
            "Connections that max.connections left no place for",
            &counters.refused,
        ),
        (
            "headwater_broker_malformed_requests_total",
            "Requests that could not be understood, and ended their connection",
            &counters.malformed,
        ),
        (
            "headwater_broker_failed_logins_total",
            "Logins that were refused, and TLS that did not come about",
            &counters.failed_logins,
        ),
    ];
    for (name, help, count) in all {
        page.counter((name, help), &[], number(count.get()));
    }
    let recovery = &counters.recovery;
    page.gauge(
        ("headwater_broker_recovery_seconds", "How long the start took to take up what the folder held"),
        &[],
        number(recovery.took_ns) / NANOSECONDS,
    );
    page.gauge(
        ("headwater_broker_recovery_damaged_bytes", "Bytes that the start cut off, or could not read"),
        &[],
        number(recovery.damaged_bytes),
    );
}

fn requests(counters: &Counters, page: &mut Page) {
    let name = (
        "headwater_broker_request_duration_seconds",
        "How long requests were worked on, without what they waited for",
    );
    for (number_of_api, api) in apis::names() {
        let Some(times) = counters.times(number_of_api) else { continue };
        let bounds = BOUNDS_NS.iter().map(|bound| number(*bound) / NANOSECONDS).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(times.buckets()).collect();
        if buckets.iter().any(|(_, count)| *count > 0) {
            let sum = number(times.sum_ns()) / NANOSECONDS;
            page.histogram(name, &[("api", &api)], (buckets.into_iter(), sum));
        }
    }
    for ((api, error), count) in counters.errors() {
        let labels = [("api", &*format!("{api:?}")), ("error", error.name())];
        let name = ("headwater_broker_errors_total", "Errors in answers, of each partition, topic or group");
        page.counter(name, &labels, number(count));
    }
}

fn appended(figures: &Figures, counters: &Counters, page: &mut Page) {
    let all = [
        ("headwater_broker_appended_records_total", "Records from producers", figures.appended_records),
        ("headwater_broker_appended_bytes_total", "Bytes of their batches", figures.appended_bytes),
        ("headwater_broker_fetched_records_total", "Records to consumers", counters.fetched_records.get()),
        ("headwater_broker_fetched_bytes_total", "Bytes of their batches", counters.fetched_bytes.get()),
        ("headwater_broker_compactions_total", "Compactions of a partition", figures.compactions),
        (
            "headwater_broker_compaction_read_bytes_total",
            "Bytes of batches that compactions have read",
            figures.compacted_bytes,
        ),
        (
            "headwater_broker_compaction_kept_bytes_total",
            "Bytes of batches that compactions have kept",
            figures.compaction_kept_bytes,
        ),
    ];
    for (name, help, count) in all {
        page.counter((name, help), &[], number(count));
    }
    let ended = [
        ("committed", figures.committed),
        ("aborted", figures.aborted.saturating_sub(figures.timed_out)),
        ("timed_out", figures.timed_out),
    ];
    for (result, count) in ended {
        let name = ("headwater_broker_ended_transactions_total", "Transactions that were decided");
        page.counter(name, &[("result", result)], number(count));
    }
}

/// What it holds now. Nobody is served meanwhile: it takes some microseconds for each partition.
fn holds(host: &Host, page: &mut Page) -> Figures {
    let broker = host.broker.lock();
    let gauges = |page: &mut Page, name: (&str, &str), state: &str, count: usize| {
        page.gauge(name, &[("state", state)], number(count as u64));
    };
    let groups = broker.group_states();
    for state in GroupState::ALL {
        let count = groups.get(&state).copied().unwrap_or(0);
        gauges(page, ("headwater_broker_groups", "Groups, by state"), state.name(), count);
    }
    let transactions = broker.transaction_states();
    for state in TransactionState::ALL {
        let count = transactions.get(&state).copied().unwrap_or(0);
        let name = ("headwater_broker_transactional_ids", "Transactional ids, by state");
        gauges(page, name, state.name(), count);
    }
    let partitions: Vec<_> = broker.partitions().collect();
    let size = partitions.iter().map(|(_, view)| view.size).sum();
    let topics = broker.topics().len() as u64;
    page.gauge(("headwater_broker_topics", "Topics"), &[], number(topics));
    page.gauge(("headwater_broker_partitions", "Partitions"), &[], number(partitions.len() as u64));
    page.gauge(("headwater_broker_log_bytes", "Bytes of the logs of all partitions"), &[], number(size));
    let figures = broker.figures();
    drop(broker);
    if partitions.len() <= PARTITIONS_SHOWN {
        for (at, view) in &partitions {
            let labels = [("topic", &*at.topic), ("partition", &*at.partition.to_string())];
            let offset = |offset: i64| number(u64::try_from(offset).unwrap_or(0));
            let name = ("headwater_broker_partition_log_bytes", "Bytes of a partition's log");
            page.gauge(name, &labels, number(view.size));
            let name = ("headwater_broker_partition_log_start_offset", "Where a partition starts");
            page.gauge(name, &labels, offset(view.log_start_offset));
            let name = ("headwater_broker_partition_log_end_offset", "Where a partition ends");
            page.gauge(name, &labels, offset(view.high_watermark));
        }
    }
    figures
}
