//! A table: the last value of each key, and the stream of its changes.
//!
//! Rows are kept in a store only where something needs them: a join that looks rows up, a grouping that has to know
//! old values, or a `Materialized` of the user's. Who needs them says so while the topology is written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Draft, Grouped, KGroupedTable, KStream, Materialized, SharedSerde, serde_or_usual};
use crate::codec::{HasSerde, Nullable};
use crate::error::Result;
use crate::operator::{
    Assembly, Change, Exit, FilteredLookup, Lookup, MappedLookup, Outlet, TableFilter, TableKeep,
    TableMapValues, TableSource, TimestampExtractor, ToStream, ToTable,
};
use crate::state::{KeyRun, KeyValueStore};
use crate::topology::{NodeId, StoreKind, StoreNode};

type MakeLookup<K, V> = Arc<dyn Fn(&mut Assembly) -> Result<Box<dyn Lookup<K, V>>> + Send + Sync>;

/// What a table's operators read when a task is assembled; set while the topology is written down.
#[derive(Clone, Default)]
pub(crate) struct TableFlags {
    /// Rows are kept in a store.
    kept: Arc<AtomicBool>,
    /// Successors need old values.
    send_old: Arc<AtomicBool>,
}

impl TableFlags {
    pub(crate) fn kept(&self) -> bool {
        self.kept.load(Ordering::SeqCst)
    }

    pub(crate) fn send_old(&self) -> bool {
        self.send_old.load(Ordering::SeqCst)
    }
}

/// How others get at a table: made by whoever draws it.
#[derive(Clone)]
pub(crate) struct TableAccess<K, V> {
    /// Makes sure that the rows can be looked up; returns the names of the stores that hold them.
    pub(crate) keep: Arc<dyn Fn() -> Vec<String>>,
    /// Makes sure that changes carry old values.
    pub(crate) send_old: Arc<dyn Fn()>,
    /// Makes a way to look rows up.
    pub(crate) lookup: MakeLookup<K, V>,
}

/// A table. Made by `table`, `to_table` or an aggregation.
pub struct KTable<K, V> {
    pub(crate) draft: Draft,
    pub(crate) node: NodeId,
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
    pub(crate) access: TableAccess<K, V>,
    next_name: Option<String>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            draft: self.draft.clone(),
            node: self.node,
            keys: self.keys.clone(),
            values: self.values.clone(),
            access: TableAccess {
                keep: Arc::clone(&self.access.keep),
                send_old: Arc::clone(&self.access.send_old),
                lookup: Arc::clone(&self.access.lookup),
            },
            next_name: self.next_name.clone(),
        }
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KTable<K, V> {
    pub(crate) fn new(draft: Draft, node: NodeId, access: TableAccess<K, V>) -> Self {
        Self { draft, node, keys: None, values: None, access, next_name: None }
    }

    pub(crate) fn with_serdes(self, keys: Option<SharedSerde<K>>, values: Option<SharedSerde<V>>) -> Self {
        Self { keys, values, ..self }
    }

    pub(crate) fn keep(&self) -> Vec<String> {
        (self.access.keep)()
    }

    /// This table again, whose next operator is called `name` instead of by a generated name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { next_name: Some(name.to_owned()), ..self.clone() }
    }

    pub(crate) fn name(&self, prefix: &str) -> String {
        self.draft.name(self.next_name.clone(), prefix)
    }

    /// The table's changes as a stream: the new value of each changed row, `None` where it was deleted.
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        let name = self.name("KTABLE-TOSTREAM-");
        let node = self.draft.operator::<K, Change<V>, _, _>(name, &[self.node], |assembly, node| {
            Ok(ToStream { new: Default::default(), out: assembly.outlet(node) })
        });
        let values = self.values.clone().map(|values| Arc::new(Nullable(values)) as SharedSerde<Option<V>>);
        KStream::new(self.draft.clone(), node).with_serdes(self.keys.clone(), values)
    }
}

