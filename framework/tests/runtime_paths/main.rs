//! Paths of the worker that no ordinary run takes: offsets that are gone, state that cannot be trusted, memory that runs
//! short, and repartition records that nobody needs any more.
//!
//! Rebuilds by seed, with their causes spoilt at random, are in the simulation (`tests/simulation/`); here each cause stands
//! alone, with what becomes of the state.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

mod bench;
mod doubt;
mod memory;
mod purge;
mod rebuild;
mod reset;
mod restore;
