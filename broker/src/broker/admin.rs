//! Create, delete, grow and describe topics.

use std::sync::Arc;

use super::Broker;
use crate::api::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse, NewPartitions, NewTopic,
    PartitionMetadata, TopicId, TopicMetadata, TopicResult,
};
use crate::error::ErrorCode;
use crate::journal::Fact;
use crate::storage::LogId;
use crate::topic::{MOST_PARTITIONS, Settings, SettingsError, Topic, TopicFact, check_name};

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

/// As many partitions as may be made at once, as in Kafka: each takes memory and files before anything is in it.
pub(crate) const MOST_NEW_PARTITIONS: i64 = 10_000;

/// As in Kafka: metrics have `_` for both.
fn are_one_in_metrics(one: &str, other: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (matches!(a, b'.' | b'_') && matches!(b, b'.' | b'_'));
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(same)
}

fn check_growth(partitions: i64) -> Result<(), Refusal> {
    if partitions <= MOST_NEW_PARTITIONS {
        return Ok(());
    }
    let message = format!("{partitions} partitions at once; {MOST_NEW_PARTITIONS} are the most");
    Err((ErrorCode::PolicyViolation, message))
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
        if let Some(other) = self.catalogue.topics.keys().find(|other| are_one_in_metrics(other, name)) {
            let message =
                format!("topic {name} collides with {other}: names differ by more than `.` and `_`");
            return Err((ErrorCode::InvalidTopic, message));
        }
        let partitions = if *partitions == -1 { self.config.default_partitions } else { *partitions };
        if partitions < 1 {
            let message = format!("topic {name} needs at least one partition, {partitions} were asked for");
            return Err((ErrorCode::InvalidPartitions, message));
        }
        check_growth(i64::from(partitions))?;
        if ![1, -1].contains(replication_factor) {
            let message = format!("there is one broker, {replication_factor} replicas were asked for");
            return Err((ErrorCode::InvalidReplicationFactor, message));
        }
        let settings = Settings::new(configs, &self.topic_defaults)?;
        if validate_only {
            return Ok(TopicId::default());
        }
        let id = self.ids.topic_id();
        let made_in = self.start;
        let fact = TopicFact { name: name.clone(), id, partitions, made_in, configs: settings.configs() };
        let topic = Topic::open(&fact, settings, made_in, self.storage.as_mut());
        let topic = topic.and_then(|topic| self.note(&Fact::Topic(fact)).map(|()| topic));
        let topic = topic.map_err(|error| {
            self.remove_logs(name, id, partitions);
            (error, format!("topic {name} cannot be stored"))
        })?;
        self.catalogue.topics.insert(name.clone(), topic);
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
        let topic = self.catalogue.topics.get(name).ok_or_else(|| unknown_topic(name))?;
        let (id, partitions) = (topic.id, topic.partition_count());
        self.note(&Fact::TopicDeleted { name: name.clone(), id, partitions })
            .map_err(|error| (error, format!("that topic {name} is deleted cannot be stored")))?;
        self.catalogue.topics.remove(name);
        self.remove_logs(name, id, partitions);
        for group in self.groups.iter_mut() {
            group.offsets.forget_topic(name);
        }
        self.data_changed(None);
        Ok(id)
    }

    /// What storage cannot remove now is never read again, for the topic's id does not come back; the next
    /// start tries again.
    pub(super) fn remove_logs(&mut self, name: &str, topic: TopicId, partitions: i32) {
        for partition in 0..partitions {
            let _ = self.storage.remove(LogId { topic, partition }, name);
        }
    }

    pub(super) fn create_partitions(&mut self, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        let mut all = 0;
        for wanted in request.topics {
            let before = self.catalogue.topic(&wanted.name).map_or(0, Topic::partition_count);
            all += i64::from(wanted.total.saturating_sub(before).max(0));
            let grown = check_growth(all).and_then(|()| self.grow_topic(&wanted, request.validate_only));
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
        if *total > MOST_PARTITIONS {
            let message = format!("{total} partitions of {name}; a topic has {MOST_PARTITIONS} at most");
            return Err((ErrorCode::InvalidPartitions, message));
        }
        if !validate_only {
            let id = topic.id;
            let grown = topic.grow(name, *total, self.storage.as_mut()).map(|()| topic.fact(name));
            let grown = grown.and_then(|fact| self.note(&Fact::Topic(fact)));
            if let Err(error) = grown {
                if let Some(topic) = self.catalogue.topics.get_mut(name) {
                    topic.shrink(name, now, self.storage.as_mut());
                }
                return Err((error, format!("more partitions of {name} cannot be stored")));
            }
            self.version += 1;
            return Ok(id);
        }
        Ok(topic.id)
    }

    pub(super) fn metadata(&mut self, request: MetadataRequest) -> MetadataResponse {
        let names = request.topics.unwrap_or_else(|| self.topic_names());
        let mut topics = Vec::with_capacity(names.len());
        let mut all = 0;
        for name in names {
            let more = all + i64::from(self.config.default_partitions);
            if request.allow_auto_creation && self.config.auto_create_topics && check_growth(more).is_ok() {
                // Whether it existed, was created now or cannot be: the description says.
                let created = self.create_topic(&NewTopic::new(name.clone(), -1), false);
                all = if created.is_ok() { more } else { all };
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
