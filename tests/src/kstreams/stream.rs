//! Streams of a pipeline.

use std::any::Any;

use headwater::codec::Nullable;
use headwater::{
    Consumed, Grouped, Joined, KGroupedStream, KStream, KTable, Produced, Repartitioned, StreamsBuilder,
    Windowed,
};

use super::Trouble;
use super::case::Topic;
use super::function::{Function, Joiner, Predicate, Reducer};
use super::handle::{Aggregation, Fold, Handle, Made, Step, Stream, Table, Typed, Windows, kept};
use super::table::RowTable;
use super::value::{Cell, Key, KeyKind, Kind, Shared, Val};

/// A stream whose keys are `K` and whose values are `T` or null.
pub(super) struct RowStream<K, T> {
    pub(super) stream: KStream<K, Option<T>>,
    pub(super) keys: KeyKind,
    pub(super) values: Kind,
}

/// The stream of a topic.
pub(super) fn source(builder: &StreamsBuilder, name: &str, topic: &Topic) -> Made {
    let (keys, values) = topic.kinds()?;
    match keys {
        KeyKind::Plain(_) => open::<Val>(builder, name, (keys, values)),
        KeyKind::Window(..) | KeyKind::Session(_) => open::<Windowed<Val>>(builder, name, (keys, values)),
    }
}

fn open<K: StreamKey>(builder: &StreamsBuilder, name: &str, (keys, values): (KeyKind, Kind)) -> Made {
    let consumed = Consumed::with(K::key_serde(keys)?, Nullable(Val::value_serde(values)));
    let stream = builder.stream_with::<K, Option<Val>>(name, consumed);
    Ok(Handle::stream(RowStream { stream, keys, values }))
}

/// Keys whose streams can be aggregated.
pub(super) trait StreamKey: Key {
    /// Aggregates in windows.
    fn aggregate_windows<T: Row>(group: Group<Self, T>, windows: Windows, how: Aggregation) -> Made;
}

/// Values of tables that can become streams and tables again. A table of a table's changes holds one `Option` more;
/// pipelines go no deeper than there are types here.
pub(super) trait Row: Cell {
    /// A table of values that may be null.
    fn nested<K: StreamKey>(table: KTable<K, Option<Self>>, kinds: (KeyKind, Kind)) -> Made;
}

macro_rules! rows {
    ($($row:ty: $nested:expr;)*) => {
        $(impl Row for $row {
            fn nested<K: StreamKey>(table: KTable<K, Option<Self>>, kinds: (KeyKind, Kind)) -> Made {
                let nested: fn(KTable<K, Option<Self>>, (KeyKind, Kind)) -> Made = $nested;
                nested(table, kinds)
            }
        })*
    };
}

rows! {
    Val: |table, (keys, values)| Ok(Handle::table(RowTable { table, keys, values }));
    i64: |table, (keys, values)| Ok(Handle::table(RowTable { table, keys, values }));
    Option<Val>: |_, _| Err(too_deep());
    Option<i64>: |_, _| Err(too_deep());
}

fn too_deep() -> Trouble {
    Trouble::unsupported("a table made of a table's stream more than once".to_owned())
}

/// A grouped stream.
pub(super) struct Group<K, T> {
    grouped: KGroupedStream<K, Option<T>>,
    keys: KeyKind,
    values: Kind,
}

impl<K: StreamKey, T: Row> RowStream<K, T> {
    fn key_serde(&self) -> Made<Shared<K>> {
        K::key_serde(self.keys)
    }

    fn value_serde(&self) -> Nullable<Shared<T>> {
        Nullable(T::value_serde(self.values))
    }

    fn group(&self) -> Made<Group<K, T>> {
        let grouped = self.stream.group_by_key_with(Grouped::with(self.key_serde()?, self.value_serde()));
        Ok(Group { grouped, keys: self.keys, values: self.values })
    }

    /// The same stream under other keys, if `function` makes plain ones.
    fn under(&self, function: &Typed) -> Made<KeyKind> {
        let kind = function.function.kind(self.keys, self.values);
        Ok(match (&function.function, self.keys) {
            (Function::Key, keys) => keys,
            (_, _) => KeyKind::Plain(function.kind.map_or(kind, Ok)?),
        })
    }

    fn join_row<R: Row>(&self, table: &RowTable<K, R>, joiner: Joiner, left: bool) -> Made {
        let joined = Joined::with(self.key_serde()?, self.value_serde());
        let stream = if left {
            let join = move |_: &K, value: Option<T>, row: Option<&R>| {
                Some(joiner.join(&value.val(), &row.map_or(Val::Null, Cell::val)))
            };
            self.stream.left_join_with(&table.table, join, joined)
        } else {
            let join = move |_: &K, value: Option<T>, row: &R| Some(joiner.join(&value.val(), &row.val()));
            self.stream.join_with(&table.table, join, joined)
        };
        Ok(Handle::stream(RowStream { stream, keys: self.keys, values: Kind::Text }))
    }
}

