//! Varints: integers in as few bytes as they need, seven bits each, lowest first.
//!
//! Records use the zigzag form, where the sign sits in the lowest bit so that small negative numbers stay
//! short. Readers take the bytes from a slice that they shorten from the front.

/// Appends `value` in zigzag form.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned_long(out, u64::from(zigzag(value)));
}

/// Appends `value` in zigzag form.
#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned_long(out, zigzag_long(value));
}

/// Appends `value` without zigzag.
#[inline]
pub fn put_unsigned(out: &mut Vec<u8>, value: u32) {
    put_unsigned_long(out, u64::from(value));
}

#[inline]
fn put_unsigned_long(out: &mut Vec<u8>, value: u64) {
    let mut scratch = Scratch::new();
    scratch.put_unsigned_long(value);
    out.extend_from_slice(scratch.bytes());
}

/// A few varints put together on the stack, to be copied at once: a vector would check its room for each byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scratch {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Scratch {
    /// The head of a record at its longest: three varints, a varlong and a byte.
    const ROOM: usize = 5 + 1 + 10 + 5 + 5;

    #[inline]
    pub(super) fn new() -> Self {
        Self { bytes: [0; Self::ROOM], len: 0 }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[inline]
    pub(super) fn put_byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    pub(super) fn put_varint(&mut self, value: i32) {
        self.put_unsigned_long(u64::from(zigzag(value)));
    }

    #[inline]
    pub(super) fn put_varlong(&mut self, value: i64) {
        self.put_unsigned_long(zigzag_long(value));
    }

    #[inline]
    fn put_unsigned_long(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_byte(low_seven_bits(value) | 0x80);
            value >>= 7;
        }
        self.put_byte(low_seven_bits(value));
    }
}

#[inline]
fn low_seven_bits(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// Bytes that [`put_varint`] takes for `value`.
#[inline]
#[must_use]
pub fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(zigzag(value)))
}

/// Bytes that [`put_varlong`] takes for `value`.
#[inline]
#[must_use]
pub fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag_long(value))
}

#[inline]
fn unsigned_len(value: u64) -> usize {
    // Nearly all lengths and deltas are this short.
    if value < 0x80 {
        return 1;
    }
    if value < 0x4000 {
        return 2;
    }
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[inline]
fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

#[inline]
fn zigzag_long(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Takes a zigzag integer off the front; `None` when the bytes end early or the number is too long.
#[inline]
pub fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let raw = take_unsigned(bytes)?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Takes a zigzag integer off the front; `None` when the bytes end early or the number is too long.
#[inline]
pub fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_unsigned_long(bytes, 10)?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Takes an integer without zigzag off the front.
#[inline]
pub fn take_unsigned(bytes: &mut &[u8]) -> Option<u32> {
    let raw = take_unsigned_long(bytes, 5)?;
    u32::try_from(raw).ok()
}

#[inline]
fn take_unsigned_long(bytes: &mut &[u8], longest: usize) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    for (i, &byte) in rest.iter().take(longest - 1).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * (i + 1));
        if byte < 0x80 {
            *bytes = &rest[i + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{put_unsigned, put_varint, put_varlong, take_unsigned, take_varint, take_varlong};
    use super::{varint_len, varlong_len};

    #[test]
    fn integers_come_back_and_take_the_announced_room() {
        let edges = (0..64).flat_map(|bit| {
            let power = 1_i64.wrapping_shl(bit);
            [power.wrapping_sub(1), power, power.wrapping_neg(), power.wrapping_neg().wrapping_sub(1)]
        });
        for value in edges {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out.len(), varlong_len(value), "{value}");
            assert_eq!(take_varlong(&mut out.as_slice()), Some(value));
            let Ok(value) = i32::try_from(value) else { continue };
            out.clear();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(take_varint(&mut out.as_slice()), Some(value));
            out.clear();
            put_unsigned(&mut out, value.cast_unsigned());
            assert_eq!(take_unsigned(&mut out.as_slice()), Some(value.cast_unsigned()));
        }
    }

    #[test]
    fn broken_integers_are_refused() {
        assert_eq!(take_varint(&mut [].as_slice()), None);
        assert_eq!(take_varint(&mut [0x80].as_slice()), None);
        assert_eq!(take_varint(&mut [0xff, 0xff, 0xff, 0xff, 0xff, 0x01].as_slice()), None);
    }
}
