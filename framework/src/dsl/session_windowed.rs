//! A grouped stream in sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::grouped_stream::{Naming, aggregating, counter, kept_access, reducing};
use super::{KGroupedStream, KTable, Materialized, SharedSerde};
use crate::codec::{HasSerde, SessionWindowedSerde};
use crate::operator::{AnyAdder, EmitPause, NullTest, Nulls, SessionAggregate, SessionMerger};
use crate::record::Windowed;
use crate::state::SessionStore;
use crate::topology::{StoreKind, StoreNode};
use crate::window::{EmitStrategy, SessionWindows};

/// A grouped stream in sessions. A session that grows is deleted under its old bounds and told under its new ones.
///
/// ```
/// use headwater::{SessionWindows, StreamsBuilder};
/// use std::time::Duration;
/// let builder = StreamsBuilder::new();
/// let visits = builder.stream::<String, String>("clicks").group_by_key();
/// let visits = visits.windowed_by_session(SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(1800)));
/// visits.count().to_stream().to("visits");
/// assert!(builder.build().is_ok());
/// ```
pub struct SessionWindowedKStream<K, V> {
    grouped: KGroupedStream<K, V>,
    windows: SessionWindows,
    emit: EmitStrategy,
}

/// What an aggregation of sessions does with values and with each other's aggregates.
struct Functions<K, V, A> {
    add: AnyAdder<K, V, A>,
    merge: SessionMerger<K, A>,
}

impl<K: HasSerde, V: HasSerde> SessionWindowedKStream<K, V> {
    pub(crate) fn new(grouped: KGroupedStream<K, V>, windows: SessionWindows) -> Self {
        Self { grouped, windows, emit: EmitStrategy::OnWindowUpdate }
    }

    /// When results are told: after every record (as it is without this), or once when the session closes.
    #[must_use]
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        Self { emit, ..self }
    }

    /// Number of records of each key and session.
    pub fn count(&self) -> KTable<Windowed<K>, i64> {
        self.count_with(Materialized::default())
    }

    /// As [`SessionWindowedKStream::count`], with options.
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        let merge: SessionMerger<K, i64> = Arc::new(|_, one, other| one.unwrap_or(0) + other);
        let retention = self.retention_ms(&materialized);
        let naming = self.grouped.naming("KSTREAM-AGGREGATE-", materialized, true);
        self.draw(naming, retention, Functions { add: Arc::new(counter()), merge })
    }

    /// Combines the values of each key and session; the first one is the beginning.
    pub fn reduce(&self, reducer: impl Fn(V, V) -> V + Send + Sync + 'static) -> KTable<Windowed<K>, V> {
        self.reduce_with(reducer, Materialized::default())
    }

    /// As [`SessionWindowedKStream::reduce`], with options.
    pub fn reduce_with(
        &self,
        reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<Windowed<K>, V> {
        let reducer = Arc::new(reducer);
        let merging = Arc::clone(&reducer);
        let merge: SessionMerger<K, V> = Arc::new(move |_, one, other| match one {
            Some(one) => merging(one, other),
            None => other,
        });
        let retention = self.retention_ms(&materialized);
        let naming = self.grouped.naming("KSTREAM-REDUCE-", materialized, false);
        self.draw(
            naming,
            retention,
            Functions { add: Arc::new(reducing(move |one, other| reducer(one, other))), merge },
        )
    }

    /// Aggregates the values of each key and session, beginning with what `initializer` makes; `merger` joins two
    /// sessions' aggregates (and the initial one with the first session's, as Kafka Streams does).
    pub fn aggregate<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        self.aggregate_with(initializer, aggregator, merger, Materialized::default())
    }

    /// As [`SessionWindowedKStream::aggregate`], with options.
    pub fn aggregate_with<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let initializer = Arc::new(initializer);
        let beginning = Arc::clone(&initializer);
        let merge: SessionMerger<K, A> =
            Arc::new(move |key, one, other| merger(key, one.unwrap_or_else(|| beginning()), other));
        let add = Arc::new(aggregating(move || initializer(), aggregator));
        let retention = self.retention_ms(&materialized);
        let naming = self.grouped.naming("KSTREAM-AGGREGATE-", materialized, false);
        self.draw(naming, retention, Functions { add, merge })
    }

    fn retention_ms<A>(&self, materialized: &Materialized<K, A>) -> i64 {
        let asked =
            materialized.retention.map_or(0, |asked| i64::try_from(asked.as_millis()).unwrap_or(i64::MAX));
        asked.max(self.windows.retention_ms())
    }

    fn draw<A: HasSerde>(
        &self,
        naming: Naming<K, A>,
        retention_ms: i64,
        functions: Functions<K, V, A>,
    ) -> KTable<Windowed<K>, A> {
        let Naming { name, store, generated, parent, keys, aggregates } = naming;
        let (draft, windows, emit) = (self.grouped.draft(), self.windows, self.emit);
        let send_old = Arc::new(AtomicBool::new(false));
        let (flag, store_name, node_name) = (Arc::clone(&send_old), store.clone(), name.clone());
        let (store_keys, store_values) = (Arc::clone(&keys), Arc::clone(&aggregates));
        let node = draft.operator::<K, V, _, _>(name, &[parent], move |assembly, node| {
            let (keys, values) = (Arc::clone(&store_keys), Arc::clone(&store_values));
            let (shelf_keys, shelf_values) = (Arc::clone(&keys), Arc::clone(&values));
            let store = assembly.store(&store_name, |shelf| {
                SessionStore::open(shelf, shelf_keys, shelf_values, retention_ms)
            })?;
            if emit == EmitStrategy::OnWindowClose {
                // Nothing is deleted before it is known what was told already.
                store.borrow_mut().keep_from(0);
            }
            Ok(SessionAggregate {
                windows,
                emit,
                pause: EmitPause::new(assembly.setup().emit_interval_ms),
                nulls: Nulls {
                    node: node_name.clone(),
                    keys: NullTest::of(&keys),
                    values: NullTest::never(),
                },
                add: Arc::clone(&functions.add),
                merge: Arc::clone(&functions.merge),
                aggregates: NullTest::of(&values),
                store,
                stream_time: assembly.time(&format!("{node_name}-stream-time")),
                emitted: assembly.time(&store_name),
                send_old: flag.load(Ordering::SeqCst),
                found: Vec::new(),
                gone: Vec::new(),
                out: assembly.outlet(node),
            })
        });
        let kind = StoreKind::Session(retention_ms);
        draft.edit(|graph| graph.add_store(node, StoreNode { name: store.clone(), kind, generated }));
        let windowed: SharedSerde<Windowed<K>> = Arc::new(SessionWindowedSerde::new(Arc::clone(&keys)));
        let (lookup_store, lookup_values) = (store.clone(), Arc::clone(&aggregates));
        let access =
            kept_access(
                store,
                send_old,
                Arc::new(move |assembly| {
                    let (keys, values) = (Arc::clone(&keys), Arc::clone(&lookup_values));
                    Ok(Box::new(assembly.store(&lookup_store, |shelf| {
                        SessionStore::open(shelf, keys, values, retention_ms)
                    })?))
                }),
            );
        KTable::new(draft.clone(), node, access).with_serdes(Some(windowed), Some(aggregates))
    }
}
