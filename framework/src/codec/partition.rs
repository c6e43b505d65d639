//! Which partition a key goes to: Kafka's default partitioner, so that Java and Rust producers agree.

/// Kafka's murmur2 of `data` (`Utils.murmur2`: 32 bits, its own fixed seed).
///
/// ```
/// use headwater::codec::partition::murmur2;
/// assert_eq!(murmur2(b"21"), -973_932_308);
/// ```
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Kafka's arrays have 32-bit lengths, so the cast loses nothing that Kafka could hold.
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let tail_word = tail.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ tail_word).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15).cast_signed()
}

/// The partition of a topic with `partitions` partitions that records with this key go to, as Java's producer and
/// Kafka Streams choose it. A windowed key goes where its inner key goes: pass the bytes of that.
///
/// ```
/// use headwater::codec::partition::partition_for_key;
/// assert_eq!(partition_for_key(b"foobar", 4), 2);
/// ```
///
/// # Panics
/// If `partitions` is not positive.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition, not {partitions}");
    (murmur2(key) & 0x7fff_ffff) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tail_length_hashes_as_in_kafka() {
        let table: [(&[u8], i32); 8] = [
            (b"", 275_646_681),
            (b"a", -1_563_381_124),
            (b"21", -973_932_308),
            (b"abc", 479_470_107),
            (b"abcd", -1_323_649_548),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
        ];
        for (data, hash) in table {
            assert_eq!(murmur2(data), hash, "{}", data.escape_ascii());
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_and_nothing_else() {
        // -973932308 & 0x7fffffff = 1173551340
        assert_eq!(partition_for_key(b"21", 100), 40);
        assert_eq!(partition_for_key(b"21", i32::MAX), 1_173_551_340);
        assert_eq!(partition_for_key(b"21", 1), 0);
    }
}
