//! JSON, for every type that serde can write and read.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fixed::not_null;
use super::type_name::short_type_name;
use super::{Serde, SerdeError};

/// Serde of any type as JSON text, written without an intermediate buffer. Reading allocates what the type does.
///
/// 1. Kafka's null is not JSON's `null`: the first needs an `Option` around the whole type (its serde is then
///    [`Nullable`](super::Nullable)), the second is four bytes of text.
/// 2. Keys are found by their bytes, so a type used as a key must always give the same text: structs do, a `HashMap`
///    does not (use a `BTreeMap`).
/// 3. NaN and infinities are written as `null`, as JSON has no word for them.
///
/// ```
/// use headwater::codec::Json;
/// use headwater::{HasSerde, Serde};
///
/// #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Order {
///     id: u64,
/// }
/// impl HasSerde for Order {
///     type Serde = Json;
/// }
///
/// let mut out = Vec::new();
/// Json.serialize(&Order { id: 7 }, &mut out)?;
/// assert_eq!(out, br#"{"id":7}"#);
///
/// let result: Result<Order, _> = Json.deserialize(Some(b"{}"));
/// assert_eq!(
///     result.unwrap_err().to_string(),
///     "expected json Order: missing field `id` at line 1 column 2; first bytes {}"
/// );
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Serde<T> for Json {
    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        let start = out.len();
        match serde_json::to_writer(&mut *out, value) {
            Ok(()) => Ok(true),
            Err(error) => {
                out.truncate(start);
                Err(SerdeError::new(expected::<T>(), format!("cannot be written: {error}"), None))
            }
        }
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        let Some(present) = bytes else {
            return Err(not_null(&expected::<T>(), None).expect_err("null is refused"));
        };
        // Checked once as a whole, text is cheaper to read than bytes, each of whose strings is checked on its own.
        let read = match std::str::from_utf8(present) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(present),
        };
        read.map_err(|error| not_json::<T>(present, &error))
    }
}

fn expected<T>() -> String {
    format!("json {}", short_type_name::<T>())
}

#[cold]
fn not_json<T>(bytes: &[u8], error: &serde_json::Error) -> SerdeError {
    let mut problem = error.to_string();
    // No JSON text starts with a zero byte; what a schema registry's serializers write does.
    if bytes.first() == Some(&0) {
        problem += "; a leading 0 is a schema registry's wire format: read it with that format's serde";
    }
    SerdeError::new(expected::<T>(), problem, Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_value_that_fails_half_way_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let keys_that_json_lacks = vec![HashMap::from([(vec![1], 2)])];
        let error = Json.serialize(&keys_that_json_lacks, &mut out).unwrap_err();
        assert_eq!(out, b"before");
        assert_eq!(error.problem, "cannot be written: key must be a string");
    }

    #[test]
    fn the_wire_format_of_a_schema_registry_is_recognised() {
        let error = Serde::<bool>::deserialize(&Json, Some(b"\0\0\0\0\x05{}")).unwrap_err();
        assert!(error.problem.ends_with("read it with that format's serde"), "{error}");
    }
}