impl<K: HasSerde, V: HasSerde> KTable<K, V> {
    /// The rows for which `predicate` holds; a row for which it stops holding is deleted.
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter_with(predicate, None)
    }

    /// The rows for which `predicate` does not hold.
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// As [`KTable::filter`]; with `materialized` the rows are kept in a store of their own.
    pub fn filter_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Option<Materialized<K, V>>,
    ) -> Self {
        let predicate: Arc<dyn Fn(&K, &V) -> bool + Send + Sync> = Arc::new(predicate);
        let derived = self.derived("KTABLE-FILTER-", materialized, self.values.clone());
        let (flags, made, kept) = (derived.flags.clone(), Arc::clone(&predicate), derived.keeper(true));
        let node = self.draft.operator::<K, Change<V>, _, _>(
            derived.name.clone(),
            &[self.node],
            move |assembly, node| {
                let out = kept(assembly, node)?;
                let send_old = flags.send_old() && !flags.kept();
                Ok(TableFilter { predicate: Arc::clone(&made), send_old, out })
            },
        );
        let parent = Arc::clone(&self.access.lookup);
        derived.finish(
            self,
            node,
            Arc::new(move |assembly| {
                Ok(Box::new(FilteredLookup { parent: parent(assembly)?, predicate: Arc::clone(&predicate) }))
            }),
        )
    }

    /// Other values under the same keys; a row whose value becomes null is deleted.
    pub fn map_values<V2: HasSerde>(
        &self,
        function: impl Fn(&V) -> V2 + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        self.map_values_with(move |_, value| function(value), None)
    }

    /// As [`KTable::map_values`] with the key; with `materialized` the rows are kept in a store of their own.
    pub fn map_values_with<V2: HasSerde>(
        &self,
        function: impl Fn(&K, &V) -> V2 + Send + Sync + 'static,
        materialized: Option<Materialized<K, V2>>,
    ) -> KTable<K, V2> {
        let function: Arc<dyn Fn(&K, &V) -> V2 + Send + Sync> = Arc::new(function);
        let derived = self.derived("KTABLE-MAPVALUES-", materialized, None);
        let (flags, made, kept) = (derived.flags.clone(), Arc::clone(&function), derived.keeper(false));
        let (values, lookup_values) = (Arc::clone(&derived.values), Arc::clone(&derived.values));
        let node = self.draft.operator::<K, Change<V>, _, _>(
            derived.name.clone(),
            &[self.node],
            move |assembly, node| {
                let out = kept(assembly, node)?;
                let send_old = flags.send_old() && !flags.kept();
                let values = Arc::clone(&values);
                Ok(TableMapValues { function: Arc::clone(&made), values, send_old, out })
            },
        );
        let parent = Arc::clone(&self.access.lookup);
        derived.finish(
            self,
            node,
            Arc::new(move |assembly| {
                let (function, values) = (Arc::clone(&function), Arc::clone(&lookup_values));
                Ok(Box::new(MappedLookup { parent: parent(assembly)?, function, values }))
            }),
        )
    }

    fn derived<V2: HasSerde>(
        &self,
        prefix: &str,
        materialized: Option<Materialized<K, V2>>,
        values: Option<SharedSerde<V2>>,
    ) -> Derived<K, V2> {
        let kept = materialized.is_some();
        let Materialized { name, keys, values: own, .. } = materialized.unwrap_or_default();
        let flags = TableFlags::default();
        flags.kept.store(kept, Ordering::SeqCst);
        let generated = name.is_none();
        let store =
            if kept { self.draft.name(name, &format!("{prefix}STATE-STORE-")) } else { String::new() };
        let keys = serde_or_usual(&keys.or_else(|| self.keys.clone()));
        let values = serde_or_usual(&own.or(values));
        Derived { name: self.name(prefix), store, generated, flags, keys, values }
    }

    /// Groups the rows by another key: each row is in the group that `select` names for it, with the value that it
    /// names. Goes through a repartition topic.
    pub fn group_by<K2, V2>(
        &self,
        select: impl Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KGroupedTable<K, V, K2, V2>
    where
        K2: HasSerde,
        V2: HasSerde,
    {
        self.group_by_with(select, Grouped::default())
    }

    /// As [`KTable::group_by`], with options.
    pub fn group_by_with<K2, V2>(
        &self,
        select: impl Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
        grouped: Grouped<K2, V2>,
    ) -> KGroupedTable<K, V, K2, V2>
    where
        K2: HasSerde,
        V2: HasSerde,
    {
        let (keys, values) = (serde_or_usual(&grouped.keys), serde_or_usual(&grouped.values));
        KGroupedTable::new(self, Arc::new(select), grouped.name, (keys, values))
    }
}

