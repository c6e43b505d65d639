//! The contract of the ports to a cluster, held by both of their sides: the in-process one always, and librdkafka's where
//! `HEADWATER_TEST_BOOTSTRAP` names a cluster (`make kafka` starts one).
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod clusters;
mod groups;
mod records;
mod refusals;
mod transactions;
mod upkeep;
