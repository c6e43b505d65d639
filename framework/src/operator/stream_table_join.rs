//! Joining a stream with a table: each record of the stream meets the row that its key has now.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Context, Exit, NullTest, Process};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{Columns, Record, Windowed};
use crate::state::{KeyRun, KeyValueStore, SessionStore, WindowStore};
use crate::telemetry::DropReason;

/// Finds a table's row; through filters and maps, if the table itself is not kept.
pub trait Lookup<K, V> {
    /// Shows the row of `key` to `found`, `None` where there is none.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn lookup(&self, key: &K, found: &mut dyn FnMut(Option<&V>)) -> Result<()>;
    /// Looks the rows of many keys up at once, for [`Lookup::found`]. `false` where that cannot be done.
    fn look_up(&self, keys: &[K], run: &mut KeyRun) -> bool {
        let _ = (keys, run);
        false
    }
    /// As [`Lookup::lookup`] for the key with number `row` of those that were looked up, which is `key`.
    ///
    /// # Errors
    /// As [`Lookup::lookup`].
    fn found(&self, key: &K, (run, row): (&KeyRun, usize), found: &mut dyn FnMut(Option<&V>)) -> Result<()> {
        let _ = (run, row);
        self.lookup(key, found)
    }
}

impl<K, V: Clone> Lookup<K, V> for Rc<RefCell<KeyValueStore<K, V>>> {
    fn lookup(&self, key: &K, found: &mut dyn FnMut(Option<&V>)) -> Result<()> {
        found(self.borrow_mut().get(key)?.map(|(value, _)| value));
        Ok(())
    }

    fn look_up(&self, keys: &[K], run: &mut KeyRun) -> bool {
        self.borrow_mut().look_up(keys, run).is_ok()
    }

    fn found(&self, _key: &K, (run, row): (&KeyRun, usize), found: &mut dyn FnMut(Option<&V>)) -> Result<()> {
        let store = self.borrow();
        found(run.slot(row).and_then(|slot| store.value(slot)));
        Ok(())
    }
}

impl<K, V: Clone> Lookup<Windowed<K>, V> for Rc<RefCell<WindowStore<K, V>>> {
    fn lookup(&self, key: &Windowed<K>, found: &mut dyn FnMut(Option<&V>)) -> Result<()> {
        let mut store = self.borrow_mut();
        let start = key.window.start;
        let slot = store.slot(&key.key, start)?;
        found(slot.and_then(|slot| store.value(start, slot)));
        Ok(())
    }
}

impl<K, V: Clone> Lookup<Windowed<K>, V> for Rc<RefCell<SessionStore<K, V>>> {
    fn lookup(&self, key: &Windowed<K>, found: &mut dyn FnMut(Option<&V>)) -> Result<()> {
        let (start, end) = (key.window.start, key.window.end);
        let sessions = self.borrow_mut().find(&key.key, end, start)?;
        let session = sessions.iter().find(|session| (session.start, session.end) == (start, end));
        found(session.map(|session| &session.value));
        Ok(())
    }
}

/// Rows of another table for which a predicate holds.
pub struct FilteredLookup<K, V> {
    /// The other table.
    pub parent: Box<dyn Lookup<K, V>>,
    /// The predicate.
    pub predicate: Arc<dyn Fn(&K, &V) -> bool + Send + Sync>,
}

impl<K, V> Lookup<K, V> for FilteredLookup<K, V> {
    fn lookup(&self, key: &K, found: &mut dyn FnMut(Option<&V>)) -> Result<()> {
        self.parent.lookup(key, &mut |value| found(value.filter(|value| (self.predicate)(key, value))))
    }

    fn look_up(&self, keys: &[K], run: &mut KeyRun) -> bool {
        self.parent.look_up(keys, run)
    }

    fn found(&self, key: &K, place: (&KeyRun, usize), found: &mut dyn FnMut(Option<&V>)) -> Result<()> {
        let passes = |value: &&V| (self.predicate)(key, value);
        self.parent.found(key, place, &mut |value| found(value.filter(passes)))
    }
}

