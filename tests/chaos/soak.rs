//! The soak: one instance counts records of many keys as fast as it can, for long, with its state on disk. Its memory has to
//! stay at `memory.max`, and its rate where it was.
//!
//! 1. The feed is never further ahead than [`AHEAD`] records, so that the rate is the instance's.
//! 2. Every ten seconds a line: records a second, resident memory, state on disk. They make a CSV.
//! 3. The rate of the last third is compared with that of the second; in the first keys are new and the store grows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Fallible;
use crate::cast::{Instance, Role};
use crate::cluster::Kafka;
use crate::feed::Feed;
use crate::topology::{COUNTS, INPUT, Pipeline, named};

/// Records that may wait.
const AHEAD: u64 = 1_000_000;
/// Between two lines, milliseconds.
const LINE_MS: i64 = 10_000;
/// Between two looks at what is committed, milliseconds.
const LOOK_MS: i64 = 500;
/// Memory may be this much above `memory.max`.
const ABOVE: f64 = 1.15;
/// The last third's rate is at least this much of the second's.
const STEADY: f64 = 0.9;
const MIB: u64 = 1 << 20;
/// What input and output keep on the broker's disk, bytes of each partition.
const KEPT: [(&str, &str); 2] = [("retention.bytes", "200000000"), ("segment.bytes", "50000000")];

/// Settings of the soak.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The cluster.
    #[arg(long)]
    bootstrap: String,
    /// How long.
    #[arg(long, default_value_t = 30)]
    minutes: u32,
    /// How many keys.
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 2)]
    partitions: i32,
    /// `memory.max` of the instance, MiB.
    #[arg(long, default_value_t = 512)]
    memory_mib: u64,
    /// Its guarantee.
    #[arg(long, default_value = "exactly_once_v2")]
    guarantee: String,
    /// Folder of states and logs.
    #[arg(long, default_value = "target/chaos")]
    dir: PathBuf,
    /// The CSV.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
struct Line {
    second: i64,
    rate: f64,
    resident: u64,
    on_disk: u64,
}

/// Runs, watches, and tells.
pub(crate) fn run(arguments: &Arguments) -> Fallible<()> {
    let mut kafka = Kafka::connect(&arguments.bootstrap, arguments.partitions)?;
    let application = format!("soak-{:x}", kafka.now_ms());
    kafka.create(&[INPUT, COUNTS].map(|topic| named(&application, topic)), 1, &KEPT)?;
    let allowed = Arc::new(AtomicU64::new(AHEAD));
    let feed = Feed {
        topic: named(&application, INPUT),
        partitions: arguments.partitions,
        keys: arguments.keys,
        rate: 10_000_000,
        seed: 1,
        allowed: Arc::clone(&allowed),
    };
    let feeding = feed.start(&kafka.cluster);
    let role = Role {
        bootstrap: arguments.bootstrap.clone(),
        application: application.clone(),
        guarantee: arguments.guarantee.clone(),
        pipeline: Pipeline::Counts,
        memory_max: format!("{}MiB", arguments.memory_mib),
        flush_interval_ms: 60_000,
    };
    let mut instance = Instance::new(0, arguments.dir.join(&application), &role)?;
    instance.start(None)?;
    println!(
        "{application}: {} keys, {} partitions, memory.max {} MiB, {}, {} minutes",
        arguments.keys, arguments.partitions, arguments.memory_mib, arguments.guarantee, arguments.minutes
    );
    let mut lines = Vec::new();
    let (begin, mut last) = (kafka.now_ms(), (kafka.now_ms(), 0));
    while kafka.now_ms() - begin < i64::from(arguments.minutes) * 60_000 {
        kafka.pause(LOOK_MS);
        let read = committed(&kafka, &application)?;
        allowed.store(read + AHEAD, Ordering::Relaxed);
        if let Some(status) = instance.ended()? {
            return Err(format!("the instance has ended ({status}):\n{}", instance.last_words()).into());
        }
        if feeding.has_failed() {
            return feeding.stop().map(drop);
        }
        let now_ms = kafka.now_ms();
        if now_ms - last.0 >= LINE_MS {
            let line = Line {
                second: (now_ms - begin) / 1_000,
                rate: (read - last.1) as f64 * 1_000.0 / (now_ms - last.0) as f64,
                resident: resident(&instance)?,
                on_disk: size(&instance.state())?,
            };
            last = (now_ms, read);
            println!("{}", line.text());
            lines.push(line);
        }
    }
    feeding.stop()?;
    instance.signal("TERM")?;
    let status = instance.wait()?;
    if !status.success() {
        return Err(format!("the instance ends with {status}:\n{}", instance.last_words()).into());
    }
    if let Some(out) = &arguments.out {
        std::fs::write(out, csv(&lines))?;
    }
    judge(&lines, arguments.memory_mib * MIB)
}

impl Line {
    fn text(&self) -> String {
        let Self { second, rate, resident, on_disk } = self;
        format!(
            "{second:5} s  {rate:9.0} records/s  RSS {} MiB  state on disk {} MiB",
            resident / MIB,
            on_disk / MIB
        )
    }
}

fn csv(lines: &[Line]) -> String {
    let mut text = "second,records_per_s,rss_bytes,state_bytes\n".to_owned();
    for Line { second, rate, resident, on_disk } in lines {
        let _ = writeln!(text, "{second},{rate:.0},{resident},{on_disk}");
    }
    text
}

/// The verdict, with the figures that it stands on.
fn judge(lines: &[Line], limit: u64) -> Fallible<()> {
    let third = lines.len() / 3;
    if third == 0 {
        return Err("there are too few lines to compare".into());
    }
    let mean = |lines: &[Line]| lines.iter().map(|line| line.rate).sum::<f64>() / lines.len() as f64;
    let (second, last) = (mean(&lines[third..2 * third]), mean(&lines[2 * third..]));
    let most = lines.iter().map(|line| line.resident).max().unwrap_or(0);
    let share = most as f64 / limit as f64;
    println!(
        "most memory {} MiB, {share:.2} of memory.max; {second:.0} records/s in the second third, {last:.0} in the last",
        most / MIB
    );
    if share > ABOVE {
        return Err(format!("memory is above {ABOVE} of memory.max").into());
    }
    if last < STEADY * second {
        return Err(format!("the rate has fallen below {STEADY} of what it was").into());
    }
    Ok(())
}

fn committed(kafka: &Kafka, application: &str) -> Fallible<u64> {
    let offsets = kafka.committed(application, &named(application, INPUT))?;
    Ok(u64::try_from(offsets.iter().sum::<i64>())?)
}

/// Resident memory, bytes.
fn resident(instance: &Instance) -> Fallible<u64> {
    let process = instance.process().ok_or("the instance is not alive")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
    Ok(kib.trim().parse::<u64>()? * 1_024)
}

/// Bytes of the files of a folder. Files that go meanwhile count nothing.
fn size(folder: &Path) -> Fallible<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { size(&entry.path()).unwrap_or(0) } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_memory_and_a_falling_rate_are_found() {
        let lines =
            |rates: [f64; 3], resident| rates.map(|rate| Line { second: 0, rate, resident, on_disk: 0 });
        assert!(judge(&lines([9.0, 5.0, 4.6], 114), 100).is_ok());
        assert!(judge(&lines([9.0, 5.0, 4.4], 114), 100).is_err());
        assert!(judge(&lines([9.0, 5.0, 4.6], 116), 100).is_err());
        assert!(judge(&[], 100).is_err());
    }
}
