//! TLS: connections that are encrypted, and whose clients may show a certificate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::server::TlsStream;

use super::Problem;
use super::pem::Pem;

/// How long a client may take to agree on keys. It is a matter of milliseconds; who takes longer holds a connection for
/// nothing.
const HANDSHAKE_MS: u64 = 10_000;
/// The first byte of whatever a client says to begin with in TLS.
const HANDSHAKE_BYTE: u8 = 0x16;
/// The versions that there are.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Whether clients show a certificate: `ssl.client.auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked for one, and may have none. One that none of these authorities has signed is refused.
    Requested(Pem),
    /// They have to show one that one of these authorities has signed.
    Required(Pem),
}

/// How a listener is encrypted, by TLS 1.2 and 1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    chain: Pem,
    key: Pem,
    clients: ClientAuth,
}

impl Tls {
    /// By the certificate of the server, behind which those stand that lead from it to its authority, and its key. Both
    /// may stand in one file.
    #[must_use]
    pub fn new(chain: Pem, key: Pem) -> Self {
        Self { chain, key, clients: ClientAuth::None }
    }

    /// Whether clients show a certificate.
    #[must_use]
    pub fn clients(mut self, clients: ClientAuth) -> Self {
        self.clients = clients;
        self
    }

    /// Reads certificates and key.
    pub(super) fn open(&self) -> Result<TlsAcceptor, Problem> {
        let (chain, key) = (self.chain.certificates()?, self.key.key()?);
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&VERSIONS)
            .map_err(|error| Problem::new(error.to_string()))?;
        let verifier = |authorities: &Pem| {
            authorities.authorities().map(|authorities| {
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone())
            })
        };
        let verifier = match &self.clients {
            ClientAuth::None => None,
            ClientAuth::Requested(authorities) => Some(verifier(authorities)?.allow_unauthenticated()),
            ClientAuth::Required(authorities) => Some(verifier(authorities)?),
        };
        let config = match verifier {
            None => config.with_no_client_auth(),
            Some(verifier) => {
                let verifier = verifier.build().map_err(|error| Problem::new(error.to_string()))?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let config = config
            .with_single_cert(chain, key)
            .map_err(|error| Problem::new(format!("certificate and key cannot be used: {error}")))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Agrees with a client on keys. What fails is told to the client where it can be.
pub(super) async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let limit = Duration::from_millis(HANDSHAKE_MS);
    match tokio::time::timeout(limit, agree(acceptor, stream)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no TLS handshake within {HANDSHAKE_MS} ms")),
    }
}

async fn agree(acceptor: &TlsAcceptor, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    let failed = |error: io::Error| format!("the TLS handshake failed: {error}");
    let mut first = [0];
    if stream.peek(&mut first).await.map_err(failed)? == 0 {
        return Err("the client went before a TLS handshake".to_owned());
    }
    if first != [HANDSHAKE_BYTE] {
        // It would take what TLS says of this for the length of an answer. One that sees the end guesses better. What it
        // has sent is taken, or the system would reset the connection.
        let _ = stream.try_read(&mut [0; 4 << 10]);
        return Err("it does not speak TLS; is the client set to PLAINTEXT?".to_owned());
    }
    acceptor.accept(stream).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::{ClientAuth, Tls, handshake};
    use crate::server::security::Pem;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::net::{Ipv4Addr, TcpStream};

    fn identity() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    /// The clock stands still but for waiting, so nobody waits.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_not_waited_for() {
        let (chain, key) = identity();
        let acceptor = Tls::new(Pem::text(chain), Pem::text(key)).open().unwrap();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let why = handshake(&acceptor, stream).await.unwrap_err();
        assert_eq!(why, "no TLS handshake within 10000 ms");
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_place() {
        let (chain, key) = identity();
        let (chain, key) = (Pem::text(chain), Pem::text(key));
        let (_, other) = identity();
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let cases = [
            (Tls::new(Pem::file("/nowhere/a.pem"), key.clone()), "/nowhere/a.pem: No such file"),
            (Tls::new(key.clone(), key.clone()), "a text in PEM: no certificate in PEM"),
            (Tls::new(chain.clone(), chain.clone()), "a text in PEM: no key: "),
            (Tls::new(chain.clone(), Pem::text(encrypted)), "a text in PEM: the key is encrypted"),
            (Tls::new(chain.clone(), Pem::text(other)), "certificate and key cannot be used: "),
            (
                Tls::new(chain, key.clone()).clients(ClientAuth::Required(key)),
                "a text in PEM: no certificate in PEM",
            ),
        ];
        for (tls, expected) in cases {
            let problem = tls.open().err().unwrap().to_string();
            assert!(problem.starts_with(expected), "{problem}");
            assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");
        }
    }
}
