//! A column as bytes: keys or values of several records, serialised one behind the other.

/// Above this a call of `memcpy` is the cheaper way: eight words, each with a look at the room that is left.
const SHORT: usize = 64;
/// Memory that is kept for the next elements, bytes.
const KEPT: usize = 1 << 20;

/// Serialised keys or values, each of them possibly null.
///
/// ```
/// use headwater::record::Encoded;
/// let mut column = Encoded::default();
/// column.push_with(|out| { out.extend(b"a"); Ok::<_, ()>(true) })?;
/// column.push_with(|_| Ok::<_, ()>(false))?;
/// assert_eq!((column.get(0), column.get(1)), (Some(&b"a"[..]), None));
/// # Ok::<(), ()>(())
/// ```
#[derive(Debug, Default)]
pub struct Encoded {
    bytes: Vec<u8>,
    /// Where each ends, and whether it is present.
    ends: Vec<(usize, bool)>,
}

impl Encoded {
    /// Removes all and keeps the memory, but for what large elements have taken.
    #[inline]
    pub fn clear(&mut self) {
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.ends.clear();
    }

    /// Number of elements.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends what `write` appends to its argument; null if it returns `false`.
    ///
    /// # Errors
    /// That of `write`; then nothing is appended.
    #[inline]
    pub fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>) -> Result<(), E> {
        let start = self.bytes.len();
        match write(&mut self.bytes) {
            Ok(present) => {
                self.ends.push((self.bytes.len(), present));
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    /// Appends null.
    #[inline]
    pub(crate) fn push_null(&mut self) {
        self.ends.push((self.bytes.len(), false));
    }

    /// Appends one that consists of two parts.
    #[inline]
    pub(crate) fn push_parts(&mut self, parts: [&[u8]; 2]) {
        parts.iter().for_each(|part| append(&mut self.bytes, part));
        self.ends.push((self.bytes.len(), true));
    }

    /// Shows all elements as the first of `out`; `None` is null.
    ///
    /// # Panics
    /// If `out` is too short.
    #[inline]
    pub(crate) fn show<'a>(&'a self, out: &mut [Option<&'a [u8]>]) {
        let mut start = 0;
        for (out, (end, present)) in out[..self.len()].iter_mut().zip(&self.ends) {
            *out = present.then(|| &self.bytes[start..*end]);
            start = *end;
        }
    }

    /// An element; `None` is null.
    ///
    /// # Panics
    /// If there is no such element.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        let (end, present) = self.ends[index];
        present.then(|| &self.bytes[start..end])
    }
}

/// Appends a piece: a short one word by word, as a call of `memcpy` would cost more than the copy.
#[inline]
fn append(out: &mut Vec<u8>, piece: &[u8]) {
    if piece.len() > SHORT {
        return out.extend_from_slice(piece);
    }
    let (words, rest) = piece.as_chunks::<8>();
    words.iter().for_each(|word| out.extend_from_slice(word));
    rest.iter().for_each(|byte| out.push(*byte));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_every_length_come_back_between_nulls() {
        let all: Vec<u8> = (0..200).collect();
        let mut column = Encoded::default();
        for len in 0..200 {
            column.push_parts([&all[..len], &all[len..len + len % 9 % (200 - len)]]);
            column.push_null();
        }
        let mut shown = vec![Some(&b"old"[..]); 400];
        column.show(&mut shown);
        for len in 0..200 {
            let expected = &all[..len + len % 9 % (200 - len)];
            assert_eq!((shown[2 * len], shown[2 * len + 1]), (Some(expected), None), "{len}");
            assert_eq!(column.get(2 * len), Some(expected));
        }
    }
}
