//! The life of a task, as one table of legal moves.

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Assembled; knows nothing yet.
    Created,
    /// Its state is brought to where its committed offsets are.
    Restoring,
    /// It processes records.
    Running,
    /// It is gone.
    Closed,
}

/// Every legal move. From running back to restoring: a transaction was aborted.
const LEGAL: &[(Phase, Phase)] = &[
    (Phase::Created, Phase::Restoring),
    (Phase::Restoring, Phase::Running),
    (Phase::Restoring, Phase::Restoring),
    (Phase::Running, Phase::Restoring),
    (Phase::Created, Phase::Closed),
    (Phase::Restoring, Phase::Closed),
    (Phase::Running, Phase::Closed),
];

impl Phase {
    /// Moves on to `next`.
    ///
    /// # Panics
    /// If that is not a legal move.
    pub fn go(&mut self, next: Self) {
        assert!(LEGAL.contains(&(*self, next)), "a task cannot go from {self:?} to {next:?}");
        *self = next;
    }
}

#[cfg(test)]
mod tests {
    use super::Phase;

    #[test]
    #[should_panic(expected = "a task cannot go from Created to Running")]
    fn a_task_does_not_run_before_it_is_restored() {
        let mut phase = Phase::Created;
        phase.go(Phase::Running);
    }
}
