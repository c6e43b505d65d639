//! Restoring: the worker's share of a [`Restore`], and what is said of it.

use super::{Progress, Worker, WorkerState};
use crate::commit::Planted;
use crate::error::Result;
use crate::kafka::Isolation;
use crate::task::{Rebuild, Restore, RestoreDesk, RestoreOptions, RestorePorts};
use crate::topic::TaskId;

/// A restore that takes longer is told so often.
const TOLD_EVERY_MS: i64 = 10_000;

impl Worker {
    pub(super) fn begin_restore(&mut self, now_ms: i64, assigned: bool) -> Result<()> {
        let target = match self.planted {
            Planted::RestoreToLso => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        };
        let options = RestoreOptions {
            auto_offset_reset: self.settings.auto_offset_reset,
            transactional: self.sender.is_transactional(),
            target,
            queued_bytes: self.queued_share(),
            rewind: assigned || self.planted != Planted::InputsNotRewound,
        };
        let client = format!("{}-restore", self.client);
        let ports = RestorePorts {
            admin: self.cluster.admin(&client),
            consumer: self.cluster.restore_consumer(&client),
        };
        let (wall_ms, membership) = (self.wall_ms, self.membership.as_mut());
        let mut desk = RestoreDesk { tasks: &mut self.tasks, membership, now_ms, wall_ms };
        self.restore = Some(Restore::begin(options, ports, &mut desk)?);
        self.told.restore_ms = now_ms;
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
        progress.soon |= restored.is_loading;
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
        self.tell_restore(now_ms);
        if self.restore.as_ref().is_some_and(Restore::is_done) {
            let records = self.restore.take().map_or(0, |restore| restore.records());
            self.figures.restored += records;
            tracing::info!(worker = self.number, records, "state is restored");
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

    /// Says how far a long restore is.
    fn tell_restore(&mut self, now_ms: i64) {
        let Some(restore) = &self.restore else { return };
        if now_ms.saturating_sub(self.told.restore_ms) < TOLD_EVERY_MS {
            return;
        }
        self.told.restore_ms = now_ms;
        let (records, progress) = (restore.records(), restore.progress());
        let remaining: i64 = progress.iter().map(|one| one.remaining).sum();
        let seconds = restore.elapsed_ms() / 1_000;
        let rate = records / u64::try_from(seconds).unwrap_or(0).max(1);
        let seconds_left = u64::try_from(remaining).unwrap_or(0) / rate.max(1);
        tracing::info!(
            worker = self.number,
            records,
            remaining,
            rate,
            seconds,
            seconds_left,
            "state is being restored"
        );
    }
}
