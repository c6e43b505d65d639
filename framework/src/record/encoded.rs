//! A column as bytes: keys or values of several records, serialised one behind the other.

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
    /// Removes all and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
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
