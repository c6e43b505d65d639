//! Start-up: before the group is joined, every topic is there and has the form that the plan needs.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;

use super::form::{check_count, check_settings};
use super::{count_partitions, task_counts};
use crate::error::{Error, Reaction, Result};
use crate::kafka::{Admin, NewTopic, TopicInfo, TopicRules};
use crate::topic::TopicName;
use crate::topology::{Plan, SubtopologyPlan};

/// For so long topics that were made may not be seen.
const VISIBLE_MS: i64 = 60_000;

/// What start-up found out.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Number of partitions of every topic that is read or written.
    pub partitions: HashMap<TopicName, i32>,
    /// Number of tasks of each sub-topology.
    pub tasks: Vec<i32>,
    /// What the topics demand of their records.
    pub rules: HashMap<TopicName, TopicRules>,
}

enum Stage {
    Describe,
    Create(Vec<NewTopic>),
}

/// Checks the topics of a plan and makes those that are the application's own.
pub struct Startup {
    plan: Arc<Plan>,
    admin: Box<dyn Admin>,
    stage: Stage,
    names: Vec<TopicName>,
    /// Topics that are only written: sinks and dead letters.
    outputs: Vec<TopicName>,
    /// Settings of topics that are made, by Kafka's names, beside those of the plan.
    internal_configs: Vec<(String, String)>,
    layout: Layout,
    /// `replication.factor` of topics that are made.
    replication_factor: Option<i16>,
    /// Since when a topic was looked for in vain.
    missing_since_ms: Option<i64>,
    /// When topics were made.
    made_ms: Option<i64>,
}

impl Startup {
    /// Start-up for `plan`; the dead letter topic has to exist as sinks have. Topics that are made get so many replicas.
    #[must_use]
    pub fn new(
        plan: Arc<Plan>,
        admin: Box<dyn Admin>,
        dead_letters: Option<&TopicName>,
        replication_factor: Option<i16>,
    ) -> Self {
        let internal = |topic: &TopicName| plan.repartitions.iter().any(|one| one.topic == *topic);
        let sinks = plan.sinks.iter().filter(|topic| !topic.is_empty() && !internal(topic));
        let outputs: Vec<_> = sinks.chain(dead_letters).cloned().collect();
        let sources = plan.subtopologies.iter().flat_map(|part| part.sources.iter().map(|one| &one.topic));
        let stores = plan.subtopologies.iter().flat_map(|part| part.stores.iter().map(|one| &one.changelog));
        let internals = plan.repartitions.iter().map(|one| &one.topic).chain(stores);
        let mut names: Vec<_> = sources.chain(internals).chain(&outputs).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !name.is_empty());
        Self {
            plan: Arc::clone(&plan),
            admin,
            stage: Stage::Describe,
            names,
            outputs,
            internal_configs: Vec::new(),
            layout: Layout::default(),
            replication_factor,
            missing_since_ms: None,
            made_ms: None,
        }
    }

    /// Topics that are made get these settings, by Kafka's names, beside those of the plan.
    #[must_use]
    pub fn internal_configs(mut self, configs: Vec<(String, String)>) -> Self {
        self.internal_configs = configs;
        self
    }

    /// Goes as far as it can without waiting.
    ///
    /// # Errors
    /// If a topic is missing, or has not the form that it needs; the error says what to do.
    pub fn advance(&mut self, now_ms: i64) -> Result<Poll<Layout>> {
        loop {
            match &self.stage {
                Stage::Describe => {
                    let Poll::Ready(answer) = self.admin.describe(&self.names, now_ms) else {
                        return Ok(Poll::Pending);
                    };
                    let topics = self.names.iter().cloned().zip(answer?);
                    let found = topics.filter_map(|(name, topic)| Some((name, topic?))).collect();
                    if let Some(missing) = self.missing(&found) {
                        let since_ms = *self.missing_since_ms.get_or_insert(now_ms);
                        let doubtful = now_ms.saturating_sub(since_ms) < self.admin.gossip_ms();
                        return if doubtful { Ok(Poll::Pending) } else { Err(missing) };
                    }
                    self.missing_since_ms = None;
                    let new = self.check(&found)?;
                    match self.made_ms {
                        _ if new.is_empty() => return Ok(Poll::Ready(std::mem::take(&mut self.layout))),
                        None => self.stage = Stage::Create(new),
                        Some(made_ms) if now_ms.saturating_sub(made_ms) < VISIBLE_MS => {
                            return Ok(Poll::Pending);
                        }
                        Some(_) => return Err(invisible(&new)),
                    }
                }
                Stage::Create(new) => {
                    let Poll::Ready(answer) = self.admin.create(new, now_ms) else {
                        return Ok(Poll::Pending);
                    };
                    answer?;
                    for topic in new {
                        tracing::info!(topic = %topic.name, partitions = topic.partitions, "topic is there now");
                    }
                    // Brokers learn of new topics one after the other; and another process may have made them otherwise.
                    self.made_ms = Some(now_ms);
                    self.stage = Stage::Describe;
                }
            }
        }
    }

    /// Topics that have to be there and are not, as an error.
    fn missing(&self, found: &HashMap<TopicName, TopicInfo>) -> Option<Error> {
        exist("source topics", external(&self.plan), found)
            .and_then(|()| exist("sink topics", self.outputs.iter(), found))
            .err()
    }

    /// Checks what was found, fills the layout, and tells what has to be made.
    fn check(&mut self, found: &HashMap<TopicName, TopicInfo>) -> Result<Vec<NewTopic>> {
        let plan = Arc::clone(&self.plan);
        let given = external(&plan).map(|topic| (topic.clone(), found[topic].partitions)).collect();
        let counts = count_partitions(&plan, &given)?;
        self.layout.tasks = task_counts(&plan, &counts);
        let mut new = Vec::new();
        for repartition in &plan.repartitions {
            let count = counts[&repartition.topic];
            match found.get(&repartition.topic) {
                Some(topic) => {
                    check_count(topic, count)?;
                    check_settings(topic, &repartition.configs)?;
                }
                None => new.push(NewTopic {
                    name: repartition.topic.clone(),
                    partitions: count,
                    replication_factor: None,
                    configs: repartition.configs.clone(),
                }),
            }
        }
        for (part, tasks) in plan.subtopologies.iter().zip(&self.layout.tasks) {
            equal_inputs(part, &counts)?;
            new.extend(changelogs(part, *tasks, found)?);
        }
        let extra = |topic: &mut NewTopic| topic.configs.extend(self.internal_configs.iter().cloned());
        new.iter_mut().for_each(extra);
        self.layout.rules = found.iter().map(|(name, topic)| (name.clone(), topic.rules())).collect();
        self.layout.partitions = counts;
        for topic in &self.outputs {
            self.layout.partitions.insert(topic.clone(), found[topic].partitions);
        }
        new.iter_mut().for_each(|topic| topic.replication_factor = self.replication_factor);
        Ok(new)
    }
}

