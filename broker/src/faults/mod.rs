//! Faults: what a test or a simulation lets go wrong between a client and the broker, or inside the broker.
//!
//! ```
//! use headwater_broker::faults::{Rule, Verdict};
//! use headwater_broker::{ApiKey, Broker, BrokerConfig};
//!
//! let mut broker = Broker::new(BrokerConfig::default());
//! // The first commit is applied, but its producer never hears of it.
//! broker.faults_mut().rules.add(Rule::on(ApiKey::EndTxn, Verdict::DropResponse).times(1));
//! ```

mod rules;

use crate::api::{ClientId, Request};
use crate::error::ErrorCode;

pub use rules::{Rule, Rules};

/// What happens to one request and its answer. Times count from when the request (or the answer) was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nothing out of the ordinary.
    #[default]
    Pass,
    /// The request is lost: it is not applied, and never answered.
    DropRequest,
    /// The request is applied, its answer is lost.
    DropResponse,
    /// Either way takes time, so that requests and answers may overtake each other.
    Delay {
        /// Until the request is applied.
        request_ms: i64,
        /// From when it is answered until the client hears it.
        response_ms: i64,
    },
    /// The request is applied now and once more later; the first answer counts.
    Duplicate {
        /// Until the second time.
        after_ms: i64,
    },
    /// The request is not applied; the answer is [`crate::Response::Error`] with this code.
    Fail(ErrorCode),
}

/// Decides over every request; the port for a seeded simulation.
pub trait Network: Send {
    /// What happens to this request. Called once per request, in the order of submission.
    fn verdict(&mut self, client: &ClientId, request: &Request, now: i64) -> Verdict;
}

/// How long after a transaction's decision its markers are written. All zero: at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MarkerDelay {
    /// Until committed offsets become stable.
    pub offsets_ms: i64,
    /// Until the first data partition gets its marker.
    pub data_ms: i64,
    /// From one data partition to the next.
    pub step_ms: i64,
}

/// Bugs planted in the broker, for a simulation to show that it would catch them. All off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Misbehaviour {
    /// OffsetFetch answers the old offset as if it were stable while a transaction's commit is undecided.
    pub ignore_require_stable: bool,
    /// OffsetCommit and TxnOffsetCommit take any generation from any member.
    pub accept_stale_generation: bool,
}

/// Everything that may go wrong.
#[derive(Default)]
pub struct Faults {
    /// Rules by request and client; the first that applies decides.
    pub rules: Rules,
    /// Asked when no rule applies.
    pub network: Option<Box<dyn Network>>,
    /// Delays markers.
    pub marker_delay: MarkerDelay,
    /// Planted bugs.
    pub misbehaviour: Misbehaviour,
}

impl Faults {
    pub(crate) fn verdict(&mut self, client: &ClientId, request: &Request, now: i64) -> Verdict {
        if let Some(verdict) = self.rules.verdict(client, request) {
            return verdict;
        }
        self.network.as_mut().map_or(Verdict::Pass, |network| network.verdict(client, request, now))
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults")
            .field("rules", &self.rules)
            .field("network", &self.network.is_some())
            .field("marker_delay", &self.marker_delay)
            .field("misbehaviour", &self.misbehaviour)
            .finish()
    }
}
