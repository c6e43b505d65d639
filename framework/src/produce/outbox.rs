//! The outbox: a batch in hand for each partition that is written to.

use std::collections::HashMap;
use std::task::Poll;

use super::Sender;
use super::barred::Barred;
use super::held::Held;
use crate::codec::ROWS;
use crate::codec::partition::partition_for_key;
use crate::error::{Error, Reaction, Result};
use crate::kafka::{Admin, Refusal, TopicRules};
use crate::operator::{OutColumns, OutRecord, Output, Target};
use crate::record::{Headers, RecordBatch};
use crate::topic::{TaskId, TopicName, TopicPartition};

/// What a record takes in a request beside key, value and headers: an upper bound of Kafka's own.
const RECORD_OVERHEAD: usize = 70;
/// By how much that may be too much: a batch with one short record has 61 bytes, the record at least 7 beside key and value.
const OVERHEAD_SLACK: usize = 2;

/// Settings of an outbox.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    /// `max.request.size`: records that are larger are refused.
    pub max_request_size: usize,
    /// The dead letter topic: a record for it that is too large goes without its value.
    pub dead_letter_topic: Option<TopicName>,
    /// What topics demand of their records, as of the start.
    pub rules: HashMap<TopicName, TopicRules>,
}

impl Default for OutboxOptions {
    /// Kafka's default of `max.request.size`, which is a little below the brokers' `message.max.bytes`.
    fn default() -> Self {
        Self { max_request_size: 1_048_576, dead_letter_topic: None, rules: HashMap::new() }
    }
}

struct Slot {
    partition: TopicPartition,
    batch: RecordBatch,
}

struct Route {
    topic: TopicName,
    /// One slot for each partition; empty while the number is not known.
    slots: Vec<Slot>,
    /// The partition of records without key; changes at each send.
    sticky: usize,
    held: Vec<Held>,
    rules: TopicRules,
    /// Larger records are refused for certain.
    largest: usize,
}

/// So many topics that were chosen record by record are remembered; then they are looked up anew.
const CHOSEN_MAX: usize = 1_024;

/// A record whose topic turned out not to exist, or does not take it.
#[derive(Debug)]
pub struct Refused {
    /// The task that wrote it.
    pub task: TaskId,
    /// What is wrong.
    pub error: Error,
    /// The record, with its input.
    pub held: Held,
}

/// A batch in hand for each partition that is written to.
pub struct Outbox {
    options: OutboxOptions,
    routes: Vec<Route>,
    by_name: HashMap<TopicName, usize>,
    /// The first of `routes` are those of topics that were known from the start.
    fixed: usize,
    /// The route of each sink with a fixed topic.
    sinks: Vec<Option<usize>>,
    /// Slots with records, in the order of their first record.
    filled: Vec<(usize, usize)>,
    /// Routes with records that are held back.
    holding: Vec<usize>,
    asked: Vec<TopicName>,
    barred: Barred,
    writer: TaskId,
    /// Of the records with a topic of their own.
    bytes: usize,
    emitted: u64,
}

impl Outbox {
    /// An outbox for these sinks; `partitions` tells how many partitions their topics have.
    #[must_use]
    pub fn new(options: OutboxOptions, sinks: &[TopicName], partitions: &HashMap<TopicName, i32>) -> Self {
        let mut outbox = Self {
            options,
            routes: Vec::new(),
            by_name: HashMap::new(),
            fixed: 0,
            sinks: Vec::new(),
            filled: Vec::new(),
            holding: Vec::new(),
            asked: Vec::new(),
            barred: Barred::default(),
            writer: TaskId { subtopology: 0, partition: 0 },
            bytes: 0,
            emitted: 0,
        };
        for topic in sinks {
            let route = (!topic.is_empty()).then(|| outbox.route(topic));
            outbox.sinks.push(route);
        }
        outbox.fixed = outbox.routes.len();
        let known: Vec<_> = outbox.by_name.iter().map(|(topic, route)| (topic.clone(), *route)).collect();
        for (topic, route) in known {
            outbox.routes[route].open(partitions.get(&topic).copied().unwrap_or(0));
        }
        outbox
    }

