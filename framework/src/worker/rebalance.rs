//! What the group says, and what follows: tasks come, go in order, or are lost.

use std::rc::Rc;
use std::sync::Arc;

use super::{Progress, Worker, WorkerState};
use crate::commit::Planted;
use crate::error::Result;
use crate::group::tasks_of;
use crate::kafka::{GroupEvent, Isolation};
use crate::operator::Setup;
use crate::task::{Rebuild, Restore, RestoreDesk, RestoreOptions, RestorePorts, Task, TaskParts};
use crate::topic::{TaskId, TopicPartition};

impl Worker {
    pub(super) fn poll_group(&mut self, now_ms: i64, progress: &mut Progress) -> Result<()> {
        let Some(event) = self.membership.poll(now_ms)? else { return Ok(()) };
        progress.busy = true;
        match event {
            GroupEvent::Assigned(partitions) => self.assigned(&partitions, now_ms),
            GroupEvent::Revoked => {
                tracing::info!(worker = self.number, tasks = self.tasks.len(), "tasks are revoked");
                self.leaving.revoked = true;
                self.committer.request_flush();
                Ok(())
            }
            GroupEvent::Lost => {
                tracing::warn!(worker = self.number, tasks = self.tasks.len(), "tasks are lost");
                self.lose();
                Ok(())
            }
        }
    }

    /// Others may own our partitions already: nothing of ours may be committed any more.
    pub(super) fn lose(&mut self) {
        if self.sender.open_since().is_some() || self.committer.is_busy() {
            // A new producer of the same transactional id decides the open transaction.
            self.replace_sender();
        }
        self.release();
    }

    pub(super) fn release(&mut self) {
        self.drop_tasks();
        self.leaving.revoked = false;
        self.membership.release();
        if !self.leaving.stop {
            self.go(WorkerState::Rebalancing);
        }
    }

    fn assigned(&mut self, partitions: &[TopicPartition], now_ms: i64) -> Result<()> {
        tracing::info!(worker = self.number, partitions = partitions.len(), "partitions are assigned");
        for (id, inputs) in tasks_of(&self.plan, partitions) {
            let plan = &self.plan.subtopologies[id.subtopology as usize];
            let task = Task::new(TaskParts {
                id,
                plan,
                inputs: &inputs,
                bytes: Rc::clone(&self.backend.open(id)?),
                setup: Setup {
                    application: self.plan.application.clone(),
                    extractor: self.settings.default_timestamp_extractor,
                    emit_interval_ms: self.settings.emit_interval_ms,
                },
                handlers: Arc::clone(&self.handlers),
                idle_ms: self.settings.max_task_idle_ms,
                fingerprint: self.plan.fingerprint,
            })?;
            self.tasks.insert(id, task);
        }
        self.begin_restore(now_ms, true)
    }

    pub(super) fn begin_restore(&mut self, now_ms: i64, assigned: bool) -> Result<()> {
        let target = match self.planted {
            Planted::RestoreToLso => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        };
        let options = RestoreOptions {
            auto_offset_reset: self.settings.auto_offset_reset,
            transactional: self.sender.is_transactional(),
            target,
            rewind: assigned || self.planted != Planted::InputsNotRewound,
        };
        let client = format!("{}-restore", self.client);
        let ports = RestorePorts {
            admin: self.cluster.admin(&client),
            consumer: self.cluster.consumer(&client, Isolation::ReadCommitted),
        };
        let (wall_ms, membership) = (self.wall_ms, self.membership.as_mut());
        let mut desk = RestoreDesk { tasks: &mut self.tasks, membership, now_ms, wall_ms };
        self.restore = Some(Restore::begin(options, ports, &mut desk)?);
        Ok(())
    }

    pub(super) fn restore(&mut self, now_ms: i64, progress: &mut Progress) -> Result<()> {
        let Some(restore) = &mut self.restore else { return Ok(()) };
        if self.leaving.revoked || self.leaving.stop {
            return Ok(());
        }
        if let Some(asked) = &self.unanswered {
            if self.membership.committed(asked, now_ms).is_pending() {
                return Ok(());
            }
            self.unanswered = None;
        }
        let (wall_ms, membership) = (self.wall_ms, self.membership.as_mut());
        let mut desk = RestoreDesk { tasks: &mut self.tasks, membership, now_ms, wall_ms };
        let rewinds = restore.rewinds();
        let restored = restore.advance(&mut desk)?;
        progress.busy |= !restored.started.is_empty() || !restored.progress.is_empty();
        for id in restored.started.iter().filter(|_| rewinds) {
            for lane in self.tasks[id].lanes() {
                self.consumer.add(lane.partition(), lane.next_offset());
            }
        }
        for (task, cause) in restored.rebuilt {
            self.note_rebuild(task, cause);
        }
        for one in &restored.progress {
            tracing::debug!(task = %one.task, records = one.records, remaining = one.remaining, rate = one.rate(), "restore");
            if let Some(observer) = &self.observer {
                observer.restored(self.number, one);
            }
        }
        if self.restore.as_ref().is_some_and(Restore::is_done) {
            self.figures.restored += self.restore.take().map_or(0, |restore| restore.records());
            self.backend.persist(false)?;
            progress.busy = true;
            self.go(WorkerState::Running);
        }
        Ok(())
    }

    pub(super) fn note_rebuild(&mut self, task: TaskId, cause: Rebuild) {
        *self.figures.rebuilds.entry(cause).or_default() += 1;
        if let Some(observer) = &self.observer {
            observer.rebuilt(self.number, task, cause);
        }
    }

    /// Tasks go once their last commit is through.
    pub(super) fn conclude(&mut self, now_ms: i64, progress: &mut Progress) {
        if self.leaving.stop && matches!(self.state, WorkerState::Rebalancing | WorkerState::Running) {
            self.go(WorkerState::Stopping);
        }
        if self.committer.is_busy() || self.committer.is_requested() || !self.recovery.is_over() {
            return;
        }
        if self.leaving.stop {
            self.drop_tasks();
            if let Err(error) = self.backend.persist(true) {
                tracing::error!(worker = self.number, %error, "state is not all on disk: the next start replays more");
            }
            self.membership.leave(now_ms);
            self.go(WorkerState::Stopped);
            progress.busy = true;
        } else if self.leaving.revoked {
            self.release();
            progress.busy = true;
        }
    }
}
