//! What a client sees of a broker: records a second, and how long a record, a look through it, and a transaction take.
//!
//! ```text
//! make          topics
//! produce       records as fast as they are taken, by an idempotent producer
//! consume       records as fast as they come, committed ones only
//! acknowledged  one record at a time: from sending it to its acknowledgement
//! end-to-end    one record at a time: from sending it to its arrival at a consumer that waits for it
//! transactions  of one record each: from beginning to committed
//! ```
//! The client is librdkafka with its defaults but for what makes it wait: `linger.ms` is 0 where single records are timed. Each prints one
//! line of JSON; `tests/bench/broker/run` calls them, for one broker after the other.

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use headwater::time::{Clock, SystemClock};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Of every topic.
const PARTITIONS: i32 = 4;
/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a full queue is left alone.
const PAUSE: Duration = Duration::from_millis(1);

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    Make,
    Produce,
    Consume,
    Acknowledged,
    EndToEnd,
    Transactions,
}

/// What a client sees of a broker.
#[derive(Parser)]
struct Arguments {
    measure: Measure,
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    topic: String,
    /// How many.
    #[arg(long, default_value_t = 0)]
    records: u32,
    /// Of a value.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-broker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(job: &Arguments) -> Fallible<()> {
    let line = match job.measure {
        Measure::Make => return make(job),
        Measure::Produce => rate(job, produce)?,
        Measure::Consume => rate(job, consume)?,
        Measure::Acknowledged => acknowledged(job)?,
        Measure::EndToEnd => end_to_end(job)?,
        Measure::Transactions => transactions(job)?,
    };
    Ok(writeln!(stdout(), "{line}")?)
}

fn config(job: &Arguments, lines: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &job.bootstrap);
    for (name, value) in lines {
        config.set(*name, *value);
    }
    config
}

/// Makes the topic.
fn make(job: &Arguments) -> Fallible<()> {
    let admin: AdminClient<DefaultClientContext> = config(job, &[]).create()?;
    let topics = [NewTopic::new(&job.topic, PARTITIONS, TopicReplication::Fixed(1))];
    let made = admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(PATIENCE)));
    for result in tokio::runtime::Builder::new_current_thread().build()?.block_on(made)? {
        result.map_err(|(topic, code)| format!("{topic} cannot be made: {code}"))?;
    }
    Ok(())
}

/// Records a second, from making the client to its last record.
fn rate(job: &Arguments, work: fn(&Arguments) -> Fallible<()>) -> Fallible<String> {
    let clock = SystemClock::new();
    work(job)?;
    let per_s = u64::from(job.records) * 1_000_000 / clock.elapsed_us().max(1);
    Ok(format!("{{\"records_per_s\":{per_s}}}"))
}

/// How long each of the records took, in microseconds.
fn times(job: &Arguments, mut one: impl FnMut(i32) -> Fallible<()>) -> Fallible<String> {
    let clock = SystemClock::new();
    let mut histogram = Histogram::<u64>::new(3)?;
    // The first tenth warms up.
    let warm_up = job.records / 10;
    for number in 0..job.records {
        let begin = clock.elapsed_us();
        one(i32::try_from(number)? % PARTITIONS)?;
        if number >= warm_up {
            histogram.record(clock.elapsed_us() - begin)?;
        }
    }
    let (p50, p99) = (histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99));
    Ok(format!("{{\"p50_us\":{p50},\"p99_us\":{p99}}}"))
}

/// Hands on what becomes of records.
struct Reports(Mutex<Sender<Result<(), KafkaError>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        if let Ok(sender) = self.0.lock() {
            // Nobody listens any more when the measurement has failed.
            let _ = sender.send(result);
        }
    }
}

/// A producer, and what becomes of its records.
struct Sending {
    producer: ThreadedProducer<Reports>,
    reports: Receiver<Result<(), KafkaError>>,
}

