//! Batches that lie about what they hold: refused, or put right, so that no reader ever stops at one.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use bytes::Bytes;
use headwater_broker::ErrorCode;
use headwater_broker::api::{Isolation, NewTopic, OffsetSpec};
use headwater_broker::batch::{Batch, BatchBuilder, BatchOptions, Compression, Record, TimestampType, codec};
use headwater_broker::broker::OwnedRecord;
use rig::Rig;

#[cfg(feature = "codecs")]
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
#[cfg(not(feature = "codecs"))]
const CODECS: [Compression; 1] = [Compression::None];

/// Three records at 5, 9 and 7 ms.
fn three() -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for (time, key) in [(5, b"a"), (9, b"b"), (7, b"c")] {
        builder.push(&Record::new(time, Some(key), Some(b"v")));
    }
    builder.finish(&BatchOptions::default())
}

/// A batch whose header says that it has so many records.
fn counting(mut batch: Vec<u8>, count: i32) -> Vec<u8> {
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    signed(batch)
}

fn signed(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn packed(batch: Vec<u8>, codec: Compression) -> Bytes {
    codec::pack_batch(batch, codec).unwrap().into()
}

fn records(rig: &Rig, topic: &str) -> Vec<OwnedRecord> {
    rig.broker.records(topic, 0).unwrap()
}

#[test]
fn a_batch_that_lies_about_its_records_is_refused() {
    let mut gap = BatchBuilder::new();
    gap.push(&Record::new(0, Some(b"a"), None));
    gap.push_at(2, &Record::new(0, Some(b"b"), None));
    let gap = counting(gap.finish(&BatchOptions::default()), 2);
    let mut longer = three();
    longer.push(0);
    longer[11] += 1;
    let mut cut = three();
    cut.pop();
    cut[11] -= 1;
    let cases = [
        ("more records than there are", counting(three(), 4)),
        ("many more", counting(three(), i32::MAX)),
        ("fewer", counting(three(), 2)),
        ("none", counting(three(), 0)),
        ("an offset is left out", gap),
        ("bytes behind the last record", signed(longer)),
        ("a record is cut", signed(cut)),
    ];
    for codec in CODECS {
        let mut rig = Rig::with_topic("t");
        for (what, batch) in &cases {
            let error = rig.produce_bytes("t", packed(batch.clone(), codec)).error;
            assert_eq!(error, ErrorCode::InvalidRecord, "{what}, {codec:?}");
        }
        assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, 0);
        assert_eq!(rig.produce_bytes("t", packed(three(), codec)).error, ErrorCode::None, "{codec:?}");
        let keys: Vec<_> = records(&rig, "t").into_iter().map(|record| record.key.unwrap()).collect();
        assert_eq!(keys, ["a", "b", "c"], "{codec:?}");
    }
}

#[test]
fn what_a_batch_says_of_times_is_put_right() {
    for codec in CODECS {
        let mut rig = Rig::with_topic("t");
        let mut late = three();
        late[35..43].copy_from_slice(&i64::MAX.to_be_bytes());
        assert_eq!(rig.produce_bytes("t", packed(signed(late), codec)).error, ErrorCode::None);
        let listed = rig.list("t", OffsetSpec::MaxTimestamp, Isolation::ReadUncommitted);
        assert_eq!((listed.offset, listed.timestamp), (1, 9), "{codec:?}");
        let mut by_broker = three();
        by_broker[22] |= 8;
        assert_eq!(rig.produce_bytes("t", packed(signed(by_broker.clone()), codec)).error, ErrorCode::None);
        for stored in rig.fetch("t", 0, Isolation::ReadUncommitted).batches {
            let batch = Batch::parse(&stored).unwrap();
            assert!(batch.crc_matches(), "{codec:?}");
            assert_eq!(batch.header().timestamp_type(), TimestampType::CreateTime, "{codec:?}");
            assert_eq!(batch.header().max_timestamp, 9, "{codec:?}");
        }
        rig.topic(NewTopic::new("u", 1).with_config("message.timestamp.type", "LogAppendTime"));
        let error = rig.produce_bytes("u", packed(signed(by_broker), codec)).error;
        assert_eq!(error, ErrorCode::InvalidTimestamp, "only the broker says so, {codec:?}");
        assert_eq!(rig.produce_bytes("u", packed(three(), codec)).error, ErrorCode::None, "{codec:?}");
        assert!(records(&rig, "u").iter().all(|record| record.timestamp == rig.now), "{codec:?}");
    }
}

#[test]
fn a_base_offset_may_be_anything() {
    for codec in CODECS {
        let mut rig = Rig::with_topic("t");
        for base in [i64::MIN, -1, 5, i64::MAX] {
            let mut batch = packed(three(), codec).to_vec();
            batch[..8].copy_from_slice(&base.to_be_bytes());
            assert_eq!(rig.produce_bytes("t", batch.into()).error, ErrorCode::None, "{base}, {codec:?}");
        }
        let offsets: Vec<i64> = records(&rig, "t").iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..12).collect::<Vec<i64>>(), "{codec:?}");
    }
}

#[cfg(feature = "codecs")]
#[test]
fn what_is_too_large_unpacked_is_refused_as_too_large() {
    let mut rig = Rig::new();
    rig.topic(NewTopic::new("t", 1).with_config("max.message.bytes", "100000000"));
    let value = vec![0; (64 << 20) + 1];
    let mut builder = BatchBuilder::new();
    builder.push(&Record::new(0, Some(b"k"), Some(&value)));
    let bomb = builder.finish(&BatchOptions::default());
    for codec in &CODECS[1..] {
        let sent = packed(bomb.clone(), *codec);
        assert_eq!(rig.produce_bytes("t", sent).error, ErrorCode::MessageTooLarge, "{codec:?}");
    }
    assert_eq!(rig.produce_bytes("t", bomb.into()).error, ErrorCode::None, "it is no larger than it says");
}
