//! Which lane goes next: the one whose head has the lowest event time; of several, the one with the lowest number.
//!
//! `max.task.idle.ms` says how long a task waits for the heads of empty lanes (Kafka Streams' KIP-695):
//! 1. Never (`-1`): what is there is processed.
//! 2. `0`: a task waits while an empty lane is known to be behind, or nothing is known of it yet.
//! 3. `n > 0`: as `0`, and then `n` milliseconds more for records that nobody has written yet.

use super::{Lag, Lane};

/// The lane whose head comes first. Only lanes with a loaded head count.
#[must_use]
pub fn lowest(lanes: &[Lane]) -> Option<usize> {
    let heads = lanes.iter().enumerate().filter_map(|(number, lane)| Some((lane.head_time()?, number)));
    heads.min().map(|(_, number)| number)
}

/// Whether the task may go on with the heads that it has. `idle_ms` is `max.task.idle.ms`, `None` for never.
pub fn ready(lanes: &mut [Lane], idle_ms: Option<i64>, now_ms: i64) -> bool {
    let Some(idle_ms) = idle_ms else { return true };
    let mut ready = true;
    for lane in lanes {
        if lane.head_time().is_some() || lane.lag() != Lag::CaughtUp {
            lane.idle_since = None;
            ready &= lane.head_time().is_some();
            continue;
        }
        let since = *lane.idle_since.get_or_insert(now_ms);
        ready &= now_ms.saturating_sub(since) >= idle_ms;
    }
    ready
}
