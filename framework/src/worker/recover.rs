//! What follows on an error, by its reaction. Nothing else in the framework decides this.
//!
//! | reaction    | what follows                                                                                        |
//! |-------------|-----------------------------------------------------------------------------------------------------|
//! | retry       | the same step again, until `task.timeout.ms` has passed                                             |
//! | abort       | abort; everything since the last commit is forgotten; committed offsets, state up to them, go on    |
//! | new producer| the producer is dropped, whatever its transaction becomes; a new one decides it; then as after abort |
//! | rejoin      | the producer and all tasks are dropped; the group is joined anew                                    |
//! | rebuild     | as abort, and the task's local state is wiped                                                       |
//! | skip, stop  | the worker fails                                                                                    |
//!
//! What is aborted or replaced again and again comes at ever longer intervals, and to an end: see [`Setbacks`].
//!
//! [`Setbacks`]: super::setbacks::Setbacks

use std::task::Poll;

use super::{Progress, Worker, WorkerState};
use crate::commit::Planted;
use crate::error::{Error, Reaction, Result};
use crate::kafka::{Fault, KafkaError, Refusal};
use crate::task::{Phase, Rebuild};

/// What has to be done with the producer before work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Nothing.
    Nothing,
    /// Its transaction is being aborted.
    Aborting,
    /// A new one gets its epoch.
    Opening,
}

/// Errors that were answered by trying again.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since_ms: Option<i64>,
    last_ms: i64,
    told_ms: Option<i64>,
}

/// Errors that lie farther apart have nothing to do with each other. A question is given up after 10 s, so it is longer.
const TROUBLE_GAP_MS: i64 = 30_000;
/// Trouble that is over sooner is not told.
const TOLD_AFTER_MS: i64 = 5_000;
/// From then on it is told so often.
const TOLD_EVERY_MS: i64 = 60_000;
/// Whoever is told to stop has so long for the last commit.
const PARTING_MS: i64 = 30_000;

impl Trouble {
    /// Another error. Returns for how long there have been some.
    fn note(&mut self, now_ms: i64) -> i64 {
        if now_ms.saturating_sub(self.last_ms) > TROUBLE_GAP_MS {
            self.over();
        }
        self.last_ms = now_ms;
        now_ms.saturating_sub(*self.since_ms.get_or_insert(now_ms))
    }

    fn is_to_be_told(&mut self, now_ms: i64) -> bool {
        let first = self.since_ms.map(|since| since.saturating_add(TOLD_AFTER_MS));
        let due = self.told_ms.map(|told| told.saturating_add(TOLD_EVERY_MS)).or(first);
        let is_due = due.is_some_and(|due| now_ms >= due);
        if is_due {
            self.told_ms = Some(now_ms);
        }
        is_due
    }

    /// Something has moved.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }
}

impl Recovery {
    pub(super) fn is_over(self) -> bool {
        self == Self::Nothing
    }
}

/// What the cluster said, if that is the cause of an error.
fn of_kafka(error: &Error) -> Option<&KafkaError> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<KafkaError>())
}

impl Worker {
    /// Deals with an error, or fails.
    pub(super) fn react(&mut self, error: Error, now_ms: i64) -> Result<()> {
        let reaction = error.reaction();
        let starting = matches!(self.state, WorkerState::Created | WorkerState::Starting);
        if starting && !matches!(reaction, Reaction::Retry | Reaction::NewProducer) {
            return self.fail(error, now_ms);
        }
        let refusals = self.sender.refused();
        // Outside of a transaction the producer would go on without the record; what was processed has to be done again.
        let refused = reaction == Reaction::Stop && of_kafka(&error).is_some() && !refusals.is_empty();
        let reaction = if refused { Reaction::NewProducer } else { reaction };
        let error = match reaction {
            Reaction::Abort | Reaction::NewProducer => match self.set_back(error, refusals, now_ms) {
                Ok(error) => error,
                Err(error) => return self.fail(error, now_ms),
            },
            _ => error,
        };
        let dealt_with = match reaction {
            Reaction::Retry => return self.be_patient(error, now_ms),
            Reaction::Abort => self.abort(&error),
            Reaction::NewProducer => {
                tracing::warn!(worker = self.number, %error, "the producer is replaced");
                self.forget().map(|()| self.replace_sender())
            }
            Reaction::Rejoin => Err(error),
            Reaction::Rebuild => self.rebuild(error, now_ms),
            Reaction::Skip | Reaction::Stop => return self.fail(error, now_ms),
        };
        match dealt_with {
            Ok(()) => {}
            // To go back may find that a task is another's by now.
            Err(error) if error.reaction() == Reaction::Rejoin => self.rejoin(&error),
            Err(error) if self.state.is_final() => return Err(error),
            Err(error) => return self.fail(error, now_ms),
        }
        self.figures.aborts += 1;
        if self.leaving.revoked && self.recovery != Recovery::Nothing {
            // The commit before giving tasks back has failed: they are as good as lost.
            self.lose();
        }
        Ok(())
    }

