//! Floating-point numbers: IEEE 754, big-endian.

use super::fixed::exactly;
use super::{HasSerde, Serde, SerdeError};

/// The one NaN that Java's `doubleToLongBits`, and with it Kafka's `DoubleSerializer`, knows.
const DOUBLE_NAN: u64 = 0x7ff8_0000_0000_0000;

/// Serde of `f32` (Kafka's `Float`): 4 bytes, every NaN kept as it is.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::FloatSerde;
/// assert_eq!(FloatSerde.deserialize(Some(&[0x3f, 0xc0, 0, 0])), Ok(1.5));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FloatSerde;

/// Serde of `f64` (Kafka's `Double`): 8 bytes, every NaN written as the same one, as Kafka does.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::DoubleSerde;
/// assert_eq!(DoubleSerde.deserialize(Some(&[0xc0, 2, 0, 0, 0, 0, 0, 0])), Ok(-2.25));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DoubleSerde;

impl Serde<f32> for FloatSerde {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn serialize(&self, value: &f32, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<f32, SerdeError> {
        exactly("f32", bytes).map(f32::from_be_bytes)
    }
}

impl Serde<f64> for DoubleSerde {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn serialize(&self, value: &f64, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        let bits = if value.is_nan() { DOUBLE_NAN } else { value.to_bits() };
        out.extend_from_slice(&bits.to_be_bytes());
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<f64, SerdeError> {
        exactly("f64", bytes).map(f64::from_be_bytes)
    }
}

impl HasSerde for f32 {
    type Serde = FloatSerde;
}

impl HasSerde for f64 {
    type Serde = DoubleSerde;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_double_nan_is_written_as_java_writes_it() {
        let mut out = Vec::new();
        let odd_nan = f64::from_bits(0xfff8_0000_0000_0001);
        DoubleSerde.serialize(&odd_nan, &mut out).unwrap();
        assert_eq!(out, [0x7f, 0xf8, 0, 0, 0, 0, 0, 0]);
    }
}
