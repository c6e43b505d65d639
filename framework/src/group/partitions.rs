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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::topology::{SourcePlan, SubtopologyPlan};

    fn part(id: u32, sources: &[&str], joined: &[&[&str]]) -> SubtopologyPlan {
        let source = |topic: &&str| SourcePlan {
            topic: (*topic).into(),
            start_at: None,
            internal: topic.starts_with("r-"),
        };
        SubtopologyPlan {
            id,
            sources: sources.iter().map(source).collect(),
            copartitioned: joined
                .iter()
                .map(|group| group.iter().map(|topic| (*topic).into()).collect())
                .collect(),
            stores: Vec::new(),
            assemble: Arc::new(|_| Ok(())),
        }
    }

    fn count(
        parts: Vec<SubtopologyPlan>,
        repartitions: &[(&str, u32, Option<i32>)],
    ) -> Result<Vec<(String, i32)>> {
        let repartition = |(topic, written_by, partitions): &(&str, u32, Option<i32>)| RepartitionPlan {
            topic: (*topic).into(),
            written_by: *written_by,
            partitions: *partitions,
            configs: Vec::new(),
        };
        let plan = Plan {
            application: "app".to_owned(),
            subtopologies: parts,
            sinks: Vec::new(),
            repartitions: repartitions.iter().map(repartition).collect(),
            fingerprint: 0,
        };
        let given = [("a", 4), ("b", 2), ("c", 6)].map(|(topic, count)| (topic.into(), count)).into();
        let counts = count_partitions(&plan, &given)?;
        let mut counts: Vec<_> =
            counts.into_iter().map(|(topic, count)| (topic.to_string(), count)).collect();
        counts.retain(|(topic, _)| topic.starts_with("r-"));
        counts.sort();
        Ok(counts)
    }

    #[test]
    fn repartition_topics_follow_their_writers_and_those_they_are_joined_with() {
        let chain = vec![part(0, &["r-2"], &[]), part(1, &["a", "b"], &[]), part(2, &["r-1"], &[])];
        let counts = count(chain, &[("r-2", 2, None), ("r-1", 1, None)]).unwrap();
        assert_eq!(counts, [("r-1".to_owned(), 4), ("r-2".to_owned(), 4)]);

        let joined =
            vec![part(0, &["a"], &[]), part(1, &["r-1", "c"], &[&["r-1", "c"]]), part(2, &["r-2"], &[])];
        let counts = count(joined, &[("r-1", 0, None), ("r-2", 1, Some(3))]).unwrap();
        assert_eq!(counts, [("r-1".to_owned(), 6), ("r-2".to_owned(), 3)]);

        let both =
            vec![part(0, &["a"], &[]), part(1, &["b"], &[]), part(2, &["r-1", "r-2"], &[&["r-1", "r-2"]])];
        let counts = count(both, &[("r-1", 0, None), ("r-2", 1, None)]).unwrap();
        assert_eq!(counts, [("r-1".to_owned(), 4), ("r-2".to_owned(), 4)]);
    }

    #[test]
    fn joined_topics_that_cannot_be_levelled_are_refused_by_name() {
        let error = count(vec![part(0, &["a", "b"], &[&["a", "b"]])], &[]).unwrap_err();
        assert!(
            error.to_string().starts_with("`a` and `b` are joined but have 4 and 2 partitions"),
            "{error}"
        );
        let error = count(vec![part(0, &["r-1"], &[])], &[("r-1", 0, None)]).unwrap_err();
        assert!(error.to_string().starts_with("cannot tell how many partitions `r-1` needs"), "{error}");
    }
}
