//! Where streams become tables and tables streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Change, Context, Outlet, Process};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::Record;
use crate::state::KeyValueStore;
use crate::telemetry::DropReason;

/// Keeps the last value of each key: the root of a table. `None` deletes the row.
pub struct TableSource<K, V> {
    /// The rows, where someone needs them.
    pub store: Option<Rc<RefCell<KeyValueStore<K, V>>>>,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Successors.
    pub out: Outlet<K, Change<V>>,
}

impl<K: Clone, V: Clone> Process<K, Option<V>> for TableSource<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Option<V>>) -> Result<()> {
        let Record { key, value: new, timestamp, headers } = record;
        let mut old = None;
        if let Some(store) = &self.store {
            let mut store = store.borrow_mut();
            let slot = store.slot(&key)?;
            if self.send_old {
                old = store.take(slot);
            }
            store.set(slot, new.clone(), timestamp);
        }
        self.out.forward(context, Record { key, value: Change { new, old }, timestamp, headers })
    }
}

/// A table's changes as a stream: the new values, `None` for a deleted row.
pub struct ToStream<K, V> {
    /// Successors.
    pub out: Outlet<K, Option<V>>,
}

impl<K: Clone, V: Clone> Process<K, Change<V>> for ToStream<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Change<V>>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        self.out.forward(context, Record { key, value: value.new, timestamp, headers })
    }
}

/// A stream's records as rows of a table; records without key are dropped and counted, null values delete.
pub struct ToTable<K, V> {
    /// Name of the node.
    pub node: String,
    /// Tells which keys are null.
    pub keys: Arc<dyn Serde<K>>,
    /// Tells which values are null.
    pub values: Arc<dyn Serde<V>>,
    /// Keeps the rows.
    pub table: TableSource<K, V>,
}

impl<K: Clone, V: Clone> Process<K, V> for ToTable<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        if self.keys.is_null(&record.key) {
            context.drop(&self.node, DropReason::NullKey);
            return Ok(());
        }
        let Record { key, value, timestamp, headers } = record;
        let value = (!self.values.is_null(&value)).then_some(value);
        self.table.process(context, Record { key, value, timestamp, headers })
    }
}

/// Keeps the rows of a table that was filtered or mapped.
pub struct TableKeep<K, V> {
    /// The rows.
    pub store: Rc<RefCell<KeyValueStore<K, V>>>,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Whether a change from nothing to nothing is kept from successors that need old values.
    pub skip_nothing: bool,
    /// Successors.
    pub out: Outlet<K, Change<V>>,
}

impl<K: Clone, V: Clone> Process<K, Change<V>> for TableKeep<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Change<V>>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let old = {
            let mut store = self.store.borrow_mut();
            let slot = store.slot(&key)?;
            let old = store.take(slot);
            store.set(slot, value.new.clone(), timestamp);
            old.filter(|_| self.send_old)
        };
        if self.skip_nothing && self.send_old && old.is_none() && value.new.is_none() {
            return Ok(());
        }
        self.out.forward(context, Record { key, value: Change { new: value.new, old }, timestamp, headers })
    }
}
