//! Records that the broker does not take: the one at fault is found, its handler is asked, and nothing loops.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so")]

use headwater::kafka::memory::MemoryCluster;
use headwater::testkit::{Testkit, TestkitBuilder};
use headwater::{Error, Materialized, RecordBatch, StreamsBuilder, TopicPartition};
use headwater_broker::api::ClientId;
use headwater_broker::batch::Batch;
use headwater_broker::faults::{Network, Verdict};
use headwater_broker::{ErrorCode, Request};

const GUARANTEES: [&str; 2] = ["at_least_once", "exactly_once_v2"];

fn text(text: &str) -> String {
    text.to_owned()
}

fn builder(guarantee: &str, handler: &str, cluster: &MemoryCluster) -> TestkitBuilder {
    let kit = Testkit::builder().cluster(cluster).set("processing.guarantee", guarantee);
    let kit = kit.set("production.exception.handler", handler);
    if handler == "dead-letter" { kit.set("errors.dead.letter.queue.topic.name", "dead") } else { kit }
}

/// `in` to `out`, whose settings are these.
fn copying(guarantee: &str, handler: &str, settings: &[(&str, &str)]) -> Testkit {
    let cluster = MemoryCluster::new();
    cluster.create_topic_with("out", 1, settings).unwrap();
    let topology = StreamsBuilder::new();
    topology.stream::<Option<String>, String>("in").to("out");
    builder(guarantee, handler, &cluster).build(&topology.build().unwrap()).unwrap()
}

/// Writes these records at once and waits.
fn feed(kit: &mut Testkit, records: &[(Option<&str>, &str, i64)]) -> Result<(), Error> {
    let mut batch = RecordBatch::default();
    for (key, value, timestamp) in records {
        batch.push(*timestamp, key.map(str::as_bytes), Some(value.as_bytes()), 0);
    }
    kit.put(&TopicPartition::new("in", 0), &batch)?;
    // Long enough for any back-off between two attempts.
    kit.settle()?;
    kit.advance_wall_clock(40_000)
}

fn values(kit: &mut Testkit, topic: &str) -> Vec<String> {
    let records = kit.read::<Option<String>, String>(topic).unwrap();
    records.into_iter().map(|record| record.value.chars().take(8).collect()).collect()
}

/// Under every handler: what `records` with one bad record among good ones come to.
fn check(settings: &[(&str, &str)], records: &[(Option<&str>, &str, i64)], bad: usize, said: &[&str]) {
    for guarantee in GUARANTEES {
        let mut kit = copying(guarantee, "fail", settings);
        let error = feed(&mut kit, records).unwrap_err().to_string();
        let place = format!("topic in, partition 0, offset {bad}, node");
        for part in said.iter().chain(&[place.as_str(), "`production.exception.handler`"]) {
            assert!(error.contains(part), "{guarantee}: {error} lacks {part}");
        }
        let good = || {
            let all = records.iter().enumerate().filter(|(at, _)| *at != bad);
            all.map(|(_, (_, value, _))| value.chars().take(8).collect::<String>()).collect::<Vec<_>>()
        };
        let mut kit = copying(guarantee, "continue", settings);
        feed(&mut kit, records).unwrap();
        assert_eq!(values(&mut kit, "out"), good(), "{guarantee}");
        let (all, rest) = (records.len(), records.len() - 1);
        assert_eq!(
            kit.counters().to_string(),
            format!("consumed {all}, processed {all}, produced {rest}, dropped 1 unproducible"),
            "{guarantee}"
        );
        let mut kit = copying(guarantee, "dead-letter", settings);
        feed(&mut kit, records).unwrap();
        assert_eq!(values(&mut kit, "out"), good(), "{guarantee}");
        let dead = kit.read::<Option<String>, String>("dead").unwrap();
        assert_eq!(dead.len(), 1, "{guarantee}");
        assert_eq!(dead[0].value, records[bad].1);
        assert_eq!(dead[0].headers.last("__streams.errors.stage"), Some(&b"production"[..]));
        assert_eq!(dead[0].headers.last("__streams.errors.offset"), Some(bad.to_string().as_bytes()));
    }
}

#[test]
fn a_compacted_topic_takes_no_record_without_key() {
    let records = [(Some("a"), "one", 1), (None, "two", 2), (Some("c"), "three", 3)];
    check(&[("cleanup.policy", "compact")], &records, 1, &["topic `out`", "no key", "`cleanup.policy`"]);
}