impl<K: StreamKey, T: Row> Stream for RowStream<K, T> {
    fn filter(&self, predicate: Predicate, not: bool) -> Handle {
        let stream = if not {
            self.stream.filter_not(move |_, value| predicate.holds(&value.val()))
        } else {
            self.stream.filter(move |_, value| predicate.holds(&value.val()))
        };
        Handle::stream(Self { stream, ..*self })
    }

    fn map(&self, key: Typed, value: Typed) -> Made {
        let values = value.kind.map_or_else(|| value.function.kind(self.keys, self.values), Ok)?;
        let keys = self.under(&key)?;
        let (key, value) = (key.function, value.function);
        if key == Function::Key {
            let stream = self.stream.map(move |key, old| {
                let new = Val::of(value.apply(&key, &old.val()));
                (key, new)
            });
            return Ok(Handle::stream(RowStream { stream, keys, values }));
        }
        let stream = self.stream.map(move |old_key, old| {
            let old = old.val();
            (key.apply(&old_key, &old), Val::of(value.apply(&old_key, &old)))
        });
        Ok(Handle::stream(RowStream { stream, keys, values }))
    }

    fn map_values(&self, function: Typed) -> Made {
        let Typed { function, kind } = function;
        let values = kind.map_or_else(|| function.kind(self.keys, self.values), Ok)?;
        let stream =
            self.stream.map_values_with_key(move |key, value| Val::of(function.apply(key, &value.val())));
        Ok(Handle::stream(RowStream { stream, keys: self.keys, values }))
    }

    fn select_key(&self, function: Typed) -> Made {
        let (keys, values) = (self.under(&function)?, self.values);
        let function = function.function;
        if function == Function::Key {
            let stream = self.stream.select_key(|key, _| key.clone());
            return Ok(Handle::stream(Self { stream, keys, values }));
        }
        let stream = self.stream.select_key(move |key, value| function.apply(key, &value.val()));
        Ok(Handle::stream(RowStream { stream, keys, values }))
    }

    fn repartition(&self) -> Made {
        let options = Repartitioned::with(self.key_serde()?, self.value_serde());
        Ok(Handle::stream(Self { stream: self.stream.repartition_with(options), ..*self }))
    }

    fn to_table(&self, store: Option<&str>) -> Made {
        let options = kept(store, &self.key_serde()?, &Option::value_serde(self.values));
        // Only a named store has to be there in any case.
        let table = match store {
            Some(_) => self.stream.to_table_with(Some(options)),
            None => self.stream.to_table(),
        };
        T::nested(table, (self.keys, self.values))
    }

    fn merge(&self, other: &dyn Stream) -> Made {
        let other: &dyn Any = other;
        let other = other
            .downcast_ref::<Self>()
            .ok_or_else(|| Trouble::unsupported("merging streams of different types".to_owned()))?;
        Ok(Handle::stream(Self { stream: self.stream.merge(&other.stream), ..*self }))
    }

    fn join(&self, table: &dyn Table, joiner: Joiner, left: bool) -> Made {
        let table: &dyn Any = table;
        if let Some(table) = table.downcast_ref::<RowTable<K, Val>>() {
            return self.join_row(table, joiner, left);
        }
        if let Some(table) = table.downcast_ref::<RowTable<K, i64>>() {
            return self.join_row(table, joiner, left);
        }
        if let Some(table) = table.downcast_ref::<RowTable<K, Option<Val>>>() {
            return self.join_row(table, joiner, left);
        }
        if let Some(table) = table.downcast_ref::<RowTable<K, Option<i64>>>() {
            return self.join_row(table, joiner, left);
        }
        Err(Trouble::failed("stream and table have keys of different types".to_owned()))
    }

    fn aggregate(&self, how: Aggregation, windows: Option<Windows>) -> Made {
        let group = self.group()?;
        match windows {
            None => group.aggregate(how),
            Some(windows) => K::aggregate_windows(group, windows, how),
        }
    }

    fn to(&self, name: &str, topic: &Topic) -> Made<()> {
        let (keys, values) = topic.kinds()?;
        let produced = Produced::with(K::key_serde(keys)?, Nullable(T::value_serde(values)));
        self.stream.to_with(name, produced);
        Ok(())
    }
}

/// A reducer in the DSL's types.
fn reducing<T: Cell>(reducer: Reducer) -> impl Fn(Option<T>, Option<T>) -> Option<T> + Send + Sync {
    move |one, other| T::of(reducer.combine(one.val(), other.val()))
}

