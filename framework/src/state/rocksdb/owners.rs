//! Who owns the tasks of the database, and whose data waits to be taken up again or deleted.
//!
//! 1. A task belongs to whoever opened it last; its number is that of the opening.
//! 2. A task whose owner is gone is *parked*: its data stays for a while, since it often comes back.
//! 3. Entries are never removed: an older writer must not pass for a new one because counting began anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, Reaction, Result};
use crate::state::bytes::{lock, taken_over};
use crate::topic::TaskId;

/// What is known of a task.
#[derive(Debug, Default)]
pub(super) struct Owner {
    /// How often the task was opened: the number of its owner.
    pub(super) opened: u64,
    /// Whether the owner still has its store.
    pub(super) held: bool,
    /// Whether anything may be stored.
    pub(super) stored: bool,
    /// Whether the data it may have had went with a corrupt database.
    pub(super) lost: bool,
    /// When it was first seen without owner.
    parked_ms: Option<i64>,
}

impl Owner {
    /// Takes the task. Returns the number of the new owner.
    pub(super) fn take(&mut self) -> u64 {
        self.opened += 1;
        self.held = true;
        self.parked_ms = None;
        self.opened
    }

    /// Whether it has been parked for `delay_ms`.
    fn is_over(&mut self, now_ms: i64, delay_ms: i64) -> bool {
        if self.held || !self.stored {
            return false;
        }
        let since = *self.parked_ms.get_or_insert(now_ms);
        now_ms.saturating_sub(since) >= delay_ms
    }
}

/// An opening of a task.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) task: TaskId,
    owner: Arc<Mutex<Owner>>,
    number: u64,
}

impl Claim {
    /// The task is taken from whoever has it.
    pub(super) fn take(task: TaskId, owner: Arc<Mutex<Owner>>) -> Self {
        let number = lock(&owner).take();
        Self { task, owner, number }
    }

    /// The claim of whoever has the task.
    pub(super) fn look_at(task: TaskId, owner: Arc<Mutex<Owner>>) -> Self {
        let number = lock(&owner).opened;
        Self { task, owner, number }
    }

    /// What is known of the task, whoever has it.
    pub(super) fn owner(&self) -> MutexGuard<'_, Owner> {
        lock(&self.owner)
    }

    /// What is known of the task, if the claim still stands; nobody takes the task meanwhile.
    pub(super) fn own(&self) -> Result<MutexGuard<'_, Owner>> {
        let owner = self.owner();
        if owner.opened == self.number {
            return Ok(owner);
        }
        Err(taken_over(self.task))
    }

    /// An error if the claim stands no more, as far as that can be told without waiting: whoever writes looks again.
    pub(super) fn look(&self) -> Result<()> {
        match self.owner.try_lock() {
            Ok(owner) if owner.opened != self.number => Err(taken_over(self.task)),
            _ => Ok(()),
        }
    }

    /// As [`Claim::own`], for whoever is about to write.
    pub(super) fn write(&self) -> Result<MutexGuard<'_, Owner>> {
        let mut owner = self.own()?;
        (owner.stored, owner.lost) = (true, false);
        Ok(owner)
    }

    /// An error that stops whoever works on the task.
    pub(super) fn failed(&self, message: &str) -> Error {
        Error::new(Reaction::Stop, message).in_task(self.task)
    }
}

/// All tasks of the database.
#[derive(Debug, Default)]
pub(super) struct Owners {
    tasks: Mutex<BTreeMap<TaskId, Arc<Mutex<Owner>>>>,
    /// What is true of tasks that are not in the map.
    lost: bool,
}

impl Owners {
    /// The tasks that are `stored` already, all without owner; `lost`: others may have been in a corrupt database.
    pub(super) fn new(stored: impl Iterator<Item = TaskId>, lost: bool) -> Self {
        let parked = |task| (task, Arc::new(Mutex::new(Owner { stored: true, ..Owner::default() })));
        Self { tasks: Mutex::new(stored.map(parked).collect()), lost }
    }

    /// What is known of a task.
    pub(super) fn of(&self, task: TaskId) -> Arc<Mutex<Owner>> {
        let new = || Arc::new(Mutex::new(Owner { lost: self.lost, ..Owner::default() }));
        Arc::clone(lock(&self.tasks).entry(task).or_insert_with(new))
    }

    /// The tasks that have been parked for `delay_ms`.
    pub(super) fn over(&self, now_ms: i64, delay_ms: i64) -> Vec<(TaskId, Arc<Mutex<Owner>>)> {
        let tasks = lock(&self.tasks);
        let over = tasks.iter().filter(|(_, owner)| lock(owner).is_over(now_ms, delay_ms));
        over.map(|(task, owner)| (*task, Arc::clone(owner))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_owner_is_over_after_a_while() {
        let task = |partition| TaskId { subtopology: 0, partition };
        let owners = Owners::new([task(0), task(1)].into_iter(), false);
        let over =
            |now_ms| owners.over(now_ms, 100).iter().map(|(task, _)| task.partition).collect::<Vec<_>>();
        assert_eq!(over(1_000), [0; 0], "the time begins with the first look");
        let held = owners.of(task(1));
        let first = lock(&held).take();
        assert_eq!(over(1_099), [0; 0]);
        assert_eq!(over(1_100), [0]);
        lock(&held).held = false;
        assert_eq!(over(1_200), [0], "parked anew");
        assert_eq!(over(1_300), [0, 1]);
        assert_eq!(lock(&held).take(), first + 1);
        assert_eq!(over(9_000), [0]);
    }
}
