//! Consumer: partitions in, each from a queue of its own.
//!
//! 1. It uses the part of librdkafka that knows no groups: a partition is fetched from the offset that it is told, and nobody
//!    takes it away. Who may read it is the [`Membership`](crate::kafka::Membership)'s business.
//! 2. A queue that nobody asks for fills up, and its partition is fetched no more: that is the back-pressure. Nothing is
//!    ever paused.
//! 3. A queue is looked into only once its signal was raised.
//! 4. A partition of which nothing has come for a minute since it was added, not even that there is nothing, is added anew.
//! 5. A topic that a broker does not know may be unknown to that one alone, for a moment: brokers are asked again, and one of whom
//!    that is said for longer is gone.
//! 6. Where a partition ends, librdkafka knows from its fetches, and tells in its statistics, once a second.
//! 7. They also tell of whom it is fetched. After a leader that was another one for a moment only it may be asked of that one for good
//!    (2.12.1, its pull request 5593), who has nothing to say: then all begins anew with another client.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::bindings::{RD_KAFKA_EVENT_ERROR, RD_KAFKA_EVENT_STATS};

use super::bell::Bell;
use super::raw::{Buffer, Failure, Kind, Queue, Topic};
use super::servers::Servers;
use super::settings::{Reader, queued_kbytes};
use super::statistics::{self, Told};
use super::{Core, DOUBT_MS, verdict};
use crate::kafka::{Consumer, Fault, Fetched, Isolation, KafkaError};
use crate::record::RecordBatch;
use crate::topic::{TopicName, TopicPartition};

/// Messages that a call brings at most.
const ROOM: usize = 4_096;
/// What a message is taken to have before the first was seen, bytes.
const FIRST_MEAN: usize = 256;
/// Rule 4.
const DEAF_MS: i64 = 60_000;

/// Rule 7: after so many statistics in a row.
const ASTRAY: u32 = 10;

/// A partition that is read.
#[derive(Debug)]
struct Reading {
    queue: Queue,
    position: i64,
    /// The last end that was told.
    end: Cell<Option<i64>>,
    /// Bytes of a message, about.
    mean: usize,
    /// Since when it is waited for the first message; `None` once it has come.
    deaf_since: Option<i64>,
    /// What came behind the messages of the last call.
    failure: Option<Failure>,
    /// Since when a broker says that there is no such topic.
    unknown_since: Option<i64>,
    /// Rule 7: how many statistics in a row have said so.
    astray: Cell<u32>,
}

/// A client that lives.
#[derive(Debug)]
struct Live {
    // Before the client: they hold on to it.
    readings: HashMap<TopicPartition, Reading>,
    /// Partitions that could not be begun.
    refused: HashMap<TopicPartition, KafkaError>,
    topics: HashMap<TopicName, Topic>,
    main: Queue,
    servers: Servers,
}

/// A consumer by librdkafka.
#[derive(Debug)]
pub(super) struct KafkaConsumer {
    live: Result<Live, KafkaError>,
    reader: Reader,
    core: Arc<Core>,
    bell: Arc<Bell>,
    buffer: Buffer,
}

impl KafkaConsumer {
    /// Where there is no record, a broker waits for some for `wait_ms`.
    pub(super) fn new(
        core: &Arc<Core>,
        bell: &Arc<Bell>,
        client: &str,
        isolation: Isolation,
        wait_ms: u32,
    ) -> Self {
        let queued_kbytes = queued_kbytes(1, usize::MAX);
        let reader = Reader { client: client.to_owned(), isolation, wait_ms, queued_kbytes };
        Self {
            live: Live::new(core, bell, &reader),
            reader,
            core: Arc::clone(core),
            bell: Arc::clone(bell),
            buffer: Buffer::new(ROOM),
        }
    }

