//! Aggregating a stream by key: count, reduce and aggregate without windows.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Change, Context, Outlet, Process};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::Record;
use crate::state::KeyValueStore;
use crate::telemetry::DropReason;

/// Adds a value to an aggregate; `None` where there is no aggregate yet.
pub type Adder<K, V, A> = Arc<dyn Fn(&K, V, Option<A>) -> A + Send + Sync>;

/// Which inputs count: keys and values that are null are dropped and counted.
pub struct Nulls<K, V> {
    /// Name of the node, for who asks where they went.
    pub node: String,
    /// Tells which keys are null.
    pub keys: Arc<dyn Serde<K>>,
    /// Tells which values are null; without it null values are let through.
    pub values: Option<Arc<dyn Serde<V>>>,
}

impl<K, V> Nulls<K, V> {
    /// Why `record` has to be dropped, if it has.
    #[inline]
    pub fn reason(&self, record: &Record<K, V>) -> Option<DropReason> {
        if self.keys.is_null(&record.key) {
            return Some(DropReason::NullKey);
        }
        let null = self.values.as_ref().is_some_and(|values| values.is_null(&record.value));
        null.then_some(DropReason::NullValue)
    }
}

/// One aggregate per key.
pub struct Aggregate<K, V, A> {
    /// Which records are dropped.
    pub nulls: Nulls<K, V>,
    /// Adds a value to an aggregate.
    pub add: Adder<K, V, A>,
    /// Tells which aggregates are null, which deletes them.
    pub aggregates: Arc<dyn Serde<A>>,
    /// The aggregates.
    pub store: Rc<RefCell<KeyValueStore<K, A>>>,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Successors.
    pub out: Outlet<K, Change<A>>,
}

impl<K: Clone, V, A: Clone> Process<K, V> for Aggregate<K, V, A> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        if let Some(reason) = self.nulls.reason(&record) {
            context.drop(&self.nulls.node, reason);
            return Ok(());
        }
        let Record { key, value, timestamp, headers } = record;
        let (change, timestamp) = {
            let mut store = self.store.borrow_mut();
            let slot = store.slot(&key)?;
            let timestamp = timestamp.max(store.value(slot).map_or(-1, |_| store.timestamp(slot)));
            let before = store.take(slot);
            let old = if self.send_old { before.clone() } else { None };
            let new = (self.add)(&key, value, before);
            let new = (!self.aggregates.is_null(&new)).then_some(new);
            store.set(slot, new.clone(), timestamp);
            (Change { new, old }, timestamp)
        };
        self.out.forward(context, Record { key, value: change, timestamp, headers })
    }
}
