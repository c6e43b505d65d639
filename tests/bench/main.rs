//! What a record costs in process: nanoseconds, allocations and (under callgrind) instructions, without a broker.
//!
//! Each pipeline runs on the production worker over a cluster that costs nothing ([`null_cluster`]), once to warm up
//! and then in rounds; the best round counts. Fetched batches come as a client hands them over that has just written
//! them; what writing them takes is not counted, as it is the client's. Under callgrind (`tests/bench/run`) each
//! pipeline runs twice, with n and with 2n records, and the difference is the cost of n.

mod null_cluster;
mod pipelines;
mod primitives;
mod topologies;

use std::io::Write;
use std::sync::Arc;

use clap::Parser;
use cpu_time::ThreadTime;
use headwater::state::MemoryBackend;
use headwater::topology::PlanOptions;
use headwater::worker::{Worker, WorkerOptions};
use headwater::{Config, RecordBatch};

use null_cluster::NullCluster;
use pipelines::{Load, PIPELINES, Pipeline};
use topologies::Topics;

/// What the numbers are.
const NOTE: &str =
    "ns/record is processor time of the framework alone, the best round. Batches come as a client hands them
over, just written: `arriving` is what that copy took, it is not counted. Windows stay open, all of their keys
were seen before, and nothing is flushed to a byte store.";

/// Result of a benchmark or the reason why there is none.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// What a record costs in process.
#[derive(Parser)]
struct Arguments {
    /// Records per round.
    #[arg(long, default_value_t = 1_000_000, value_parser = positive)]
    records: usize,
    /// Keys that are counted or joined.
    #[arg(long, default_value_t = 1_000_000, value_parser = positive)]
    keys: usize,
    /// Rounds, the best of which counts.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    rounds: usize,
    /// Only the pipeline of this name.
    #[arg(long)]
    only: Option<String>,
    /// Runs the pipeline of `--only` once over so many records and prints nothing: for callgrind.
    #[arg(long)]
    bare: bool,
    /// Writes the results as CSV as well.
    #[arg(long)]
    csv: Option<std::path::PathBuf>,
}

impl Arguments {
    fn load(&self, round: usize) -> Load {
        Load { records: self.records, keys: self.keys, round }
    }
}

/// A number of at least 1.
fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "a number of at least 1 is needed".to_owned())
}

/// A pipeline, measured.
struct Measured {
    name: &'static str,
    budget_ns: Option<f64>,
    ns: f64,
    /// What it took until the records were there: a client's, and not counted in `ns`.
    arriving_ns: f64,
    allocations: f64,
    written: f64,
}