    fn begin(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Failure> {
        let Ok(live) = &mut self.live else { return Ok(()) };
        if !live.topics.contains_key(&partition.topic) {
            let topic = Topic::new(live.main.client(), &partition.topic)?;
            live.topics.insert(partition.topic.clone(), topic);
        }
        let topic = &live.topics[&partition.topic];
        topic.start(partition.partition, offset)?;
        let Some(queue) = topic.queue(partition.partition, &self.bell) else {
            let _ = topic.stop(partition.partition);
            return Err(Failure { retriable: false, ..Failure::lacking() });
        };
        let reading = Reading {
            queue,
            position: offset,
            end: Cell::new(None),
            mean: FIRST_MEAN,
            deaf_since: None,
            failure: None,
            unknown_since: None,
            astray: Cell::new(0),
        };
        live.readings.insert(partition.clone(), reading);
        Ok(())
    }

    /// All go on where they are, by another client.
    fn renew(&mut self) {
        let live = Live::new(&self.core, &self.bell, &self.reader);
        if let Ok(old) = std::mem::replace(&mut self.live, live) {
            old.readings.iter().for_each(|(partition, reading)| self.add(partition, reading.position));
            if let Ok(live) = &mut self.live {
                live.refused.extend(old.refused);
            }
        }
    }

    /// Something is wrong with a partition: an error, or rule 5. What came behind it was dropped, so where work goes on it goes on
    /// from there.
    fn failed(
        &mut self,
        partition: &TopicPartition,
        failure: Failure,
        now_ms: i64,
    ) -> Result<(), KafkaError> {
        let reading = self.live.as_ref().ok().and_then(|live| live.readings.get(partition));
        let Some((offset, since_ms)) = reading.map(|reading| (reading.position, reading.unknown_since))
        else {
            return Ok(());
        };
        let failure = Failure { text: format!("{partition}: {}", failure.text), ..failure };
        let since_ms = since_ms.unwrap_or(now_ms);
        if failure.code == "UNKNOWN_TOPIC_OR_PARTITION" && now_ms.saturating_sub(since_ms) < DOUBT_MS {
            tracing::info!(%partition, text = failure.text, "it is asked for anew");
            self.add(partition, offset);
            if let Ok(live) = &mut self.live
                && let Some(reading) = live.readings.get_mut(partition)
            {
                reading.unknown_since = Some(since_ms);
            }
            return Ok(());
        }
        let error = failure.judged(verdict::fetch);
        if error.fault == Fault::Retriable {
            self.add(partition, offset);
        }
        Err(error)
    }
}

impl Live {
    fn new(core: &Core, bell: &Arc<Bell>, reader: &Reader) -> Result<Self, KafkaError> {
        let events = RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS;
        core.connect(Kind::Consumer, &core.tuning.consumer(reader), events).map(|client| Self {
            readings: HashMap::new(),
            refused: HashMap::new(),
            topics: HashMap::new(),
            main: Queue::main(&client, bell),
            servers: Servers::new(&core.line),
        })
    }

    fn listen(&self, core: &Core) {
        self.servers.look_after(self.main.client());
        while let Some(event) = self.main.next() {
            match event.statistics() {
                Some(text) => self.note(text),
                None => self.main.failure(&event).into_iter().for_each(|failure| core.line.report(failure)),
            }
        }
    }

    fn note(&self, text: &str) {
        let told = statistics::partitions(text).unwrap_or_else(|error| {
            tracing::debug!(%error, "librdkafka's statistics have another form");
            Vec::new()
        });
        for Told { partition, end, is_astray } in told {
            if let Some(reading) = self.readings.get(&partition) {
                reading.end.set(end.or(reading.end.get()));
                reading.astray.set(if is_astray { reading.astray.get() + 1 } else { 0 });
            }
        }
    }

