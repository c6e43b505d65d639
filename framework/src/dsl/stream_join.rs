//! Joining a stream with a table.

use std::sync::Arc;

use super::{Joined, KStream, KTable};
use crate::codec::HasSerde;
use crate::operator::{Exit, Joiner, NullTest, StreamTableJoin};
use crate::state::KeyRun;

impl<K: HasSerde, V: HasSerde> KStream<K, V> {
    /// Joins each record with the row that its key has at that moment; records without row are not joined.
    ///
    /// Topics of both sides need equally many partitions; the application checks it when it starts.
    ///
    /// ```
    /// use headwater::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// clicks.join(&names, |page, name| format!("{name} saw {page}")).to("seen");
    /// assert!(builder.build().unwrap().describe().contains("KSTREAM-JOIN-"));
    /// ```
    pub fn join<T, R>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, &T) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        T: Clone + 'static,
        R: Clone + 'static,
    {
        self.join_with(table, move |_, value, row| joiner(value, row), Joined::default())
    }

    /// As [`KStream::join`] with the key, with options.
    ///
    /// # Panics
    /// Never: an inner join calls the joiner only with a row.
    pub fn join_with<T, R>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&K, V, &T) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R>
    where
        T: Clone + 'static,
        R: Clone + 'static,
    {
        let joiner: Joiner<K, V, T, R> =
            Arc::new(move |key, value, row| joiner(key, value, row.expect("an inner join has a row")));
        self.draw_join(table, joiner, joined, false)
    }

    /// Joins each record with the row that its key has at that moment, or with nothing.
    pub fn left_join<T, R>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, Option<&T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        T: Clone + 'static,
        R: Clone + 'static,
    {
        self.left_join_with(table, move |_, value, row| joiner(value, row), Joined::default())
    }

    /// As [`KStream::left_join`] with the key, with options.
    pub fn left_join_with<T, R>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&K, V, Option<&T>) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R>
    where
        T: Clone + 'static,
        R: Clone + 'static,
    {
        self.draw_join(table, Arc::new(joiner), joined, true)
    }

    fn draw_join<T, R>(
        &self,
        table: &KTable<K, T>,
        joiner: Joiner<K, V, T, R>,
        joined: Joined<K, V>,
        left: bool,
    ) -> KStream<K, R>
    where
        T: Clone + 'static,
        R: Clone + 'static,
    {
        let (keys, values) = (self.key_serde(joined.keys), self.value_serde(joined.values));
        let above = self.draft.edit(|graph| graph.nodes[self.node].name.clone());
        let base = joined.name.clone().unwrap_or(above);
        let parent = self.partitioned(&base, &keys, &values);
        let name = joined
            .name
            .clone()
            .unwrap_or_else(|| self.name(if left { "KSTREAM-LEFTJOIN-" } else { "KSTREAM-JOIN-" }));
        let stores = table.keep();
        let (lookup, join_keys) = (Arc::clone(&table.access.lookup), Arc::clone(&keys));
        let node_name = name.clone();
        let node = self.draft.operator::<K, V, _, _>(name, &[parent], move |assembly, node| {
            Ok(StreamTableJoin {
                node: node_name.clone(),
                keys: NullTest::of(&join_keys),
                values: NullTest::of(&values),
                left,
                table: lookup(assembly)?,
                run: KeyRun::default(),
                joiner: Arc::clone(&joiner),
                out: Exit::new(assembly.outlet(node)),
            })
        });
        self.draft.edit(|graph| {
            graph.nodes[node].stores = stores;
            if left {
                graph.need_null_keys(node);
            }
            graph.copartitioned.push(vec![node, table.node]);
        });
        KStream::new(self.draft.clone(), node).with_serdes(Some(keys), None)
    }
}
