//! What the group says, and what follows: tasks come, go in order, or are lost.

use std::rc::Rc;
use std::sync::Arc;

use super::{Progress, Worker, WorkerState};
use crate::error::Result;
use crate::group::tasks_of;
use crate::kafka::GroupEvent;
use crate::operator::Setup;
use crate::task::{Task, TaskParts};
use crate::topic::TopicPartition;

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
        let lanes = self.tasks.values().map(|task| task.lanes().len()).sum();
        self.consumer.expect(lanes, self.queued_share());
        self.begin_restore(now_ms, true)
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
