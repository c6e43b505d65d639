//! The door: requests come in, faults befall them, answers go out.

use super::Broker;
use crate::api::{ApiKey, ClientId, Request, Response, Ticket};
use crate::error::ErrorCode;
use crate::faults::Verdict;

/// A ticket that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    client: ClientId,
    /// How long the answer will be under way; `None` when it will be lost.
    response_ms: Option<i64>,
}

/// Something under way.
#[derive(Clone, Debug)]
pub(super) enum Late {
    Request { client: ClientId, request: Request, ticket: Ticket },
    Response { ticket: Ticket, response: Response, client: ClientId },
}

/// Whether somebody else may wait for such a request. Appended data has a version of its own.
fn concerns_others(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::LeaveGroup
            | ApiKey::InitProducerId
            | ApiKey::EndTxn
            | ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
    )
}

impl Broker {
    /// Hands a request in. Fetch the answer with [`Broker::poll`], or give the ticket back with
    /// [`Broker::abandon`].
    pub fn submit(&mut self, client: ClientId, request: impl Into<Request>, now: i64) -> Ticket {
        let request = request.into();
        self.advance(now);
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.asked += u64::from(concerns_others(request.api_key()));
        if self.down {
            self.make_ready(ticket, Response::Error(ErrorCode::NetworkException));
            return ticket;
        }
        let verdict = self.faults.verdict(&client, &request, self.now);
        let response_ms = match verdict {
            Verdict::DropRequest => return ticket,
            Verdict::Fail(code) => {
                self.make_ready(ticket, Response::Error(code));
                return ticket;
            }
            Verdict::DropResponse => None,
            Verdict::Delay { response_ms, .. } => Some(response_ms),
            Verdict::Pass | Verdict::Duplicate { .. } => Some(0),
        };
        self.claims.insert(ticket, Claim { client: client.clone(), response_ms });
        match verdict {
            Verdict::Delay { request_ms, .. } if request_ms > 0 => {
                self.send_late(request_ms, Late::Request { client, request, ticket });
            }
            Verdict::Duplicate { after_ms } => {
                self.apply(&client, request.clone(), ticket);
                self.send_late(after_ms, Late::Request { client, request, ticket });
                self.advance(now);
            }
            _ => self.apply(&client, request, ticket),
        }
        ticket
    }

    /// The answer, once it is there; `None` before that, and for ever when it (or the request) was lost.
    /// Each answer is handed out once.
    pub fn poll(&mut self, ticket: Ticket, now: i64) -> Option<Response> {
        self.advance(now);
        self.ready.remove(&ticket)
    }

    /// Whether there are answers that nobody has fetched yet.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Submits and polls: for requests that are answered at once.
    pub fn call(&mut self, client: &ClientId, request: impl Into<Request>, now: i64) -> Option<Response> {
        let ticket = self.submit(client.clone(), request, now);
        self.poll(ticket, now)
    }

    /// Gives a ticket back: its answer is not wanted any more. What was asked may still happen.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.claims.remove(&ticket);
        self.ready.remove(&ticket);
        self.late.retain(|_, late| !matches!(late, Late::Response { ticket: other, .. } if *other == ticket));
    }

    /// Breaks a client's connection: answers that are not ready yet are lost. What was asked may still
    /// happen.
    pub fn disconnect(&mut self, client: &ClientId) {
        self.claims.retain(|_, claim| claim.client != *client);
        self.late.retain(|_, late| !matches!(late, Late::Response { client: other, .. } if other == client));
    }

    /// Moves time forward and lets arrive what is under way.
    pub(super) fn advance(&mut self, now: i64) {
        self.now = self.now.max(now);
        self.shorten_journal();
        while let Some(first) = self.late.first_entry().filter(|first| first.key().0 <= self.now) {
            match first.remove() {
                Late::Request { client, request, ticket } => self.apply(&client, request, ticket),
                Late::Response { ticket, response, .. } => self.make_ready(ticket, response),
            }
        }
    }

    /// Answers a ticket, once; a second answer (of a duplicate) is dropped.
    pub(super) fn answer(&mut self, ticket: Ticket, response: Response) {
        let Some(Claim { client, response_ms }) = self.claims.remove(&ticket) else { return };
        match response_ms {
            None => {}
            Some(delay) if delay > 0 => self.send_late(delay, Late::Response { ticket, response, client }),
            Some(_) => self.make_ready(ticket, response),
        }
    }

    fn make_ready(&mut self, ticket: Ticket, response: Response) {
        self.ready.insert(ticket, response);
        self.version += 1;
    }

    fn send_late(&mut self, delay_ms: i64, late: Late) {
        self.late.insert((self.now.saturating_add(delay_ms), self.next_late), late);
        self.next_late += 1;
    }

    /// Breaks all connections: whoever waits hears that the network failed, and cannot know what was applied.
    pub(super) fn break_connections(&mut self) {
        let mut lost: Vec<Ticket> = self.claims.keys().copied().collect();
        lost.extend(self.late.values().filter_map(|late| match late {
            Late::Response { ticket, .. } => Some(*ticket),
            Late::Request { .. } => None,
        }));
        self.late.clear();
        self.claims.clear();
        for ticket in lost {
            self.make_ready(ticket, Response::Error(ErrorCode::NetworkException));
        }
    }
}