#[test]
fn a_topic_takes_no_record_above_its_limit() {
    let long = "long".repeat(1_300);
    let records = [(Some("a"), "one", 1), (Some("b"), "two", 2), (Some("c"), long.as_str(), 3)];
    check(
        &[("max.message.bytes", "1000")],
        &records,
        2,
        &["topic `out`", "raise `max.message.bytes` of the topic (now 1000)"],
    );
}

/// A record whose bytes are just above the limit: only the broker can tell.
#[test]
fn a_record_at_the_limit_is_taken_and_one_above_it_is_found() {
    for guarantee in GUARANTEES {
        for size in 900..960 {
            let value = "v".repeat(size);
            let mut kit = copying(guarantee, "continue", &[("max.message.bytes", "1000")]);
            feed(&mut kit, &[(Some("a"), "one", 1), (Some("b"), &value, 200), (Some("c"), "three", 3)])
                .unwrap();
            let out = values(&mut kit, "out");
            let found = out.iter().any(|value| value == "vvvvvvvv");
            // 61 bytes of the batch, 2 of the length, then flags, time, offset, key, value, headers.
            let alone = 61 + 2 + 1 + 1 + 1 + 2 + 2 + size + 1;
            assert_eq!(found, alone <= 1_000, "{guarantee}: {size}");
            assert!(out.contains(&text("one")) && out.contains(&text("three")), "{guarantee}: {size}");
            let dropped = kit.counters().dropped(headwater::telemetry::DropReason::Unproducible);
            assert_eq!(dropped, u64::from(!found), "{guarantee}: {size}");
        }
    }
}

#[test]
fn records_that_fit_one_by_one_are_all_delivered() {
    for guarantee in GUARANTEES {
        let mut kit = copying(guarantee, "fail", &[("max.message.bytes", "1000")]);
        let texts: Vec<_> = (0..50).map(|number| format!("{number:08}{}", "x".repeat(300))).collect();
        let records: Vec<_> = texts.iter().map(|text| (Some("k"), text.as_str(), 1)).collect();
        feed(&mut kit, &records).unwrap();
        let expected: Vec<_> = texts.iter().map(|text| text[..8].to_owned()).collect();
        assert_eq!(values(&mut kit, "out"), expected, "{guarantee}");
        assert_eq!(kit.figures().aborts, 0, "{guarantee}");
    }
}