/// A table that is made of another one, under construction.
struct Derived<K, V> {
    name: String,
    store: String,
    generated: bool,
    flags: TableFlags,
    keys: SharedSerde<K>,
    values: SharedSerde<V>,
}

impl<K: HasSerde, V: HasSerde> Derived<K, V> {
    /// Makes the outlet behind the operator: the node's own, or one that keeps the rows on the way.
    fn keeper(
        &self,
        skip_nothing: bool,
    ) -> impl Fn(&mut Assembly, NodeId) -> Result<Outlet<K, Change<V>>> + Send + Sync + use<K, V> {
        let (flags, store) = (self.flags.clone(), self.store.clone());
        let (keys, values) = (Arc::clone(&self.keys), Arc::clone(&self.values));
        move |assembly, node| {
            let out = assembly.outlet(node);
            if !flags.kept() {
                return Ok(out);
            }
            let (keys, values) = (Arc::clone(&keys), Arc::clone(&values));
            let store = assembly.store(&store, |shelf| KeyValueStore::open(shelf, keys, values))?;
            let inner = Outlet::default();
            inner.connect(std::rc::Rc::new(std::cell::RefCell::new(TableKeep {
                store,
                send_old: flags.send_old(),
                skip_nothing,
                out,
            })));
            Ok(inner)
        }
    }

    fn finish<V0: Clone + 'static>(
        self,
        parent: &KTable<K, V0>,
        node: NodeId,
        computed: MakeLookup<K, V>,
    ) -> KTable<K, V> {
        let Self { store, generated, flags, keys, values, .. } = self;
        let draft = parent.draft.clone();
        let kept = flags.kept();
        if kept {
            draft.edit(|graph| {
                graph
                    .add_store(node, StoreNode { name: store.clone(), kind: StoreKind::KeyValue, generated });
            });
        }
        let parent_keep = Arc::clone(&parent.access.keep);
        let own = store.clone();
        let keep = move || if kept { vec![own.clone()] } else { parent_keep() };
        let parent_send_old = Arc::clone(&parent.access.send_old);
        let send_old = move || {
            flags.send_old.store(true, Ordering::SeqCst);
            if !kept {
                parent_send_old();
            }
        };
        let lookup = if kept { stored_lookup(store, &keys, &values) } else { computed };
        let access = TableAccess { keep: Arc::new(keep), send_old: Arc::new(send_old), lookup };
        KTable::new(draft, node, access).with_serdes(Some(keys), Some(values))
    }
}

/// Looks rows up in a key-value store.
pub(crate) fn stored_lookup<K, V>(
    store: String,
    keys: &SharedSerde<K>,
    values: &SharedSerde<V>,
) -> MakeLookup<K, V>
where
    K: Clone + 'static,
    V: Clone + 'static,
{
    let (keys, values) = (Arc::clone(keys), Arc::clone(values));
    Arc::new(move |assembly| {
        let (keys, values) = (Arc::clone(&keys), Arc::clone(&values));
        Ok(Box::new(assembly.store(&store, |shelf| KeyValueStore::open(shelf, keys, values))?))
    })
}

/// A table at the root, under construction.
pub(crate) struct TableDraft<K, V> {
    pub(crate) name: String,
    pub(crate) store: String,
    pub(crate) generated: bool,
    pub(crate) keys: SharedSerde<K>,
    pub(crate) values: SharedSerde<V>,
}

