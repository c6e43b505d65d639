//! A table grouped by another key: what can be aggregated as rows come, change and go.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::grouped_stream::{aggregating, counter, kept_access, reducing};
use super::repartition::{NullKeys, Repartition};
use super::table::stored_lookup;
use super::{Draft, KTable, Materialized, SharedSerde, serde_or_usual};
use crate::codec::HasSerde;
use crate::operator::{AnyAdder, Change, ChangeSerde, NullTest, Subtractor, TableAggregate, TableGroup};
use crate::state::KeyValueStore;
use crate::topology::{NodeId, StoreKind, StoreNode};

/// Chooses group key and value of a row.
pub(crate) type Selector<K, V, K2, V2> = Arc<dyn Fn(&K, &V) -> (K2, V2) + Send + Sync>;

/// A table grouped by another key. When a row changes, its old value leaves its old group before the new one enters.
///
/// ```
/// use headwater::StreamsBuilder;
/// let builder = StreamsBuilder::new();
/// let users = builder.table::<String, String>("user-cities");
/// users.group_by(|user, city| (city.clone(), user.clone())).count().to_stream().to("users-per-city");
/// assert!(builder.build().unwrap().describe().contains("KTABLE-SELECT-0000000003"));
/// ```
pub struct KGroupedTable<K, V, K2, V2> {
    pub(crate) draft: Draft,
    pub(crate) parent: NodeId,
    pub(crate) selector: Selector<K, V, K2, V2>,
    pub(crate) select_name: String,
    /// The node that tells old and new group, once it is drawn.
    select: Cell<Option<NodeId>>,
    pub(crate) name: Option<String>,
    pub(crate) members: SharedSerde<K>,
    pub(crate) keys: SharedSerde<K2>,
    pub(crate) values: SharedSerde<V2>,
    /// How old and new value go through the repartition topic.
    changes: SharedSerde<Change<V2>>,
}

struct Functions<K, V, A> {
    add: AnyAdder<K, V, A>,
    subtract: Subtractor<K, V, A>,
}

