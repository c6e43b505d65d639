//! A stream: records that follow each other.

use std::sync::Arc;

use super::branch::BranchedKStream;
use super::repartition::{NullKeys, Repartition, SinkPlan, draw_sink};
use super::table::TableDraft;
use super::{
    Draft, Grouped, KGroupedStream, KTable, Materialized, Produced, Repartitioned, SharedSerde,
    serde_or_usual,
};
use crate::codec::HasSerde;
use crate::operator::{
    Fallible, Filter, FlatMap, FlatMapFn, Foreach, Map, MapValues, Pass, Peek, Sink, TopicOf, TryMap,
};
use crate::topic::TopicName;
use crate::topology::{Node, NodeId, NodeKind, SinkTopic};

/// A stream of records. Every method leaves this handle usable, so a stream may be used in several places.
pub struct KStream<K, V> {
    pub(crate) draft: Draft,
    pub(crate) node: NodeId,
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
    /// Whether the key may have changed since the records were partitioned.
    pub(crate) rekeyed: bool,
    next_name: Option<String>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            draft: self.draft.clone(),
            node: self.node,
            keys: self.keys.clone(),
            values: self.values.clone(),
            rekeyed: self.rekeyed,
            next_name: self.next_name.clone(),
        }
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    pub(crate) fn new(draft: Draft, node: NodeId) -> Self {
        Self { draft, node, keys: None, values: None, rekeyed: false, next_name: None }
    }

    pub(crate) fn with_serdes(self, keys: Option<SharedSerde<K>>, values: Option<SharedSerde<V>>) -> Self {
        Self { keys, values, ..self }
    }

    pub(crate) fn marked(self, rekeyed: bool) -> Self {
        Self { rekeyed, ..self }
    }

    /// This stream again, whose next operator is called `name` instead of by a generated name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { next_name: Some(name.to_owned()), ..self.clone() }
    }

    pub(crate) fn name(&self, prefix: &str) -> String {
        self.draft.name(self.next_name.clone(), prefix)
    }

    /// The records for which `predicate` holds.
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let predicate: Arc<dyn Fn(&K, &V) -> bool + Send + Sync> = Arc::new(predicate);
        let node = self.draft.operator::<K, V, _, _>(
            self.name("KSTREAM-FILTER-"),
            &[self.node],
            move |assembly, node| {
                Ok(Filter { predicate: Arc::clone(&predicate), drop: None, out: assembly.outlet(node) })
            },
        );
        Self { node, next_name: None, ..self.clone() }
    }

    /// The records for which `predicate` does not hold.
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// Other keys and values; the key change makes a later grouping or join repartition.
    pub fn map<K2, V2>(&self, function: impl Fn(K, V) -> (K2, V2) + Send + Sync + 'static) -> KStream<K2, V2>
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
    {
        self.map_called("KSTREAM-MAP-", Arc::new(function))
    }

    fn map_called<K2, V2>(
        &self,
        prefix: &str,
        function: Arc<dyn Fn(K, V) -> (K2, V2) + Send + Sync>,
    ) -> KStream<K2, V2>
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
    {
        let node =
            self.draft.operator::<K, V, _, _>(self.name(prefix), &[self.node], move |assembly, node| {
                Ok(Map {
                    function: Arc::clone(&function),
                    mapped: Default::default(),
                    out: assembly.outlet(node),
                })
            });
        KStream::new(self.draft.clone(), node).marked(true)
    }

    /// As [`KStream::map`] with a function that may fail: then `processing.exception.handler` decides.
    pub fn try_map<K2, V2>(
        &self,
        function: impl Fn(K, V) -> Fallible<(K2, V2)> + Send + Sync + 'static,
    ) -> KStream<K2, V2>
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
    {
        let node = self.draw_try_map("KSTREAM-MAP-", Arc::new(function));
        KStream::new(self.draft.clone(), node).marked(true)
    }

    fn draw_try_map<K2, V2>(
        &self,
        prefix: &str,
        function: Arc<dyn Fn(K, V) -> Fallible<(K2, V2)> + Send + Sync>,
    ) -> NodeId
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
    {
        let name = self.name(prefix);
        self.draft.operator::<K, V, _, _>(name.clone(), &[self.node], move |assembly, node| {
            Ok(TryMap { node: name.clone(), function: Arc::clone(&function), out: assembly.outlet(node) })
        })
    }

    /// Other values under the same keys.
    pub fn map_values<V2: Clone + 'static>(
        &self,
        function: impl Fn(V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        self.map_values_with_key(move |_, value| function(value))
    }

    /// Other values under the same keys, which the function sees.
    pub fn map_values_with_key<V2>(
        &self,
        function: impl Fn(&K, V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2>
    where
        V2: Clone + 'static,
    {
        let function: Arc<dyn Fn(&K, V) -> V2 + Send + Sync> = Arc::new(function);
        let name = self.name("KSTREAM-MAPVALUES-");
        let node = self.draft.operator::<K, V, _, _>(name, &[self.node], move |assembly, node| {
            Ok(MapValues {
                function: Arc::clone(&function),
                mapped: Default::default(),
                out: assembly.outlet(node),
            })
        });
        KStream::new(self.draft.clone(), node).with_serdes(self.keys.clone(), None).marked(self.rekeyed)
    }

    /// As [`KStream::map_values`] with a function that may fail: then `processing.exception.handler` decides.
    pub fn try_map_values<V2>(
        &self,
        function: impl Fn(&K, V) -> Fallible<V2> + Send + Sync + 'static,
    ) -> KStream<K, V2>
    where
        V2: Clone + 'static,
    {
        let node = self.draw_try_map(
            "KSTREAM-MAPVALUES-",
            Arc::new(move |key, value| {
                let value = function(&key, value)?;
                Ok((key, value))
            }),
        );
        KStream::new(self.draft.clone(), node).with_serdes(self.keys.clone(), None).marked(self.rekeyed)
    }

    /// Any number of records for each one, under other keys.
    pub fn flat_map<K2, V2, I>(&self, function: impl Fn(K, V) -> I + Send + Sync + 'static) -> KStream<K2, V2>
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
        I: IntoIterator<Item = (K2, V2)>,
    {
        let node = self.draw_flat_map::<K2, V2>(
            "KSTREAM-FLATMAP-",
            Arc::new(move |key, value, forward| {
                function(key, value).into_iter().try_for_each(|(key, value)| forward(key, value))
            }),
        );
        KStream::new(self.draft.clone(), node).marked(true)
    }

    /// Any number of values for each one, under the same key.
    pub fn flat_map_values<V2, I>(&self, function: impl Fn(V) -> I + Send + Sync + 'static) -> KStream<K, V2>
    where
        V2: Clone + 'static,
        I: IntoIterator<Item = V2>,
    {
        let node = self.draw_flat_map::<K, V2>(
            "KSTREAM-FLATMAPVALUES-",
            Arc::new(move |key, value, forward| {
                function(value).into_iter().try_for_each(|value| forward(key.clone(), value))
            }),
        );
        KStream::new(self.draft.clone(), node).with_serdes(self.keys.clone(), None).marked(self.rekeyed)
    }

    fn draw_flat_map<K2, V2>(&self, prefix: &str, function: Arc<FlatMapFn<K, V, K2, V2>>) -> NodeId
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
    {
        self.draft.operator::<K, V, _, _>(self.name(prefix), &[self.node], move |assembly, node| {
            Ok(FlatMap { function: Arc::clone(&function), out: assembly.outlet(node) })
        })
    }

    /// Other keys for the same values.
    pub fn select_key<K2: Clone + 'static>(
        &self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        let select = move |key: K, value: V| (select(&key, &value), value);
        self.map_called("KSTREAM-KEY-SELECT-", Arc::new(select)).with_serdes(None, self.values.clone())
    }

    /// Shows each record to a function on the way.
    pub fn peek(&self, function: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        let function: Arc<dyn Fn(&K, &V) + Send + Sync> = Arc::new(function);
        let node = self.draft.operator::<K, V, _, _>(
            self.name("KSTREAM-PEEK-"),
            &[self.node],
            move |assembly, node| Ok(Peek { function: Arc::clone(&function), out: assembly.outlet(node) }),
        );
        Self { node, next_name: None, ..self.clone() }
    }

    /// Shows each record to a function; the stream ends here.
    pub fn foreach(&self, function: impl Fn(&K, &V) + Send + Sync + 'static) {
        let function: Arc<dyn Fn(&K, &V) + Send + Sync> = Arc::new(function);
        self.draft.operator::<K, V, _, _>(self.name("KSTREAM-FOREACH-"), &[self.node], move |_, _| {
            Ok(Foreach { function: Arc::clone(&function) })
        });
    }

    /// The records of both streams, in no order between them.
    pub fn merge(&self, other: &Self) -> Self {
        let name = self.name("KSTREAM-MERGE-");
        let node = self.draft.operator::<K, V, _, _>(name, &[self.node, other.node], |assembly, node| {
            Ok(Pass { out: assembly.outlet(node) })
        });
        Self { node, next_name: None, rekeyed: self.rekeyed || other.rekeyed, ..self.clone() }
    }

    /// Begins to split the stream into branches; each record goes into the first that takes it.
    pub fn split(&self) -> BranchedKStream<K, V> {
        BranchedKStream::new(self, self.name("KSTREAM-BRANCH-"))
    }
}

/// What needs to know how records are written.
impl<K: HasSerde, V: HasSerde> KStream<K, V> {
    pub(crate) fn key_serde(&self, given: Option<SharedSerde<K>>) -> SharedSerde<K> {
        serde_or_usual(&given.or_else(|| self.keys.clone()))
    }

    pub(crate) fn value_serde(&self, given: Option<SharedSerde<V>>) -> SharedSerde<V> {
        serde_or_usual(&given.or_else(|| self.values.clone()))
    }

    /// Writes the records to a topic, to the partition of their key.
    pub fn to(&self, topic: &str) {
        self.to_with(topic, Produced::default());
    }

    /// As [`KStream::to`], with options.
    pub fn to_with(&self, topic: &str, produced: Produced<K, V>) {
        draw_sink(
            &self.draft,
            self.node,
            SinkPlan {
                name: self.name("KSTREAM-SINK-"),
                topic: SinkTopic::Fixed(topic.to_owned()),
                keys: self.key_serde(produced.keys),
                values: self.value_serde(produced.values),
            },
        );
    }

    /// Writes each record to the topic that a function names for it. The topics have to exist.
    pub fn to_extracted(
        &self,
        topic_of: impl Fn(&K, &V) -> TopicName + Send + Sync + 'static,
        produced: Produced<K, V>,
    ) {
        let topic_of: TopicOf<K, V> = Arc::new(topic_of);
        let (keys, values) = (self.key_serde(produced.keys), self.value_serde(produced.values));
        let name = self.name("KSTREAM-SINK-");
        let node = Node {
            name: name.clone(),
            kind: NodeKind::Sink(SinkTopic::Chosen),
            parents: vec![self.node],
            stores: Vec::new(),
            assemble: None,
        };
        self.draft.node::<K, V, _, _>(node, move |_, _| {
            let (keys, values) = (Arc::clone(&keys), Arc::clone(&values));
            let topic_of = Some(Arc::clone(&topic_of));
            Ok(Sink {
                node: name.clone(),
                number: 0,
                topic_of,
                keys,
                values,
                buffer: Vec::new(),
                columns: Default::default(),
            })
        });
    }

    /// Sends the records through a repartition topic, so that equal keys meet in one partition. Records with a null
    /// key are dropped and counted.
    pub fn repartition(&self) -> Self {
        self.repartition_with(Repartitioned::default())
    }

    /// As [`KStream::repartition`], with options.
    pub fn repartition_with(&self, options: Repartitioned<K, V>) -> Self {
        let repartition = Repartition {
            base: self.draft.name(options.name, "KSTREAM-REPARTITION-"),
            keys: self.key_serde(options.keys),
            values: self.value_serde(options.values),
            partitions: options.partitions,
            null_keys: NullKeys::Dropped,
        };
        let (keys, values) = (Arc::clone(&repartition.keys), Arc::clone(&repartition.values));
        let node = repartition.draw(&self.draft, self.node);
        KStream::new(self.draft.clone(), node).with_serdes(Some(keys), Some(values))
    }

    /// This stream, sent through a repartition topic if its keys may have changed.
    pub(crate) fn partitioned(&self, base: &str, keys: &SharedSerde<K>, values: &SharedSerde<V>) -> NodeId {
        if !self.rekeyed {
            return self.node;
        }
        let repartition = Repartition {
            base: base.to_owned(),
            keys: Arc::clone(keys),
            values: Arc::clone(values),
            partitions: None,
            null_keys: NullKeys::Dropped,
        };
        repartition.draw(&self.draft, self.node)
    }

    /// The stream as a table: the last value of each key; null values delete, null keys are dropped and counted.
    pub fn to_table(&self) -> KTable<K, V> {
        self.to_table_with(None)
    }

    /// As [`KStream::to_table`]; with `materialized` the rows are always kept.
    pub fn to_table_with(&self, materialized: Option<Materialized<K, V>>) -> KTable<K, V> {
        let by_user = materialized.is_some();
        let name = self.name("KSTREAM-TOTABLE-");
        let options = materialized.unwrap_or_default();
        let generated = options.name.is_none();
        let store = self.draft.name(options.name, "KSTREAM-TOTABLE-STATE-STORE-");
        let (keys, values) = (self.key_serde(options.keys), self.value_serde(options.values));
        let parent = self.partitioned(&name, &keys, &values);
        let table = TableDraft { name, store, generated, keys, values }.draw_from_stream(&self.draft, parent);
        if by_user {
            table.keep();
        }
        table
    }

    /// Groups by another key; goes through a repartition topic.
    pub fn group_by<K2: HasSerde>(
        &self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KGroupedStream<K2, V> {
        self.select_key(select).group_by_key()
    }

    /// As [`KStream::group_by`], with options.
    pub fn group_by_with<K2: HasSerde>(
        &self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
        grouped: Grouped<K2, V>,
    ) -> KGroupedStream<K2, V> {
        self.select_key(select).group_by_key_with(grouped)
    }

    /// Groups by the key that the records have; repartitions only if it may have changed.
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        self.group_by_key_with(Grouped::default())
    }

    /// As [`KStream::group_by_key`], with options.
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        let (keys, values) = (self.key_serde(grouped.keys), self.value_serde(grouped.values));
        KGroupedStream { stream: self.clone(), name: grouped.name, keys, values }
    }
}
