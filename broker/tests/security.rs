//! Listeners with TLS and logins, frame by frame and through a client of TLS.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod raw;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headwater_broker::server::{ClientAuth, Listener, Mechanism, Pem, Sasl, Server, Tls};
use headwater_broker::{Broker, ErrorCode};
use kafka_protocol::messages::{
    ApiVersionsRequest, MetadataRequest, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use raw::{Client, PATIENCE, connect};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use ring::{digest, hmac, pbkdf2};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, crypto,
};

// What the server logs.

#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    news: Condvar,
}

#[derive(Default)]
struct Lines {
    all: String,
    /// Without those that a test was given: the next client may come from the same port.
    unread: Vec<String>,
}

impl Log {
    /// All that the servers of this process log.
    fn get() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        static READY: OnceLock<()> = OnceLock::new();
        let log = LOG.get_or_init(Log::default);
        READY.get_or_init(|| {
            let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log::get());
            subscriber.with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG).init();
        });
        log
    }

    /// The line about this client that says something, once it is there.
    fn line(&self, client: SocketAddr, what: &str) -> String {
        let peer = format!("peer={client} ");
        let find =
            |lines: &Lines| lines.unread.iter().position(|line| line.contains(&peer) && line.contains(what));
        let lines = self.lines.lock().unwrap();
        let (mut lines, _) =
            self.news.wait_timeout_while(lines, PATIENCE, |lines| find(lines).is_none()).unwrap();
        let at = find(&lines).unwrap_or_else(|| panic!("no line with {peer} and {what} in {}", lines.all));
        lines.unread.remove(at)
    }

    fn contains(&self, what: &str) -> bool {
        self.lines.lock().unwrap().all.contains(what)
    }
}

impl Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut lines = self.lines.lock().unwrap();
        lines.all.push_str(text);
        lines.unread.extend(text.lines().map(str::to_owned));
        self.news.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// Certificates.

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Identity {
    chain: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Pem {
        Pem::text(self.0.pem())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn identity(&self) -> Identity {
        self.sign(|_| {})
    }

    fn tls(&self) -> Tls {
        let Identity { chain, key } = self.identity();
        Tls::new(Pem::text(chain), Pem::text(key))
    }
}

// Clients.

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

fn encrypted(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> Client<Encrypted> {
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(authority.roots());
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    Client::over(StreamOwned::new(session, connect(address)))
}

fn serve(listener: Listener) -> Server {
    Log::get();
    Broker::builder().listener(listener).start().unwrap()
}

fn sasl() -> Sasl {
    Sasl::new(Mechanism::ALL).user("alice", "open-sesame")
}

fn sasl_server() -> Server {
    serve(Listener::new("SASL_PLAINTEXT", "127.0.0.1:0").sasl(sasl()))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn handshake<S: Read + Write>(client: &mut Client<S>, version: i16, name: &str) -> SaslHandshakeResponse {
    client.ask(version, &SaslHandshakeRequest::default().with_mechanism(text(name)))
}

fn authenticate(token: impl Into<Vec<u8>>) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token.into()))
}

/// The client's last message of SCRAM-SHA-512, by the book; its first was `n,,n=alice,r=theirs`.
fn proof(challenge: &[u8], password: &str) -> String {
    let challenge = std::str::from_utf8(challenge).unwrap();
    let [nonce, salt, iterations] = challenge.split(',').collect::<Vec<_>>()[..] else {
        panic!("{challenge}")
    };
    assert!(nonce.starts_with("r=theirs") && nonce.len() > 40, "{challenge}");
    let salt = STANDARD.decode(&salt[2..]).unwrap();
    let mut salted = [0; 64];
    let rounds = iterations[2..].parse().unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], said: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), said.as_bytes());
    let key = sign(&salted, "Client Key");
    let stored = digest::digest(&digest::SHA512, key.as_ref());
    let without = format!("c=biws,{nonce}");
    let signature = sign(stored.as_ref(), &format!("n=alice,r=theirs,{challenge},{without}"));
    let proof: Vec<u8> = key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    format!("{without},p={}", STANDARD.encode(proof))
}

