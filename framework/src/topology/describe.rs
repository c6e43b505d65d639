//! The topology as text, in the form of Kafka Streams' `TopologyDescription.toString()`.
//!
//! Within a sub-topology nodes stand by size descending, then by name; the size of a node is one more than the sum of
//! the sizes of its successors. Predecessors and successors stand by name.

use std::fmt::Write;

use super::{Graph, NodeId, NodeKind, SinkTopic};

pub(super) fn describe(graph: &Graph, groups: &[Vec<NodeId>]) -> String {
    // One blank more before the first sub-topology than before the others: so Kafka Streams writes it.
    let mut text = String::from("Topologies:\n ");
    let sizes = sizes(graph);
    for (number, nodes) in groups.iter().enumerate() {
        let _ = writeln!(text, "  Sub-topology: {number}");
        let mut sized: Vec<_> = nodes.iter().map(|id| (sizes[*id], *id)).collect();
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

/// The size of each node. A node is added after its parents, so the last ones are done first.
fn sizes(graph: &Graph) -> Vec<usize> {
    let mut sizes = vec![1_usize; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        let mut parents = node.parents.clone();
        parents.sort_unstable();
        parents.dedup();
        for parent in parents {
            sizes[parent] = sizes[parent].saturating_add(sizes[id]);
        }
    }
    sizes
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

#[cfg(test)]
mod tests {
    use crate::StreamsBuilder;

    #[test]
    fn a_long_chain_of_diamonds_is_described_at_once() {
        let builder = StreamsBuilder::new();
        let mut stream = builder.stream::<String, String>("in");
        for _ in 0..100 {
            let (left, right) = (stream.filter(|_, _| true), stream.filter(|_, _| true));
            stream = left.merge(&right);
        }
        stream.to("out");
        let topology = builder.build().unwrap();
        assert_eq!(topology.describe().matches("KSTREAM-MERGE-").count(), 100 + 2 * 199 + 1);
        assert_ne!(topology.fingerprint(), 0);
    }
}
