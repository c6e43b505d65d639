//! The byte stores: one contract for all of them, and what the one on disk owes beyond it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

mod contract;
#[cfg(feature = "rocksdb")]
mod crash;
#[cfg(feature = "rocksdb")]
mod folder;
#[cfg(feature = "rocksdb")]
mod leftover;
#[cfg(feature = "rocksdb")]
mod place;
#[cfg(feature = "rocksdb")]
mod system;
#[cfg(feature = "rocksdb")]
mod upkeep;
#[cfg(feature = "rocksdb")]
mod worker;
