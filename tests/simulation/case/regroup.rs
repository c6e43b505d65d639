//! Other keys, a repartition topic, and a count behind it: two sub-topologies.

use std::collections::BTreeMap;

use headwater::{Grouped, Materialized, StreamsBuilder, Topology};

use super::{Case, Feed, View, Wrong, key, same_records, same_rows, some_key, value};

pub(crate) struct Regroup;

/// Values are `group:id`.
fn group(value: &str) -> String {
    value.split(':').next().unwrap_or_default().to_owned()
}

impl Case for Regroup {
    fn name(&self) -> &'static str {
        "repartition"
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .select_key(|_, value| group(value))
            .group_by_key_with(Grouped::named("regrouped"))
            .count_with(Materialized::named("counts"))
            .to_stream()
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        let mut time = 10_000;
        let record = |id: u64| {
            time += random.i64(0..50);
            let value = Some(format!("g{}:r{id}", random.u32(..6)));
            Feed { topic: "in", key: some_key(random), value, timestamp: time }
        };
        (0..count).map(record).collect()
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        view.all("in").for_each(|record| *counts.entry(group(&value(record))).or_default() += 1);
        for (name, count) in &counts {
            let got: Vec<_> = view.all("out").filter(|record| key(record) == *name).map(value).collect();
            // In which order the groups' records meet is open, but each count comes out once.
            let expected: Vec<_> = (1..=*count).map(|number| number.to_string()).collect();
            same_records(&format!("out, key {name}"), &got, &expected)?;
        }
        let rows = counts.into_iter().map(|(name, count)| (name, count.to_string())).collect();
        same_rows("store counts", &view.fold("counts"), &rows)
    }
}
