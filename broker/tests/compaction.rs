//! Compaction: the last record of each key, in its place.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use bytes::Bytes;
use headwater_broker::api::{Isolation, NewTopic, OffsetSpec};
use headwater_broker::batch::{Batch, BatchOptions, Record, encode};
use headwater_broker::broker::RecordState;
use headwater_broker::{BrokerConfig, ErrorCode};
use rig::{Rig, txn};

const DELETE_RETENTION_MS: i64 = 1_000;

fn rig() -> Rig {
    let mut rig = Rig::new();
    let topic = NewTopic::new("t", 1).with_config("cleanup.policy", "compact");
    rig.topic(topic.with_config("delete.retention.ms", DELETE_RETENTION_MS.to_string()));
    rig
}

fn all(rig: &mut Rig) -> Vec<String> {
    rig.read("t", Isolation::ReadUncommitted)
}

fn compact(rig: &mut Rig) {
    rig.broker.compact("t", 0, rig.now).unwrap();
    let view = rig.broker.partition("t", 0).unwrap();
    rig.broker.crash(rig.now);
    rig.broker.restart(rig.now).unwrap();
    let recovered = rig.broker.partition("t", 0).unwrap();
    let offsets = |view: &headwater_broker::broker::PartitionView| {
        (view.log_start_offset, view.last_stable_offset, view.high_watermark, view.size)
    };
    assert_eq!(offsets(&view), offsets(&recovered), "a crash changes nothing");
}

#[test]
fn the_last_record_of_each_key_stays_where_it_was() {
    let mut rig = rig();
    rig.produce("t", &["a=1", "b=1", "a=2"]);
    rig.produce("t", &["c=1", "a=3"]);
    rig.produce("t", &["b=2"]);
    let report = rig.broker.compact("t", 0, rig.now).unwrap();
    assert_eq!((report.records_before, report.records_after), (6, 3));
    assert!(report.bytes_after < report.bytes_before);
    assert_eq!(all(&mut rig), ["3:c=1", "4:a=3", "5:b=2"]);
    compact(&mut rig);
    assert_eq!(all(&mut rig), ["3:c=1", "4:a=3", "5:b=2"]);
    assert_eq!(rig.produce("t", &["d=1"]), 6);
}

#[test]
fn batches_keep_their_offsets_times_and_headers() {
    let mut rig = rig();
    let headers = [headwater_broker::batch::Header { key: "h", value: None }; 2];
    let records = [
        Record::new(100, Some(b"a"), Some(b"1")),
        Record::new(50, Some(b"b"), Some(b"1")).with_headers(&headers),
        Record::new(70, Some(b"a"), Some(b"2")),
        Record::new(200, Some(b"c"), Some(b"1")),
        Record::new(80, Some(b"c"), Some(b"2")),
    ];
    rig.produce("t", &["x=1"]);
    rig.produce_bytes("t", Bytes::from(encode(&BatchOptions::default(), records)));
    rig.produce("t", &["c=3"]);
    compact(&mut rig);
    let stored = rig.fetch("t", 1, Isolation::ReadUncommitted).batches.remove(0);
    let batch = Batch::parse(&stored).unwrap();
    assert!(batch.crc_matches());
    assert_eq!((batch.header().base_offset, batch.header().last_offset()), (1, 5));
    let kept: Vec<Record<'_>> = batch.records().map(Result::unwrap).collect();
    assert_eq!(kept, [Record { offset: 2, ..records[1] }, Record { offset: 3, ..records[2] }]);
    assert_eq!(rig.list("t", OffsetSpec::Timestamp(60), Isolation::ReadUncommitted).offset, 3);
}

#[test]
fn tombstones_stay_for_a_while() {
    let mut rig = rig();
    rig.produce("t", &["a=1", "b=1"]);
    rig.produce("t", &["a", "c"]);
    rig.produce("t", &["c=1"]);
    for wait in [0, 0, DELETE_RETENTION_MS - 1] {
        rig.pass(wait);
        compact(&mut rig);
        assert_eq!(all(&mut rig), ["1:b=1", "2:a", "4:c=1"]);
    }
    rig.pass(1);
    compact(&mut rig);
    assert_eq!(all(&mut rig), ["1:b=1", "4:c=1"]);
}

