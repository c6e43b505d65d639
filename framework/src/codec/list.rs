//! Lists, as Kafka's `ListSerde` writes them. What comes first says how the elements follow:
//!
//! ```text
//! 0 ‖ nulls:i32 ‖ {index:i32}* ‖ n:i32 ‖ {element}*           elements of one width; nulls leave a gap
//! 1 ‖ n:i32 ‖ {length:i32 ‖ element}*                         length -1 for null
//! ```

use super::fixed::not_null;
use super::{Serde, SerdeError};

const FIXED_WIDTH: u8 = 0;
const WITH_LENGTHS: u8 = 1;
const NULL_LENGTH: i32 = -1;

/// Serde of `Vec<T>` over the serde of its elements. No type's usual serde: `Vec<u8>` is a byte string.
///
/// Kafka writes elements of `Short`, `Integer`, `Long`, `Float` and `Double` without a length: use
/// [`ListSerde::of_width`] for those, [`ListSerde::new`] for all others. Both read both forms. Elements may be null
/// where their serde is [`Nullable`](super::Nullable).
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::{ListSerde, StringSerde};
/// let serde = ListSerde::new(StringSerde);
/// let mut out = Vec::new();
/// serde.serialize(&vec!["a".to_owned()], &mut out)?;
/// assert_eq!(out, b"\x01\0\0\0\x01\0\0\0\x01a");
/// assert_eq!(serde.deserialize(Some(&out)), Ok(vec!["a".to_owned()]));
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ListSerde<S> {
    inner: S,
    /// Bytes of each element, where all are as wide.
    width: Option<usize>,
}

impl<S> ListSerde<S> {
    /// A serde that writes each element with its length.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        Self { inner, width: None }
    }

    /// A serde for elements that are all `width` bytes wide.
    ///
    /// ```
    /// use headwater::Serde;
    /// use headwater::codec::{ListSerde, ShortSerde};
    /// let mut out = Vec::new();
    /// ListSerde::of_width(ShortSerde, 2).serialize(&vec![7, 8], &mut out)?;
    /// assert_eq!(out, b"\0\0\0\0\0\0\0\0\x02\0\x07\0\x08");
    /// # Ok::<(), headwater::codec::SerdeError>(())
    /// ```
    #[must_use]
    pub const fn of_width(inner: S, width: usize) -> Self {
        Self { inner, width: Some(width) }
    }
}

