//! A state folder of a test's own, and children that work in it: this program again, told by its environment.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use headwater::Error;
use headwater::state::{Changes, RocksBackend, RocksOptions};

const FOLDER: &str = "HEADWATER_TEST_FOLDER";
const SCRIPT: &str = "HEADWATER_TEST_SCRIPT";

/// A folder that is deleted with this.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// `state.dir`.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of the application.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.join("app")
    }

    pub(crate) fn open(&self) -> Result<RocksBackend, Error> {
        open(&self.0)
    }

    /// A copy of what is on disk now: what a process that starts after a crash would find.
    pub(crate) fn as_after_a_crash(&self) -> Self {
        let copy = Self::new();
        copy_folder(&self.folder(), &copy.folder());
        copy
    }

    /// This program again, to run the test `name` only, which has to begin with [`told`]; `wrap` stands in front.
    pub(crate) fn command(&self, wrap: &[&str], name: &str, script: &str) -> Command {
        let program = std::env::current_exe().unwrap();
        let mut words: Vec<_> = wrap.iter().map(std::ffi::OsString::from).collect();
        words.extend([program.into_os_string(), name.into(), "--exact".into(), "--nocapture".into()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env(FOLDER, &self.0).env(SCRIPT, script);
        command
    }

    /// Runs a child to its end, which has to be a good one. Returns what it printed.
    pub(crate) fn run(&self, wrap: &[&str], name: &str, script: &str) -> String {
        let output = self.command(wrap, name, script).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "`{name}` is not there: {said}");
        said
    }

    /// Starts a child, and waits until it has printed `line` so many times.
    pub(crate) fn start(&self, name: &str, script: &str, line: &str, times: usize) -> (Child, Vec<String>) {
        let mut child = self.command(&[], name, script).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut seen = Vec::new();
        let mut left = times;
        for said in lines {
            left -= usize::from(said.contains(line));
            seen.push(said);
            if left == 0 {
                return (child, seen);
            }
        }
        let status = child.wait().unwrap();
        panic!("the child has ended early, {status}: {seen:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// In front of a command: a file system in memory of this size at `FOLDER`, which only the command sees.
pub(crate) fn with_disk(size: &str) -> Vec<String> {
    let mount =
        format!("mount -t tmpfs -o size={size} tmpfs \"$HEADWATER_TEST_FOLDER\" && exec \"$0\" \"$@\"");
    ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount].map(str::to_owned).into()
}

/// Whether this machine lets programs mount such a file system; says so where it does not.
pub(crate) fn can_mount(place: &Place) -> bool {
    let wrap = with_disk("1m");
    let tried = Command::new(&wrap[0]).args(&wrap[1..]).arg("true").env(FOLDER, place.path()).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        println!(
            "skipped: this machine does not let programs mount a file system (`unshare --user --mount`)"
        );
    }
    can
}

/// In a child: its folder, and what it shall do. `None` where the program runs as itself.
pub(crate) fn told() -> Option<(PathBuf, String)> {
    Some((std::env::var_os(FOLDER)?.into(), std::env::var(SCRIPT).ok()?))
}

pub(crate) fn open(state_dir: &Path) -> Result<RocksBackend, Error> {
    let application = "app".to_owned();
    RocksBackend::open_folder(&RocksOptions {
        state_dir: state_dir.to_owned(),
        application,
        memory_bytes: 32 << 20,
    })
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else if let Err(error) = std::fs::copy(entry.path(), to) {
            // Deleted meanwhile: nobody needs it.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// Changes that write so many values of 90 bytes.
pub(crate) fn many(values: usize) -> Changes {
    let mut changes = Changes::default();
    for number in 0..values {
        changes.put(1, [format!("{number:0>6}").as_bytes()], [&[b'v'; 90]]);
    }
    changes
}
