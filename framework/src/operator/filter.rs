//! Filtering: letting records through, all of them or to one of several branches.

use std::sync::Arc;

use super::{Change, Context, Outlet, Process};
use crate::error::Result;
use crate::record::{Columns, Record};
use crate::telemetry::DropReason;

/// Lets through the records for which the predicate holds.
pub struct Filter<K, V> {
    /// The predicate.
    pub predicate: Arc<dyn Fn(&K, &V) -> bool + Send + Sync>,
    /// What a record counts as that is not let through, and the node's name; `None` where filtering is what the user
    /// asked for.
    pub drop: Option<(DropReason, String)>,
    /// Successors.
    pub out: Outlet<K, V>,
}

impl<K: Clone, V: Clone> Process<K, V> for Filter<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        if (self.predicate)(&record.key, &record.value) {
            return self.out.forward(context, record);
        }
        if let Some((reason, node)) = &self.drop {
            context.drop(node, *reason);
        }
        Ok(())
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        records.retain(|key, value, origin| {
            let passes = (self.predicate)(key, value);
            if let (false, Some((reason, node))) = (passes, &self.drop) {
                context.at(origin);
                context.drop(node, *reason);
            }
            passes
        });
        self.out.forward_all(context, records)
    }

    fn is_stateless(&self) -> bool {
        self.out.is_stateless()
    }
}

/// A table's rows for which the predicate holds; a row for which it stops holding is deleted.
pub struct TableFilter<K, V> {
    /// The predicate.
    pub predicate: Arc<dyn Fn(&K, &V) -> bool + Send + Sync>,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Successors.
    pub out: Outlet<K, Change<V>>,
}

impl<K: Clone, V: Clone> Process<K, Change<V>> for TableFilter<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, Change<V>>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let new = value.new.filter(|new| (self.predicate)(&key, new));
        let old = value.old.filter(|old| self.send_old && (self.predicate)(&key, old));
        if self.send_old && new.is_none() && old.is_none() {
            return Ok(());
        }
        self.out.forward(context, Record { key, value: Change { new, old }, timestamp, headers })
    }
}

/// The condition of a branch; without one it takes what no branch before it took.
pub type BranchPredicate<K, V> = Option<Arc<dyn Fn(&K, &V) -> bool + Send + Sync>>;

/// Sends a record to the first branch whose predicate holds.
pub struct Branch<K, V> {
    /// The branches in order: predicate and successors.
    pub branches: Vec<(BranchPredicate<K, V>, Outlet<K, V>)>,
}

impl<K: Clone, V: Clone> Process<K, V> for Branch<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        let takes = |predicate: &BranchPredicate<K, V>| {
            predicate.as_ref().is_none_or(|predicate| predicate(&record.key, &record.value))
        };
        match self.branches.iter().find(|(predicate, _)| takes(predicate)) {
            Some((_, out)) => out.forward(context, record),
            None => Ok(()),
        }
    }
}
