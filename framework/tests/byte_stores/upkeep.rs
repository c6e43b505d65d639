//! What is deleted when a task stays away, and what the figures say.

use headwater::state::{Change, Changes, KeyRange, StateBackend};
use headwater::topic::TaskId;

use crate::contract::{finish, scan};
use crate::place::{Place, many};

const DELAY_MS: i64 = 600_000;

fn task(partition: i32) -> TaskId {
    TaskId { subtopology: 0, partition }
}

fn put(backend: &dyn StateBackend, partition: i32) {
    backend.open(task(partition)).unwrap().apply(&many(20_000)).unwrap();
}

#[test]
fn the_data_of_a_task_that_stays_away_is_deleted() {
    let place = Place::new();
    let backend = place.open().unwrap();
    (0..4).for_each(|partition| put(&backend, partition));
    backend.persist(true).unwrap();
    let count =
        |partition| scan(backend.look_at(task(partition)).as_ref(), 1, KeyRange::default(), usize::MAX).len();
    let clean_up = |now_ms| backend.clean_up(now_ms, DELAY_MS).unwrap();

    let kept = backend.open(task(1)).unwrap();
    assert_eq!(clean_up(1_000), []);
    assert_eq!(clean_up(DELAY_MS + 999), []);
    // It came back in time, and went again.
    drop(backend.open(task(2)).unwrap());
    assert_eq!(clean_up(DELAY_MS + 1_000), [task(0), task(3)]);
    assert_eq!([0, 1, 2, 3].map(count), [0, 20_000, 20_000, 0]);
    assert_eq!(clean_up(DELAY_MS + 1_001), [], "once");
    // The data of one that begins anew is not taken for the old.
    put(&backend, 0);
    drop(kept);
    assert_eq!(clean_up(2 * DELAY_MS + 1_001), [task(2)]);
    assert_eq!([0, 1, 2, 3].map(count), [20_000, 20_000, 0, 0]);
    assert_eq!(clean_up(i64::MAX), [task(0), task(1)]);
}

/// Deleted data does not come back with a crash, not even in part.
#[test]
fn what_a_former_start_left_is_deleted_for_good() {
    let place = Place::new();
    (0..2).for_each(|partition| put(&place.open().unwrap(), partition));
    let backend = place.open().unwrap();
    let kept = backend.open(task(1)).unwrap();
    assert_eq!(backend.clean_up(5, DELAY_MS).unwrap(), []);
    assert_eq!(backend.clean_up(5 + DELAY_MS, DELAY_MS).unwrap(), [task(0)]);
    let crashed = place.as_after_a_crash();
    let after = crashed.open().unwrap();
    let count =
        |partition| scan(after.look_at(task(partition)).as_ref(), 1, KeyRange::default(), usize::MAX).len();
    assert_eq!([0, 1].map(count), [0, 20_000]);
    drop(kept);
}

#[test]
fn figures_say_what_is_taken() {
    let place = Place::new();
    let backend = place.open().unwrap();
    put(&backend, 0);
    let figures = backend.figures();
    assert!(figures.memtable_bytes > 2_000_000 && figures.disk_bytes == 0, "{figures:?}");
    assert!(figures.cache_bytes > 2_000_000, "memtables are charged to the cache: {figures:?}");
    backend.persist(true).unwrap();
    assert_eq!(scan(backend.look_at(task(0)).as_ref(), 1, KeyRange::default(), usize::MAX).len(), 20_000);
    let figures = backend.figures();
    assert!(figures.memtable_bytes < 2_000_000 && figures.disk_bytes > 100_000, "{figures:?}");
    assert_eq!(
        (figures.keys, figures.unmerged_files, figures.background_errors),
        (20_000, 1, 0),
        "{figures:?}"
    );
    assert_eq!(figures.budget_bytes, 32 << 20);
    assert_eq!(backend.memory_bytes(), 32 << 20);
    assert!(figures.cache_bytes < figures.budget_bytes, "{figures:?}");
}

/// What cannot be stored is lost, and what comes behind it would hide that.
#[test]
fn nothing_is_stored_behind_a_load_that_failed() {
    let place = Place::new();
    let backend = place.open().unwrap();
    let store = backend.open(task(0)).unwrap();
    let load = place.folder().join("load");
    std::fs::remove_dir_all(&load).unwrap();
    store.load(&many(40_000)).unwrap();
    let error = finish(store.as_ref()).expect_err("it has no folder to be written in");
    assert!(error.to_string().contains("cannot restore"), "{error}");
    std::fs::create_dir(&load).unwrap();
    let behind = Changes::from([Change::Put(2, b"offset", b"40001")]);
    let lost = "what a restore has brought could not be stored";
    for refused in [store.load(&behind), store.apply(&behind), store.get(2, b"offset").map(drop)] {
        assert!(refused.unwrap_err().to_string().contains(lost));
    }
    drop(store);
    let store = backend.open(task(0)).unwrap();
    assert_eq!(store.get(2, b"offset").unwrap(), None);
    assert_eq!(scan(store.as_ref(), 1, KeyRange::default(), 1), Vec::<String>::new());
}
