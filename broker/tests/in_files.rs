//! The suites of logs, compaction, topics, transactions and the random walk once more, with storage in files.
#![allow(clippy::duplicate_mod, reason = "each suite brings the rig, which looks where it is")]

#[path = "compaction.rs"]
mod compaction;
#[path = "logs.rs"]
mod logs;
#[path = "model.rs"]
mod model;
#[path = "topics.rs"]
mod topics;
#[path = "transactions.rs"]
mod transactions;
