//! What a test may choose before the kit starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Testkit;
use super::kit::Parts;
use crate::config::Config;
use crate::error::Result;
use crate::kafka::memory::MemoryCluster;
use crate::time::ManualClock;
use crate::topology::{PlanOptions, Topology};

/// Chooses how a topology is tested; see [`Testkit::builder`].
#[derive(Clone, Debug)]
#[must_use = "`build` makes the kit"]
pub struct TestkitBuilder {
    properties: Vec<(String, String)>,
    partitions: i32,
    topics: BTreeMap<String, i32>,
    instances: usize,
    start_ms: i64,
    cluster: Option<MemoryCluster>,
}

impl Default for TestkitBuilder {
    fn default() -> Self {
        Self {
            properties: vec![("application.id".to_owned(), "testkit".to_owned())],
            partitions: 1,
            topics: BTreeMap::new(),
            instances: 1,
            start_ms: 0,
            cluster: None,
        }
    }
}

impl TestkitBuilder {
    /// `application.id`; `testkit` where none is named.
    pub fn application(self, id: &str) -> Self {
        self.set("application.id", id)
    }

    /// Results, state and offsets are committed in one transaction.
    pub fn exactly_once(self) -> Self {
        self.set("processing.guarantee", "exactly_once_v2")
    }

    /// Sets a property of the application's configuration.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.properties.retain(|(other, _)| other != name);
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }

    /// How many partitions the topics have that are made for the test; 1 where nothing is said.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Makes a topic with a number of partitions of its own, or one that the plan does not name.
    pub fn topic(mut self, name: &str, partitions: i32) -> Self {
        self.topics.insert(name.to_owned(), partitions);
        self
    }

    /// How many instances of the application run; 1 where nothing is said.
    pub fn instances(mut self, instances: usize) -> Self {
        self.instances = instances;
        self
    }

    /// What the wall clock shows at first, milliseconds; 0 where nothing is said.
    pub fn start_at(mut self, now_ms: i64) -> Self {
        self.start_ms = now_ms;
        self
    }

    /// Runs on a cluster that the test has prepared.
    pub fn cluster(mut self, cluster: &MemoryCluster) -> Self {
        self.cluster = Some(cluster.clone());
        self
    }

    /// Makes the topics, starts the instances, and waits until they run.
    ///
    /// # Errors
    /// If the configuration is refused or the application does not start.
    pub fn build(self, topology: &Topology) -> Result<Testkit> {
        let config = Config::from_properties(self.properties)?;
        let settings = config.settings();
        let plan = topology.plan(&PlanOptions {
            application: settings.application_id.clone(),
            additional_retention_ms: settings.windowstore_changelog_additional_retention_ms,
        })?;
        let cluster = self.cluster.unwrap_or_default();
        for (topic, partitions) in &self.topics {
            cluster.create_topic(topic, *partitions)?;
        }
        let internal = |topic: &str| plan.repartitions.iter().any(|one| one.topic.as_ref() == topic);
        let sources = plan.subtopologies.iter().flat_map(|part| part.sources.iter().map(|one| &one.topic));
        let dead_letters = settings.dead_letter_topic.iter();
        for topic in sources.chain(&plan.sinks).chain(dead_letters) {
            if !topic.is_empty() && !internal(topic) {
                cluster.create_topic(topic, self.partitions)?;
            }
        }
        let parts = Parts { plan: Arc::new(plan), config, cluster, clock: ManualClock::at(self.start_ms) };
        Testkit::start(parts, self.instances)
    }
}