/// Refuses batches for `out`, as brokers do for reasons of their own.
struct Strict(Box<dyn FnMut(&Batch<'_>) -> Option<ErrorCode> + Send>);

impl Network for Strict {
    fn verdict(&mut self, _client: &ClientId, request: &Request, _now: i64) -> Verdict {
        let Request::Produce(request) = request else { return Verdict::Pass };
        let mut outputs = request.partitions.iter().filter(|one| one.at.topic.as_ref() == "out");
        let code = outputs.find_map(|one| (self.0)(&Batch::parse(&one.batch).unwrap()));
        code.map_or(Verdict::Pass, Verdict::Fail)
    }
}

fn refuse(kit: &Testkit, code: impl FnMut(&Batch<'_>) -> Option<ErrorCode> + Send + 'static) {
    kit.cluster().broker().faults_mut().network = Some(Box::new(Strict(Box::new(code))));
}

/// Timestamps from this one on, as with `message.timestamp.after.max.ms`.
fn refuse_times_from(kit: &Testkit, limit: i64) {
    refuse(kit, move |batch| {
        let bad = batch.records().any(|record| record.unwrap().timestamp >= limit);
        bad.then_some(ErrorCode::InvalidTimestamp)
    });
}

#[test]
fn a_record_that_only_the_broker_knows_to_be_bad_is_found_and_its_handler_is_asked() {
    for guarantee in GUARANTEES {
        let kit = |handler: &str| {
            let kit = copying(guarantee, handler, &[]);
            refuse_times_from(&kit, 1_000_000);
            kit
        };
        let texts: Vec<_> = (0..200).map(|number| format!("v{number}")).collect();
        let bad = |number: usize| number % 37 == 5;
        let time = |number: usize| if bad(number) { 2_000_000 } else { 10 };
        let records: Vec<_> =
            texts.iter().enumerate().map(|(at, text)| (Some("k"), text.as_str(), time(at))).collect();

        let error = feed(&mut kit("fail"), &records).unwrap_err().to_string();
        for part in ["INVALID_TIMESTAMP", "out-0", "topic in, partition 0, offset 5, node"] {
            assert!(error.contains(part), "{guarantee}: {error} lacks {part}");
        }
        let mut kit = kit("dead-letter");
        feed(&mut kit, &records).unwrap();
        let dead = values(&mut kit, "dead");
        let expected: Vec<_> = (0..200).filter(|at| bad(*at)).map(|at| format!("v{at}")).collect();
        let good: Vec<_> = (0..200).filter(|at| !bad(*at)).map(|at| format!("v{at}")).collect();
        if guarantee == "exactly_once_v2" {
            assert_eq!((dead, values(&mut kit, "out")), (expected.clone(), good));
            let (dead, good) = (expected.len(), 200 - expected.len());
            assert_eq!(
                kit.counters().to_string(),
                format!("consumed 200, processed 200, produced {good}, dead letters {dead} production")
            );
        } else {
            // What was written before the bad one was found is written again.
            let out = values(&mut kit, "out");
            assert!(
                good.iter().all(|one| out.contains(one)) && expected.iter().all(|one| dead.contains(one))
            );
        }
    }
}

#[test]
fn many_bad_records_cost_an_abort_each_and_no_more() {
    let mut kit = copying("exactly_once_v2", "continue", &[]);
    refuse_times_from(&kit, 0);
    let texts: Vec<_> = (0..300).map(|number| format!("v{number}")).collect();
    let records: Vec<_> = texts.iter().map(|text| (Some("k"), text.as_str(), 5)).collect();
    feed(&mut kit, &records).unwrap();
    assert_eq!(
        kit.counters().to_string(),
        "consumed 300, processed 300, produced 0, dropped 300 unproducible"
    );
    let figures = kit.figures();
    assert!(figures.aborts <= 330, "{} aborts", figures.aborts);
}

#[test]
fn a_topic_that_may_not_be_written_is_the_production_handlers() {
    for guarantee in GUARANTEES {
        let kit = |handler: &str| {
            let kit = copying(guarantee, handler, &[]);
            refuse(&kit, |_| Some(ErrorCode::TopicAuthorizationFailed));
            kit
        };
        let records = [(Some("a"), "one", 1), (Some("b"), "two", 2)];
        let error = feed(&mut kit("fail"), &records).unwrap_err().to_string();
        for part in ["TOPIC_AUTHORIZATION_FAILED", "`out`", "topic in, partition 0, offset 0, node"] {
            assert!(error.contains(part), "{guarantee}: {error} lacks {part}");
        }
        let mut kit = kit("continue");
        feed(&mut kit, &records).unwrap();
        assert_eq!(kit.counters().to_string(), "consumed 2, processed 2, produced 0, dropped 2 unproducible");
    }
}

#[test]
fn what_is_refused_again_and_again_is_tried_at_ever_longer_intervals_and_then_fails() {
    let mut kit = copying("exactly_once_v2", "continue", &[]);
    refuse(&kit, |_| Some(ErrorCode::InvalidRequest));
    feed(&mut kit, &[(Some("a"), "one", 1)]).unwrap();
    let aborts = kit.figures().aborts;
    assert!((2..60).contains(&aborts), "{aborts} aborts in 40 s");
    let error = kit.advance_wall_clock(300_000).unwrap_err().to_string();
    for part in ["INVALID_REQUEST", "out-0", "in a row", "`task.timeout.ms`"] {
        assert!(error.contains(part), "{error} lacks {part}");
    }
}

fn gathering() -> headwater::Topology {
    let topology = StreamsBuilder::new();
    topology
        .stream::<String, String>("in")
        .group_by_key()
        .aggregate_with(String::new, |_, value, all: String| all + &value, Materialized::named("texts"))
        .to_stream()
        .map_values(|text| text.unwrap_or_default().len().to_string())
        .to("out");
    topology.build().unwrap()
}

#[test]
fn a_state_value_above_the_changelogs_limit_names_store_key_and_setting() {
    let long = "x".repeat(600_000);
    for guarantee in GUARANTEES {
        let kit = |limit: Option<&str>| {
            let builder = builder(guarantee, "continue", &MemoryCluster::new());
            let builder = limit
                .into_iter()
                .fold(builder, |builder, limit| builder.set("topic.max.message.bytes", limit));
            builder.build(&gathering()).unwrap()
        };
        let mut short = kit(None);
        let fed = (0..2).try_for_each(|_| short.pipe("in", &text("ann"), &long, 1));
        let error = fed.and_then(|()| short.advance_wall_clock(1_000)).unwrap_err().to_string();
        for part in [
            "store `texts`",
            "key `ann`",
            "MESSAGE_TOO_LARGE",
            "`topic.max.message.bytes`",
            "testkit-texts-changelog",
        ] {
            assert!(error.contains(part), "{guarantee}: {error} lacks {part}");
        }
        let mut kit = kit(Some("3000000"));
        (0..2).for_each(|_| kit.pipe("in", &text("ann"), &long, 1).unwrap());
        assert_eq!(values(&mut kit, "out"), ["600000", "1200000"], "{guarantee}");
    }
}
