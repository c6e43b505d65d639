//! Text: UTF-8, without a length.

use super::fixed::not_null;
use super::{HasSerde, Serde, SerdeError};

/// Serde of `String` (Kafka's `String`): UTF-8. Reading allocates the string.
///
/// Bytes that are not UTF-8 are an error, where Kafka's deserializer puts U+FFFD in their place: what was read is what
/// will be written.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::StringSerde;
/// assert_eq!(StringSerde.deserialize(Some("żółć".as_bytes())).as_deref(), Ok("żółć"));
/// let error = StringSerde.deserialize(Some(b"ab\xff")).unwrap_err();
/// assert_eq!(error.to_string(), "expected string: not UTF-8 from byte 2 on; first bytes ab\\xff");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StringSerde;

impl Serde<String> for StringSerde {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<String, SerdeError> {
        let bytes = not_null("string", bytes)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let problem = format!("not UTF-8 from byte {} on", error.valid_up_to());
                Err(SerdeError::new("string", problem, Some(bytes)))
            }
        }
    }

    #[inline]
    fn borrow<'a>(&self, value: &'a String) -> Option<&'a [u8]> {
        Some(value.as_bytes())
    }
}

impl HasSerde for String {
    type Serde = StringSerde;
}
