//! What is measured, in process and on Kafka: the topologies, and the events of the one that reads JSON.

use std::time::Duration;

use headwater::codec::Json;
use headwater::{Consumed, HasSerde, Materialized, Result, Slice, StreamsBuilder, TimeWindows, Topology};
use serde::{Deserialize, Serialize};

/// The topics of a pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) input: String,
    pub(crate) table: String,
    pub(crate) out: String,
}

pub(crate) fn passthrough(topics: &Topics) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder.stream::<Slice, Slice>(&*topics.input).to(&topics.out);
    builder.build()
}

/// The event of the JSON pipeline: 165 bytes, 8 fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) user_id: u64,
    pub(crate) item_id: u64,
    pub(crate) price_cents: u32,
    pub(crate) quantity: u32,
    pub(crate) country: [char; 2],
    pub(crate) in_stock: bool,
    pub(crate) event_time_ms: i64,
    pub(crate) average_rating: f64,
}

impl HasSerde for Event {
    type Serde = Json;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) user_id: u64,
    pub(crate) total_cents: u64,
    pub(crate) at_ms: i64,
}

impl Total {
    /// What becomes of an event.
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            user_id: event.user_id,
            total_cents: u64::from(event.price_cents) * u64::from(event.quantity),
            at_ms: event.event_time_ms,
        }
    }
}

impl HasSerde for Total {
    type Serde = Json;
}

pub(crate) fn json(topics: &Topics) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Slice, Event>(&*topics.input)
        .filter(|_, event| event.in_stock)
        .map_values(|event| Total::of(&event))
        .to(&topics.out);
    builder.build()
}

pub(crate) fn windowed_count(topics: &Topics) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Slice, Slice>(&*topics.input)
        .group_by_key()
        .windowed_by(TimeWindows::of_size_with_no_grace(Duration::from_secs(60)))
        .count_with(Materialized::named("counts"))
        .to_stream()
        .to(&topics.out);
    builder.build()
}

pub(crate) fn join(topics: &Topics) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let table = builder.table_with::<Slice, Slice>(
        &topics.table,
        Consumed::default(),
        Some(Materialized::named("rows")),
    );
    builder
        .stream::<Slice, Slice>(&*topics.input)
        .join(&table, |value, row| if row.is_empty() { row.clone() } else { value })
        .to(&topics.out);
    builder.build()
}
