//! Partition logs: what is taken, what readers see, and how offsets are found.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use bytes::Bytes;
use headwater_broker::api::{
    BadRecord, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, FetchPartition,
    FetchRequest, FetchResponse, FetchedPartition, Isolation, NewTopic, OffsetSpec, ProducePartition,
    ProduceRequest, ProduceResponse,
};
use headwater_broker::batch::{Batch, BatchOptions, Marker, MarkerKind, Record, TimestampType, encode};
use headwater_broker::{ErrorCode, TopicPartition};
use rig::{Rig, batch_of, txn, visible};

const UNCOMMITTED: Isolation = Isolation::ReadUncommitted;
const COMMITTED: Isolation = Isolation::ReadCommitted;

#[test]
fn a_fetch_starts_with_the_batch_that_contains_the_offset() {
    let mut rig = Rig::with_topic("t");
    assert_eq!(rig.produce("t", &["a=1", "b=1", "c=1"]), 0);
    assert_eq!(rig.produce("t", &["d=1"]), 3);
    let fetched = rig.fetch("t", 1, UNCOMMITTED);
    assert_eq!(visible(&fetched, 0), ["0:a=1", "1:b=1", "2:c=1", "3:d=1"]);
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset), (4, 4));
    assert_eq!(visible(&rig.fetch("t", 3, UNCOMMITTED), 0), ["3:d=1"]);
    assert!(rig.fetch("t", 4, UNCOMMITTED).batches.is_empty());
    assert_eq!(rig.fetch("t", 4, UNCOMMITTED).error, ErrorCode::None);
    assert_eq!(rig.fetch("t", 5, UNCOMMITTED).error, ErrorCode::OffsetOutOfRange);
    assert_eq!(rig.fetch("t", -1, UNCOMMITTED).error, ErrorCode::OffsetOutOfRange);
}

#[test]
fn a_batch_is_kept_as_it_was_sent() {
    let mut rig = Rig::with_topic("t");
    rig.produce("t", &["a=1"]);
    let sent = batch_of(&BatchOptions::default(), &["b=1", "c"]);
    rig.produce_bytes("t", sent.clone());
    let stored = rig.fetch("t", 1, UNCOMMITTED).batches.remove(0);
    assert_eq!(stored[8..12], sent[8..12]);
    assert_eq!(stored[16..], sent[16..]);
    assert_eq!(Batch::parse(&stored).unwrap().header().base_offset, 1);
    assert_eq!(sent, batch_of(&BatchOptions::default(), &["b=1", "c"]), "the sender's bytes are its own");
}

#[test]
fn room_is_given_out_in_order_and_the_first_batch_always_comes() {
    let mut rig = Rig::with_topic("a");
    rig.topic(NewTopic::new("b", 1));
    for topic in ["a", "b"] {
        rig.produce(topic, &["k=1"]);
        rig.produce(topic, &["k=2"]);
    }
    let size = batch_of(&BatchOptions::default(), &["k=1"]).len();
    let mut fetch = |max_bytes, partition_bytes| -> Vec<usize> {
        let partition = |topic| FetchPartition {
            at: TopicPartition::new(topic, 0),
            offset: 0,
            max_bytes: partition_bytes,
            current_leader_epoch: None,
        };
        let partitions = vec![partition("a"), partition("b")];
        let request = FetchRequest { isolation: UNCOMMITTED, max_bytes, partitions };
        rig.ask::<FetchResponse>(request).partitions.iter().map(|found| found.batches.len()).collect()
    };
    assert_eq!(fetch(0, 0), [1, 0]);
    assert_eq!(fetch(size * 4, size), [1, 1]);
    assert_eq!(fetch(size * 3, size * 3), [2, 1]);
    assert_eq!(fetch(size * 2, size * 3), [2, 0]);
    assert_eq!(fetch(size * 4 - 1, size * 3), [2, 1]);
}

