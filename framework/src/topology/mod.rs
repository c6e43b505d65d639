//! What the user described: nodes, edges, stores. No I/O here.

mod describe;
mod graph;
mod group;
mod internal;
mod plan;
mod planner;

pub use graph::{
    Assemble, Graph, Node, NodeId, NodeKind, RepartitionNode, SerdeId, SinkTopic, StoreKind, StoreNode,
};
pub use internal::InternalKind;
pub use plan::{Plan, RepartitionPlan, SourcePlan, StorePlan, SubtopologyPlan};

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Reaction, Result};

/// A topology: what happens to the records of which topics. Made by [`crate::StreamsBuilder::build`].
///
/// It is a description only; an application runs it. Clones are cheap.
#[derive(Clone)]
pub struct Topology {
    graph: Arc<Graph>,
    groups: Arc<Vec<Vec<NodeId>>>,
}

impl Topology {
    /// Checks the graph and splits it into sub-topologies.
    ///
    /// # Errors
    /// All mistakes at once, each with what to do.
    pub fn new(mut graph: Graph) -> Result<Self> {
        if graph.nodes.iter().all(|node| !matches!(node.kind, NodeKind::Source { .. })) {
            graph.mistakes.push("the topology reads no topic; begin with `stream` or `table`".to_owned());
        }
        let mut readers: Vec<(&String, bool)> = Vec::new();
        let mut twice = Vec::new();
        for node in &graph.nodes {
            let NodeKind::Source { topics, internal, .. } = &node.kind else { continue };
            for topic in topics {
                // A repartition topic gets the application's name, so it is another one than the user's of this name.
                if readers.contains(&(topic, *internal)) {
                    twice.push(format!(
                        "topic `{topic}` is read twice; read it once and use the stream in both places"
                    ));
                }
                readers.push((topic, *internal));
            }
        }
        graph.mistakes.extend(twice);
        if !graph.mistakes.is_empty() {
            return Err(Error::new(
                Reaction::Stop,
                format!("the topology is invalid: {}", graph.mistakes.join("; also, ")),
            ));
        }
        let groups = group::groups(&graph);
        let generated: Vec<_> =
            graph.stores.iter().filter(|store| store.generated).map(|store| &store.name).collect();
        if !generated.is_empty() {
            tracing::warn!(
                stores = ?generated,
                "these stores have generated names, which change with the topology and orphan state; \
                 name them with `Materialized::named`"
            );
        }
        Ok(Self { graph: Arc::new(graph), groups: Arc::new(groups) })
    }

    /// The nodes and edges.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The topology as text, in the form of Kafka Streams' `TopologyDescription`.
    ///
    /// ```
    /// use headwater::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").filter(|_, text| !text.is_empty()).to("out");
    /// let text = builder.build().unwrap().describe();
    /// assert!(text.contains("Processor: KSTREAM-FILTER-0000000001 (stores: [])"));
    /// ```
    #[must_use]
    pub fn describe(&self) -> String {
        describe::describe(&self.graph, &self.groups)
    }

    /// A number that changes when nodes, edges, stores or their kinds change: a program that keeps it can refuse to
    /// start with a topology that would orphan its state.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut text = self.describe();
        for store in &self.graph.stores {
            text.push_str(&format!("{store:?}"));
        }
        // FNV-1a: stable across versions and machines, which a std hasher is not.
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// The stores whose names were generated.
    pub fn generated_names(&self) -> impl Iterator<Item = &str> {
        self.graph.stores.iter().filter(|store| store.generated).map(|store| store.name.as_str())
    }

    /// The topology under the name of an application.
    ///
    /// # Errors
    /// If a topic name would be too long for Kafka (249 characters).
    pub fn plan(&self, options: &PlanOptions) -> Result<Plan> {
        planner::plan(self, options)
    }

    pub(crate) fn groups(&self) -> &[Vec<NodeId>] {
        &self.groups
    }
}

/// What a plan needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// `application.id`.
    pub application: String,
    /// `windowstore.changelog.additional.retention.ms`: how long changelogs keep windows longer than the store does.
    pub additional_retention_ms: i64,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
