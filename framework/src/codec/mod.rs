//! Serdes: values to bytes and back. A [`Serde`] does it for one type; [`HasSerde`] names a type's usual one.
//!
//! | type                          | usual serde                    | bytes                                           |
//! |-------------------------------|--------------------------------|-------------------------------------------------|
//! | `Slice`, `Bytes`, `Vec<u8>`   | [`BytesSerde`]                 | themselves                                      |
//! | `String`                      | [`StringSerde`]                | UTF-8                                           |
//! | `i16`, `i32`, `i64`           | [`ShortSerde`], [`IntegerSerde`], [`LongSerde`] | big-endian                     |
//! | `f32`, `f64`                  | [`FloatSerde`], [`DoubleSerde`] | big-endian                                     |
//! | `bool`                        | [`BooleanSerde`]               | 0 or 1                                          |
//! | `()`                          | [`VoidSerde`]                  | null                                            |
//! | `Option<T>`                   | [`Nullable`]                   | null, or those of `T`                           |
//! | what serde can write and read | none; [`Json`] is one to name  | JSON text                                       |
//! | `Vec<T>`                      | none; [`ListSerde`]            | a count, then the elements                      |
//! | [`Windowed`](crate::record::Windowed) | none; [`TimeWindowedSerde`], [`SessionWindowedSerde`] | key, then the window |
//!
//! All are Kafka's own formats, byte for byte, as are the parts of stores and internal topics in [`store_key`],
//! [`change`] and [`partition`]: a Headwater application can take over a Java application's topics.

#[cfg(feature = "avro")]
pub mod avro;
mod boolean;
mod bytes;
pub mod change;
mod fixed;
mod float;
mod integer;
mod json;
mod list;
mod nullable;
pub mod partition;
pub mod store_key;
mod text;
mod type_name;
pub mod varint;
mod void;
mod windowed;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::record::{Columns, Encoded, Memory, SharedBatch};

pub use boolean::BooleanSerde;
pub use bytes::BytesSerde;
pub use float::{DoubleSerde, FloatSerde};
pub use integer::{IntegerSerde, LongSerde, ShortSerde};
pub use json::Json;
pub use list::ListSerde;
pub use nullable::Nullable;
pub use text::StringSerde;
pub use void::VoidSerde;
pub use windowed::{SessionWindowedSerde, TimeWindowedSerde, WindowKind};