    fn end(&mut self, partition: &TopicPartition) {
        self.refused.remove(partition);
        if self.readings.remove(partition).is_some()
            && let Some(topic) = self.topics.get(&partition.topic)
            && let Err(failure) = topic.stop(partition.partition)
        {
            tracing::debug!(%partition, failure.code, "is not read any more");
        }
    }
}

impl Reading {
    /// Takes what has come, about `max_bytes` of it.
    fn take(&mut self, (topic, partition): (&Topic, i32), buffer: &mut Buffer, max_bytes: usize) -> Fetched {
        buffer.limit = (max_bytes / self.mean.max(1)).clamp(1, buffer.room());
        let limit = buffer.limit;
        let messages = topic.consume(partition, buffer);
        let count = messages.len();
        // An eighth more, as it is a mean; no more than was asked for, as that may be of few records.
        let bytes = (count * self.mean).min(max_bytes) / 8 * 9;
        let records = RecordBatch::with_capacity(count, bytes);
        let mut fetched = Fetched { records, position: self.position, caught_up: false };
        let failure = &mut self.failure;
        messages.each(|message| {
            if failure.is_some() {
                // What lies behind it is read again.
            } else if let Some(end) = message.end() {
                fetched.position = fetched.position.max(end);
                fetched.caught_up = true;
            } else if let Some(mut failed) = message.failure() {
                // It may be about a place before that the partition was read from then.
                failed.retriable |=
                    failed.code == "OFFSET_OUT_OF_RANGE" && message.offset() != fetched.position;
                *failure = Some(failed);
            } else if message.offset() >= fetched.position {
                fetched.position = message.offset() + 1;
                fetched.caught_up = false;
                message.push_to(&mut fetched.records);
            }
        });
        self.failure = self.failure.take().or_else(|| self.queue.client().partition_failure());
        if count == limit || self.failure.is_some() {
            self.queue.signal().keep();
        }
        if !fetched.records.is_empty() {
            self.mean = (fetched.records.byte_len() / fetched.records.len()).max(1);
        }
        self.position = fetched.position;
        if fetched.caught_up {
            self.end.set(Some(fetched.position));
        }
        fetched
    }
}

impl Consumer for KafkaConsumer {
    /// The size of its queues is a client's for good: another one takes another client.
    fn expect(&mut self, partitions: usize, bytes: usize) {
        let queued_kbytes = queued_kbytes(partitions, bytes);
        let is_idle = self.live.as_ref().is_ok_and(|live| live.readings.is_empty());
        if is_idle && queued_kbytes != self.reader.queued_kbytes {
            tracing::debug!(partitions, queued_kbytes, "queues of another size");
            self.reader.queued_kbytes = queued_kbytes;
            self.live = Live::new(&self.core, &self.bell, &self.reader);
        }
    }

    fn add(&mut self, partition: &TopicPartition, offset: i64) {
        self.remove(partition);
        if let Err(failure) = self.begin(partition, offset)
            && let Ok(live) = &mut self.live
        {
            let text = format!("{partition} cannot be read from offset {offset}: {}", failure.text);
            live.refused.insert(partition.clone(), Failure { text, ..failure }.judged(verdict::plain));
        }
    }

    fn remove(&mut self, partition: &TopicPartition) {
        if let Ok(live) = &mut self.live {
            live.end(partition);
        }
    }

    fn fetch(
        &mut self,
        partition: &TopicPartition,
        max_bytes: usize,
        now_ms: i64,
    ) -> Result<Option<Fetched>, KafkaError> {
        let live = self.live.as_mut().map_err(|error| error.clone())?;
        live.listen(&self.core);
        let Some(reading) = live.readings.get_mut(partition) else {
            return live.refused.get(partition).cloned().map_or(Ok(None), Err);
        };
        if let Some(failure) = reading.failure.take() {
            return self.failed(partition, failure, now_ms).map(|()| None);
        }
        if reading.astray.get() >= ASTRAY {
            tracing::warn!(%partition, "it is fetched of a broker that does not lead it: all are asked for anew");
            self.renew();
            return Ok(None);
        }
        if !reading.queue.signal().take() {
            let deaf = reading.deaf_since.is_some_and(|since| now_ms.saturating_sub(since) > DEAF_MS);
            if deaf {
                let offset = reading.position;
                tracing::warn!(%partition, offset, "nothing has come for a minute: it is asked for anew");
                self.add(partition, offset);
            }
            return Ok(None);
        }
        let before = reading.position;
        let topic = &live.topics[&partition.topic];
        let fetched = reading.take((topic, partition.partition), &mut self.buffer, max_bytes);
        let heard = fetched.caught_up || fetched.position > before;
        reading.deaf_since = if heard { None } else { reading.deaf_since.or(Some(now_ms)) };
        reading.unknown_since = reading.unknown_since.filter(|_| !heard);
        Ok(heard.then_some(fetched))
    }

