//! Tables of a pipeline.

use std::rc::Rc;

use headwater::{Consumed, Grouped, KGroupedTable, KTable, StreamsBuilder, Windowed};

use super::Trouble;
use super::case::Topic;
use super::function::{Predicate, Reducer};
use super::handle::{Aggregation, Handle, Made, Regroup, Step, Table, TableGroup, Typed, kept};
use super::stream::{Row, RowStream, StreamKey};
use super::value::{Cell, Key, KeyKind, Kind, Val};

/// A table whose keys are `K` and whose rows are `T`.
pub(super) struct RowTable<K, T> {
    pub(super) table: KTable<K, T>,
    pub(super) keys: KeyKind,
    pub(super) values: Kind,
}

/// The table of a topic.
pub(super) fn source(builder: &StreamsBuilder, name: &str, topic: &Topic, store: Option<&str>) -> Made {
    let (keys, values) = topic.kinds()?;
    match keys {
        KeyKind::Plain(_) => open::<Val>(builder, name, (keys, values), store),
        KeyKind::Window(..) | KeyKind::Session(_) => {
            open::<Windowed<Val>>(builder, name, (keys, values), store)
        }
    }
}

fn open<K: StreamKey>(
    builder: &StreamsBuilder,
    name: &str,
    (keys, values): (KeyKind, Kind),
    store: Option<&str>,
) -> Made {
    let (key_serde, value_serde) = (K::key_serde(keys)?, Val::value_serde(values));
    let options = store.map(|store| kept(Some(store), &key_serde, &value_serde));
    let table = builder.table_with(name, Consumed::with(key_serde, value_serde), options);
    Ok(Handle::table(RowTable { table, keys, values }))
}

impl<K: StreamKey, T: Row> Table for RowTable<K, T> {
    fn filter(&self, predicate: Predicate, not: bool, store: Option<&str>) -> Made {
        let (keys, values) = (K::key_serde(self.keys)?, T::value_serde(self.values));
        let options = store.map(|store| kept(Some(store), &keys, &values));
        let table = self.table.filter_with(move |_, value| predicate.holds(&value.val()) != not, options);
        Ok(Handle::table(Self { table, ..*self }))
    }

    fn map_values(&self, function: Typed, store: Option<&str>) -> Made {
        let Typed { function, kind } = function;
        let values = kind.map_or_else(|| function.kind(self.keys, self.values), Ok)?;
        let keys = K::key_serde(self.keys)?;
        let options = store.map(|store| kept(Some(store), &keys, &Val::value_serde(values)));
        let map = move |key: &K, value: &T| function.apply(key, &value.val());
        let table = self.table.map_values_with(map, options);
        Ok(Handle::table(RowTable { table, keys: self.keys, values }))
    }

    fn to_stream(&self) -> Handle {
        let stream = self.table.to_stream();
        Handle::stream(RowStream { stream, keys: self.keys, values: self.values })
    }

    fn group_by(&self, by: Regroup) -> Made {
        let kind_of =
            |typed: &Typed| typed.kind.map_or_else(|| typed.function.kind(self.keys, self.values), Ok);
        let (keys, values) = (kind_of(&by.key)?, kind_of(&by.value)?);
        let Regroup { key, value, drop_key } = by;
        let select = move |old: &K, row: &T| {
            let row = row.val();
            let key = key.function.apply(old, &row);
            let dropped = drop_key.as_ref().is_some_and(|dropped| *dropped == key.to_string());
            (if dropped { Val::Null } else { key }, value.function.apply(old, &row))
        };
        let keys = KeyKind::Plain(keys);
        let options = Grouped::with(Val::key_serde(keys)?, Val::value_serde(values));
        let grouped = self.table.group_by_with(select, options);
        Ok(Handle::TableGroup(Rc::new(RowGroup { grouped, keys, values })))
    }
}

/// A table grouped by a plain key.
struct RowGroup<K, T> {
    grouped: KGroupedTable<K, T, Val, Val>,
    keys: KeyKind,
    values: Kind,
}

impl<K: StreamKey, T: Row> TableGroup for RowGroup<K, T> {
    fn aggregate(&self, how: Aggregation) -> Made {
        let Aggregation { store, step } = how;
        let (keys, store) = (self.keys, store.as_deref());
        let key_serde = Val::key_serde(keys)?;
        let subtractor = |sub: Option<Reducer>| {
            sub.ok_or_else(|| Trouble::failed("grouping a table needs the field `sub`".to_owned()))
        };
        match step {
            Step::Count => {
                let table = self.grouped.count_with(kept(store, &key_serde, &i64::value_serde(Kind::Long)));
                Ok(Handle::table(RowTable { table, keys, values: Kind::Long }))
            }
            Step::Reduce(add, sub) => {
                let sub = subtractor(sub)?;
                let options = kept(store, &key_serde, &Val::value_serde(self.values));
                let add = move |one, other| add.combine(one, other);
                let table = self.grouped.reduce_with(add, move |one, other| sub.combine(one, other), options);
                Ok(Handle::table(RowTable { table, keys, values: self.values }))
            }
            Step::Aggregate(fold) => {
                let (sub, values) = (subtractor(fold.sub)?, fold.kind.unwrap_or(self.values));
                let options = kept(store, &key_serde, &Val::value_serde(values));
                let (init, add) = (fold.init, fold.add);
                let table = self.grouped.aggregate_with(
                    move || init.clone(),
                    move |_, value, aggregate| add.combine(aggregate, value),
                    move |_, value, aggregate| sub.combine(aggregate, value),
                    options,
                );
                Ok(Handle::table(RowTable { table, keys, values }))
            }
        }
    }
}
