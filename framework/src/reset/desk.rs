//! Desk: where a question to the cluster is asked until it is answered, or patience ends.

use std::fmt;
use std::task::Poll;

use crate::error::{Error, Reaction, Result};
use crate::kafka::{Admin, Answer, Cluster, Fault};
use crate::time::{Clock, SteadyTime};

/// The longest sleep between two looks for an answer.
const PAUSE_MS: i64 = 50;

/// An admin with the patience of one who waits for it.
pub(super) struct Desk<'a> {
    cluster: &'a dyn Cluster,
    clock: &'a dyn Clock,
    time: SteadyTime,
    admin: Box<dyn Admin>,
    patience_ms: i64,
}

impl fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(cluster: &'a dyn Cluster, clock: &'a dyn Clock, patience_ms: i64) -> Self {
        let admin = cluster.admin("headwater-reset");
        Self { cluster, clock, time: SteadyTime::default(), admin, patience_ms }
    }

    /// Makes the call until it is answered; `what` completes "cannot ...".
    pub(super) fn ask<T>(
        &mut self,
        what: &str,
        mut call: impl FnMut(&mut dyn Admin, i64) -> Answer<T>,
    ) -> Result<T> {
        let begin_ms = self.time.at(self.clock.now_ms());
        let failed = || Error::new(Reaction::Stop, format!("cannot {what}"));
        let mut last = None;
        loop {
            let now_ms = self.time.at(self.clock.now_ms());
            match call(self.admin.as_mut(), now_ms) {
                Poll::Ready(Ok(answer)) => return Ok(answer),
                Poll::Ready(Err(error)) if error.fault == Fault::Retriable => last = Some(error),
                Poll::Ready(Err(error)) => return Err(failed().because(error)),
                Poll::Pending => {}
            }
            if now_ms.saturating_sub(begin_ms) >= self.patience_ms {
                let message =
                    format!("cannot {what}: the cluster has not answered for {} ms", self.patience_ms);
                let error = Error::new(Reaction::Stop, message);
                return Err(match last {
                    Some(last) => error.because(last),
                    None => error,
                });
            }
            self.cluster.wait(PAUSE_MS);
        }
    }
}
