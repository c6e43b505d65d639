//! Options of operators: small structs with defaults, named as in Kafka Streams.

use std::sync::Arc;
use std::time::Duration;

use super::SharedSerde;
use crate::codec::Serde;
use crate::kafka::StartAt;
use crate::operator::{ExtractFn, TimestampExtractor};

/// Names of topics: one, or several whose records form one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(pub Vec<String>);

impl From<&str> for Topics {
    fn from(topic: &str) -> Self {
        Self(vec![topic.to_owned()])
    }
}

impl From<String> for Topics {
    fn from(topic: String) -> Self {
        Self(vec![topic])
    }
}

impl<const N: usize> From<[&str; N]> for Topics {
    fn from(topics: [&str; N]) -> Self {
        Self(topics.iter().map(|topic| (*topic).to_owned()).collect())
    }
}

impl From<Vec<String>> for Topics {
    fn from(topics: Vec<String>) -> Self {
        Self(topics)
    }
}

/// How a topic is read.
pub struct Consumed<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
    pub(crate) extractor: Option<TimestampExtractor<K, V>>,
    pub(crate) start_at: Option<StartAt>,
}

impl<K, V> Default for Consumed<K, V> {
    fn default() -> Self {
        Self { name: None, keys: None, values: None, extractor: None, start_at: None }
    }
}

impl<K, V> Consumed<K, V> {
    /// With these serdes instead of the types' usual ones.
    #[must_use]
    pub fn with(keys: impl Serde<K> + 'static, values: impl Serde<V> + 'static) -> Self {
        Self { keys: Some(Arc::new(keys)), values: Some(Arc::new(values)), ..Self::default() }
    }

    /// With a name for the source node.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// With another timestamp extractor.
    #[must_use]
    pub fn with_timestamp_extractor(self, extractor: TimestampExtractor<K, V>) -> Self {
        Self { extractor: Some(extractor), ..self }
    }

    /// With a function that tells a record's event time from key, value, its own timestamp and its partition's time.
    #[must_use]
    pub fn with_event_time(self, extract: impl Fn(&K, &V, i64, i64) -> i64 + Send + Sync + 'static) -> Self {
        let extract: Arc<ExtractFn<K, V>> = Arc::new(extract);
        self.with_timestamp_extractor(TimestampExtractor::By(extract))
    }

    /// Beginning here where no offset is committed, whatever `auto.offset.reset` says.
    #[must_use]
    pub fn with_offset_reset_policy(self, start_at: StartAt) -> Self {
        Self { start_at: Some(start_at), ..self }
    }
}

/// How a topic is written.
pub struct Produced<K, V> {
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
}

impl<K, V> Default for Produced<K, V> {
    fn default() -> Self {
        Self { keys: None, values: None }
    }
}

impl<K, V> Produced<K, V> {
    /// With these serdes instead of the types' usual ones.
    #[must_use]
    pub fn with(keys: impl Serde<K> + 'static, values: impl Serde<V> + 'static) -> Self {
        Self { keys: Some(Arc::new(keys)), values: Some(Arc::new(values)) }
    }

    /// With this serde for values, the usual one for keys.
    #[must_use]
    pub fn with_value_serde(values: impl Serde<V> + 'static) -> Self {
        Self { values: Some(Arc::new(values)), ..Self::default() }
    }
}

/// How a table's or aggregate's rows are kept.
pub struct Materialized<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
    pub(crate) retention: Option<Duration>,
}

impl<K, V> Default for Materialized<K, V> {
    fn default() -> Self {
        Self { name: None, keys: None, values: None, retention: None }
    }
}

impl<K, V> Materialized<K, V> {
    /// In a store of this name. Naming stores keeps state when the topology changes.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// With these serdes instead of the types' usual ones.
    #[must_use]
    pub fn with(keys: impl Serde<K> + 'static, values: impl Serde<V> + 'static) -> Self {
        Self { keys: Some(Arc::new(keys)), values: Some(Arc::new(values)), ..Self::default() }
    }

    /// With this serde for keys.
    #[must_use]
    pub fn with_key_serde(self, keys: impl Serde<K> + 'static) -> Self {
        Self { keys: Some(Arc::new(keys)), ..self }
    }

    /// With this serde for values.
    #[must_use]
    pub fn with_value_serde(self, values: impl Serde<V> + 'static) -> Self {
        Self { values: Some(Arc::new(values)), ..self }
    }

    /// Keeping windows this long after their start (sessions: after their end); at least until they close.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention: Some(retention), ..self }
    }
}

/// How records are grouped.
pub struct Grouped<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
}

impl<K, V> Default for Grouped<K, V> {
    fn default() -> Self {
        Self { name: None, keys: None, values: None }
    }
}

impl<K, V> Grouped<K, V> {
    /// With this name for a repartition topic.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// With these serdes instead of the types' usual ones.
    #[must_use]
    pub fn with(keys: impl Serde<K> + 'static, values: impl Serde<V> + 'static) -> Self {
        Self { name: None, keys: Some(Arc::new(keys)), values: Some(Arc::new(values)) }
    }

    /// With this name for a repartition topic.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }
}

/// How a stream is joined with a table.
pub struct Joined<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
}

impl<K, V> Default for Joined<K, V> {
    fn default() -> Self {
        Self { name: None, keys: None, values: None }
    }
}

impl<K, V> Joined<K, V> {
    /// With this name for the join and its repartition topic.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// With these serdes of the stream's records instead of the types' usual ones.
    #[must_use]
    pub fn with(keys: impl Serde<K> + 'static, values: impl Serde<V> + 'static) -> Self {
        Self { name: None, keys: Some(Arc::new(keys)), values: Some(Arc::new(values)) }
    }
}

/// How a stream goes through a repartition topic.
pub struct Repartitioned<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) keys: Option<SharedSerde<K>>,
    pub(crate) values: Option<SharedSerde<V>>,
    pub(crate) partitions: Option<i32>,
}

impl<K, V> Default for Repartitioned<K, V> {
    fn default() -> Self {
        Self { name: None, keys: None, values: None, partitions: None }
    }
}

impl<K, V> Repartitioned<K, V> {
    /// With this name for the topic.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// With these serdes instead of the types' usual ones.
    #[must_use]
    pub fn with(keys: impl Serde<K> + 'static, values: impl Serde<V> + 'static) -> Self {
        Self { keys: Some(Arc::new(keys)), values: Some(Arc::new(values)), ..Self::default() }
    }

    /// With so many partitions.
    #[must_use]
    pub fn with_number_of_partitions(self, partitions: i32) -> Self {
        Self { partitions: Some(partitions), ..self }
    }
}
