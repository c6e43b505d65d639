//! What every byte store does: scripts, and what they print.
//!
//! A line is one call: `apply` and `load` with changes between semicolons, `get`, `scan` (up to the number of entries behind
//! `|`), `wipe`, `reopen`. `@1_2` in front names the task (else `0_1`); keys and values are words.

use std::collections::BTreeMap;
use std::rc::Rc;

use headwater::error::{Error, Reaction};
use headwater::state::{ByteStore, Change, Changes, KeyRange, MemoryBackend, Space, StateBackend};
use headwater::topic::TaskId;

const CASES: &[(&str, &str, &str)] = &[
    (
        "a batch is applied in order",
        "apply put 1 a 1; put 1 b 2; put 1 a 3; del 1 b; put 1 c 4
         scan 1",
        "a=3 c=4",
    ),
    (
        "ranges go from inclusive to exclusive",
        "apply put 1 a 1; put 1 b 2; put 1 bb 3; put 1 c 4
         scan 1 b..c
         scan 1 ..b
         scan 1 bb..
         scan 1 c..b
         scan 1 b..b
         scan 1 .. | 2",
        "b=2 bb=3/a=1/bb=3 c=4///a=1 b=2",
    ),
    (
        "spaces are apart",
        "apply put 0 a 0; put 1 a 1; put 2 a 2
         apply range 1 a..z; del 2 b
         scan 0
         scan 1
         scan 2
         scan 3",
        "a=0//a=2/",
    ),
    (
        "the last space has an end, too",
        "apply put 4294967295 a 1
         @0_2 apply put 0 a 2
         scan 4294967295
         @0_2 scan 0",
        "a=1/a=2",
    ),
    (
        "a range that is deleted is empty until something is written behind it",
        "apply put 1 a 1; put 1 b 2; put 1 c 3
         apply range 1 b..c; put 1 bb 4
         scan 1
         apply put 1 b 5; range 1 a..bb; range 1 z..a; range 1 c..c
         scan 1
         get 1 b",
        "a=1 bb=4 c=3/bb=4 c=3/-",
    ),
    (
        "tasks are apart, and a wipe is one task's",
        "apply put 1 a 1; put 0 m 1
         @0_2 apply put 1 a 2
         @1_1 apply put 1 a 3
         wipe
         scan 1
         scan 0
         @0_2 scan 1
         @1_1 scan 1
         apply put 1 b 4
         scan 1",
        "//a=2/a=3/b=4",
    ),
    (
        "what was applied is there when the task is opened again",
        "apply put 1 a 1
         reopen
         get 1 a
         @0_2 get 1 a",
        "1/-",
    ),
    ("nothing is a change, too", "apply\nload\nscan 1\nget 1 a\nwipe\nscan 1", "/-/"),
    ("keys and values may be empty", "apply put 1  ; put 1 b \nscan 1\nget 1 ", "= b=/"),
    (
        "what a restore brings is seen by every other call",
        "apply put 1 a 1; put 1 b 1
         load put 1 a 2; put 1 c 2
         get 1 a
         load del 1 b; put 1 c 3
         scan 1
         load put 1 d 4
         apply del 1 d; put 1 e 5
         scan 1
         load range 1 a..e
         scan 1
         load put 1 f 6
         wipe
         scan 1",
        "2/a=2 c=3/a=2 c=3 e=5/e=5/",
    ),
];

/// Runs `check` on a fresh backend of each kind.
pub(crate) fn on_each(check: impl Fn(&dyn StateBackend)) {
    check(&MemoryBackend::default());
    #[cfg(feature = "rocksdb")]
    {
        let place = crate::place::Place::new();
        check(&place.open().unwrap());
    }
}

fn words(text: &str) -> (Space, Vec<u8>, Vec<u8>) {
    let mut words = text.split(' ');
    let space = words.next().unwrap().parse().unwrap();
    let mut next = || words.next().unwrap_or_default().as_bytes().to_vec();
    (space, next(), next())
}

fn bounds(text: &str) -> (Vec<u8>, Option<Vec<u8>>) {
    let (from, to) = text.split_once("..").unwrap_or_default();
    (from.into(), (!to.is_empty()).then(|| to.into()))
}

fn changes(text: &str) -> Changes {
    let mut changes = Changes::default();
    for text in text.split(';').filter(|text| !text.trim().is_empty()) {
        match text.trim_start().split_once(' ').unwrap() {
            ("put", rest) => {
                let (space, key, value) = words(rest);
                changes.push(Change::Put(space, &key, &value));
            }
            ("del", rest) => {
                let (space, key, _) = words(rest);
                changes.push(Change::Delete(space, &key));
            }
            (_, rest) => {
                let (space, range) = rest.split_once(' ').unwrap();
                let (from, to) = bounds(range);
                changes.push(Change::DeleteRange(space.parse().unwrap(), &from, &to.unwrap()));
            }
        }
    }
    changes
}

/// The entries of a range as `key=value`.
pub(crate) fn scan(store: &dyn ByteStore, space: Space, range: KeyRange<'_>, most: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    store
        .scan(space, range, &mut |key, value| {
            seen.push(format!("{}={}", text(key), text(value)));
            seen.len() < most
        })
        .unwrap();
    seen
}

fn task(text: &str) -> TaskId {
    let (subtopology, partition) = text.split_once('_').unwrap();
    TaskId { subtopology: subtopology.parse().unwrap(), partition: partition.parse().unwrap() }
}

