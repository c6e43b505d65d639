//! The state folder: whose it is, what is refused, and what happens to a database that is corrupt.

use std::fs;
use std::path::{Path, PathBuf};

use headwater::Error;
use headwater::error::Reaction;
use headwater::state::{KeyRange, RocksBackend, StateBackend};
use headwater::topic::TaskId;

use crate::contract::scan;
use crate::place::{Place, many, open, told};

const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };

/// The error of an attempt to open the folder, which has to be one for people.
fn refused(place: &Place) -> String {
    let error: Error = place.open().expect_err("it has to be refused");
    assert_eq!(error.reaction(), Reaction::Stop);
    error.to_string().replace(&place.folder().display().to_string(), "FOLDER")
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

fn put(backend: &RocksBackend, values: usize) {
    backend.open(TASK).unwrap().apply(&many(values)).unwrap();
    backend.persist(true).unwrap();
}

fn count(backend: &RocksBackend) -> usize {
    scan(backend.look_at(TASK).as_ref(), 1, KeyRange::default(), usize::MAX).len()
}

#[test]
fn the_process_keeps_its_name() {
    let place = Place::new();
    let name = |place: &Place| place.open().unwrap().process_name().unwrap().to_owned();
    let first = name(&place);
    assert_eq!(name(&place), first);
    let parts: Vec<_> = first.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{first}");
    assert_ne!(name(&Place::new()), first);
    assert_eq!(names(&place.folder()), ["db", "identity", "load", "lock"]);
}

#[test]
fn child() {
    let Some((folder, _)) = told() else { return };
    let _backend = open(&folder).unwrap();
    println!("open in {}", std::process::id());
    let _ = std::io::stdin().lines().next();
}

#[test]
fn a_folder_has_one_process() {
    let place = Place::new();
    let here = place.open().unwrap();
    let advice = "stop that process, or give each process of the application a `state.dir` of its own";
    let in_use = |id| format!("the state folder `FOLDER` is in use by process {id}; {advice}");
    assert_eq!(refused(&place), in_use(std::process::id()));
    // A store keeps the database open, and so the folder.
    let store = here.open(TASK).unwrap();
    drop(here);
    assert_eq!(refused(&place), in_use(std::process::id()));
    drop(store);

    let (mut child, _) = place.start("folder::child", "", "open in", 1);
    assert_eq!(refused(&place), in_use(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    place.open().unwrap();
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let identity =
        |text: &'static str| move |folder: &Path| fs::write(folder.join("identity"), text).unwrap();
    let cases: [(&str, Box<dyn Fn(&Path)>, &str); 6] = [
        (
            "a folder of somebody's",
            Box::new(|folder| fs::write(folder.join("notes.txt"), "mine").unwrap()),
            "the state folder `FOLDER` is not empty (there is `notes.txt`), and nothing in it says that it is \
             Headwater's; set `state.dir` to another folder, or empty this one if nothing in it is needed",
        ),
        (
            "Kafka Streams' folder",
            Box::new(|folder| fs::create_dir(folder.join("0_0")).unwrap()),
            "the state folder `FOLDER` is not empty (there is `0_0`), and nothing in it says that it is Headwater's; set \
             `state.dir` to another folder, or empty this one if nothing in it is needed",
        ),
        (
            "another application's",
            Box::new(identity("format=1\napplication=other\nprocess=p\n")),
            "the state folder `FOLDER` is that of application `other`, not of `app`; set `state.dir` to another folder, \
             or correct `application.id`",
        ),
        (
            "a newer format",
            Box::new(identity("format=2\napplication=app\nprocess=p\n")),
            "the state folder `FOLDER` has format 2, not 1; it was written by another version: run that one, or set \
             `state.dir` to another folder",
        ),
        (
            "a damaged identity",
            Box::new(identity("format=1\n")),
            "`FOLDER/identity` is damaged; delete that state folder: its state is rebuilt from the changelogs",
        ),
        (
            "a file in place of the folder",
            Box::new(|folder| {
                fs::remove_dir(folder).unwrap();
                fs::write(folder, "mine").unwrap();
            }),
            "cannot make the state folder `FOLDER`: File exists (os error 17)",
        ),
    ];
    for (what, prepare, message) in cases {
        let place = Place::new();
        fs::create_dir(place.folder()).unwrap();
        prepare(&place.folder());
        let before = place.folder().is_dir().then(|| names(&place.folder()));
        assert_eq!(refused(&place), message, "{what}");
        let after = place.folder().is_dir().then(|| names(&place.folder()));
        let without_lock =
            after.map(|names| names.into_iter().filter(|name| name != "lock").collect::<Vec<_>>());
        assert_eq!(without_lock, before, "{what}");
    }
}

#[test]
fn a_start_that_went_wrong_leaves_nothing_foreign() {
    let place = Place::new();
    fs::create_dir(place.folder()).unwrap();
    fs::write(place.folder().join("lock"), "1").unwrap();
    fs::write(place.folder().join("identity.new"), "form").unwrap();
    place.open().unwrap();
    assert_eq!(names(&place.folder()), ["db", "identity", "load", "lock"]);
}

fn files(place: &Place, kind: &str) -> Vec<PathBuf> {
    let database = place.folder().join("db");
    let mut files: Vec<_> = names(&database).iter().map(|name| database.join(name)).collect();
    files.retain(|path| path.display().to_string().contains(kind));
    assert!(!files.is_empty(), "no {kind}: {:?}", names(&database));
    files
}

fn overwrite(path: &Path, bytes: u8) {
    let len = fs::metadata(path).unwrap().len();
    fs::write(path, vec![bytes; usize::try_from(len).unwrap()]).unwrap();
}

#[test]
fn a_corrupt_database_is_moved_aside_and_begun_anew() {
    let cases: [(&str, fn(&Place)); 5] = [
        ("the manifest is overwritten", |place| overwrite(&files(place, "MANIFEST")[0], 7)),
        ("the manifest is gone", |place| fs::remove_file(&files(place, "MANIFEST")[0]).unwrap()),
        ("CURRENT is gone", |place| fs::remove_file(&files(place, "CURRENT")[0]).unwrap()),
        ("a table is gone", |place| fs::remove_file(&files(place, ".sst")[0]).unwrap()),
        ("a table is cut off", |place| fs::write(&files(place, ".sst")[0], "short").unwrap()),
    ];
    for (what, damage) in cases {
        let place = Place::new();
        put(&place.open().unwrap(), 1_000);
        fs::write(place.folder().join("notes.txt"), "mine").unwrap();
        damage(&place);
        let backend = place.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let store = backend.open(TASK).unwrap();
        assert!(store.is_lost(), "{what}");
        assert_eq!(count(&backend), 0, "{what}");
        put(&backend, 10);
        assert!(!backend.open(TASK).unwrap().is_lost(), "{what}: it has data of its own now");
        let other = TaskId { partition: 9, ..TASK };
        assert!(backend.open(other).unwrap().is_lost(), "{what}: it may have been there as well");
        drop((backend, store));
        let expected = ["db", "db.corrupt", "identity", "load", "lock", "notes.txt"];
        assert_eq!(names(&place.folder()), expected, "{what}");

        // The second time, which leaves one database aside. The next start trusts what it finds.
        fs::remove_file(&files(&place, "MANIFEST")[0]).unwrap();
        assert_eq!(count(&place.open().unwrap()), 0, "{what}");
        let backend = place.open().unwrap();
        assert!(!backend.open(TASK).unwrap().is_lost(), "{what}: that was the start before");
        assert_eq!(names(&place.folder()), expected, "{what}");
    }
}

/// Entries are checked as they are read. That this stops the process is on purpose: a rebuild is of the whole database.
#[test]
fn corruption_that_is_found_late_stops_the_process_and_the_next_start_rebuilds() {
    let place = Place::new();
    let reading = {
        let backend = place.open().unwrap();
        put(&backend, 100_000);
        let table =
            files(&place, ".sst").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        drop(backend);
        let mut bytes = fs::read(&table).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle..middle + 200].fill(b'#');
        fs::write(&table, bytes).unwrap();
        let backend = place.open().unwrap();
        let store = backend.open(TASK).unwrap();
        assert!(!store.is_lost());
        store.scan(1, KeyRange::default(), &mut |_, _| true).unwrap_err()
    };
    assert_eq!((reading.reaction(), reading.place().task), (Reaction::Stop, Some(TASK)));
    let text = reading.to_string();
    let hint = "start again: the database is moved aside then, and rebuilt from the changelogs";
    assert!(
        text.starts_with("cannot read the state in `") && text.contains("Corruption") && text.ends_with(hint),
        "{text}"
    );
    assert_eq!(names(&place.folder()), ["corrupt", "db", "identity", "load", "lock"]);
    let deleted = place.as_after_a_crash();
    fs::remove_dir_all(deleted.folder().join("db")).unwrap();
    assert!(deleted.open().unwrap().open(TASK).unwrap().is_lost());
    let backend = place.open().unwrap();
    assert!(backend.open(TASK).unwrap().is_lost());
    assert_eq!(count(&backend), 0);
    assert_eq!(names(&place.folder()), ["db", "db.corrupt", "identity", "load", "lock"]);
}
