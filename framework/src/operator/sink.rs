//! The exit of a topology: a typed record becomes bytes for a topic.

use std::sync::Arc;

use super::{Context, Origin, OutColumns, OutRecord, Process, Stage, Target, each};
use crate::codec::{ROWS, Serde, encode_all, gather};
use crate::error::{Reaction, Result};
use crate::record::{Columns, Encoded, Record};
use crate::topic::TopicName;

/// Length of a key that is null.
const NULL: usize = usize::MAX;

/// Chooses the topic of a record.
pub type TopicOf<K, V> = Arc<dyn Fn(&K, &V) -> TopicName + Send + Sync>;

/// A sink node.
pub struct Sink<K, V> {
    /// Name of the node.
    pub node: String,
    /// Number of the sink in its topology, for a fixed topic.
    pub number: usize,
    /// Chooses the topic record by record instead.
    pub topic_of: Option<TopicOf<K, V>>,
    /// Writes keys.
    pub keys: Arc<dyn Serde<K>>,
    /// Writes values.
    pub values: Arc<dyn Serde<V>>,
    /// Memory for the record that is written now.
    pub buffer: Vec<u8>,
    /// Memory for keys and values that are written together.
    pub columns: (Encoded, Encoded),
}

impl<K, V> Sink<K, V> {
    /// Writes records together, up to the first that has to go alone. Returns how many were written.
    fn write_all(&mut self, context: &mut Context<'_>, records: &Columns<K, V>) -> usize {
        let rows = records.len();
        if self.topic_of.is_some() || rows > ROWS {
            return 0;
        }
        let (key_bytes, value_bytes) = &mut self.columns;
        let (mut keys, mut values) = ([None; ROWS], [None; ROWS]);
        let (all_keys, all_values) =
            (gather(records.keys.iter().map(Some)), gather(records.values.iter().map(Some)));
        let done = encode_all(self.keys.as_ref(), &all_keys[..rows], key_bytes, &mut keys)
            .and_then(|()| encode_all(self.values.as_ref(), &all_values[..rows], value_bytes, &mut values));
        if done.is_err() {
            return 0;
        }
        let mut partition_keys = keys;
        self.keys.partition_parts(&mut partition_keys[..rows]);
        let out = OutColumns {
            keys: &keys[..rows],
            partition_keys: &partition_keys[..rows],
            values: &values[..rows],
            timestamps: &records.timestamps,
            headers: &records.headers,
        };
        context.output.emit_all(self.number, &out)
    }
}

impl<K, V> Process<K, V> for Sink<K, V> {
    fn process(&mut self, context: &mut Context<'_>, record: Record<K, V>) -> Result<()> {
        self.buffer.clear();
        let mut key = self.keys.borrow(&record.key);
        let mut key_len = 0;
        if key.is_none() {
            match self.keys.serialize(&record.key, &mut self.buffer) {
                Ok(present) => key_len = if present { self.buffer.len() } else { NULL },
                Err(error) => return context.serde_failed(Stage::Production, &self.node, "key", error),
            }
        }
        let mut value = self.values.borrow(&record.value);
        let value_at = self.buffer.len();
        if value.is_none() {
            match self.values.serialize(&record.value, &mut self.buffer) {
                Ok(true) => value = Some(&self.buffer[value_at..]),
                Ok(false) => {}
                Err(error) => return context.serde_failed(Stage::Production, &self.node, "value", error),
            }
        }
        if key.is_none() && key_len != NULL {
            key = Some(&self.buffer[..key_len]);
        }
        let out = OutRecord {
            key,
            partition_key: key.map(|key| self.keys.partition_part(key)),
            value,
            timestamp: record.timestamp,
            headers: &record.headers,
            origin: Origin { node: &self.node, input: context.input.as_ref() },
        };
        let sent = match &self.topic_of {
            None => context.output.emit(&Target::Sink(self.number), &out),
            Some(topic_of) => {
                context.output.emit(&Target::Named(&topic_of(&record.key, &record.value)), &out)
            }
        };
        match sent {
            Ok(()) => {
                context.counters.produced += 1;
                Ok(())
            }
            Err(error) if error.reaction() == Reaction::Skip => {
                context.failed(Stage::Production, &self.node, error)
            }
            Err(error) => Err(error.at_node(&self.node)),
        }
    }

    fn process_all(&mut self, context: &mut Context<'_>, records: &mut Columns<K, V>) -> Result<()> {
        let written = self.write_all(context, records);
        context.counters.produced += written as u64;
        if written == records.len() {
            records.clear();
            return Ok(());
        }
        records.drain_first(written).for_each(drop);
        each(context, records, |context, record| self.process(context, record))
    }

    fn is_stateless(&self) -> bool {
        true
    }
}
