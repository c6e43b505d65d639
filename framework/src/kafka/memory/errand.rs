//! Errand: one request on its way to its answer.
//!
//! 1. It goes out with the first poll; in process the answer is mostly there at once.
//! 2. Without an answer for the request's time-out, or when the connection breaks, the request counts as lost and
//!    goes out again, unchanged. An answer to the first copy that comes after that is ignored.
//! 3. After an answer, polling again asks again: that is how retriable errors are dealt with.

use std::task::Poll;

use headwater_broker::{ErrorCode, Request, Response, Ticket};

use super::door::Door;

/// Kafka's default for `request.timeout.ms`, for ports without a setting for it.
pub(super) const REQUEST_TIMEOUT_MS: i64 = 30_000;

/// A request and what is known about its answer.
#[derive(Debug)]
pub(super) struct Errand {
    request: Request,
    timeout_ms: i64,
    /// The ticket, and from when on it counts as lost.
    sent: Option<(Ticket, i64)>,
    lost: bool,
}

impl Errand {
    pub(super) fn new(request: impl Into<Request>, timeout_ms: i64) -> Self {
        Self { request: request.into(), timeout_ms: timeout_ms.max(1), sent: None, lost: false }
    }

    /// The errand for `request`: the one in `slot` if it is the same request, else a new one.
    pub(super) fn resume(slot: &mut Option<Self>, request: impl Into<Request>, timeout_ms: i64) -> &mut Self {
        let request = request.into();
        if slot.as_ref().is_some_and(|errand| errand.request != request) {
            *slot = None;
        }
        slot.get_or_insert_with(|| Self::new(request, timeout_ms))
    }

    /// Whether a copy was given up, so that it may still reach the broker after the answer to a later one.
    pub(super) fn was_lost(&self) -> bool {
        self.lost
    }

    /// The answer, or the code with which the request as a whole failed.
    pub(super) fn poll<T>(&mut self, door: &Door, now_ms: i64) -> Poll<Result<T, ErrorCode>>
    where
        T: TryFrom<Response, Error = ErrorCode>,
    {
        loop {
            let Some((ticket, until)) = self.sent else {
                let ticket = door.submit(self.request.clone(), now_ms);
                self.sent = Some((ticket, now_ms.saturating_add(self.timeout_ms)));
                continue;
            };
            if let Some(response) = door.poll(ticket, now_ms) {
                self.sent = None;
                return match T::try_from(response) {
                    Err(ErrorCode::NetworkException | ErrorCode::RequestTimedOut) => {
                        self.lost = true;
                        Poll::Pending
                    }
                    answer => Poll::Ready(answer),
                };
            }
            if now_ms < until {
                return Poll::Pending;
            }
            door.abandon(ticket);
            self.lost = true;
            self.sent = None;
        }
    }

    /// Is not interested in the answer any more; the request may still be applied.
    pub(super) fn abandon(self, door: &Door) {
        if let Some((ticket, _)) = self.sent {
            door.abandon(ticket);
        }
    }
}