#[test]
fn bad_batches_are_refused_and_leave_nothing() {
    let mut rig = Rig::with_topic("t");
    let compacted = NewTopic::new("c", 1).with_config("cleanup.policy", "compact");
    rig.topic(compacted.with_config("max.message.bytes", "200"));
    let good = batch_of(&BatchOptions::default(), &["a=1", "b=2"]);
    let with = |at: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = value;
        Bytes::from(bytes)
    };
    let twice = Bytes::from([&good[..], &good[..]].concat());
    let control = BatchOptions { control: true, ..BatchOptions::default() };
    let loose = BatchOptions { transactional: true, ..BatchOptions::default() };
    let large = "x=".to_owned() + &"y".repeat(200);
    let cases = [
        ("no bytes", "t", Bytes::new(), ErrorCode::CorruptMessage),
        ("cut", "t", good.slice(..good.len() - 1), ErrorCode::CorruptMessage),
        ("flipped", "t", with(70, 0x55), ErrorCode::CorruptMessage),
        ("old format", "t", with(16, 1), ErrorCode::UnsupportedForMessageFormat),
        ("two batches", "t", twice, ErrorCode::InvalidRecord),
        ("control", "t", batch_of(&control, &["a=1"]), ErrorCode::InvalidRecord),
        ("empty", "t", batch_of(&BatchOptions::default(), &[]), ErrorCode::InvalidRecord),
        ("transaction of nobody", "t", batch_of(&loose, &["a=1"]), ErrorCode::InvalidRecord),
        ("no topic", "u", good.clone(), ErrorCode::UnknownTopicOrPartition),
        ("null key", "c", batch_of(&BatchOptions::default(), &["a=1", "=2"]), ErrorCode::InvalidRecord),
        ("too large", "c", batch_of(&BatchOptions::default(), &[&large]), ErrorCode::MessageTooLarge),
    ];
    let version = rig.broker.data_version();
    for (what, topic, batch, expected) in cases {
        assert_eq!(rig.produce_bytes(topic, batch).error, expected, "{what}");
    }
    assert_eq!(rig.broker.data_version(), version);
    assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, 0);
    assert_eq!(rig.produce_bytes("c", good).base_offset, 0);
}

#[test]
fn append_time_is_the_brokers() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 1).with_config("message.timestamp.type", "LogAppendTime"));
    let produced = rig.produce_bytes("t", batch_of(&BatchOptions::default(), &["a=1"]));
    assert_eq!(produced.log_append_time, rig.now);
    let stored = rig.fetch("t", 0, UNCOMMITTED).batches.remove(0);
    let batch = Batch::parse(&stored).unwrap();
    assert!(batch.crc_matches());
    assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(batch.records().next().unwrap().unwrap().timestamp, rig.now);
}

/// Without codecs nobody looks.
#[cfg(not(feature = "codecs"))]
#[test]
fn compressed_batches_are_passed_on() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 1).with_config("cleanup.policy", "compact"));
    let mut bytes = encode(&BatchOptions::default(), [Record::new(5, Some(b"k"), Some(b"v"))]);
    bytes[22] |= 1; // gzip, as far as the header knows
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    rig.produce_bytes("t", Bytes::from(bytes.clone()));
    rig.produce_bytes("t", Bytes::from(bytes.clone()));
    rig.broker.compact("t", 0, rig.now).unwrap();
    let fetched = rig.fetch("t", 0, COMMITTED);
    assert_eq!(fetched.batches.len(), 2);
    assert_eq!(fetched.batches[1][16..], bytes[16..]);
    assert_eq!(rig.list("t", OffsetSpec::Timestamp(5), UNCOMMITTED).offset, 0);
}

