//! Range: Kafka's `range` assignor. Topics with the same members and as many partitions are co-partitioned.
//!
//! 1. Members are ordered by instance id, those without behind them by member id.
//! 2. Each topic by itself is cut into one contiguous range per member that reads it; the first ranges are larger
//!    by one where it does not come out even.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::topic::{TopicName, TopicPartition};

/// A member as the assignor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub(super) member: Arc<str>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) topics: Vec<TopicName>,
}

/// What each member gets; every member has an entry.
pub(super) fn assign(
    subscribers: &[Subscriber],
    partition_counts: &BTreeMap<TopicName, i32>,
) -> BTreeMap<Arc<str>, Vec<TopicPartition>> {
    let mut ordered: Vec<&Subscriber> = subscribers.iter().collect();
    ordered.sort_by_key(|one| (one.instance.is_none(), one.instance.clone(), one.member.clone()));
    let mut assigned: BTreeMap<Arc<str>, Vec<TopicPartition>> =
        subscribers.iter().map(|one| (one.member.clone(), Vec::new())).collect();
    for (topic, count) in partition_counts {
        let readers: Vec<&&Subscriber> = ordered.iter().filter(|one| one.topics.contains(topic)).collect();
        let Ok(readers_count) = i32::try_from(readers.len()) else { continue };
        let mut first = 0;
        for (reader, place) in readers.iter().zip(0..) {
            let size = count / readers_count + i32::from(place < count % readers_count);
            let range = (first..first + size).map(|partition| TopicPartition::new(topic.clone(), partition));
            assigned.entry(reader.member.clone()).or_default().extend(range);
            first += size;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::{Subscriber, assign};
    use std::collections::BTreeMap;

    /// `members`: `id[@instance]:topic,topic`, separated by spaces; `topics`: `name=count`.
    fn check(members: &str, topics: &str, expected: &[&str]) {
        let subscriber = |text: &str| {
            let (who, topics) = text.split_once(':').unwrap();
            let (member, instance) = who.split_once('@').map_or((who, None), |(id, name)| (id, Some(name)));
            Subscriber {
                member: member.into(),
                instance: instance.map(Into::into),
                topics: topics.split(',').map(Into::into).collect(),
            }
        };
        let count = |text: &str| {
            let (name, count) = text.split_once('=').unwrap();
            (name.into(), count.parse().unwrap())
        };
        let subscribers: Vec<_> = members.split(' ').map(subscriber).collect();
        let counts: BTreeMap<_, _> = topics.split(' ').map(count).collect();
        let line = |(member, partitions): (_, Vec<_>)| {
            let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{member}: {}", names.join(" "))
        };
        let found: Vec<String> = assign(&subscribers, &counts).into_iter().map(line).collect();
        assert_eq!(found, expected, "{members} / {topics}");
    }

    #[test]
    fn ranges() {
        // Co-partitioned: the same numbers of both topics go to one member; the first get more.
        check("m1:a,b m2:a,b", "a=3 b=3", &["m1: a-0 a-1 b-0 b-1", "m2: a-2 b-2"]);
        check("m2:a m1:a m3:a", "a=2", &["m1: a-0", "m2: a-1", "m3: "]);
        // Who does not read a topic does not count for it.
        check("m1:a m2:a,b", "a=2 b=2", &["m1: a-0", "m2: a-1 b-0 b-1"]);
        // Instance ids come before member ids and decide over them.
        check("m1:a m2@z:a m3@y:a", "a=3", &["m1: a-2", "m2: a-1", "m3: a-0"]);
        // A topic that does not exist is left out.
        check("m1:a,gone", "a=1", &["m1: a-0"]);
    }
}
