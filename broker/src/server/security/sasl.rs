//! SASL: by which mechanisms clients may log in at a listener, and which users there are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::secret::Secret;

/// How a client shows that it knows its password: `sasl.mechanism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// It sends it. To be used at encrypted listeners only.
    Plain,
    /// By a challenge, with SHA-256.
    ScramSha256,
    /// By a challenge, with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Its name, by IANA's registry of mechanisms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{name}` is no mechanism of SASL that is known here: {names} are")
        };
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name).ok_or_else(unknown)
    }
}

/// Who may log in at a listener, and how.
///
/// ```
/// use headwater_broker::server::{Mechanism, Sasl};
///
/// let sasl = Sasl::new([Mechanism::ScramSha512]).user("alice", "open sesame");
/// assert!(!format!("{sasl:?}").contains("sesame"));
/// ```
#[derive(Clone, Debug)]
pub struct Sasl {
    pub(super) mechanisms: Vec<Mechanism>,
    /// Passwords by user and mechanism.
    pub(super) users: BTreeMap<(String, Mechanism), Secret>,
    pub(super) iterations: u32,
}

/// Rounds of the function that makes keys of passwords: Kafka's default.
const ITERATIONS: u32 = 4_096;

impl Sasl {
    /// Logins by these mechanisms, for nobody yet.
    #[must_use]
    pub fn new(mechanisms: impl IntoIterator<Item = Mechanism>) -> Self {
        Self { mechanisms: mechanisms.into_iter().collect(), users: BTreeMap::new(), iterations: ITERATIONS }
    }

    /// A user, who may log in by all mechanisms of the listener that are enabled so far.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        for mechanism in self.mechanisms.clone() {
            self = self.user_by(mechanism, name, password);
        }
        self
    }

    /// A user, who may log in by this mechanism.
    #[must_use]
    pub fn user_by(mut self, mechanism: Mechanism, name: &str, password: &str) -> Self {
        self.users.insert((name.to_owned(), mechanism), Secret::new(password));
        self
    }

    /// Rounds of the function that makes SCRAM's keys of passwords, 4,096 unless they are set; not fewer, for clients refuse
    /// that. More cost a client time at every connection.
    #[must_use]
    pub fn iterations(mut self, iterations: u32) -> Self {
        self.iterations = iterations;
        self
    }
}
