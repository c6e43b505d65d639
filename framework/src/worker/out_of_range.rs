//! Inputs that do not have the offset any more (or yet) that is to be read next: they go on where they would begin without
//! offset.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;

use super::Worker;
use crate::error::{Error, Reaction, Result};
use crate::kafka::{Isolation, StartAt};
use crate::task::Task;
use crate::topic::{TaskId, TopicPartition};

/// The inputs that have said so.
#[derive(Debug, Default)]
pub(super) struct OutOfRange {
    /// All of them: whoever reads them is told once.
    told: BTreeSet<TopicPartition>,
    /// Those whose bounds were asked for. The question has to be put until it is answered.
    asked: Vec<TopicPartition>,
}

impl OutOfRange {
    /// The partition has said so.
    pub(super) fn tell(&mut self, partition: &TopicPartition) {
        self.told.insert(partition.clone());
    }

    /// Nobody waits for them any more.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }

    /// The partitions to ask for: those whose records before that are processed.
    fn question(&mut self, tasks: &BTreeMap<TaskId, Task>) -> &[TopicPartition] {
        if self.asked.is_empty() && !self.told.is_empty() {
            let lanes = tasks.values().flat_map(Task::lanes);
            let lanes = lanes.filter(|lane| lane.buffered() == 0 && self.told.contains(lane.partition()));
            self.asked = lanes.map(|lane| lane.partition().clone()).collect();
        }
        &self.asked
    }
}

impl Worker {
    /// Asks where such inputs begin and end, and goes on there.
    pub(super) fn look_up_out_of_range(&mut self, now_ms: i64) -> Result<()> {
        let asked = self.out_of_range.question(&self.tasks);
        if asked.is_empty() {
            return Ok(());
        }
        let Poll::Ready(answer) = self.lookup.bounds(asked, Isolation::ReadCommitted, now_ms) else {
            return Ok(());
        };
        let bounds = answer?;
        for (partition, bounds) in std::mem::take(&mut self.out_of_range.asked).into_iter().zip(bounds) {
            if self.out_of_range.told.remove(&partition) {
                self.go_on_within(&partition, bounds)?;
            }
        }
        Ok(())
    }

    fn go_on_within(&mut self, partition: &TopicPartition, (start, end): (i64, i64)) -> Result<()> {
        let reads = |task: &&mut Task| task.lanes().iter().any(|lane| lane.partition() == partition);
        let Some(task) = self.tasks.values_mut().find(reads) else { return Ok(()) };
        let begin = task.begins_at(&partition.topic, self.settings.auto_offset_reset);
        let id = task.id();
        let mut skipped = 0;
        for lane in task.lanes_mut().iter_mut().filter(|lane| lane.partition() == partition) {
            let from = lane.next_offset();
            let to = match begin {
                Some(StartAt::Earliest) => start,
                Some(StartAt::Latest) => end,
                None => {
                    let message =
                        format!("the offset to read next is out of range: there are {start} to {end}");
                    let error = Error::new(Reaction::Stop, message).at_record(partition, from).in_task(id);
                    return Err(error.hint(
                        "`auto.offset.reset` is `none`: reset the group's offsets, or set it to `earliest` or `latest`",
                    ));
                }
            };
            skipped += u64::try_from(to - from).unwrap_or(0);
            tracing::warn!(%partition, from, to, "offset out of range: records are skipped or repeated");
            lane.seek(to, lane.partition_time());
            self.consumer.add(partition, to);
        }
        task.counters_mut().skipped_offsets += skipped;
        Ok(())
    }
}
