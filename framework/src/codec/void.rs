//! Nothing: `()`, always null.

use super::{HasSerde, Serde, SerdeError};

/// Serde of `()` (Kafka's `Void`): null, and anything else is an error.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::VoidSerde;
/// assert_eq!(VoidSerde.serialize(&(), &mut Vec::new()), Ok(false));
/// assert_eq!(VoidSerde.deserialize(None), Ok(()));
/// let error = VoidSerde.deserialize(Some(b"x")).unwrap_err();
/// assert_eq!(error.to_string(), "expected null: found 1 bytes; first bytes x");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct VoidSerde;

impl Serde<()> for VoidSerde {
    #[inline]
    fn serialize(&self, (): &(), _out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        Ok(false)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<(), SerdeError> {
        match bytes {
            None => Ok(()),
            Some(present) => Err(SerdeError::new("null", format!("found {} bytes", present.len()), bytes)),
        }
    }

    #[inline]
    fn is_null(&self, (): &()) -> bool {
        true
    }
}

impl HasSerde for () {
    type Serde = VoidSerde;
}