#[cfg(feature = "codecs")]
#[test]
fn compressed_batches_are_looked_into() {
    use headwater_broker::batch::{Compression, codec};
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut rig = Rig::new();
        rig.topic(NewTopic::new("t", 1).with_config("cleanup.policy", "compact"));
        let packed = |records: &[(i64, Option<&[u8]>)]| {
            let records = records.iter().map(|(time, key)| Record::new(*time, *key, Some(b"v")));
            Bytes::from(codec::pack_batch(encode(&BatchOptions::default(), records), codec).unwrap())
        };
        let sent = packed(&[(5, Some(b"a")), (9, Some(b"b")), (7, Some(b"a"))]);
        assert_eq!(rig.produce_bytes("t", sent.clone()).error, ErrorCode::None);
        assert_eq!(rig.fetch("t", 0, UNCOMMITTED).batches[0][16..], sent[16..], "it is kept as it was sent");
        let null = packed(&[(5, Some(b"a")), (9, None)]);
        assert_eq!(rig.produce_bytes("t", null).error, ErrorCode::InvalidRecord, "{codec:?}");
        let mut garbage = sent.to_vec();
        garbage.truncate(80);
        garbage[11] = 80 - 12;
        let crc = crc32c::crc32c(&garbage[21..]);
        garbage[17..21].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(rig.produce_bytes("t", garbage.into()).error, ErrorCode::InvalidRecord, "{codec:?}");
        for (time, offset) in [(0, 0), (5, 0), (6, 1), (8, 1), (10, -1)] {
            assert_eq!(rig.list("t", OffsetSpec::Timestamp(time), UNCOMMITTED).offset, offset, "{codec:?}");
        }
        rig.produce("t", &["c=1"]);
        rig.broker.compact("t", 0, rig.now).unwrap();
        let stored = rig.fetch("t", 0, UNCOMMITTED).batches.remove(0);
        let batch = Batch::parse(&stored).unwrap();
        assert!(batch.crc_matches());
        assert_eq!((batch.header().compression(), batch.header().last_offset()), (codec, 2));
        let mut room = Vec::new();
        let left: Vec<i64> = batch.open(&mut room).unwrap().map(|record| record.unwrap().offset).collect();
        assert_eq!(left, [1, 2], "{codec:?}");
    }
}

#[test]
fn the_times_of_records_have_limits_if_the_topic_says_so() {
    let mut rig = Rig::new();
    let topic = NewTopic::new("t", 1).with_config("message.timestamp.before.max.ms", "100");
    rig.topic(topic.with_config("message.timestamp.after.max.ms", "10"));
    let mut produce = |times: &[i64]| {
        let records = times.iter().map(|time| Record::new(rig.now + time, Some(b"k"), None));
        rig.produce_bytes("t", Bytes::from(encode(&BatchOptions::default(), records))).error
    };
    let cases: [(&[i64], ErrorCode); 5] = [
        (&[0, -100, 10], ErrorCode::None),
        (&[-101], ErrorCode::InvalidTimestamp),
        (&[11], ErrorCode::InvalidTimestamp),
        (&[0, -101, 0], ErrorCode::InvalidTimestamp),
        (&[0], ErrorCode::None),
    ];
    for (times, expected) in cases {
        assert_eq!(produce(times), expected, "{times:?}");
    }
}

#[test]
fn a_batch_that_is_refused_for_some_of_its_records_says_for_which() {
    let mut rig = Rig::new();
    for (topic, policy) in [("t", "delete"), ("c", "compact")] {
        let topic = NewTopic::new(topic, 1).with_config("cleanup.policy", policy);
        rig.topic(topic.with_config("message.timestamp.before.max.ms", "100"));
    }
    let late = |place| BadRecord { place, error: ErrorCode::InvalidTimestamp };
    let keyless = |place| BadRecord { place, error: ErrorCode::InvalidRecord };
    // Age and key of each record.
    let (fine, old, bare) = ((0, Some("k")), (101, Some("k")), (0, None));
    let cases = [
        ("t", vec![fine, bare], ErrorCode::None, vec![]),
        ("t", vec![fine, old, bare, old], ErrorCode::InvalidTimestamp, vec![late(1), late(3)]),
        ("c", vec![bare, fine], ErrorCode::InvalidRecord, vec![keyless(0)]),
        (
            "c",
            vec![bare, fine, old, (101, None)],
            ErrorCode::InvalidTimestamp,
            vec![keyless(0), late(2), keyless(3)],
        ),
    ];
    for (topic, records, error, bad) in cases {
        let records =
            records.iter().map(|(age, key)| Record::new(rig.now - age, key.map(str::as_bytes), None));
        let bytes = Bytes::from(encode(&BatchOptions::default(), records));
        let produced = rig.produce_bytes(topic, bytes);
        assert_eq!((produced.error, &produced.bad_records), (error, &bad), "{topic}");
    }
}