    fn rejoin(&mut self, error: &Error) {
        tracing::warn!(worker = self.number, %error, "the group has moved on: tasks are given up");
        self.drop_tasks();
        if self.sender.is_transactional() {
            self.replace_sender();
        }
        self.membership.rejoin();
    }

    /// Counts an attempt that has failed, and takes in what the broker has refused. An error: there is no use in another.
    fn set_back(
        &mut self,
        error: Error,
        refusals: Vec<Refusal>,
        now_ms: i64,
    ) -> std::result::Result<Error, Error> {
        if self.is_feud(&error, now_ms) {
            let id = self.sender.transactional_id().unwrap_or_default();
            let message = format!(
                "another producer uses the transactional id `{id}` and has fenced ours again and again"
            );
            return Err(Error::new(Reaction::Stop, message)
                .because(error)
                .hint("give each process of the application a name of its own: `Application::process`"));
        }
        let limit_ms = self.settings.transaction_timeout_ms;
        let error = match self.sender.is_overdue(limit_ms, now_ms) {
            true => error.hint(format!(
                "the transaction was open for longer than `transaction.timeout.ms` ({limit_ms}): does a step take so long?"
            )),
            false => error,
        };
        self.setbacks.note(!refusals.is_empty(), now_ms);
        for refusal in refusals {
            if let Some(refused) = self.refused_state(&refusal) {
                return Err(refused);
            }
            tracing::warn!(worker = self.number, partition = %refusal.partition, code = refusal.code, "refused by the broker");
            self.outbox.bar(refusal, now_ms);
        }
        self.setbacks.verdict(error, self.settings.task_timeout_ms, now_ms)
    }

    /// Whether another producer fences ours for ever. A transaction that is too old is fenced by its coordinator.
    fn is_feud(&mut self, error: &Error, now_ms: i64) -> bool {
        let fenced = of_kafka(error)
            .is_some_and(|cause| matches!(cause.code, "INVALID_PRODUCER_EPOCH" | "PRODUCER_FENCED"));
        let in_time = !self.sender.is_overdue(self.settings.transaction_timeout_ms, now_ms);
        fenced && in_time && self.setbacks.note_fenced(now_ms)
    }

    fn be_patient(&mut self, error: Error, now_ms: i64) -> Result<()> {
        let lasted_ms = self.trouble.note(now_ms);
        if lasted_ms >= self.settings.task_timeout_ms {
            return self.fail(error.hint("`task.timeout.ms` has passed"), now_ms);
        }
        if self.trouble.is_to_be_told(now_ms) {
            let seconds = lasted_ms / 1_000;
            tracing::warn!(worker = self.number, %error, seconds, "tried again until `task.timeout.ms` has passed");
        } else {
            tracing::debug!(worker = self.number, %error, "tried again");
        }
        Ok(())
    }

    /// The error to end with where a worker was told to stop, and its last commit takes too long: `task.timeout.ms` is for
    /// those who go on.
    pub(super) fn overdue(&mut self, now_ms: i64) -> Option<Error> {
        let since_ms = *self.leaving.since_ms.get_or_insert(now_ms);
        let lasted_ms = now_ms.saturating_sub(since_ms);
        (lasted_ms >= PARTING_MS).then(|| {
            let waits = self.waits_for().unwrap_or_else(|| "the last commit".to_owned());
            Error::new(
                Reaction::Stop,
                format!("told to stop {lasted_ms} ms ago, and still waits for {waits}"),
            )
            .hint("do the brokers answer? nothing is lost: the next start goes on from the last commit")
        })
    }

    fn abort(&mut self, error: &Error) -> Result<()> {
        tracing::warn!(worker = self.number, %error, "the transaction is aborted");
        self.forget()?;
        self.recovery = Recovery::Aborting;
        Ok(())
    }

    fn rebuild(&mut self, error: Error, now_ms: i64) -> Result<()> {
        let Some(task) = error.place().task.filter(|task| self.rebuilt.insert(*task)) else {
            return self.fail(error.hint("the state was rebuilt before, and it did not help"), now_ms);
        };
        self.abort(&error)?;
        tracing::warn!(%task, %error, "local state is thrown away and rebuilt from the changelogs");
        self.note_rebuild(task, Rebuild::Corrupt);
        self.tasks.get(&task).map_or(Ok(()), |task| task.assembly().bytes().wipe())
    }