    fn end(&self, partition: &TopicPartition) -> Option<i64> {
        let live = self.live.as_ref().ok()?;
        // Else they would wait for long where nothing is fetched.
        live.listen(&self.core);
        let reading = live.readings.get(partition)?;
        Some(reading.end.get()?.max(reading.position))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KafkaCluster, WAIT_MS};
    use super::*;
    use crate::kafka::{Cluster, ClusterOptions, NewTopic, ProducerOptions, Security};
    use crate::time::{Clock, SystemClock};

    /// Repeats a step until it brings something.
    fn until<T>(mut step: impl FnMut(i64) -> Option<T>) -> T {
        let (clock, bell) = (SystemClock::new(), Bell::default());
        let begin_ms = clock.now_ms();
        loop {
            if let Some(done) = step(clock.now_ms()) {
                return done;
            }
            assert!(clock.now_ms() - begin_ms < 60_000, "nothing happens");
            bell.wait(std::time::Duration::from_millis(20));
        }
    }

    /// On the cluster that the tests may use, where there is one.
    #[test]
    fn who_is_fetched_of_the_wrong_broker_goes_on_with_another_client() {
        let Ok(servers) = std::env::var("HEADWATER_TEST_BOOTSTRAP") else { return };
        let cluster = KafkaCluster::connect(&ClusterOptions {
            servers: servers.split(',').map(str::to_owned).collect(),
            client: "astray".to_owned(),
            group: "astray".to_owned(),
            max_request_size: 1 << 20,
            compression: "none".to_owned(),
            security: Security::default(),
        });
        let cluster = cluster.unwrap();
        let name = format!("astray-{}", SystemClock::new().now_ms());
        let partition = TopicPartition::new(&*name, 0);
        let configs = Vec::new();
        let topic = NewTopic { name: name.as_str().into(), partitions: 1, replication_factor: None, configs };
        let mut admin = cluster.admin("astray");
        let made = until(|now_ms| match admin.create(std::slice::from_ref(&topic), now_ms) {
            std::task::Poll::Ready(made) => Some(made),
            std::task::Poll::Pending => None,
        });
        made.unwrap();
        let mut producer = cluster.producer(&ProducerOptions {
            client: "astray".to_owned(),
            transactional_id: None,
            transaction_timeout_ms: 30_000,
            request_timeout_ms: 10_000,
        });
        let mut write = || {
            let mut batch = RecordBatch::default();
            batch.push(SystemClock::new().now_ms(), None, Some(b"it"), 0);
            producer.send(&partition, &mut batch, 0).unwrap();
            until(|now_ms| producer.flush(now_ms).is_ready().then_some(()));
        };
        let isolation = Isolation::ReadCommitted;
        let mut consumer = KafkaConsumer::new(&cluster.core, &cluster.bell, "astray", isolation, WAIT_MS);
        consumer.add(&partition, 0);
        let read = |consumer: &mut KafkaConsumer| {
            until(|now_ms| {
                let fetched = consumer.fetch(&partition, 1 << 20, now_ms).unwrap()?;
                fetched.records.iter().next().map(|record| (record.offset, fetched.records.len()))
            })
        };
        write();
        assert_eq!(read(&mut consumer), (0, 1));
        let client = |consumer: &KafkaConsumer| Arc::as_ptr(consumer.live.as_ref().unwrap().main.client());
        let before = client(&consumer);
        let partitions = r#"{ "0": { "partition": 0, "broker": 1, "leader": 2, "ls_offset": 1 } }"#;
        let text = format!(r#"{{ "topics": {{ "{name}": {{ "partitions": {partitions} }} }} }}"#);
        // True ones come in between, once a second.
        until(|now_ms| {
            (0..ASTRAY).for_each(|_| consumer.live.as_ref().unwrap().note(&text));
            assert!(
                consumer.fetch(&partition, 1 << 20, now_ms).unwrap().is_none_or(|one| one.records.is_empty())
            );
            (client(&consumer) != before).then_some(())
        });
        write();
        assert_eq!(read(&mut consumer), (1, 1));
    }
}
