//! Trials on a real cluster: TLS and logins, brokers that are away, addresses that lead nowhere, topics that are deleted,
//! records that are refused, changelogs that are not what they were, steps and transactions that take too long, places that are taken, disks that get full,
//! signals, threads that come and go.
//!
//! They run where `HEADWATER_TEST_KAFKA` names the folder of a cluster of one broker that is theirs to kill:
//! `tests/kafka/start --secure --dir <folder>`. On one cluster they run one after the other.
#![cfg(feature = "ssl")]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod away;
mod broker;
mod certificates;
#[cfg(feature = "rocksdb")]
mod changelog;
#[path = "../ports/clusters.rs"]
#[allow(dead_code, reason = "the contract of the ports needs more of it")]
mod clusters;
mod compression;
mod deleted;
mod expired;
mod fenced;
#[cfg(feature = "rocksdb")]
mod full_disk;
mod heard;
mod pipeline;
#[cfg(feature = "rocksdb")]
#[path = "../byte_stores/place.rs"]
#[allow(dead_code, reason = "the byte stores need more of it")]
mod place;
mod proxy;
mod refusals;
mod refused;
mod secure;
#[cfg(feature = "rocksdb")]
mod signals;
mod slow;
mod threads;
