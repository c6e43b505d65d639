//! A stream grouped by key: what can be aggregated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::session_windowed::SessionWindowedKStream;
use super::table::{TableAccess, stored_lookup};
use super::windowed::TimeWindowedKStream;
use super::{Draft, KStream, KTable, Materialized, SharedSerde, serde_or_usual};
use crate::codec::HasSerde;
use crate::operator::{Adder, Aggregate, Exit, Lookup, NullTest, Nulls};
use crate::state::{KeyRun, KeyValueStore};
use crate::topology::{NodeId, StoreKind, StoreNode};
use crate::window::{SessionWindows, TimeWindows};

/// A stream grouped by key. Records with a null key or value are dropped and counted when they are aggregated.
///
/// ```
/// use headwater::{Materialized, StreamsBuilder};
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, i64>("amounts").group_by_key().reduce(|sum, amount| sum + amount).to_stream().to("sums");
/// assert!(builder.build().unwrap().describe().contains("KSTREAM-REDUCE-0000000002"));
/// ```
pub struct KGroupedStream<K, V> {
    pub(crate) stream: KStream<K, V>,
    pub(crate) name: Option<String>,
    pub(crate) keys: SharedSerde<K>,
    pub(crate) values: SharedSerde<V>,
}

/// Names and serdes of an aggregation, found before it is drawn.
pub(crate) struct Naming<K, A> {
    pub(crate) name: String,
    pub(crate) store: String,
    pub(crate) generated: bool,
    pub(crate) parent: NodeId,
    pub(crate) keys: SharedSerde<K>,
    pub(crate) aggregates: SharedSerde<A>,
}

impl<K: HasSerde, V: HasSerde> KGroupedStream<K, V> {
    pub(crate) fn draft(&self) -> &Draft {
        &self.stream.draft
    }

    /// Store, operator and repartition topic get their names in Kafka Streams' order. A count without a named store
    /// uses one number more: Kafka Streams does so for old times' sake, and the numbers after it have to match.
    pub(crate) fn naming<A: HasSerde>(
        &self,
        prefix: &str,
        materialized: Materialized<K, A>,
        burn: bool,
    ) -> Naming<K, A> {
        let draft = self.draft();
        let Materialized { name, keys, values, .. } = materialized;
        let generated = name.is_none();
        if burn && generated {
            draft.edit(|graph| graph.next_name(""));
        }
        let store = draft.name(name, &format!("{prefix}STATE-STORE-"));
        let name = self.stream.name(prefix);
        let keys = keys.unwrap_or_else(|| Arc::clone(&self.keys));
        let base = self.name.clone().unwrap_or_else(|| store.clone());
        let parent = self.stream.partitioned(&base, &keys, &self.values);
        Naming { name, store, generated, parent, keys, aggregates: serde_or_usual(&values) }
    }

    /// Number of records of each key.
    pub fn count(&self) -> KTable<K, i64> {
        self.count_with(Materialized::default())
    }

