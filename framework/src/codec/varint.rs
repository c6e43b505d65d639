//! Kafka's variable-length `i32` (`ByteUtils.writeVarint`): zigzag, then 7 bits a byte, lowest first.

/// An `i32` never needs more bytes: 32 bits in groups of 7.
const MAX_LEN: usize = 5;

/// Appends `value`.
///
/// ```
/// let mut out = Vec::new();
/// headwater::codec::varint::push_varint(-300, &mut out);
/// assert_eq!(out, [0xd7, 0x04]);
/// ```
#[inline]
pub fn push_varint(value: i32, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The value that `bytes` start with, and what follows it; `None` where they end too early or no `i32` stands there.
///
/// ```
/// assert_eq!(headwater::codec::varint::take_varint(&[0xd7, 0x04, 9]), Some((-300, &[9][..])));
/// ```
#[must_use]
#[inline]
pub fn take_varint(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let mut zigzag = 0_u32;
    for (index, byte) in bytes.iter().take(MAX_LEN).enumerate() {
        let group = u32::from(byte & 0x7f);
        // The fifth group has room for four bits.
        if index == MAX_LEN - 1 && group > 0xf {
            return None;
        }
        zigzag |= group << (7 * index);
        if byte & 0x80 == 0 {
            let value = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_at_the_edges_have_kafkas_bytes() {
        let table: [(i32, &[u8]); 9] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (300, &[0xd8, 4]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in table {
            let mut out = Vec::new();
            push_varint(value, &mut out);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(take_varint(bytes), Some((value, &[][..])));
        }
    }

    #[test]
    fn what_ends_early_or_is_too_large_is_no_value() {
        for bytes in [&[][..], &[0x80], &[0x80; 5], &[0xff, 0xff, 0xff, 0xff, 0x10]] {
            assert_eq!(take_varint(bytes), None, "{bytes:?}");
        }
    }
}
