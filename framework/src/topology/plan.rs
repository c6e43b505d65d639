//! The plan: a topology under the name of an application, as the runtime needs it. Topic names are final here.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::kafka::StartAt;
use crate::operator::Assembly;
use crate::topic::TopicName;

/// A topology under the name of an application.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `application.id`.
    pub application: String,
    /// The sub-topologies; the index is [`SubtopologyPlan::id`].
    pub subtopologies: Vec<SubtopologyPlan>,
    /// The topic of each sink by its number ([`crate::operator::Target::Sink`]); empty for a sink that chooses its
    /// topic record by record.
    pub sinks: Vec<TopicName>,
    /// The repartition topics.
    pub repartitions: Vec<RepartitionPlan>,
    /// See `Topology::fingerprint`.
    pub fingerprint: u64,
}

/// A part of the topology whose operators share partitions: one task for each partition of its inputs.
#[derive(Clone)]
pub struct SubtopologyPlan {
    /// Its number.
    pub id: u32,
    /// What it reads.
    pub sources: Vec<SourcePlan>,
    /// Topics that are joined with each other here and so must have equally many partitions, group by group.
    pub copartitioned: Vec<Vec<TopicName>>,
    /// Its stores, in the order of their names. A store's place in the byte store is `1 + 2 * index`.
    pub stores: Vec<StorePlan>,
    /// Makes the operators of one task.
    pub assemble: Arc<dyn Fn(&mut Assembly) -> Result<()> + Send + Sync>,
}

/// An input topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlan {
    /// The topic.
    pub topic: TopicName,
    /// Where to begin without a committed offset; `None`: as configured.
    pub start_at: Option<StartAt>,
    /// Whether it is a repartition topic of this application.
    pub internal: bool,
}

/// A store with its changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlan {
    /// Name of the store.
    pub name: String,
    /// `<application.id>-<store>-changelog`.
    pub changelog: TopicName,
    /// The changelog's settings by Kafka's names, `cleanup.policy` among them.
    pub configs: Vec<(String, String)>,
    /// How long windows are kept, for window and session stores, milliseconds.
    pub retention_ms: Option<i64>,
}

/// A repartition topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepartitionPlan {
    /// `<application.id>-<name>-repartition`.
    pub topic: TopicName,
    /// The sub-topology that writes it.
    pub written_by: u32,
    /// Number of partitions, where the user set one; else the most that its writer's inputs have.
    pub partitions: Option<i32>,
    /// The topic's settings by Kafka's names.
    pub configs: Vec<(String, String)>,
}

impl fmt::Debug for SubtopologyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubtopologyPlan")
            .field("id", &self.id)
            .field("sources", &self.sources)
            .field("copartitioned", &self.copartitioned)
            .field("stores", &self.stores)
            .finish_non_exhaustive()
    }
}
