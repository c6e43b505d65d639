//! Leftover: the state folder of an application that does not run, to be deleted as a whole.
//!
//! 1. A folder is known by its identity file, which has to name the application. Whatever else is found there than what
//!    [`folder`](super::folder) lists makes it one that is left alone.
//! 2. It is locked from when it is found on, so that no process starts in it meanwhile. Finding writes nothing.
//! 3. The identity goes last but one: a deletion that was broken off can be begun again.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::failure::of_folder;
use super::folder::{Lock, if_there, read_identity, take};
use crate::error::{Error, Reaction, Result};

/// What a state folder holds, in the order in which it is deleted.
const FOLDERS: [&str; 3] = ["db", "load", "db.corrupt"];
const FILES: [&str; 4] = ["corrupt", "identity.new", "identity", "lock"];

/// The state folder of an application that does not run, locked until this is dropped.
///
/// ```
/// use headwater::state::{RocksBackend, RocksOptions, StateFolder};
///
/// let state_dir = std::env::temp_dir().join(format!("headwater-leftover-{}", std::process::id()));
/// let options = RocksOptions { state_dir: state_dir.clone(), application: "orders".to_owned(), memory_bytes: 8 << 20 };
/// let backend = RocksBackend::open_folder(&options)?;
/// assert!(StateFolder::find(&state_dir, "orders").unwrap_err().to_string().contains("is in use by process"));
/// drop(backend);
///
/// let folder = StateFolder::find(&state_dir, "orders")?.expect("it was left behind");
/// folder.delete()?;
/// assert!(StateFolder::find(&state_dir, "orders")?.is_none());
/// # std::fs::remove_dir_all(state_dir).unwrap();
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// A folder without this file is nobody's at the moment.
    _lock: Option<Lock>,
}

impl StateFolder {
    /// Finds the folder of `application` below `state_dir`; `None` where there is none, or an empty one.
    ///
    /// # Errors
    /// If it is in use, is not known as this application's, or holds something that is not Headwater's.
    pub fn find(state_dir: &Path, application: &str) -> Result<Option<Self>> {
        let path = state_dir.join(application);
        let unreadable = |error| of_folder("cannot read the state folder", &path, error);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(unreadable)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(unreadable)?.file_name());
        }
        if names.is_empty() {
            return Ok(None);
        }
        let known = |name: &str| FOLDERS.contains(&name) || FILES.contains(&name);
        if let Some(foreign) = names.iter().find(|name| !name.to_str().is_some_and(known)) {
            let message = format!(
                "the state folder `{}` holds `{}`, which is not Headwater's",
                path.display(),
                foreign.display()
            );
            return Err(left_alone(message));
        }
        if read_identity(&path, application)?.is_none() {
            let message = format!("nothing in the folder `{}` says that it is Headwater's", path.display());
            return Err(left_alone(message));
        }
        let lock = match OpenOptions::new().read(true).write(true).open(path.join("lock")) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            file => {
                let taken = take(file.map_err(unreadable)?, &path)?;
                Some(taken.map_err(|in_use| in_use.hint("stop that process, then try again"))?)
            }
        };
        Ok(Some(Self { path, _lock: lock }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes it with all that it holds.
    ///
    /// # Errors
    /// As the system says. What is deleted by then stays deleted, and the rest can be found again.
    pub fn delete(&self) -> Result<()> {
        let undeleted = |path: &Path, error| of_folder("cannot delete", path, error);
        for name in FOLDERS {
            let path = self.path.join(name);
            if_there(fs::remove_dir_all(&path)).map_err(|error| undeleted(&path, error))?;
        }
        for name in FILES {
            let path = self.path.join(name);
            if_there(fs::remove_file(&path)).map_err(|error| undeleted(&path, error))?;
        }
        if_there(fs::remove_dir(&self.path)).map_err(|error| undeleted(&self.path, error))
    }
}

fn left_alone(message: String) -> Error {
    Error::new(Reaction::Stop, message)
        .hint("it is left alone: look at it, and delete by hand what is not needed")
}
