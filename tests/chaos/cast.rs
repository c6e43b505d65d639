//! The cast: the instances as processes, started, killed and started again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::Fallible;
use crate::cluster::Kafka;
use crate::diary::Diary;
use crate::topology::Pipeline;

/// The longest that an end in order may take.
const PATIENCE_MS: i64 = 60_000;

/// What all instances are told.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) bootstrap: String,
    pub(crate) application: String,
    pub(crate) guarantee: String,
    pub(crate) pipeline: Pipeline,
    pub(crate) memory_max: String,
    pub(crate) flush_interval_ms: u32,
    /// `state.flush.bytes`, where it is not the library's default.
    pub(crate) flush_bytes: Option<&'static str>,
}

/// What befalls an instance by itself, at a moment such as `Ending:3`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate<'a> {
    /// It dies, as by kill -9.
    Die(&'a str),
    /// It stops until it is woken.
    Sleep(&'a str),
}

/// An instance, alive or not.
pub(crate) struct Instance {
    pub(crate) number: usize,
    folder: PathBuf,
    role: Role,
    child: Option<Child>,
}

impl Instance {
    pub(crate) fn new(number: usize, folder: PathBuf, role: &Role) -> Fallible<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { number, folder, role: role.clone(), child: None })
    }

    /// The folder of its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Its process's number, while it lives.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn diary_path(&self) -> PathBuf {
        self.folder.join("diary")
    }

    fn append(&self, name: &str) -> Fallible<File> {
        Ok(OpenOptions::new().create(true).append(true).open(self.folder.join(name))?)
    }

    /// Starts it.
    pub(crate) fn start(&mut self, fate: Option<Fate<'_>>) -> Fallible<()> {
        let mut diary = self.append("diary")?;
        // Behind a line that a kill may have cut off.
        writeln!(diary, "\nstarts")?;
        let Role { bootstrap, application, guarantee, pipeline, memory_max, flush_interval_ms, flush_bytes } =
            &self.role;
        let fate = fate.map(|fate| match fate {
            Fate::Die(moment) => ["--die-at", moment],
            Fate::Sleep(moment) => ["--sleep-at", moment],
        });
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["instance", "--bootstrap", bootstrap, "--application", application])
            .args(["--guarantee", guarantee, "--pipeline", pipeline.name(), "--memory-max", memory_max])
            .args(["--flush-interval-ms", &flush_interval_ms.to_string()])
            .args(["--number", &self.number.to_string()])
            .arg("--state-dir")
            .arg(self.state())
            .args(flush_bytes.iter().flat_map(|bytes| ["--flush-bytes", bytes]))
            .args(fate.iter().flatten())
            .stdin(Stdio::null())
            .stdout(diary)
            .stderr(self.append("log")?);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Kills it with -9.
    pub(crate) fn kill(&mut self) -> Fallible<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Fallible<Option<ExitStatus>> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?,
            None => None,
        })
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) -> Fallible<()> {
        let Some(child) = &self.child else { return Err("the instance is not alive".into()) };
        let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill -{name} has failed").into()) }
    }

    /// Tells it to stop, and waits until it has, in order.
    pub(crate) fn end(&mut self, kafka: &Kafka) -> Fallible<()> {
        let (begin, number) = (kafka.now_ms(), self.number);
        self.signal("TERM")?;
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(
                        format!("instance {number} ends with {status}:\n{}", self.last_words()).into()
                    );
                }
                None if kafka.now_ms() - begin > PATIENCE_MS => {
                    return Err(format!("instance {number} does not end:\n{}", self.last_words()).into());
                }
                None => kafka.pause(20),
            }
        }
    }

    /// What it has told.
    pub(crate) fn diary(&self) -> Fallible<Diary> {
        Diary::read(&self.diary_path())
    }

    /// The last lines of its log, for an error.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A loop that has failed leaves nobody behind.
        let _ = self.kill();
    }
}