impl Sending {
    fn new(job: &Arguments, lines: &[(&str, &str)]) -> Fallible<Self> {
        let (sender, reports) = channel();
        let config = config(job, &[&[("enable.idempotence", "true")], lines].concat());
        Ok(Self { producer: config.create_with_context(Reports(Mutex::new(sender)))?, reports })
    }

    /// Sends a record; waits where there is no room.
    #[expect(clippy::disallowed_methods, reason = "a real broker is waited for")]
    fn send(&self, job: &Arguments, partition: i32, value: &[u8]) -> Fallible<()> {
        let mut record = BaseRecord::<(), [u8]>::to(&job.topic).partition(partition).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    std::thread::sleep(PAUSE);
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    fn one_report(&self) -> Fallible<()> {
        Ok(self.reports.recv_timeout(PATIENCE)??)
    }
}

fn produce(job: &Arguments) -> Fallible<()> {
    let sending = Sending::new(job, &[])?;
    let value = value(job);
    for number in 0..job.records {
        // A partition gets a hundred in a row, as from a sticky partitioner.
        sending.send(job, i32::try_from(number / 100)? % PARTITIONS, &value)?;
    }
    (0..job.records).try_for_each(|_| sending.one_report())
}

fn consume(job: &Arguments) -> Fallible<()> {
    let consumer = consumer(job, Offset::Beginning)?;
    (0..job.records).try_for_each(|_| arrival(&consumer))
}

fn acknowledged(job: &Arguments) -> Fallible<String> {
    let sending = Sending::new(job, &[("linger.ms", "0")])?;
    let value = value(job);
    times(job, |partition| {
        sending.send(job, partition, &value)?;
        sending.one_report()
    })
}

fn end_to_end(job: &Arguments) -> Fallible<String> {
    let sending = Sending::new(job, &[("linger.ms", "0")])?;
    let consumer = consumer(job, Offset::End)?;
    let value = value(job);
    // The end is looked up at the first poll; until then nothing may come.
    for partition in 0..PARTITIONS {
        while consumer
            .position()?
            .find_partition(&job.topic, partition)
            .is_none_or(|one| one.offset() == Offset::Invalid)
        {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(_)) => {}
                None => sending.send(job, partition, &value)?,
            }
        }
    }
    while consumer.poll(Duration::from_secs(1)).transpose()?.is_some() {}
    times(job, |partition| {
        sending.send(job, partition, &value)?;
        arrival(&consumer)
    })
}

fn transactions(job: &Arguments) -> Fallible<String> {
    let sending = Sending::new(job, &[("linger.ms", "0"), ("transactional.id", &job.topic)])?;
    let value = value(job);
    sending.producer.init_transactions(PATIENCE)?;
    times(job, |partition| {
        sending.producer.begin_transaction()?;
        sending.send(job, partition, &value)?;
        // Before the commit: its own wait for what is under way goes in steps of a tenth of a second.
        sending.one_report()?;
        Ok(sending.producer.commit_transaction(PATIENCE)?)
    })
}

fn value(job: &Arguments) -> Vec<u8> {
    // Not all the same, or a file system could make less of it.
    fastrand::seed(1);
    std::iter::repeat_with(|| fastrand::u8(..)).take(job.bytes).collect()
}

fn consumer(job: &Arguments, from: Offset) -> Fallible<BaseConsumer> {
    let lines =
        [("group.id", "bench"), ("enable.auto.commit", "false"), ("isolation.level", "read_committed")];
    let consumer: BaseConsumer = config(job, &lines).create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(&job.topic, partition, from)?;
    }
    consumer.assign(&partitions)?;
    Ok(consumer)
}

/// Waits for a record.
fn arrival(consumer: &BaseConsumer) -> Fallible<()> {
    match consumer.poll(PATIENCE) {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
        None => Err(format!("no record in {} s", PATIENCE.as_secs()).into()),
    }
}
