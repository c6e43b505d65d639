//! A change: what a table's repartition topic carries, the new value and the old one that it replaces.
//!
//! The last byte says what stands before it (Kafka's `ChangedSerializer`, KIP-904):
//!
//! ```text
//! 0    old
//! 1    new
//! 2    varint(length of new) ‖ new ‖ old      not read by Kafka Streams before 3.5
//! 3-5  as 0-2, then one byte `isLatest`       reserved by Kafka: read by 3.5 and later, written by none
//! ```

use super::SerdeError;
use super::varint::{push_varint, take_varint};

const OLD: u8 = 0;
const NEW: u8 = 1;
const BOTH: u8 = 2;
/// Added to the flag where the byte `isLatest` stands before it.
const WITH_LATEST: u8 = 3;

/// A change as bytes, borrowed.
///
/// ```
/// use headwater::codec::change::Change;
/// let change = Change { new: Some(b"new"), old: Some(b"old") };
/// let mut out = Vec::new();
/// change.encode(&mut out)?;
/// assert_eq!(out, b"\x06newold\x02");
/// assert_eq!(Change::decode(&out), Ok(change));
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The value from now on; `None` if it was deleted.
    pub new: Option<&'a [u8]>,
    /// The value until now; `None` if there was none.
    pub old: Option<&'a [u8]>,
}

impl<'a> Change<'a> {
    /// Appends the bytes. For readers before Kafka Streams 3.5 write a change with both values as two: old, then new.
    ///
    /// # Errors
    /// If both values are missing (such a change says nothing and has no form), or the new value is 2 GiB or larger
    /// and has an old one beside it.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let write = |value: Option<&[u8]>, out: &mut Vec<u8>| {
            out.extend_from_slice(value.unwrap_or_default());
            Ok(value.is_some())
        };
        encode_with(out, |out| write(self.new, out), |out| write(self.old, out))
    }

    /// The change in `bytes`.
    ///
    /// # Errors
    /// If `bytes` are no such form.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SerdeError> {
        let Some((&flag, rest)) = bytes.split_last() else {
            return Err(bad("found no bytes, not even the flag", Some(bytes)));
        };
        let (kind, values) = match (flag.checked_sub(WITH_LATEST), rest.split_last()) {
            (None, _) => (flag, rest),
            (Some(kind @ OLD..=BOTH), Some((_is_latest, values))) => (kind, values),
            _ => return Err(bad(&format!("unknown flag {flag} at the end"), Some(bytes))),
        };
        match kind {
            OLD => Ok(Self { new: None, old: Some(values) }),
            NEW => Ok(Self { new: Some(values), old: None }),
            _ => split_both(values).ok_or_else(|| bad("the new value ends behind the bytes", Some(bytes))),
        }
    }
}

/// As [`Change::encode`], for values that are written where they go: each function appends one and returns whether it is
/// there, as [`Serde::serialize`](super::Serde::serialize) does.
///
/// # Errors
/// As [`Change::encode`], and those of the functions.
pub fn encode_with(
    out: &mut Vec<u8>,
    new: impl FnOnce(&mut Vec<u8>) -> Result<bool, SerdeError>,
    old: impl FnOnce(&mut Vec<u8>) -> Result<bool, SerdeError>,
) -> Result<(), SerdeError> {
    let start = out.len();
    let has_new = new(out)?;
    let new_len = out.len() - start;
    let has_old = old(out)?;
    let flag = match (has_new, has_old) {
        (false, false) => return Err(bad("neither a new nor an old value", None)),
        (false, true) => OLD,
        (true, false) => NEW,
        (true, true) => {
            let new_len =
                i32::try_from(new_len).map_err(|_| bad("the new value is 2 GiB or larger", None))?;
            let end = out.len();
            push_varint(new_len, out);
            // The length is known behind the values and stands before them.
            let varint = out.len() - end;
            out[start..].rotate_right(varint);
            BOTH
        }
    };
    out.push(flag);
    Ok(())
}

fn split_both(values: &[u8]) -> Option<Change<'_>> {
    let (new_len, rest) = take_varint(values)?;
    let (new, old) = rest.split_at_checked(usize::try_from(new_len).ok()?)?;
    Some(Change { new: Some(new), old: Some(old) })
}

#[cold]
fn bad(problem: &str, bytes: Option<&[u8]>) -> SerdeError {
    SerdeError::new("change (new and old value)", problem, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_and_has_kafkas_bytes() {
        let long = [b'n'; 64];
        let mut long_bytes = vec![0x80, 1];
        long_bytes.extend_from_slice(&long);
        long_bytes.extend_from_slice(b"o\x02");
        let table: [(Change<'_>, &[u8]); 6] = [
            (Change { new: Some(b"new"), old: None }, b"new\x01"),
            (Change { new: None, old: Some(b"old") }, b"old\x00"),
            (Change { new: Some(b"new"), old: Some(b"old") }, b"\x06newold\x02"),
            (Change { new: Some(b""), old: None }, b"\x01"),
            (Change { new: Some(b""), old: Some(b"") }, b"\x00\x02"),
            (Change { new: Some(&long), old: Some(b"o") }, &long_bytes),
        ];
        for (change, bytes) in table {
            let mut out = Vec::new();
            change.encode(&mut out).unwrap();
            assert_eq!(out, bytes);
            assert_eq!(Change::decode(bytes), Ok(change));
        }
    }

    #[test]
    fn reserved_flags_are_read() {
        assert_eq!(Change::decode(b"old\x01\x03"), Ok(Change { new: None, old: Some(b"old") }));
        assert_eq!(Change::decode(b"new\x00\x04"), Ok(Change { new: Some(b"new"), old: None }));
        assert_eq!(Change::decode(b"\x02no\x01\x05"), Ok(Change { new: Some(b"n"), old: Some(b"o") }));
    }

    #[test]
    fn what_is_no_change_is_refused() {
        assert!(Change { new: None, old: None }.encode(&mut Vec::new()).is_err());
        for bytes in [&b""[..], b"x\x06", b"\x03", b"\x02", b"\x08abc\x02", b"\x01abc\x02", b"\x80\x02"] {
            assert!(Change::decode(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