#[test]
fn offsets_are_found_by_time() {
    let mut rig = Rig::with_topic("t");
    for times in [&[10, 30, 20][..], &[5], &[40, 40]] {
        let records = times.iter().map(|time| Record::new(*time, Some(b"k"), None));
        rig.produce_bytes("t", Bytes::from(encode(&BatchOptions::default(), records)));
    }
    let cases = [
        (OffsetSpec::Earliest, (0, -1)),
        (OffsetSpec::Latest, (6, -1)),
        (OffsetSpec::MaxTimestamp, (4, 40)),
        (OffsetSpec::Timestamp(0), (0, 10)),
        (OffsetSpec::Timestamp(11), (1, 30)),
        (OffsetSpec::Timestamp(30), (1, 30)),
        (OffsetSpec::Timestamp(31), (4, 40)),
        (OffsetSpec::Timestamp(41), (-1, -1)),
    ];
    for (spec, expected) in cases {
        let found = rig.list("t", spec, UNCOMMITTED);
        assert_eq!((found.offset, found.timestamp), expected, "{spec:?}");
    }
}

#[test]
fn markers_are_no_records_to_find() {
    let mut rig = Rig::with_topic("t");
    let producer = rig.init("x");
    rig.add("x", producer, &["t"]);
    rig.produce_as("t", &txn(producer, 0), &["a=1"]).unwrap(); // at time 0; its marker gets the broker's time
    rig.end("x", producer, true);
    assert_eq!(rig.list("t", OffsetSpec::Timestamp(1), COMMITTED).offset, -1);
    assert_eq!(rig.list("t", OffsetSpec::MaxTimestamp, COMMITTED).offset, 0);
}

#[test]
fn an_open_transaction_holds_committed_readers_back() {
    let mut rig = Rig::with_topic("t");
    rig.produce("t", &["a=1"]);
    let producer = rig.init("x");
    rig.add("x", producer, &["t"]);
    rig.produce_as("t", &txn(producer, 0), &["b=1"]).unwrap();
    rig.produce("t", &["c=1"]);
    let fetched = rig.fetch("t", 0, COMMITTED);
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset), (3, 1));
    assert_eq!(visible(&fetched, 0), ["0:a=1"]);
    assert!(rig.fetch("t", 1, COMMITTED).batches.is_empty());
    assert_eq!(rig.list("t", OffsetSpec::Latest, COMMITTED).offset, 1);
    assert_eq!(rig.list("t", OffsetSpec::Latest, UNCOMMITTED).offset, 3);
    let version = rig.broker.data_version();
    assert_eq!(rig.end("x", producer, true), ErrorCode::None);
    assert!(rig.broker.data_version() > version, "a marker wakes whoever waits for data");
    assert_eq!(rig.committed("t"), ["0:a=1", "1:b=1", "2:c=1"]);
    assert_eq!(rig.list("t", OffsetSpec::Latest, COMMITTED).offset, 4, "the marker takes an offset");
}

