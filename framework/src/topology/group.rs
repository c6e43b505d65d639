//! Sub-topologies: nodes that are connected by an edge or by a store belong together; a repartition topic separates.

use std::collections::BTreeMap;

use super::{Graph, NodeId, NodeKind};

/// The node groups, numbered as Kafka Streams does: by source nodes in the order of their names, then the others.
pub(super) fn groups(graph: &Graph) -> Vec<Vec<NodeId>> {
    let roots = roots(graph);
    let mut order: Vec<NodeId> = (0..graph.nodes.len()).collect();
    order.sort_by_key(|id| {
        let node = &graph.nodes[*id];
        (!matches!(node.kind, NodeKind::Source { .. }), node.name.clone())
    });
    let mut numbers: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<NodeId>> = Vec::new();
    for id in order {
        let number = *numbers.entry(roots[id]).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[number].push(id);
    }
    groups
}

/// For each node the representative of its group.
fn roots(graph: &Graph) -> Vec<NodeId> {
    let mut parent: Vec<NodeId> = (0..graph.nodes.len()).collect();
    let mut owner: BTreeMap<&str, NodeId> = BTreeMap::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        for above in &node.parents {
            unite(&mut parent, id, *above);
        }
        for store in &node.stores {
            let first = *owner.entry(store).or_insert(id);
            unite(&mut parent, id, first);
        }
    }
    (0..graph.nodes.len()).map(|id| find(&mut parent, id)).collect()
}

fn find(parent: &mut [NodeId], id: NodeId) -> NodeId {
    let mut root = id;
    while parent[root] != root {
        root = parent[root];
    }
    parent[id] = root;
    root
}

fn unite(parent: &mut [NodeId], one: NodeId, other: NodeId) {
    let (one, other) = (find(parent, one), find(parent, other));
    parent[one.max(other)] = one.min(other);
}
