//! The floor below Headwater: each pipeline by hand on librdkafka, one thread of its own, knowing the sizes of keys and
//! values, what comes and what must go.
//!
//! It reads and writes as Headwater does: the same settings, single records by `produceva` with timestamp and partition,
//! delivery reports in batches, and a commit every 100 ms behind the acknowledgement of all records, or by transaction. A
//! changelog gets a key once per commit. It is in no group, whose offsets it only borrows: nobody else may read.

#[expect(unsafe_code, reason = "the C functions of librdkafka, which the floor calls by hand")]
mod raw;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater::codec::partition::partition_for_key;
use headwater::time::{Clock, SystemClock};

use super::topologies::{Event, Total};
use super::{Fallible, Guarantee, Job, Pipeline};
use raw::{Message, Reader, Topic, Writer};

/// As `TimeWindows` of the topology.
const WINDOW_MS: i64 = 60_000;
/// How long a read waits for records.
const IDLE_MS: i32 = 10;
/// As the bench fills topics.
const KEY_LEN: usize = 16;
/// Key and start of its window.
const WINDOWED_LEN: usize = KEY_LEN + 8;

/// A table by keys of a known size.
type Table<const LEN: usize, V> = HashMap<[u8; LEN], V, foldhash::fast::RandomState>;

/// A count, and whether the changelog does not have it yet.
#[derive(Clone, Copy, Default)]
struct Count {
    count: i64,
    newest_ms: i64,
    dirty: bool,
}

/// The counts of a partition, and which have changed since the last commit.
#[derive(Default)]
struct Counts {
    table: Table<WINDOWED_LEN, Count>,
    dirty: Vec<[u8; WINDOWED_LEN]>,
}

/// What a pipeline does with a record.
enum Work {
    Pass,
    Json(Vec<u8>),
    Count { partitions: Vec<Counts>, changelog: Topic },
    Join(Table<KEY_LEN, Box<[u8]>>),
}

/// Runs the pipeline until the process is told to end.
pub(crate) fn run(job: &Job) -> Fallible<()> {
    let told = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&told))?;
    let transactional = job.guarantee == Guarantee::ExactlyOnce;
    let consumer = consumer(job);
    let mut writer = Writer::new(&producer(job, transactional))?;
    if transactional {
        writer.init()?;
    }
    let out = writer.topic(&job.ends.out)?;
    let mut work = work(job, &consumer, &writer)?;
    let mut reader = Reader::new(&consumer, &job.ends.input)?;
    let mut next = vec![-1; 64];
    let clock = SystemClock::new();
    let (mut open, mut committed_us) = (false, clock.elapsed_us());
    while !told.load(Ordering::Relaxed) {
        let mut read = false;
        reader.take(IDLE_MS, |message| {
            if transactional && !open {
                writer.begin()?;
            }
            (open, read) = (true, true);
            next[usize::try_from(message.partition)?] = message.offset + 1;
            work.handle(message, &mut writer, out)
        })?;
        writer.drain(0)?;
        let due = clock.elapsed_us() - committed_us
            >= Duration::from_millis(job.commit_ms).as_micros().try_into()?;
        if open && due {
            work.log(&mut writer)?;
            writer.flush()?;
            if transactional {
                writer.commit(&reader, &next)?
            } else {
                reader.commit(&next)?
            }
            (open, committed_us) = (false, clock.elapsed_us());
        }
    }
    Ok(())
}

fn work(job: &Job, consumer: &[(&str, &str)], writer: &Writer) -> Fallible<Work> {
    Ok(match job.pipeline {
        Pipeline::Passthrough => Work::Pass,
        Pipeline::JsonFilterMap => Work::Json(Vec::new()),
        Pipeline::WindowedCount => {
            let changelog = writer.topic(&format!("{}-counts-changelog", job.group))?;
            Work::Count {
                partitions: (0..changelog.partitions()).map(|_| Counts::default()).collect(),
                changelog,
            }
        }
        Pipeline::StreamTable => Work::Join(read_table(consumer, &job.table)?),
    })
}

