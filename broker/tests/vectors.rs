//! Bytes that Apache Kafka's own classes have written, where the suites are: `HEADWATER_SUITES` names their
//! folder.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

use headwater_broker::batch::{
    Batch, BatchError, BatchOptions, Compression, Header, Marker, MarkerKind, Record, encode, varint,
};
use serde_json::Value;

fn vectors() -> Option<Value> {
    let folder = std::env::var_os("HEADWATER_SUITES")?;
    let path = std::path::Path::new(&folder).join("kstreams/byte-vectors.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The records that all data vectors hold.
fn check_records(batch: &Batch<'_>) {
    let headers = [Header { key: "h", value: Some(b"x") }, Header { key: "n", value: None }];
    let time = 1_600_000_000_000;
    let expected = [
        Record::new(time, Some(b"k1"), Some(b"v1")).with_headers(&headers),
        Record::new(time + 5, None, Some(b"v2")),
        Record::new(time + 3, Some(b"k3"), None),
        Record::new(time + 10, Some(b""), Some(b"")),
    ];
    let decoded: Vec<Record<'_>> = batch.records().map(Result::unwrap).collect();
    assert_eq!(decoded.len(), expected.len());
    for (decoded, expected) in decoded.iter().zip(expected) {
        assert_eq!(*decoded, Record { offset: decoded.offset, ..expected });
    }
    let header = batch.header();
    let options = BatchOptions {
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        ..BatchOptions::default()
    };
    assert_eq!(encode(&options, expected), batch.bytes());
}

#[test]
fn record_batches() {
    let Some(vectors) = vectors() else { return };
    for vector in vectors["record_batches_v2"].as_array().unwrap() {
        let what = vector["what"].as_str().unwrap();
        let hex = bytes(&vector["hex"]);
        let batch = match Batch::parse(&hex) {
            Ok(batch) => batch,
            Err(error) => {
                assert!(what.starts_with("message set magic"), "{what}: {error}");
                assert!(matches!(error, BatchError::WrongMagic(0 | 1)), "{what}: {error}");
                continue;
            }
        };
        assert_eq!(batch.verify(), Ok(()), "{what}");
        assert_eq!(batch.bytes(), hex, "{what}");
        if batch.header().is_control() {
            let kind = if what.contains("COMMIT") { MarkerKind::Commit } else { MarkerKind::Abort };
            let marker = Marker::decode(&batch).unwrap();
            let timestamp = 1_600_000_000_000;
            let expected =
                Marker { kind, producer_id: 9, producer_epoch: 2, coordinator_epoch: 3, timestamp };
            assert_eq!(marker, expected, "{what}");
            // Where the log places a marker lies outside the checksum.
            assert_eq!(marker.encode()[17..], hex[17..], "{what}");
        } else if batch.header().compression() == Compression::None {
            check_records(&batch);
        } else {
            assert_eq!(batch.records().next(), Some(Err(BatchError::Compressed)), "{what}");
            assert_eq!(batch.header().records_count, 4, "{what}");
        }
    }
}

#[test]
fn checksums() {
    let Some(vectors) = vectors() else { return };
    for vector in vectors["crc32c"].as_array().unwrap() {
        let input = vector["input_utf8"].as_str().unwrap();
        assert_eq!(
            u64::from(crc32c::crc32c(input.as_bytes())),
            vector["crc32c"].as_u64().unwrap(),
            "{input}"
        );
    }
}

#[test]
fn varints() {
    let Some(vectors) = vectors() else { return };
    for vector in vectors["varints"].as_array().unwrap() {
        let mut out = Vec::new();
        if let Some(value) = vector["value_long"].as_i64() {
            varint::put_varlong(&mut out, value);
            assert_eq!(out, bytes(&vector["zigzag_varlong_hex"]));
            assert_eq!(varint::take_varlong(&mut out.as_slice()), Some(value));
            continue;
        }
        let value = i32::try_from(vector["value"].as_i64().unwrap()).unwrap();
        varint::put_varint(&mut out, value);
        assert_eq!(out, bytes(&vector["zigzag_varint_hex"]), "{value}");
        out.clear();
        varint::put_unsigned(&mut out, value.cast_unsigned());
        assert_eq!(out, bytes(&vector["unsigned_varint_hex"]), "{value}");
    }
}
