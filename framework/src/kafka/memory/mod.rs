//! The in-process side of the ports: clients of the deterministic broker core, in the same process.
//!
//! 1. It behaves like a real client over a network: requests can be lost, repeated and answered late (see
//!    `headwater_broker::faults`), sequence numbers and epochs protect against the consequences, errors have
//!    the classes that librdkafka gives them. A worker that works here works there.
//! 2. No thread, no clock, no randomness: everything follows from the calls and their `now_ms`, so that a seed
//!    replays everything. Only [`crate::kafka::Cluster::wait`] blocks, for applications in real time.
//! 3. Nobody backs off by the clock: a request that may be repeated goes out again with the next call of its port.

mod admin;
mod cluster;
mod consumer;
mod door;
mod errand;
mod groups;
mod member;
mod outbox;
mod place;
mod producer;
mod protocol;
mod range;
mod refused;
mod standing;
mod transaction;
mod verdict;

pub use cluster::MemoryCluster;
/// The broker itself, locked: for tests and simulations that plant faults or look inside. No port may be used while
/// it is held.
pub use headwater_broker::BrokerGuard;
#[cfg(feature = "embedded")]
pub use headwater_broker::server::Server;