    /// Says which task writes from now on.
    pub fn set_writer(&mut self, task: TaskId) {
        self.writer = task;
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty() && self.holding.is_empty()
    }

    /// Whether records are held back until their topic is known.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.holding.is_empty()
    }

    /// Number of records ever put in.
    #[must_use]
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        for (route, slot) in self.filled.drain(..) {
            self.routes[route].slots[slot].batch.clear();
        }
        for route in self.holding.drain(..) {
            self.routes[route].held.clear();
        }
        self.bytes = 0;
        self.barred.settled(false, 0);
    }

    /// A commit has carried everything that was taken.
    pub fn committed(&mut self, now_ms: i64) {
        if !self.barred.is_empty() {
            self.barred.settled(true, now_ms);
        }
        let waiting = !self.is_empty() || !self.asked.is_empty();
        if self.routes.len() > self.fixed + CHOSEN_MAX && !waiting {
            self.routes.truncate(self.fixed);
            self.by_name.retain(|_, route| *route < self.fixed);
        }
    }

    /// A broker has refused this: when it comes again it is not taken.
    pub fn bar(&mut self, refusal: Refusal, now_ms: i64) {
        self.barred.add(refusal, now_ms);
    }

    /// Hands everything that waits for a known partition to the sender.
    ///
    /// # Errors
    /// As [`Sender::send`]; what was not taken waits on.
    pub fn send(&mut self, sender: &mut Sender, now_ms: i64) -> Result<()> {
        let mut sent = 0;
        let mut result = Ok(());
        for (route, slot) in &self.filled {
            let route = &mut self.routes[*route];
            let Slot { partition, batch } = &mut route.slots[*slot];
            let bytes = batch.byte_len();
            result = sender.send(partition, batch, now_ms);
            if result.is_err() {
                break;
            }
            batch.clear();
            self.bytes = self.bytes.saturating_sub(bytes);
            if route.sticky == *slot {
                route.sticky = (route.sticky + 1) % route.slots.len();
            }
            sent += 1;
        }
        self.filled.drain(..sent);
        result
    }

    /// Finds out about the topics of records that are held back. Returns those whose topic does not exist: what happens to
    /// them is up to the production handler.
    ///
    /// # Errors
    /// As the cluster says.
    pub fn resolve(&mut self, admin: &mut dyn Admin, now_ms: i64) -> Result<Poll<Vec<Refused>>> {
        if self.holding.is_empty() && self.asked.is_empty() {
            return Ok(Poll::Ready(Vec::new()));
        }
        if self.asked.is_empty() {
            self.asked = self.holding.iter().map(|route| self.routes[*route].topic.clone()).collect();
        }
        let Poll::Ready(answer) = admin.describe(&self.asked, now_ms) else { return Ok(Poll::Pending) };
        let topics = answer?;
        let mut refused = Vec::new();
        for (name, topic) in std::mem::take(&mut self.asked).into_iter().zip(topics) {
            let route = self.by_name[&name];
            self.holding.retain(|other| *other != route);
            let held = std::mem::take(&mut self.routes[route].held);
            match topic {
                Some(topic) => {
                    self.routes[route].open(topic.partitions);
                    self.routes[route].rule(topic.rules(), self.options.max_request_size);
                    for held in held {
                        match self.objection(route, &held.record()) {
                            None => self.put(route, &held.record()),
                            Some(error) => refused.push(Refused { task: held.task, error, held }),
                        }
                    }
                }
                None => refused.extend(held.into_iter().map(|held| {
                    let error = Error::new(Reaction::Skip, format!("topic `{name}` does not exist"))
                        .hint("create it; topics that are chosen record by record are not made on the way");
                    Refused { task: held.task, error, held }
                })),
            }
        }
        Ok(Poll::Ready(refused))
    }

    fn route(&mut self, topic: &TopicName) -> usize {
        if let Some(route) = self.by_name.get(topic) {
            return *route;
        }
        let rules = self.options.rules.get(topic).copied().unwrap_or_default();
        let mut route =
            Route { topic: topic.clone(), slots: Vec::new(), sticky: 0, held: Vec::new(), rules, largest: 0 };
        route.rule(rules, self.options.max_request_size);
        self.routes.push(route);
        self.by_name.insert(topic.clone(), self.routes.len() - 1);
        self.routes.len() - 1
    }

    #[inline]
    fn put(&mut self, index: usize, record: &OutRecord<'_>) {
        let route = &mut self.routes[index];
        let slot = route.slot_of(record.partition_key);
        let Slot { batch, .. } = &mut route.slots[slot];
        if batch.is_empty() {
            self.filled.push((index, slot));
        }
        self.bytes += append(batch, (record.timestamp, record.key, record.value), record.headers);
    }

    fn accept(&mut self, route: usize, record: &OutRecord<'_>) {
        self.emitted += 1;
        if self.routes[route].slots.is_empty() {
            if self.routes[route].held.is_empty() {
                self.holding.push(route);
            }
            let held = Held::new(self.writer, record);
            self.routes[route].held.push(held);
        } else {
            self.put(route, record);
        }
    }

    /// Why a topic does not take a record, as far as that is known here.
    #[inline]
    fn objection(&mut self, route: usize, record: &OutRecord<'_>) -> Option<Error> {
        let size = size(record.key, record.value) + headers_len(record.headers);
        if self.routes[route].takes(size, record.key) && self.barred.is_empty() {
            return None;
        }
        self.object(route, record, size)
    }

    #[cold]
    fn object(&mut self, route: usize, record: &OutRecord<'_>, size: usize) -> Option<Error> {
        let Route { topic, rules, .. } = &self.routes[route];
        let too_large = format!("a record of {size} bytes for topic `{topic}` is too large");
        let limit = self.options.max_request_size;
        let (message, hint) = if size > limit {
            (
                too_large,
                format!("raise `max.request.size` (now {limit}), and the topic's `max.message.bytes`"),
            )
        } else if let Some(limit) = rules.max_message_bytes.filter(|limit| size > limit + OVERHEAD_SLACK) {
            (too_large, format!("raise `max.message.bytes` of the topic (now {limit})"))
        } else if record.key.is_none() && rules.needs_keys {
            let message = format!(
                "a record for topic `{topic}` has no key, which its `cleanup.policy` `compact` demands"
            );
            (message, "give such records a key with `select_key`".to_owned())
        } else {
            return self.barred.objection(topic, record);
        };
        Some(Error::new(Reaction::Skip, message).hint(hint))
    }

    /// Takes a dead letter that is too large without its value, and without headers of its own.
    #[cold]
    fn shorten(&mut self, route: usize, record: &OutRecord<'_>, size: usize) {
        let mut headers = Headers::default();
        for header in record.headers.as_slice().iter().filter(|header| header.name.starts_with("__streams."))
        {
            let value = header.value.as_deref().map(|value| &value[..value.len().min(1_000)]);
            headers.push(&header.name, value);
        }
        let said = format!("the record had {size} bytes: its value, and headers of its own, are left out");
        headers.push("__streams.errors.truncated", Some(said.as_bytes()));
        let fits = |key: &&[u8]| key.len() < self.routes[route].largest / 2;
        let key = record.key.filter(fits);
        let short = OutRecord { key, value: None, headers: &headers, ..*record };
        self.accept(route, &short);
    }
}

