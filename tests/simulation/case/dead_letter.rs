//! Poison: records that cannot be read go to the dead letter topic, in the transaction of those around them.

use std::collections::BTreeMap;

use headwater::codec::{SerdeError, StringSerde};
use headwater::{Consumed, Materialized, Serde, StreamsBuilder, Topology};

use super::{Case, Feed, View, Wrong, key, same_records, same_rows, show, some_key, value};

pub(crate) struct DeadLetter;

/// Numbers in digits.
struct Digits;

impl Serde<i64> for Digits {
    fn serialize(&self, number: &i64, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(number.to_string().as_bytes());
        Ok(true)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<i64, SerdeError> {
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let number = text.and_then(|text| text.parse().ok());
        number.ok_or_else(|| SerdeError::new("digits", "found something else", bytes))
    }
}

impl Case for DeadLetter {
    fn name(&self) -> &'static str {
        "dead-letter"
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["out", "dead"]
    }

    fn dead_letters(&self) -> Option<&'static str> {
        Some("dead")
    }

    fn topology(&self) -> headwater::Result<Topology> {
        let builder = StreamsBuilder::new();
        builder
            .stream_with("in", Consumed::with(StringSerde, Digits))
            .group_by_key()
            .reduce_with(|sum, number| sum + number, Materialized::named("sums"))
            .to_stream()
            .to("out");
        builder.build()
    }

    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed> {
        let mut time = 10_000;
        let record = |id: u64| {
            time += random.i64(0..50);
            let number = random.u32(..100);
            // Some come in a row.
            let poison = if random.u32(..4) == 0 || id % 50 < 5 { "x" } else { "" };
            let value = (random.u32(..30) > 0).then(|| format!("{poison}{number}"));
            Feed { topic: "in", key: some_key(random), value, timestamp: time }
        };
        (0..count).map(record).collect()
    }

    fn judge(&self, view: &View) -> Result<(), Wrong> {
        let mut rows = BTreeMap::new();
        for (partition, input) in view.partitions("in").iter().enumerate() {
            let (mut sums, mut dead) = (Vec::new(), Vec::new());
            let mut table: BTreeMap<String, (i64, i64)> = BTreeMap::new();
            for record in input {
                let Ok(number) = value(record).parse::<i64>() else {
                    dead.push(show(record));
                    continue;
                };
                let (sum, newest) = table.entry(key(record)).or_insert((0, -1));
                (*sum, *newest) = (*sum + number, record.timestamp.max(*newest));
                sums.push(format!("{}={sum}@{newest}", key(record)));
            }
            let got = |topic: &str| view.partitions(topic)[partition].iter().map(show).collect::<Vec<_>>();
            same_records(&format!("out-{partition}"), &got("out"), &sums)?;
            same_records(&format!("dead-{partition}"), &got("dead"), &dead)?;
            rows.extend(table.into_iter().map(|(key, (sum, _))| (key, sum.to_string())));
        }
        same_rows("store sums", &view.fold("sums"), &rows)
    }
}