#[test]
fn the_end_stays_even_when_nothing_is_left_before_it() {
    let mut rig = rig();
    rig.produce("t", &["a=1"]);
    rig.produce("t", &["a"]);
    for _ in 0..3 {
        compact(&mut rig);
        rig.pass(DELETE_RETENTION_MS);
    }
    assert_eq!(all(&mut rig), [""; 0]);
    let view = rig.broker.partition("t", 0).unwrap();
    assert_eq!((view.log_start_offset, view.high_watermark), (0, 2));
    let fetched = rig.fetch("t", 0, Isolation::ReadUncommitted);
    let header = *Batch::parse(fetched.batches.last().unwrap()).unwrap().header();
    assert_eq!((header.records_count, header.next_offset()), (0, 2), "readers can move on to the end");
    assert_eq!(rig.produce("t", &["b=1"]), 2);
    compact(&mut rig);
    assert_eq!(all(&mut rig), ["2:b=1"]);
    assert_eq!(rig.fetch("t", 0, Isolation::ReadUncommitted).batches.len(), 1);
}

#[test]
fn open_transactions_are_not_touched_and_aborted_ones_vanish() {
    let mut rig = rig();
    let (x, y) = (rig.init("x"), rig.init("y"));
    rig.add("x", x, &["t"]);
    rig.add("y", y, &["t"]);
    rig.produce("t", &["a=old"]);
    rig.produce_as("t", &txn(x, 0), &["a=aborted", "b=aborted"]).unwrap();
    rig.end("x", x, false); // marker at 3
    rig.produce("t", &["c=old"]);
    rig.produce_as("t", &txn(y, 0), &["a=open"]).unwrap();
    rig.produce("t", &["c=new"]);
    compact(&mut rig);
    assert_eq!(all(&mut rig), ["0:a=old", "4:c=old", "5:a=open", "6:c=new"]);
    rig.end("y", y, true); // marker at 7
    assert_eq!(rig.committed("t"), ["0:a=old", "4:c=old", "5:a=open", "6:c=new"]);
    compact(&mut rig);
    assert_eq!(rig.committed("t"), ["5:a=open", "6:c=new"]);
}

/// Without its codec a compressed batch cannot be thinned out, but an aborted one goes as a whole.
#[cfg(not(feature = "codecs"))]
#[test]
fn aborted_compressed_batches_vanish() {
    let mut rig = rig();
    let x = rig.init("x");
    for (sequence, commit) in [(0, false), (1, true)] {
        let mut bytes = encode(&txn(x, sequence), [Record::new(0, Some(b"k"), Some(b"v"))]);
        bytes[22] |= 1; // gzip, as far as the header knows
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        rig.add("x", x, &["t"]);
        rig.produce_bytes("t", Bytes::from(bytes));
        rig.end("x", x, commit);
    }
    compact(&mut rig);
    let batches = rig.fetch("t", 0, Isolation::ReadCommitted).batches;
    let offsets = batches.iter().map(|bytes| Batch::parse(bytes).unwrap().header().base_offset);
    assert_eq!(offsets.collect::<Vec<i64>>(), [1, 2, 3]);
}

/// A transaction whose records are gone must not take its producer's later ones with it.
#[test]
fn markers_go_after_their_records_and_drop_nobody_else() {
    let mut rig = rig();
    let x = rig.init("x");
    for (sequence, commit) in [(0, false), (1, true), (2, false), (3, true)] {
        rig.add("x", x, &["t"]);
        rig.produce_as("t", &txn(x, sequence), &[&format!("k={sequence}")]).unwrap();
        rig.end("x", x, commit);
    }
    rig.produce("t", &["other=1"]);
    let markers = |rig: &Rig| -> Vec<i64> {
        let records = rig.broker.records("t", 0).unwrap();
        let markers = records.iter().filter(|record| matches!(record.state, RecordState::Marker(_)));
        markers.map(|record| record.offset).collect()
    };
    for (wait, left) in [(0, &[1, 3, 5, 7][..]), (DELETE_RETENTION_MS - 1, &[1, 3, 5, 7]), (1, &[7])] {
        rig.pass(wait);
        compact(&mut rig);
        assert_eq!(rig.committed("t"), ["6:k=3", "8:other=1"]);
        assert_eq!(markers(&rig), left);
        rig.fetch("t", 6, Isolation::ReadCommitted);
    }
    rig.add("x", x, &["t"]);
    assert_eq!(rig.produce_as("t", &txn(x, 4), &["k=4"]), Ok(9));
    rig.end("x", x, true);
    assert_eq!(rig.committed("t"), ["6:k=3", "8:other=1", "9:k=4"]);
}

