//! What a step of a pipeline made: a stream, a table, or something grouped. The DSL's types are behind traits here,
//! one implementation per combination of key and value that pipelines can reach.

use std::any::Any;
use std::rc::Rc;

use headwater::{EmitStrategy, Materialized, SessionWindows, TimeWindows};

use super::Trouble;
use super::case::Topic;
use super::function::{Function, Joiner, Predicate, Reducer};
use super::value::{Kind, Shared, Val};

/// A result.
pub(super) type Made<T = Handle> = Result<T, Trouble>;

/// What a step made.
#[derive(Clone)]
pub(super) enum Handle {
    /// A stream.
    Stream(Rc<dyn Stream>),
    /// A table.
    Table(Rc<dyn Table>),
    /// A stream grouped by key.
    Group(Rc<dyn Stream>),
    /// A grouped stream in windows.
    Windows(Rc<dyn Stream>, Windows),
    /// A table grouped by another key.
    TableGroup(Rc<dyn TableGroup>),
}

/// Windows, and when they tell their results.
#[derive(Clone, Copy, Debug)]
pub(super) enum Windows {
    /// Tumbling or hopping.
    Time(TimeWindows, EmitStrategy),
    /// Sessions.
    Session(SessionWindows, EmitStrategy),
}

/// A function with the type of its results.
#[derive(Clone)]
pub(super) struct Typed {
    /// The function.
    pub(super) function: Function,
    /// The type of the results, where the pipeline names one.
    pub(super) kind: Option<Kind>,
}

/// How groups are aggregated.
#[derive(Clone)]
pub(super) struct Aggregation {
    /// The store's name, where the pipeline gives one.
    pub(super) store: Option<String>,
    /// What is done.
    pub(super) step: Step,
}

/// What is done with the values of a group.
#[derive(Clone)]
pub(super) enum Step {
    /// They are counted.
    Count,
    /// They are combined; the second reducer takes a value back.
    Reduce(Reducer, Option<Reducer>),
    /// They are aggregated.
    Aggregate(Fold),
}

/// An aggregation with a beginning.
#[derive(Clone)]
pub(super) struct Fold {
    pub(super) init: Val,
    pub(super) add: Reducer,
    pub(super) sub: Option<Reducer>,
    pub(super) merge: Option<Reducer>,
    /// The aggregates' type; `None`: that of the values.
    pub(super) kind: Option<Kind>,
}

/// How a table's rows are grouped.
pub(super) struct Regroup {
    pub(super) key: Typed,
    pub(super) value: Typed,
    /// The key, as text, whose rows are in no group.
    pub(super) drop_key: Option<String>,
}

/// A stream.
pub(super) trait Stream: Any {
    fn filter(&self, predicate: Predicate, not: bool) -> Handle;
    fn map(&self, key: Typed, value: Typed) -> Made;
    fn map_values(&self, function: Typed) -> Made;
    fn select_key(&self, function: Typed) -> Made;
    fn repartition(&self) -> Made;
    fn to_table(&self, store: Option<&str>) -> Made;
    fn merge(&self, other: &dyn Stream) -> Made;
    fn join(&self, table: &dyn Table, joiner: Joiner, left: bool) -> Made;
    fn aggregate(&self, how: Aggregation, windows: Option<Windows>) -> Made;
    fn to(&self, name: &str, topic: &Topic) -> Made<()>;
}

/// A table.
pub(super) trait Table: Any {
    fn filter(&self, predicate: Predicate, not: bool, store: Option<&str>) -> Made;
    fn map_values(&self, function: Typed, store: Option<&str>) -> Made;
    fn to_stream(&self) -> Handle;
    fn group_by(&self, by: Regroup) -> Made;
}

/// A table grouped by another key.
pub(super) trait TableGroup {
    fn aggregate(&self, how: Aggregation) -> Made;
}

impl Handle {
    pub(super) fn stream(stream: impl Stream) -> Self {
        Self::Stream(Rc::new(stream))
    }

    pub(super) fn table(table: impl Table) -> Self {
        Self::Table(Rc::new(table))
    }
}

/// How rows are kept: with these serdes, under a name of the pipeline's if it gives one.
pub(super) fn kept<K, V>(store: Option<&str>, keys: &Shared<K>, values: &Shared<V>) -> Materialized<K, V>
where
    K: 'static,
    V: 'static,
{
    let (keys, values) = (Shared::clone(keys), Shared::clone(values));
    match store {
        Some(store) => Materialized::named(store).with_key_serde(keys).with_value_serde(values),
        None => Materialized::with(keys, values),
    }
}