    /// Forgets everything since the last commit.
    fn forget(&mut self) -> Result<()> {
        self.committer.reset();
        self.outbox.clear();
        self.figures.samples.clear();
        self.drop_restore();
        for task in self.tasks.values_mut() {
            if self.planted == Planted::InputsNotRewound && task.is_running() {
                task.discard_memory()?;
            } else {
                task.lanes().iter().for_each(|lane| self.consumer.remove(lane.partition()));
                task.discard()?;
            }
            if task.phase() == Phase::Running {
                task.go(Phase::Restoring);
            }
        }
        Ok(())
    }

    pub(super) fn replace_sender(&mut self) {
        self.sender.replace();
        self.recovery = Recovery::Opening;
    }

    /// Brings the producer back into service. Returns whether it is.
    pub(super) fn recover(&mut self, now_ms: i64, progress: &mut Progress) -> Result<bool> {
        match self.recovery {
            Recovery::Nothing => return Ok(true),
            Recovery::Aborting => match self.sender.abort(now_ms) {
                Poll::Pending => {
                    // Its time-out ends it, or the next epoch.
                    if self.sender.is_overdue(self.settings.transaction_timeout_ms, now_ms) {
                        tracing::warn!(
                            worker = self.number,
                            "an abort is not answered: the producer is replaced"
                        );
                        self.replace_sender();
                    }
                    return Ok(false);
                }
                Poll::Ready(Ok(())) if self.sender.replace_if_tainted() => {
                    self.recovery = Recovery::Opening;
                    return Ok(false);
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if error.fault == Fault::Retriable => return Err(error.into()),
                Poll::Ready(Err(error)) => {
                    tracing::warn!(worker = self.number, %error, "cannot abort: the producer is replaced");
                    self.replace_sender();
                    return Ok(false);
                }
            },
            Recovery::Opening => {
                let Poll::Ready(()) = self.sender.open(now_ms)? else { return Ok(false) };
            }
        }
        if self.setbacks.pauses(now_ms) {
            return Ok(false);
        }
        self.recovery = Recovery::Nothing;
        progress.busy = true;
        if self.restore.is_none() && self.tasks.values().any(|task| !task.is_running()) {
            self.begin_restore(now_ms, false)?;
            if self.state == WorkerState::Running {
                self.go(WorkerState::Rebalancing);
            }
        }
        Ok(true)
    }

    /// The end of a worker that has panicked, in a closure of the user's or in our own code: as after any other error. What it
    /// had in hand is not looked at again.
    pub(crate) fn panicked(&mut self, message: &str) -> Error {
        let error = Error::new(Reaction::Stop, format!("worker {} panicked: {message}", self.number));
        let error = match self.at_work {
            Some(task) => error.in_task(task),
            None => error,
        };
        let now_ms = self.steady.at(self.wall_ms);
        if self.state.is_final() {
            return error;
        }
        self.fail(error, now_ms).expect_err("to fail is an error")
    }

    /// The end. A transaction that is open is aborted; where nobody answers soon its time-out does it.
    pub(super) fn fail(&mut self, error: Error, now_ms: i64) -> Result<()> {
        tracing::error!(worker = self.number, %error, "the worker has failed");
        if !self.probe.has_crashed() {
            self.sender.part(now_ms);
            self.membership.leave(now_ms);
        }
        self.go(WorkerState::Failed);
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::Trouble;

    #[test]
    fn trouble_lasts_until_something_moves_or_nothing_was_wrong_for_a_while() {
        let mut trouble = Trouble::default();
        let lasted: Vec<_> =
            [1_000, 11_000, 41_000, 71_001, 80_000].map(|now_ms| trouble.note(now_ms)).into();
        assert_eq!(lasted, [0, 10_000, 40_000, 0, 8_999]);
        trouble.over();
        assert_eq!(trouble.note(80_001), 0);
    }

    #[test]
    fn trouble_is_told_once_it_lasts_and_then_once_a_minute() {
        let mut trouble = Trouble::default();
        let told = (0..200).map(|second| second * 1_000).filter(|now_ms| {
            trouble.note(*now_ms);
            trouble.is_to_be_told(*now_ms)
        });
        assert_eq!(told.collect::<Vec<_>>(), [5_000, 65_000, 125_000, 185_000]);
    }
}
