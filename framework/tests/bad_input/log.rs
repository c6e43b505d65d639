//! Reads the log along: what users see where no handler is asked.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The warnings that `work` logs on this thread about records that it drops.
pub(crate) fn drops<R>(work: impl FnOnce() -> R) -> (R, Vec<String>) {
    warnings("record dropped: ", work)
}

/// The warnings that `work` logs on this thread and that begin so.
pub(crate) fn warnings<R>(beginning: &str, work: impl FnOnce() -> R) -> (R, Vec<String>) {
    let log = Log::default();
    let lines = Arc::clone(&log.0);
    let result = tracing::subscriber::with_default(log, work);
    let mut lines = std::mem::take(&mut *lines.lock().unwrap());
    lines.retain(|line| line.starts_with(beginning));
    (result, lines)
}

#[derive(Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        }
    }
}
