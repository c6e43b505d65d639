//! The first station: records wait in the queue of their input partition until their time has come.
//!
//! 1. A task has one [`Lane`] for each of its input partitions. The head of a lane is decoded early: its event time
//!    decides which lane goes next ([`order`]).
//! 2. A record that cannot be decoded, or has no valid time, is passed on the way: it is counted, its offset consumed.
//! 3. A lane that holds enough is not fetched: that is the back-pressure.

mod lane;
pub mod order;
mod scene;

pub use lane::{Lag, Lane};
pub use scene::Scene;
