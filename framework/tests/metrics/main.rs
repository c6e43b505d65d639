//! Metrics and health as they come over a socket, against what has really happened (feature `metrics`).
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

mod bench;
mod figures;
mod health;
mod lag;
mod scrape;
