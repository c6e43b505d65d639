//! The program as a process of its own, and folders and disks that it runs on.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder that is deleted with this.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("program-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path in it, as text.
    pub(crate) fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program, not started yet; the environment of the test says nothing of its log.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater-broker"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// A running broker; it is killed with this.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Process {
    /// Starts it at a free port; what it logs goes to a file.
    pub(crate) fn start(arguments: &[&str], rust_log: Option<&str>, log: &Path) -> Self {
        let mut command = program(arguments);
        rust_log.map(|level| command.env("RUST_LOG", level));
        let log = log.to_owned();
        let to = File::options().append(true).create(true).open(&log).unwrap();
        let command = command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(to);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().map(Result::unwrap).unwrap_or_default();
        let Some(address) = line.strip_prefix("bootstrap.servers=") else {
            let status = child.wait().unwrap();
            panic!("the broker does not start, {status}: {line} {}", fs::read_to_string(&log).unwrap());
        };
        Self { address: address.parse().unwrap(), child, lines, log }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        let number = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &number]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a child of a test finds its disk.
const DISK: &str = "HEADWATER_TEST_DISK";

/// In a child: its disk. `None` where the test runs as itself.
pub(crate) fn told() -> Option<PathBuf> {
    std::env::var_os(DISK).map(PathBuf::from)
}

fn mounted(disk: &Path, options: &str) -> Command {
    let mut command = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o {options} tmpfs \"${DISK}\" && exec \"$0\" \"$@\"");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]).env(DISK, disk);
    command
}

/// Runs a test of this program again with a disk in memory that only it sees; says so where that cannot be.
pub(crate) fn on_a_disk(options: &str, test: &str) {
    let folder = Folder::new();
    let tried = mounted(&folder.0, options).arg("true").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: this machine does not let programs mount a file system (`unshare --user --mount`)"
        );
        return;
    }
    let mut command = mounted(&folder.0, options);
    let output =
        command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).output();
    let output = output.unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "`{test}` is not there: {said}");
    println!("{said}");
}
