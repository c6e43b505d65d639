//! What happens to a record. An operator gets records and hands results to its [`Outlet`].
//!
//! Where nobody can tell the difference many of them travel together, in [`Columns`]: from a source through operators without state
//! to the first one with state, and behind that again if only operators without state follow. So an operator that
//! looks into a store finds it as the records before the current one have left it, in both ways.
//!
//! Operators see records, times, stores and where to forward; never offsets to commit, brokers or threads.

mod aggregate;
mod assembly;
mod context;
mod emit_pause;
mod exit;
mod filter;
mod leaderboard;
mod map;
mod peek;
mod session_aggregate;
mod sink;
mod source;
mod stream_table_join;
mod table;
mod table_aggregate;
mod window_aggregate;

pub use crate::telemetry::Stage;
pub use aggregate::{Adder, Aggregate, AnyAdder, NullTest, Nulls};
pub use assembly::{Assembly, Setup, Tick, TimeCell};
pub use context::{Context, HandlerResponse, Handlers, Input, Origin, OutColumns, OutRecord, Output, Target};
pub use emit_pause::EmitPause;
pub use exit::Exit;
pub use filter::{Branch, BranchPredicate, Filter, TableFilter};
pub use leaderboard::{BoardEmit, BoardLookup, BoardRowSerde, Leaderboard};
pub use map::{Fallible, FlatMap, FlatMapFn, Map, MapValues, TableMapValues, TryMap};
pub use peek::{Foreach, Pass, Peek};
pub use session_aggregate::{SessionAggregate, SessionMerger};
pub use sink::{Sink, TopicOf};
pub use source::{ExtractFn, Intake, Reading, Source, TimestampExtractor};
pub use stream_table_join::{FilteredLookup, Joiner, Lookup, MappedLookup, StreamTableJoin};
pub use table::{TableKeep, TableSource, ToStream, ToTable};
pub use table_aggregate::{ChangeSerde, Subtractor, TableAggregate, TableGroup};
pub use window_aggregate::WindowAggregate;

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::Result;
use crate::record::{Columns, Record};

/// An operator's entrance for records of one type.
pub trait Process<K, V> {
    /// Handles one record; forwards what comes of it before it returns.
    ///
    /// # Errors
    /// An error stops the task, unless a handler has dealt with it in [`Context::failed`].
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()>;

    /// Handles records in their order and leaves none of them. An error of one record is dealt with here
    /// ([`Context::recover`]), so that those behind it have their turn.
    ///
    /// # Errors
    /// As [`Process::process`], if the handler says to fail.
    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        each(context, records, |context, record| self.process(context, record))
    }

    /// Whether this operator and all behind it keep no state and have no effect but what they write: then it does not
    /// matter whether several records pass it before the first passes the next.
    fn is_stateless(&self) -> bool {
        false
    }
}

/// An operator that is shared by those who forward to it.
pub type Shared<K, V> = Rc<RefCell<dyn Process<K, V>>>;

/// A change of a table's row: what it is now, and what it was where a successor needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    /// The new value; `None`: the row is deleted.
    pub new: Option<V>,
    /// The old value, where it is asked for.
    pub old: Option<V>,
}

/// Where an operator forwards to: its successors, in the order in which they were connected.
pub struct Outlet<K, V>(Rc<RefCell<Vec<Shared<K, V>>>>);

impl<K, V> Default for Outlet<K, V> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<K, V> Clone for Outlet<K, V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<K: Clone, V: Clone> Outlet<K, V> {
    /// Connects one more successor.
    pub fn connect(&self, successor: Shared<K, V>) {
        self.0.borrow_mut().push(successor);
    }

    /// Hands a record to every successor; copies it for all but the last.
    ///
    /// # Errors
    /// The first error of a successor; later ones do not get the record then.
    #[inline]
    pub fn forward(&self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        let successors = self.0.borrow();
        let Some((last, others)) = successors.split_last() else { return Ok(()) };
        for successor in others {
            successor.borrow_mut().process(context, record.clone())?;
        }
        last.borrow_mut().process(context, record)
    }

    /// Hands records to the successor in one go; where there are several, record by record to each.
    ///
    /// # Errors
    /// As [`Process::process_all`].
    pub fn forward_all(&self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        let successors = self.0.borrow();
        if let [only] = successors.as_slice() {
            return only.borrow_mut().process_all(context, records);
        }
        each(context, records, |context, record| self.forward(context, record))
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// As [`Process::is_stateless`]: whether all behind this outlet is.
    #[must_use]
    pub fn is_stateless(&self) -> bool {
        match self.0.borrow().as_slice() {
            [] => true,
            [only] => only.borrow().is_stateless(),
            _ => false,
        }
    }
}

/// Handles records one by one: an error of one is dealt with before the next has its turn.
///
/// # Errors
/// Those for which the handler says to fail.
#[inline]
pub(crate) fn each<K, V>(
    context: &mut Context<'_>,
    records: &mut Columns<K, V>,
    mut handle: impl FnMut(&mut Context<'_>, Record<K, V>) -> Result<()>,
) -> Result<()> {
    for (record, origin) in records.drain() {
        context.at(origin);
        if let Err(error) = handle(context, record) {
            context.recover(error)?;
        }
    }
    Ok(())
}
