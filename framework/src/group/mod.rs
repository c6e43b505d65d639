//! Who does what: topics are checked and made before the group is joined ([`Startup`]), and partitions become tasks.

mod form;
mod partitions;
mod startup;

pub use partitions::{count_partitions, task_counts};
pub use startup::{Layout, Startup};

use std::collections::BTreeMap;

use crate::topic::{TaskId, TopicName, TopicPartition};
use crate::topology::Plan;

/// All topics that are read, for the subscription.
#[must_use]
pub fn subscription(plan: &Plan) -> Vec<TopicName> {
    let sources = plan.subtopologies.iter().flat_map(|part| &part.sources);
    let mut topics: Vec<_> = sources.map(|source| source.topic.clone()).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// The tasks of these partitions with the inputs of each: task `i` of a sub-topology has partition `i` of its sources.
#[must_use]
pub fn tasks_of(plan: &Plan, partitions: &[TopicPartition]) -> BTreeMap<TaskId, Vec<TopicPartition>> {
    let mut tasks: BTreeMap<TaskId, Vec<TopicPartition>> = BTreeMap::new();
    for part in &plan.subtopologies {
        for source in &part.sources {
            for partition in partitions.iter().filter(|partition| partition.topic == source.topic) {
                let id = TaskId { subtopology: part.id, partition: partition.partition };
                tasks.entry(id).or_default().push(partition.clone());
            }
        }
    }
    tasks
}
