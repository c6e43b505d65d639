//! Through a repartition topic: a sink, the topic, a source that begins a new sub-topology.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Draft, SharedSerde};
use crate::operator::{Filter, Sink, Source, TimestampExtractor};
use crate::telemetry::DropReason;
use crate::topology::{Graph, Node, NodeId, NodeKind, RepartitionNode, SerdeId, SinkTopic};

/// A repartition topic to be drawn.
pub(crate) struct Repartition<K, V> {
    /// Name without `-repartition`.
    pub(crate) base: String,
    /// Serde of keys.
    pub(crate) keys: SharedSerde<K>,
    /// Serde of values.
    pub(crate) values: SharedSerde<V>,
    /// Number of partitions, where the user set one.
    pub(crate) partitions: Option<i32>,
    /// What happens to records with a null key.
    pub(crate) null_keys: NullKeys,
}

/// What happens to records with a null key before a repartition topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NullKeys {
    /// They are dropped, unless a left join further down needs them (KIP-962).
    Dropped,
    /// There are none: a grouped table's rows.
    Absent,
}

impl<K: Clone + 'static, V: Clone + 'static> Repartition<K, V> {
    /// Draws sink, topic and source behind `parent`; returns the source.
    pub(crate) fn draw(self, draft: &Draft, parent: NodeId) -> NodeId {
        let topic = format!("{}-repartition", self.base);
        let serdes = [SerdeId::of(&self.keys), SerdeId::of(&self.values)];
        if let Some(source) = draft.edit(|graph| reuse(graph, &topic, parent, (self.partitions, serdes))) {
            return source;
        }
        // A number is used for each generated name, whether or not the nodes get it: the numbers after it have to match.
        let name = |prefix: &str, suffix: &str| {
            let generated = draft.name(None, prefix);
            let own = self.null_keys == NullKeys::Dropped && !is_generated(&self.base);
            if own { format!("{topic}-{suffix}") } else { generated }
        };
        let sink_name = name("KSTREAM-SINK-", "sink");
        let filter_name = (self.null_keys == NullKeys::Dropped).then(|| name("KSTREAM-FILTER-", "filter"));
        let source_name = name("KSTREAM-SOURCE-", "source");
        let above = filter_name.map_or(parent, |name| self.draw_filter(draft, parent, name));
        let sink = draw_sink(
            draft,
            above,
            SinkPlan {
                name: sink_name,
                topic: SinkTopic::Repartition(topic.clone()),
                keys: Arc::clone(&self.keys),
                values: Arc::clone(&self.values),
            },
        );
        let partitions = self.partitions;
        let source = draw_source(
            draft,
            SourceDraft {
                name: source_name,
                topics: vec![topic.clone()],
                start_at: None,
                internal: true,
                keys: self.keys,
                values: self.values,
                extractor: Some(TimestampExtractor::FailOnInvalid),
                needs_key: false,
            },
        );
        let drawn = RepartitionNode { topic, partitions, parent, source, serdes, sink };
        draft.edit(|graph| graph.repartitions.push(drawn));
        source
    }

    fn draw_filter(&self, draft: &Draft, parent: NodeId, name: String) -> NodeId {
        let (keys, needed) = (Arc::clone(&self.keys), Arc::new(AtomicBool::new(false)));
        let (read, node_name) = (Arc::clone(&needed), name.clone());
        let filter = draft.operator::<K, V, _, _>(name, &[parent], move |assembly, node| {
            let (keys, pass_all) = (Arc::clone(&keys), read.load(Ordering::SeqCst));
            Ok(Filter {
                predicate: Arc::new(move |key, _| pass_all || !keys.is_null(key)),
                drop: Some((DropReason::NullKey, node_name.clone())),
                out: assembly.outlet(node),
            })
        });
        draft.edit(|graph| graph.null_key_filters.push((filter, needed)));
        filter
    }
}

/// The source of the repartition topic `topic`, if it is drawn already: the same records, written in the same way, need
/// it once. Anything else under its name is a mistake.
fn reuse(
    graph: &mut Graph,
    topic: &str,
    parent: NodeId,
    options: (Option<i32>, [SerdeId; 2]),
) -> Option<NodeId> {
    let drawn = graph.repartitions.iter().find(|drawn| drawn.topic == topic)?;
    let (source, first) = (drawn.source, drawn.parent);
    if (first, (drawn.partitions, drawn.serdes)) == (parent, options) {
        return Some(source);
    }
    let [first, second] = [first, parent].map(|node| &graph.nodes[node].name);
    let twice = if first == second {
        format!("twice behind `{first}`, with other partitions or serdes")
    } else {
        format!("behind `{first}` and behind `{second}`")
    };
    let mistake =
        format!("the repartition topic `{topic}` is asked for {twice}; give one of them another name");
    graph.mistakes.push(mistake);
    Some(source)
}

