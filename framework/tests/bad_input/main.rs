//! Bad input, from the topic to the dead letter: one test for each way of being wrong.
//!
//! Every record in is a record out, a dead letter, or a drop under a reason; every error says where it happened and what
//! can be done. What is tested elsewhere and not again here:
//!
//! - what each serde says about bytes that are not its own: `codec_errors.rs`, and for Avro
//!   `codec_avro.rs`, `each_way_to_be_wrong_says_what_to_do`;
//! - a missing source topic of an application on threads: `runtime_kit.rs`, `an_application_that_cannot_start_says_why`;
//! - a changelog with another cleanup policy, and with another number of partitions: `runtime_kit.rs`,
//!   `start_up_tells_what_is_wrong_with_topics`;
//! - joined topics of unequal partition counts, in pure numbers: `src/group/partitions.rs`,
//!   `joined_topics_that_cannot_be_levelled_are_refused_by_name`;
//! - wrong and contradictory configuration: `config.rs`, `unknown_names_are_refused_with_the_nearest`,
//!   `values_that_are_not_allowed_are_refused_with_what_is`, `contradictions_are_refused_by_name` and those around them;
//! - what only the broker refuses, or a topic's own settings: `runtime_refusals.rs`;
//! - late records and a task that moves: the simulation (`tests/simulation/`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

#[cfg(feature = "avro")]
mod avro;
mod bench;
mod events;
mod log;
mod reading;
#[cfg(feature = "avro")]
mod registry;
mod sizes;
mod topics;
mod writing;
