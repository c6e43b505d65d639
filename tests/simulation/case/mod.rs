//! Cases: topologies, what they are fed with, and a sequential model that says what must come out.
//!
//! A model knows the input as it lies in the log, and nothing of workers, transactions or stores.

mod dead_letter;
mod echo_count;
mod leaderboard;
mod regroup;
mod session_count;
mod stream_table;
mod table;
mod window_count;
mod window_leaderboard;

use std::collections::{BTreeMap, BTreeSet};

use headwater::topology::StoreKind;
use headwater_broker::broker::OwnedRecord;

/// Name of the application of every case.
pub(crate) const APPLICATION: &str = "sim";

/// All cases, in the order in which scenarios number them.
pub(crate) const CASES: &[&dyn Case] = &[
    &echo_count::EchoCount,
    &window_count::WindowCount { last_only: false },
    &window_count::WindowCount { last_only: true },
    &table::Table,
    &regroup::Regroup,
    &stream_table::StreamTable,
    &session_count::SessionCount { last_only: false },
    &session_count::SessionCount { last_only: true },
    &leaderboard::Leaderboard,
    &window_leaderboard::WindowLeaderboard,
    &dead_letter::DeadLetter,
];

/// A record to be produced, to the partition of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) timestamp: i64,
}

/// What is wrong, for people.
pub(crate) type Wrong = String;

/// The committed records of topics, partition by partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) topics: BTreeMap<String, Vec<Vec<OwnedRecord>>>,
}

impl View {
    pub(crate) fn partitions(&self, topic: &str) -> &[Vec<OwnedRecord>] {
        self.topics.get(topic).map_or(&[], Vec::as_slice)
    }

    /// The records of all partitions, partition by partition.
    pub(crate) fn all(&self, topic: &str) -> impl Iterator<Item = &OwnedRecord> {
        self.partitions(topic).iter().flatten()
    }

    /// The last value of each key of a changelog; deleted keys are left out.
    pub(crate) fn fold(&self, store: &str) -> BTreeMap<String, String> {
        let mut rows = BTreeMap::new();
        for record in self.all(&format!("{APPLICATION}-{store}-changelog")) {
            match &record.value {
                Some(value) => rows.insert(key(record), show_value(value)),
                None => rows.remove(&key(record)),
            };
        }
        rows
    }
}

/// A topology with its input and its model.
pub(crate) trait Case: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// The topics that it reads.
    fn inputs(&self) -> &'static [&'static str] {
        &["in"]
    }
    /// The topics that it writes.
    fn outputs(&self) -> &'static [&'static str] {
        &["out"]
    }
    /// The one of them that takes the records that cannot be read; without, such a record stops the worker.
    fn dead_letters(&self) -> Option<&'static str> {
        None
    }
    /// The topology.
    fn topology(&self) -> headwater::Result<headwater::Topology>;
    /// The input: `count` records.
    fn feed(&self, random: &mut fastrand::Rng, count: u64) -> Vec<Feed>;
    /// What follows once all of that is processed.
    fn finale(&self) -> Vec<Feed> {
        Vec::new()
    }
    /// Whether the model can say anything under `at_least_once`.
    fn knows_at_least_once(&self) -> bool {
        false
    }
    /// Compares with the model: exactly once.
    fn judge(&self, view: &View) -> Result<(), Wrong>;
    /// Compares with the model: at least once.
    fn judge_at_least_once(&self, _view: &View) -> Result<(), Wrong> {
        Ok(())
    }
    /// The offsets of the records of one input partition that come too late; `None` where nothing can.
    fn late(&self, _records: &[OwnedRecord]) -> Option<BTreeSet<i64>> {
        None
    }
    /// What a store keeps.
    fn store(&self, _name: &str) -> StoreKind {
        StoreKind::KeyValue
    }
}

/// One of a few keys.
pub(crate) fn some_key(random: &mut fastrand::Rng) -> String {
    format!("k{}", random.u32(..8))
}

/// Records of some keys in the order of their times, but for a third of them, which come up to `latest_ms` late.
pub(crate) fn late_records(random: &mut fastrand::Rng, count: u64, latest_ms: i64) -> Vec<Feed> {
    let mut time = 10_000;
    let record = |id: u64| {
        time += random.i64(0..80);
        let late = if random.u32(..3) == 0 { random.i64(0..latest_ms) } else { 0 };
        Feed { topic: "in", key: some_key(random), value: Some(format!("r{id}")), timestamp: time - late }
    };
    (0..count).map(record).collect()
}

pub(crate) fn key(record: &OwnedRecord) -> String {
    record.key.as_deref().map_or_else(|| "null".to_owned(), |key| key.escape_ascii().to_string())
}

pub(crate) fn value(record: &OwnedRecord) -> String {
    record.value.as_deref().map_or_else(|| "null".to_owned(), show_value)
}

/// Texts as they are, counts (eight bytes, the first of them 0) as numbers.
fn show_value(bytes: &[u8]) -> String {
    match <[u8; 8]>::try_from(bytes) {
        Ok(number) if number[0] == 0 => i64::from_be_bytes(number).to_string(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// `key=value@timestamp`.
pub(crate) fn show(record: &OwnedRecord) -> String {
    format!("{}={}@{}", key(record), value(record), record.timestamp)
}

/// As [`show`] where the last eight bytes of the key are the start of a window.
pub(crate) fn show_windowed(record: &OwnedRecord) -> String {
    let bytes = record.key.as_deref().unwrap_or_default();
    let Some((name, start)) = bytes.split_last_chunk::<8>() else { return show(record) };
    let (name, start) = (name.escape_ascii(), i64::from_be_bytes(*start));
    format!("{name}/{start}={}@{}", value(record), record.timestamp)
}

/// As [`show`] where the last sixteen bytes of the key are the end and the start of a session.
pub(crate) fn show_session(record: &OwnedRecord) -> String {
    let bytes = record.key.as_deref().unwrap_or_default();
    let Some((rest, start)) = bytes.split_last_chunk::<8>() else { return show(record) };
    let Some((name, end)) = rest.split_last_chunk::<8>() else { return show(record) };
    let (name, start, end) = (name.escape_ascii(), i64::from_be_bytes(*start), i64::from_be_bytes(*end));
    format!("{name}/{start}-{end}={}@{}", value(record), record.timestamp)
}

/// Record by record: what a partition of an output holds is what the model says.
pub(crate) fn same_records(what: &str, got: &[String], expected: &[String]) -> Result<(), Wrong> {
    let differ = got.iter().zip(expected).position(|(got, expected)| got != expected);
    let at = differ.unwrap_or(got.len().min(expected.len()));
    if at == got.len() && at == expected.len() {
        return Ok(());
    }
    let there = |list: &[String]| list.get(at).map_or("nothing".to_owned(), |one| format!("`{one}`"));
    Err(format!(
        "{what}: record {at} is {}, the model says {} ({} records of {})",
        there(got),
        there(expected),
        got.len(),
        expected.len()
    ))
}

/// Row by row: what a table holds is what the model says.
pub(crate) fn same_rows(
    what: &str,
    got: &BTreeMap<String, String>,
    expected: &BTreeMap<String, String>,
) -> Result<(), Wrong> {
    for key in got.keys().chain(expected.keys()) {
        let (is, should) = (got.get(key), expected.get(key));
        if is != should {
            return Err(format!("{what}: the row of {key} is {is:?}, the model says {should:?}"));
        }
    }
    Ok(())
}
