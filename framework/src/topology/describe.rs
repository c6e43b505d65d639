//! The topology as text, in the form of Kafka Streams' `TopologyDescription.toString()`.
//!
//! Within a sub-topology nodes stand by size descending, then by name; the size of a node is one more than the sum of
//! the sizes of its successors. Predecessors and successors stand by name.

use std::fmt::Write;

use super::{Graph, NodeId, NodeKind, SinkTopic};

pub(super) fn describe(graph: &Graph, groups: &[Vec<NodeId>]) -> String {
    // One blank more before the first sub-topology than before the others: so Kafka Streams writes it.
    let mut text = String::from("Topologies:\n ");
    for (number, nodes) in groups.iter().enumerate() {
        let _ = writeln!(text, "  Sub-topology: {number}");
        let mut sized: Vec<_> = nodes.iter().map(|id| (size(graph, *id), *id)).collect();
        sized.sort_by(|(a_size, a), (b_size, b)| {
            b_size.cmp(a_size).then_with(|| graph.nodes[*a].name.cmp(&graph.nodes[*b].name))
        });
        for (_, id) in sized {
            node(&mut text, graph, id);
        }
        text.push('\n');
    }
    text
}

fn size(graph: &Graph, id: NodeId) -> usize {
    1 + graph.children(id).map(|child| size(graph, child)).sum::<usize>()
}

fn node(text: &mut String, graph: &Graph, id: NodeId) {
    let node = &graph.nodes[id];
    let _ = match &node.kind {
        NodeKind::Source { topics, .. } => {
            writeln!(text, "    Source: {} (topics: [{}])", node.name, topics.join(", "))
        }
        NodeKind::Processor => {
            let mut stores = node.stores.clone();
            stores.sort();
            writeln!(text, "    Processor: {} (stores: [{}])", node.name, stores.join(", "))
        }
        NodeKind::Sink(SinkTopic::Fixed(topic) | SinkTopic::Repartition(topic)) => {
            writeln!(text, "    Sink: {} (topic: {topic})", node.name)
        }
        NodeKind::Sink(SinkTopic::Chosen) => {
            writeln!(text, "    Sink: {} (extractor class: chosen by a function)", node.name)
        }
    };
    if !matches!(node.kind, NodeKind::Sink(_)) {
        let _ = writeln!(text, "      --> {}", names(graph, graph.children(id)));
    }
    if !matches!(node.kind, NodeKind::Source { .. }) {
        let _ = writeln!(text, "      <-- {}", names(graph, node.parents.iter().copied()));
    }
}

fn names(graph: &Graph, nodes: impl Iterator<Item = NodeId>) -> String {
    let mut names: Vec<_> = nodes.map(|id| graph.nodes[id].name.as_str()).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.sort_unstable();
    names.join(", ")
}
