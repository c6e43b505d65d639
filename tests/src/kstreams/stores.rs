//! What is in the stores of a case's worker.

use headwater::Windowed;
use headwater::state::{KeyValueStore, WindowEntry, WindowStore};
use headwater::topology::StoreKind;
use headwater::worker::Worker;
use serde_json::{Map, Value as Json, json};

use super::Trouble;
use super::build::Built;
use super::value::{Cell, Key, Val};

/// The entries of a store, as a case writes them.
type Entries = Vec<Json>;

/// The contents of all key-value and window stores.
pub(super) fn contents(worker: &Worker, built: &Built) -> Result<Json, Trouble> {
    let mut contents = Map::new();
    let mut sizes = built.window_sizes.iter();
    for store in &built.topology.graph().stores {
        let name = store.name.as_str();
        let entries = match store.kind {
            StoreKind::KeyValue => key_values(worker, name)?,
            StoreKind::Window(_) => windows(worker, name, *sizes.next().unwrap_or(&0))?,
            // Sessions were not recorded.
            _ => None,
        };
        if let Some(entries) = entries {
            contents.insert(name.to_owned(), Json::Array(entries));
        }
    }
    Ok(Json::Object(contents))
}

/// A store has one of the types that pipelines can reach; the others find nothing.
fn key_values(worker: &Worker, name: &str) -> Result<Option<Entries>, Trouble> {
    for read in [
        rows::<Val, Val>,
        rows::<Val, i64>,
        rows::<Val, Option<Val>>,
        rows::<Val, Option<i64>>,
        rows::<Windowed<Val>, Val>,
        rows::<Windowed<Val>, i64>,
        rows::<Windowed<Val>, Option<Val>>,
        rows::<Windowed<Val>, Option<i64>>,
    ] {
        if let Some(entries) = read(worker, name)? {
            return Ok(Some(entries));
        }
    }
    Ok(None)
}

fn windows(worker: &Worker, name: &str, size_ms: i64) -> Result<Option<Entries>, Trouble> {
    for read in
        [window_rows::<Val>, window_rows::<i64>, window_rows::<Option<Val>>, window_rows::<Option<i64>>]
    {
        if let Some(entries) = read(worker, name, size_ms)? {
            return Ok(Some(entries));
        }
    }
    Ok(None)
}

fn rows<K: Key, T: Cell>(worker: &Worker, name: &str) -> Result<Option<Entries>, Trouble> {
    let stores = worker.stores::<KeyValueStore<K, T>>(name);
    let Some((_, store)) = stores.first() else { return Ok(None) };
    let entries = store.borrow().all()?;
    let entry = |(key, value, timestamp): (K, T, i64)| json!([key.json(), { "value": value.val().json(), "ts": timestamp }]);
    Ok(Some(entries.into_iter().map(entry).collect()))
}

fn window_rows<T: Cell>(worker: &Worker, name: &str, size_ms: i64) -> Result<Option<Entries>, Trouble> {
    let stores = worker.stores::<WindowStore<Val, T>>(name);
    let Some((_, store)) = stores.first() else { return Ok(None) };
    let entries = store.borrow().all()?;
    let entry = |entry: WindowEntry<Val, T>| {
        let key = Windowed::new(entry.key, entry.start, entry.start + size_ms);
        json!([key.json(), { "value": entry.value.val().json(), "ts": entry.timestamp }])
    };
    Ok(Some(entries.into_iter().map(entry).collect()))
}
