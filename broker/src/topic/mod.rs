//! A topic: a name, settings, and the logs of its partitions. The catalogue holds all topics.

mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use settings::{Settings, SettingsError};

use crate::api::{TopicId, TopicPartition};
use crate::error::ErrorCode;
use crate::log::PartitionLog;
use crate::storage::{LogId, Storage};

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) settings: Settings,
    pub(crate) partitions: Vec<PartitionLog>,
}

impl Topic {
    pub(crate) fn new(id: TopicId, settings: Settings, partitions: i32) -> Self {
        let mut topic = Self { id, settings, partitions: Vec::new() };
        topic.grow(partitions);
        topic
    }

    /// Number of partitions, as the protocol counts.
    pub(crate) fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("partitions are counted in i32")
    }

    /// Adds empty partitions until there are `total`.
    pub(crate) fn grow(&mut self, total: i32) {
        for partition in self.partition_count()..total {
            self.partitions.push(PartitionLog::new(LogId { topic: self.id, partition }));
        }
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

    /// Reads all logs back from storage, each under the next leader epoch.
    pub(crate) fn recover(&mut self, storage: &dyn Storage) -> Result<(), ErrorCode> {
        for log in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            *log = PartitionLog::recover(log.id(), storage, log.leader_epoch() + 1)?;
        }
        Ok(())
    }
}

/// Checks a name as Kafka does: letters, digits, `.`, `_`, `-`, at most 249 of them.
pub(crate) fn check_name(name: &str) -> Result<(), ErrorCode> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fine =
        !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.bytes().all(allowed);
    if fine { Ok(()) } else { Err(ErrorCode::InvalidTopic) }
}
