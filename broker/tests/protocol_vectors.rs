//! Messages that Apache Kafka's own classes have written, where the suites are (`HEADWATER_SUITES` names their folder): each
//! that the crate of our messages knows comes back byte for byte.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

use std::collections::BTreeSet;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use serde_json::Value;

/// What comes back of a message, and how many bytes of it were left.
fn round_trip(kind: &str, key: ApiKey, version: i16, mut bytes: Bytes) -> anyhow::Result<(BytesMut, usize)> {
    let mut again = BytesMut::new();
    if kind == "request" {
        RequestKind::decode(key, &mut bytes, version)?.encode(&mut again, version)?;
    } else {
        ResponseKind::decode(key, &mut bytes, version)?.encode(&mut again, version)?;
    }
    Ok((again, bytes.remaining()))
}

#[test]
fn messages_come_back_byte_for_byte() {
    let Some(folder) = std::env::var_os("HEADWATER_SUITES") else { return };
    let path = std::path::Path::new(&folder).join("kafka-protocol/message-vectors.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut same, mut unknown) = (0, BTreeSet::new());
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let kind = vector["type"].as_str().unwrap();
        if kind != "request" && kind != "response" {
            continue;
        }
        let number = i16::try_from(vector["api_key"].as_i64().unwrap()).unwrap();
        let version = i16::try_from(vector["version"].as_i64().unwrap()).unwrap();
        let known = ApiKey::try_from(number).ok().filter(|key| {
            let versions = key.valid_versions();
            (versions.min..=versions.max).contains(&version)
        });
        let Some(key) = known else {
            unknown.insert((number, version));
            continue;
        };
        let hex = vector["hex"].as_str().unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let (again, left) = round_trip(kind, key, version, bytes.clone().into())
            .unwrap_or_else(|error| panic!("{key:?} {kind} in version {version}: {error}\n{line}"));
        assert_eq!(left, 0, "{line}");
        assert_eq!(again, bytes, "{key:?} {kind} in version {version}\n{line}");
        same += 1;
    }
    // Between brokers, or gone before 4.1.
    println!("{same} are the same; not known: {unknown:?}");
    assert!(same > 1_500, "{same}");
}
