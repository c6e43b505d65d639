//! Aggregating a stream by key and session.
//!
//! 1. A record joins all sessions of its key within the gap on either side; what it joins becomes one session.
//! 2. Sessions that grow are deleted under their old bounds (a change to nothing) before the new one is told.
//! 3. A session is closed when it ended more than gap and grace before the operator's stream time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::aggregate::{AnyAdder, NullTest, Nulls};
use super::{Change, Context, EmitPause, Outlet, Process, TimeCell};
use crate::error::Result;
use crate::record::{Headers, Record, Windowed};
use crate::state::{Session, SessionStore};
use crate::telemetry::DropReason;
use crate::window::{EmitStrategy, SessionWindows};

/// Merges two sessions' aggregates, the first of which may be missing.
pub type SessionMerger<K, A> = Arc<dyn Fn(&K, Option<A>, A) -> A + Send + Sync>;

/// One aggregate per key and session.
pub struct SessionAggregate<K, V, A> {
    /// The sessions.
    pub windows: SessionWindows,
    /// When results are told.
    pub emit: EmitStrategy,
    /// How long results of closed windows wait for the next ones.
    pub pause: EmitPause,
    /// Which records are dropped.
    pub nulls: Nulls<K, V>,
    /// Adds a value to an aggregate.
    pub add: AnyAdder<K, V, A>,
    /// Merges aggregates.
    pub merge: SessionMerger<K, A>,
    /// Tells which aggregates are null, which deletes them.
    pub aggregates: NullTest<A>,
    /// The aggregates.
    pub store: Rc<RefCell<SessionStore<K, A>>>,
    /// Newest event time seen.
    pub stream_time: TimeCell,
    /// Close time up to which sessions have been told.
    pub emitted: TimeCell,
    /// Whether successors need old values.
    pub send_old: bool,
    /// Memory for start and end of the sessions that a record joins.
    pub found: Vec<(i64, i64)>,
    /// Memory for those of them that are to be told as gone, with their old values.
    pub gone: Vec<((i64, i64), Option<A>)>,
    /// Successors.
    pub out: Outlet<Windowed<K>, Change<A>>,
}

impl<K: Clone, V, A: Clone> Process<K, V> for SessionAggregate<K, V, A> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        if let Some(reason) = self.nulls.reason(&record) {
            context.drop(&self.nulls.node, reason);
            return Ok(());
        }
        self.stream_time.set(self.stream_time.get().max(record.timestamp));
        let close = self.stream_time.get().saturating_sub(self.windows.retention_ms());
        let headers = record.headers.clone();
        self.update(context, record, close)?;
        if self.emit == EmitStrategy::OnWindowClose {
            return self.emit_closed(context, close, &headers);
        }
        Ok(())
    }
}

impl<K: Clone, V, A: Clone> SessionAggregate<K, V, A> {
    fn update(&mut self, context: &mut Context<'_>, record: Record<K, V>, close: i64) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let gap = self.windows.gap_ms();
        let reach = ((timestamp - gap).max(0), timestamp.saturating_add(gap));
        let place = self.store.borrow_mut().find_bounds(&key, reach, &mut self.found)?;
        let start = self.found.iter().map(|(start, _)| *start).fold(timestamp, i64::min);
        let end = self.found.iter().map(|(_, end)| *end).fold(timestamp, i64::max);
        if end < close {
            context.drop(&self.nulls.node, DropReason::Late);
            return Ok(());
        }
        let told = self.emit == EmitStrategy::OnWindowUpdate;
        let mut merged = None;
        for bounds in self.found.drain(..) {
            // What was found goes into the merged session, so it is taken and not copied.
            let Some(session) = self.store.borrow_mut().replace(&place, bounds, None, timestamp) else {
                continue;
            };
            if told && (start, end) != (timestamp, timestamp) {
                self.gone.push((bounds, self.send_old.then(|| session.clone())));
            }
            merged = Some((self.merge)(&key, merged, session));
        }
        let new = (self.add)(&key, value, merged);
        let new = (!self.aggregates.is_null(&new)).then_some(new);
        let shown = if told { new.clone() } else { None };
        self.store.borrow_mut().replace(&place, (start, end), new, timestamp);
        if !told {
            return Ok(());
        }
        let mut gone = std::mem::take(&mut self.gone);
        for ((start, end), old) in gone.drain(..) {
            let key = Windowed::new(key.clone(), start, end);
            self.tell(context, key, Change { new: None, old }, &headers)?;
        }
        self.gone = gone;
        self.tell(context, Windowed::new(key, start, end), Change { new: shown, old: None }, &headers)
    }

    fn tell(
        &self,
        context: &mut Context<'_>,
        key: Windowed<K>,
        change: Change<A>,
        headers: &Headers,
    ) -> Result<()> {
        let timestamp = key.window.end;
        self.out.forward(context, Record { key, value: change, timestamp, headers: headers.clone() })
    }

    fn emit_closed(&mut self, context: &mut Context<'_>, close: i64, headers: &Headers) -> Result<()> {
        let last = self.emitted.get();
        if close <= last || close < 1 || self.pause.lasts(context.now_ms) {
            return Ok(());
        }
        self.pause.begin(context.now_ms);
        let closed = self.store.borrow_mut().ended(last.max(0), close - 1)?;
        self.emitted.set(close);
        self.store.borrow_mut().keep_from(close);
        for (key, Session { start, end, value }) in closed {
            let change = Change { new: Some(value), old: None };
            let key = Windowed::new(key, start, end);
            let record = Record { key, value: change, timestamp: end, headers: headers.clone() };
            // One that fails does not keep the others from being told.
            if let Err(error) = self.out.forward(context, record) {
                context.recover(error)?;
            }
        }
        Ok(())
    }
}