fn main() -> Fallible<()> {
    let arguments = Arguments::parse();
    let chosen = |pipeline: &&Pipeline| arguments.only.as_deref().is_none_or(|only| only == pipeline.name);
    if !PIPELINES.iter().any(|pipeline| chosen(&pipeline)) {
        let names: Vec<_> = PIPELINES.iter().map(|pipeline| pipeline.name).collect();
        return Err(format!("no such pipeline; there are {}", names.join(", ")).into());
    }
    if arguments.bare {
        for pipeline in PIPELINES.iter().filter(chosen) {
            run(pipeline, arguments.load(0))?;
        }
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    if arguments.only.is_none() {
        writeln!(out, "{:<44} {:>8} {:>24}", "this machine", "ns", "where budgets were set")?;
        for one in primitives::measure() {
            writeln!(out, "{:<44} {:>8.1} {:>24.1}", one.name, one.ns, one.reference_ns)?;
        }
        writeln!(out, "{:<44} {:>8}\n", "transparent huge pages", primitives::huge_pages())?;
    }
    writeln!(out, "{NOTE}\n")?;
    writeln!(
        out,
        "{:<16} {:>10} {:>10} {:>10} {:>14} {:>14}",
        "pipeline", "ns/record", "budget", "arriving", "allocs/record", "written/record"
    )?;
    let mut csv = String::from(
        "pipeline,ns_per_record,budget_ns,arriving_ns,allocations_per_record,written_per_record\n",
    );
    for pipeline in PIPELINES.iter().filter(chosen) {
        let best = measure(pipeline, &arguments)?;
        let budget = best.budget_ns.map_or("-".to_owned(), |budget| format!("{budget:.0}"));
        let Measured { name, ns, arriving_ns, allocations, written, .. } = best;
        writeln!(
            out,
            "{name:<16} {ns:>10.1} {budget:>10} {arriving_ns:>10.1} {allocations:>14.4} {written:>14.2}"
        )?;
        csv.push_str(&format!("{name},{ns:.1},{budget},{arriving_ns:.1},{allocations:.4},{written:.2}\n"));
    }
    if let Some(path) = arguments.csv {
        std::fs::write(path, csv)?;
    }
    Ok(())
}

fn measure(pipeline: &Pipeline, arguments: &Arguments) -> Fallible<Measured> {
    let mut best: Option<Measured> = None;
    for round in 0..=arguments.rounds {
        let measured = run(pipeline, arguments.load(round))?;
        // The first round warms up.
        if round > 0 && best.as_ref().is_none_or(|best| measured.ns < best.ns) {
            best = Some(measured);
        }
    }
    Ok(best.ok_or("at least one round is needed")?)
}

/// Runs the pipeline: first what fills its tables and stores, then the records that are measured.
fn run(pipeline: &Pipeline, load: Load) -> Fallible<Measured> {
    let records = load.records;
    let cluster = NullCluster::default();
    let topology =
        (pipeline.build)(&Topics { input: "in".into(), table: "table".into(), out: "out".into() })?;
    let options = PlanOptions { application: "bench".into(), additional_retention_ms: 0 };
    let plan = Arc::new(topology.plan(&options)?);
    let mut filling = 0;
    for (topic, batches) in (pipeline.before)(load) {
        cluster.topic(topic, 1);
        filling += batches.iter().map(RecordBatch::len).sum::<usize>();
        cluster.input(topic, batches);
    }
    cluster.topic(pipeline.input, 1);
    // Several partitions, so that keys are hashed.
    cluster.topic("out", 4);
    // Commits come by the clock that `step` is given: every 100 ms, at the rate of a million records a second.
    let config = Config::builder()
        .set("application.id", "bench")
        .set("processing.guarantee", "exactly_once_v2")
        .set("commit.interval.ms", "100")
        // The byte store in memory is no target of its own: no flush falls into a round.
        .set("memory.max", "16GiB")
        .set("state.flush.interval.ms", "3600000")
        .set("state.flush.bytes", "8GiB")
        .build()?;
    let mut worker = Worker::new(WorkerOptions::new(
        plan,
        config,
        Arc::new(cluster.clone()),
        Arc::new(MemoryBackend::default()),
    ));
    let mut now_us = 0;
    drive(&mut worker, &mut now_us, filling)?;
    cluster.input(pipeline.input, (pipeline.records)(load));
    let written = cluster.with(|shelf| shelf.written);
    let arriving = cluster.with(|shelf| shelf.arriving);
    let mut took = std::time::Duration::ZERO;
    let mut failed = Ok(());
    let allocations = allocation_counter::measure(|| {
        // Processor time of this thread: what others do on the machine does not count.
        let begin = ThreadTime::now();
        failed = drive(&mut worker, &mut now_us, records);
        took = begin.elapsed();
    });
    failed?;
    let written = cluster.with(|shelf| shelf.written) - written;
    let arriving = cluster.with(|shelf| shelf.arriving) - arriving;
    let took = took - arriving;
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let per = |count: u64| count as f64 / records as f64;
    Ok(Measured {
        name: pipeline.name,
        budget_ns: pipeline.budget_ns,
        ns: per(u64::try_from(took.as_nanos())?),
        arriving_ns: per(u64::try_from(arriving.as_nanos())?),
        allocations: per(allocations.count_total),
        written: per(written),
    })
}

/// Steps until `records` are consumed and committed. The worker's time passes at a microsecond a record.
fn drive(worker: &mut Worker, now_us: &mut i64, records: usize) -> Fallible<()> {
    let mut consumed = 0;
    let mut idle = 0;
    while consumed < records || idle < 3 {
        let progress = worker.step(*now_us / 1_000)?;
        consumed += progress.consumed;
        *now_us += i64::try_from(progress.consumed)?.max(1);
        idle = if progress.busy { 0 } else { idle + 1 };
        if idle > 1_000_000 {
            return Err(format!("stuck after {consumed} of {records} records").into());
        }
    }
    // One more commit, so that what was processed is paid for in full.
    *now_us += 200_000;
    for _ in 0..20 {
        worker.step(*now_us / 1_000)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is allocated for n records and for 2n is the same but for what whole batches and commits take.
    #[test]
    fn no_record_costs_an_allocation() {
        for pipeline in PIPELINES {
            let allocations = |records| {
                let load = Load { records, keys: 1_000, round: 0 };
                let measured = run(pipeline, load).expect("the pipeline runs");
                measured.allocations * f64::from(u32::try_from(records).expect("few records"))
            };
            let (one, two) = (allocations(50_000), allocations(100_000));
            let per_record = (two - one) / 50_000.0;
            assert!(per_record < 0.02, "{}: {per_record} allocations per record", pipeline.name);
        }
    }
}
