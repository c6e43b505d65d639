//! The loader: replays the flights and the weather in time order, some of them late, as fast as it is told.
//!
//! Airlines and planes come first, all of them: they are tables that were there before the first flight.
//! A share of the flights is late: it arrives minutes to hours after flights that were scheduled later. Which ones and
//! by how much follows from the seed alone.

use crate::Fallible;
use crate::files::{Data, Keyed};
use crate::topics::Topics;
use crate::topology::{AIRLINES, FLIGHTS, PLANES, WEATHER};

/// One in so many flights is late.
const LATE_ONE_IN: u32 = 10;
/// By at most so much, in event time.
const LATEST_MS: i64 = 90 * 60_000;

/// A record that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// When it arrives, in event time: its own time, or later.
    pub(crate) at: i64,
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) time: i64,
}

/// Sends the rows of the tables that do not change.
pub(crate) fn load_tables(data: &Data, topics: &Topics) -> Fallible<()> {
    for row in &data.airlines {
        topics.send(AIRLINES, &row.key, &serde_json::to_vec(&row.value)?, row.time)?;
    }
    for row in &data.planes {
        topics.send(PLANES, &row.key, &serde_json::to_vec(&row.value)?, row.time)?;
    }
    topics.flush()
}

/// Weather and flights in the order in which they arrive.
pub(crate) fn arrivals(data: &Data, seed: u64) -> Fallible<Vec<Arrival>> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut arrivals = Vec::with_capacity(data.weather.len() + data.flights.len());
    for row in &data.weather {
        arrivals.push(arrival(WEATHER, row, row.time)?);
    }
    for row in &data.flights {
        let late = if chance.u32(..LATE_ONE_IN) == 0 { chance.i64(1..=LATEST_MS) } else { 0 };
        arrivals.push(arrival(FLIGHTS, row, row.time + late)?);
    }
    // Stable: at the same moment weather comes before flights.
    arrivals.sort_by_key(|arrival| arrival.at);
    Ok(arrivals)
}

fn arrival<V: serde::Serialize>(topic: &'static str, row: &Keyed<V>, at: i64) -> Fallible<Arrival> {
    Ok(Arrival { at, topic, key: row.key.clone(), value: serde_json::to_vec(&row.value)?, time: row.time })
}
