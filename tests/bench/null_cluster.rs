//! A cluster that costs nothing: inputs are ready-made batches, outputs are forgotten. What is left to measure is the
//! framework itself: worker, queues, operators, state, outbox, changelog encoding, commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use allocation_counter::opt_out;
use cpu_time::ThreadTime;
use headwater::kafka::{
    Admin, Answer, Cluster, CommittedOffset, Consumer, Fetched, GroupEvent, GroupMember, GroupMetadata,
    Isolation, KafkaError, MemberOptions, Membership, NewTopic, OffsetCommit, Producer, ProducerOptions,
    TopicInfo,
};
use headwater::{RecordBatch, TopicName, TopicPartition};

/// What the cluster holds and what it has been given.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Batches to be read, newest first, so that the oldest is popped.
    inputs: BTreeMap<TopicPartition, (i64, Vec<RecordBatch>)>,
    /// Topics that exist.
    topics: BTreeMap<TopicName, TopicInfo>,
    /// Records that were written.
    pub(crate) written: u64,
    /// Bytes that were written.
    pub(crate) bytes: u64,
    /// Processor time in which records arrived: a client's, not the framework's.
    pub(crate) arriving: Duration,
}

/// The cluster that costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct NullCluster(Arc<Mutex<Shelf>>);

impl NullCluster {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Shelf) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a topic.
    pub(crate) fn topic(&self, name: &str, partitions: i32) {
        let info = TopicInfo { name: name.into(), id: 1, partitions, configs: Vec::new() };
        self.with(|shelf| shelf.topics.insert(name.into(), info));
    }

    /// Gives partition 0 of `topic` these batches to be read.
    pub(crate) fn input(&self, topic: &str, mut batches: Vec<RecordBatch>) {
        batches.reverse();
        self.with(|shelf| {
            let (position, _) = shelf.inputs.remove(&TopicPartition::new(topic, 0)).unwrap_or_default();
            let mut offset = position;
            for batch in batches.iter_mut().rev() {
                *batch = at_offsets(batch, &mut offset);
            }
            shelf.inputs.insert(TopicPartition::new(topic, 0), (position, batches));
        });
    }
}

/// The batch as a client hands it over that has just written it: its bytes lie in the caches of the processor. What that
/// takes is a client's, not the framework's.
#[inline(never)]
fn arrive(batch: RecordBatch, took: &mut Duration) -> RecordBatch {
    let begin = ThreadTime::now();
    let mut arrived = RecordBatch::default();
    opt_out(|| {
        arrived = batch.clone();
        drop(batch);
    });
    *took += begin.elapsed();
    arrived
}

/// The same records, at the offsets from `offset` on.
fn at_offsets(batch: &RecordBatch, offset: &mut i64) -> RecordBatch {
    let mut moved = RecordBatch::with_capacity(batch.len(), batch.byte_len());
    for record in batch {
        moved.push(record.timestamp, record.key, record.value, *offset);
        *offset += 1;
    }
    moved
}

impl Cluster for NullCluster {
    fn membership(&self, options: &MemberOptions) -> Box<dyn Membership> {
        let group =
            GroupMetadata { group: options.group.clone(), generation: 1, member: "m".into(), instance: None };
        Box::new(NullMember { cluster: self.clone(), topics: Vec::new(), told: false, group })
    }

    fn consumer(&self, _client: &str, _isolation: Isolation) -> Box<dyn Consumer> {
        Box::new(NullConsumer(self.clone()))
    }

    fn producer(&self, _options: &ProducerOptions) -> Box<dyn Producer> {
        Box::new(NullProducer { cluster: self.clone(), ends: BTreeMap::new(), fresh: Vec::new() })
    }

    fn admin(&self, _client: &str) -> Box<dyn Admin> {
        Box::new(NullAdmin(self.clone()))
    }

    fn for_worker(&self) -> Arc<dyn Cluster> {
        Arc::new(self.clone())
    }

    fn wait(&self, _timeout_ms: i64) {}
}

struct NullMember {
    cluster: NullCluster,
    topics: Vec<TopicName>,
    told: bool,
    group: GroupMetadata,
}

impl Membership for NullMember {
    fn subscribe(&mut self, topics: &[TopicName]) {
        self.topics = topics.to_vec();
    }

    fn poll(&mut self, _now_ms: i64) -> Result<Option<GroupEvent>, KafkaError> {
        if std::mem::replace(&mut self.told, true) {
            return Ok(None);
        }
        let topics =
            self.topics.iter().filter(|topic| self.cluster.with(|shelf| shelf.topics.contains_key(*topic)));
        Ok(Some(GroupEvent::Assigned(topics.map(|topic| TopicPartition::new(topic.clone(), 0)).collect())))
    }

    fn release(&mut self) {}

    fn rejoin(&mut self) {}

    fn generation(&self) -> GroupMetadata {
        self.group.clone()
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        _now_ms: i64,
    ) -> Answer<Vec<Option<CommittedOffset>>> {
        Poll::Ready(Ok(vec![None; partitions.len()]))
    }

    fn commit(&mut self, _offsets: &[OffsetCommit], _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn leave(&mut self, _now_ms: i64) {}
}

struct NullConsumer(NullCluster);

impl Consumer for NullConsumer {
    fn add(&mut self, _partition: &TopicPartition, _offset: i64) {}