/// After compaction and a crash the broker still knows which sequence comes next, and which epoch is fenced.
#[test]
fn producers_survive_compaction_and_crash() {
    let mut rig = rig();
    let producer = BatchOptions::idempotent(7, 1, 0);
    rig.produce_as("t", &producer, &["a=1", "b=1"]).unwrap();
    rig.produce("t", &["a=2", "b=2"]);
    let x = rig.init("x");
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["c=1"]).unwrap();
    let y = rig.init("x");
    rig.produce("t", &["z=1"]);
    for _ in 0..3 {
        compact(&mut rig);
        rig.pass(DELETE_RETENTION_MS);
    }
    assert_eq!(all(&mut rig), ["2:a=2", "3:b=2", "6:z=1"]);
    let with = |epoch, sequence| BatchOptions::idempotent(7, epoch, sequence);
    assert_eq!(rig.produce_as("t", &with(0, 2), &["a=3"]), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(rig.produce_as("t", &with(1, 3), &["a=3"]), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(rig.produce_as("t", &with(1, 0), &["a=1", "b=1"]), Ok(0), "a duplicate");
    assert_eq!(rig.produce_as("t", &with(1, 2), &["a=3"]), Ok(7));
    assert_eq!(rig.produce_as("t", &txn(x, 1), &["c=2"]), Err(ErrorCode::InvalidProducerEpoch));
    rig.add("x", y, &["t"]);
    assert_eq!(rig.produce_as("t", &txn(y, 0), &["c=2"]), Ok(8));
    rig.end("x", y, true);
    assert_eq!(rig.committed("t"), ["2:a=2", "3:b=2", "6:z=1", "7:a=3", "8:c=2"]);
}

#[test]
fn young_batches_are_left_alone() {
    let mut rig = Rig::new();
    let topic = NewTopic::new("t", 1).with_config("cleanup.policy", "compact");
    rig.topic(topic.with_config("min.compaction.lag.ms", "100"));
    for time in [0, 100] {
        let record = Record::new(rig.now + time, Some(b"a"), Some(b"1"));
        rig.produce_bytes("t", Bytes::from(encode(&BatchOptions::default(), [record])));
    }
    rig.pass(199);
    compact(&mut rig);
    assert_eq!(all(&mut rig).len(), 2);
    rig.pass(1);
    compact(&mut rig);
    assert_eq!(all(&mut rig), ["1:a=1"]);
}

#[test]
fn the_clock_compacts_and_trims_when_it_is_told_to() {
    let intervals = (Some(10_000), Some(20_000));
    let config = BrokerConfig {
        compaction_interval_ms: intervals.0,
        retention_interval_ms: intervals.1,
        ..BrokerConfig::default()
    };
    let mut rig = Rig::with(config);
    rig.topic(NewTopic::new("t", 1).with_config("cleanup.policy", "compact"));
    rig.topic(NewTopic::new("d", 1).with_config("retention.ms", "0"));
    rig.pass(0);
    for topic in ["t", "d"] {
        rig.produce(topic, &["a=1"]);
        rig.produce(topic, &["a=2"]);
        rig.produce(topic, &["b=1"]); // in files, what is appended to last is not compacted yet
    }
    rig.pass(9_999);
    assert_eq!(all(&mut rig).len(), 3);
    assert_eq!(rig.broker.next_deadline(), Some(rig.now + 1));
    rig.pass(1);
    assert_eq!(all(&mut rig), ["1:a=2", "2:b=1"]);
    assert_eq!(rig.broker.partition("d", 0).unwrap().log_start_offset, 0);
    rig.pass(10_000);
    assert_eq!(rig.broker.partition("d", 0).unwrap().log_start_offset, 3);
    assert_eq!(rig.broker.compact("d", 0, rig.now), Err(ErrorCode::InvalidConfig));
}
