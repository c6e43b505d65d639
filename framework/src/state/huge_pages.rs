//! Memory for large tables, on huge pages where the system has them: whoever looks up keys at random waits less for the
//! translation of addresses than for the memory itself.
//!
//! 1. The one file of the framework with unsafe code: an allocator is unsafe, and the advice is a call into libc.
//! 2. A table that grows is copied. What the system could move page by page instead would lose its huge pages.
#![expect(unsafe_code, reason = "an allocator, and a call into libc")]

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};

/// A huge page, bytes.
const PAGE: usize = 2 << 20;
/// Smaller memory is taken as usual: a page that is half empty is memory lost.
const LARGE: usize = 2 * PAGE;

/// The usual allocator, but for large memory: that begins with a huge page, and the system is asked for more of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct HugePages;

/// Memory on huge pages where it is large.
pub(super) type Table<T> = allocator_api2::vec::Vec<T, HugePages>;

/// A table of `len` zeros.
pub(super) fn zeroed(len: usize) -> Table<u64> {
    let mut zeros = Table::with_capacity_in(len, HugePages);
    zeros.resize(len, 0);
    zeros
}

// SAFETY: all memory comes from `Global` and goes back there with the layout it was taken with, as `aligned` tells the
// same for the same layout; `Global` gives exactly the size asked for, so that no other layout fits the memory. A copy is
// as good as the original, as there is nothing in it.
unsafe impl Allocator for HugePages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let memory = Global.allocate(aligned(layout))?;
        if layout.size() >= LARGE {
            advise(memory);
        }
        Ok(memory)
    }

    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller got it from `allocate` with this layout, which took it with the aligned one.
        unsafe { Global.deallocate(memory, aligned(layout)) }
    }
}

/// The layout that memory is taken with: large memory begins with a page.
fn aligned(layout: Layout) -> Layout {
    if layout.size() < LARGE {
        return layout;
    }
    layout.align_to(PAGE).unwrap_or(layout)
}

/// Asks for huge pages. Where there are none nothing is lost, so nobody asks for the answer.
#[cfg(target_os = "linux")]
fn advise(memory: NonNull<[u8]>) {
    // SAFETY: the memory is ours and begins with a page. The advice changes neither its content nor who may use it.
    unsafe {
        libc::madvise(memory.as_ptr().cast(), memory.len(), libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_memory: NonNull<[u8]>) {}

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
        for len in [0, 16, 1 << 20] {
            let zeros = zeroed(len);
            assert!(zeros.len() == len && zeros.iter().all(|zero| *zero == 0));
        }
    }
}
