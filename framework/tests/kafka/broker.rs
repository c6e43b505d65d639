//! The broker of the trials: where it listens, and how it is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater::Config;
use headwater::kafka::KafkaCluster;

use crate::heard;

/// A broker that is nobody else's for a while.
pub(crate) struct Broker {
    folder: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Broker {
    /// A trial that fails may leave its broker frozen or killed; the next one finds it as it was. What was told stands beside the
    /// failure.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", heard::lines("").join("\n"));
            // Each fails where there is nothing to do for it, and says so; that is of no interest then.
            for action in ["resume", "restart"] {
                let _ = self.disturb(action).output();
            }
        }
    }
}

static ALONE: Mutex<()> = Mutex::new(());

/// Runs a trial.
pub(crate) fn on_a_broker(trial: impl FnOnce(&Broker)) {
    let folder = std::env::var_os("HEADWATER_TEST_KAFKA");
    let folder = folder.expect(
        "HEADWATER_TEST_KAFKA: the folder of a cluster that `tests/kafka/start --secure` has started",
    );
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    heard::begin();
    let broker = Broker { folder: folder.into(), _alone: alone };
    trial(&broker);
}

impl Broker {
    /// Its address for `listener`: PLAINTEXT, SSL, SASL_SSL.
    pub(crate) fn address(&self, listener: &str) -> String {
        let properties = std::fs::read_to_string(self.folder.join("1/server.properties")).unwrap();
        let listeners =
            properties.lines().find_map(|line| line.strip_prefix("advertised.listeners=")).unwrap();
        let prefix = format!("{listener}://");
        listeners.split(',').find_map(|one| one.strip_prefix(&prefix)).unwrap().to_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn port(&self, listener: &str) -> String {
        self.address(listener).rsplit(':').next().unwrap().to_owned()
    }

    /// A file for clients.
    pub(crate) fn client(&self, file: &str) -> String {
        self.folder.join("client").join(file).display().to_string()
    }

    /// Calls `tests/kafka/broker`.
    pub(crate) fn command(&self, action: &str) {
        let status = self.disturb(action).status().unwrap();
        assert!(status.success(), "tests/kafka/broker {action} fails");
    }

    fn disturb(&self, action: &str) -> Command {
        let mut command = self.script("broker");
        command.args([action, "1"]);
        command
    }

    /// A command of `tests/kafka` on this cluster.
    fn script(&self, name: &str) -> Command {
        let mut command =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka").join(name));
        command.arg("--dir").arg(&self.folder);
        command
    }

    /// Deletes a topic, by Kafka's own tool.
    pub(crate) fn delete_topic(&self, topic: &str) {
        self.tool("topics", &["--delete", "--topic", topic]);
    }

    /// Sets a topic's `cleanup.policy`, by Kafka's own tool.
    pub(crate) fn clean_up(&self, topic: &str, policy: &str) {
        let policy = format!("cleanup.policy=[{policy}]");
        let topic = ["--entity-type", "topics", "--entity-name", topic];
        self.tool("configs", &[&["--alter", "--add-config", &policy], &topic[..]].concat());
    }

    fn tool(&self, tool: &str, arguments: &[&str]) {
        let mut command = self.script("tool");
        let made = command.arg(tool).args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// A configuration with these lines.
    pub(crate) fn config(&self, lines: &str) -> Config {
        let lines = lines
            .replace("<PLAINTEXT>", &self.address("PLAINTEXT"))
            .replace("<SSL>", &self.address("SSL"))
            .replace("<SASL_SSL>", &self.address("SASL_SSL"));
        let files = ["ca.pem", "client.pem", "client.key"];
        let lines =
            files.iter().fold(lines, |lines, file| lines.replace(&format!("<{file}>"), &self.client(file)));
        let pairs = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        let builder = pairs.fold(Config::builder(), |builder, line| {
            let (name, value) = line.split_once('=').unwrap();
            match name {
                "file" => builder.file(self.client(value)),
                _ => builder.set(name, value),
            }
        });
        builder.build().unwrap()
    }

    /// A cluster by these lines.
    pub(crate) fn cluster(&self, lines: &str) -> Arc<KafkaCluster> {
        let config = self.config(&format!("application.id=trial\n{lines}"));
        Arc::new(KafkaCluster::connect(&config.cluster_options()).unwrap())
    }
}