/// Whether Kafka Streams takes `base` for a name that it generated (`KSTREAM.*-[0-9]{10}`): then the nodes around the
/// topic have generated names as well, else they are named after the topic.
fn is_generated(base: &str) -> bool {
    let number = base.strip_prefix("KSTREAM").and_then(|rest| rest.rsplit_once('-'));
    number.is_some_and(|(_, digits)| digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A sink to be drawn.
pub(crate) struct SinkPlan<K, V> {
    pub(crate) name: String,
    pub(crate) topic: SinkTopic,
    pub(crate) keys: SharedSerde<K>,
    pub(crate) values: SharedSerde<V>,
}

/// Draws a sink with one topic behind `parent`.
pub(crate) fn draw_sink<K, V>(draft: &Draft, parent: NodeId, plan: SinkPlan<K, V>) -> NodeId
where
    K: Clone + 'static,
    V: Clone + 'static,
{
    let SinkPlan { name, topic, keys, values } = plan;
    let number = draft.edit(|graph| graph.sinks.len());
    let node = Node {
        name: name.clone(),
        kind: NodeKind::Sink(topic),
        parents: vec![parent],
        stores: Vec::new(),
        assemble: None,
    };
    let id = draft.node::<K, V, _, _>(node, move |_, _| {
        let (keys, values) = (Arc::clone(&keys), Arc::clone(&values));
        Ok(Sink {
            node: name.clone(),
            number,
            topic_of: None,
            keys,
            values,
            buffer: Vec::new(),
            columns: Default::default(),
        })
    });
    draft.edit(|graph| graph.sinks.push(id));
    id
}

/// A source to be drawn.
pub(crate) struct SourceDraft<K, V> {
    pub(crate) name: String,
    pub(crate) topics: Vec<String>,
    pub(crate) start_at: Option<crate::kafka::StartAt>,
    pub(crate) internal: bool,
    pub(crate) keys: SharedSerde<K>,
    pub(crate) values: SharedSerde<V>,
    pub(crate) extractor: Option<TimestampExtractor<K, V>>,
    pub(crate) needs_key: bool,
}

/// Draws a source.
pub(crate) fn draw_source<K, V>(draft: &Draft, source: SourceDraft<K, V>) -> NodeId
where
    K: Clone + 'static,
    V: Clone + 'static,
{
    let SourceDraft { name, topics, start_at, internal, keys, values, extractor, needs_key } = source;
    let node = Node {
        name: name.clone(),
        kind: NodeKind::Source { topics: topics.clone(), start_at, internal },
        parents: Vec::new(),
        stores: Vec::new(),
        assemble: None,
    };
    draft.edit(|graph| {
        let id = graph.add(node);
        graph.nodes[id].assemble = Some(Arc::new(move |assembly| {
            let usual = || assembly.default_extractor();
            let source = Source {
                node: name.clone(),
                keys: Arc::clone(&keys),
                values: Arc::clone(&values),
                extractor: extractor.clone().unwrap_or_else(usual),
                needs_key,
                heads: Vec::new(),
                first: Default::default(),
                out: assembly.outlet(id),
            };
            assembly.intake(&topics, internal, source);
            Ok(())
        }));
        id
    })
}

#[cfg(test)]
mod tests {
    use crate::codec::{LongSerde, StringSerde};
    use crate::{Grouped, KStream, Repartitioned, StreamsBuilder};

    fn mistake(draw: impl Fn(&KStream<String, i64>, &KStream<String, i64>)) -> String {
        let builder = StreamsBuilder::new();
        draw(&builder.stream("a"), &builder.stream("b"));
        builder.build().map_or_else(|error| error.to_string(), |topology| topology.describe())
    }

    #[test]
    fn one_name_for_two_repartition_topics_is_a_mistake() {
        let two_streams = mistake(|a, b| {
            a.repartition_with(Repartitioned::named("r")).to("x");
            b.repartition_with(Repartitioned::named("r")).to("y");
        });
        assert_eq!(
            two_streams,
            "the topology is invalid: the repartition topic `r-repartition` is asked for behind \
             `KSTREAM-SOURCE-0000000000` and behind `KSTREAM-SOURCE-0000000001`; give one of them another name"
        );
        let two_groups = mistake(|a, b| {
            for stream in [a, b] {
                let grouped = stream.group_by_with(|_, value| value.to_string(), Grouped::named("g"));
                grouped.count().to_stream().to_extracted(|_, _| "any".into(), crate::Produced::default());
            }
        });
        assert!(
            two_groups.contains("`g-repartition` is asked for behind `KSTREAM-KEY-SELECT-"),
            "{two_groups}"
        );
        let other_options = mistake(|a, _| {
            a.repartition_with(Repartitioned::named("r")).to("x");
            a.repartition_with(Repartitioned::named("r").with_number_of_partitions(3)).to("y");
        });
        assert_eq!(
            other_options,
            "the topology is invalid: the repartition topic `r-repartition` is asked for twice behind \
             `KSTREAM-SOURCE-0000000000`, with other partitions or serdes; give one of them another name"
        );
        let read_as_well = mistake(|a, _| {
            a.repartition_with(Repartitioned::named("b2")).to("x");
        });
        assert!(read_as_well.starts_with("Topologies"), "{read_as_well}");
    }

    #[test]
    fn what_is_grouped_once_is_repartitioned_once() {
        let drawn = mistake(|a, _| {
            let grouped = a.group_by_with(
                |_, value| value.to_string(),
                Grouped::with(StringSerde, LongSerde).with_name("g"),
            );
            grouped.count().to_stream().to("x");
            grouped.reduce(|sum, value| sum + value).to_stream().to("y");
            let table = a.to_table().group_by(|key, value| (key.clone(), *value));
            let table = [table.count().to_stream(), table.count().to_stream()];
            for (counts, topic) in table.into_iter().zip(["v", "w"]) {
                counts.to(topic);
            }
            for topic in ["s", "t"] {
                a.repartition_with(Repartitioned::named("r")).to(topic);
            }
        });
        assert_eq!(drawn.matches("Source: g-repartition-source").count(), 1, "{drawn}");
        assert_eq!(drawn.matches("Source: r-repartition-source").count(), 1, "{drawn}");
    }
}