/// Logs in by SCRAM-SHA-512; gives the last answer.
fn scram<S: Read + Write>(client: &mut Client<S>, password: &str) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, 1, "SCRAM-SHA-512").error_code, 0);
    let challenge = client.ask(2, &authenticate("n,,n=alice,r=theirs"));
    assert_eq!(challenge.error_code, 0);
    client.ask(2, &authenticate(proof(&challenge.auth_bytes, password)))
}

fn is_served<S: Read + Write>(client: &mut Client<S>) {
    let metadata = client.ask(4, &MetadataRequest::default().with_topics(None));
    assert_eq!(metadata.brokers.len(), 1);
}

// TLS.

#[test]
fn requests_are_served_through_both_versions_of_tls() {
    let authority = Authority::new("ours");
    let listener = Listener::new("SSL", "127.0.0.1:0").tls(authority.tls()).advertised("localhost", 0);
    let server = serve(listener);
    for version in [&TLS12, &TLS13] {
        let mut client = encrypted(server.address(), &authority, None, version);
        let metadata = client.ask(4, &MetadataRequest::default().with_topics(None));
        let broker = &metadata.brokers[0];
        assert_eq!((broker.host.as_str(), broker.port), ("localhost", i32::from(server.address().port())));
        // More than the network takes at once, each way.
        let name = "x".repeat(30_000);
        let topic = |number: usize| {
            let name = kafka_protocol::messages::TopicName(text(&format!("{name}{number}")));
            kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(name))
        };
        let many = MetadataRequest::default().with_topics(Some((0..200).map(topic).collect()));
        assert_eq!(client.ask(4, &many).topics.len(), 200);
    }
}