impl<K: Clone + 'static, V: Clone + 'static> TableDraft<K, V> {
    /// Draws the table behind a source whose values are null for deleted rows.
    pub(crate) fn draw_source(self, draft: &Draft, source: NodeId) -> KTable<K, V> {
        let flags = TableFlags::default();
        let make = self.maker(&flags);
        let node = draft.operator::<K, Option<V>, _, _>(self.name.clone(), &[source], make);
        self.finish(draft, node, flags)
    }

    /// Draws the table behind a stream.
    pub(crate) fn draw_from_stream(self, draft: &Draft, parent: NodeId) -> KTable<K, V> {
        let flags = TableFlags::default();
        let make = self.maker(&flags);
        let (name, keys, values) = (self.name.clone(), Arc::clone(&self.keys), Arc::clone(&self.values));
        let node = draft.operator::<K, V, _, _>(self.name.clone(), &[parent], move |assembly, node| {
            let (keys, values) = (Arc::clone(&keys), Arc::clone(&values));
            Ok(ToTable { node: name.clone(), keys, values, table: make(assembly, node)? })
        });
        self.finish(draft, node, flags)
    }

    fn maker(
        &self,
        flags: &TableFlags,
    ) -> impl Fn(&mut Assembly, NodeId) -> Result<TableSource<K, V>> + Send + Sync + use<K, V> {
        let (flags, store) = (flags.clone(), self.store.clone());
        let (keys, values) = (Arc::clone(&self.keys), Arc::clone(&self.values));
        move |assembly, node| {
            let (keys, values) = (Arc::clone(&keys), Arc::clone(&values));
            let open = |shelf| KeyValueStore::open(shelf, keys, values);
            let store = if flags.kept() { Some(assembly.store(&store, open)?) } else { None };
            Ok(TableSource {
                store,
                run: KeyRun::default(),
                send_old: flags.send_old(),
                out: Exit::new(assembly.outlet(node)),
            })
        }
    }

    fn finish(self, draft: &Draft, node: NodeId, flags: TableFlags) -> KTable<K, V> {
        let Self { store, generated, keys, values, .. } = self;
        let (graph, name, kept) = (draft.clone(), store.clone(), flags.clone());
        let keep = move || {
            if !kept.kept.swap(true, Ordering::SeqCst) {
                let store = StoreNode { name: name.clone(), kind: StoreKind::KeyValue, generated };
                graph.edit(|graph| graph.add_store(node, store));
            }
            vec![name.clone()]
        };
        let keep: Arc<dyn Fn() -> Vec<String>> = Arc::new(keep);
        let also = Arc::clone(&keep);
        let send_old = move || {
            flags.send_old.store(true, Ordering::SeqCst);
            also();
        };
        let lookup = stored_lookup(store, &keys, &values);
        let access = TableAccess { keep, send_old: Arc::new(send_old), lookup };
        KTable::new(draft.clone(), node, access).with_serdes(Some(keys), Some(values))
    }
}

/// A table's rows may be null where its extractor wants values: a tombstone keeps the time that it came with.
pub(crate) fn extractor_of_rows<K: 'static, V: 'static>(
    extractor: TimestampExtractor<K, V>,
) -> TimestampExtractor<K, Option<V>> {
    match extractor {
        TimestampExtractor::FailOnInvalid => TimestampExtractor::FailOnInvalid,
        TimestampExtractor::LogAndSkip => TimestampExtractor::LogAndSkip,
        TimestampExtractor::UsePartitionTime => TimestampExtractor::UsePartitionTime,
        TimestampExtractor::Wallclock => TimestampExtractor::Wallclock,
        TimestampExtractor::By(function) => {
            TimestampExtractor::By(Arc::new(move |key, value: &Option<V>, own, partition_time| match value {
                Some(value) => function(key, value, own, partition_time),
                None => own,
            }))
        }
    }
}