impl Fold {
    /// The parts that aggregating a stream needs: beginning, adder, and the aggregates' type.
    fn parts<K, T: Cell>(
        &self,
        values: Kind,
    ) -> (
        impl Fn() -> Val + Send + Sync + use<K, T>,
        impl Fn(&K, T, Val) -> Val + Send + Sync + use<K, T>,
        Kind,
    ) {
        let (init, add) = (self.init.clone(), self.add.clone());
        let add = move |_: &K, value: T, aggregate| add.combine(aggregate, value.val());
        (move || init.clone(), add, self.kind.unwrap_or(values))
    }
}

impl<K: StreamKey, T: Row> Group<K, T> {
    fn aggregate(self, how: Aggregation) -> Made {
        let Aggregation { store, step } = how;
        let (keys, store) = (self.keys, store.as_deref());
        let key_serde = K::key_serde(keys)?;
        match step {
            Step::Count => {
                let options = kept(store, &key_serde, &i64::value_serde(Kind::Long));
                let table = self.grouped.count_with(options);
                Ok(Handle::table(RowTable { table, keys, values: Kind::Long }))
            }
            Step::Reduce(add, _) => {
                let options = kept(store, &key_serde, &Option::value_serde(self.values));
                let table = self.grouped.reduce_with(reducing(add), options);
                T::nested(table, (keys, self.values))
            }
            Step::Aggregate(fold) => {
                let (init, add, values) = fold.parts(self.values);
                let options = kept(store, &key_serde, &Val::value_serde(values));
                let table = self.grouped.aggregate_with(init, add, options);
                Ok(Handle::table(RowTable { table, keys, values }))
            }
        }
    }
}

impl StreamKey for Windowed<Val> {
    fn aggregate_windows<T: Row>(_group: Group<Self, T>, _windows: Windows, _how: Aggregation) -> Made {
        Err(Trouble::unsupported("windows of windows".to_owned()))
    }
}

impl StreamKey for Val {
    fn aggregate_windows<T: Row>(group: Group<Self, T>, windows: Windows, how: Aggregation) -> Made {
        match windows {
            Windows::Time(..) => aggregate_time_windows(group, windows, how),
            Windows::Session(..) => aggregate_sessions(group, windows, how),
        }
    }
}

fn aggregate_time_windows<T: Row>(group: Group<Val, T>, windows: Windows, how: Aggregation) -> Made {
    let Windows::Time(windows, emit) = windows else { return Err(wrong_windows()) };
    let keys = KeyKind::Window(group.keys.inner(), windows.size_ms());
    let key_serde = Val::key_serde(group.keys)?;
    let windowed = group.grouped.windowed_by(windows).emit_strategy(emit);
    let store = how.store.as_deref();
    match how.step {
        Step::Count => {
            let options = kept(store, &key_serde, &i64::value_serde(Kind::Long));
            let table = windowed.count_with(options);
            Ok(Handle::table(RowTable { table, keys, values: Kind::Long }))
        }
        Step::Reduce(add, _) => {
            let options = kept(store, &key_serde, &Option::value_serde(group.values));
            T::nested(windowed.reduce_with(reducing(add), options), (keys, group.values))
        }
        Step::Aggregate(fold) => {
            let (init, add, values) = fold.parts(group.values);
            let table =
                windowed.aggregate_with(init, add, kept(store, &key_serde, &Val::value_serde(values)));
            Ok(Handle::table(RowTable { table, keys, values }))
        }
    }
}

fn aggregate_sessions<T: Row>(group: Group<Val, T>, windows: Windows, how: Aggregation) -> Made {
    let Windows::Session(windows, emit) = windows else { return Err(wrong_windows()) };
    let keys = KeyKind::Session(group.keys.inner());
    let key_serde = Val::key_serde(group.keys)?;
    let windowed = group.grouped.windowed_by_session(windows).emit_strategy(emit);
    let store = how.store.as_deref();
    match how.step {
        Step::Count => {
            let options = kept(store, &key_serde, &i64::value_serde(Kind::Long));
            let table = windowed.count_with(options);
            Ok(Handle::table(RowTable { table, keys, values: Kind::Long }))
        }
        Step::Reduce(add, _) => {
            let options = kept(store, &key_serde, &Option::value_serde(group.values));
            T::nested(windowed.reduce_with(reducing(add), options), (keys, group.values))
        }
        Step::Aggregate(fold) => {
            let (init, add, values) = fold.parts(group.values);
            let merge = fold
                .merge
                .ok_or_else(|| Trouble::failed("aggregating sessions needs the field `merge`".to_owned()))?;
            let merge = move |_: &Val, one, other| merge.combine(one, other);
            let options = kept(store, &key_serde, &Val::value_serde(values));
            let table = windowed.aggregate_with(init, add, merge, options);
            Ok(Handle::table(RowTable { table, keys, values }))
        }
    }
}

fn wrong_windows() -> Trouble {
    Trouble::failed("these windows are of another kind".to_owned())
}