/// Turns values of one type into bytes and back.
///
/// 1. `None` is Kafka's null. A serde for a type without a null value refuses it ([`SerdeError`]); wrap the type in
///    `Option` to allow it.
/// 2. `serialize` appends to `out` and must not touch what is there. It returns whether the value is present: `false`
///    means null, and nothing was appended.
/// 3. The same value gives the same bytes: keys are found and partitioned by their bytes.
pub trait Serde<T>: Send + Sync {
    /// Appends the bytes of `value` to `out`; `false` for null.
    ///
    /// # Errors
    /// If the value has no such form.
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<bool, SerdeError>;
    /// The value of `bytes`; `None` is null.
    ///
    /// # Errors
    /// If the bytes are not of that type. `expected` and the first bytes belong into the error.
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError>;
    /// As [`Serde::deserialize`], where `bytes` lie in `memory`: a type that can share memory need not copy.
    ///
    /// # Errors
    /// As [`Serde::deserialize`].
    fn deserialize_shared(&self, bytes: Option<&[u8]>, memory: &Memory) -> Result<T, SerdeError> {
        let _ = memory;
        self.deserialize(bytes)
    }
    /// Reads the keys or values of the records `rows` of `batch` and appends them to `out`: one call for many.
    ///
    /// # Errors
    /// That of the first that cannot be read; those before it are in `out`.
    fn deserialize_all(
        &self,
        part: Part,
        batch: &SharedBatch,
        rows: Range<usize>,
        out: &mut Vec<T>,
    ) -> Result<(), SerdeError> {
        for row in rows {
            out.push(self.deserialize_shared(part.of(batch, row), batch.memory())?);
        }
        Ok(())
    }
    /// Serialises all `values`, `None` as null, into a column: one call for many. One element for each of them, with the
    /// bytes that [`Serde::serialize`] writes.
    ///
    /// # Errors
    /// That of the first that has no such form; those before it are in `out`.
    fn serialize_all(&self, values: &[Option<&T>], out: &mut Encoded) -> Result<(), SerdeError> {
        serialize_each(self, values, out)
    }
    /// [`Serde::borrow`] of all `values` (who overrides one overrides the other), `None` as null, into the first elements of `out`; `false` if one of them cannot
    /// be borrowed.
    ///
    /// # Panics
    /// If `out` is too short.
    fn borrow_all<'a>(&self, values: &[Option<&'a T>], out: &mut [Option<&'a [u8]>]) -> bool {
        let mut rows = out[..values.len()].iter_mut().zip(values);
        rows.all(|(out, value)| {
            *out = value.and_then(|value| self.borrow(value));
            out.is_some() || value.is_none()
        })
    }
    /// The bytes of `value`, where it holds them just as [`Serde::serialize`] would write them: spares a copy.
    fn borrow<'a>(&self, value: &'a T) -> Option<&'a [u8]> {
        let _ = value;
        None
    }
    /// The value as a store keeps it: without a share of the memory of the batch that it came in, which would stay alive
    /// with it.
    fn detach(&self, value: T) -> T {
        value
    }
    /// Whether values never share the memory of a batch, so that none has to be detached.
    fn is_owned(&self) -> bool {
        false
    }
    /// The part of a serialised key whose hash chooses the partition: all of it, but for windowed keys.
    fn partition_part<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key
    }
    /// [`Serde::partition_part`] (who overrides one overrides the other) of each of `keys` that is present, in its place.
    fn partition_parts(&self, keys: &mut [Option<&[u8]>]) {
        for key in keys.iter_mut().flatten() {
            *key = self.partition_part(key);
        }
    }
    /// Whether `value` is written as null.
    fn is_null(&self, value: &T) -> bool {
        let _ = value;
        false
    }
    /// Whether no value at all is written as null, so that nobody has to ask.
    fn never_null(&self) -> bool {
        false
    }
    /// How the window stands in a serialised key; `None` for keys without window.
    fn windows(&self) -> Option<WindowKind> {
        None
    }
    /// The serde's type. Serdes of one type that hold nothing are the same; nobody has a reason to change this.
    fn form(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

impl<T, S: Serde<T> + ?Sized> Serde<T> for Arc<S> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        (**self).serialize(value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        (**self).deserialize(bytes)
    }

    fn deserialize_shared(&self, bytes: Option<&[u8]>, memory: &Memory) -> Result<T, SerdeError> {
        (**self).deserialize_shared(bytes, memory)
    }

    fn deserialize_all(
        &self,
        part: Part,
        batch: &SharedBatch,
        rows: Range<usize>,
        out: &mut Vec<T>,
    ) -> Result<(), SerdeError> {
        (**self).deserialize_all(part, batch, rows, out)
    }

    fn serialize_all(&self, values: &[Option<&T>], out: &mut Encoded) -> Result<(), SerdeError> {
        (**self).serialize_all(values, out)
    }

    fn borrow_all<'a>(&self, values: &[Option<&'a T>], out: &mut [Option<&'a [u8]>]) -> bool {
        (**self).borrow_all(values, out)
    }

    fn borrow<'a>(&self, value: &'a T) -> Option<&'a [u8]> {
        (**self).borrow(value)
    }

    fn detach(&self, value: T) -> T {
        (**self).detach(value)
    }

    fn is_owned(&self) -> bool {
        (**self).is_owned()
    }

    fn partition_part<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        (**self).partition_part(key)
    }

    fn partition_parts(&self, keys: &mut [Option<&[u8]>]) {
        (**self).partition_parts(keys);
    }

    fn is_null(&self, value: &T) -> bool {
        (**self).is_null(value)
    }

    fn never_null(&self) -> bool {
        (**self).never_null()
    }

    fn windows(&self) -> Option<WindowKind> {
        (**self).windows()
    }

    fn form(&self) -> &'static str {
        (**self).form()
    }
}

