//! Notices: lines of the log that a client causes, as often as it likes. Some are told in a while; those beyond are left to
//! the level `debug` and to the metrics, so that nobody can fill a disk, or take a processor, from afar.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// So many of a kind are told ...
const MOST: u64 = 20;
/// ... in this time.
const WHILE_MS: i64 = 10_000;

/// One kind of notice.
#[derive(Debug)]
pub(super) struct Notice {
    begin_ms: AtomicI64,
    count: AtomicU64,
}

/// Kinds of notices.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// A connection could not be accepted, or not let in.
    pub(super) refused: Notice,
    /// Something could not be understood.
    pub(super) malformed: Notice,
    /// Somebody was not let in for who he is.
    #[cfg(feature = "security")]
    pub(super) login: Notice,
    /// A file is not as it was written.
    pub(super) damaged: Notice,
    /// What a client sent could not be kept.
    pub(super) storage: Notice,
}

impl Default for Notice {
    fn default() -> Self {
        Self { begin_ms: AtomicI64::new(i64::MIN), count: AtomicU64::new(0) }
    }
}

impl Notice {
    /// Whether the next one may be told; if so, how many before it were not, if any.
    pub(super) fn admit(&self, now_ms: i64) -> Result<Option<u64>, TooMany> {
        let begins = self.begin_ms.load(Ordering::Relaxed).saturating_add(WHILE_MS) <= now_ms;
        if begins {
            self.begin_ms.store(now_ms, Ordering::Relaxed);
            let before = self.count.swap(1, Ordering::Relaxed);
            return Ok(Some(before.saturating_sub(MOST)).filter(|untold| *untold > 0));
        }
        match self.count.fetch_add(1, Ordering::Relaxed) {
            count if count < MOST => Ok(None),
            _ => Err(TooMany),
        }
    }
}

/// More came than are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

#[cfg(test)]
mod tests {
    use super::{MOST, Notice, TooMany, WHILE_MS};

    #[test]
    fn what_comes_too_often_is_told_by_its_number() {
        let notice = Notice::default();
        for _ in 0..MOST {
            assert_eq!(notice.admit(5), Ok(None));
        }
        for now in 0..3 {
            assert_eq!(notice.admit(5 + now), Err(TooMany));
        }
        assert_eq!(notice.admit(4 + WHILE_MS), Err(TooMany));
        assert_eq!(notice.admit(5 + WHILE_MS), Ok(Some(4)));
        assert_eq!(notice.admit(5 + WHILE_MS), Ok(None));
        assert_eq!(notice.admit(5 + 2 * WHILE_MS), Ok(None), "few are told all");
    }
}
