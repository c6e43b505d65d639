//! A look into the stores of running tasks: what a table or an aggregate holds now, all partitions together.
//!
//! The look is taken on the worker's own thread, between two steps, so it sees whole records; after a commit it sees
//! exactly what is committed.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::Result;
use crate::state::{KeyValueStore, Session, SessionStore, WindowStore};
use crate::topic::TaskId;
use crate::worker::Worker;

/// The partitions of one store, of one or several workers.
pub struct Look<S> {
    stores: Vec<(TaskId, Rc<RefCell<S>>)>,
}

impl<S: 'static> Look<S> {
    /// The store `name` in the running tasks of these workers; empty where there is none of that name and type.
    pub fn into<'a>(name: &str, workers: impl IntoIterator<Item = &'a Worker>) -> Self {
        let mut stores: Vec<_> = workers.into_iter().flat_map(|worker| worker.stores::<S>(name)).collect();
        stores.sort_by_key(|(task, _)| *task);
        Self { stores }
    }

    /// The partitions that are here, with their tasks.
    #[must_use]
    pub fn partitions(&self) -> &[(TaskId, Rc<RefCell<S>>)] {
        &self.stores
    }
}

impl<K, V: Clone> Look<KeyValueStore<K, V>> {
    /// The value of a key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        for (_, store) in &self.stores {
            if let Some((value, _)) = store.borrow_mut().get(key)? {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }

    /// All entries with their timestamps, by task, then by the bytes of the key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> Result<Vec<(K, V, i64)>> {
        let mut all = Vec::new();
        for (_, store) in &self.stores {
            all.extend(store.borrow().all()?);
        }
        Ok(all)
    }
}

impl<K, V: Clone> Look<WindowStore<K, V>> {
    /// All entries: window start, key, value and timestamp; by task, then by start, then by the bytes of the key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> Result<Vec<(i64, K, V, i64)>> {
        let mut all = Vec::new();
        for (_, store) in &self.stores {
            let entries = store.borrow().all()?;
            all.extend(entries.into_iter().map(|one| (one.start, one.key, one.value, one.timestamp)));
        }
        Ok(all)
    }
}

impl<K, V: Clone> Look<SessionStore<K, V>> {
    /// All sessions with their keys, by task, then by the end of the session.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> Result<Vec<(K, Session<V>)>> {
        let mut all = Vec::new();
        for (_, store) in &self.stores {
            all.extend(store.borrow_mut().all()?);
        }
        Ok(all)
    }
}
