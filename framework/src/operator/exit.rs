//! The exit of an operator with state: what comes of many records waits and goes on together, where that makes no
//! difference to what follows.

use super::{Context, Outlet};
use crate::error::Result;
use crate::record::{Columns, Record};

/// Sends records on, one by one or together.
pub struct Exit<K, V> {
    out: Outlet<K, V>,
    waiting: Columns<K, V>,
    /// Whether only operators without state follow.
    together: bool,
}

impl<K: Clone, V: Clone> Exit<K, V> {
    /// The exit to `out`.
    #[must_use]
    pub fn new(out: Outlet<K, V>) -> Self {
        Self { out, waiting: Columns::default(), together: false }
    }

    /// Records are about to be sent.
    pub fn open(&mut self) {
        self.waiting.clear();
        self.together = self.out.is_stateless();
    }

    /// Sends a record that comes of the one handled now.
    ///
    /// # Errors
    /// As [`Outlet::forward`].
    #[inline]
    pub fn send(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        if !self.together {
            return self.out.forward(context, record);
        }
        self.waiting.push(record, context.origin());
        if self.waiting.len() < Columns::<K, V>::ROWS {
            return Ok(());
        }
        self.close(context)
    }

    /// Sends on what waits where `count` more would be too many to go together.
    ///
    /// # Errors
    /// As [`Outlet::forward_all`].
    #[inline]
    pub fn make_room(&mut self, context: &mut Context<'_>, count: usize) -> Result<()> {
        if self.waiting.len() + count > Columns::<K, V>::ROWS { self.close(context) } else { Ok(()) }
    }

    /// Where records wait that go on together; `None` where they go on one by one. Whoever adds to it adds to all
    /// columns.
    #[inline]
    pub fn waiting(&mut self) -> Option<&mut Columns<K, V>> {
        self.together.then_some(&mut self.waiting)
    }

    /// No more records are sent for now.
    ///
    /// # Errors
    /// As [`Outlet::forward_all`].
    pub fn close(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let origin = context.origin();
        self.out.forward_all(context, &mut self.waiting)?;
        context.at(origin);
        Ok(())
    }
}