impl Route {
    /// The number of the partition that a record belongs to. There is one at least.
    #[inline]
    fn slot_of(&self, key: Option<&[u8]>) -> usize {
        let count = i32::try_from(self.slots.len()).unwrap_or(i32::MAX);
        match key {
            Some(_) if count == 1 => 0,
            Some(key) => usize::try_from(partition_for_key(key, count)).unwrap_or(0),
            None => self.sticky,
        }
    }

    /// Whether the topic takes a record of this size with this key, as far as that is known here.
    #[inline]
    fn takes(&self, size: usize, key: Option<&[u8]>) -> bool {
        size <= self.largest && (key.is_some() || !self.rules.needs_keys)
    }

    fn open(&mut self, partitions: i32) {
        let slot = |partition| Slot {
            partition: TopicPartition { topic: self.topic.clone(), partition },
            batch: RecordBatch::default(),
        };
        self.slots = (0..partitions).map(slot).collect();
    }

    fn rule(&mut self, rules: TopicRules, max_request_size: usize) {
        let limit = rules.max_message_bytes.map_or(usize::MAX, |limit| limit.saturating_add(OVERHEAD_SLACK));
        self.rules = rules;
        self.largest = limit.min(max_request_size);
    }
}

impl Output for Outbox {
    #[inline]
    fn emit(&mut self, target: &Target<'_>, record: &OutRecord<'_>) -> Result<()> {
        let route = match target {
            Target::Sink(number) => self.sinks.get(*number).copied().flatten(),
            Target::Named(topic) => Some(self.route(topic)),
        };
        let Some(route) = route else {
            return Err(Error::new(Reaction::Stop, "a sink without topic wrote a record"));
        };
        if let Some(error) = self.objection(route, record) {
            let size = size(record.key, record.value) + headers_len(record.headers);
            let is_dead_letter = self.options.dead_letter_topic.as_ref() == Some(&self.routes[route].topic);
            if !is_dead_letter || size <= self.routes[route].largest {
                return Err(error);
            }
            self.shorten(route, record, size);
            return Ok(());
        }
        self.accept(route, record);
        Ok(())
    }

