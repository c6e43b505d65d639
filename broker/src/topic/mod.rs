//! A topic: a name, settings, and the logs of its partitions. The catalogue holds all topics.

mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use settings::{Defaults, Settings, SettingsError};

use crate::api::{TopicId, TopicPartition};
use crate::error::ErrorCode;
use crate::log::PartitionLog;
use crate::storage::{LogId, Storage};

/// As many partitions as a topic may have.
pub(crate) const MOST_PARTITIONS: i32 = 10_000;

/// A topic without its logs, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicFact {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    pub(crate) partitions: i32,
    /// The start of the broker in which it was made: from there its leader epochs count.
    pub(crate) made_in: u32,
    /// Settings that differ from the defaults.
    pub(crate) configs: BTreeMap<String, String>,
}

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) settings: Settings,
    pub(crate) partitions: Vec<PartitionLog>,
    made_in: u32,
    leader_epoch: i32,
}

impl Topic {
    /// A topic whose logs are opened in storage, or made, in this start of the broker.
    pub(crate) fn open(
        fact: &TopicFact,
        settings: Settings,
        start: u32,
        storage: &mut dyn Storage,
    ) -> Result<Self, ErrorCode> {
        let leader_epoch = i32::try_from(start.saturating_sub(fact.made_in)).unwrap_or(i32::MAX);
        let mut topic =
            Self { id: fact.id, settings, partitions: Vec::new(), made_in: fact.made_in, leader_epoch };
        topic.open_logs(&fact.name, fact.partitions, storage).map(|()| topic)
    }

    /// What is to be kept of it.
    pub(crate) fn fact(&self, name: &Arc<str>) -> TopicFact {
        TopicFact {
            name: name.clone(),
            id: self.id,
            partitions: self.partition_count(),
            made_in: self.made_in,
            configs: self.settings.configs(),
        }
    }

    /// Takes back that partitions were added.
    pub(crate) fn shrink(&mut self, name: &str, total: i32, storage: &mut dyn Storage) {
        while self.partition_count() > total {
            if let Some(log) = self.partitions.pop() {
                // What stays is empty, and put aside when it is in the way.
                let _ = storage.remove(log.id(), name);
            }
        }
    }

    /// Number of partitions, as the protocol counts.
    pub(crate) fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("partitions are counted in i32")
    }

    /// Adds partitions until there are `total`; after an error none was added.
    pub(crate) fn grow(
        &mut self,
        name: &str,
        total: i32,
        storage: &mut dyn Storage,
    ) -> Result<(), ErrorCode> {
        let before = self.partition_count();
        self.open_logs(name, total, storage).inspect_err(|_| self.shrink(name, before, storage))
    }

    fn open_logs(&mut self, name: &str, total: i32, storage: &mut dyn Storage) -> Result<(), ErrorCode> {
        for partition in self.partition_count()..total {
            let id = LogId { topic: self.id, partition };
            self.partitions.push(PartitionLog::open(id, name, storage, self.leader_epoch)?);
        }
        Ok(())
    }
}

/// All topics, by name.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) topics: BTreeMap<Arc<str>, Topic>,
}

impl Catalogue {
    pub(crate) fn topic(&self, name: &str) -> Result<&Topic, ErrorCode> {
        self.topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// The name of the topic with this id.
    pub(crate) fn name_of(&self, id: TopicId) -> Option<&Arc<str>> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name)
    }

    pub(crate) fn log(&self, at: &TopicPartition) -> Result<&PartitionLog, ErrorCode> {
        let topic = self.topic(&at.topic)?;
        usize::try_from(at.partition)
            .ok()
            .and_then(|partition| topic.partitions.get(partition))
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// The log with its topic's settings.
    pub(crate) fn log_mut(
        &mut self,
        at: &TopicPartition,
    ) -> Result<(&mut PartitionLog, &Settings), ErrorCode> {
        let topic = self.topics.get_mut(&at.topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let log = usize::try_from(at.partition)
            .ok()
            .and_then(|partition| topic.partitions.get_mut(partition))
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok((log, &topic.settings))
    }
}

/// Checks a name as Kafka does: letters, digits, `.`, `_`, `-`, at most 249 of them.
pub(crate) fn check_name(name: &str) -> Result<(), ErrorCode> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fine =
        !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.bytes().all(allowed);
    if fine { Ok(()) } else { Err(ErrorCode::InvalidTopic) }
}
