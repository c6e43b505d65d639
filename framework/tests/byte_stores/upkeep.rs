//! What is deleted when a task stays away, and what the figures say.

use headwater::state::{KeyRange, StateBackend};
use headwater::topic::TaskId;

use crate::contract::scan;
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
