//! Statistics: what librdkafka tells about itself in JSON now and then. Of all that the ends of partitions are of use, and of whom they
//! are fetched.

use std::collections::HashMap;

use serde::Deserialize;

use crate::topic::TopicPartition;

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: HashMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    partition: i32,
    /// The end that the last answer to a fetch told, under the client's isolation; below 0 before the first.
    ls_offset: i64,
    /// Who is asked for it, and who leads it; below 0 where nobody is.
    broker: i32,
    leader: i32,
}

/// What is told of a partition that a consumer fetches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) partition: TopicPartition,
    /// Its end, where that is known.
    pub(super) end: Option<i64>,
    /// Whether it is asked of a broker that does not lead it.
    pub(super) is_astray: bool,
}

/// What is told of each partition.
pub(super) fn partitions(text: &str) -> Result<Vec<Told>, serde_json::Error> {
    let statistics: Statistics = serde_json::from_str(text)?;
    let mut told = Vec::new();
    for (topic, Topic { partitions }) in statistics.topics {
        told.extend(partitions.into_values().filter(|one| one.partition >= 0).map(|one| Told {
            partition: TopicPartition::new(&*topic, one.partition),
            end: Some(one.ls_offset).filter(|end| *end >= 0),
            is_astray: one.broker >= 0 && one.leader >= 0 && one.broker != one.leader,
        }));
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_brokers_are_found_and_what_is_not_known_is_left_out() {
        let text = r#"{ "name": "rdkafka#consumer-1", "brokers": {}, "topics": { "in": { "topic": "in", "partitions": {
            "0": { "partition": 0, "broker": 2, "leader": 2, "hi_offset": 12, "ls_offset": 9, "consumer_lag": -1 },
            "1": { "partition": 1, "broker": -1, "leader": 2, "hi_offset": -1001, "ls_offset": -1001 },
            "2": { "partition": 2, "broker": 1, "leader": 2, "hi_offset": 12, "ls_offset": 0 },
            "-1": { "partition": -1, "broker": -1, "leader": -1, "hi_offset": -1001, "ls_offset": 3 } } } } }"#;
        let told =
            |number, end, is_astray| Told { partition: TopicPartition::new("in", number), end, is_astray };
        let mut all = partitions(text).unwrap();
        all.sort_by_key(|one| one.partition.partition);
        assert_eq!(all, [told(0, Some(9), false), told(1, None, false), told(2, Some(0), true)]);
        assert!(partitions("{ \"topics\": {} }").unwrap().is_empty() && partitions("no JSON").is_err());
    }
}
