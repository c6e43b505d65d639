//! The text that travels with a committed offset: the partition's time and the times that operators observe.
//!
//! Kafka Streams' form (`TopicPartitionMetadata`): Base64 of `0x02 | partitionTime:i64 | n:i32 | {len:i32, name, i64}*`,
//! big-endian; without times the part from `n` on is left out. `0x01 | i64` of older versions is read as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::time::UNKNOWN_TIME;

/// Brokers refuse more than `offset.metadata.max.bytes`, 4096 by default; Base64 makes four bytes of three.
const MAX_BYTES: usize = 3_000;

/// What the text tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// Highest event time of the partition, -1 for none.
    pub partition_time: i64,
    /// Times of the task, by name.
    pub named: Vec<(String, i64)>,
}

/// The text for a partition's time and the task's times. Times that do not fit are left out, the last ones first.
pub fn encode<'a>(partition_time: i64, times: impl Iterator<Item = (&'a str, i64)>) -> String {
    let mut raw = vec![2];
    raw.extend_from_slice(&partition_time.to_be_bytes());
    let count_at = raw.len();
    let mut count = 0_i32;
    for (name, time) in times.filter(|(_, time)| *time != UNKNOWN_TIME) {
        let Ok(len) = i32::try_from(name.len()) else { continue };
        if !fits(raw.len(), name) {
            continue;
        }
        if count == 0 {
            raw.extend_from_slice(&[0; 4]);
        }
        count += 1;
        raw.extend_from_slice(&len.to_be_bytes());
        raw.extend_from_slice(name.as_bytes());
        raw.extend_from_slice(&time.to_be_bytes());
    }
    if count > 0 {
        raw[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    }
    STANDARD.encode(raw)
}

/// Whether there is room for one more time behind so many bytes: the name, its length, the time, and how many there are.
fn fits(bytes: usize, name: &str) -> bool {
    bytes + 4 + 4 + name.len() + 8 <= MAX_BYTES
}

/// How many of a task's times find no room once all of them are known.
pub fn left_out<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let mut bytes = 1 + 8;
    let mut left_out = 0;
    for name in names {
        if fits(bytes, name) {
            bytes += if bytes == 1 + 8 { 4 } else { 0 } + 4 + name.len() + 8;
        } else {
            left_out += 1;
        }
    }
    left_out
}

/// What a text tells; `None` where it is of another form, which is no error: it may be another program's.
#[must_use]
pub fn decode(text: &str) -> Option<Times> {
    let raw = STANDARD.decode(text).ok()?;
    let (version, mut rest) = raw.split_first()?;
    let partition_time = take_i64(&mut rest)?;
    let mut named = Vec::new();
    if *version == 2 && !rest.is_empty() {
        for _ in 0..take_i32(&mut rest)? {
            let len = usize::try_from(take_i32(&mut rest)?).ok()?;
            let (name, tail) = rest.split_at_checked(len)?;
            rest = tail;
            named.push((String::from_utf8(name.to_vec()).ok()?, take_i64(&mut rest)?));
        }
    }
    matches!(version, 1 | 2).then_some(Times { partition_time, named })
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(i32::from_be_bytes(*bytes))
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    let (bytes, tail) = rest.split_first_chunk::<8>()?;
    *rest = tail;
    Some(i64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_kafka_streams() {
        // 02, then 10 as i64, then one time: "a" = 5.
        let raw = [2, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 5];
        let text = encode(10, [("a", 5), ("none", -1)].into_iter());
        assert_eq!(text, STANDARD.encode(raw));
        let times = decode(&text).unwrap();
        assert_eq!(times, Times { partition_time: 10, named: vec![("a".to_owned(), 5)] });
        assert_eq!(encode(10, std::iter::empty()), STANDARD.encode(&raw[..9]));
        let old = STANDARD.encode([1, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(decode(&old), Some(Times { partition_time: 7, named: Vec::new() }));
    }

    #[test]
    fn other_texts_are_no_times_and_too_many_are_cut() {
        for text in ["", "made by hand", "Ag==", "AwAAAAAAAAAK"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        let names: Vec<_> = (0..200).map(|number| format!("operator number {number}")).collect();
        let text = encode(1, names.iter().map(|name| (name.as_str(), 9)));
        assert!(text.len() <= 4_096, "{}", text.len());
        let kept = decode(&text).unwrap().named.len();
        assert!(kept > 50);
        assert_eq!(left_out(names.iter().map(String::as_str)), names.len() - kept);
        assert_eq!(left_out(names.iter().map(String::as_str).take(kept)), 0);
    }
}
