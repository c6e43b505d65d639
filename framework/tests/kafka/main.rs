//! Trials on a real cluster: TLS and logins, brokers that are away, addresses that lead nowhere, topics that are deleted,
//! changelogs that are not what they were, transactions that take too long.
//!
//! They run where `HEADWATER_TEST_KAFKA` names the folder of a cluster of one broker that is theirs to kill:
//! `tests/kafka/start --secure --dir <folder>`. They run one after the other.
#![cfg(feature = "ssl")]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod away;
mod broker;
#[cfg(feature = "rocksdb")]
mod changelog;
#[path = "../ports/clusters.rs"]
#[allow(dead_code, reason = "the contract of the ports needs more of it")]
mod clusters;
mod compression;
mod deleted;
mod expired;
mod heard;
mod pipeline;
mod refused;
mod secure;
mod slow;
