//! The batch codec: what goes in comes out, and nonsense is refused without a panic.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

use headwater_broker::batch::{
    Batch, BatchBuilder, BatchError, BatchHeader, BatchOptions, Header, Marker, MarkerKind, Record,
    TimestampType, batches, encode,
};

#[test]
fn records_come_back_with_null_and_empty_told_apart() {
    let headers = [
        Header { key: "h", value: Some(b"first") },
        Header { key: "n", value: None },
        Header { key: "h", value: Some(b"") },
        Header { key: "", value: Some(b"empty key") },
    ];
    let records = [
        Record::new(1_000, Some(b"k"), Some(b"v")).with_headers(&headers),
        Record::new(900, None, Some(b"")),
        Record::new(i64::MAX, Some(b""), None),
        Record::new(-1, None, None),
    ];
    let options = BatchOptions { base_offset: 7, ..BatchOptions::transactional(3, 1, 40) };
    let bytes = encode(&options, records);
    let batch = Batch::parse(&bytes).unwrap();
    assert!(batch.crc_matches());
    let header = batch.header();
    assert_eq!((header.base_offset, header.last_offset(), header.next_offset()), (7, 10, 11));
    assert_eq!((header.base_sequence, header.last_sequence()), (40, 43));
    assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, i64::MAX));
    assert!(header.is_transactional() && !header.is_control() && header.has_producer());
    let decoded: Vec<Record<'_>> = batch.records().map(Result::unwrap).collect();
    for (i, (decoded, record)) in decoded.iter().zip(&records).enumerate() {
        assert_eq!(decoded.offset, 7 + i64::try_from(i).unwrap());
        assert_eq!(*decoded, Record { offset: decoded.offset, ..*record });
    }
    assert_eq!(decoded[0].headers.len(), 4);
    assert_eq!(decoded[0].headers.last("h").unwrap().value, Some(&b""[..]));
    assert_eq!(decoded[0].headers.last("missing"), None);
}

#[test]
fn decoded_records_can_be_encoded_again_byte_for_byte() {
    let headers = [Header { key: "a", value: None }, Header { key: "a", value: Some(b"1") }];
    let records = [Record::new(5, Some(b"k"), None).with_headers(&headers), Record::new(6, None, Some(b"v"))];
    let bytes = encode(&BatchOptions::default(), records);
    let mut builder = BatchBuilder::reusing(vec![9; 500]);
    for record in Batch::parse(&bytes).unwrap().records() {
        let record = record.unwrap();
        let before = builder.len();
        builder.push(&record);
        assert!(builder.len() - before <= BatchBuilder::record_bytes(&record));
    }
    assert_eq!(builder.count(), 2);
    assert_eq!(builder.finish(&BatchOptions::default()), bytes);
}

#[test]
fn append_time_replaces_the_time_of_every_record() {
    let options = BatchOptions { timestamp_type: TimestampType::LogAppendTime, ..BatchOptions::default() };
    let bytes = encode(&options, [Record::new(5, None, None), Record::new(9, None, None)]);
    let times: Vec<i64> =
        Batch::parse(&bytes).unwrap().records().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(times, [9, 9]);
}

#[test]
fn markers_come_back() {
    for kind in [MarkerKind::Abort, MarkerKind::Commit] {
        let marker =
            Marker { kind, producer_id: 8, producer_epoch: 3, coordinator_epoch: 12, timestamp: 1_234 };
        let bytes = marker.encode();
        let batch = Batch::parse(&bytes).unwrap();
        assert!(batch.crc_matches() && batch.header().is_control() && batch.header().is_transactional());
        assert_eq!(Marker::decode(&batch), Some(marker));
    }
    let data = encode(&BatchOptions::default(), [Record::new(0, Some(&[0, 0, 0, 1]), None)]);
    assert_eq!(Marker::decode(&Batch::parse(&data).unwrap()), None);
}

#[test]
fn batches_in_a_row_end_where_the_bytes_are_cut() {
    let one = encode(&BatchOptions::default(), [Record::new(0, None, Some(b"1"))]);
    let mut row = [one.clone(), one.clone(), one.clone()].concat();
    assert_eq!(batches(&row).count(), 3);
    row.truncate(row.len() - 1);
    assert_eq!(batches(&row).count(), 2);
    row[16] = 1;
    assert_eq!(batches(&row).next().unwrap().unwrap_err(), BatchError::WrongMagic(1));
}

#[test]
fn every_flipped_bit_is_noticed_by_the_checksum() {
    let bytes = encode(&BatchOptions::default(), [Record::new(0, Some(b"key"), Some(b"value"))]);
    for at in 21..bytes.len() {
        for bit in 0..8 {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << bit;
            let batch = Batch::parse(&broken).unwrap();
            assert!(matches!(batch.verify(), Err(BatchError::WrongCrc { .. })), "byte {at}, bit {bit}");
        }
    }
}

/// Readers of broken bytes get an error or odd records, never a panic.
#[test]
fn broken_bytes_do_not_panic() {
    let headers = [Header { key: "name", value: Some(b"value") }];
    let record = Record::new(77, Some(b"key"), Some(b"value")).with_headers(&headers);
    let bytes = encode(&BatchOptions::default(), [record, record, record]);
    for len in 0..bytes.len() {
        assert!(BatchHeader::parse(&bytes[..len]).is_err(), "{len} bytes");
    }
    for at in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff, bytes[at] ^ 0x55] {
            let mut broken = bytes.clone();
            broken[at] = value;
            for batch in batches(&broken).flatten() {
                let headers = |record: &Record<'_>| record.headers.iter().count();
                let _ = batch.records().flatten().map(|record| headers(&record)).sum::<usize>();
                let _ = Marker::decode(&batch);
                let _ = (batch.header().last_sequence(), batch.header().compression());
            }
        }
    }
}
