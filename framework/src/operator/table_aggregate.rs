//! Aggregating a table by another key: a row that changes leaves its old group and enters its new one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::aggregate::{AnyAdder, NullTest};
use super::{Change, Context, Outlet, Process};
use crate::codec::{Serde, SerdeError, change};
use crate::error::{Error, Reaction, Result};
use crate::record::Record;
use crate::state::KeyValueStore;

/// Gives each row its group's key: what was goes out, what is comes in. Key and value that are null belong to no group.
pub struct TableGroup<K, V, K2, V2> {
    /// Chooses group key and value.
    pub selector: Arc<dyn Fn(&K, &V) -> (K2, V2) + Send + Sync>,
    /// Tells null group keys, and whether two are the same.
    pub keys: Arc<dyn Serde<K2>>,
    /// Tells null values.
    pub values: Arc<dyn Serde<V2>>,
    /// Memory for two group keys.
    pub scratch: Vec<u8>,
    /// Successors.
    pub out: Outlet<K2, Change<V2>>,
}

impl<K, V, K2: Clone, V2: Clone> TableGroup<K, V, K2, V2> {
    fn select(&self, key: &K, value: Option<V>) -> Option<(K2, V2)> {
        let (key, value) = (self.selector)(key, &value?);
        (!self.keys.is_null(&key) && !self.values.is_null(&value)).then_some((key, value))
    }

    fn same(&mut self, one: &K2, other: &K2) -> bool {
        self.scratch.clear();
        let first = self.keys.serialize(one, &mut self.scratch);
        let split = self.scratch.len();
        let second = self.keys.serialize(other, &mut self.scratch);
        let (one, other) = self.scratch.split_at(split);
        first.is_ok() && second.is_ok() && one == other
    }
}

impl<K, V, K2: Clone, V2: Clone> Process<K, Change<V>> for TableGroup<K, V, K2, V2> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Change<V>>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let old = self.select(&key, value.old);
        let new = self.select(&key, value.new);
        let stays = matches!((&old, &new), (Some((old, _)), Some((new, _))) if self.same(old, new));
        let forward = |context: &mut Context<'_>, key: K2, change: Change<V2>| {
            self.out.forward(context, Record { key, value: change, timestamp, headers: headers.clone() })
        };
        match (old, new) {
            (Some((_, old)), Some((key, new))) if stays => {
                forward(context, key, Change { new: Some(new), old: Some(old) })
            }
            (old, new) => {
                if let Some((key, old)) = old {
                    forward(context, key, Change { new: None, old: Some(old) })?;
                }
                match new {
                    Some((key, new)) => forward(context, key, Change { new: Some(new), old: None }),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Takes a value out of an aggregate.
pub type Subtractor<K, V, A> = Arc<dyn Fn(&K, V, A) -> A + Send + Sync>;

/// One aggregate per group of a table's rows.
pub struct TableAggregate<K, V, A> {
    /// Name of the node.
    pub node: String,
    /// Adds a row to an aggregate.
    pub add: AnyAdder<K, V, A>,
    /// Takes a row out of an aggregate.
    pub subtract: Subtractor<K, V, A>,
    /// Tells which aggregates are null, which deletes them.
    pub aggregates: NullTest<A>,
    /// The aggregates.
    pub store: Rc<RefCell<KeyValueStore<K, A>>>,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Successors.
    pub out: Outlet<K, Change<A>>,
}

impl<K: Clone, V, A: Clone> Process<K, Change<V>> for TableAggregate<K, V, A> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Change<V>>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let (change, timestamp) = {
            let mut store = self.store.borrow_mut();
            let Some(slot) = store.slot(&key)? else {
                let message = "a grouped table's record has no key";
                return Err(Error::new(Reaction::Stop, message).at_node(&self.node));
            };
            let timestamp = timestamp.max(store.value(slot).map_or(-1, |_| store.timestamp(slot)));
            let before = store.take(slot);
            let told = !self.out.is_empty();
            let old = if told && self.send_old { before.clone() } else { None };
            let rest = match (value.old, before) {
                (Some(gone), Some(aggregate)) => self.live((self.subtract)(&key, gone, aggregate)),
                (_, before) => before,
            };
            let new = match value.new {
                Some(value) => self.live((self.add)(&key, value, rest)),
                None => rest,
            };
            if !told {
                store.set(slot, new, timestamp);
                return Ok(());
            }
            store.set(slot, new.clone(), timestamp);
            (Change { new, old }, timestamp)
        };
        self.out.forward(context, Record { key, value: change, timestamp, headers })
    }
}

impl<K, V, A> TableAggregate<K, V, A> {
    fn live(&self, aggregate: A) -> Option<A> {
        (!self.aggregates.is_null(&aggregate)).then_some(aggregate)
    }
}

/// Serde of changes on a repartition topic (Kafka Streams' `ChangedSerializer`, KIP-904).
pub struct ChangeSerde<V>(
    /// Serde of the values.
    pub Arc<dyn Serde<V>>,
);

impl<V> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(&self, change: &Change<V>, out: &mut Vec<u8>) -> std::result::Result<bool, SerdeError> {
        let write = |value: &Option<V>, out: &mut Vec<u8>| {
            value.as_ref().map_or(Ok(false), |value| self.0.serialize(value, out))
        };
        change::encode_with(out, |out| write(&change.new, out), |out| write(&change.old, out))?;
        Ok(true)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> std::result::Result<Change<V>, SerdeError> {
        let bytes = bytes.ok_or_else(|| SerdeError::new("change", "found null", None))?;
        let change = change::Change::decode(bytes)?;
        let value = |bytes: Option<&[u8]>| bytes.map(|bytes| self.0.deserialize(Some(bytes))).transpose();
        Ok(Change { new: value(change.new)?, old: value(change.old)? })
    }
}
