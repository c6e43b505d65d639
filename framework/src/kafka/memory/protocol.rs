//! Protocol: the bytes that members of a consumer group tell each other through the broker
//! (Kafka's `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`), so that other clients may be members too.
//!
//! ```text
//! subscription  version i16, topics [string], user data (nullable bytes), later versions: more
//! assignment    version i16, [topic string, partitions [i32]], user data (nullable bytes)
//! ```
//! Arrays and bytes are counted in i32, strings in i16; -1 is null. Version 0 is written, since `range` under the eager
//! protocol has no use for more; of later versions the beginning is read.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::topic::{TopicName, TopicPartition};

/// What a member subscribes to.
pub(super) fn encode_subscription(topics: &[TopicName], user_data: Option<&[u8]>) -> Bytes {
    let mut out = Vec::new();
    put_i16(&mut out, 0);
    put_count(&mut out, topics.len());
    for topic in topics {
        put_string(&mut out, topic);
    }
    put_bytes(&mut out, user_data);
    out.into()
}

/// The topics of a subscription; `None` where the bytes are none.
pub(super) fn decode_subscription(bytes: &[u8]) -> Option<Vec<TopicName>> {
    let mut rest = bytes;
    take_i16(&mut rest)?;
    let count = take_count(&mut rest)?;
    (0..count).map(|_| take_string(&mut rest).map(Into::into)).collect()
}

/// What a member is assigned.
pub(super) fn encode_assignment(partitions: &[TopicPartition], user_data: Option<&[u8]>) -> Bytes {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for one in partitions {
        by_topic.entry(&one.topic).or_default().push(one.partition);
    }
    let mut out = Vec::new();
    put_i16(&mut out, 0);
    put_count(&mut out, by_topic.len());
    for (topic, partitions) in by_topic {
        put_string(&mut out, topic);
        put_count(&mut out, partitions.len());
        for partition in partitions {
            out.extend_from_slice(&partition.to_be_bytes());
        }
    }
    put_bytes(&mut out, user_data);
    out.into()
}

/// The partitions of an assignment, in order; `None` where the bytes are none. No bytes at all are an empty assignment.
pub(super) fn decode_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    if bytes.is_empty() {
        return Some(partitions);
    }
    let mut rest = bytes;
    take_i16(&mut rest)?;
    for _ in 0..take_count(&mut rest)? {
        let topic: TopicName = take_string(&mut rest)?.into();
        for _ in 0..take_count(&mut rest)? {
            partitions.push(TopicPartition { topic: topic.clone(), partition: take_i32(&mut rest)? });
        }
    }
    partitions.sort();
    Some(partitions)
}

fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("a group has fewer than 2^31 topics and partitions");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_i16(out, i16::try_from(text.len()).expect("topic names have at most 249 bytes"));
    out.extend_from_slice(text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(bytes) => {
            put_count(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn take_i16(rest: &mut &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(take(rest, 2)?.try_into().ok()?))
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(take(rest, 4)?.try_into().ok()?))
}

fn take_count(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_i32(rest)?).ok()
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(take_i16(rest)?).ok()?;
    std::str::from_utf8(take(rest, len)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{decode_assignment, decode_subscription, encode_assignment, encode_subscription};
    use crate::topic::{TopicName, TopicPartition};

    #[test]
    fn bytes_are_kafkas() {
        let topics: Vec<TopicName> = vec!["in".into(), "x".into()];
        let bytes = encode_subscription(&topics, Some(&[7]));
        let expected = b"\0\0\0\0\0\x02\0\x02in\0\x01x\0\0\0\x01\x07";
        assert_eq!(bytes.as_ref(), expected);
        assert_eq!(decode_subscription(&bytes), Some(topics));

        let partitions: Vec<_> = [("in", 1), ("in", 2), ("x", 0)]
            .map(|(topic, partition)| TopicPartition::new(topic, partition))
            .into();
        let bytes = encode_assignment(&partitions, None);
        let expected =
            b"\0\0\0\0\0\x02\0\x02in\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x01x\0\0\0\x01\0\0\0\0\xff\xff\xff\xff";
        assert_eq!(bytes.as_ref(), expected);
        assert_eq!(decode_assignment(&bytes), Some(partitions));
        assert_eq!(decode_assignment(&[]), Some(Vec::new()));
    }

    #[test]
    fn later_versions_are_read_and_cut_bytes_refused() {
        // Version 3: owned partitions, generation and rack follow.
        let bytes = b"\0\x03\0\0\0\x01\0\x01a\xff\xff\xff\xff\0\0\0\0\0\0\0\x05\0\x01r";
        assert_eq!(decode_subscription(bytes), Some(vec!["a".into()]));
        assert_eq!(decode_subscription(&bytes[..8]), None);
        assert_eq!(decode_assignment(&bytes[..8]), None);
        assert_eq!(decode_assignment(b"\0\0\xff\xff\xff\xff"), None);
    }

    /// Against vectors made by Kafka's own classes, where they are at hand.
    #[test]
    fn vectors() {
        let Some(folder) = std::env::var_os("HEADWATER_SUITES") else { return };
        let path = std::path::Path::new(&folder).join("kstreams/byte-vectors.json");
        let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let bytes = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let lines = vectors["consumer_protocol"].as_array().unwrap();
        assert!(!lines.is_empty());
        for line in lines {
            let expected = bytes(line["hex"].as_str().unwrap());
            let user_data = line["user_data_hex"].as_str().map(bytes);
            let (found, encoded) = if line["what"] == "subscription" {
                let topics: Vec<TopicName> = line["topics"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|name| name.as_str().unwrap().into())
                    .collect();
                let found = decode_subscription(&expected) == Some(topics.clone());
                (found, encode_subscription(&topics, user_data.as_deref()))
            } else {
                let partition = |text: &str| {
                    let (topic, number) = text.split_once('-').unwrap();
                    TopicPartition::new(topic, number.parse().unwrap())
                };
                let partitions: Vec<_> =
                    line["partitions"].as_str().unwrap().split(',').map(partition).collect();
                let found = decode_assignment(&expected) == Some(partitions.clone());
                (found, encode_assignment(&partitions, user_data.as_deref()))
            };
            assert!(found, "{line}");
            if line["version"] == 0 {
                assert_eq!(encoded, expected, "{line}");
            }
        }
    }
}
