//! Integers: two's complement, big-endian, in the three widths that Kafka has serdes for.

use super::fixed::exactly;
use super::{HasSerde, Serde, SerdeError};

/// Serde of `i16` (Kafka's `Short`): 2 bytes.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::ShortSerde;
/// assert_eq!(ShortSerde.deserialize(Some(&[0x7f, 0xff])), Ok(32_767));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ShortSerde;

/// Serde of `i32` (Kafka's `Integer`): 4 bytes.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::IntegerSerde;
/// let mut out = Vec::new();
/// IntegerSerde.serialize(&-2, &mut out)?;
/// assert_eq!(out, [0xff, 0xff, 0xff, 0xfe]);
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct IntegerSerde;

/// Serde of `i64` (Kafka's `Long`): 8 bytes.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::LongSerde;
/// let error = LongSerde.deserialize(Some(b"42")).unwrap_err();
/// assert_eq!(error.to_string(), "expected i64: found 2 bytes instead of 8; first bytes 42");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LongSerde;

impl Serde<i16> for ShortSerde {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn serialize(&self, value: &i16, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<i16, SerdeError> {
        exactly("i16", bytes).map(i16::from_be_bytes)
    }
}

impl Serde<i32> for IntegerSerde {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn serialize(&self, value: &i32, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<i32, SerdeError> {
        exactly("i32", bytes).map(i32::from_be_bytes)
    }
}

impl Serde<i64> for LongSerde {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn serialize(&self, value: &i64, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<i64, SerdeError> {
        exactly("i64", bytes).map(i64::from_be_bytes)
    }
}

impl HasSerde for i16 {
    type Serde = ShortSerde;
}

impl HasSerde for i32 {
    type Serde = IntegerSerde;
}

impl HasSerde for i64 {
    type Serde = LongSerde;
}