    /// As [`KGroupedStream::count`], with options.
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        let naming = self.naming("KSTREAM-AGGREGATE-", materialized, true);
        self.draw(naming, counter())
    }

    /// Combines the values of each key; the first one is the beginning.
    pub fn reduce(&self, reducer: impl Fn(V, V) -> V + Send + Sync + 'static) -> KTable<K, V> {
        self.reduce_with(reducer, Materialized::default())
    }

    /// As [`KGroupedStream::reduce`], with options.
    pub fn reduce_with(
        &self,
        reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        let naming = self.naming("KSTREAM-REDUCE-", materialized, false);
        self.draw(naming, reducing(reducer))
    }

    /// Aggregates the values of each key, beginning with what `initializer` makes.
    pub fn aggregate<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> KTable<K, A> {
        self.aggregate_with(initializer, aggregator, Materialized::default())
    }

    /// As [`KGroupedStream::aggregate`], with options.
    pub fn aggregate_with<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let naming = self.naming("KSTREAM-AGGREGATE-", materialized, false);
        self.draw(naming, aggregating(initializer, aggregator))
    }

    /// In tumbling or hopping windows.
    pub fn windowed_by(self, windows: TimeWindows) -> TimeWindowedKStream<K, V> {
        self.draft().mistake(windows.validate());
        TimeWindowedKStream::new(self, windows)
    }

    /// In sessions.
    pub fn windowed_by_session(self, windows: SessionWindows) -> SessionWindowedKStream<K, V> {
        self.draft().mistake(windows.validate());
        SessionWindowedKStream::new(self, windows)
    }

    fn draw<A: HasSerde>(&self, naming: Naming<K, A>, add: impl Adder<K, V, A>) -> KTable<K, A> {
        let add = Arc::new(add);
        let Naming { name, store, generated, parent, keys, aggregates } = naming;
        let draft = self.draft();
        let send_old = Arc::new(AtomicBool::new(false));
        let (flag, store_name, node_name) = (Arc::clone(&send_old), store.clone(), name.clone());
        let (store_keys, store_values, values) =
            (Arc::clone(&keys), Arc::clone(&aggregates), Arc::clone(&self.values));
        let node = draft.operator::<K, V, _, _>(name, &[parent], move |assembly, node| {
            let (keys, values_of_store) = (Arc::clone(&store_keys), Arc::clone(&store_values));
            Ok(Aggregate {
                nulls: Nulls {
                    node: node_name.clone(),
                    keys: NullTest::of(&store_keys),
                    values: NullTest::of(&values),
                },
                add: Arc::clone(&add),
                aggregates: NullTest::of(&store_values),
                store: assembly
                    .store(&store_name, |shelf| KeyValueStore::open(shelf, keys, values_of_store))?,
                run: KeyRun::default(),
                send_old: flag.load(Ordering::SeqCst),
                out: Exit::new(assembly.outlet(node)),
            })
        });
        draft.edit(|graph| {
            graph.add_store(node, StoreNode { name: store.clone(), kind: StoreKind::KeyValue, generated })
        });
        let lookup = stored_lookup(store.clone(), &keys, &aggregates);
        KTable::new(draft.clone(), node, kept_access(store, send_old, lookup))
            .with_serdes(Some(keys), Some(aggregates))
    }
}

type MakeLookup<K, A> =
    Arc<dyn Fn(&mut crate::operator::Assembly) -> crate::error::Result<Box<dyn Lookup<K, A>>> + Send + Sync>;

/// Access to a table whose rows are always kept.
pub(crate) fn kept_access<K, A>(
    store: String,
    send_old: Arc<AtomicBool>,
    lookup: MakeLookup<K, A>,
) -> TableAccess<K, A> {
    TableAccess {
        keep: Arc::new(move || vec![store.clone()]),
        send_old: Arc::new(move || send_old.store(true, Ordering::SeqCst)),
        lookup,
    }
}

/// Counts, whatever the values are.
pub(crate) fn counter<K, V>() -> impl Fn(&K, V, Option<i64>) -> i64 + Send + Sync + 'static {
    |_, _, count| count.unwrap_or(0) + 1
}

/// Reduces: the first value is the beginning.
pub(crate) fn reducing<K, V>(
    reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
) -> impl Fn(&K, V, Option<V>) -> V + Send + Sync + 'static {
    move |_, value, reduced| match reduced {
        Some(reduced) => reducer(reduced, value),
        None => value,
    }
}

/// Aggregates, beginning with what the initializer makes.
pub(crate) fn aggregating<K, V, A>(
    initializer: impl Fn() -> A + Send + Sync + 'static,
    aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
) -> impl Fn(&K, V, Option<A>) -> A + Send + Sync + 'static {
    move |key, value, aggregate| aggregator(key, value, aggregate.unwrap_or_else(&initializer))
}
