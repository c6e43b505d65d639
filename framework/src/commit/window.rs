//! The windows of a commit: the moments after which a crash must lose nothing and repeat nothing.

use crate::error::{Error, Reaction, Result};

/// Where a commit stands, by the numbers of the table in `ARCHITECTURE.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// 0: records are processed, nothing of the commit is done.
    Processed,
    /// 1: changelogs and output are sent.
    Sent,
    /// 2: the offsets are part of the transaction (at least once: everything is acknowledged).
    Offsets,
    /// 3: the end of the transaction (at least once: the offset commit) was asked for, the answer not looked at.
    Ending,
    /// 4: the end is acknowledged, stores know nothing of it.
    Acknowledged,
    /// 5: the first batch of a task is in its byte store.
    FirstApplied,
    /// 6: between two batches, of one task or of two.
    BetweenBatches,
    /// 7: all is flushed, and what expired is deleted.
    Flushed,
}

impl Window {
    /// All windows, in order.
    pub const ALL: [Self; 8] = [
        Self::Processed,
        Self::Sent,
        Self::Offsets,
        Self::Ending,
        Self::Acknowledged,
        Self::FirstApplied,
        Self::BetweenBatches,
        Self::Flushed,
    ];
}

/// Told each window; `true` ends the worker on the spot, as a crash would.
pub type ProbeFn = dyn FnMut(Window) -> bool + Send;

/// The hook of a test into the windows of a commit.
#[derive(Default)]
pub struct Probe {
    hook: Option<Box<ProbeFn>>,
    crashed: bool,
}

impl Probe {
    /// A probe that tells `hook`.
    #[must_use]
    pub fn new(hook: Box<ProbeFn>) -> Self {
        Self { hook: Some(hook), crashed: false }
    }

    /// Whether the hook ended the worker.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.crashed
    }

    /// Passes a window.
    ///
    /// # Errors
    /// If the hook wants the worker to crash here.
    #[inline]
    pub fn at(&mut self, window: Window) -> Result<()> {
        let Some(hook) = &mut self.hook else { return Ok(()) };
        if !hook(window) {
            return Ok(());
        }
        self.crashed = true;
        Err(Error::new(Reaction::Stop, format!("crashed on purpose at {window:?}")))
    }
}
