//! How many partitions the topics of an application have to have.
//!
//! 1. A repartition topic has the number that the user set, else the most that any input of its writer has.
//! 2. Topics that are joined have equally many: repartition topics without a set number follow those of the user; are all
//!    of them repartition topics, the largest.
//! 3. Numbers depend on each other along the topology, so both rules are repeated until nothing changes.

use std::collections::HashMap;

use crate::error::{Error, Reaction, Result};
use crate::topic::TopicName;
use crate::topology::{Plan, RepartitionPlan};

type Counts = HashMap<TopicName, i32>;

/// The partition count of every topic that is read; `given` has those of the topics that are not ours.
///
/// # Errors
/// If joined topics have different counts, or the parts of the topology go in a circle.
pub fn count_partitions(plan: &Plan, given: &Counts) -> Result<Counts> {
    let mut counts = given.clone();
    for repartition in &plan.repartitions {
        counts.extend(repartition.partitions.map(|partitions| (repartition.topic.clone(), partitions)));
    }
    // Each round settles at least one more topic along the topology.
    for _ in 0..=plan.repartitions.len() {
        let before = counts.clone();
        plan.repartitions.iter().for_each(|repartition| follow_writer(plan, repartition, &mut counts));
        for group in plan.subtopologies.iter().flat_map(|part| &part.copartitioned) {
            level(plan, group, &mut counts);
        }
        if counts == before {
            break;
        }
    }
    if let Some(topic) =
        plan.repartitions.iter().map(|one| &one.topic).find(|topic| !counts.contains_key(*topic))
    {
        return Err(Error::new(Reaction::Stop, format!("cannot tell how many partitions `{topic}` needs"))
            .hint("set the number in `Repartitioned` or `Grouped`"));
    }
    for group in plan.subtopologies.iter().flat_map(|part| &part.copartitioned) {
        check_equal(group, &counts)?;
    }
    Ok(counts)
}

/// The number of tasks of each sub-topology: as many as its largest input has partitions.
#[must_use]
pub fn task_counts(plan: &Plan, counts: &Counts) -> Vec<i32> {
    let count = |topic: &TopicName| counts.get(topic).copied().unwrap_or(0);
    let tasks = |sources: &[crate::topology::SourcePlan]| sources.iter().map(|one| count(&one.topic)).max();
    plan.subtopologies.iter().map(|part| tasks(&part.sources).unwrap_or(0)).collect()
}

fn follow_writer(plan: &Plan, repartition: &RepartitionPlan, counts: &mut Counts) {
    if repartition.partitions.is_some()
        || is_levelled(plan, &repartition.topic) && counts.contains_key(&repartition.topic)
    {
        return;
    }
    let Some(writer) = plan.subtopologies.iter().find(|part| part.id == repartition.written_by) else {
        return;
    };
    let inputs = writer.sources.iter().filter_map(|source| counts.get(&source.topic)).max();
    counts.extend(inputs.map(|count| (repartition.topic.clone(), *count)));
}

fn is_levelled(plan: &Plan, topic: &TopicName) -> bool {
    plan.subtopologies.iter().flat_map(|part| &part.copartitioned).any(|group| group.contains(topic))
}

/// Gives the free topics of a group the count that the others have.
fn level(plan: &Plan, group: &[TopicName], counts: &mut Counts) {
    let is_free = |topic: &TopicName| {
        plan.repartitions.iter().any(|one| one.topic == *topic && one.partitions.is_none())
    };
    let fixed = group.iter().filter(|topic| !is_free(topic)).filter_map(|topic| counts.get(topic)).max();
    let Some(count) = fixed.or_else(|| group.iter().filter_map(|topic| counts.get(topic)).max()).copied()
    else {
        return;
    };
    counts.extend(group.iter().filter(|topic| is_free(topic)).map(|topic| (topic.clone(), count)));
}

fn check_equal(group: &[TopicName], counts: &Counts) -> Result<()> {
    let mut known = group.iter().filter_map(|topic| Some((topic, counts.get(topic)?)));
    let Some((first, count)) = known.next() else { return Ok(()) };
    match known.find(|(_, other)| *other != count) {
        None => Ok(()),
        Some((second, other)) => {
            let message = format!(
                "`{first}` and `{second}` are joined but have {count} and {other} partitions: equal keys would not meet"
            );
            Err(Error::new(Reaction::Stop, message)
                .hint("give both the same number of partitions, or put `repartition` before the join"))
        }
    }
}
