//! The soak: one instance counts records of many keys as fast as it can, for long, with its state on disk. Its memory has to
//! stay at `memory.max`, and its rate where it was.
//!
//! 1. The feed is ahead of the instance, by no more than [`AHEAD`] records, so that the rate is the instance's. That it is
//!    ahead is checked.
//! 2. First comes each key once; then keys are drawn from all. That this goes on for long enough is checked.
//! 3. Every ten seconds a line: records a second, resident memory now and at most, state on disk. They make a CSV.
//! 4. The rate of the last third is compared with that of the second; in the first keys are new and the store grows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Fallible;
use crate::cast::{Instance, Role};
use crate::cluster::Kafka;
use crate::feed::{Feed, Feeding};
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
    /// Its first line: what was measured.
    #[arg(long)]
    note: Option<String>,
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
struct Line {
    second: i64,
    rate: f64,
    resident: u64,
    /// The most that was resident at any moment so far.
    peak: u64,
    on_disk: u64,
    /// Records that are fed and not committed.
    waiting: u64,
}

/// Runs, watches, and tells.
pub(crate) fn run(arguments: &Arguments) -> Fallible<()> {
    let mut soak = Soak::begin(arguments)?;
    soak.watch()?;
    soak.end()
}

struct Soak<'a> {
    arguments: &'a Arguments,
    kafka: Kafka,
    application: String,
    instance: Instance,
    feeding: Feeding,
    allowed: Arc<AtomicU64>,
    lines: Vec<Line>,
}

impl<'a> Soak<'a> {
    fn begin(arguments: &'a Arguments) -> Fallible<Self> {
        let mut kafka = Kafka::connect(&arguments.bootstrap, arguments.partitions)?;
        let application = format!("soak-{:x}", kafka.now_ms());
        kafka.create(&[INPUT, COUNTS].map(|topic| named(&application, topic)), 1, &KEPT)?;
        let allowed = Arc::new(AtomicU64::new(AHEAD));
        let feed = Feed {
            topic: named(&application, INPUT),
            partitions: arguments.partitions,
            keys: arguments.keys,
            each_first: true,
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
            flush_bytes: None,
        };
        let mut instance = Instance::new(0, arguments.dir.join(&application), &role)?;
        instance.start(None)?;
        println!(
            "{application}: {} keys, {} partitions, memory.max {} MiB, {}, {} minutes",
            arguments.keys,
            arguments.partitions,
            arguments.memory_mib,
            arguments.guarantee,
            arguments.minutes
        );
        let soak = Self { arguments, kafka, application, instance, feeding, allowed, lines: Vec::new() };
        soak.keep()?;
        Ok(soak)
    }

    /// Writes the CSV as far as it goes.
    fn keep(&self) -> Fallible<()> {
        match &self.arguments.out {
            Some(out) => {
                let note =
                    self.arguments.note.as_ref().map_or_else(String::new, |note| format!("# {note}\n"));
                Ok(std::fs::write(out, note + &csv(&self.lines))?)
            }
            None => Ok(()),
        }
    }

    fn committed(&mut self) -> Fallible<u64> {
        let offsets = self.kafka.committed(&self.application, &named(&self.application, INPUT))?;
        Ok(u64::try_from(offsets.iter().sum::<i64>())?)
    }

    fn watch(&mut self) -> Fallible<()> {
        let begin = self.kafka.now_ms();
        let mut last = (begin, 0);
        while self.kafka.now_ms() - begin < i64::from(self.arguments.minutes) * 60_000 {
            self.kafka.pause(LOOK_MS);
            let read = self.committed()?;
            self.allowed.store(read + AHEAD, Ordering::Relaxed);
            if let Some(status) = self.instance.ended()? {
                let words = self.instance.last_words();
                return Err(format!("the instance has ended ({status}):\n{words}").into());
            }
            if self.feeding.has_failed() {
                return Err("the feed has ended".into());
            }
            let now_ms = self.kafka.now_ms();
            if now_ms - last.0 < LINE_MS {
                continue;
            }
            let line = Line {
                second: (now_ms - begin) / 1_000,
                rate: (read - last.1) as f64 * 1_000.0 / (now_ms - last.0) as f64,
                resident: memory(&self.instance, "VmRSS:")?,
                peak: memory(&self.instance, "VmHWM:")?,
                on_disk: size(&self.instance.state())?,
                waiting: self.feeding.sent.load(Ordering::Relaxed).saturating_sub(read),
            };
            last = (now_ms, read);
            println!("{}", line.text());
            self.lines.push(line);
            self.keep()?;
        }
        Ok(())
    }

    fn end(mut self) -> Fallible<()> {
        let (read, keys) = (self.committed()?, self.arguments.keys);
        self.feeding.stop()?;
        self.instance.end(&self.kafka)?;
        if read < 2 * keys {
            return Err(format!("{read} records are too few for {keys} keys: give it more minutes").into());
        }
        judge(&self.lines, self.arguments.memory_mib * MIB)
    }
}

impl Line {
    fn text(&self) -> String {
        let Self { second, rate, resident, peak, on_disk, waiting } = self;
        let [resident, peak, on_disk] = [resident, peak, on_disk].map(|bytes| bytes / MIB);
        format!(
            "{second:5} s  {rate:9.0} records/s  RSS {resident} MiB, at most {peak}  state on disk {on_disk} MiB  {waiting} wait"
        )
    }
}

fn csv(lines: &[Line]) -> String {
    let mut text = "second,records_per_s,rss_bytes,rss_peak_bytes,state_bytes,records_waiting\n".to_owned();
    for Line { second, rate, resident, peak, on_disk, waiting } in lines {
        let _ = writeln!(text, "{second},{rate:.0},{resident},{peak},{on_disk},{waiting}");
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
    let most = lines.iter().map(|line| line.peak).max().unwrap_or(0);
    let starved = lines.iter().filter(|line| line.waiting == 0).count();
    let share = most as f64 / limit as f64;
    println!(
        "most memory {} MiB, {share:.2} of memory.max; {second:.0} records/s in the second third, {last:.0} in the last",
        most / MIB
    );
    if starved * 10 > lines.len() {
        return Err(
            format!("nothing waited in {starved} of {} lines: the feed is too slow", lines.len()).into()
        );
    }
    if share > ABOVE {
        return Err(format!("memory is above {ABOVE} of memory.max").into());
    }
    if last < STEADY * second {
        return Err(format!("the rate has fallen below {STEADY} of what it was").into());
    }
    Ok(())
}

/// Resident memory by its name in the system's table, bytes.
fn memory(instance: &Instance, name: &str) -> Fallible<u64> {
    let process = instance.process().ok_or("the instance is not alive")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).ok_or("no such memory")?;
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
        let lines = |rates: [f64; 3], peak| {
            rates.map(|rate| Line { second: 0, rate, resident: 0, peak, on_disk: 0, waiting: 1 })
        };
        assert!(judge(&lines([9.0, 5.0, 4.6], 114), 100).is_ok());
        assert!(judge(&lines([9.0, 5.0, 4.4], 114), 100).is_err());
        assert!(judge(&lines([9.0, 5.0, 4.6], 116), 100).is_err());
        assert!(judge(&[], 100).is_err());
        let starved = lines([9.0, 5.0, 4.6], 100).map(|line| Line { waiting: 0, ..line });
        assert!(judge(&starved, 100).is_err());
    }
}
