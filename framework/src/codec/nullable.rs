//! Values that may be null: `Option<T>`, where `None` is Kafka's null.

use super::{HasSerde, ROWS, Serde, SerdeError, WindowKind, gather};
use crate::record::{Encoded, Memory};

/// Serde of `Option<T>` over the serde of `T`: `None` is null, `Some` is written as `T` is.
///
/// Null and empty are different: `Some(String::new())` is a value of no bytes. Where the inner serde writes null
/// itself (`()`, `Option`), `Some` of that comes back as `None`.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::{Nullable, StringSerde};
/// let serde = Nullable(StringSerde);
/// assert_eq!(serde.deserialize(None), Ok(None));
/// assert_eq!(serde.deserialize(Some(b"")), Ok(Some(String::new())));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<S>(
    /// The serde of values that are present.
    pub S,
);

impl<T, S: Serde<T>> Serde<Option<T>> for Nullable<S> {
    #[inline]
    fn serialize(&self, value: &Option<T>, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        match value {
            Some(value) => self.0.serialize(value, out),
            None => Ok(false),
        }
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Option<T>, SerdeError> {
        bytes.map(|present| self.0.deserialize(Some(present))).transpose()
    }

    #[inline]
    fn deserialize_shared(&self, bytes: Option<&[u8]>, memory: &Memory) -> Result<Option<T>, SerdeError> {
        bytes.map(|present| self.0.deserialize_shared(Some(present), memory)).transpose()
    }

    fn serialize_all(&self, values: &[Option<&Option<T>>], out: &mut Encoded) -> Result<(), SerdeError> {
        values.chunks(ROWS).try_for_each(|values| self.0.serialize_all(&present(values)[..values.len()], out))
    }

    fn borrow_all<'a>(&self, values: &[Option<&'a Option<T>>], out: &mut [Option<&'a [u8]>]) -> bool {
        let mut runs = values.chunks(ROWS).zip(out[..values.len()].chunks_mut(ROWS));
        runs.all(|(values, out)| self.0.borrow_all(&present(values)[..values.len()], out))
    }

    #[inline]
    fn borrow<'a>(&self, value: &'a Option<T>) -> Option<&'a [u8]> {
        value.as_ref().and_then(|value| self.0.borrow(value))
    }

    #[inline]
    fn detach(&self, value: Option<T>) -> Option<T> {
        value.map(|value| self.0.detach(value))
    }

    fn is_owned(&self) -> bool {
        self.0.is_owned()
    }

    fn partition_part<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        self.0.partition_part(key)
    }

    fn partition_parts(&self, keys: &mut [Option<&[u8]>]) {
        self.0.partition_parts(keys);
    }

    #[inline]
    fn is_null(&self, value: &Option<T>) -> bool {
        value.as_ref().is_none_or(|value| self.0.is_null(value))
    }

    fn windows(&self) -> Option<WindowKind> {
        self.0.windows()
    }
}

/// The values that are present, [`ROWS`] at most.
#[inline]
fn present<'a, T>(values: &[Option<&'a Option<T>>]) -> [Option<&'a T>; ROWS] {
    gather(values.iter().map(|value| value.and_then(Option::as_ref)))
}

impl<T: HasSerde> HasSerde for Option<T> {
    type Serde = Nullable<T::Serde>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{LongSerde, StringSerde};

    #[test]
    fn a_column_keeps_nulls_in_their_places() {
        let texts: Vec<_> = (0..130).map(|n| (n % 7 != 3).then(|| n.to_string())).collect();
        let values: Vec<_> = texts.iter().map(Some).collect();
        let mut lent = vec![Some(&b"old"[..]); values.len()];
        assert!(Nullable(StringSerde).borrow_all(&values, &mut lent));
        let mut column = Encoded::default();
        Nullable(StringSerde).serialize_all(&values, &mut column).unwrap();
        for (row, text) in texts.iter().enumerate() {
            let expected = text.as_ref().map(String::as_bytes);
            assert_eq!((lent[row], column.get(row)), (expected, expected));
        }
        let numbers = [Some(1_i64), None];
        assert!(!Nullable(LongSerde).borrow_all(&[Some(&numbers[0]), None], &mut lent));
    }
}
