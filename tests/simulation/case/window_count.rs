//! Tumbling windows with a grace, fed out of order: which records are late depends on stream time alone, so it must not
//! depend on crashes and moves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater::topology::StoreKind;
use headwater::{EmitStrategy, Materialized, StreamsBuilder, TimeWindows, Topology};
use headwater_broker::broker::OwnedRecord;

use super::{Case, Feed, View, Wrong, key, late_records, same_records, show_windowed, value};

const SIZE_MS: i64 = 1_000;
const GRACE_MS: i64 = 200;

pub(crate) struct WindowCount {
    /// Whether windows are told once, when they close.
    pub(crate) last_only: bool,
}

/// What comes out of one input partition, and what is dropped.
#[derive(Default)]
struct Model {
    output: Vec<String>,
    late: BTreeSet<i64>,
}

impl Model {
    fn of(records: &[OwnedRecord], last_only: bool) -> Self {
        let mut model = Self::default();
        // By start, then key.
        let mut windows: BTreeMap<(i64, String), (u64, i64, String)> = BTreeMap::new();
        let (mut stream_time, mut newest) = (-1, -1);
        for record in records {
            stream_time = record.timestamp.max(stream_time);
            let start = record.timestamp / SIZE_MS * SIZE_MS;
            newest = start.max(newest);
            if start + SIZE_MS <= stream_time - GRACE_MS {
                model.late.insert(record.offset);
            } else {
                let window = windows.entry((start, key(record))).or_insert((0, -1, String::new()));
                let time = record.timestamp.max(window.1);
                *window = (window.0 + 1, time, value(record));
                if !last_only {
                    model.tell((start, &key(record)), window);
                }
            }
            if last_only {
                let open = windows.split_off(&(stream_time - GRACE_MS - SIZE_MS + 1, String::new()));
                for ((start, key), window) in std::mem::replace(&mut windows, open) {
                    // Where time leaps, windows are gone before they are told, as in Kafka Streams.
                    if start >= newest - SIZE_MS - GRACE_MS {
                        model.tell((start, &key), &window);
                    }
                }
            }
        }
        model
    }

    fn tell(&mut self, (start, key): (i64, &str), (count, time, last): &(u64, i64, String)) {
        self.output.push(format!("{key}/{start}={count}:{last}@{time}"));
    }
}

impl Case for WindowCount {
    fn name(&self) -> &'static str {
        if self.last_only { "window-final" } else { "window-count" }
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        let windows = TimeWindows::of_size_and_grace(
            Duration::from_millis(SIZE_MS.unsigned_abs()),
            Duration::from_millis(GRACE_MS.unsigned_abs()),
        );
        let emit = if self.last_only { EmitStrategy::OnWindowClose } else { EmitStrategy::OnWindowUpdate };
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .windowed_by(windows)
            .emit_strategy(emit)
            // How many, and which was the last: so it can be seen which records were dropped.
            .aggregate_with(
                String::new,
                |_, value, before: String| {
                    let count =
                        before.split(':').next().and_then(|count| count.parse().ok()).unwrap_or(0_u64);
                    format!("{}:{value}", count + 1)
                },
                Materialized::named("windows"),
            )
            .to_stream()
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        late_records(random, count, 2_500)
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        for (partition, input) in view.partitions("in").iter().enumerate() {
            let got: Vec<_> = view.partitions("out")[partition].iter().map(show_windowed).collect();
            same_records(&format!("out-{partition}"), &got, &Model::of(input, self.last_only).output)?;
        }
        Ok(())
    }

    fn late(&self, records: &[OwnedRecord]) -> Option<BTreeSet<i64>> {
        Some(Model::of(records, self.last_only).late)
    }

    fn store(&self, _name: &str) -> StoreKind {
        StoreKind::Window(SIZE_MS + GRACE_MS)
    }
}