    fn remove(&mut self, _partition: &TopicPartition) {}

    fn fetch(
        &mut self,
        partition: &TopicPartition,
        _max_bytes: usize,
        _now_ms: i64,
    ) -> Result<Option<Fetched>, KafkaError> {
        Ok(self.0.with(|shelf| {
            let Some((position, batches)) = shelf.inputs.get_mut(partition) else {
                return Some(Fetched { caught_up: true, ..Fetched::default() });
            };
            let records = batches.pop().map(|batch| arrive(batch, &mut shelf.arriving)).unwrap_or_default();
            *position += i64::try_from(records.len()).unwrap_or(0);
            Some(Fetched { records, position: *position, caught_up: batches.is_empty() })
        }))
    }

    fn end(&self, _partition: &TopicPartition) -> Option<i64> {
        None
    }
}

struct NullProducer {
    cluster: NullCluster,
    ends: BTreeMap<TopicPartition, i64>,
    fresh: Vec<TopicPartition>,
}

impl Producer for NullProducer {
    fn init(&mut self, _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn begin(&mut self) -> Result<(), KafkaError> {
        Ok(())
    }

    fn send(
        &mut self,
        partition: &TopicPartition,
        batch: &mut RecordBatch,
        _now_ms: i64,
    ) -> Result<(), KafkaError> {
        let (records, bytes) = (batch.len() as u64, batch.byte_len() as u64);
        self.cluster.with(|shelf| {
            shelf.written += records;
            shelf.bytes += bytes;
        });
        if let Some(end) = self.ends.get_mut(partition) {
            *end += i64::try_from(records).unwrap_or(0);
        } else {
            self.ends.insert(partition.clone(), i64::try_from(records).unwrap_or(0));
        }
        if !self.fresh.contains(partition) {
            self.fresh.push(partition.clone());
        }
        batch.clear();
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn poll(&mut self, _now_ms: i64) -> Result<(), KafkaError> {
        Ok(())
    }

    fn flush(&mut self, _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn acknowledged(&mut self) -> Vec<(TopicPartition, i64)> {
        self.fresh.drain(..).map(|partition| (partition.clone(), self.ends[&partition])).collect()
    }

    fn send_offsets(
        &mut self,
        _offsets: &[OffsetCommit],
        _group: &GroupMetadata,
        _now_ms: i64,
    ) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn commit(&mut self, _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self, _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn tainted(&self) -> bool {
        false
    }
}

struct NullAdmin(NullCluster);

impl Admin for NullAdmin {
    fn describe(&mut self, names: &[TopicName], _now_ms: i64) -> Answer<Vec<Option<TopicInfo>>> {
        Poll::Ready(Ok(self
            .0
            .with(|shelf| names.iter().map(|name| shelf.topics.get(name).cloned()).collect())))
    }

    fn create(&mut self, topics: &[NewTopic], _now_ms: i64) -> Answer<()> {
        self.0.with(|shelf| {
            for topic in topics {
                let (name, configs) = (topic.name.clone(), topic.configs.clone());
                let info = TopicInfo { name: name.clone(), id: 1, partitions: topic.partitions, configs };
                shelf.topics.insert(name, info);
            }
        });
        Poll::Ready(Ok(()))
    }

    fn bounds(
        &mut self,
        partitions: &[TopicPartition],
        _isolation: Isolation,
        _now_ms: i64,
    ) -> Answer<Vec<(i64, i64)>> {
        Poll::Ready(Ok(vec![(0, 0); partitions.len()]))
    }

    fn delete_records(&mut self, _before: &[(TopicPartition, i64)], _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn topics(&mut self, _now_ms: i64) -> Answer<Vec<TopicName>> {
        Poll::Ready(Ok(self.0.with(|shelf| shelf.topics.keys().cloned().collect())))
    }

    fn delete(&mut self, names: &[TopicName], _now_ms: i64) -> Answer<()> {
        self.0.with(|shelf| names.iter().for_each(|name| drop(shelf.topics.remove(name))));
        Poll::Ready(Ok(()))
    }

    fn offsets_at(
        &mut self,
        partitions: &[TopicPartition],
        _time_ms: i64,
        _now_ms: i64,
    ) -> Answer<Vec<Option<i64>>> {
        Poll::Ready(Ok(vec![None; partitions.len()]))
    }

    fn groups(&mut self, _now_ms: i64) -> Answer<Vec<String>> {
        Poll::Ready(Ok(Vec::new()))
    }

    fn members(&mut self, _group: &str, _now_ms: i64) -> Answer<Vec<GroupMember>> {
        Poll::Ready(Ok(Vec::new()))
    }

    fn remove_members(&mut self, _group: &str, _members: &[GroupMember], _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }

    fn group_offsets(&mut self, _group: &str, _now_ms: i64) -> Answer<Vec<OffsetCommit>> {
        Poll::Ready(Ok(Vec::new()))
    }

    fn set_group_offsets(&mut self, _group: &str, _offsets: &[OffsetCommit], _now_ms: i64) -> Answer<()> {
        Poll::Ready(Ok(()))
    }
}
