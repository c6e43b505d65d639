//! A table with deletions: its changes come out as they are, and its rows are filtered, grouped and counted.

use std::collections::BTreeMap;

use headwater::{Consumed, Materialized, StreamsBuilder, Topology};

use super::{Case, Feed, View, Wrong, key, same_records, same_rows, show, some_key, value};

pub(crate) struct Table;

/// Rows are `group:id`; those with an id that ends in 7 are filtered out.
fn is_kept(row: &str) -> bool {
    !row.ends_with('7')
}

fn group(row: &str) -> String {
    row.split(':').next().unwrap_or_default().to_owned()
}

impl Case for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["rows-out", "groups-out"]
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        let rows = builder.table_with::<String, String>(
            "in",
            Consumed::default(),
            Some(Materialized::named("rows")),
        );
        rows.to_stream().to("rows-out");
        rows.filter(|_, row| is_kept(row))
            .group_by(|_, row| (group(row), row.clone()))
            .count_with(Materialized::named("groups"))
            .to_stream()
            .to("groups-out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        let mut time = 10_000;
        let record = |id: u64| {
            time += random.i64(0..50);
            let row = format!("g{}:r{id}", random.u32(..4));
            let value = (random.u32(..4) > 0).then_some(row);
            Feed { topic: "in", key: some_key(random), value, timestamp: time }
        };
        (0..count).map(record).collect()
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        let mut rows = BTreeMap::new();
        let mut groups: BTreeMap<String, String> = BTreeMap::new();
        for (partition, input) in view.partitions("in").iter().enumerate() {
            let expected: Vec<_> = input.iter().map(show).collect();
            let got: Vec<_> = view.partitions("rows-out")[partition].iter().map(show).collect();
            same_records(&format!("rows-out-{partition}"), &got, &expected)?;
            for record in input {
                if record.value.is_none() {
                    rows.remove(&key(record));
                    continue;
                }
                rows.insert(key(record), value(record));
                if is_kept(&value(record)) {
                    groups.insert(group(&value(record)), "0".to_owned());
                }
            }
        }
        same_rows("store rows", &view.fold("rows"), &rows)?;
        for (name, count) in &mut groups {
            let members = rows.values().filter(|row| is_kept(row) && group(row) == *name);
            *count = members.count().to_string();
        }
        let last = view.all("groups-out").map(|record| (key(record), value(record))).collect();
        same_rows("groups-out", &last, &groups)?;
        same_rows("store groups", &view.fold("groups"), &groups)
    }
}
