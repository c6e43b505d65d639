//! What the system refuses: a full disk, one that cannot be written, too many open files. Each in a child of its own, with
//! a file system or a limit of its own; nothing is lost by any of them.

use std::fs;
use std::process::Command;

use headwater::Error;
use headwater::error::Reaction;
use headwater::state::{Change, KeyRange, META, StateBackend};
use headwater::topic::TaskId;

use crate::contract::scan;
use crate::place::{Place, can_mount, open, told, with_disk};

const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };

fn run(place: &Place, wrap: &[String], name: &str) {
    place.run(&wrap.iter().map(String::as_str).collect::<Vec<_>>(), name, "go");
}

/// Writes numbered batches of 64 KiB until that fails; the number of the last one that was persisted.
fn write_until_it_fails(backend: &impl StateBackend) -> (usize, Error) {
    let store = backend.open(TASK).unwrap();
    for number in 1..10_000_usize {
        let key = format!("{number:0>6}");
        // What cannot be made smaller: every byte from a counter that runs on.
        let mut state = number as u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let value: Vec<_> = (0..64 << 10).map(|_| random()).collect();
        let offset = number.to_string();
        let changes =
            [Change::Put(1, key.as_bytes(), &value), Change::Put(META, b"offset", offset.as_bytes())];
        let written = store.apply(&changes.into()).and_then(|()| backend.persist(true));
        if let Err(error) = written {
            return (number - 1, error);
        }
    }
    panic!("it never failed");
}

fn check_whole(backend: &impl StateBackend, persisted: usize) {
    let store = backend.open(TASK).unwrap();
    let mut values = 0;
    store
        .scan(1, KeyRange::default(), &mut |_, value| {
            values += usize::from(value.len() == 64 << 10);
            true
        })
        .unwrap();
    let offset = scan(store.as_ref(), META, KeyRange::default(), 9);
    let expected = (values > 0).then(|| format!("offset={values}"));
    assert_eq!(offset, Vec::from_iter(expected));
    assert!(values >= persisted, "{values} of {persisted}");
}

fn check_said(error: &Error, told: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.reaction(), Reaction::Stop, "{text}");
    for told in told {
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn full_disk_child() {
    let Some((folder, _)) = told() else { return };
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![0; 4 << 20]).unwrap();
    let (persisted, error) = write_until_it_fails(&open(&folder).unwrap());
    assert!(persisted > 10, "{persisted}");
    let app = folder.join("app").display().to_string();
    check_said(
        &error,
        &["cannot write the state in", &app, "No space left on device", "make room on that disk"],
    );
    // Still full: also to open it says what is wrong, and gives nothing up.
    if let Err(error) = open(&folder) {
        check_said(&error, &["No space left on device"]);
    }
    assert!(!folder.join("app/db.corrupt").exists());
    fs::remove_file(&ballast).unwrap();
    check_whole(&open(&folder).unwrap(), persisted);
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    if can_mount(&place) {
        run(&place, &with_disk("16m"), "system::full_disk_child");
    }
}

#[test]
fn read_only_child() {
    let Some((folder, _)) = told() else { return };
    let remount = |mode: &str| {
        let options = format!("remount,{mode}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&folder).status().unwrap().success());
    };
    remount("ro");
    let app = folder.join("app").display().to_string();
    let read_only = "Read-only file system (os error 30); set `state.dir` to a folder that can be written";
    check_said(&open(&folder).unwrap_err(), &["cannot make the state folder", &app, read_only]);
    remount("rw");
    drop(open(&folder).unwrap());
    remount("ro");
    check_said(&open(&folder).unwrap_err(), &["cannot write to the state folder", &app, read_only]);
    assert!(!folder.join("app/db.corrupt").exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let place = Place::new();
    if can_mount(&place) {
        run(&place, &with_disk("16m"), "system::read_only_child");
    }
}

/// In front of a command: so many files may be open.
fn with_files(limit: u32) -> Vec<String> {
    ["sh", "-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")].map(str::to_owned).into()
}

#[test]
fn few_files_child() {
    let Some((folder, _)) = told() else { return };
    let app = folder.join("app").display().to_string();
    let least = "raise the limit to 128 at least";
    check_said(&open(&folder).unwrap_err(), &["this process may open 100 files", &app, least, "ulimit -n"]);
}

#[test]
fn no_files_child() {
    let Some((folder, _)) = told() else { return };
    let backend = open(&folder).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).take(1_000).collect();
    assert!(taken.len() < 300, "the limit is {}", taken.len());
    let (_, error) = write_until_it_fails(&backend);
    check_said(
        &error,
        &["cannot write the state in", "Too many open files", "raise the limit of open files"],
    );
    // No name of a file can be looked up to open the folder, either.
    let elsewhere = folder.join("elsewhere");
    check_said(&open(&elsewhere).unwrap_err(), &["Too many open files", "raise the limit of open files"]);
    drop((backend, taken));
    check_whole(&open(&folder).unwrap(), 0);
    assert!(!folder.join("app/db.corrupt").exists());
}

#[test]
fn too_few_open_files_are_told() {
    run(&Place::new(), &with_files(100), "system::few_files_child");
    run(&Place::new(), &with_files(300), "system::no_files_child");
}