    fn emit_all(&mut self, sink: usize, records: &OutColumns<'_>) -> usize {
        let Some(index) = self.sinks.get(sink).copied().flatten() else { return 0 };
        let route = &mut self.routes[index];
        if route.slots.is_empty() || !self.barred.is_empty() {
            return 0;
        }
        // First all partitions, then all records: the hashes of several keys are worked out at the same time.
        let mut slots = [0; ROWS];
        for (slot, key) in slots.iter_mut().zip(records.partition_keys) {
            *slot = route.slot_of(*key);
        }
        let bodies = records.keys.iter().zip(records.values).zip(&slots);
        let rows = bodies.zip(records.timestamps.iter().zip(records.headers));
        let mut taken = 0;
        for (((key, value), slot), (timestamp, headers)) in rows {
            let size = size(*key, *value) + headers_len(headers);
            if !route.takes(size, *key) {
                break;
            }
            let Slot { batch, .. } = &mut route.slots[*slot];
            if batch.is_empty() {
                self.filled.push((index, *slot));
            }
            self.bytes += append(batch, (*timestamp, *key, *value), headers);
            taken += 1;
        }
        self.emitted += taken as u64;
        taken
    }
}

/// A record's timestamp, key and value.
type Body<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);

/// Appends a record. Returns by how many bytes the batch has grown.
#[inline]
fn append(batch: &mut RecordBatch, (timestamp, key, value): Body<'_>, headers: &Headers) -> usize {
    let before = batch.byte_len();
    batch.push(timestamp, key, value, 0);
    if !headers.is_empty() {
        batch.push_headers(headers);
    }
    batch.byte_len() - before
}

/// Bytes of a record in a request, headers not counted.
#[inline]
fn size(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    RECORD_OVERHEAD + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}

