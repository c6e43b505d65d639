//! Aggregating a stream by key and time window.
//!
//! 1. The operator's stream time is the newest event time it has seen, the current record's included.
//! 2. A window is updated while its end is later than stream time minus the grace; else the record counts as late,
//!    once for each window it missed.
//! 3. With `OnWindowClose` a window is told once, when stream time passes its end by the grace: only a record moves
//!    stream time, so the last windows wait for one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::aggregate::{Adder, Nulls};
use super::{Change, Context, Outlet, Process, TimeCell};
use crate::codec::Serde;
use crate::error::Result;
use crate::record::{Headers, Record, Windowed};
use crate::state::WindowStore;
use crate::telemetry::DropReason;
use crate::window::{EmitStrategy, TimeWindows};

/// One aggregate per key and window.
pub struct WindowAggregate<K, V, A> {
    /// The windows.
    pub windows: TimeWindows,
    /// When results are told.
    pub emit: EmitStrategy,
    /// How long, by the wall clock, results of closed windows wait at least for the next ones.
    pub emit_interval_ms: i64,
    /// Wall-clock time before which nothing is told.
    pub emit_after_ms: i64,
    /// Which records are dropped.
    pub nulls: Nulls<K, V>,
    /// Adds a value to an aggregate.
    pub add: Adder<K, V, A>,
    /// Tells which aggregates are null, which deletes them.
    pub aggregates: Arc<dyn Serde<A>>,
    /// The aggregates.
    pub store: Rc<RefCell<WindowStore<K, A>>>,
    /// Newest event time seen.
    pub stream_time: TimeCell,
    /// Close time up to which windows have been told.
    pub emitted: TimeCell,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Successors.
    pub out: Outlet<Windowed<K>, Change<A>>,
}

impl<K: Clone, V: Clone, A: Clone> Process<K, V> for WindowAggregate<K, V, A> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        if let Some(reason) = self.nulls.reason(&record) {
            context.drop(&self.nulls.node, reason);
            return Ok(());
        }
        self.stream_time.set(self.stream_time.get().max(record.timestamp));
        let close = self.stream_time.get().saturating_sub(self.windows.grace_ms());
        let mut starts = self.windows.starts_for(record.timestamp).peekable();
        let headers = (self.emit == EmitStrategy::OnWindowClose).then(|| record.headers.clone());
        let mut record = Some(record);
        while let Some(start) = starts.next() {
            let current = if starts.peek().is_some() { record.clone() } else { record.take() };
            let current = current.expect("only the last window takes the record");
            // Not by its end, which may lie behind the last time there is.
            if start > close.saturating_sub(self.windows.size_ms()) {
                self.update(context, start, current)?;
            } else {
                context.drop(&self.nulls.node, DropReason::Late);
            }
        }
        match headers {
            Some(headers) => self.emit_closed(context, close, &headers),
            None => Ok(()),
        }
    }
}

impl<K: Clone, V, A: Clone> WindowAggregate<K, V, A> {
    fn update(&mut self, context: &mut Context<'_>, start: i64, record: Record<K, V>) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let (change, timestamp) = {
            let mut store = self.store.borrow_mut();
            let Some(slot) = store.slot(&key, start)? else {
                context.drop(&self.nulls.node, DropReason::Late);
                return Ok(());
            };
            let timestamp =
                timestamp.max(store.value(start, slot).map_or(-1, |_| store.timestamp(start, slot)));
            let before = store.take(start, slot);
            let old = if self.send_old { before.clone() } else { None };
            let new = (self.add)(&key, value, before);
            let new = (!self.aggregates.is_null(&new)).then_some(new);
            store.set(start, slot, new.clone(), timestamp);
            (Change { new, old }, timestamp)
        };
        if self.emit == EmitStrategy::OnWindowClose {
            return Ok(());
        }
        let key = Windowed::new(key, start, self.windows.end_of(start));
        self.out.forward(context, Record { key, value: change, timestamp, headers })
    }

    fn emit_closed(&mut self, context: &mut Context<'_>, close: i64, headers: &Headers) -> Result<()> {
        let (size, last) = (self.windows.size_ms(), self.emitted.get());
        if close <= last || close < size || context.now_ms < self.emit_after_ms {
            return Ok(());
        }
        self.emit_after_ms = context.now_ms.saturating_add(self.emit_interval_ms);
        let from = (last - size + 1).max(0);
        let closed = self.store.borrow().between(from, close - size)?;
        self.emitted.set(close);
        for entry in closed {
            let key = Windowed::new(entry.key, entry.start, self.windows.end_of(entry.start));
            let change = Change { new: Some(entry.value), old: None };
            let record = Record { key, value: change, timestamp: entry.timestamp, headers: headers.clone() };
            self.out.forward(context, record)?;
        }
        Ok(())
    }
}
