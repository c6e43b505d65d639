//! Truth values: one byte, 0 or 1.

use super::fixed::exactly;
use super::{HasSerde, Serde, SerdeError};

/// Serde of `bool` (Kafka's `Boolean`).
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::BooleanSerde;
/// assert_eq!(BooleanSerde.deserialize(Some(&[1])), Ok(true));
/// let error = BooleanSerde.deserialize(Some(b"t")).unwrap_err();
/// assert_eq!(error.to_string(), "expected bool: found byte 116 instead of 0 or 1; first bytes t");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BooleanSerde;

impl Serde<bool> for BooleanSerde {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn serialize(&self, value: &bool, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.push(u8::from(*value));
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<bool, SerdeError> {
        match exactly("bool", bytes)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(SerdeError::new("bool", format!("found byte {byte} instead of 0 or 1"), bytes)),
        }
    }
}

impl HasSerde for bool {
    type Serde = BooleanSerde;
}
