//! Statistics: what librdkafka tells about itself in JSON now and then. Of all that only the ends of partitions are of use.

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
}

/// The ends of all partitions that a consumer fetches, as far as they are known.
pub(super) fn ends(text: &str) -> Result<Vec<(TopicPartition, i64)>, serde_json::Error> {
    let statistics: Statistics = serde_json::from_str(text)?;
    let mut ends = Vec::new();
    for (topic, Topic { partitions }) in statistics.topics {
        let known = partitions.into_values().filter(|one| one.partition >= 0 && one.ls_offset >= 0);
        ends.extend(known.map(|one| (TopicPartition::new(&*topic, one.partition), one.ls_offset)));
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_found_and_what_is_not_known_is_left_out() {
        let text = r#"{ "name": "rdkafka#consumer-1", "brokers": {}, "topics": { "in": { "topic": "in", "partitions": {
            "0": { "partition": 0, "hi_offset": 12, "ls_offset": 9, "consumer_lag": -1 },
            "1": { "partition": 1, "hi_offset": -1001, "ls_offset": -1001 },
            "-1": { "partition": -1, "hi_offset": -1001, "ls_offset": 3 } } } } }"#;
        assert_eq!(ends(text).unwrap(), [(TopicPartition::new("in", 0), 9)]);
        assert!(ends("{ \"topics\": {} }").unwrap().is_empty() && ends("no JSON").is_err());
    }
}
