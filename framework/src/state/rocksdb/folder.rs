//! The state folder of one process: `<state.dir>/<application.id>/`.
//!
//! | name         | what it is                                                                           |
//! |--------------|--------------------------------------------------------------------------------------|
//! | `lock`       | locked by the process that works here; holds the number of the last one that did     |
//! | `identity`   | format, application, and the name of the process, which is made once                 |
//! | `db`         | the database                                                                         |
//! | `load`       | files on their way into the database; emptied at each start                          |
//! | `corrupt`    | why the database has to be given up; written when that is found out                  |
//! | `db.corrupt` | the last database that was given up: moved here, for people to look at or to delete  |
//!
//! Nothing is written to, or deleted from, a folder that is not known as ours: one that is not empty and has no identity,
//! or that of another application or of a newer format, is refused.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::failure::of_folder;
use crate::error::{Error, Reaction, Result};

/// Version of the layout of folder and keys.
const FORMAT: &str = "1";

/// A state folder that is ours alone until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    process: String,
    _lock: Lock,
}

impl Folder {
    /// Takes the folder of `application` below `state_dir`; makes it where it does not exist.
    pub(super) fn open(state_dir: &Path, application: &str) -> Result<Self> {
        let path = state_dir.join(application);
        make(&path).map_err(|error| of_folder("cannot make the state folder", &path, error))?;
        refuse_foreign(&path)?;
        let lock = lock(&path)?;
        let process = match read_identity(&path, application)? {
            Some(process) => process,
            None => write_identity(&path, application)?,
        };
        Ok(Self { path, process, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the process, the same at every start from this folder.
    pub(super) fn process(&self) -> &str {
        &self.process
    }

    /// Where the database is.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    /// An empty folder for files on their way into the database.
    pub(super) fn empty_load(&self) -> Result<PathBuf> {
        let path = self.path.join("load");
        let emptied = if_there(fs::remove_dir_all(&path)).and_then(|()| make(&path));
        emptied.map_err(|error| of_folder("cannot empty", &path, error))?;
        Ok(path)
    }

    /// Notes that the database has to be given up with the next start. That this works is no condition for anything: a
    /// database that is corrupt is found out again.
    pub(super) fn condemn(&self, why: &str) {
        if let Err(error) = fs::write(self.path.join("corrupt"), why) {
            tracing::warn!(folder = %self.path.display(), %error, "cannot note that the database is corrupt");
        }
    }

    /// Why the database has to be given up, if so.
    pub(super) fn condemned(&self) -> Option<String> {
        fs::read_to_string(self.path.join("corrupt")).ok()
    }

    /// Moves the database aside, in place of one that was moved there before.
    pub(super) fn set_aside(&self, why: &str) -> Result<()> {
        let aside = self.path.join("db.corrupt");
        // Somebody may have deleted it already.
        if self.database().exists() {
            let moved =
                if_there(fs::remove_dir_all(&aside)).and_then(|()| fs::rename(self.database(), &aside));
            moved.map_err(|error| of_folder("cannot move the corrupt database to", &aside, error))?;
        }
        if_there(fs::remove_file(self.path.join("corrupt")))
            .map_err(|error| of_folder("cannot write to the state folder", &self.path, error))?;
        tracing::error!(
            why,
            aside = %aside.display(),
            "the database is corrupt: it is moved aside, and all state of this process is rebuilt from the changelogs; \
             delete what was moved aside when you need it no more"
        );
        Ok(())
    }
}

/// Makes a folder with those above it; only the owner and the group may look into it, as with Kafka Streams.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.create(path)
}

/// What was done to something that need not be there.
pub(super) fn if_there(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// A folder that was there before us must not be touched. All that a start that went wrong may leave are these two files.
fn refuse_foreign(path: &Path) -> Result<()> {
    let unreadable = |error| of_folder("cannot read the state folder", path, error);
    let mut foreign = None;
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        match name.to_str() {
            Some("identity") => return Ok(()),
            Some("lock" | "identity.new") => {}
            _ => foreign = Some(name),
        }
    }
    let Some(name) = foreign else { return Ok(()) };
    let message = format!(
        "the state folder `{}` is not empty (there is `{}`), and nothing in it says that it is Headwater's",
        path.display(),
        name.display()
    );
    Err(Error::new(Reaction::Stop, message)
        .hint("set `state.dir` to another folder, or empty this one if nothing in it is needed"))
}

/// The lock of a folder. The system takes it back when the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// To close it alone would leave it locked while another thread starts a program: until that runs it has all files open
    /// that we have.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "a state folder is unlocked when its lock is closed");
        }
    }
}

