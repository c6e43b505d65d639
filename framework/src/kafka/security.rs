//! Security: how connections are encrypted, and who stands at their two ends.

use std::fmt;

/// A text that is neither printed nor logged: passwords, keys.
///
/// ```
/// use headwater::kafka::Secret;
/// let secret = Secret::new("open sesame");
/// assert_eq!(format!("{secret} {secret:?}"), "[hidden] [hidden]");
/// assert_eq!(secret.reveal(), "open sesame");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to show it to a cluster.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Kafka's word.
        f.write_str("[hidden]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How all connections to a cluster are made. Neither encrypted nor with a login is `security.protocol=PLAINTEXT`, both
/// is `SASL_SSL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// How they are encrypted, if they are.
    pub tls: Option<Tls>,
    /// As whom they log in, if they do.
    pub login: Option<Login>,
}

/// An encrypted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities whose word counts for a broker; `None`: the system's.
    pub trust: Option<Pem>,
    /// Who we are, where brokers want to see a certificate.
    pub identity: Option<Identity>,
    /// Whether a broker's certificate has to name the host that is connected to.
    pub names_host: bool,
}

/// Certificates or a key in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In the file at this path.
    File(String),
    /// The text itself.
    Text(Secret),
}

/// Our own certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Each in PEM; certificate and key may be the same file.
    Pem {
        /// The certificate, and those between it and its authority behind it.
        certificate: Pem,
        /// Its key.
        key: Pem,
        /// What the key is encrypted with.
        password: Option<Secret>,
    },
    /// Both in one file in PKCS#12.
    Store {
        /// Its path.
        file: String,
        /// What it is encrypted with.
        password: Option<Secret>,
    },
}

/// A user's name and password, by SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// How a password is shown to a broker: `sasl.mechanism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// As it is.
    Plain,
    /// By a challenge, with SHA-256.
    ScramSha256,
    /// By a challenge, with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
