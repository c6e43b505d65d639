//! Memory for large tables, on huge pages where the system has them: whoever looks up keys at random waits less for the
//! translation of addresses than for the memory itself.
//!
//! 1. Beside the edge to librdkafka the one place with unsafe code: an allocator is unsafe, and so are calls into libc.
//! 2. Large memory comes from the system and goes back to it at once: the usual allocator would keep it for others.
//! 3. A table that grows is copied. What the system could move page by page instead would lose its huge pages.
#![expect(unsafe_code, reason = "an allocator, and calls into libc")]

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};

use crate::record::Backing;

/// A huge page, bytes.
const PAGE: usize = 2 << 20;
/// Smaller memory is taken as usual: a page that is half empty is memory lost.
pub(super) const LARGE: usize = 2 * PAGE;

/// The usual allocator, but for large memory: that begins with a huge page, and the system is asked for more of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct HugePages;

/// Memory on huge pages where it is large.
pub(super) type Table<T> = allocator_api2::vec::Vec<T, HugePages>;

/// What is a value when all its bytes are zero.
///
/// # Safety
/// It is.
pub(super) unsafe trait Zero {}

// SAFETY: both are the number 0.
unsafe impl Zero for u8 {}
// SAFETY: as above.
unsafe impl Zero for u64 {}

/// A table of `len` zeros.
pub(super) fn zeroed<T: Zero>(len: usize) -> Table<T> {
    let layout = Layout::array::<T>(len).expect("a table is smaller than the address space");
    if layout.size() == 0 {
        return Table::new_in(HugePages);
    }
    let memory = HugePages.allocate_zeroed(layout);
    let memory = memory.unwrap_or_else(|_| allocator_api2::alloc::handle_alloc_error(layout));
    // SAFETY: the memory comes from the same allocator with the layout of `len` numbers, and each of them is zero.
    unsafe { Table::from_raw_parts_in(memory.as_ptr().cast(), len, len, HugePages) }
}

impl Backing for Table<u8> {
    fn of_len(len: usize) -> Self {
        zeroed(len)
    }
}

// SAFETY: memory stays where it is until it is given back, and goes back to where it came from with what it was taken
// with: that depends on the layout alone. A copy of the allocator is as good as the original, as there is nothing in it.
unsafe impl Allocator for HugePages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if is_large(layout) { system::take(layout.size()) } else { Global.allocate(layout) }
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if is_large(layout) { system::take(layout.size()) } else { Global.allocate_zeroed(layout) }
    }

    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller got it from `allocate` or `allocate_zeroed` with this layout.
        unsafe {
            if is_large(layout) {
                system::give_back(memory, layout.size())
            } else {
                Global.deallocate(memory, layout)
            }
        }
    }
}

/// Whether memory of this layout comes from the system.
fn is_large(layout: Layout) -> bool {
    cfg!(unix) && layout.size() >= LARGE && layout.align() <= PAGE
}

#[cfg(unix)]
mod system {
    use super::{AllocError, NonNull, PAGE};

    /// A multiple of the size of a usual page on any system.
    const GRAIN: usize = 64 << 10;

    /// Bytes that stand for `size` of them. No more: a last huge page that is hardly used would be memory lost.
    fn whole(size: usize) -> Result<usize, AllocError> {
        size.checked_next_multiple_of(GRAIN).filter(|size| size.checked_add(PAGE).is_some()).ok_or(AllocError)
    }

    /// Takes memory that begins with a huge page. It is zero.
    pub(super) fn take(size: usize) -> Result<NonNull<[u8]>, AllocError> {
        let whole = whole(size)?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, wherever the system likes; nobody has it.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), whole + PAGE, access, kind, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(AllocError);
        }
        let before = mapped.addr().wrapping_neg() % PAGE;
        // SAFETY: `before` is less than a page, so both places are within what was mapped.
        let (begin, end) = unsafe { (mapped.byte_add(before), mapped.byte_add(before + whole)) };
        // SAFETY: what lies in front and behind was mapped just now and is used by nobody; where mapping begins and ends,
        // and so each part of it, is a multiple of a usual page. The advice changes neither content nor who may use it.
        unsafe {
            if before > 0 {
                libc::munmap(mapped, before);
            }
            libc::munmap(end, PAGE - before);
            #[cfg(target_os = "linux")]
            libc::madvise(begin, whole, libc::MADV_HUGEPAGE);
        }
        let begin = NonNull::new(begin.cast()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(begin, size))
    }

    /// Gives back what was [taken](take).
    ///
    /// # Safety
    /// The memory was taken with this size, and nobody uses it any more.
    pub(super) unsafe fn give_back(memory: NonNull<u8>, size: usize) {
        let Ok(whole) = whole(size) else { return };
        // SAFETY: this much was mapped there, for this memory alone.
        unsafe {
            libc::munmap(memory.as_ptr().cast(), whole);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::{AllocError, NonNull};

    pub(super) fn take(_size: usize) -> Result<NonNull<[u8]>, AllocError> {
        Err(AllocError)
    }

    pub(super) unsafe fn give_back(_memory: NonNull<u8>, _size: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_memory_begins_with_a_page_and_keeps_what_is_in_it_when_it_grows_and_shrinks() {
        let mut table: Table<u64> = Table::new_in(HugePages);
        table.extend(0..100);
        assert!(table.capacity() * 8 < LARGE);
        table.extend(100..2_000_000);
        assert_eq!(table.as_ptr().addr() % PAGE, 0);
        assert!(table.iter().copied().eq(0..2_000_000));
        table.truncate(1_000);
        table.shrink_to_fit();
        assert!(table.iter().copied().eq(0..1_000));
        for len in [0, 16, 1 << 20, (5 << 18) + 1] {
            let zeros: Table<u64> = zeroed(len);
            assert!(zeros.len() == len && zeros.iter().all(|zero| *zero == 0));
        }
    }
}