/// Pitfall: the list names transactions that overlap the fetch, not only those that start in it.
#[test]
fn aborted_transactions_are_listed_when_they_overlap_the_fetch() {
    let mut rig = Rig::with_topic("t");
    let (x, y) = (rig.init("x"), rig.init("y"));
    rig.add("x", x, &["t"]);
    rig.add("y", y, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["a=1"]).unwrap();
    rig.produce_as("t", &txn(y, 0), &["b=1"]).unwrap();
    rig.produce_as("t", &txn(x, 1), &["a=2"]).unwrap();
    rig.end("x", x, false); // marker at 3
    rig.end("y", y, true); // marker at 4
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 2), &["a=3"]).unwrap();
    rig.end("x", x, true);
    assert_eq!(rig.committed("t"), ["1:b=1", "5:a=3"]);
    let listed = |rig: &mut Rig, from| {
        let fetched = rig.fetch("t", from, COMMITTED);
        let listed: Vec<i64> = fetched.aborted.iter().map(|aborted| aborted.first_offset).collect();
        (listed, visible(&fetched, from))
    };
    assert_eq!(listed(&mut rig, 2), (vec![0], vec!["5:a=3".to_owned()]));
    assert_eq!(listed(&mut rig, 3), (vec![0], vec!["5:a=3".to_owned()]));
    assert_eq!(listed(&mut rig, 4), (vec![], vec!["5:a=3".to_owned()]));
    assert!(rig.fetch("t", 0, UNCOMMITTED).aborted.is_empty());
}

#[test]
fn deleted_records_are_out_of_range() {
    let mut rig = Rig::with_topic("t");
    rig.produce("t", &["a=1", "b=1", "c=1"]);
    rig.produce("t", &["d=1"]);
    let delete = |rig: &mut Rig, before_offset| {
        let at = TopicPartition::new("t", 0);
        let partitions = vec![DeleteRecordsPartition { at, before_offset }];
        let trimmed =
            rig.ask::<DeleteRecordsResponse>(DeleteRecordsRequest { partitions }).partitions.remove(0);
        let fetched = rig.fetch("t", 1, UNCOMMITTED);
        (trimmed.error, trimmed.low_watermark, fetched.error, rig.read("t", UNCOMMITTED).len())
    };
    assert_eq!(delete(&mut rig, 2), (ErrorCode::None, 2, ErrorCode::OffsetOutOfRange, 2));
    assert_eq!(delete(&mut rig, 1), (ErrorCode::None, 2, ErrorCode::OffsetOutOfRange, 2));
    assert_eq!(delete(&mut rig, 5), (ErrorCode::OffsetOutOfRange, -1, ErrorCode::OffsetOutOfRange, 2));
    assert_eq!(delete(&mut rig, -1), (ErrorCode::None, 4, ErrorCode::OffsetOutOfRange, 0));
    let producer = rig.init("x");
    rig.add("x", producer, &["t"]);
    rig.produce_as("t", &txn(producer, 0), &["x=1", "x=2"]).unwrap();
    assert_eq!(delete(&mut rig, 5), (ErrorCode::None, 5, ErrorCode::OffsetOutOfRange, 1));
    let view = rig.broker.partition("t", 0).unwrap();
    assert_eq!((view.log_start_offset, view.last_stable_offset, view.high_watermark), (5, 5, 6));
    rig.broker.crash(rig.now);
    rig.broker.restart(rig.now).unwrap();
    assert_eq!(rig.broker.partition("t", 0).unwrap().last_stable_offset, 5);
    assert_eq!(delete(&mut rig, -1).1, 6);
    rig.broker.crash(rig.now);
    rig.broker.restart(rig.now).unwrap();
    let listed = rig.list("t", OffsetSpec::Earliest, UNCOMMITTED);
    assert_eq!((listed.offset, rig.produce("t", &["e=1"])), (6, 6), "the end survives an empty log");
}

#[test]
fn retention_by_age_and_by_size() {
    let start_after = |config: (&str, String), now: i64| {
        let mut rig = Rig::new();
        rig.now = 0;
        rig.topic(NewTopic::new("t", 1).with_config("retention.ms", "-1").with_config(config.0, config.1));
        for time in [0, 500, 400, 1_000] {
            let record = Record::new(time, Some(b"a"), Some(b"1"));
            rig.produce_bytes("t", Bytes::from(encode(&BatchOptions::default(), [record])));
        }
        rig.broker.apply_retention("t", 0, now).unwrap()
    };
    let size = batch_of(&BatchOptions::default(), &["a=1"]).len();
    assert_eq!(start_after(("retention.ms", "1000".to_owned()), 1_000), 0);
    assert_eq!(start_after(("retention.ms", "1000".to_owned()), 1_001), 1);
    assert_eq!(start_after(("retention.ms", "1000".to_owned()), 1_450), 1, "whole batches, from the front");
    assert_eq!(start_after(("retention.ms", "1000".to_owned()), 1_501), 3);
    assert_eq!(start_after(("retention.bytes", (size * 2).to_string()), 0), 2);
    assert_eq!(start_after(("retention.bytes", (size * 2 + 1).to_string()), 0), 1);
    assert_eq!(start_after(("cleanup.policy", "compact".to_owned()), i64::MAX), 0);
}

