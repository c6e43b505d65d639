//! PEM: certificates and keys as text.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Problem;

/// Certificates or a key in PEM. Keys may be in PKCS#8, PKCS#1 or SEC1, and not encrypted.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In the file at this path. It is read when the server starts.
    File(PathBuf),
    /// The text itself.
    Text(Vec<u8>),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text([hidden])"),
        }
    }
}

impl Pem {
    /// The file at this path.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// This text.
    #[must_use]
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(text.into())
    }

    /// Certificates, in the order in which they stand there; at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let text = self.read()?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(Problem::new(format!("{}: no certificate in PEM", self.place()))),
            Err(error) => Err(Problem::new(format!("{}: {error}", self.place()))),
        }
    }

    /// A private key, the first that stands there.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, Problem> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            let encrypted = text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
            let why = if encrypted { "the key is encrypted".to_owned() } else { format!("no key: {error}") };
            Problem::new(format!("{}: {why}", self.place()))
        })
    }

    /// Authorities, each of which may sign certificates.
    pub(super) fn authorities(&self) -> Result<RootCertStore, Problem> {
        let mut authorities = RootCertStore::empty();
        for certificate in self.certificates()? {
            authorities
                .add(certificate)
                .map_err(|error| Problem::new(format!("{}: {error}", self.place())))?;
        }
        Ok(authorities)
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, Problem> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::File(path) => std::fs::read(path)
                .map(Cow::from)
                .map_err(|error| Problem::new(format!("{}: {error}", path.display()))),
        }
    }

    /// Where it stands, for messages.
    fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(_) => "a text in PEM".to_owned(),
        }
    }
}

/// How an encrypted key of PKCS#8 begins.
const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";