/// Which part of a record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl Part {
    #[inline]
    fn of(self, batch: &SharedBatch, row: usize) -> Option<&[u8]> {
        match self {
            Self::Key => batch.key(row),
            Self::Value => batch.value(row),
        }
    }
}

/// Values that are written together.
pub(crate) const ROWS: usize = Columns::<(), ()>::ROWS;

/// The bytes of all `values`, `None` as null, as the first elements of `out`: in place, or as written to `encoded`.
///
/// # Errors
/// If one of the values cannot be written; those before it are in `encoded`.
///
/// # Panics
/// If `out` is too short.
pub(crate) fn encode_all<'a, T>(
    serde: &dyn Serde<T>,
    values: &[Option<&'a T>],
    encoded: &'a mut Encoded,
    out: &mut [Option<&'a [u8]>],
) -> Result<(), SerdeError> {
    encoded.clear();
    if serde.borrow_all(values, out) {
        return Ok(());
    }
    serde.serialize_all(values, encoded)?;
    assert_eq!(encoded.len(), values.len(), "a serde writes one element for each value, null for `None`");
    encoded.show(out);
    Ok(())
}

/// The first values, [`ROWS`] at most, in one place: for [`Serde::serialize_all`] and [`Serde::borrow_all`].
#[inline]
pub(crate) fn gather<'a, T>(values: impl Iterator<Item = Option<&'a T>>) -> [Option<&'a T>; ROWS] {
    let mut all = [None; ROWS];
    all.iter_mut().zip(values).for_each(|(one, value)| *one = value);
    all
}

/// Serialises values one by one, `None` as null.
#[inline]
fn serialize_each<T>(
    serde: &(impl Serde<T> + ?Sized),
    values: &[Option<&T>],
    out: &mut Encoded,
) -> Result<(), SerdeError> {
    values.iter().try_for_each(|value| {
        out.push_with(|bytes| value.map_or(Ok(false), |value| serde.serialize(value, bytes)))
    })
}

/// Types that have a usual serde.
///
/// ```
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Order {
///     id: u64,
/// }
/// impl headwater::HasSerde for Order {
///     type Serde = headwater::codec::Json;
/// }
/// ```
pub trait HasSerde: Clone + 'static {
    /// The serde that is used where none is named.
    type Serde: Serde<Self> + Default + 'static;
}

/// Bytes that are not what they should be, or a value that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerdeError {
    /// The type that was expected, such as `i64` or `json Order`.
    pub expected: String,
    /// What is wrong.
    pub problem: String,
    /// The first bytes, 16 at most; `None` for null or when writing.
    pub first_bytes: Option<Vec<u8>>,
    /// Whether the same call may work later: it is not the record that is at fault, but a schema registry that does not
    /// answer. Who skips bad records must not skip this one.
    pub retry: bool,
}

impl SerdeError {
    /// An error about `bytes`.
    pub fn new(expected: impl Into<String>, problem: impl Into<String>, bytes: Option<&[u8]>) -> Self {
        let first_bytes = bytes.map(|bytes| bytes[..bytes.len().min(16)].to_vec());
        Self { expected: expected.into(), problem: problem.into(), first_bytes, retry: false }
    }
}

impl fmt::Display for SerdeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}: {}", self.expected, self.problem)?;
        match &self.first_bytes {
            Some(bytes) => write!(f, "; first bytes {}", bytes.escape_ascii()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SerdeError {}