impl<K, V, K2, V2> KGroupedTable<K, V, K2, V2>
where
    K: HasSerde,
    V: HasSerde,
    K2: HasSerde,
    V2: HasSerde,
{
    pub(crate) fn new(
        table: &KTable<K, V>,
        selector: Selector<K, V, K2, V2>,
        name: Option<String>,
        serdes: (SharedSerde<K2>, SharedSerde<V2>),
    ) -> Self {
        // Old values have to be known, to take a row out of its old group.
        (table.access.send_old)();
        let select_name = table.name("KTABLE-SELECT-");
        let (keys, values) = serdes;
        let (draft, members) = (table.draft.clone(), serde_or_usual(&table.keys));
        Self {
            draft,
            parent: table.node,
            selector,
            select_name,
            select: Cell::new(None),
            name,
            members,
            keys,
            changes: Arc::new(ChangeSerde(Arc::clone(&values))),
            values,
        }
    }

    /// Number of rows in each group.
    pub fn count(&self) -> KTable<K2, i64> {
        self.count_with(Materialized::default())
    }

    /// As [`KGroupedTable::count`], with options.
    pub fn count_with(&self, materialized: Materialized<K2, i64>) -> KTable<K2, i64> {
        let subtract: Subtractor<K2, V2, i64> = Arc::new(|_, _, count| count - 1);
        self.draw("KTABLE-AGGREGATE-", materialized, Functions { add: Arc::new(counter()), subtract })
    }

    /// Combines the values of each group: `adder` when a row enters, `subtractor` when it leaves.
    pub fn reduce(
        &self,
        adder: impl Fn(V2, V2) -> V2 + Send + Sync + 'static,
        subtractor: impl Fn(V2, V2) -> V2 + Send + Sync + 'static,
    ) -> KTable<K2, V2> {
        self.reduce_with(adder, subtractor, Materialized::default())
    }

    /// As [`KGroupedTable::reduce`], with options.
    pub fn reduce_with(
        &self,
        adder: impl Fn(V2, V2) -> V2 + Send + Sync + 'static,
        subtractor: impl Fn(V2, V2) -> V2 + Send + Sync + 'static,
        materialized: Materialized<K2, V2>,
    ) -> KTable<K2, V2> {
        let subtract: Subtractor<K2, V2, V2> = Arc::new(move |_, value, reduced| subtractor(reduced, value));
        self.draw("KTABLE-REDUCE-", materialized, Functions { add: Arc::new(reducing(adder)), subtract })
    }

    /// Aggregates the values of each group: `adder` when a row enters, `subtractor` when it leaves.
    pub fn aggregate<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        adder: impl Fn(&K2, V2, A) -> A + Send + Sync + 'static,
        subtractor: impl Fn(&K2, V2, A) -> A + Send + Sync + 'static,
    ) -> KTable<K2, A> {
        self.aggregate_with(initializer, adder, subtractor, Materialized::default())
    }

    /// As [`KGroupedTable::aggregate`], with options.
    pub fn aggregate_with<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        adder: impl Fn(&K2, V2, A) -> A + Send + Sync + 'static,
        subtractor: impl Fn(&K2, V2, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K2, A>,
    ) -> KTable<K2, A> {
        let functions =
            Functions { add: Arc::new(aggregating(initializer, adder)), subtract: Arc::new(subtractor) };
        self.draw("KTABLE-AGGREGATE-", materialized, functions)
    }

    /// Draws the operator that tells old and new group, and the repartition topic behind it.
    fn draw_group(&self, store: &str) -> NodeId {
        let (selector, keys, values) =
            (Arc::clone(&self.selector), Arc::clone(&self.keys), Arc::clone(&self.values));
        let select = self.select.get().unwrap_or_else(|| {
            self.draft.operator::<K, Change<V>, _, _>(
                self.draft.free_name(&self.select_name, "KTABLE-SELECT-"),
                &[self.parent],
                move |assembly, node| {
                    Ok(TableGroup {
                        selector: Arc::clone(&selector),
                        keys: Arc::clone(&keys),
                        values: Arc::clone(&values),
                        scratch: Vec::new(),
                        out: assembly.outlet(node),
                    })
                },
            )
        });
        self.select.set(Some(select));
        let repartition = Repartition {
            base: self.name.clone().unwrap_or_else(|| store.to_owned()),
            keys: Arc::clone(&self.keys),
            values: Arc::clone(&self.changes),
            partitions: None,
            null_keys: NullKeys::Absent,
        };
        repartition.draw(&self.draft, select)
    }

    fn draw<A: HasSerde>(
        &self,
        prefix: &str,
        materialized: Materialized<K2, A>,
        functions: Functions<K2, V2, A>,
    ) -> KTable<K2, A> {
        let Materialized { name, keys, values, .. } = materialized;
        let generated = name.is_none();
        let store = self.draft.name(name, &format!("{prefix}STATE-STORE-"));
        let source = self.draw_group(&store);
        let node_name = self.draft.name(None, prefix);
        let keys = keys.unwrap_or_else(|| Arc::clone(&self.keys));
        let aggregates = serde_or_usual(&values);
        let send_old = Arc::new(AtomicBool::new(false));
        let (flag, store_name, name) = (Arc::clone(&send_old), store.clone(), node_name.clone());
        let (store_keys, store_values) = (Arc::clone(&keys), Arc::clone(&aggregates));
        let node =
            self.draft.operator::<K2, Change<V2>, _, _>(node_name, &[source], move |assembly, node| {
                let (keys, values) = (Arc::clone(&store_keys), Arc::clone(&store_values));
                Ok(TableAggregate {
                    node: name.clone(),
                    add: Arc::clone(&functions.add),
                    subtract: Arc::clone(&functions.subtract),
                    aggregates: NullTest::of(&values),
                    store: assembly.store(&store_name, |shelf| KeyValueStore::open(shelf, keys, values))?,
                    send_old: flag.load(Ordering::SeqCst),
                    out: assembly.outlet(node),
                })
            });
        let kind = StoreKind::KeyValue;
        self.draft.edit(|graph| graph.add_store(node, StoreNode { name: store.clone(), kind, generated }));
        let lookup = stored_lookup(store.clone(), &keys, &aggregates);
        let access = kept_access(store, send_old, lookup);
        KTable::new(self.draft.clone(), node, access).with_serdes(Some(keys), Some(aggregates))
    }
}
