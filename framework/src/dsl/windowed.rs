//! A grouped stream in tumbling or hopping windows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::grouped_stream::{Naming, aggregating, counter, kept_access, reducing};
use super::{KGroupedStream, KTable, Materialized, SharedSerde};
use crate::codec::{HasSerde, TimeWindowedSerde};
use crate::operator::{Adder, EmitPause, Exit, NullTest, Nulls, WindowAggregate};
use crate::record::Windowed;
use crate::state::{KeyRun, WindowStore};
use crate::topology::{StoreKind, StoreNode};
use crate::window::{EmitStrategy, TimeWindows};

/// A grouped stream in tumbling or hopping windows.
///
/// ```
/// use headwater::{Materialized, StreamsBuilder, TimeWindows};
/// use std::time::Duration;
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// let per_minute = clicks.windowed_by(TimeWindows::of_size_with_no_grace(Duration::from_secs(60)));
/// per_minute.count_with(Materialized::named("clicks-per-minute")).to_stream().to("counts");
/// assert!(builder.build().unwrap().describe().contains("(stores: [clicks-per-minute])"));
/// ```
pub struct TimeWindowedKStream<K, V> {
    grouped: KGroupedStream<K, V>,
    windows: TimeWindows,
    emit: EmitStrategy,
}

impl<K: HasSerde, V: HasSerde> TimeWindowedKStream<K, V> {
    pub(crate) fn new(grouped: KGroupedStream<K, V>, windows: TimeWindows) -> Self {
        Self { grouped, windows, emit: EmitStrategy::OnWindowUpdate }
    }

    /// When results are told: after every record (as it is without this), or once when the window closes.
    #[must_use]
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        Self { emit, ..self }
    }

    /// Number of records of each key and window.
    pub fn count(&self) -> KTable<Windowed<K>, i64> {
        self.count_with(Materialized::default())
    }

    /// As [`TimeWindowedKStream::count`], with options.
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        let retention = self.retention_ms(&materialized);
        let naming = self.grouped.naming("KSTREAM-AGGREGATE-", materialized, true);
        self.draw(naming, retention, counter())
    }

    /// Combines the values of each key and window; the first one is the beginning.
    pub fn reduce(&self, reducer: impl Fn(V, V) -> V + Send + Sync + 'static) -> KTable<Windowed<K>, V> {
        self.reduce_with(reducer, Materialized::default())
    }

    /// As [`TimeWindowedKStream::reduce`], with options.
    pub fn reduce_with(
        &self,
        reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<Windowed<K>, V> {
        let retention = self.retention_ms(&materialized);
        let naming = self.grouped.naming("KSTREAM-REDUCE-", materialized, false);
        self.draw(naming, retention, reducing(reducer))
    }

    /// Aggregates the values of each key and window, beginning with what `initializer` makes.
    pub fn aggregate<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        self.aggregate_with(initializer, aggregator, Materialized::default())
    }

    /// As [`TimeWindowedKStream::aggregate`], with options.
    pub fn aggregate_with<A: HasSerde>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let retention = self.retention_ms(&materialized);
        let naming = self.grouped.naming("KSTREAM-AGGREGATE-", materialized, false);
        self.draw(naming, retention, aggregating(initializer, aggregator))
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
        add: impl Adder<K, V, A>,
    ) -> KTable<Windowed<K>, A> {
        let add = Arc::new(add);
        let Naming { name, store, generated, parent, keys, aggregates } = naming;
        // Kafka Streams keeps windows that are told when they close a millisecond longer: a window without grace closes
        // with the very record that would make it go.
        let kept_ms = retention_ms.saturating_add(i64::from(self.emit == EmitStrategy::OnWindowClose));
        let (draft, windows, emit) = (self.grouped.draft(), self.windows, self.emit);
        let send_old = Arc::new(AtomicBool::new(false));
        let (flag, store_name, node_name) = (Arc::clone(&send_old), store.clone(), name.clone());
        let (store_keys, store_values) = (Arc::clone(&keys), Arc::clone(&aggregates));
        let node = draft.operator::<K, V, _, _>(name, &[parent], move |assembly, node| {
            let (keys, values) = (Arc::clone(&store_keys), Arc::clone(&store_values));
            let nulls =
                Nulls { node: node_name.clone(), keys: NullTest::of(&keys), values: NullTest::never() };
            let aggregates = NullTest::of(&values);
            let store =
                assembly.store(&store_name, |shelf| WindowStore::open(shelf, keys, values, kept_ms))?;
            if emit == EmitStrategy::OnWindowClose {
                // Nothing is dropped before it is known what was told already.
                store.borrow_mut().keep_from(0);
            }
            Ok(WindowAggregate {
                windows,
                emit,
                pause: EmitPause::new(assembly.setup().emit_interval_ms),
                nulls,
                add: Arc::clone(&add),
                aggregates,
                store,
                stream_time: assembly.time(&format!("{node_name}-stream-time")),
                emitted: assembly.time(&store_name),
                run: KeyRun::default(),
                send_old: flag.load(Ordering::SeqCst),
                out: Exit::new(assembly.outlet(node)),
            })
        });
        let kind = StoreKind::Window(retention_ms);
        draft.edit(|graph| graph.add_store(node, StoreNode { name: store.clone(), kind, generated }));
        let windowed = TimeWindowedSerde::new(Arc::clone(&keys), self.windows.size_ms());
        let windowed: SharedSerde<Windowed<K>> = Arc::new(windowed);
        let (lookup_store, lookup_values) = (store.clone(), Arc::clone(&aggregates));
        let access = kept_access(
            store,
            send_old,
            Arc::new(move |assembly| {
                let (keys, values) = (Arc::clone(&keys), Arc::clone(&lookup_values));
                Ok(Box::new(
                    assembly.store(&lookup_store, |shelf| WindowStore::open(shelf, keys, values, kept_ms))?,
                ))
            }),
        );
        KTable::new(draft.clone(), node, access).with_serdes(Some(windowed), Some(aggregates))
    }
}
