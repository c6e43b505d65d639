//! Every record out again, and a running count per key: one input, one store, every update comes out.

use std::collections::{BTreeMap, BTreeSet};

use headwater::{Materialized, StreamsBuilder, Topology};

use super::{Case, Feed, View, Wrong, key, same_records, same_rows, show, some_key, value};

pub(crate) struct EchoCount;

impl Case for EchoCount {
    fn name(&self) -> &'static str {
        "echo-count"
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["echo", "counts-out"]
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        stream.to("echo");
        stream.group_by_key().count_with(Materialized::named("counts")).to_stream().to("counts-out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        let mut time = 10_000;
        let record = |id: u64| {
            time += random.i64(0..50);
            let timestamp = time - random.i64(0..200);
            Feed { topic: "in", key: some_key(random), value: Some(format!("r{id}")), timestamp }
        };
        (0..count).map(record).collect()
    }

    fn knows_at_least_once(&self) -> bool {
        true
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        let mut rows = BTreeMap::new();
        for (partition, input) in view.partitions("in").iter().enumerate() {
            let echo: Vec<_> = input.iter().map(show).collect();
            let got: Vec<_> = view.partitions("echo")[partition].iter().map(show).collect();
            same_records(&format!("echo-{partition}"), &got, &echo)?;
            let mut counts: BTreeMap<String, (i64, i64)> = BTreeMap::new();
            let mut expected = Vec::new();
            for record in input {
                let (count, time) = counts.entry(key(record)).or_insert((0, -1));
                *count += 1;
                *time = record.timestamp.max(*time);
                expected.push(format!("{}={count}@{time}", key(record)));
            }
            let got: Vec<_> = view.partitions("counts-out")[partition].iter().map(show).collect();
            same_records(&format!("counts-out-{partition}"), &got, &expected)?;
            rows.extend(counts.into_iter().map(|(key, (count, _))| (key, count.to_string())));
        }
        same_rows("store counts", &view.fold("counts"), &rows)
    }

    fn judge_at_least_once(&self, view: &View) -> Result<(), Wrong> {
        let ids: BTreeSet<_> = view.all("echo").map(value).collect();
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for record in view.all("in") {
            *counts.entry(key(record)).or_default() += 1;
            if !ids.contains(&value(record)) {
                return Err(format!("echo: record {} has not come out", show(record)));
            }
        }
        let stored = view.fold("counts");
        for (key, least) in counts {
            let stored = stored.get(&key).and_then(|count| count.parse().ok()).unwrap_or(0);
            if stored < least {
                return Err(format!("store counts: {key} is {stored}, the model says at least {least}"));
            }
        }
        Ok(())
    }
}
