//! Aggregating a stream by key and time window.
//!
//! 1. The operator's stream time is the newest event time it has seen, the current record's included.
//! 2. A window is updated while its end is later than stream time minus the grace; else the record counts as late,
//!    once for each window it missed.
//! 3. With `OnWindowClose` a window is told once, when stream time passes its end by the grace: only a record moves
//!    stream time, so the last windows wait for one.
//! 4. Where stream time leaps, the store no longer has the windows between, as in Kafka Streams: each of their entries
//!    counts as expired. Where telling waits for an interval it has them until they are told.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::aggregate::{Adder, NullTest, Nulls};
use super::{Change, Context, EmitPause, Exit, Process, TimeCell};
use crate::error::Result;
use crate::record::{Columns, Headers, Record, Windowed};
use crate::state::{KeyRun, WindowStore};
use crate::telemetry::DropReason;
use crate::window::{EmitStrategy, TimeWindows};

/// One aggregate per key and window.
pub struct WindowAggregate<K, V, A, F> {
    /// The windows.
    pub windows: TimeWindows,
    /// When results are told.
    pub emit: EmitStrategy,
    /// How long results of closed windows wait for the next ones.
    pub pause: EmitPause,
    /// Which records are dropped.
    pub nulls: Nulls<K, V>,
    /// Adds a value to an aggregate.
    pub add: Arc<F>,
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

impl<K: Clone, V: Clone, A: Clone, F: Adder<K, V, A>> Process<K, V> for WindowAggregate<K, V, A, F> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        self.out.open();
        self.enter(context, record)?;
        self.out.close(context)
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        self.out.open();
        while let Some(first) = records.timestamps.first() {
            let start = self.windows.start_for(*first);
            let same = records.timestamps.iter().take_while(|time| self.windows.starts(start, **time));
            let count = same.count().max(1);
            self.out.make_room(context, count)?;
            if self.enter_together(start, &mut Rows { records, count })? {
                continue;
            }
            for (record, origin) in records.drain_first(count) {
                context.at(origin);
                if let Err(error) = self.enter(context, record) {
                    context.recover(error)?;
                }
            }
        }
        self.out.close(context)
    }
}

/// The first rows of columns.
struct Rows<'a, K, V> {
    records: &'a mut Columns<K, V>,
    count: usize,
}

impl<K: Clone, V: Clone, A: Clone, F: Adder<K, V, A>> WindowAggregate<K, V, A, F> {
    /// Records enter the one window that all of them belong to, where nothing speaks against doing that together:
    /// results wait, every record counts, and each finds its entry. Returns whether they did; else nothing is changed.
    fn enter_together(&mut self, start: i64, rows: &mut Rows<'_, K, V>) -> Result<bool> {
        let together = self.windows.is_tumbling() && self.emit == EmitStrategy::OnWindowUpdate;
        // The window's own records do not close it.
        if !together || !self.nulls.is_never() || self.is_closed(start) {
            return Ok(false);
        }
        let Some(waiting) = self.out.waiting() else { return Ok(false) };
        let Rows { records, count } = rows;
        let count = *count;
        let keys = &records.keys[..count];
        let mut store = self.store.borrow_mut();
        if !matches!(store.slots(keys, start, &mut self.run), Ok(true)) {
            return Ok(false);
        }
        let Some(slots) = self.run.all() else { return Ok(false) };
        // Not zipped: a pair of key and value would be put together in memory first.
        let (mut values, mut row) = (records.values.drain(..count), 0);
        store.update(start, slots, |before, at| {
            let value = values.next().expect("each slot has its record");
            let timestamp = records.timestamps[row];
            let newest = if before.is_some() { at.max(timestamp) } else { timestamp };
            let old = if self.send_old { before.clone() } else { None };
            let new = (self.add)(&keys[row], value, before);
            row += 1;
            let new = (!self.aggregates.is_null(&new)).then_some(new);
            waiting.values.push(Change { new: new.clone(), old });
            waiting.timestamps.push(newest);
            (new, newest)
        });
        drop(values);
        let end = self.windows.end_of(start);
        let newest = records.timestamps.drain(..count).max().unwrap_or(start);
        self.stream_time.set(self.stream_time.get().max(newest));
        waiting.keys.extend(records.keys.drain(..count).map(|key| Windowed::new(key, start, end)));
        waiting.headers.extend(records.headers.drain(..count));
        waiting.origins.extend(records.origins.drain(..count));
        Ok(true)
    }

