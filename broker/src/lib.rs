//! A single-node Kafka broker: logs, groups and transactions as one deterministic state machine, and with the feature
//! `server` a TCP server before it, for any Kafka client.
//!
//! The core does no I/O, reads no clock and starts no thread. Whoever drives it (the in-process door of the
//! framework, a TCP server, a simulation) hands it requests and the time, and polls for the answers:
//!
//! ```
//! use headwater_broker::api::{CreateTopicsRequest, NewTopic, Request, Response};
//! use headwater_broker::{Broker, BrokerConfig, ClientId};
//!
//! let mut broker = Broker::new(BrokerConfig::default());
//! let client = ClientId::new("hello");
//! let request = Request::CreateTopics(CreateTopicsRequest::new(vec![NewTopic::new("clicks", 4)]));
//! let ticket = broker.submit(client, request, 0);
//! let Some(Response::CreateTopics(answer)) = broker.poll(ticket, 0) else { panic!("answered at once") };
//! assert_eq!(answer.topics[0].error.name(), "NONE");
//! assert_eq!(broker.topics(), ["clicks"]);
//! ```
//!
//! The modules stand in reading order; each knows only those before it.

pub mod error;

pub mod batch;

pub mod api;

pub mod faults;

pub mod storage;

pub mod log;

pub mod topic;

mod identity;

pub mod transaction;

pub mod group;

mod journal;

pub mod broker;

mod shared;

#[cfg(feature = "server")]
mod wire;

#[cfg(feature = "server")]
pub mod server;

pub use api::{ApiKey, ClientId, Request, Response, Ticket, TopicPartition};
pub use broker::{Broker, BrokerConfig};
pub use error::ErrorCode;
pub use faults::{Faults, Misbehaviour, Network, Verdict};
pub use shared::{BrokerGuard, Change, SharedBroker};

#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
struct Readme;