#[test]
fn keys_are_read_in_every_form() {
    let authority = Authority::new("ours");
    let Identity { chain, key } = authority.identity();
    // Elliptic keys have the older form inside of the newer one.
    let PrivateKeyDer::Pkcs8(newer) = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap() else {
        panic!()
    };
    let at = newer.secret_pkcs8_der().windows(4).position(|window| window == [2, 1, 1, 4]).unwrap() - 2;
    let older = STANDARD.encode(&newer.secret_pkcs8_der()[at..]);
    let older = format!("-----BEGIN EC PRIVATE KEY-----\n{older}\n-----END EC PRIVATE KEY-----\n");
    let folder = std::env::temp_dir().join(format!("headwater-security-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("server.pem");
    std::fs::write(&file, format!("{key}{chain}")).unwrap();
    for tls in [Tls::new(Pem::text(chain), Pem::text(older)), Tls::new(Pem::file(&file), Pem::file(&file))] {
        let server = serve(Listener::new("SSL", "127.0.0.1:0").tls(tls));
        is_served(&mut encrypted(server.address(), &authority, None, &TLS13));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Whether a client is served through each version of TLS, or what the log says.
fn shown(server: &Server, authority: &Authority, identity: Option<&Identity>) -> Result<(), String> {
    let mut outcome = None;
    for version in [&TLS12, &TLS13] {
        let mut client = encrypted(server.address(), authority, identity, version);
        let local = client.stream.sock.local_addr().unwrap();
        let frame = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0];
        let mut answer = [0; 8];
        let sent = client.stream.write_all(&frame).and_then(|()| client.stream.read_exact(&mut answer));
        let result = match sent {
            Ok(()) => Ok(()),
            Err(_) => {
                let line = Log::get().line(local, "a connection is closed");
                let why = line.split("why=").nth(1).unwrap().trim_matches('"').to_owned();
                Err(why.trim_start_matches("the TLS handshake failed: ").to_owned())
            }
        };
        assert_eq!(*outcome.get_or_insert(result.clone()), result, "both versions");
    }
    outcome.unwrap()
}

#[test]
fn certificates_of_clients() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let known = authority.identity();
    let expired = authority.sign(|params| params.not_after = date_time_ymd(2001, 1, 1));
    let early = authority.sign(|params| params.not_before = date_time_ymd(3001, 1, 1));
    let other_use =
        authority.sign(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let unknown = stranger.identity();
    let listen = |clients| serve(Listener::new("SSL", "127.0.0.1:0").tls(authority.tls().clients(clients)));
    let none = listen(ClientAuth::None);
    let requested = listen(ClientAuth::Requested(authority.pem()));
    let required = listen(ClientAuth::Required(authority.pem()));
    let begins = |result: Result<(), String>, why: &str| {
        let told = result.unwrap_err();
        assert!(told.starts_with(why), "{told}");
    };
    for server in [&none, &requested, &required] {
        assert_eq!(shown(server, &authority, Some(&known)), Ok(()));
    }
    assert_eq!(shown(&none, &authority, Some(&unknown)), Ok(()), "nobody asks");
    assert_eq!(shown(&requested, &authority, None), Ok(()));
    begins(shown(&required, &authority, None), "peer sent no certificates");
    for server in [&requested, &required] {
        begins(shown(server, &authority, Some(&unknown)), "invalid peer certificate: UnknownIssuer");
        begins(shown(server, &authority, Some(&expired)), "invalid peer certificate: certificate expired");
        begins(
            shown(server, &authority, Some(&early)),
            "invalid peer certificate: certificate not valid yet",
        );
        begins(shown(server, &authority, Some(&other_use)), "invalid peer certificate: certificate does not");
    }
}

#[test]
fn a_client_that_is_set_to_the_other_kind_sees_the_end_and_the_log_says_why() {
    let authority = Authority::new("ours");
    let server = Broker::builder()
        .listen("127.0.0.1:0")
        .listener(Listener::new("SSL", "127.0.0.1:0").tls(authority.tls()));
    Log::get();
    let server = server.start().unwrap();
    let mut plain = Client::at(server.addresses()["SSL"]);
    let local = plain.stream.local_addr().unwrap();
    plain.send(3, &ApiVersionsRequest::default());
    let mut rest = Vec::new();
    // No byte that it could take for an answer.
    assert_eq!(plain.stream.read_to_end(&mut rest).unwrap(), 0);
    Log::get().line(local, "it does not speak TLS; is the client set to PLAINTEXT?");

    let mut secure = encrypted(server.addresses()["PLAINTEXT"], &authority, None, &TLS13);
    let local = secure.stream.sock.local_addr().unwrap();
    secure.stream.write_all(b"x").unwrap_err();
    Log::get().line(local, "it speaks TLS, which this listener does not; is the client set to SSL?");

    // One that goes without a word, and one that speaks nonsense after its first byte.
    let gone = connect(server.addresses()["SSL"]);
    let local = gone.local_addr().unwrap();
    drop(gone);
    Log::get().line(local, "a connection is closed");
    let mut nonsense = connect(server.addresses()["SSL"]);
    let local = nonsense.local_addr().unwrap();
    nonsense.write_all(&[0x16; 64]).unwrap();
    nonsense.read_to_end(&mut rest).unwrap();
    Log::get().line(local, "the TLS handshake failed");
    is_served(&mut encrypted(server.addresses()["SSL"], &authority, None, &TLS13));
}

// Logins.

#[test]
fn a_client_that_logs_in_is_served() {
    let server = sasl_server();
    let mut client = Client::at(server.address());
    let versions = client.ask(3, &ApiVersionsRequest::default());
    for (key, most) in [(17, 1), (36, 2)] {
        assert!(versions.api_keys.iter().any(|api| (api.api_key, api.max_version) == (key, most)));
    }
    let told = handshake(&mut client, 1, "PLAIN");
    let mechanisms: Vec<_> = told.mechanisms.iter().map(StrBytes::as_str).collect();
    assert_eq!((told.error_code, mechanisms), (0, vec!["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]));
    let answer = client.ask(2, &authenticate("\0alice\0open-sesame"));
    assert_eq!((answer.error_code, answer.auth_bytes.len(), answer.session_lifetime_ms), (0, 0, 0));
    is_served(&mut client);
    // Once is enough.
    assert_eq!(handshake(&mut client, 1, "PLAIN").error_code, ErrorCode::IllegalSaslState.code());
    let again = client.ask(2, &authenticate("\0alice\0open-sesame"));
    assert_eq!(again.error_code, ErrorCode::IllegalSaslState.code());
    is_served(&mut client);
    for version in 0..=1 {
        let mut older = Client::at(server.address());
        assert_eq!(handshake(&mut older, 1, "PLAIN").error_code, 0);
        assert_eq!(older.ask(version, &authenticate("\0alice\0open-sesame")).error_code, 0);
        is_served(&mut older);
    }
}

#[test]
fn a_server_proves_that_it_knows_the_password() {
    let server = sasl_server();
    let mut client = Client::at(server.address());
    let answer = scram(&mut client, "open-sesame");
    assert_eq!(answer.error_code, 0);
    assert!(answer.auth_bytes.starts_with(b"v=") && answer.auth_bytes.len() == 90);
    is_served(&mut client);
}

#[test]
fn behind_a_handshake_of_version_0_tokens_are_bare() {
    fn bare(client: &mut Client, token: &[u8]) -> Option<Bytes> {
        client.stream.write_all(&u32::try_from(token.len()).unwrap().to_be_bytes()).unwrap();
        client.stream.write_all(token).unwrap();
        client.frame()
    }
    let server = sasl_server();
    let mut client = Client::at(server.address());
    assert_eq!(handshake(&mut client, 0, "SCRAM-SHA-512").error_code, 0);
    let challenge = bare(&mut client, b"n,,n=alice,r=theirs").unwrap();
    let answer = bare(&mut client, proof(&challenge, "open-sesame").as_bytes()).unwrap();
    assert!(answer.starts_with(b"v="));
    is_served(&mut client);
    let mut plain = Client::at(server.address());
    assert_eq!(handshake(&mut plain, 0, "PLAIN").error_code, 0);
    assert_eq!(bare(&mut plain, b"\0alice\0open-sesame").unwrap().len(), 0);
    is_served(&mut plain);
    // There is no place for words: the end says it.
    let mut wrong = Client::at(server.address());
    assert_eq!(handshake(&mut wrong, 0, "PLAIN").error_code, 0);
    assert!(bare(&mut wrong, b"\0alice\0wrong").is_none());
}

#[test]
fn a_wrong_password_is_told_and_logged_and_ends_the_connection() {
    let server = sasl_server();
    let mut plain = Client::at(server.address());
    let local = plain.stream.local_addr().unwrap();
    handshake(&mut plain, 1, "PLAIN");
    let answer = plain.ask(2, &authenticate("\0alice\0close-sesame"));
    assert_eq!(answer.error_code, ErrorCode::SaslAuthenticationFailed.code());
    let told = "Authentication failed: Invalid username or password";
    assert_eq!(answer.error_message.as_deref(), Some(told));
    assert!(plain.frame().is_none());
    let line = Log::get().line(local, "a login failed");
    assert!(line.contains("user=\"alice\"") && line.contains("SASL_PLAINTEXT"), "{line}");

    let mut challenged = Client::at(server.address());
    let local = challenged.stream.local_addr().unwrap();
    let answer = scram(&mut challenged, "close-sesame");
    assert_eq!(answer.error_code, ErrorCode::SaslAuthenticationFailed.code());
    let told = "Authentication failed during authentication due to invalid credentials with SASL mechanism \
                SCRAM-SHA-512";
    assert_eq!(answer.error_message.as_deref(), Some(told));
    assert!(challenged.frame().is_none());
    let line = Log::get().line(local, "a login failed");
    assert!(line.contains("user=\"alice\"") && line.contains("wrong password"), "{line}");
    assert!(!Log::get().contains("close-sesame") && !Log::get().contains("open-sesame"));
}

#[test]
fn a_mechanism_that_is_not_enabled_is_answered_with_those_that_are() {
    let sasl = Sasl::new([Mechanism::ScramSha512]).user("alice", "open-sesame");
    let server = serve(Listener::new("SASL_PLAINTEXT", "127.0.0.1:0").sasl(sasl));
    let mut client = Client::at(server.address());
    let answer = handshake(&mut client, 1, "PLAIN");
    assert_eq!(answer.error_code, ErrorCode::UnsupportedSaslMechanism.code());
    assert_eq!(answer.mechanisms, [text("SCRAM-SHA-512")]);
    assert!(client.frame().is_none());
}

#[test]
fn nothing_else_is_served_before_a_login() {
    let server = sasl_server();
    let mut early = Client::at(server.address());
    let local = early.stream.local_addr().unwrap();
    early.send(4, &MetadataRequest::default());
    assert!(early.frame().is_none());
    Log::get().line(local, "Metadata before a login");

    let mut hasty = Client::at(server.address());
    let answer = hasty.ask(2, &authenticate("\0alice\0open-sesame"));
    assert_eq!(answer.error_code, ErrorCode::IllegalSaslState.code());
    assert!(hasty.frame().is_none());

    // In the middle of one, not even what may be asked before it.
    let mut half = Client::at(server.address());
    let local = half.stream.local_addr().unwrap();
    handshake(&mut half, 1, "PLAIN");
    half.send(3, &ApiVersionsRequest::default());
    assert!(half.frame().is_none());
    Log::get().line(local, "ApiVersions where SaslAuthenticate was expected");

    let mut twice = Client::at(server.address());
    handshake(&mut twice, 1, "PLAIN");
    assert_eq!(handshake(&mut twice, 1, "PLAIN").error_code, ErrorCode::IllegalSaslState.code());
    assert!(twice.frame().is_none());

    let mut large = Client::at(server.address());
    let local = large.stream.local_addr().unwrap();
    large.stream.write_all(&[0, 1, 0, 1]).unwrap();
    assert!(large.frame().is_none());
    Log::get().line(local, "a request of 65537 bytes; the limit before a login is 65536");
}

#[test]
fn what_comes_behind_a_login_in_one_piece_is_served() {
    let server = sasl_server();
    let mut client = Client::at(server.address());
    client.send(1, &SaslHandshakeRequest::default().with_mechanism(text("PLAIN")));
    client.send(2, &authenticate("\0alice\0open-sesame"));
    client.send(4, &MetadataRequest::default().with_topics(None));
    assert_eq!(client.receive::<SaslHandshakeRequest>(1, 1).error_code, 0);
    assert_eq!(client.receive::<SaslAuthenticateRequest>(2, 2).error_code, 0);
    assert_eq!(client.receive::<MetadataRequest>(4, 3).brokers.len(), 1);
}

#[test]
fn an_encrypted_login_by_kafkas_properties() {
    Log::get();
    let authority = Authority::new("ours");
    let Identity { chain, key } = authority.identity();
    let jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required user_alice=\"open-sesame\";";
    let mut builder = Broker::builder();
    for (name, value) in [
        ("listeners", "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0,CONTROLLER://:9093"),
        ("advertised.listeners", "OUTSIDE://localhost:0"),
        ("listener.security.protocol.map", "INSIDE:PLAINTEXT,OUTSIDE:SASL_SSL,CONTROLLER:PLAINTEXT"),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.certificate.chain", &chain),
        ("ssl.keystore.key", &key),
        ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
        ("listener.name.outside.scram-sha-512.sasl.jaas.config", jaas),
    ] {
        builder = builder.set(name, value).unwrap();
    }
    assert!(!format!("{builder:?}").contains("sesame"));
    let server = builder.start().unwrap();
    is_served(&mut Client::at(server.addresses()["INSIDE"]));
    let mut client = encrypted(server.addresses()["OUTSIDE"], &authority, None, &TLS13);
    assert_eq!(scram(&mut client, "open-sesame").error_code, 0);
    let metadata = client.ask(4, &MetadataRequest::default().with_topics(None));
    assert_eq!(metadata.brokers[0].host.as_str(), "localhost");
}

#[test]
fn what_cannot_be_secured_does_not_start() {
    let problem = |listener: Listener| Broker::builder().listener(listener).start().unwrap_err().to_string();
    let missing = Pem::file("/nowhere/server.pem");
    let listener = Listener::new("SSL", "127.0.0.1:0").tls(Tls::new(missing.clone(), missing));
    let told = problem(listener);
    assert!(told.starts_with("listener SSL: /nowhere/server.pem: "), "{told}");
    let listener = Listener::new("SASL", "127.0.0.1:0").sasl(Sasl::new([]));
    assert_eq!(problem(listener), "listener SASL: no mechanism of SASL is enabled");
}
