//! Sessions: records far apart in time meet or do not, late ones are dropped, merged sessions are deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater::topology::StoreKind;
use headwater::{EmitStrategy, Materialized, SessionWindows, StreamsBuilder, Topology};
use headwater_broker::broker::OwnedRecord;

use super::{Case, Feed, View, Wrong, key, late_records, same_records, show_session};

const GAP_MS: i64 = 300;
const GRACE_MS: i64 = 400;

pub(crate) struct SessionCount {
    /// Whether sessions are told once, when they close.
    pub(crate) last_only: bool,
}

#[derive(Default)]
struct Model {
    output: Vec<String>,
    late: BTreeSet<i64>,
}

impl Model {
    fn of(records: &[OwnedRecord], last_only: bool) -> Self {
        let mut model = Self::default();
        // By end, start, and key.
        let mut sessions: BTreeMap<(i64, i64, String), i64> = BTreeMap::new();
        let (mut stream_time, mut closed) = (-1, -1);
        for record in records {
            let (name, time) = (key(record), record.timestamp);
            stream_time = time.max(stream_time);
            let close = stream_time - GRACE_MS - GAP_MS;
            // What could be closed before this record is gone.
            let met = |(end, start, other): &(i64, i64, String)| {
                *other == name && *end > closed && *end >= time - GAP_MS && *start <= time + GAP_MS
            };
            let found: Vec<_> = sessions.keys().filter(|session| met(session)).cloned().collect();
            let start = found.iter().map(|(_, start, _)| *start).fold(time, i64::min);
            let end = found.iter().map(|(end, _, _)| *end).fold(time, i64::max);
            if end < close {
                model.late.insert(record.offset);
            } else {
                let mut count = 1;
                for session in found {
                    count += sessions.remove(&session).unwrap_or(0);
                    if (start, end) != (time, time) && !last_only {
                        model.tell((session.0, session.1, &name), None);
                    }
                }
                if !last_only {
                    model.tell((end, start, &name), Some(count));
                }
                sessions.insert((end, start, name), count);
            }
            if last_only && close > closed {
                let open = sessions.split_off(&(close, i64::MIN, String::new()));
                for ((end, start, name), count) in std::mem::replace(&mut sessions, open) {
                    if end >= closed {
                        model.tell((end, start, &name), Some(count));
                    }
                }
            }
            closed = close.max(closed);
        }
        model
    }

    fn tell(&mut self, (end, start, key): (i64, i64, &str), count: Option<i64>) {
        let count = count.map_or_else(|| "null".to_owned(), |count| count.to_string());
        self.output.push(format!("{key}/{start}-{end}={count}@{end}"));
    }
}

impl Case for SessionCount {
    fn name(&self) -> &'static str {
        if self.last_only { "session-final" } else { "session-count" }
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        let windows = SessionWindows::of_inactivity_gap_and_grace(
            Duration::from_millis(GAP_MS.unsigned_abs()),
            Duration::from_millis(GRACE_MS.unsigned_abs()),
        );
        let emit = if self.last_only { EmitStrategy::OnWindowClose } else { EmitStrategy::OnWindowUpdate };
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .windowed_by_session(windows)
            .emit_strategy(emit)
            .count_with(Materialized::named("sessions"))
            .to_stream()
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        late_records(random, count, 1_500)
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        for (partition, input) in view.partitions("in").iter().enumerate() {
            let got: Vec<_> = view.partitions("out")[partition].iter().map(show_session).collect();
            same_records(&format!("out-{partition}"), &got, &Model::of(input, self.last_only).output)?;
        }
        Ok(())
    }

    fn late(&self, records: &[OwnedRecord]) -> Option<BTreeSet<i64>> {
        Some(Model::of(records, self.last_only).late)
    }

    fn store(&self, _name: &str) -> StoreKind {
        StoreKind::Session(GAP_MS + GRACE_MS)
    }
}
