//! Aggregating a stream by key: count, reduce and aggregate without windows.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Change, Context, Exit, Process, each};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{Columns, Record};
use crate::state::{KeyRun, KeyValueStore};
use crate::telemetry::DropReason;

/// Adds a value to an aggregate; `None` where there is no aggregate yet.
pub trait Adder<K, V, A>: Fn(&K, V, Option<A>) -> A + Send + Sync + 'static {}

impl<K, V, A, F: Fn(&K, V, Option<A>) -> A + Send + Sync + 'static> Adder<K, V, A> for F {}

/// Tells which values of a type are null.
pub struct NullTest<T>(Option<Arc<dyn Serde<T>>>);

impl<T> NullTest<T> {
    /// The values that `serde` writes as null.
    #[must_use]
    pub fn of(serde: &Arc<dyn Serde<T>>) -> Self {
        Self((!serde.never_null()).then(|| Arc::clone(serde)))
    }

    /// No value is null.
    #[must_use]
    pub fn never() -> Self {
        Self(None)
    }

    /// Whether `value` is null.
    #[inline]
    #[must_use]
    pub fn is_null(&self, value: &T) -> bool {
        self.0.as_ref().is_some_and(|serde| serde.is_null(value))
    }
}

/// Which inputs count: keys and values that are null are dropped and counted.
pub struct Nulls<K, V> {
    /// Name of the node, for who asks where they went.
    pub node: String,
    /// Tells which keys are null.
    pub keys: NullTest<K>,
    /// Tells which values are null.
    pub values: NullTest<V>,
}

impl<K, V> Nulls<K, V> {
    /// Whether no record has to be dropped.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.keys.0.is_none() && self.values.0.is_none()
    }

    /// Why `record` has to be dropped, if it has.
    #[inline]
    pub fn reason(&self, record: &Record<K, V>) -> Option<DropReason> {
        if self.keys.is_null(&record.key) {
            return Some(DropReason::NullKey);
        }
        self.values.is_null(&record.value).then_some(DropReason::NullValue)
    }
}

/// An [`Adder`] of any kind, where one call more does not count.
pub type AnyAdder<K, V, A> = Arc<dyn Fn(&K, V, Option<A>) -> A + Send + Sync>;

/// One aggregate per key.
pub struct Aggregate<K, V, A, F> {
    /// Which records are dropped.
    pub nulls: Nulls<K, V>,
    /// Adds a value to an aggregate.
    pub add: Arc<F>,
    /// Tells which aggregates are null, which deletes them.
    pub aggregates: NullTest<A>,
    /// The aggregates.
    pub store: Rc<RefCell<KeyValueStore<K, A>>>,
    /// Memory for keys that are looked up together.
    pub run: KeyRun,
    /// Whether successors need old values.
    pub send_old: bool,
    /// To the successors.
    pub out: Exit<K, Change<A>>,
}

impl<K: Clone, V, A: Clone, F: Adder<K, V, A>> Process<K, V> for Aggregate<K, V, A, F> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        self.store.borrow_mut().slots(std::slice::from_ref(&record.key), &mut self.run)?;
        self.out.open();
        self.update(context, 0, record)?;
        self.out.close(context)
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        let found = self.store.borrow_mut().slots(&records.keys, &mut self.run);
        if found.is_err() {
            return each(context, records, |context, record| self.process(context, record));
        }
        self.out.open();
        for (row, (record, origin)) in records.drain().enumerate() {
            context.at(origin);
            if let Err(error) = self.update(context, row, record) {
                context.recover(error)?;
            }
        }
        self.out.close(context)
    }
}

impl<K: Clone, V, A: Clone, F: Adder<K, V, A>> Aggregate<K, V, A, F> {
    #[inline]
    fn update(&mut self, context: &mut Context<'_>, row: usize, record: Record<K, V>) -> Result<()> {
        if let Some(reason) = self.nulls.reason(&record) {
            context.drop(&self.nulls.node, reason);
            return Ok(());
        }
        let Some(slot) = self.run.slot(row) else {
            context.drop(&self.nulls.node, DropReason::NullKey);
            return Ok(());
        };
        let Record { key, value, mut timestamp, headers } = record;
        let mut change = Change { new: None, old: None };
        self.store.borrow_mut().update(slot, |before, at| {
            timestamp = if before.is_some() { timestamp.max(at) } else { timestamp };
            change.old = if self.send_old { before.clone() } else { None };
            let new = (self.add)(&key, value, before);
            change.new = (!self.aggregates.is_null(&new)).then_some(new);
            (change.new.clone(), timestamp)
        });
        self.out.send(context, Record { key, value: change, timestamp, headers })
    }
}
