//! Mapping: turning a record into one, some or no other records.

use std::sync::Arc;

use super::{Change, Context, Outlet, Process, Stage};
use crate::codec::Serde;
use crate::error::{Error, Reaction, Result};
use crate::record::{Columns, Record};

/// Turns key and value into others.
pub struct Map<K, V, K2, V2> {
    /// The function.
    pub function: Arc<dyn Fn(K, V) -> (K2, V2) + Send + Sync>,
    /// Memory for mapped records.
    pub mapped: Columns<K2, V2>,
    /// Successors.
    pub out: Outlet<K2, V2>,
}

impl<K, V, K2: Clone, V2: Clone> Process<K, V> for Map<K, V, K2, V2> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let (key, value) = (self.function)(key, value);
        self.out.forward(context, Record { key, value, timestamp, headers })
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        self.mapped.clear();
        for (Record { key, value, timestamp, headers }, origin) in records.drain() {
            let (key, value) = (self.function)(key, value);
            self.mapped.push(Record { key, value, timestamp, headers }, origin);
        }
        self.out.forward_all(context, &mut self.mapped)
    }

    fn is_stateless(&self) -> bool {
        self.out.is_stateless()
    }
}

/// Turns the value into another; the key stays, and with it the partition.
pub struct MapValues<K, V, V2> {
    /// The function.
    pub function: Arc<dyn Fn(&K, V) -> V2 + Send + Sync>,
    /// Memory for mapped records.
    pub mapped: Columns<K, V2>,
    /// Successors.
    pub out: Outlet<K, V2>,
}

impl<K: Clone, V, V2: Clone> Process<K, V> for MapValues<K, V, V2> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let value = (self.function)(&key, value);
        self.out.forward(context, Record { key, value, timestamp, headers })
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        self.mapped.clear();
        records.map_values_into(&mut self.mapped, |key, value| (self.function)(key, value));
        self.out.forward_all(context, &mut self.mapped)
    }

    fn is_stateless(&self) -> bool {
        self.out.is_stateless()
    }
}

/// What a function that may fail gives back.
pub type Fallible<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Turns key and value into others, or fails: then the processing handler decides.
pub struct TryMap<K, V, K2, V2> {
    /// Name of the node, for the error.
    pub node: String,
    /// The function.
    pub function: Arc<dyn Fn(K, V) -> Fallible<(K2, V2)> + Send + Sync>,
    /// Successors.
    pub out: Outlet<K2, V2>,
}

impl<K, V, K2: Clone, V2: Clone> Process<K, V> for TryMap<K, V, K2, V2> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match (self.function)(key, value) {
            Ok((key, value)) => self.out.forward(context, Record { key, value, timestamp, headers }),
            Err(error) => {
                let error = Error::new(Reaction::Skip, "the function failed on this record").because(error);
                context.failed(Stage::Processing, &self.node, error)
            }
        }
    }
}

/// Turns a record into any number of records.
pub struct FlatMap<K, V, K2, V2> {
    /// Hands each new record to its last argument.
    pub function: Arc<FlatMapFn<K, V, K2, V2>>,
    /// Successors.
    pub out: Outlet<K2, V2>,
}

/// Shows each pair that comes of a record to the last argument, until that fails.
pub type FlatMapFn<K, V, K2, V2> =
    dyn Fn(K, V, &mut dyn FnMut(K2, V2) -> Result<()>) -> Result<()> + Send + Sync;

impl<K, V, K2: Clone, V2: Clone> Process<K, V> for FlatMap<K, V, K2, V2> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        (self.function)(key, value, &mut |key, value| {
            self.out.forward(context, Record { key, value, timestamp, headers: headers.clone() })
        })
    }
}

/// Turns the values of a table's rows into others; a row whose value becomes null is deleted.
pub struct TableMapValues<K, V, V2> {
    /// The function.
    pub function: Arc<dyn Fn(&K, &V) -> V2 + Send + Sync>,
    /// Tells which values are null.
    pub values: Arc<dyn Serde<V2>>,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Successors.
    pub out: Outlet<K, Change<V2>>,
}

impl<K: Clone, V, V2: Clone> Process<K, Change<V>> for TableMapValues<K, V, V2> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Change<V>>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let map = |value: Option<V>| {
            value.map(|value| (self.function)(&key, &value)).filter(|mapped| !self.values.is_null(mapped))
        };
        let old = if self.send_old { map(value.old) } else { None };
        let change = Change { new: map(value.new), old };
        self.out.forward(context, Record { key, value: change, timestamp, headers })
    }
}
