//! The broker as a process of its own: started in a folder, killed at an answer, started again.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::random::Random;

/// Segments roll by size and by time, indexes are dense, and the cleaner never rests.
const CONFIG: &str = "log.segment.bytes=6000\nlog.roll.ms=300\nlog.index.interval.bytes=2000\n\
    log.cleaner.backoff.ms=5\nlog.cleaner.min.cleanable.ratio=0.01\nlog.retention.ms=-1\n\
    auto.create.topics.enable=false\n";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
}

/// A folder of the broker's; it stays where the test fails, to be looked at.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // What a killed process wrote the kernel has: the disk below makes no difference.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = place.join(format!("headwater-kill-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("server.properties"), CONFIG).unwrap();
        Self(path)
    }

    fn log(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// Leaves what a write leaves that the kill has cut in two, at the end of the journal and of the active
    /// segments. The kernel itself does so only with writes of several pages, and rarely.
    pub fn tear(&self, random: &mut Random) {
        for folder in list(&self.0.join("data")).iter().filter(|path| path.is_dir()) {
            let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
            let Some(path) = list(folder).into_iter().rfind(is_log) else { continue };
            let bytes = fs::read(&path).unwrap();
            // The start of what stands there already is the start of what could be written next.
            let torn = &bytes[..random.below(bytes.len().min(300) + 1)];
            let whole = if folder.ends_with("meta") { framed(torn) } else { batch_len(torn) };
            if whole.is_none_or(|whole| whole > torn.len()) {
                OpenOptions::new().append(true).open(&path).unwrap().write_all(torn).unwrap();
            }
        }
    }
}

fn batch_len(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(bytes.get(8..12)?.try_into().unwrap());
    Some(usize::try_from(length).unwrap() + 12)
}

fn framed(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(bytes.get(0..4)?.try_into().unwrap());
    Some(usize::try_from(length).unwrap() + 8)
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker's folder stays: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A running broker, and how many more answers it may give.
pub struct Process {
    pub address: SocketAddr,
    child: Mutex<Child>,
    left: AtomicI64,
    end: Mutex<End>,
}

impl Process {
    pub fn start(folder: &Folder) -> Result<Self, String> {
        let log = File::options().append(true).create(true).open(folder.log()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_headwater-broker"))
            .args(["--listen", "127.0.0.1:0", "--dir"])
            .arg(folder.0.join("data"))
            .arg("--config")
            .arg(folder.0.join("server.properties"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("bootstrap.servers=") else {
            let _ = child.wait();
            return Err(format!("the broker does not start: {}", said(folder)));
        };
        let address = address.parse().unwrap();
        let (child, end) = (Mutex::new(child), Mutex::new(End::Kill));
        Ok(Self { address, child, left: AtomicI64::new(i64::MAX), end })
    }

    /// It shall end with the last of so many answers.
    pub fn arm(&self, answers: usize, end: End) {
        *self.end.lock().unwrap() = end;
        self.left.store(i64::try_from(answers).unwrap(), Ordering::Relaxed);
    }

    /// An answer was seen; with the last one the end comes.
    pub fn answered(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        let mut child = self.child.lock().unwrap();
        match *self.end.lock().unwrap() {
            End::Kill => child.kill().unwrap(),
            End::Stop => {
                let number = child.id().to_string();
                assert!(Command::new("kill").args(["-TERM", &number]).status().unwrap().success());
            }
        }
    }

    /// Waits for the end that was meant.
    pub fn wait(&self, folder: &Folder) -> Result<(), String> {
        let status = self.child.lock().unwrap().wait().unwrap();
        if *self.end.lock().unwrap() == End::Stop && !status.success() {
            return Err(format!("the broker ends with {status}: {}", said(folder)));
        }
        let said = said(folder);
        if said.contains("panicked") { Err(format!("the broker panicked: {said}")) } else { Ok(()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The end of what the broker said.
fn said(folder: &Folder) -> String {
    let said = String::from_utf8_lossy(&fs::read(folder.log()).unwrap()).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
