//! Checks that are told a line each, waiting for a condition, and records to send.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rskafka::record::Record;

/// Why a check fails.
pub type Problem = Box<dyn std::error::Error>;

/// How long to wait for what has to happen. Generous: it is reached only where something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
const MINUTE: TimeDelta = TimeDelta::seconds(60);
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// How many checks have failed.
#[derive(Default)]
pub struct Checks {
    pub failed: usize,
}

impl Checks {
    /// Runs a check, in its time, and tells how it ended.
    pub async fn check(&mut self, what: &str, run: impl Future<Output = Result<(), Problem>>) {
        let ended = tokio::time::timeout(2 * PATIENCE, run).await;
        match ended.unwrap_or_else(|_| Err("it does not end".into())) {
            Ok(()) => println!("ok {what}"),
            Err(problem) => {
                self.failed += 1;
                println!("FAIL {what}: {problem}");
            }
        }
    }
}

/// Fails if two values differ.
pub fn equal<T: Debug + PartialEq>(what: &str, got: T, expected: T) -> Result<(), Problem> {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what}: {} instead of {}", short(&got), short(&expected)).into())
}

fn short(value: &impl Debug) -> String {
    format!("{value:?}").chars().take(600).collect()
}

/// Asks again until the answer is `true`.
pub async fn until<F>(what: &str, probe: impl Fn() -> F) -> Result<(), Problem>
where
    F: Future<Output = Result<bool, Problem>>,
{
    let wait = async {
        while !probe().await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    let ended = tokio::time::timeout(PATIENCE, wait).await;
    ended.unwrap_or_else(|_| Err(format!("{what}: not after {} s", PATIENCE.as_secs()).into()))
}

/// A name that no other run uses.
pub fn fresh(what: &str) -> String {
    format!("rskafka-{what}-{}-{:x}", std::process::id(), Utc::now().timestamp_micros())
}

/// The time of a record, to the millisecond that Kafka keeps.
pub fn a_minute_ago() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3) - MINUTE
}

/// Records that have everything but what this client lacks: keys and none, values and tombstones, headers, large ones.
/// Each is a second younger than the one before.
pub fn records(label: &str, first: DateTime<Utc>, count: usize) -> Vec<Record> {
    let values = [Some(vec![]), Some((0..=255).collect()), Some(b"stream ".repeat(15_000)), None];
    let headers = [("from", label.as_bytes()), ("empty", b""), ("binary", &[0, 255])];
    let headers: BTreeMap<String, Vec<u8>> =
        headers.map(|(key, value)| (key.to_owned(), value.to_vec())).into_iter().collect();
    (0..count)
        .map(|number| Record {
            key: (number % 5 != 4).then(|| format!("key-{number}").into_bytes()),
            value: values.get(number).cloned().unwrap_or_else(|| Some(format!("{label}-{number}").into())),
            headers: if number % 3 == 0 { BTreeMap::new() } else { headers.clone() },
            timestamp: first + SECOND * i32::try_from(number).unwrap_or(i32::MAX),
        })
        .collect()
}
