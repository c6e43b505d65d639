//! Where streams become tables and tables streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Change, Context, Exit, Outlet, Process, each};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{Columns, Record};
use crate::state::{KeyRun, KeyValueStore, StateStore};
use crate::telemetry::DropReason;

/// Keeps the last value of each key: the root of a table. `None` deletes the row.
pub struct TableSource<K, V> {
    /// The rows, where someone needs them.
    pub store: Option<Rc<RefCell<KeyValueStore<K, V>>>>,
    /// Memory for keys that are looked up together.
    pub run: KeyRun,
    /// Whether successors need old values.
    pub send_old: bool,
    /// To the successors.
    pub out: Exit<K, Change<V>>,
}

impl<K: Clone, V: Clone> Process<K, Option<V>> for TableSource<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Option<V>>) -> Result<()> {
        self.find(std::slice::from_ref(&record.key))?;
        self.out.open();
        self.keep(context, 0, record)?;
        self.out.close(context)
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, Option<V>>) -> Result<()> {
        if self.find(&records.keys).is_err() {
            return each(context, records, |context, record| self.process(context, record));
        }
        self.out.open();
        for (row, (record, origin)) in records.drain().enumerate() {
            context.at(origin);
            if let Err(error) = self.keep(context, row, record) {
                context.recover(error)?;
            }
        }
        self.out.close(context)
    }
}

impl<K: Clone, V: Clone> TableSource<K, V> {
    fn find(&mut self, keys: &[K]) -> Result<()> {
        match &self.store {
            Some(store) => store.borrow_mut().slots(keys, &mut self.run),
            None => Ok(()),
        }
    }

    #[inline]
    fn keep(&mut self, context: &mut Context<'_>, row: usize, record: Record<K, Option<V>>) -> Result<()> {
        let Record { key, value: new, timestamp, headers } = record;
        let mut old = None;
        if let Some(store) = &self.store {
            let Some(slot) = self.run.slot(row) else {
                // The source and `ToTable` have dropped null keys before; a serde of the user's may think otherwise.
                let node = store.borrow().name().to_owned();
                context.drop(&node, DropReason::NullKey);
                return Ok(());
            };
            let mut store = store.borrow_mut();
            if self.send_old {
                old = store.take(slot);
            }
            store.set(slot, new.clone(), timestamp);
        }
        self.out.send(context, Record { key, value: Change { new, old }, timestamp, headers })
    }
}

/// A table's changes as a stream: the new values, `None` for a deleted row.
pub struct ToStream<K, V> {
    /// Memory for the new values.
    pub new: Columns<K, Option<V>>,
    /// Successors.
    pub out: Outlet<K, Option<V>>,
}

impl<K: Clone, V: Clone> Process<K, Change<V>> for ToStream<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Change<V>>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        self.out.forward(context, Record { key, value: value.new, timestamp, headers })
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, Change<V>>) -> Result<()> {
        self.new.clear();
        records.map_values_into(&mut self.new, |_, change| change.new);
        self.out.forward_all(context, &mut self.new)
    }

    fn is_stateless(&self) -> bool {
        self.out.is_stateless()
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
            let Some(slot) = store.slot(&key)? else {
                // The table before this one has dropped null keys; a serde of the user's may think otherwise.
                context.drop(store.name(), DropReason::NullKey);
                return Ok(());
            };
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
