//! The pipelines that are measured, with their inputs.

use headwater::{Ranked, RecordBatch, Result, StreamsBuilder, Topology};

use super::topologies::{self, Event, Topics};

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Records of a round.
    pub(crate) records: usize,
    /// Keys of the counting and joining pipelines.
    pub(crate) keys: usize,
    /// The round's number: each draws other keys.
    pub(crate) round: usize,
}

/// Records of a fetched batch: what a consumer hands over at once.
const BATCH: usize = 1_000;

/// A pipeline.
pub(crate) struct Pipeline {
    pub(crate) name: &'static str,
    /// What the framework may cost by the project's budget.
    pub(crate) budget_ns: Option<f64>,
    pub(crate) input: &'static str,
    pub(crate) build: fn(&Topics) -> Result<Topology>,
    /// Topics that are read before the measured one, with their records.
    pub(crate) before: fn(Load) -> Vec<(&'static str, Vec<RecordBatch>)>,
    /// The measured records of a round.
    pub(crate) records: fn(Load) -> Vec<RecordBatch>,
}

/// All pipelines.
pub(crate) const PIPELINES: &[Pipeline] = &[
    Pipeline {
        name: "passthrough",
        budget_ns: Some(60.0),
        input: "in",
        build: topologies::passthrough,
        before: nothing,
        records: plain,
    },
    Pipeline {
        name: "json-filter-map",
        budget_ns: None,
        input: "in",
        build: topologies::json,
        before: nothing,
        records: events,
    },
    Pipeline {
        name: "windowed-count",
        budget_ns: Some(250.0),
        input: "in",
        build: topologies::windowed_count,
        before: counted,
        records: plain,
    },
    Pipeline {
        name: "stream-table",
        budget_ns: None,
        input: "in",
        build: topologies::join,
        before: table,
        records: plain,
    },
    Pipeline {
        name: "leaderboard",
        budget_ns: None,
        input: "in",
        build: leaderboard,
        before: nothing,
        records: scores,
    },
];

fn leaderboard(topics: &Topics) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .table::<i64, i64>(&topics.input)
        .group_by(|player, score| (player % 100, *score))
        .leaderboard_with(10, |score| *score, Ranked::named("board"))
        .to_stream()
        .to(&topics.out);
    builder.build()
}

fn nothing(_: Load) -> Vec<(&'static str, Vec<RecordBatch>)> {
    Vec::new()
}

/// The window's keys have been seen once: counting goes on in a store of its full size.
fn counted(load: Load) -> Vec<(&'static str, Vec<RecordBatch>)> {
    vec![("in", batches(load.keys, |n| (key(n), vec![b'v'; 100], 0)))]
}

fn table(load: Load) -> Vec<(&'static str, Vec<RecordBatch>)> {
    vec![("table", batches(load.keys, |n| (key(n), vec![b't'; 100], 0)))]
}

/// 16-byte keys drawn from all, 100-byte values, event time 1 ms per 1,000 records.
fn plain(load: Load) -> Vec<RecordBatch> {
    let mut random = fastrand::Rng::with_seed(load.round as u64);
    batches(load.records, move |n| (key(random.usize(..load.keys)), vec![b'v'; 100], millis(n)))
}

fn events(load: Load) -> Vec<RecordBatch> {
    let mut random = fastrand::Rng::with_seed(load.round as u64);
    batches(load.records, move |n| {
        let event = Event {
            user_id: random.u64(1_000_000_000..2_000_000_000),
            item_id: random.u64(100_000_000..1_000_000_000),
            price_cents: random.u32(10_000..100_000),
            quantity: random.u32(100..1_000),
            country: ['N', 'Z'],
            in_stock: random.u32(..10) > 0,
            event_time_ms: 1_700_000_000_000 + millis(n),
            average_rating: 4.25,
        };
        (key(random.usize(..load.keys)), serde_json::to_vec(&event).unwrap_or_default(), millis(n))
    })
}

fn scores(load: Load) -> Vec<RecordBatch> {
    let mut random = fastrand::Rng::with_seed(load.round as u64);
    batches(load.records, move |n| {
        let (player, score) = (random.i64(..100_000), random.i64(..1_000_000));
        (player.to_be_bytes().to_vec(), score.to_be_bytes().to_vec(), millis(n))
    })
}

fn millis(record: usize) -> i64 {
    i64::try_from(record / 1_000).unwrap_or(0)
}

fn key(number: usize) -> Vec<u8> {
    format!("{number:016x}").into_bytes()
}

fn batches(records: usize, mut record: impl FnMut(usize) -> (Vec<u8>, Vec<u8>, i64)) -> Vec<RecordBatch> {
    let mut batches = Vec::with_capacity(records / BATCH + 1);
    for first in (0..records).step_by(BATCH) {
        let mut batch = RecordBatch::with_capacity(BATCH, BATCH * 200);
        for n in first..(first + BATCH).min(records) {
            let (key, value, time) = record(n);
            batch.push(time, Some(&key), Some(&value), i64::try_from(n).unwrap_or(0));
        }
        batches.push(batch);
    }
    batches
}
