//! Certificates that nobody should trust, made for a trial.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::broker::Broker;

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Where they lie, and whose they are.
fn pair(broker: &Broker, name: &str) -> Pair {
    let file = |end: &str| broker.client(&format!("{name}.{end}"));
    Pair { certificate: file("pem"), key: file("key") }
}

fn openssl(words: &[&str]) {
    let made = Command::new("openssl").args(words).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// An authority that nobody knows.
pub(crate) fn stranger(broker: &Broker) -> Pair {
    let pair = pair(broker, "stranger");
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=stranger"];
    openssl(&[&new[..], &["-keyout", &pair.key, "-out", &pair.certificate]].concat());
    pair
}

/// By the authority that is trusted, for this machine's names; its time was over yesterday.
pub(crate) fn expired(broker: &Broker) -> Pair {
    let pair = pair(broker, "expired");
    let (request, authority) = (broker.client("expired.csr"), broker.client("ca.pem"));
    let keys = broker.folder().join("keys");
    let [names, signs] = ["names", "ca.key"].map(|file| keys.join(file).display().to_string());
    let new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=expired", "-keyout", &pair.key];
    openssl(&[&new[..], &["-out", &request]].concat());
    let sign = ["x509", "-req", "-days", "-1", "-in", &request, "-CA", &authority, "-CAkey", &signs];
    let rest = ["-CAcreateserial", "-extfile", &names, "-out", &pair.certificate];
    openssl(&[&sign[..], &rest].concat());
    pair
}

/// Whoever listens with a certificate of these: it shakes hands, and is no Kafka.
pub(crate) struct Listener {
    process: Child,
    pub(crate) address: String,
}

impl Listener {
    pub(crate) fn with(pair: &Pair) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &pair.certificate])
            .args(["-key", &pair.key])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let told = lines.into_iter().find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned));
        Self { process, address: told.unwrap() }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
