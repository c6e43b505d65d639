//! What a crash of the process leaves: whole batches, each with its offset, and at least what was persisted.
//!
//! A child writes numbered batches for two tasks by a script and dies; the next process looks. Each batch rewrites the same
//! keys with its number, adds a key of its own, and tells its number as the offset.

use headwater::state::{ByteStore, Change, Changes, KeyRange, META, StateBackend};
use headwater::topic::TaskId;

use crate::contract::{finish, scan};
use crate::place::{Place, open, told};

const TASKS: [TaskId; 2] = [TaskId { subtopology: 0, partition: 0 }, TaskId { subtopology: 1, partition: 7 }];
const SHARED_KEYS: usize = 50;
/// Keys of a batch so large that it becomes a file of its own.
const MANY_KEYS: usize = 40_000;

fn batch(number: usize, keys: usize) -> Changes {
    let value = format!("{number:0>80}").into_bytes();
    let mut changes = Changes::default();
    for key in 0..keys {
        changes.push(Change::Put(1, format!("{:0>8}", key * 7 % keys).as_bytes(), &value));
    }
    changes.push(Change::Put(2, format!("{number:0>8}").as_bytes(), b""));
    changes.push(Change::Put(META, b"offset", &number.to_be_bytes()));
    changes
}

/// The number of the last batch that is there, with nothing missing and nothing beyond it; 0 for none.
fn last_batch(store: &dyn ByteStore) -> usize {
    let offset = store.get(META, b"offset").unwrap();
    let number = offset.map_or(0, |bytes| usize::from_be_bytes(bytes.try_into().unwrap()));
    let shared = scan(store, 1, KeyRange::default(), usize::MAX);
    let whole = shared.len() == MANY_KEYS || shared.len() == SHARED_KEYS || number == 0 && shared.is_empty();
    assert!(whole, "{} entries at offset {number}", shared.len());
    let own = scan(store, 2, KeyRange::default(), usize::MAX);
    assert_eq!(own, (1..=number).map(|number| format!("{number:0>8}=")).collect::<Vec<_>>());
    let value = format!("={number:0>80}");
    let others =
        shared[..shared.len().min(SHARED_KEYS)].iter().filter(|entry| !entry.ends_with(&value)).count();
    assert_eq!(others, 0, "of another batch than {number}: {shared:?}");
    number
}

#[test]
fn child() {
    let Some((folder, script)) = told() else { return };
    let backend = open(&folder).unwrap();
    let stores = TASKS.map(|task| backend.open(task).unwrap());
    let mut number = 0;
    for word in script.split(' ') {
        let (call, times) = word.split_once(':').unwrap_or((word, "1"));
        for _ in 0..times.parse().unwrap() {
            number += usize::from(matches!(call, "apply" | "load" | "file" | "send"));
            match call {
                "begin" => backend.persist(false).unwrap(),
                "persist" => {
                    backend.persist(true).unwrap();
                    println!("persisted {number}");
                }
                "abort" => std::process::abort(),
                "end" => {}
                _ => {}
            }
            for store in &stores {
                match call {
                    "apply" => store.apply(&batch(number, SHARED_KEYS)).unwrap(),
                    "load" => store.load(&batch(number, SHARED_KEYS)).unwrap(),
                    "file" => {
                        store.load(&batch(number, MANY_KEYS)).unwrap();
                        // To look makes it write what it holds back.
                        store.get(META, b"offset").unwrap();
                    }
                    "send" => {
                        store.load(&batch(number, MANY_KEYS)).unwrap();
                        finish(store.as_ref()).unwrap();
                    }
                    "wipe" => {
                        store.wipe().unwrap();
                        number = 0;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Scripts, and how many batches are there afterwards, at least and at most.
const CASES: &[(&str, usize, usize)] = &[
    ("abort", 0, 0),
    ("apply:5 abort", 0, 5),
    ("apply:5 persist abort", 5, 5),
    ("apply:5 begin persist abort", 5, 5),
    ("apply:5 persist apply:5 abort", 5, 10),
    ("apply:5 begin apply:5 abort", 0, 10),
    ("apply:400 persist apply:400 abort", 400, 800),
    ("apply:5 end", 5, 5),
    ("load:5 abort", 0, 5),
    ("load:5 end", 0, 0),
    ("load:5 apply abort", 0, 6),
    ("load:5 apply persist abort", 6, 6),
    ("file:2 abort", 2, 2),
    ("file:2 apply:3 abort", 2, 5),
    ("send:2 abort", 2, 2),
    ("send apply:3 send abort", 5, 5),
    ("apply:3 file abort", 4, 4),
    ("apply:3 persist wipe abort", 0, 0),
    ("apply:3 persist wipe file:2 abort", 2, 2),
    ("file:3 wipe apply:2 abort", 0, 2),
];

#[test]
fn a_crash_leaves_whole_batches() {
    for (script, least, most) in CASES {
        let place = Place::new();
        let status = place.command(&[], "crash::child", script).output().unwrap().status;
        assert_eq!(status.success(), script.ends_with("end"), "{script}");
        let backend = place.open().unwrap();
        for task in TASKS {
            let last = last_batch(backend.open(task).unwrap().as_ref());
            assert!((*least..=*most).contains(&last), "{script}: {last} batches of task {task}");
        }
    }
}

/// At any moment, also while files are written and merged.
#[test]
fn a_process_that_is_killed_has_what_it_persisted() {
    for (times, writes) in [(1, "apply"), (3, "apply:3"), (9, "apply:40"), (4, "file"), (7, "apply:300")] {
        let place = Place::new();
        let script = vec![format!("{writes} persist begin"); 500].join(" ");
        let (mut child, lines) = place.start("crash::child", &script, "persisted", times);
        child.kill().unwrap();
        child.wait().unwrap();
        let persisted = lines.iter().rev().find_map(|line| line.split_once("persisted ")).unwrap().1;
        let backend = place.open().unwrap();
        for task in TASKS {
            let last = last_batch(backend.open(task).unwrap().as_ref());
            assert!(last >= persisted.parse().unwrap(), "{writes}: {last} of {persisted} for task {task}");
        }
    }
}