/// What the lines of a script print, between slashes.
fn play(backend: &dyn StateBackend, script: &str) -> String {
    let mut stores: BTreeMap<TaskId, Rc<dyn ByteStore>> = BTreeMap::new();
    let mut printed = Vec::new();
    for line in script.lines().map(str::trim_start) {
        let (id, line) = match line.strip_prefix('@') {
            Some(line) => line.split_once(' ').map(|(id, line)| (task(id), line)).unwrap(),
            None => (task("0_1"), line),
        };
        let store = Rc::clone(stores.entry(id).or_insert_with(|| backend.open(id).unwrap()));
        let (call, rest) = line.split_once(' ').unwrap_or((line, ""));
        match call {
            "apply" => store.apply(&changes(rest)).unwrap(),
            "load" => store.load(&changes(rest)).unwrap(),
            "wipe" => store.wipe().unwrap(),
            "reopen" => {
                drop((store, stores.remove(&id)));
            }
            "get" => {
                let (space, key, _) = words(rest);
                let value = store.get(space, &key).unwrap();
                printed.push(value.map_or("-".to_owned(), |value| String::from_utf8(value).unwrap()));
            }
            _ => {
                let (range, most) = rest.split_once(" | ").unwrap_or((rest, "1000"));
                let (space, range) = range.split_once(' ').unwrap_or((range, ".."));
                let (from, to) = bounds(range);
                let range = KeyRange { from: &from, to: to.as_deref() };
                let seen = scan(store.as_ref(), space.parse().unwrap(), range, most.parse().unwrap());
                printed.push(seen.join(" "));
            }
        }
    }
    printed.join("/")
}

#[test]
fn scripts_print_the_same_on_every_byte_store() {
    for (what, script, expected) in CASES {
        on_each(|backend| assert_eq!(play(backend, script), *expected, "{what}, on {backend:?}"));
    }
}

#[test]
fn a_task_belongs_to_whom_opened_it_last() {
    on_each(|backend| {
        let (old, new) = (backend.open(task("0_1")).unwrap(), backend.open(task("0_1")).unwrap());
        let put = |value: &str| changes(&format!("put 1 a {value}"));
        new.apply(&put("new")).unwrap();
        for refused in [old.apply(&put("old")), old.load(&put("old")), old.wipe()] {
            let error = refused.unwrap_err();
            assert_eq!((error.reaction(), error.place().task), (Reaction::Rejoin, Some(task("0_1"))));
        }
        assert_eq!(old.get(1, b"a").unwrap(), Some(b"new".to_vec()), "a look is allowed");
        drop(old);
        new.apply(&put("newer")).unwrap();
        assert_eq!(new.get(1, b"a").unwrap(), Some(b"newer".to_vec()));
        drop(new);
        backend.persist(true).unwrap();
        assert_eq!(backend.open(task("0_1")).unwrap().get(1, b"a").unwrap(), Some(b"newer".to_vec()));
    });
}

/// Waits until everything that was loaded is where it belongs.
pub(crate) fn finish(store: &dyn ByteStore) -> Result<(), Error> {
    while !store.finish_load()? {
        std::thread::yield_now();
    }
    Ok(())
}

/// What a restore has brought may still be on its way when another worker takes the task.
#[test]
fn what_is_on_its_way_does_not_come_in_behind_the_back_of_a_new_owner() {
    on_each(|backend| {
        let old = backend.open(task("0_1")).unwrap();
        let mut loaded = changes("put 1 a old");
        for number in 0..100_000 {
            loaded.push(Change::Put(1, format!("key {number}").as_bytes(), &[7; 90]));
        }
        old.load(&loaded).unwrap();
        let new = backend.open(task("0_1")).unwrap();
        new.apply(&changes("put 1 a new")).unwrap();
        if let Err(error) = finish(old.as_ref()) {
            assert_eq!((error.reaction(), error.place().task), (Reaction::Rejoin, Some(task("0_1"))));
        }
        drop(old);
        assert_eq!(new.get(1, b"a").unwrap(), Some(b"new".to_vec()), "{backend:?}");
    });
}

/// As much as comes with a restore: several files, overlapping, with deletions, over data that is there already.
#[test]
fn large_loads_are_as_their_changes_one_by_one() {
    on_each(|backend| {
        let store = backend.open(task("0_1")).unwrap();
        let (mut model, mut state) = (BTreeMap::new(), 1_u64);
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for round in 0..60_u32 {
            let mut changes = Changes::default();
            for _ in 0..2_000 {
                let key = format!("key {}", random(30_000)).into_bytes();
                if random(4) == 0 {
                    changes.push(Change::Delete(1, &key));
                    model.remove(&key);
                } else {
                    let value = format!("{round:03} {:0>90}", random(1_000_000));
                    changes.push(Change::Put(1, &key, value.as_bytes()));
                    model.insert(key, value);
                }
            }
            // Some rounds come as flushes do, some are looked at in between.
            if round % 20 == 7 {
                store.apply(&changes).unwrap()
            } else {
                store.load(&changes).unwrap()
            }
            if round % 20 == 13 {
                assert_eq!(store.get(1, b"none").unwrap(), None);
            }
            if round % 20 == 17 {
                finish(store.as_ref()).unwrap();
                assert!(store.has_room().unwrap());
            }
        }
        let text = |(key, value): (&Vec<u8>, &String)| format!("{}={value}", String::from_utf8_lossy(key));
        let expected: Vec<_> = model.iter().map(text).collect();
        assert_eq!(scan(store.as_ref(), 1, KeyRange::default(), usize::MAX), expected, "{backend:?}");
        store.wipe().unwrap();
        assert_eq!(scan(store.as_ref(), 1, KeyRange::default(), 1), Vec::<String>::new());
    });
}
