//! The scene: what all records of a slice of a task's work have in common.

use crate::operator::{Context, Handlers, Input, Output};
use crate::telemetry::Counters;
use crate::topic::TaskId;

/// What all records of a slice of work have in common; makes the [`Context`] of each.
pub struct Scene<'a> {
    /// The task.
    pub task: TaskId,
    /// Wall-clock time of the slice.
    pub now_ms: i64,
    /// Highest event time that the task has seen.
    pub stream_time: i64,
    /// Counts since the last commit.
    pub counters: &'a mut Counters,
    /// The answers to failures.
    pub handlers: &'a Handlers,
    /// Takes what is written.
    pub output: &'a mut dyn Output,
}

impl Scene<'_> {
    /// The context of one record, or of no record.
    #[inline]
    pub fn context<'b>(&'b mut self, input: Option<Input<'b>>) -> Context<'b> {
        Context {
            task: self.task,
            now_ms: self.now_ms,
            stream_time: self.stream_time,
            input,
            counters: &mut *self.counters,
            handlers: self.handlers,
            output: &mut *self.output,
        }
    }
}