    /// A record enters its windows.
    fn enter(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        if let Some(reason) = self.nulls.reason(&record) {
            context.drop(&self.nulls.node, reason);
            return Ok(());
        }
        self.stream_time.set(self.stream_time.get().max(record.timestamp));
        let headers = (self.emit == EmitStrategy::OnWindowClose).then(|| record.headers.clone());
        let mut starts = self.windows.starts_for(record.timestamp).peekable();
        let mut record = Some(record);
        while let Some(start) = starts.next() {
            let current = if starts.peek().is_some() { record.clone() } else { record.take() };
            let current = current.expect("only the last window takes the record");
            self.enter_window(context, start, current)?;
        }
        match headers {
            Some(headers) => self.emit_closed(context, self.close(), &headers),
            None => Ok(()),
        }
    }

    fn enter_window(&mut self, context: &mut Context<'_>, start: i64, record: Record<K, V>) -> Result<()> {
        if self.is_closed(start) {
            context.drop(&self.nulls.node, DropReason::Late);
            return Ok(());
        }
        let Record { key, value, mut timestamp, headers } = record;
        let Some(slot) = self.store.borrow_mut().slot(&key, start)? else {
            context.drop(&self.nulls.node, DropReason::Late);
            return Ok(());
        };
        let mut value = Some(value);
        let mut change = Change { new: None, old: None };
        let tells = self.emit == EmitStrategy::OnWindowUpdate;
        self.store.borrow_mut().update(start, std::iter::once(slot), |before, at| {
            timestamp = if before.is_some() { timestamp.max(at) } else { timestamp };
            change.old = if self.send_old { before.clone() } else { None };
            let value = value.take().expect("one slot takes one value");
            let new = (self.add)(&key, value, before);
            let new = (!self.aggregates.is_null(&new)).then_some(new);
            change.new = if tells { new.clone() } else { None };
            (new, timestamp)
        });
        if !tells {
            return Ok(());
        }
        let key = Windowed::new(key, start, self.windows.end_of(start));
        self.out.send(context, Record { key, value: change, timestamp, headers })
    }

    /// Whether the window that starts at `start` takes no records any more. Not by its end, which may lie behind the
    /// last time there is.
    #[inline]
    fn is_closed(&self, start: i64) -> bool {
        start <= self.close().saturating_sub(self.windows.size_ms())
    }

    /// Windows that end at this time or earlier are closed.
    #[inline]
    fn close(&self) -> i64 {
        self.stream_time.get().saturating_sub(self.windows.grace_ms())
    }

    fn emit_closed(&mut self, context: &mut Context<'_>, close: i64, headers: &Headers) -> Result<()> {
        let (size, last) = (self.windows.size_ms(), self.emitted.get());
        if close <= last || close < size || self.pause.lasts(context.now_ms) {
            return Ok(());
        }
        self.pause.begin(context.now_ms);
        let from = (last - size + 1).max(0);
        let (closed, horizon) = {
            let mut store = self.store.borrow_mut();
            let closed = store.kept(from, close - size)?;
            store.keep_from(close - size + 1);
            (closed, store.horizon())
        };
        self.emitted.set(close);
        for entry in closed {
            if self.pause.is_none() && entry.start < horizon {
                context.drop(&self.nulls.node, DropReason::Expired);
                continue;
            }
            let key = Windowed::new(entry.key, entry.start, self.windows.end_of(entry.start));
            let change = Change { new: Some(entry.value), old: None };
            let record = Record { key, value: change, timestamp: entry.timestamp, headers: headers.clone() };
            // One that fails does not keep the others from being told.
            if let Err(error) = self.out.send(context, record) {
                context.recover(error)?;
            }
        }
        Ok(())
    }
}
