//! A store with its changelog: what the runtime knows of it, and what is on its way to Kafka.

use std::cell::RefCell;
use std::rc::Rc;

use super::checkpoint;
use crate::error::Result;
use crate::operator::Assembly;
use crate::record::RecordBatch;
use crate::state::{Changes, StateStore};
use crate::topic::{TaskId, TopicPartition};
use crate::topology::SubtopologyPlan;

/// A store with its changelog.
pub struct LoggedStore {
    /// The store.
    pub store: Rc<RefCell<dyn StateStore>>,
    /// Its changelog; `None` for a store without.
    pub partition: Option<TopicPartition>,
    /// The changelog's topic id.
    pub topic_id: u128,
    /// The changelog offset below which everything is committed and in the store (overlay or byte store). Never leads.
    pub offset: i64,
    /// Records on their way to the changelog.
    pub changelog: RecordBatch,
}

/// The stores of a task, each with its changelog: task `i` writes partition `i`.
pub(super) fn pair(id: TaskId, plan: &SubtopologyPlan, assembly: &Assembly) -> Vec<LoggedStore> {
    let changelog_of = |name: &str| {
        let store = plan.stores.iter().find(|store| store.name == name)?;
        let logged = !store.changelog.is_empty();
        logged.then(|| TopicPartition { topic: store.changelog.clone(), partition: id.partition })
    };
    let logged = |store: &Rc<RefCell<dyn StateStore>>| {
        let partition = changelog_of(store.borrow().name());
        let changelog = RecordBatch::default();
        LoggedStore { store: Rc::clone(store), partition, topic_id: 0, offset: 0, changelog }
    };
    assembly.stores().map(logged).collect()
}

impl LoggedStore {
    /// Writes what is dirty to the batch for the changelog. Returns whether there was anything.
    ///
    /// # Errors
    /// If a value cannot be serialised.
    pub fn log(&mut self) -> Result<bool> {
        let before = self.changelog.len();
        self.store.borrow_mut().log(&mut self.changelog)?;
        let logged = self.changelog.len() > before;
        if self.partition.is_none() {
            self.changelog.clear();
        }
        Ok(logged)
    }

    /// Adds the changelog's offset and id to a batch.
    pub fn put_offset(&self, changes: &mut Changes) {
        if let Some(partition) = &self.partition {
            checkpoint::put_number(changes, "offset", &partition.topic, self.offset);
            checkpoint::put_topic_id(changes, &partition.topic, self.topic_id);
        }
    }
}
