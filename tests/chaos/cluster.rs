//! The cluster as the loop sees it: topics, offsets, whole partitions.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;

use headwater::kafka::{Admin, Answer, Cluster, Consumer, Fault, Isolation, KafkaCluster, NewTopic};
use headwater::time::{Clock, SystemClock};
use headwater::{Config, RecordBatch, TopicPartition};

use crate::Fallible;

/// A broker that is killed is back within this, milliseconds.
const PATIENCE_MS: i64 = 120_000;
const FETCH_BYTES: usize = 1 << 20;

/// The cluster, and a clock.
pub(crate) struct Kafka {
    pub(crate) cluster: Arc<dyn Cluster>,
    admin: Box<dyn Admin>,
    clock: SystemClock,
    pub(crate) partitions: i32,
}

impl Kafka {
    pub(crate) fn connect(bootstrap: &str, partitions: i32) -> Fallible<Self> {
        let config =
            Config::from_properties([("application.id", "chaos"), ("bootstrap.servers", bootstrap)])?;
        let cluster = Arc::new(KafkaCluster::connect(&config.cluster_options())?);
        let admin = cluster.admin("chaos");
        Ok(Self { cluster, admin, clock: SystemClock::new(), partitions })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Waits, and lets what arrives arrive.
    pub(crate) fn pause(&self, ms: i64) {
        let until = self.now_ms() + ms;
        while self.now_ms() < until {
            self.cluster.wait(until - self.now_ms());
        }
    }

    /// Makes topics, with these settings beside `retention.ms`.
    pub(crate) fn create(
        &mut self,
        topics: &[String],
        replicas: i16,
        configs: &[(&str, &str)],
    ) -> Fallible<()> {
        let partitions = self.partitions;
        let topics: Vec<_> = topics
            .iter()
            .map(|name| NewTopic {
                name: name.as_str().into(),
                partitions,
                replication_factor: Some(replicas),
                // Event times are of 2020: by the brokers' default such records are deleted within minutes.
                configs: [("retention.ms", "-1")]
                    .iter()
                    .chain(configs)
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            })
            .collect();
        let Self { admin, clock, cluster, .. } = self;
        answer(cluster.as_ref(), clock, |now_ms| admin.create(&topics, now_ms))
    }

    pub(crate) fn all(&self, topic: &str) -> Vec<TopicPartition> {
        (0..self.partitions).map(|number| TopicPartition::new(topic, number)).collect()
    }

    /// Where the partitions of topics end.
    pub(crate) fn ends(&mut self, topics: &[String], isolation: Isolation) -> Fallible<Vec<i64>> {
        let partitions: Vec<_> = topics.iter().flat_map(|topic| self.all(topic)).collect();
        let Self { admin, clock, cluster, .. } = self;
        let bounds = answer(cluster.as_ref(), clock, |now_ms| admin.bounds(&partitions, isolation, now_ms))?;
        Ok(bounds.into_iter().map(|(_, end)| end).collect())
    }

    /// The offsets that a group has committed; 0 for none.
    pub(crate) fn committed(&mut self, group: &str, topic: &str) -> Fallible<Vec<i64>> {
        let Self { admin, clock, cluster, .. } = self;
        let offsets = answer(cluster.as_ref(), clock, |now_ms| admin.group_offsets(group, now_ms))?;
        let offsets: HashMap<_, _> = offsets.into_iter().collect();
        Ok(self.all(topic).iter().map(|one| offsets.get(one).map_or(0, |one| one.offset)).collect())
    }

    /// How many records of a topic a group has not committed.
    pub(crate) fn waiting(&mut self, group: &str, topic: &str) -> Fallible<usize> {
        let mut waiting = 0;
        for (partition, offset) in self.all(topic).iter().zip(self.committed(group, topic)?) {
            waiting += self.read_from(partition, offset)?.iter().map(RecordBatch::len).sum::<usize>();
        }
        Ok(waiting)
    }

    /// The committed records of a partition.
    pub(crate) fn read(&self, partition: &TopicPartition) -> Fallible<Vec<RecordBatch>> {
        self.read_from(partition, 0)
    }

    fn read_from(&self, partition: &TopicPartition, offset: i64) -> Fallible<Vec<RecordBatch>> {
        let mut consumer = self.cluster.consumer("chaos-read", Isolation::ReadCommitted);
        consumer.add(partition, offset);
        let mut all = Vec::new();
        let begin = self.now_ms();
        loop {
            let Some(fetched) = fetch(consumer.as_mut(), partition, self.now_ms())? else {
                if self.now_ms() - begin > PATIENCE_MS {
                    return Err(format!("{partition} was not read to its end in time").into());
                }
                self.cluster.wait(20);
                continue;
            };
            all.push(fetched.0);
            if fetched.1 {
                return Ok(all);
            }
        }
    }
}

fn fetch(
    consumer: &mut dyn Consumer,
    partition: &TopicPartition,
    now_ms: i64,
) -> Fallible<Option<(RecordBatch, bool)>> {
    let fetched = consumer.fetch(partition, FETCH_BYTES, now_ms)?;
    Ok(fetched.map(|fetched| (fetched.records, fetched.caught_up)))
}

/// Asks until there is an answer.
pub(crate) fn answer<T>(
    cluster: &dyn Cluster,
    clock: &dyn Clock,
    mut ask: impl FnMut(i64) -> Answer<T>,
) -> Fallible<T> {
    let begin = clock.now_ms();
    loop {
        let now_ms = clock.now_ms();
        match ask(now_ms) {
            Poll::Ready(Ok(answer)) => return Ok(answer),
            Poll::Ready(Err(error)) if error.fault != Fault::Retriable => return Err(error.into()),
            Poll::Ready(Err(error)) if now_ms - begin > PATIENCE_MS => return Err(error.into()),
            Poll::Pending if now_ms - begin > PATIENCE_MS => return Err("the cluster does not answer".into()),
            _ => cluster.wait(20),
        }
    }
}