fn lock(path: &Path) -> Result<Lock> {
    let unwritable = |error| of_folder("cannot write to the state folder", path, error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path.join("lock")).map_err(unwritable)?;
    let mut lock = take(file, path)?.map_err(|in_use| {
        in_use.hint("stop that process, or give each process of the application a `state.dir` of its own")
    })?;
    let noted = lock.0.set_len(0).and_then(|()| writeln!(lock.0, "{}", std::process::id()));
    noted.map_err(unwritable)?;
    Ok(lock)
}

/// Takes the lock; the inner error says who has it.
pub(super) fn take(mut file: File, path: &Path) -> Result<Result<Lock>> {
    match file.try_lock() {
        Ok(()) => Ok(Ok(Lock(file))),
        Err(fs::TryLockError::Error(error)) => {
            Err(of_folder("cannot write to the state folder", path, error))
        }
        Err(fs::TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Who holds it is good to know, and no more.
            let _ = file.read_to_string(&mut owner);
            let owner = owner.trim();
            let owner =
                if owner.is_empty() { "another process".to_owned() } else { format!("process {owner}") };
            let message = format!("the state folder `{}` is in use by {owner}", path.display());
            Ok(Err(Error::new(Reaction::Stop, message)))
        }
    }
}

/// The process's name, if the folder has one.
pub(super) fn read_identity(path: &Path, application: &str) -> Result<Option<String>> {
    let file = path.join("identity");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(of_folder("cannot read", &file, error)),
    };
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let refuse = |message: String, hint: &str| Err(Error::new(Reaction::Stop, message).hint(hint));
    let (Some(format), Some(owner), Some(process)) =
        (value("format"), value("application"), value("process"))
    else {
        let message = format!("`{}` is damaged", file.display());
        return refuse(message, "delete that state folder: its state is rebuilt from the changelogs");
    };
    if format != FORMAT {
        let message = format!("the state folder `{}` has format {format}, not {FORMAT}", path.display());
        return refuse(
            message,
            "it was written by another version: run that one, or set `state.dir` to another folder",
        );
    }
    if owner != application {
        let message = format!(
            "the state folder `{}` is that of application `{owner}`, not of `{application}`",
            path.display()
        );
        return refuse(message, "set `state.dir` to another folder, or correct `application.id`");
    }
    Ok(Some(process.to_owned()))
}

fn write_identity(path: &Path, application: &str) -> Result<String> {
    let process = random_name();
    let text = format!(
        "# The state of one process of a Headwater application. Delete the whole folder to start anew; two processes must\n\
         # not run from copies of it at the same time.\nformat={FORMAT}\napplication={application}\nprocess={process}\n"
    );
    let (new, file) = (path.join("identity.new"), path.join("identity"));
    // As a whole or not at all, whenever the machine stops.
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &file));
    written.map_err(|error| of_folder("cannot write", &file, error))?;
    Ok(process)
}

/// A random UUID. The standard library seeds its hashes from the system's randomness.
fn random_name() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    let (high, low) = (random() & !0xf000 | 0x4000, random() >> 2 | 1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a program that is being started has, which another thread starts.
    #[test]
    #[expect(clippy::used_underscore_binding, reason = "it is held, and only here looked at")]
    fn a_folder_that_was_given_back_is_free_whoever_has_its_files_open() {
        let state_dir = std::env::temp_dir().join(format!("headwater-folder-{}", std::process::id()));
        let folder = Folder::open(&state_dir, "app").unwrap();
        let _elsewhere = folder._lock.0.try_clone().unwrap();
        assert!(Folder::open(&state_dir, "app").is_err(), "it is ours");
        drop(folder);
        drop(Folder::open(&state_dir, "app").unwrap());
        fs::remove_dir_all(&state_dir).unwrap();
    }
}