#[test]
fn records_without_a_time_stay() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 1).with_config("retention.ms", "1"));
    for time in [-1, 0] {
        let record = Record::new(time, Some(b"a"), Some(b"1"));
        rig.produce_bytes("t", Bytes::from(encode(&BatchOptions::default(), [record])));
    }
    assert_eq!(rig.broker.apply_retention("t", 0, i64::MAX), Ok(0), "nobody knows how old the first is");
}

#[test]
fn who_only_compacts_deletes_no_records() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 1).with_config("cleanup.policy", "compact"));
    rig.produce("t", &["a=1"]);
    let partition = DeleteRecordsPartition { at: TopicPartition::new("t", 0), before_offset: 1 };
    let mut delete =
        || rig.ask::<DeleteRecordsResponse>(DeleteRecordsRequest { partitions: vec![partition.clone()] });
    assert_eq!(delete().partitions[0].error, ErrorCode::PolicyViolation);
    assert_eq!(rig.fetch("t", 0, UNCOMMITTED).log_start_offset, 0);
}

#[test]
fn a_fetch_reads_no_more_than_there_is_room_for() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 3));
    for partition in 0..3 {
        let batch = batch_of(&BatchOptions::default(), &["a=1"]);
        let at = TopicPartition::new("t", partition);
        let partitions = vec![ProducePartition { at, batch }];
        rig.ask::<ProduceResponse>(ProduceRequest { transactional_id: None, partitions });
    }
    let wanted = |partition, offset| FetchPartition {
        at: TopicPartition::new("t", partition),
        offset,
        max_bytes: 1 << 20,
        current_leader_epoch: None,
    };
    let mut fetch = |max_bytes, last| {
        let partitions = vec![wanted(0, 0), wanted(1, 0), wanted(2, last)];
        let request = FetchRequest { isolation: UNCOMMITTED, max_bytes, partitions };
        let fetched: FetchResponse = rig.ask(request);
        let told = |fetched: &FetchedPartition| (fetched.batches.len(), fetched.error);
        fetched.partitions.iter().map(told).collect::<Vec<_>>()
    };
    let (fine, behind) = (ErrorCode::None, ErrorCode::OffsetOutOfRange);
    assert_eq!(fetch(1 << 20, 0), [(1, fine), (1, fine), (1, fine)]);
    assert_eq!(fetch(1, 0), [(1, fine), (0, fine), (0, fine)], "the first comes whatever its size");
    assert_eq!(fetch(1, 9), [(1, fine), (0, fine), (0, behind)], "where nothing is read errors are told");
}

#[test]
fn retention_spares_open_transactions() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 1).with_config("retention.ms", "1"));
    rig.produce("t", &["a=1"]);
    let producer = rig.init("x");
    rig.add("x", producer, &["t"]);
    rig.produce_as("t", &txn(producer, 0), &["b=1"]).unwrap();
    assert_eq!(rig.broker.apply_retention("t", 0, rig.now), Ok(1));
    rig.end("x", producer, true);
    assert_eq!(rig.broker.apply_retention("t", 0, rig.now), Ok(2), "the marker is young");
}

#[test]
fn clients_cannot_write_markers() {
    let mut rig = Rig::with_topic("t");
    let marker = Marker {
        kind: MarkerKind::Abort,
        producer_id: 0,
        producer_epoch: 0,
        coordinator_epoch: 0,
        timestamp: 0,
    };
    assert_eq!(rig.produce_bytes("t", Bytes::from(marker.encode())).error, ErrorCode::InvalidRecord);
}
