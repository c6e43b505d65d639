//! Entries of an overlay by number, in parts: a store that grows takes memory part by part and copies nothing, and one
//! that shrinks gives back whole parts.

use super::huge_pages::{HugePages, LARGE, Table};

/// Things by number. The first part grows like any vector, the others have their size from the start.
#[derive(Debug)]
pub(super) struct Slots<T> {
    parts: Vec<Table<T>>,
}

impl<T> Slots<T> {
    /// How many of them are in a part: a power of two.
    const PART: usize = 1 << Self::SHIFT;
    const SHIFT: u32 = LARGE.div_ceil(size_of::<T>()).next_power_of_two().ilog2();

    pub(super) fn new() -> Self {
        Self { parts: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.last().map_or(0, |last| (self.parts.len() - 1) * Self::PART + last.len())
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.capacity() * size_of::<T>()).sum()
    }

    #[inline]
    pub(super) fn push(&mut self, thing: T) {
        match self.parts.last_mut().filter(|last| last.len() < Self::PART) {
            Some(last) => last.push(thing),
            None => self.begin_part(thing),
        }
    }

    #[cold]
    fn begin_part(&mut self, thing: T) {
        let room = if self.parts.is_empty() { 1 } else { Self::PART };
        let mut part = Table::with_capacity_in(room, HugePages);
        part.push(thing);
        self.parts.push(part);
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        &self.parts[number as usize >> Self::SHIFT][number as usize & (Self::PART - 1)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.parts[number as usize >> Self::SHIFT][number as usize & (Self::PART - 1)]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flatten()
    }

    /// Keeps those of which `keep` says so, in their order, with new numbers.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = Self::new();
        for part in std::mem::take(&mut self.parts) {
            part.into_iter().filter(|thing| keep(thing)).for_each(|thing| kept.push(thing));
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_keep_their_numbers_across_parts() {
        let mut slots = Slots::new();
        let count = u32::try_from(3 * Slots::<u32>::PART / 2).unwrap();
        assert_eq!((slots.len(), slots.memory_bytes()), (0, 0));
        (0..count).for_each(|number| slots.push(number));
        assert_eq!(slots.len(), count as usize);
        assert!((0..count).all(|number| *slots.get(number) == number));
        assert!(slots.iter().copied().eq(0..count));
        assert_eq!(slots.memory_bytes(), 2 * LARGE);
        assert_eq!(Slots::<[u8; 64]>::PART * 64, LARGE);
        assert_eq!(
            Slots::<[u8; 72]>::PART,
            Slots::<[u8; 64]>::PART,
            "a part is large memory, whatever lies in it"
        );
        *slots.get_mut(count - 1) = 7;
        slots.retain(|number| number % 7 == 0);
        assert_eq!(slots.len(), count.div_ceil(7) as usize + 1);
        assert_eq!(*slots.get(2), 14);
        assert_eq!(slots.iter().last(), Some(&7));
        assert!(slots.memory_bytes() < LARGE);
    }
}