impl<T, S: Serde<T>> Serde<Vec<T>> for ListSerde<S> {
    fn serialize(&self, value: &Vec<T>, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        let start = out.len();
        let result = match self.width {
            Some(width) => write_fixed(&self.inner, width, value, out),
            None => write_with_lengths(&self.inner, value, out),
        };
        result.inspect_err(|_| out.truncate(start)).map(|()| true)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Vec<T>, SerdeError> {
        let mut rest = Rest { all: bytes, left: not_null("list", bytes)? };
        let list = match rest.take(1)?[0] {
            FIXED_WIDTH => read_fixed(&self.inner, self.width, &mut rest)?,
            WITH_LENGTHS => read_with_lengths(&self.inner, &mut rest)?,
            first => return Err(rest.bad(&format!("starts with {first} instead of 0 or 1"))),
        };
        match rest.left {
            [] => Ok(list),
            left => Err(rest.bad(&format!("{} bytes are left after the last element", left.len()))),
        }
    }
}

fn write_fixed<T>(
    inner: &impl Serde<T>,
    width: usize,
    list: &[T],
    out: &mut Vec<u8>,
) -> Result<(), SerdeError> {
    out.push(FIXED_WIDTH);
    let nulls = list.iter().enumerate().filter(|(_, element)| inner.is_null(element));
    push_len(nulls.clone().count(), out)?;
    for (index, _) in nulls {
        push_len(index, out)?;
    }
    push_len(list.len(), out)?;
    for element in list {
        let start = out.len();
        if inner.serialize(element, out)? && out.len() - start != width {
            let problem = format!("an element is {} bytes wide instead of {width}", out.len() - start);
            return Err(SerdeError::new("list", problem, None));
        }
    }
    Ok(())
}

fn write_with_lengths<T>(inner: &impl Serde<T>, list: &[T], out: &mut Vec<u8>) -> Result<(), SerdeError> {
    out.push(WITH_LENGTHS);
    push_len(list.len(), out)?;
    for element in list {
        let length_at = out.len();
        out.extend_from_slice(&NULL_LENGTH.to_be_bytes());
        if inner.serialize(element, out)? {
            let length = len32(out.len() - length_at - 4)?;
            out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

fn read_fixed<T>(
    inner: &impl Serde<T>,
    width: Option<usize>,
    rest: &mut Rest<'_>,
) -> Result<Vec<T>, SerdeError> {
    let Some(width) = width else {
        return Err(rest.bad("holds elements of one width; make the serde with `ListSerde::of_width`"));
    };
    let nulls = rest.len()?;
    let mut null_at =
        rest.take(nulls.saturating_mul(4))?.as_chunks().0.iter().copied().map(i32::from_be_bytes);
    let count = rest.len()?;
    let mut next_null = null_at.next();
    let mut list = Vec::with_capacity(count.min(nulls + rest.left.len()));
    for index in 0..count {
        if next_null.is_some_and(|at| usize::try_from(at) == Ok(index)) {
            next_null = null_at.next();
            list.push(inner.deserialize(None)?);
        } else {
            list.push(inner.deserialize(Some(rest.take(width)?))?);
        }
    }
    Ok(list)
}

fn read_with_lengths<T>(inner: &impl Serde<T>, rest: &mut Rest<'_>) -> Result<Vec<T>, SerdeError> {
    let count = rest.len()?;
    // Each element has a length of four bytes: a count that lies cannot reserve more.
    let mut list = Vec::with_capacity(count.min(rest.left.len() / 4));
    for _ in 0..count {
        let length = rest.int()?;
        let element = match usize::try_from(length) {
            Ok(length) => Some(rest.take(length)?),
            Err(_) if length == NULL_LENGTH => None,
            Err(_) => return Err(rest.bad(&format!("an element has length {length}"))),
        };
        list.push(inner.deserialize(element)?);
    }
    Ok(list)
}

fn push_len(len: usize, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    out.extend_from_slice(&len32(len)?.to_be_bytes());
    Ok(())
}

fn len32(len: usize) -> Result<i32, SerdeError> {
    i32::try_from(len)
        .map_err(|_| SerdeError::new("list", format!("{len} is more than a list can say"), None))
}

struct Rest<'a> {
    all: Option<&'a [u8]>,
    left: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], SerdeError> {
        let (taken, left) = self.left.split_at_checked(len).ok_or_else(|| self.bad("the bytes end early"))?;
        self.left = left;
        Ok(taken)
    }

    fn int(&mut self) -> Result<i32, SerdeError> {
        let (int, left) = self.left.split_first_chunk().ok_or_else(|| self.bad("the bytes end early"))?;
        self.left = left;
        Ok(i32::from_be_bytes(*int))
    }

    fn len(&mut self) -> Result<usize, SerdeError> {
        let len = self.int()?;
        usize::try_from(len).map_err(|_| self.bad(&format!("a count is negative, {len}")))
    }

    #[cold]
    fn bad(&self, problem: &str) -> SerdeError {
        SerdeError::new("list", problem, self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{IntegerSerde, Nullable, StringSerde};

    #[test]
    fn nulls_come_back_in_both_forms() {
        let integers = ListSerde::of_width(Nullable(IntegerSerde), 4);
        let list = vec![None, Some(5), None];
        let mut out = Vec::new();
        integers.serialize(&list, &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5]);
        assert_eq!(integers.deserialize(Some(&out)), Ok(list));
        let texts = ListSerde::new(Nullable(StringSerde));
        let list = vec![None, Some(String::new())];
        out.clear();
        texts.serialize(&list, &mut out).unwrap();
        assert_eq!(out, [1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(texts.deserialize(Some(&out)), Ok(list));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let table: [(&[u8], &str); 7] = [
            (b"", "the bytes end early"),
            (b"\x02", "starts with 2 instead of 0 or 1"),
            (b"\x01\0\0\0\x01\0\0\0\x02a", "the bytes end early"),
            (b"\x01\x7f\xff\xff\xff", "the bytes end early"),
            (b"\x01\xff\xff\xff\xff", "a count is negative, -1"),
            (b"\x01\0\0\0\x01\xff\xff\xff\xfe", "an element has length -2"),
            (b"\x01\0\0\0\0x", "1 bytes are left after the last element"),
        ];
        for (bytes, problem) in table {
            let error = ListSerde::new(StringSerde).deserialize(Some(bytes)).unwrap_err();
            assert_eq!(error.problem, problem, "{}", bytes.escape_ascii());
        }
        let error = ListSerde::new(StringSerde).deserialize(Some(b"\0\0\0\0\0\0\0\0\0")).unwrap_err();
        assert!(error.problem.contains("of_width"), "{error}");
        let narrow = ListSerde::of_width(IntegerSerde, 2);
        assert!(narrow.serialize(&vec![1], &mut Vec::new()).is_err());
    }
}
