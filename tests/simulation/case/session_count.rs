//! Sessions: records far apart in time meet or do not, late ones are dropped, merged sessions are deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater::topology::StoreKind;
use headwater::{Materialized, SessionWindows, StreamsBuilder, Topology};
use headwater_broker::broker::OwnedRecord;

use super::{Case, Feed, View, Wrong, key, same_records, show_session, some_key};

const GAP_MS: i64 = 300;
const GRACE_MS: i64 = 400;
/// Longer than any run: what the store forgets is not the question here.
const RETENTION_MS: i64 = 3_600_000;

pub(crate) struct SessionCount;

#[derive(Default)]
struct Model {
    output: Vec<String>,
    late: BTreeSet<i64>,
}

impl Model {
    fn of(records: &[OwnedRecord]) -> Self {
        let mut model = Self::default();
        // By key, then end, then start.
        let mut sessions: BTreeMap<String, BTreeMap<(i64, i64), i64>> = BTreeMap::new();
        let mut stream_time = -1;
        for record in records {
            stream_time = record.timestamp.max(stream_time);
            let time = record.timestamp;
            let own = sessions.entry(key(record)).or_default();
            let met =
                |((end, start), _): &(&(i64, i64), &i64)| *end >= time - GAP_MS && *start <= time + GAP_MS;
            let found: Vec<_> = own.iter().filter(met).map(|(span, count)| (*span, *count)).collect();
            let start = found.iter().map(|((_, start), _)| *start).fold(time, i64::min);
            let end = found.iter().map(|((end, _), _)| *end).fold(time, i64::max);
            if end < stream_time - GRACE_MS - GAP_MS {
                model.late.insert(record.offset);
                continue;
            }
            let count = 1 + found.iter().map(|(_, count)| count).sum::<i64>();
            for ((gone_end, gone_start), _) in found {
                own.remove(&(gone_end, gone_start));
                if (start, end) != (time, time) {
                    model.output.push(format!("{}/{gone_start}-{gone_end}=null@{gone_end}", key(record)));
                }
            }
            own.insert((end, start), count);
            model.output.push(format!("{}/{start}-{end}={count}@{end}", key(record)));
        }
        model
    }
}

impl Case for SessionCount {
    fn name(&self) -> &'static str {
        "session-count"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["in"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["out"]
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        let windows = SessionWindows::of_inactivity_gap_and_grace(
            Duration::from_millis(GAP_MS.unsigned_abs()),
            Duration::from_millis(GRACE_MS.unsigned_abs()),
        );
        let kept = Materialized::named("sessions")
            .with_retention(Duration::from_millis(RETENTION_MS.unsigned_abs()));
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .windowed_by_session(windows)
            .count_with(kept)
            .to_stream()
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        let mut time = 10_000;
        let record = |id: u64| {
            time += random.i64(0..80);
            let late = if random.u32(..3) == 0 { random.i64(0..1_500) } else { 0 };
            Feed { topic: "in", key: some_key(random), value: Some(format!("r{id}")), timestamp: time - late }
        };
        (0..count).map(record).collect()
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        for (partition, input) in view.partitions("in").iter().enumerate() {
            let got: Vec<_> = view.partitions("out")[partition].iter().map(show_session).collect();
            same_records(&format!("out-{partition}"), &got, &Model::of(input).output)?;
        }
        Ok(())
    }

    fn late(&self, records: &[OwnedRecord]) -> Option<BTreeSet<i64>> {
        Some(Model::of(records).late)
    }

    fn store(&self, _name: &str) -> StoreKind {
        StoreKind::Session(RETENTION_MS)
    }
}
