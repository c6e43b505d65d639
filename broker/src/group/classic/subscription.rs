//! A subscription as consumers of the classic protocol tell it their assignor: opaque to the broker, except for
//! the topics' names, by which it knows whose offsets are still needed.
//!
//! All versions begin alike (Kafka's `ConsumerProtocolSubscription`): the version, 16 bits; the number of topics,
//! 32 bits; each name with its length in 16 bits; all big-endian.

/// Whether a topic is in the list. Metadata that cannot be read may contain any.
pub(super) fn may_contain(metadata: &[u8], topic: &str) -> bool {
    contains(metadata, topic).unwrap_or(true)
}

fn contains(metadata: &[u8], topic: &str) -> Option<bool> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, names) = rest.split_first_chunk::<2>()?;
        let (name, names) = names.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if name == topic.as_bytes() {
            return Some(true);
        }
        rest = names;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::may_contain;

    #[test]
    fn names_are_found_and_riddles_contain_all() {
        let two = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff";
        let cases: [(&[u8], &str, bool); 6] = [
            (two, "a", true),
            (two, "bc", true),
            (two, "b", false),
            (&two[..8], "x", true),
            (b"", "x", true),
            (b"\0\0\0\0\0\0", "x", false),
        ];
        for (metadata, topic, expected) in cases {
            assert_eq!(may_contain(metadata, topic), expected, "{topic} in {metadata:?}");
        }
    }
}
