//! Security of a server's listeners: TLS, and logins by SASL.
//!
//! ```
//! use headwater_broker::Broker;
//! use headwater_broker::server::{Listener, Mechanism, Sasl};
//!
//! let sasl = Sasl::new([Mechanism::ScramSha512]).user("alice", "open sesame");
//! let server = Broker::builder().listener(Listener::new("SASL_PLAINTEXT", "127.0.0.1:0").sasl(sasl)).start()?;
//! # drop(server);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! 1. A connection is encrypted first, then its client logs in, then requests are served ([`admit`]). Each of the two has
//!    a time limit, and a login takes small frames only: whoever is not in yet holds little, and not for long.
//! 2. What passes for a login is decided without I/O ([`login`], [`scram`], [`plain`]).
//! 3. Only this folder names `rustls` and `ring`, which is the only source of cryptography.

mod accounts;
mod admit;
mod jaas;
mod login;
mod pem;
mod plain;
mod properties;
mod sasl;
mod scram;
mod secret;
mod tls;

use std::fmt;
use std::sync::Arc;

use ring::rand::SystemRandom;
use tokio_rustls::TlsAcceptor;

pub use pem::Pem;
pub use sasl::{Mechanism, Sasl};
pub use tls::{ClientAuth, Tls};

use accounts::Accounts;
pub(in crate::server) use admit::{encrypt, log_in};
pub(in crate::server) use properties::secured;

/// What is wrong with how a listener is to be secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Problem(String);

impl Problem {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

/// How a listener is to be secured.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Security {
    pub(in crate::server) tls: Option<Tls>,
    pub(in crate::server) sasl: Option<Sasl>,
}

/// What stands between a listener's clients and its server.
pub(in crate::server) struct Guard {
    tls: Option<TlsAcceptor>,
    accounts: Option<Arc<Accounts>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encrypts = self.tls.is_some();
        f.debug_struct("Guard").field("encrypts", &encrypts).field("accounts", &self.accounts).finish()
    }
}

impl Security {
    /// Reads certificates, and makes keys of passwords.
    pub(in crate::server) fn open(&self) -> Result<Guard, Problem> {
        let tls = self.tls.as_ref().map(Tls::open).transpose()?;
        let accounts =
            self.sasl.as_ref().map(|sasl| Accounts::open(sasl, &SystemRandom::new())).transpose()?;
        Ok(Guard { tls, accounts: accounts.map(Arc::new) })
    }
}
