//! Looking at records, and passing them on.

use std::sync::Arc;

use super::{Context, Outlet, Process};
use crate::error::Result;
use crate::record::{Columns, Record};

/// Shows each record to a function and passes it on.
pub struct Peek<K, V> {
    /// The function.
    pub function: Arc<dyn Fn(&K, &V) + Send + Sync>,
    /// Successors.
    pub out: Outlet<K, V>,
}

impl<K: Clone, V: Clone> Process<K, V> for Peek<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        (self.function)(&record.key, &record.value);
        self.out.forward(context, record)
    }
}

/// Shows each record to a function; the road ends here.
pub struct Foreach<K, V> {
    /// The function.
    pub function: Arc<dyn Fn(&K, &V) + Send + Sync>,
}

impl<K, V> Process<K, V> for Foreach<K, V> {
    fn process(&mut self, _context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        (self.function)(&record.key, &record.value);
        Ok(())
    }
}

/// Passes records on unchanged: where streams merge.
pub struct Pass<K, V> {
    /// Successors.
    pub out: Outlet<K, V>,
}

impl<K: Clone, V: Clone> Process<K, V> for Pass<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        self.out.forward(context, record)
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        self.out.forward_all(context, records)
    }

    fn is_stateless(&self) -> bool {
        self.out.is_stateless()
    }
}
