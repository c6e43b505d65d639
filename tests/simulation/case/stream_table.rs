//! A stream joined with a table: two inputs. Which row a record meets is open, within what the rows' order allows;
//! once the table stands still there is one answer.

use std::collections::BTreeMap;

use headwater::{Consumed, Materialized, StreamsBuilder, Topology};

use super::{Case, Feed, View, Wrong, key, same_records, same_rows, show, some_key, value};

pub(crate) struct StreamTable;

impl Case for StreamTable {
    fn name(&self) -> &'static str {
        "stream-table"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["in", "rows"]
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        let rows = builder.table_with::<String, String>(
            "rows",
            Consumed::default(),
            Some(Materialized::named("rows")),
        );
        builder
            .stream::<String, String>("in")
            .left_join(&rows, |value, row: Option<&String>| {
                format!("{value}|{}", row.map_or("0", String::as_str))
            })
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        let mut time = 10_000;
        let record = |id: u64| {
            time += random.i64(0..50);
            let (topic, value) =
                if random.u32(..3) == 0 { ("rows", format!("{}", id + 1)) } else { ("in", format!("r{id}")) };
            Feed { topic, key: some_key(random), value: Some(value), timestamp: time }
        };
        (0..count).map(record).collect()
    }

    fn finale(&self) -> Vec<Feed> {
        let last = |key: u32| Feed {
            topic: "in",
            key: format!("k{key}"),
            value: Some("last".to_owned()),
            timestamp: 1_000_000,
        };
        (0..8).map(last).collect()
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in view.all("rows") {
            versions.entry(key(record)).or_insert_with(|| vec!["0".to_owned()]).push(value(record));
        }
        let none = vec!["0".to_owned()];
        for (partition, input) in view.partitions("in").iter().enumerate() {
            let output = &view.partitions("out")[partition];
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            let mut left = Vec::new();
            for record in output {
                let joined = value(record);
                let (own, row) = joined.split_once('|').unwrap_or((&joined, ""));
                left.push(format!("{}={own}@{}", key(record), record.timestamp));
                let known = versions.get(&key(record)).unwrap_or(&none);
                let at = known.iter().position(|version| version == row);
                let at = at.ok_or_else(|| format!("out-{partition}: {} joined no row", show(record)))?;
                let before = seen.insert(key(record), at).unwrap_or(0);
                if at < before {
                    return Err(format!("out-{partition}: {} joined an older row than before", show(record)));
                }
                if own == "last" && at + 1 != known.len() {
                    return Err(format!("out-{partition}: {} is not the last row", show(record)));
                }
            }
            let expected: Vec<_> = input.iter().map(show).collect();
            same_records(&format!("out-{partition}"), &left, &expected)?;
        }
        let rows = versions.into_iter().filter_map(|(key, mut rows)| Some((key, rows.pop()?))).collect();
        same_rows("store rows", &view.fold("rows"), &rows)
    }
}
