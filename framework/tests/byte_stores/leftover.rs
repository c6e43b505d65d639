//! A state folder whose application does not run: what is deleted, and what is left alone.

use std::fs;

use headwater::state::StateFolder;

use crate::place::Place;

/// What is said of the folder, which is not touched by that.
fn found(place: &Place) -> String {
    let list = || {
        let entries = fs::read_dir(place.folder()).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = list();
    let said = match StateFolder::find(place.path(), "app") {
        Ok(folder) => folder.map_or_else(|| "none".to_owned(), |folder| folder.path().display().to_string()),
        Err(error) => error.to_string(),
    };
    assert_eq!(list(), before);
    said.replace(&place.folder().display().to_string(), "FOLDER")
}

#[test]
fn a_folder_that_was_left_behind_is_deleted_with_all_that_is_in_it() {
    let place = Place::new();
    assert_eq!(found(&place), "none");
    fs::create_dir(place.folder()).unwrap();
    assert_eq!(found(&place), "none");

    let backend = place.open().unwrap();
    let in_use = format!(
        "the state folder `FOLDER` is in use by process {}; stop that process, then try again",
        std::process::id()
    );
    assert_eq!(found(&place), in_use);
    drop(backend);
    assert_eq!(found(&place), "FOLDER");
    // A database that was moved aside, and a deletion that was broken off.
    fs::rename(place.folder().join("db"), place.folder().join("db.corrupt")).unwrap();
    fs::write(place.folder().join("corrupt"), "why").unwrap();
    assert_eq!(found(&place), "FOLDER");

    let folder = StateFolder::find(place.path(), "app").unwrap().unwrap();
    assert!(place.open().unwrap_err().to_string().contains("is in use by process"));
    folder.delete().unwrap();
    assert!(!place.folder().exists());
    drop(folder);
    place.open().unwrap();
}

#[test]
fn a_folder_that_is_not_known_is_left_alone() {
    let left_alone = "it is left alone: look at it, and delete by hand what is not needed";
    let cases = [
        ("notes.txt", "", format!("the state folder `FOLDER` holds `notes.txt`, which is not Headwater's; {left_alone}")),
        (
            "identity",
            "format=1\napplication=other\nprocess=x\n",
            "the state folder `FOLDER` is that of application `other`, not of `app`; set `state.dir` to another folder, or \
             correct `application.id`"
                .to_owned(),
        ),
        (
            "identity",
            "format=2\napplication=app\nprocess=x\n",
            "the state folder `FOLDER` has format 2, not 1; it was written by another version: run that one, or set \
             `state.dir` to another folder"
                .to_owned(),
        ),
    ];
    for (file, text, expected) in cases {
        let place = Place::new();
        drop(place.open().unwrap());
        fs::write(place.folder().join(file), text).unwrap();
        assert_eq!(found(&place), expected);
    }
    // No identity: a database of somebody else's.
    let place = Place::new();
    drop(place.open().unwrap());
    fs::remove_file(place.folder().join("identity")).unwrap();
    assert_eq!(
        found(&place),
        format!("nothing in the folder `FOLDER` says that it is Headwater's; {left_alone}")
    );
}