#[inline]
fn headers_len(headers: &Headers) -> usize {
    if headers.is_empty() {
        return 0;
    }
    let len =
        |header: &crate::record::Header| header.name.len() + header.value.as_ref().map_or(0, |v| v.len());
    headers.as_slice().iter().map(len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::memory::MemoryCluster;
    use crate::kafka::{Cluster, Isolation, ProducerOptions};
    use crate::operator::Origin;
    use std::sync::Arc;

    const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };

    fn outbox(cluster: &MemoryCluster) -> (Outbox, Sender) {
        cluster.create_topic("out", 3).unwrap();
        cluster.create_topic("dead", 1).unwrap();
        let options = OutboxOptions {
            max_request_size: 1_000,
            dead_letter_topic: Some("dead".into()),
            ..OutboxOptions::default()
        };
        let partitions = [("out".into(), 3)].into();
        let producer = ProducerOptions {
            client: "writer".to_owned(),
            transactional_id: None,
            transaction_timeout_ms: 10_000,
            request_timeout_ms: 1_000,
        };
        let mut sender = Sender::new(Arc::new(cluster.clone()), producer);
        assert!(sender.open(0).unwrap().is_ready());
        (Outbox::new(options, &["out".into(), "".into()], &partitions), sender)
    }

    fn emit(outbox: &mut Outbox, target: &Target<'_>, key: Option<&[u8]>, value: &[u8]) -> Result<()> {
        let headers = Headers::default();
        let origin = Origin { node: "sink", input: None };
        let record = OutRecord {
            key,
            partition_key: key,
            value: Some(value),
            timestamp: 1,
            headers: &headers,
            origin,
        };
        outbox.emit(target, &record)
    }

    fn lens(cluster: &MemoryCluster, topic: &str) -> Vec<usize> {
        cluster.read_all(topic, Isolation::ReadCommitted).unwrap().iter().map(RecordBatch::len).collect()
    }

    #[test]
    fn records_without_key_stay_together_until_they_are_sent() {
        let cluster = MemoryCluster::new();
        let (mut outbox, mut sender) = outbox(&cluster);
        for sends in [[2, 0, 0], [2, 2, 0], [2, 2, 2]] {
            emit(&mut outbox, &Target::Sink(0), None, b"a").unwrap();
            emit(&mut outbox, &Target::Sink(0), None, b"b").unwrap();
            outbox.send(&mut sender, 0).unwrap();
            sender.poll(0).unwrap();
            assert_eq!(lens(&cluster, "out"), sends);
        }
        assert!(outbox.is_empty() && outbox.bytes() == 0);
        emit(&mut outbox, &Target::Sink(0), Some(b"foobar"), b"c").unwrap();
        outbox.clear();
        outbox.send(&mut sender, 0).unwrap();
        assert_eq!(lens(&cluster, "out"), [2, 2, 2], "what is forgotten is not sent");
    }

    #[test]
    fn a_topic_that_is_chosen_is_looked_up_and_its_records_keep_their_order() {
        let cluster = MemoryCluster::new();
        cluster.create_topic("chosen", 1).unwrap();
        let (mut outbox, mut sender) = outbox(&cluster);
        let mut admin = cluster.admin("resolver");
        let topic: TopicName = "chosen".into();
        outbox.set_writer(TASK);
        emit(&mut outbox, &Target::Named(&topic), Some(b"k"), b"1").unwrap();
        emit(&mut outbox, &Target::Named(&topic), Some(b"k"), b"2").unwrap();
        assert!(outbox.is_holding());
        emit(&mut outbox, &Target::Named(&"missing".into()), Some(b"k"), b"3").unwrap();
        let Poll::Ready(refused) = outbox.resolve(admin.as_mut(), 0).unwrap() else { panic!("not answered") };
        assert_eq!((refused.len(), refused[0].task), (1, TASK));
        assert!(refused[0].error.to_string().starts_with("topic `missing` does not exist"));
        assert_eq!((refused[0].held.node(), refused[0].held.input().is_none()), ("sink", true));
        emit(&mut outbox, &Target::Named(&topic), Some(b"k"), b"4").unwrap();
        outbox.send(&mut sender, 0).unwrap();
        sender.poll(0).unwrap();
        let chosen = cluster.read_all("chosen", Isolation::ReadCommitted).unwrap();
        let values: Vec<_> = chosen[0].iter().map(|record| record.value.unwrap().to_vec()).collect();
        assert_eq!(values, [b"1", b"2", b"4"]);
    }

    #[test]
    fn a_record_that_is_too_large_is_refused_but_a_dead_letter_goes_without_value() {
        let cluster = MemoryCluster::new();
        let (mut outbox, mut sender) = outbox(&cluster);
        let error = emit(&mut outbox, &Target::Sink(0), Some(b"k"), &[0; 1_000]).unwrap_err();
        assert_eq!(error.reaction(), Reaction::Skip);
        emit(&mut outbox, &Target::Named(&"dead".into()), Some(b"k"), &[0; 1_000]).unwrap();
        let mut admin = cluster.admin("resolver");
        assert!(outbox.resolve(admin.as_mut(), 0).unwrap().is_ready());
        outbox.send(&mut sender, 0).unwrap();
        sender.poll(0).unwrap();
        let dead = cluster.read_all("dead", Isolation::ReadCommitted).unwrap();
        let letter = dead[0].get(0);
        assert_eq!((letter.key, letter.value), (Some(&b"k"[..]), None));
        assert!(letter.to_headers().last("__streams.errors.truncated").is_some());
    }
}
