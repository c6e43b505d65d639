//! What is in the stores of a case's worker.

use headwater::Windowed;
use headwater::state::{KeyValueStore, WindowStore};
use headwater::testkit::Testkit;
use headwater::topology::StoreKind;
use serde_json::{Map, Value as Json, json};

use super::Trouble;
use super::build::Built;
use super::value::{Cell, Key, Val};

/// The entries of a store, as a case writes them.
type Entries = Vec<Json>;

/// The contents of all key-value and window stores.
pub(super) fn contents(kit: &Testkit, built: &Built) -> Result<Json, Trouble> {
    let mut contents = Map::new();
    let mut sizes = built.window_sizes.iter();
    for store in &built.topology.graph().stores {
        let name = store.name.as_str();
        let entries = match store.kind {
            StoreKind::KeyValue => key_values(kit, name)?,
            StoreKind::Window(_) => windows(kit, name, *sizes.next().unwrap_or(&0))?,
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
fn key_values(kit: &Testkit, name: &str) -> Result<Option<Entries>, Trouble> {
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
        if let Some(entries) = read(kit, name)? {
            return Ok(Some(entries));
        }
    }
    Ok(None)
}

fn windows(kit: &Testkit, name: &str, size_ms: i64) -> Result<Option<Entries>, Trouble> {
    for read in
        [window_rows::<Val>, window_rows::<i64>, window_rows::<Option<Val>>, window_rows::<Option<i64>>]
    {
        if let Some(entries) = read(kit, name, size_ms)? {
            return Ok(Some(entries));
        }
    }
    Ok(None)
}

fn rows<K: Key, T: Cell>(kit: &Testkit, name: &str) -> Result<Option<Entries>, Trouble> {
    let store = kit.store::<KeyValueStore<K, T>>(name);
    if store.partitions().is_empty() {
        return Ok(None);
    }
    let entry = |(key, value, timestamp): (K, T, i64)| json!([key.json(), { "value": value.val().json(), "ts": timestamp }]);
    Ok(Some(store.all()?.into_iter().map(entry).collect()))
}

fn window_rows<T: Cell>(kit: &Testkit, name: &str, size_ms: i64) -> Result<Option<Entries>, Trouble> {
    let store = kit.store::<WindowStore<Val, T>>(name);
    if store.partitions().is_empty() {
        return Ok(None);
    }
    let entry = |(start, key, value, timestamp): (i64, Val, T, i64)| {
        let key = Windowed::new(key, start, start + size_ms);
        json!([key.json(), { "value": value.val().json(), "ts": timestamp }])
    };
    Ok(Some(store.all()?.into_iter().map(entry).collect()))
}
