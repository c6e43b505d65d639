//! The graph that the DSL draws: nodes with names, parents and stores, each with a way to make its operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::codec::Serde;
use crate::error::Result;
use crate::kafka::StartAt;
use crate::operator::Assembly;

/// Number of a node; also of its outlet in an [`Assembly`].
pub type NodeId = usize;

/// Makes a node's operator and connects it behind its parents.
pub type Assemble = Arc<dyn Fn(&mut Assembly) -> Result<()> + Send + Sync>;

/// Where a sink writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTopic {
    /// A topic of the user's.
    Fixed(String),
    /// A repartition topic, by its name without application id.
    Repartition(String),
    /// A topic chosen record by record.
    Chosen,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Reads topics.
    Source {
        /// Names of the topics; of a repartition topic without application id.
        topics: Vec<String>,
        /// Where to begin without a committed offset.
        start_at: Option<StartAt>,
        /// Whether the topic is a repartition topic.
        internal: bool,
    },
    /// Handles records.
    Processor,
    /// Writes a topic.
    Sink(SinkTopic),
}

/// A node of the topology.
#[derive(Clone)]
pub struct Node {
    /// Unique name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Nodes that forward to it.
    pub parents: Vec<NodeId>,
    /// Names of the stores that it uses.
    pub stores: Vec<String>,
    /// Makes its operator.
    pub assemble: Option<Assemble>,
}

/// What a store keeps, which decides its changelog's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A value per key.
    KeyValue,
    /// A value per key and window, kept for so many milliseconds.
    Window(i64),
    /// A value per key and session, kept for so many milliseconds.
    Session(i64),
    /// Rows of leaderboards.
    Leaderboard,
}

/// A store of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreNode {
    /// Unique name.
    pub name: String,
    /// What it keeps.
    pub kind: StoreKind,
    /// Whether the name was generated: it changes when operators before it come and go.
    pub generated: bool,
}

/// Tells serdes of unknown types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerdeId {
    form: &'static str,
    /// Where it lies; `None` for one that holds nothing, which is the same wherever it lies.
    address: Option<usize>,
}

impl SerdeId {
    /// Of a serde that stays where it is, as those of the graph's operators do.
    pub fn of<T>(serde: &Arc<dyn Serde<T>>) -> Self {
        let address = (size_of_val(&**serde) > 0).then(|| Arc::as_ptr(serde).addr());
        Self { form: serde.form(), address }
    }
}

/// A repartition topic of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepartitionNode {
    /// Its name without application id, with `-repartition`.
    pub topic: String,
    /// Number of partitions, where the user set one.
    pub partitions: Option<i32>,
    /// The node whose records go through it.
    pub parent: NodeId,
    /// The source that reads it.
    pub source: NodeId,
    /// How keys and values are written.
    pub serdes: [SerdeId; 2],
    /// The sink that writes it.
    pub sink: NodeId,
}

/// Nodes, stores and repartition topics, in the order in which they were written down.
#[derive(Clone, Default)]
pub struct Graph {
    /// The nodes; the index is the [`NodeId`].
    pub nodes: Vec<Node>,
    /// The stores that are used.
    pub stores: Vec<StoreNode>,
    /// The repartition topics.
    pub repartitions: Vec<RepartitionNode>,
    /// Sets of nodes whose input topics must have equally many partitions.
    pub copartitioned: Vec<Vec<NodeId>>,
    /// Sinks with a fixed topic or a repartition topic, by their number.
    pub sinks: Vec<NodeId>,
    /// Mistakes found while the topology was written down.
    pub mistakes: Vec<String>,
    /// The nodes that drop null keys before a repartition topic; true: null keys pass, as a join further down needs them.
    pub(crate) null_key_filters: Vec<(NodeId, Arc<AtomicBool>)>,
    counter: usize,
}

impl Graph {
    /// The next generated name: `prefix` and ten digits, as Kafka Streams counts.
    pub fn next_name(&mut self, prefix: &str) -> String {
        let name = format!("{prefix}{:010}", self.counter);
        self.counter += 1;
        name
    }

    /// Adds a node, whose parents have been added before.
    pub fn add(&mut self, node: Node) -> NodeId {
        if self.nodes.iter().any(|other| other.name == node.name) {
            self.mistakes
                .push(format!("two nodes are called `{}`; give one of them another name", node.name));
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds a store and ties it to the node that fills it.
    pub fn add_store(&mut self, node: NodeId, store: StoreNode) {
        if self.stores.iter().any(|other| other.name == store.name) {
            self.mistakes
                .push(format!("two stores are called `{}`; give one of them another name", store.name));
        }
        self.nodes[node].stores.push(store.name.clone());
        self.stores.push(store);
    }

    /// The names of the source topics that `node` gets records from, directly or not.
    #[must_use]
    pub fn topics_above(&self, node: NodeId) -> Vec<(NodeId, String)> {
        let mut seen = vec![false; self.nodes.len()];
        let mut stack = vec![node];
        let mut topics = Vec::new();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            if let NodeKind::Source { topics: own, .. } = &self.nodes[id].kind {
                topics.extend(own.iter().map(|topic| (id, topic.clone())));
            }
            stack.extend(&self.nodes[id].parents);
        }
        topics.sort();
        topics
    }

    /// Lets null keys pass through every repartition topic from which `node` gets records, directly or not.
    pub(crate) fn need_null_keys(&self, node: NodeId) {
        let mut seen = vec![false; self.nodes.len()];
        let mut stack = vec![node];
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            for (_, needed) in self.null_key_filters.iter().filter(|(filter, _)| *filter == id) {
                needed.store(true, Ordering::SeqCst);
            }
            stack.extend(&self.nodes[id].parents);
            if let NodeKind::Source { topics, internal: true, .. } = &self.nodes[id].kind {
                let above = self.repartitions.iter().filter(|one| topics.contains(&one.topic));
                stack.extend(above.map(|one| one.sink));
            }
        }
    }

    /// The nodes that `node` forwards to.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(_, child)| child.parents.contains(&node))
            .map(|(id, _)| id)
    }
}
