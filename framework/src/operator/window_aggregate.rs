//! Aggregating a stream by key and time window.
//!
//! 1. The operator's stream time is the newest event time it has seen, the current record's included.
//! 2. A window is updated while its end is later than stream time minus the grace; else the record counts as late,
//!    once for each window it missed.
//! 3. With `OnWindowClose` a window is told once, when stream time passes its end by the grace: only a record moves
//!    stream time, so the last windows wait for one.

use std::cell::RefCell;
use std::rc::Rc;

use super::aggregate::{Adder, NullTest, Nulls, one_by_one};
use super::{Change, Context, Exit, Process, TimeCell};
use crate::error::Result;
use crate::record::{Columns, Headers, Record, Windowed};
use crate::state::{KeyRun, WindowStore};
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
    pub aggregates: NullTest<A>,
    /// The aggregates.
    pub store: Rc<RefCell<WindowStore<K, A>>>,
    /// Memory for keys that are looked up together.
    pub run: KeyRun,
    /// Newest event time seen.
    pub stream_time: TimeCell,
    /// Close time up to which windows have been told.
    pub emitted: TimeCell,
    /// Whether successors need old values.
    pub send_old: bool,
    /// To the successors.
    pub out: Exit<Windowed<K>, Change<A>>,
}

impl<K: Clone, V: Clone, A: Clone> Process<K, V> for WindowAggregate<K, V, A> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        self.out.open();
        self.enter(context, record, None)?;
        self.out.close(context)
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        if !self.windows.is_tumbling() {
            return one_by_one(self, context, records);
        }
        self.out.open();
        while let Some(first) = records.timestamps.first() {
            let start = self.windows.start_for(*first);
            let same = records.timestamps.iter().take_while(|time| self.windows.start_for(**time) == start);
            let count = same.count();
            let found = self.store.borrow_mut().look_up(start, &records.keys[..count], &mut self.run);
            if found.is_err() {
                return one_by_one(self, context, records);
            }
            for (row, (record, origin)) in records.drain_first(count).enumerate() {
                context.at(origin);
                if let Err(error) = self.enter(context, record, Some(row)) {
                    context.recover(error)?;
                }
            }
        }
        self.out.close(context)
    }
}

impl<K: Clone, V: Clone, A: Clone> WindowAggregate<K, V, A> {
    /// A record enters its windows; `row` is its number among the keys that were looked up.
    #[inline]
    fn enter(&mut self, context: &mut Context<'_>, record: Record<K, V>, row: Option<usize>) -> Result<()> {
        if let Some(reason) = self.nulls.reason(&record) {
            context.drop(reason);
            return Ok(());
        }
        self.stream_time.set(self.stream_time.get().max(record.timestamp));
        let headers = (self.emit == EmitStrategy::OnWindowClose).then(|| record.headers.clone());
        if let Some(row) = row {
            let start = self.windows.start_for(record.timestamp);
            self.enter_window(context, start, record, Some(row))?;
        } else {
            let mut starts = self.windows.starts_for(record.timestamp).peekable();
            let mut record = Some(record);
            while let Some(start) = starts.next() {
                let current = if starts.peek().is_some() { record.clone() } else { record.take() };
                let current = current.expect("only the last window takes the record");
                self.enter_window(context, start, current, None)?;
            }
        }
        match headers {
            Some(headers) => self.emit_closed(context, self.close(), &headers),
            None => Ok(()),
        }
    }

    #[inline]
    fn enter_window(
        &mut self,
        context: &mut Context<'_>,
        start: i64,
        record: Record<K, V>,
        row: Option<usize>,
    ) -> Result<()> {
        let (size, close) = (self.windows.size_ms(), self.close());
        if start.saturating_add(size) <= close {
            context.drop(DropReason::Late);
            return Ok(());
        }
        let Record { key, value, timestamp, headers } = record;
        let (mut new, mut old, mut newest) = (None, None, timestamp);
        {
            let mut store = self.store.borrow_mut();
            let slot = match row {
                Some(row) => store.found_slot(start, &self.run, row)?,
                None => store.slot(&key, start)?,
            };
            let Some(slot) = slot else {
                context.drop(DropReason::Late);
                return Ok(());
            };
            store.update(start, slot, |before, at| {
                newest = if before.is_some() { timestamp.max(at) } else { timestamp };
                old = if self.send_old { before.clone() } else { None };
                let added = (self.add)(&key, value, before);
                new = (!self.aggregates.is_null(&added)).then_some(added);
                (new.clone(), newest)
            });
        }
        if self.emit == EmitStrategy::OnWindowClose {
            return Ok(());
        }
        let key = Windowed::new(key, start, start.saturating_add(size));
        self.out.send(context, Record { key, value: Change { new, old }, timestamp: newest, headers })
    }

    /// Windows that end at this time or earlier are closed.
    #[inline]
    fn close(&self) -> i64 {
        self.stream_time.get().saturating_sub(self.windows.grace_ms())
    }

    /// Whether closed windows have to wait. The clock may have been set back: nobody waits longer than an interval.
    fn waits(&self, now_ms: i64) -> bool {
        now_ms < self.emit_after_ms.min(now_ms.saturating_add(self.emit_interval_ms))
    }

    fn emit_closed(&mut self, context: &mut Context<'_>, close: i64, headers: &Headers) -> Result<()> {
        let (size, last) = (self.windows.size_ms(), self.emitted.get());
        if close <= last || close < size || self.waits(context.now_ms) {
            return Ok(());
        }
        self.emit_after_ms = context.now_ms.saturating_add(self.emit_interval_ms);
        let from = (last - size + 1).max(0);
        let closed = self.store.borrow().between(from, close - size)?;
        self.emitted.set(close);
        for entry in closed {
            let key = Windowed::new(entry.key, entry.start, entry.start + size);
            let change = Change { new: Some(entry.value), old: None };
            let record = Record { key, value: change, timestamp: entry.timestamp, headers: headers.clone() };
            self.out.send(context, record)?;
        }
        Ok(())
    }
}
