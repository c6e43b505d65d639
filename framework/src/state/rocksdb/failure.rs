//! What a failure of the folder or of the database means, and what to do about it.
//!
//! No failure loses anything: what is not on disk is in the changelogs. So none but that of another owner is worth trying
//! again in place, and all others stop the process with a message that says what to do.

use std::path::Path;

use rocksdb::ErrorKind;

use crate::error::{Error, Reaction};

/// What the system says, and what to do about it. RocksDB hands on these texts, at times within "Corruption".
const SYSTEM: &[(&str, &str)] = &[
    (
        "No space left on device",
        "make room on that disk, or set `state.dir` to a larger one, then start again: nothing is lost",
    ),
    ("Disk quota exceeded", "raise the quota or make room, then start again: nothing is lost"),
    (
        "Too many open files",
        "raise the limit of open files of this process (`ulimit -n`, `LimitNOFILE` of systemd), then start again",
    ),
    ("Permission denied", "let the user of this process read and write there, or set `state.dir`"),
    ("Read-only file system", "set `state.dir` to a folder that can be written"),
    (
        "Input/output error",
        "the disk fails: set `state.dir` to another one; the changelogs have all that was there",
    ),
    ("Cannot allocate memory", "give the process more memory, or lower `memory.max`"),
    ("Not a directory", "set `state.dir` to a folder"),
    ("File too large", "raise the limit of file sizes of this process (`ulimit -f`), then start again"),
];

/// What to do about a failure of the system, if it is one.
fn advice(text: &str) -> Option<&'static str> {
    SYSTEM.iter().find(|(told, _)| text.contains(told)).map(|(_, advice)| *advice)
}

/// Something about the folder failed.
pub(super) fn of_folder(what: &str, path: &Path, error: std::io::Error) -> Error {
    let advice = advice(&error.to_string());
    let failed = Error::new(Reaction::Stop, format!("{what} `{}`", path.display())).because(error);
    advice.into_iter().fold(failed, Error::hint)
}

/// Something about the database failed.
pub(super) fn of_database(what: &str, path: &Path, error: rocksdb::Error) -> Error {
    let advice = if is_corruption(&error) {
        Some("start again: the database is moved aside then, and rebuilt from the changelogs")
    } else {
        advice(error.as_ref())
    };
    let message = format!("{what} the state in `{}`", path.display());
    let failed = Error::new(Reaction::Stop, message).because(error);
    advice.into_iter().fold(failed, Error::hint)
}

/// Whether the database holds what it did not write, and not only cannot be reached.
pub(super) fn is_corruption(error: &rocksdb::Error) -> bool {
    error.kind() == ErrorKind::Corruption && advice(error.as_ref()).is_none()
}

/// Whether a database that does not open never will.
pub(super) fn is_beyond_opening(error: &rocksdb::Error) -> bool {
    let gone = error.kind() == ErrorKind::IOError && error.as_ref().contains("No such file or directory");
    gone || is_corruption(error)
}