/// All rows of a topic.
fn read_table(consumer: &[(&str, &str)], topic: &str) -> Fallible<Table<KEY_LEN, Box<[u8]>>> {
    let mut table = Table::default();
    let mut reader = Reader::new(consumer, topic)?;
    let mut ends = 0;
    while ends < 4 {
        ends += reader.take(IDLE_MS, |message| {
            table.insert(message.key.try_into()?, message.value.into());
            Ok(())
        })?;
    }
    Ok(table)
}

impl Work {
    fn handle(&mut self, message: &Message<'_>, writer: &mut Writer, out: Topic) -> Fallible<()> {
        let Message { timestamp, key, value, .. } = *message;
        let to = (out, partition_for_key(key, out.partitions()));
        match self {
            Self::Pass => writer.produce(to, key, value, timestamp),
            Self::Json(text) => {
                let event: Event = serde_json::from_slice(value)?;
                if !event.in_stock {
                    return Ok(());
                }
                text.clear();
                serde_json::to_writer(&mut *text, &Total::of(&event))?;
                writer.produce(to, key, text, timestamp)
            }
            Self::Count { partitions, .. } => {
                let Counts { table, dirty } = &mut partitions[usize::try_from(message.partition)?];
                let mut windowed = [0; WINDOWED_LEN];
                windowed[..KEY_LEN].copy_from_slice(key);
                windowed[KEY_LEN..].copy_from_slice(&(timestamp - timestamp % WINDOW_MS).to_be_bytes());
                let count = table.entry(windowed).or_default();
                count.count += 1;
                count.newest_ms = count.newest_ms.max(timestamp);
                if !std::mem::replace(&mut count.dirty, true) {
                    dirty.push(windowed);
                }
                writer.produce(to, &windowed, &count.count.to_be_bytes(), count.newest_ms)
            }
            Self::Join(table) => match table.get(key) {
                Some(row) => writer.produce(to, key, if row.is_empty() { row } else { value }, timestamp),
                None => Ok(()),
            },
        }
    }

    /// Writes to the changelog what has changed, in the form that Kafka Streams gives a windowed store.
    fn log(&mut self, writer: &mut Writer) -> Fallible<()> {
        let Self::Count { partitions, changelog } = self else { return Ok(()) };
        for (partition, Counts { table, dirty }) in (0..).zip(partitions) {
            for windowed in dirty.drain(..) {
                let Some(count) = table.get_mut(&windowed) else { continue };
                count.dirty = false;
                let mut key = [0; WINDOWED_LEN + 4];
                key[..WINDOWED_LEN].copy_from_slice(&windowed);
                let value = count.count.to_be_bytes();
                writer.produce((*changelog, partition), &key, &value, count.newest_ms)?;
            }
        }
        Ok(())
    }
}

/// What Headwater tells its consumer (`framework/src/kafka/librdkafka/settings.rs`), and the group to borrow offsets of.
fn consumer(job: &Job) -> Vec<(&str, &str)> {
    let mut settings = common(job);
    settings.extend([
        ("auto.offset.reset", "earliest"),
        ("check.crcs", "true"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        ("fetch.message.max.bytes", "1048576"),
        ("fetch.queue.backoff.ms", "10"),
        ("fetch.wait.max.ms", "100"),
        ("group.id", &job.group),
        ("isolation.level", "read_committed"),
        ("queued.max.messages.kbytes", "1024"),
        ("queued.min.messages", "10000"),
    ]);
    settings
}

/// What Headwater tells its producer.
fn producer(job: &Job, transactional: bool) -> Vec<(&str, &str)> {
    let mut settings = common(job);
    settings.extend([
        ("batch.num.messages", "10000"),
        ("batch.size", "1000000"),
        ("enable.idempotence", "true"),
        ("linger.ms", "2"),
        ("queue.buffering.max.kbytes", "65536"),
        ("queue.buffering.max.messages", "100000"),
        ("retry.backoff.ms", "50"),
    ]);
    settings.extend(transactional.then_some(("transactional.id", job.group.as_str())));
    settings
}

fn common(job: &Job) -> Vec<(&str, &str)> {
    vec![("bootstrap.servers", &job.ends.bootstrap), ("socket.nagle.disable", "true")]
}
