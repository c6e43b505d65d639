//! Reset: what is refused, what is deleted, what is told, and that an application then does everything again.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod choice;
#[cfg(feature = "rocksdb")]
#[path = "../ports/clusters.rs"]
#[allow(dead_code, reason = "the contract of the ports needs more of it")]
mod clusters;
mod refused;
#[cfg(feature = "rocksdb")]
mod whole;
