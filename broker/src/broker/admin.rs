//! Create, delete, grow and describe topics.

use std::sync::Arc;

use super::Broker;
use crate::api::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse, NewPartitions, NewTopic,
    PartitionMetadata, TopicId, TopicMetadata, TopicResult,
};
use crate::error::ErrorCode;
use crate::topic::{Settings, SettingsError, Topic, check_name};

/// Why a topic of a request was refused, in words too.
pub(super) type Refusal = (ErrorCode, String);

impl From<SettingsError> for Refusal {
    fn from(error: SettingsError) -> Self {
        (ErrorCode::InvalidConfig, error.0)
    }
}

pub(super) fn topic_result(name: Arc<str>, outcome: Result<TopicId, Refusal>) -> TopicResult {
    match outcome {
        Ok(topic_id) => TopicResult { name, error: ErrorCode::None, message: String::new(), topic_id },
        Err((error, message)) => TopicResult { name, error, message, topic_id: TopicId::default() },
    }
}

pub(super) fn unknown_topic(name: &str) -> Refusal {
    (ErrorCode::UnknownTopicOrPartition, format!("topic {name} does not exist"))
}

impl Broker {
    pub(super) fn create_topics(&mut self, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for new in request.topics {
            let created = self.create_topic(&new, request.validate_only);
            topics.push(topic_result(new.name, created));
        }
        CreateTopicsResponse { topics }
    }

    fn create_topic(&mut self, new: &NewTopic, validate_only: bool) -> Result<TopicId, Refusal> {
        let NewTopic { name, partitions, replication_factor, configs } = new;
        check_name(name).map_err(|error| (error, format!("topic name {name:?} is not allowed")))?;
        if self.catalogue.topics.contains_key(name) {
            return Err((ErrorCode::TopicAlreadyExists, format!("topic {name} already exists")));
        }
        let partitions = if *partitions == -1 { self.config.default_partitions } else { *partitions };
        if partitions < 1 {
            let message = format!("topic {name} needs at least one partition, {partitions} were asked for");
            return Err((ErrorCode::InvalidPartitions, message));
        }
        if ![1, -1].contains(replication_factor) {
            let message = format!("there is one broker, {replication_factor} replicas were asked for");
            return Err((ErrorCode::InvalidReplicationFactor, message));
        }
        let settings = Settings::new(configs)?;
        if validate_only {
            return Ok(TopicId::default());
        }
        let id = self.ids.topic_id();
        self.catalogue.topics.insert(name.clone(), Topic::new(id, settings, partitions));
        self.version += 1;
        Ok(id)
    }

    pub(super) fn delete_topics(&mut self, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for name in request.topics {
            let deleted = self.delete_topic(&name);
            topics.push(topic_result(name, deleted));
        }
        DeleteTopicsResponse { topics }
    }

    fn delete_topic(&mut self, name: &Arc<str>) -> Result<TopicId, Refusal> {
        let topic = self.catalogue.topics.remove(name).ok_or_else(|| unknown_topic(name))?;
        for log in &topic.partitions {
            // What storage cannot remove now is never read again: the topic's id does not come back.
            let _ = self.storage.remove(log.id());
        }
        for group in self.groups.iter_mut() {
            group.offsets.forget_topic(name);
        }
        self.data_changed();
        Ok(topic.id)
    }

    pub(super) fn create_partitions(&mut self, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for wanted in request.topics {
            let grown = self.grow_topic(&wanted, request.validate_only);
            topics.push(topic_result(wanted.name, grown));
        }
        CreatePartitionsResponse { topics }
    }

    fn grow_topic(&mut self, wanted: &NewPartitions, validate_only: bool) -> Result<TopicId, Refusal> {
        let NewPartitions { name, total } = wanted;
        let topic = self.catalogue.topics.get_mut(name).ok_or_else(|| unknown_topic(name))?;
        let now = topic.partition_count();
        if *total <= now {
            let message = format!("topic {name} has {now} partitions, {total} would not be more");
            return Err((ErrorCode::InvalidPartitions, message));
        }
        if !validate_only {
            topic.grow(*total);
            self.version += 1;
        }
        Ok(topic.id)
    }

    pub(super) fn metadata(&mut self, request: MetadataRequest) -> MetadataResponse {
        let names = request.topics.unwrap_or_else(|| self.topic_names());
        let mut topics = Vec::with_capacity(names.len());
        for name in names {
            if request.allow_auto_creation && self.config.auto_create_topics {
                // Whether it existed, was created now or cannot be: the description says.
                let _ = self.create_topic(&NewTopic::new(name.clone(), -1), false);
            }
            topics.push(self.topic_metadata(name));
        }
        MetadataResponse { topics }
    }

    fn topic_metadata(&self, name: Arc<str>) -> TopicMetadata {
        let found = check_name(&name).and_then(|()| self.catalogue.topic(&name));
        let error = ErrorCode::of(&found);
        let Ok(topic) = found else {
            return TopicMetadata { name, error, topic_id: TopicId::default(), partitions: Vec::new() };
        };
        let partition = |log: &crate::log::PartitionLog| PartitionMetadata {
            partition: log.id().partition,
            leader_epoch: log.leader_epoch(),
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        TopicMetadata { name, error, topic_id: topic.id, partitions }
    }
}