/// Rows of another table with mapped values.
pub struct MappedLookup<K, V, V2> {
    /// The other table.
    pub parent: Box<dyn Lookup<K, V>>,
    /// The function.
    pub function: Arc<dyn Fn(&K, &V) -> V2 + Send + Sync>,
    /// Tells which values are null: there is no row then.
    pub values: Arc<dyn Serde<V2>>,
}

impl<K, V, V2> MappedLookup<K, V, V2> {
    fn map(&self, key: &K, value: Option<&V>, found: &mut dyn FnMut(Option<&V2>)) {
        let mapped = value.map(|value| (self.function)(key, value));
        found(mapped.as_ref().filter(|mapped| !self.values.is_null(mapped)));
    }
}

impl<K, V, V2> Lookup<K, V2> for MappedLookup<K, V, V2> {
    fn lookup(&self, key: &K, found: &mut dyn FnMut(Option<&V2>)) -> Result<()> {
        self.parent.lookup(key, &mut |value| self.map(key, value, found))
    }

    fn look_up(&self, keys: &[K], run: &mut KeyRun) -> bool {
        self.parent.look_up(keys, run)
    }

    fn found(&self, key: &K, place: (&KeyRun, usize), found: &mut dyn FnMut(Option<&V2>)) -> Result<()> {
        self.parent.found(key, place, &mut |value| self.map(key, value, found))
    }
}

/// Joins key, value and row; the row is there in an inner join.
pub type Joiner<K, V, T, R> = Arc<dyn Fn(&K, V, Option<&T>) -> R + Send + Sync>;

/// Joins a stream with a table.
pub struct StreamTableJoin<K, V, T, R> {
    /// Name of the node.
    pub node: String,
    /// Tells null keys.
    pub keys: NullTest<K>,
    /// Tells null values.
    pub values: NullTest<V>,
    /// Whether a record without row is joined with nothing (left) or not joined (inner).
    pub left: bool,
    /// Finds rows.
    pub table: Box<dyn Lookup<K, T>>,
    /// Memory for keys that are looked up together.
    pub run: KeyRun,
    /// Joins.
    pub joiner: Joiner<K, V, T, R>,
    /// To the successors.
    pub out: Exit<K, R>,
}

impl<K: Clone, V, T, R: Clone> Process<K, V> for StreamTableJoin<K, V, T, R> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        self.out.open();
        self.join(context, None, record)?;
        self.out.close(context)
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        let found = self.table.look_up(&records.keys, &mut self.run);
        self.out.open();
        for (row, (record, origin)) in records.drain().enumerate() {
            context.at(origin);
            if let Err(error) = self.join(context, found.then_some(row), record) {
                context.recover(error)?;
            }
        }
        self.out.close(context)
    }
}

impl<K: Clone, V, T, R: Clone> StreamTableJoin<K, V, T, R> {
    /// Joins a record; `row` is its number among the keys that were looked up.
    #[inline]
    fn join(&mut self, context: &mut Context<'_>, row: Option<usize>, record: Record<K, V>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        if self.values.is_null(&value) {
            context.drop(&self.node, DropReason::NullValue);
            return Ok(());
        }
        let null_key = self.keys.is_null(&key);
        if null_key && !self.left {
            context.drop(&self.node, DropReason::NullKey);
            return Ok(());
        }
        let mut value = Some(value);
        let mut joined = None;
        let mut join = |row: Option<&T>| {
            if row.is_some() || self.left {
                joined = value.take().map(|value| (self.joiner)(&key, value, row));
            }
        };
        match row {
            _ if null_key => join(None),
            Some(row) => self.table.found(&key, (&self.run, row), &mut join)?,
            None => self.table.lookup(&key, &mut join)?,
        }
        match joined {
            Some(value) => self.out.send(context, Record { key, value, timestamp, headers }),
            None => Ok(()),
        }
    }
}
