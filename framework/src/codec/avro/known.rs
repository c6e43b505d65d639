//! What the registry has said so far, by id: a list that only grows, so that finding takes no lock.
//!
//! A topic carries data of few schema versions; walking the list costs less than hashing would.

use std::sync::{Mutex, OnceLock, PoisonError};

/// Items by id, each made once.
pub(super) struct Known<T> {
    first: Slot<T>,
    adding: Mutex<()>,
}

type Slot<T> = OnceLock<Box<Link<T>>>;

struct Link<T> {
    id: i32,
    item: T,
    next: Slot<T>,
}

impl<T> Known<T> {
    pub(super) const fn new() -> Self {
        Self { first: OnceLock::new(), adding: Mutex::new(()) }
    }

    /// The item of `id`, made by `make` if it is not known; whoever asks for it meanwhile waits. An error is not kept.
    pub(super) fn get_or_make<E>(&self, id: i32, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Ok(item) = self.find(id) {
            return Ok(item);
        }
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        match self.find(id) {
            Ok(item) => Ok(item),
            Err(end) => {
                let link = Link { id, item: make()?, next: OnceLock::new() };
                Ok(&end.get_or_init(|| Box::new(link)).item)
            }
        }
    }

    /// The item of `id`, or the list's end.
    fn find(&self, id: i32) -> Result<&T, &Slot<T>> {
        let mut slot = &self.first;
        while let Some(link) = slot.get() {
            if link.id == id {
                return Ok(&link.item);
            }
            slot = &link.next;
        }
        Err(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn threads_that_meet_make_each_item_once() {
        let known = Known::new();
        let made = AtomicUsize::new(0);
        let together = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    together.wait();
                    for id in (0..50).chain(0..50) {
                        let item: Result<_, ()> = known.get_or_make(id, || {
                            made.fetch_add(1, Ordering::Relaxed);
                            // Time for the others to come in, were they let.
                            (0..1_000).for_each(|_| std::thread::yield_now());
                            Ok(id * 2)
                        });
                        assert_eq!(item, Ok(&(id * 2)));
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 50);
    }

    #[test]
    fn an_error_is_asked_about_again() {
        let known = Known::new();
        assert_eq!(known.get_or_make(1, || Err("away")), Err("away"));
        assert_eq!(known.get_or_make(1, || Ok::<_, &str>(7)), Ok(&7));
        assert_eq!(known.get_or_make(1, || Err("away")), Ok(&7));
    }
}
