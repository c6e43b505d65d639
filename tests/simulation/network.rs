//! Network: decides by the seed what befalls each request.
//!
//! What cannot happen does not happen here either: over one connection nothing is repeated or overtaken unless the
//! client asked again, so requests that would count for a later transaction are repeated only on the spot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use headwater::kafka::memory::MemoryCluster;
use headwater_broker::{ApiKey, ClientId, ErrorCode, Network, Request, Verdict};

use crate::scenario::Weather;

/// Faults by kind, shared with whoever counts.
pub(crate) type Counts = Arc<Mutex<BTreeMap<&'static str, u64>>>;

/// A network with weather.
pub(crate) struct SeededNetwork {
    pub(crate) random: fastrand::Rng,
    pub(crate) weather: Weather,
    pub(crate) counts: Counts,
}

impl Network for SeededNetwork {
    fn verdict(&mut self, client: &ClientId, request: &Request, _now: i64) -> Verdict {
        if client.as_str() == MemoryCluster::CLIENT {
            return Verdict::Pass;
        }
        let (kind, verdict) = self.decide(request);
        if verdict != Verdict::Pass {
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
        }
        verdict
    }
}

impl SeededNetwork {
    fn decide(&mut self, request: &Request) -> (&'static str, Verdict) {
        let api = request.api_key();
        let weather = self.weather;
        if api == ApiKey::Heartbeat && self.happens(weather.slow_heartbeat) {
            let response_ms = self.random.i64(300..1_500);
            return ("slow heartbeat", Verdict::Delay { request_ms: 0, response_ms });
        }
        if self.happens(weather.drop_request) && self.may_be_lost(api) {
            return ("lost request", Verdict::DropRequest);
        }
        if self.happens(weather.drop_response) && self.may_be_lost(api) {
            return ("lost answer", Verdict::DropResponse);
        }
        if self.happens(weather.delay) {
            let (request_ms, response_ms) = (self.delay_ms(), self.delay_ms());
            return ("delay", Verdict::Delay { request_ms, response_ms });
        }
        if self.happens(weather.duplicate) {
            let after_ms = if may_be_repeated_later(api) { self.random.i64(0..400) } else { 0 };
            return ("duplicate", Verdict::Duplicate { after_ms });
        }
        if self.happens(weather.retriable) {
            let codes = retriable(api);
            return ("retriable error", Verdict::Fail(codes[self.random.usize(..codes.len())]));
        }
        match abortable(request) {
            Some(code) if self.happens(weather.abortable) => ("abortable error", Verdict::Fail(code)),
            _ => ("", Verdict::Pass),
        }
    }

    fn happens(&mut self, share: u32) -> bool {
        share > 0 && self.random.u32(..10_000) < share
    }

    /// Where half a minute passes until a client asks again, one loss in ten is enough.
    fn may_be_lost(&mut self, api: ApiKey) -> bool {
        let slow = matches!(
            api,
            ApiKey::Fetch
                | ApiKey::ListOffsets
                | ApiKey::Metadata
                | ApiKey::OffsetFetch
                | ApiKey::CreateTopics
        );
        !slow || self.random.u32(..10) == 0
    }

    /// Mostly short; sometimes longer than the client waits for it (300 ms).
    fn delay_ms(&mut self) -> i64 {
        match self.random.u32(..8) {
            0 => self.random.i64(300..900),
            1..4 => 0,
            _ => self.random.i64(1..120),
        }
    }
}

fn may_be_repeated_later(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Produce
            | ApiKey::Fetch
            | ApiKey::ListOffsets
            | ApiKey::Metadata
            | ApiKey::OffsetFetch
            | ApiKey::Heartbeat
    )
}

fn retriable(api: ApiKey) -> &'static [ErrorCode] {
    const COORDINATOR: &[ErrorCode] = &[
        ErrorCode::NotCoordinator,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::RequestTimedOut,
    ];
    const LEADER: &[ErrorCode] = &[ErrorCode::NotLeaderOrFollower, ErrorCode::LeaderNotAvailable];
    const ANY: &[ErrorCode] = &[ErrorCode::NetworkException, ErrorCode::RequestTimedOut];
    match api {
        ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::InitProducerId
        | ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::TxnOffsetCommit
        | ApiKey::EndTxn => COORDINATOR,
        ApiKey::Produce | ApiKey::Fetch | ApiKey::ListOffsets => LEADER,
        _ => ANY,
    }
}

/// An error that costs the transaction and nothing else.
fn abortable(request: &Request) -> Option<ErrorCode> {
    match request {
        Request::AddPartitionsToTxn(_) => Some(ErrorCode::TopicAuthorizationFailed),
        Request::AddOffsetsToTxn(_) | Request::TxnOffsetCommit(_) => {
            Some(ErrorCode::GroupAuthorizationFailed)
        }
        // Not one that blames a record: then the production handler is asked.
        Request::Produce(produce) if produce.transactional_id.is_some() => {
            Some(ErrorCode::TransactionAbortable)
        }
        _ => None,
    }
}
