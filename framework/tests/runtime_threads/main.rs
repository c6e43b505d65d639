//! Workers come and go while an application runs: added, removed, paused, failed and replaced.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

mod bench;
mod failing;
mod pausing;
mod scaling;
