//! The list of all topics, for which librdkafka has only a call that waits.

use rdkafka::bindings as c;

use super::{Client, Failure, checked, text};
use crate::topic::TopicName;

impl Client {
    /// The names of all topics; waits `limit_ms` at most.
    pub(in super::super) fn list_topics(&self, limit_ms: i32) -> Result<Vec<TopicName>, Failure> {
        let mut metadata = std::ptr::null();
        // SAFETY: the client lives; what it answers has `topic_cnt` topics, which are copied before it is freed.
        unsafe {
            checked(c::rd_kafka_metadata(self.rk, 1, std::ptr::null_mut(), &raw mut metadata, limit_ms))?;
            let count = usize::try_from((*metadata).topic_cnt).unwrap_or(0);
            let topics = if count == 0 { &[] } else { std::slice::from_raw_parts((*metadata).topics, count) };
            let names = topics.iter().map(|topic| text(topic.topic).as_str().into()).collect();
            c::rd_kafka_metadata_destroy(metadata);
            Ok(names)
        }
    }
}
