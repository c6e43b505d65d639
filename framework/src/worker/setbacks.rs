//! Setbacks: attempts that failed with nothing committed in between. They are repeated, but not at once, and not for ever.
//!
//! 1. The first is repeated at once; from then on the pause doubles, up to [`PAUSE_MAX_MS`]. A commit ends the row, and so
//!    do [`CALM_MS`] without another; not a moment with nothing to commit, which comes when input is fetched again.
//! 2. After [`COUNT_MIN`] of them and `task.timeout.ms` the worker fails.
//! 3. Where the broker has refused a record, the next attempt is another one, since that record is known now: there is no
//!    pause. But work goes on in smaller steps, half as many records each time, and more again with every commit: so each
//!    of many bad records costs one attempt that is small.
//! 4. A transaction that was fenced before its time was over was taken by another producer of the same id. Where that
//!    happens [`FENCED_MAX`] times, never [`FENCED_GAP_MS`] apart, two processes have the same name: each fences the other,
//!    and both may even commit in between. The worker fails.

use crate::error::Error;

const PAUSE_MIN_MS: i64 = 10;
const PAUSE_MAX_MS: i64 = 5_000;
const CALM_MS: i64 = 30_000;
/// So many in a row are no coincidence, whatever `task.timeout.ms` is.
const COUNT_MIN: u32 = 5;

/// One take-over is a restart of a process that was thought dead; so many are no accident.
const FENCED_MAX: u32 = 10;
const FENCED_GAP_MS: i64 = 60_000;

/// Attempts that failed.
#[derive(Debug, Default)]
pub(super) struct Setbacks {
    count: u32,
    since_ms: i64,
    last_ms: i64,
    pause_until_ms: Option<i64>,
    /// By how many halvings work is divided.
    care: u32,
    fenced: u32,
    fenced_ms: i64,
}

impl Setbacks {
    /// Another attempt has failed; `learned`: a record that was refused is known now.
    pub(super) fn note(&mut self, learned: bool, now_ms: i64) {
        if self.count == 0 {
            self.since_ms = now_ms;
        }
        self.count += 1;
        self.last_ms = now_ms;
        if learned {
            self.care = (self.care + 1).min(usize::BITS - 1);
            return;
        }
        self.pause(self.count, now_ms);
    }

    /// Another producer has taken our transactional id. Returns whether that was once too often.
    pub(super) fn note_fenced(&mut self, now_ms: i64) -> bool {
        if now_ms.saturating_sub(self.fenced_ms) > FENCED_GAP_MS {
            self.fenced = 0;
        }
        self.fenced += 1;
        self.fenced_ms = now_ms;
        self.pause(self.fenced, now_ms);
        self.fenced >= FENCED_MAX
    }

    fn pause(&mut self, count: u32, now_ms: i64) {
        if count > 1 {
            let pause = PAUSE_MIN_MS << (count.min(20) - 2);
            self.pause_until_ms = Some(now_ms.saturating_add(pause.min(PAUSE_MAX_MS)));
        }
    }

    /// The error to fail with, where there were too many for too long.
    pub(super) fn verdict(&self, error: Error, timeout_ms: i64, now_ms: i64) -> Result<Error, Error> {
        let lasted_ms = now_ms.saturating_sub(self.since_ms);
        if self.count < COUNT_MIN || lasted_ms <= timeout_ms {
            return Ok(error);
        }
        let count = self.count;
        Err(error.hint(format!(
            "{count} attempts in a row failed, and nothing was committed for {lasted_ms} ms: `task.timeout.ms` has passed"
        )))
    }

    /// There is nothing to commit.
    pub(super) fn idle(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.last_ms) >= CALM_MS {
            self.over();
        }
    }

    /// A commit has come through.
    pub(super) fn over(&mut self) {
        self.count = 0;
        self.pause_until_ms = None;
        self.care = self.care.saturating_sub(1);
    }

    /// Whether the next attempt has to wait.
    pub(super) fn pauses(&self, now_ms: i64) -> bool {
        self.pause_until_ms.is_some_and(|until| now_ms < until)
    }

    /// Whether every step has to be committed at once.
    pub(super) fn is_careful(&self) -> bool {
        self.care > 0
    }

    /// How much of `budget` may be done at once.
    pub(super) fn share(&self, budget: usize) -> usize {
        (budget >> self.care).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reaction;

    fn error() -> Error {
        Error::new(Reaction::Abort, "refused")
    }

    #[test]
    fn pauses_grow_and_end_with_a_commit() {
        let mut setbacks = Setbacks::default();
        let mut pauses = Vec::new();
        for _ in 0..14 {
            setbacks.note(false, 0);
            pauses.push(setbacks.pause_until_ms.unwrap_or(0));
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000, 5_000, 5_000]);
        assert!(setbacks.pauses(4_999) && !setbacks.pauses(5_000));
        setbacks.idle(29_999);
        assert!(setbacks.pauses(0), "there is nothing to commit before input is fetched again");
        setbacks.idle(30_000);
        assert!(!setbacks.pauses(0));
        (0..2).for_each(|_| setbacks.note(false, 0));
        assert!(setbacks.pauses(9) && !setbacks.pauses(10), "it begins anew");
        setbacks.over();
        assert!(!setbacks.pauses(0));
    }

    #[test]
    fn too_many_for_too_long_are_an_error() {
        let mut setbacks = Setbacks::default();
        (0..4).for_each(|_| setbacks.note(false, 7));
        assert!(setbacks.verdict(error(), 100, 1_000).is_ok(), "four may be a coincidence");
        setbacks.note(false, 50);
        assert!(setbacks.verdict(error(), 100, 107).is_ok());
        let failed = setbacks.verdict(error(), 100, 108).unwrap_err().to_string();
        assert!(failed.starts_with("refused; 5 attempts in a row failed"), "{failed}");
    }

    #[test]
    fn a_name_that_is_taken_again_and_again_is_an_error() {
        let mut setbacks = Setbacks::default();
        for round in 0..20 {
            assert!(!setbacks.note_fenced(round * 60_001 + 60_001), "once a minute is no feud");
        }
        let now_ms = 10_000_000;
        let failed = (0..10).filter(|at| setbacks.note_fenced(now_ms + at * 1_000)).count();
        assert_eq!(failed, 1);
        assert!(setbacks.pauses(now_ms + 9_000));
    }

    #[test]
    fn work_is_divided_while_bad_records_are_found() {
        let mut setbacks = Setbacks::default();
        (0..30).for_each(|_| setbacks.note(true, 0));
        assert_eq!((setbacks.share(8_192), setbacks.pauses(0)), (1, false));
        (0..28).for_each(|_| setbacks.over());
        assert_eq!(setbacks.share(8_192), 2_048);
    }
}
