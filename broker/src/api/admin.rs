//! Admin requests: topics and their settings.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::ErrorCode;

/// Identity of a topic; a topic that is deleted and created again gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub u128);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Creates topics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CreateTopicsRequest {
    /// Which.
    pub topics: Vec<NewTopic>,
    /// Whether to check only.
    pub validate_only: bool,
}

impl CreateTopicsRequest {
    /// Creates these topics.
    #[must_use]
    pub fn new(topics: Vec<NewTopic>) -> Self {
        Self { topics, validate_only: false }
    }
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions; -1 for the broker's default.
    pub partitions: i32,
    /// How many replicas: 1, or -1 for the broker's default (which is 1).
    pub replication_factor: i16,
    /// Settings that differ from the defaults.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with default settings.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication_factor: -1, configs: BTreeMap::new() }
    }

    /// The same topic with one more setting.
    #[must_use]
    pub fn with_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(name.into(), value.into());
        self
    }
}

/// Answers [`CreateTopicsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CreateTopicsResponse {
    /// One per topic.
    pub topics: Vec<TopicResult>,
}

/// What became of one topic of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult {
    /// Which topic.
    pub name: Arc<str>,
    /// Why it was refused, if it was.
    pub error: ErrorCode,
    /// What exactly was wrong; empty without an error.
    pub message: String,
    /// The topic's id; zero after an error.
    pub topic_id: TopicId,
}

/// Deletes topics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeleteTopicsRequest {
    /// Which.
    pub topics: Vec<Arc<str>>,
}

/// Answers [`DeleteTopicsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeleteTopicsResponse {
    /// One per topic.
    pub topics: Vec<TopicResult>,
}

/// Adds partitions to topics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CreatePartitionsRequest {
    /// Which, and how many in the end.
    pub topics: Vec<NewPartitions>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// How many partitions a topic shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// Which topic.
    pub name: Arc<str>,
    /// How many in the end: more than now.
    pub total: i32,
}

/// Answers [`CreatePartitionsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CreatePartitionsResponse {
    /// One per topic.
    pub topics: Vec<TopicResult>,
}

/// Describes topics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MetadataRequest {
    /// Which; `None` for all.
    pub topics: Option<Vec<Arc<str>>>,
    /// Whether an unknown topic may be created, if the broker is set up for that.
    pub allow_auto_creation: bool,
}

/// Answers [`MetadataRequest`], in its order (by name, when all were asked for).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MetadataResponse {
    /// One per topic.
    pub topics: Vec<TopicMetadata>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name.
    pub name: Arc<str>,
    /// Why it cannot be described, if so.
    pub error: ErrorCode,
    /// Its id.
    pub topic_id: TopicId,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionMetadata>,
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its number.
    pub partition: i32,
    /// Epoch of its leader: one higher after each restart.
    pub leader_epoch: i32,
}

/// Asks for topics' settings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DescribeConfigsRequest {
    /// Which topics.
    pub topics: Vec<Arc<str>>,
}

/// Answers [`DescribeConfigsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DescribeConfigsResponse {
    /// One per topic.
    pub topics: Vec<TopicConfigs>,
}

/// The settings of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfigs {
    /// Which topic.
    pub name: Arc<str>,
    /// Why they cannot be told, if so.
    pub error: ErrorCode,
    /// All settings, by name.
    pub entries: Vec<ConfigEntry>,
}

impl TopicConfigs {
    /// The value of one setting.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
    }
}

/// What kind of value a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean,
    /// Text.
    Text,
    /// A number of 32 bits.
    Integer,
    /// A number of 64 bits.
    Long,
    /// A fraction.
    Double,
    /// Texts with commas between them.
    List,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Whether nobody has set it for the topic.
    pub is_default: bool,
    /// Whether the broker's settings say its value: [`crate::BrokerConfig::topic_defaults`].
    pub is_brokers: bool,
    /// What kind of value it has.
    pub kind: ConfigKind,
}

/// Changes topics' settings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AlterConfigsRequest {
    /// Which, and how.
    pub topics: Vec<AlteredTopic>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// Changes to one topic's settings. Settings that are not named stay (as in Kafka's
/// `IncrementalAlterConfigs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredTopic {
    /// Which topic.
    pub name: Arc<str>,
    /// New values; `None` goes back to the default.
    pub changes: BTreeMap<String, Option<String>>,
}

/// Answers [`AlterConfigsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AlterConfigsResponse {
    /// One per topic.
    pub topics: Vec<TopicResult>,
}
