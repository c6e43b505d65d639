//! From graph to plan: names of internal topics, their settings, and who makes which operators.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    Assemble, Graph, NodeId, NodeKind, Plan, PlanOptions, RepartitionPlan, SinkTopic, SourcePlan, StoreKind,
    StorePlan, SubtopologyPlan, Topology,
};
use crate::error::{Error, Reaction, Result};
use crate::topic::TopicName;

/// Kafka's limit for topic names.
const TOPIC_NAME_MAX: usize = 249;

pub(super) fn plan(topology: &Topology, options: &PlanOptions) -> Result<Plan> {
    let graph = topology.graph();
    let mut subtopologies = Vec::new();
    for (id, nodes) in (0_u32..).zip(topology.groups()) {
        subtopologies.push(subtopology(graph, options, id, nodes)?);
    }
    let mut sinks = Vec::new();
    for id in &graph.sinks {
        sinks.push(match &graph.nodes[*id].kind {
            NodeKind::Sink(SinkTopic::Fixed(topic)) => topic.as_str().into(),
            NodeKind::Sink(SinkTopic::Repartition(topic)) => internal(options, topic)?,
            _ => TopicName::from(""),
        });
    }
    let mut repartitions = Vec::new();
    for repartition in &graph.repartitions {
        let written_by = topology.groups().iter().position(|nodes| nodes.contains(&repartition.sink));
        repartitions.push(RepartitionPlan {
            topic: internal(options, &repartition.topic)?,
            written_by: u32::try_from(written_by.unwrap_or_default()).unwrap_or_default(),
            partitions: repartition.partitions,
            configs: repartition_configs(),
        });
    }
    let application = options.application.clone();
    Ok(Plan { application, subtopologies, sinks, repartitions, fingerprint: topology.fingerprint() })
}

fn subtopology(graph: &Graph, options: &PlanOptions, id: u32, nodes: &[NodeId]) -> Result<SubtopologyPlan> {
    let mut sources = Vec::new();
    let mut in_order = nodes.to_vec();
    in_order.sort_unstable();
    for node in &in_order {
        let NodeKind::Source { topics, start_at, internal: is_internal } = &graph.nodes[*node].kind else {
            continue;
        };
        for topic in topics {
            let topic = if *is_internal { internal(options, topic)? } else { topic.as_str().into() };
            sources.push(SourcePlan { topic, start_at: *start_at, internal: *is_internal });
        }
    }
    let names: BTreeSet<&String> = in_order.iter().flat_map(|node| &graph.nodes[*node].stores).collect();
    let mut stores = Vec::new();
    for name in names {
        let store = graph.stores.iter().find(|store| store.name == *name);
        let kind = store.map_or(StoreKind::KeyValue, |store| store.kind);
        stores.push(StorePlan {
            name: name.clone(),
            changelog: internal(options, &format!("{name}-changelog"))?,
            configs: changelog_configs(kind, options),
            retention_ms: match kind {
                StoreKind::Window(retention) | StoreKind::Session(retention) => Some(retention),
                StoreKind::KeyValue | StoreKind::Leaderboard => None,
            },
        });
    }
    let steps: Vec<Assemble> =
        in_order.iter().filter_map(|node| graph.nodes[*node].assemble.clone()).collect();
    let assemble: Assemble = Arc::new(move |assembly| steps.iter().try_for_each(|step| step(assembly)));
    Ok(SubtopologyPlan {
        id,
        sources,
        copartitioned: copartitioned(graph, options, nodes)?,
        stores,
        assemble,
    })
}

fn copartitioned(graph: &Graph, options: &PlanOptions, nodes: &[NodeId]) -> Result<Vec<Vec<TopicName>>> {
    let mut sets = Vec::new();
    for set in graph.copartitioned.iter().filter(|set| set.iter().any(|node| nodes.contains(node))) {
        let mut topics = BTreeSet::new();
        for (source, topic) in set.iter().flat_map(|node| graph.topics_above(*node)) {
            let is_internal = matches!(graph.nodes[source].kind, NodeKind::Source { internal: true, .. });
            topics.insert(if is_internal { internal(options, &topic)? } else { topic.as_str().into() });
        }
        sets.push(topics.into_iter().collect());
    }
    Ok(sets)
}

fn internal(options: &PlanOptions, name: &str) -> Result<TopicName> {
    let topic = format!("{}-{name}", options.application);
    if topic.len() > TOPIC_NAME_MAX {
        let message = format!("the internal topic `{topic}` has a name of {} characters", topic.len());
        let hint = format!("Kafka allows {TOPIC_NAME_MAX}; give the store or the application a shorter name");
        return Err(Error::new(Reaction::Stop, message).hint(hint));
    }
    Ok(topic.into())
}

fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// Whatever the brokers' default is, nothing is deleted by size.
fn unlimited() -> (String, String) {
    pair("retention.bytes", -1)
}

/// Kafka Streams' settings of changelog topics, and a size without limit where records are deleted.
fn changelog_configs(kind: StoreKind, options: &PlanOptions) -> Vec<(String, String)> {
    let mut configs = vec![pair("message.timestamp.type", "CreateTime")];
    match kind {
        StoreKind::KeyValue | StoreKind::Leaderboard => configs.push(pair("cleanup.policy", "compact")),
        StoreKind::Window(retention) | StoreKind::Session(retention) => {
            configs.push(pair("cleanup.policy", "compact,delete"));
            configs.push(pair("retention.ms", retention.saturating_add(options.additional_retention_ms)));
            configs.push(unlimited());
        }
    }
    configs
}

/// Kafka Streams' settings of repartition topics: nothing expires before it is read.
fn repartition_configs() -> Vec<(String, String)> {
    vec![
        pair("cleanup.policy", "delete"),
        pair("message.timestamp.type", "CreateTime"),
        pair("retention.ms", -1),
        unlimited(),
        pair("segment.bytes", 52_428_800),
    ]
}
