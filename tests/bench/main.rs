//! What a record costs in process: nanoseconds, allocations and (under callgrind) instructions, without a broker.
//!
//! Each pipeline runs on the production worker over a cluster that costs nothing ([`null_cluster`]), once to warm up
//! and then in rounds; the best round counts. Under callgrind (`--instructions`) each pipeline runs twice, with n and
//! with 2n records, and the difference is the cost of n.

mod null_cluster;
mod pipelines;
mod primitives;

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
    #[arg(long, default_value_t = 5)]
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
    allocations: f64,
    written: f64,
}

fn main() -> Fallible<()> {
    let arguments = Arguments::parse();
    let chosen = |pipeline: &&Pipeline| arguments.only.as_deref().is_none_or(|only| only == pipeline.name);
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
        writeln!(out)?;
    }
    if !PIPELINES.iter().any(|pipeline| chosen(&pipeline)) {
        let names: Vec<_> = PIPELINES.iter().map(|pipeline| pipeline.name).collect();
        return Err(format!("no such pipeline; there are {}", names.join(", ")).into());
    }
    writeln!(
        out,
        "{:<16} {:>10} {:>10} {:>14} {:>14}",
        "pipeline", "ns/record", "budget", "allocs/record", "written/record"
    )?;
    let mut csv =
        String::from("pipeline,ns_per_record,budget_ns,allocations_per_record,written_per_record\n");
    for pipeline in PIPELINES.iter().filter(chosen) {
        let best = measure(pipeline, &arguments)?;
        let budget = best.budget_ns.map_or("-".to_owned(), |budget| format!("{budget:.0}"));
        writeln!(
            out,
            "{:<16} {:>10.1} {budget:>10} {:>14.4} {:>14.2}",
            best.name, best.ns, best.allocations, best.written
        )?;
        csv.push_str(&format!(
            "{},{:.1},{budget},{:.4},{:.2}\n",
            best.name, best.ns, best.allocations, best.written
        ));
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
    let topology = (pipeline.build)()?;
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
    let took = took - (cluster.with(|shelf| shelf.arriving) - arriving);
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let per = |count: u64| count as f64 / records as f64;
    Ok(Measured {
        name: pipeline.name,
        budget_ns: pipeline.budget_ns,
        ns: per(u64::try_from(took.as_nanos())?),
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
