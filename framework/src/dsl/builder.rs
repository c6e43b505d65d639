//! Where a topology begins: the topics that it reads.

use super::repartition::{SourceDraft, draw_source};
use super::table::TableDraft;
use super::{Consumed, Draft, KStream, KTable, Materialized, Topics, serde_or_usual};
use crate::codec::{HasSerde, Nullable};
use crate::error::Result;
use crate::topology::Topology;
use std::sync::Arc;

/// Begins a topology.
///
/// ```
/// use headwater::StreamsBuilder;
/// let builder = StreamsBuilder::new();
/// let lines = builder.stream::<String, String>("lines");
/// lines.map_values(|line| line.to_uppercase()).to("shouts");
/// let topology = builder.build().unwrap();
/// assert_eq!(topology.graph().nodes.len(), 3);
/// ```
#[derive(Clone, Default)]
pub struct StreamsBuilder {
    draft: Draft,
}

impl StreamsBuilder {
    /// An empty topology.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The records of one or several topics.
    pub fn stream<K: HasSerde, V: HasSerde>(&self, topics: impl Into<Topics>) -> KStream<K, V> {
        self.stream_with(topics, Consumed::default())
    }

    /// As [`StreamsBuilder::stream`], with options.
    pub fn stream_with<K, V>(&self, topics: impl Into<Topics>, consumed: Consumed<K, V>) -> KStream<K, V>
    where
        K: HasSerde,
        V: HasSerde,
    {
        let Topics(topics) = topics.into();
        let name = self.draft.name(consumed.name, "KSTREAM-SOURCE-");
        let (keys, values) = (serde_or_usual(&consumed.keys), serde_or_usual(&consumed.values));
        let node = draw_source(
            &self.draft,
            SourceDraft {
                name,
                topics,
                start_at: consumed.start_at,
                internal: false,
                keys: Arc::clone(&keys),
                values: Arc::clone(&values),
                extractor: consumed.extractor,
                needs_key: false,
            },
        );
        KStream::new(self.draft.clone(), node).with_serdes(Some(keys), Some(values))
    }

    /// A topic as a table: the last value of each key. A null value deletes the row, a record without key is dropped
    /// and counted. Rows are kept in a store only where something needs them.
    pub fn table<K: HasSerde, V: HasSerde>(&self, topic: &str) -> KTable<K, V> {
        self.table_with(topic, Consumed::default(), None)
    }

    /// As [`StreamsBuilder::table`], with options. With `materialized` the rows are always kept.
    pub fn table_with<K, V>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Option<Materialized<K, V>>,
    ) -> KTable<K, V>
    where
        K: HasSerde,
        V: HasSerde,
    {
        let materialized_by_user = materialized.is_some();
        let Materialized { name, keys, values, .. } = materialized.unwrap_or_default();
        let keys = serde_or_usual(&keys.or(consumed.keys));
        let values = serde_or_usual(&values.or(consumed.values));
        let generated = name.is_none();
        let store = self.draft.name(name, &format!("{topic}-STATE-STORE-"));
        let source_name = self.draft.name(consumed.name.clone(), "KSTREAM-SOURCE-");
        let table_name =
            self.draft.name(consumed.name.map(|name| format!("{name}-table-source")), "KTABLE-SOURCE-");
        // The extractor sees present values only: a tombstone's time is its own.
        let extractor = consumed.extractor.map(super::table::extractor_of_rows);
        let source = draw_source(
            &self.draft,
            SourceDraft {
                name: source_name,
                topics: vec![topic.to_owned()],
                start_at: consumed.start_at,
                internal: false,
                keys: Arc::clone(&keys),
                values: Arc::new(Nullable(Arc::clone(&values))),
                extractor,
                needs_key: true,
            },
        );
        let draft = TableDraft { name: table_name, store, generated, keys, values };
        let table = draft.draw_source(&self.draft, source);
        if materialized_by_user {
            table.keep();
        }
        table
    }

    /// The finished topology.
    ///
    /// # Errors
    /// All mistakes at once: two nodes or stores of one name, impossible windows, a topic read twice.
    pub fn build(&self) -> Result<Topology> {
        Topology::new(self.draft.edit(|graph| graph.clone()))
    }
}
