//! Byte strings, as they are. [`Slice`] and [`Bytes`] share the memory of the batch they arrived in; `Vec<u8>` is a copy.

use std::ops::Range;

use ::bytes::Bytes;

use super::fixed::not_null;
use super::{HasSerde, Part, Serde, SerdeError};
use crate::record::{Memory, SharedBatch, Slice};

/// Serde of byte strings (Kafka's `Bytes` and `ByteArray`).
///
/// Reading a [`Slice`] or [`Bytes`] from a batch neither copies nor allocates, but keeps the memory of the whole batch
/// alive: copy what is kept for long. `Slice` is the cheaper one, and belongs to one thread. Reading a `Vec<u8>`
/// allocates.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::BytesSerde;
/// let mut out = Vec::new();
/// assert_eq!(BytesSerde.serialize(&b"abc".to_vec(), &mut out), Ok(true));
/// assert_eq!(out, b"abc");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesSerde;

impl Serde<Bytes> for BytesSerde {
    #[inline]
    fn serialize(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(value);
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Bytes, SerdeError> {
        not_null("bytes", bytes).map(Bytes::copy_from_slice)
    }

    /// Shares `memory`.
    ///
    /// # Panics
    /// If `bytes` do not lie in `memory`.
    #[inline]
    fn deserialize_shared(&self, bytes: Option<&[u8]>, memory: &Memory) -> Result<Bytes, SerdeError> {
        not_null("bytes", bytes).map(|bytes| memory.bytes().slice_ref(bytes))
    }

    fn never_null(&self) -> bool {
        true
    }

    #[inline]
    fn borrow<'a>(&self, value: &'a Bytes) -> Option<&'a [u8]> {
        Some(value)
    }

    #[inline]
    fn detach(&self, value: Bytes) -> Bytes {
        Bytes::copy_from_slice(&value)
    }
}

impl Serde<Slice> for BytesSerde {
    #[inline]
    fn serialize(&self, value: &Slice, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(value);
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Slice, SerdeError> {
        not_null("bytes", bytes).map(Slice::from)
    }

    /// Shares `memory`.
    ///
    /// # Panics
    /// If `bytes` do not lie in `memory`.
    #[inline]
    fn deserialize_shared(&self, bytes: Option<&[u8]>, memory: &Memory) -> Result<Slice, SerdeError> {
        not_null("bytes", bytes).map(|bytes| memory.slice(bytes))
    }

    fn deserialize_all(
        &self,
        part: Part,
        batch: &SharedBatch,
        rows: Range<usize>,
        out: &mut Vec<Slice>,
    ) -> Result<(), SerdeError> {
        let end = out.len() + rows.len();
        match part {
            Part::Key => out.extend(batch.key_slices(rows)),
            Part::Value => out.extend(batch.value_slices(rows)),
        }
        if out.len() < end { not_null("bytes", None).map(|_| ()) } else { Ok(()) }
    }

    fn never_null(&self) -> bool {
        true
    }

    #[inline]
    fn borrow<'a>(&self, value: &'a Slice) -> Option<&'a [u8]> {
        Some(value)
    }

    #[inline]
    fn detach(&self, value: Slice) -> Slice {
        Slice::from(&*value)
    }
}

impl Serde<Vec<u8>> for BytesSerde {
    #[inline]
    fn serialize(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        out.extend_from_slice(value);
        Ok(true)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Vec<u8>, SerdeError> {
        not_null("bytes", bytes).map(<[u8]>::to_vec)
    }

    fn never_null(&self) -> bool {
        true
    }

    fn is_owned(&self) -> bool {
        true
    }

    #[inline]
    fn borrow<'a>(&self, value: &'a Vec<u8>) -> Option<&'a [u8]> {
        Some(value)
    }
}

impl HasSerde for Slice {
    type Serde = BytesSerde;
}

impl HasSerde for Bytes {
    type Serde = BytesSerde;
}

impl HasSerde for Vec<u8> {
    type Serde = BytesSerde;
}