/// Source topics that are not the application's own.
fn external(plan: &Plan) -> impl Iterator<Item = &TopicName> {
    let sources = plan.subtopologies.iter().flat_map(|part| &part.sources);
    sources.filter(|source| !source.internal).map(|source| &source.topic)
}

fn exist<'a>(
    what: &str,
    names: impl Iterator<Item = &'a TopicName>,
    found: &HashMap<TopicName, TopicInfo>,
) -> Result<()> {
    let missing: Vec<_> =
        names.filter(|name| !found.contains_key(*name)).map(|name| format!("`{name}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(Reaction::Stop, format!("{what} do not exist: {}", missing.join(", ")))
        .hint("create them, then start again; only the application's own topics are made on the way"))
}

fn invisible(new: &[NewTopic]) -> Error {
    let names: Vec<_> = new.iter().map(|topic| format!("`{}`", topic.name)).collect();
    Error::new(Reaction::Stop, format!("topics were made, but cannot be seen: {}", names.join(", ")))
        .hint("are they deleted at the same time? start again; the brokers' logs may say more")
}

fn changelogs(
    part: &SubtopologyPlan,
    tasks: i32,
    found: &HashMap<TopicName, TopicInfo>,
) -> Result<Vec<NewTopic>> {
    let mut new = Vec::new();
    for store in part.stores.iter().filter(|store| !store.changelog.is_empty()) {
        let Some(topic) = found.get(&store.changelog) else {
            let (name, configs) = (store.changelog.clone(), store.configs.clone());
            new.push(NewTopic { name, partitions: tasks, replication_factor: None, configs });
            continue;
        };
        check_count(topic, tasks)?;
        check_settings(topic, &store.configs)?;
    }
    Ok(new)
}

/// A task with state must not be split: the `range` assignor keeps partition `i` of several topics together only where
/// they have equally many.
fn equal_inputs(part: &SubtopologyPlan, counts: &HashMap<TopicName, i32>) -> Result<()> {
    let Some(first) = part.sources.first() else { return Ok(()) };
    let differs = part.sources.iter().find(|source| counts[&source.topic] != counts[&first.topic]);
    match differs {
        Some(other) if !part.stores.is_empty() => {
            let message = format!(
                "sub-topology {} keeps state and reads `{}` with {} and `{}` with {} partitions",
                part.id, first.topic, counts[&first.topic], other.topic, counts[&other.topic]
            );
            Err(Error::new(Reaction::Stop, message).hint(
                "give the topics the same number of partitions, or put `repartition` behind the smaller one",
            ))
        }
        _ => Ok(()),
    }
}
