//! Admission: a connection becomes encrypted, and its client logs in, before anything else is served.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::accounts::nonce;
use super::login::{Excerpt, Login, Refusal};
use super::tls;
use crate::error::ErrorCode;
use crate::server::apis;
use crate::server::connection::{Connection, FREE_BYTES, FrameLimit};
use crate::server::exchange::{Exchange, Hangup};
use crate::server::host::{Host, Peer};
use crate::server::notices::TooMany;
use crate::wire::{self, Call, Frame, LENGTH_BYTES};

/// What has room always: nobody knows yet who sends it, and no token of the mechanisms here is as long.
const LOGIN_FRAME: FrameLimit = FrameLimit { bytes: FREE_BYTES, name: "the limit before a login" };
/// How long a client may take to log in.
const LOGIN_MS: u64 = 30_000;

/// Where a login stands after a frame.
enum Stand {
    /// The client has more to say.
    Open,
    /// It is in, as this user.
    In(String),
    /// It may not come in.
    Refused(Refusal),
}

/// Encrypts a connection; `None` when that fails, which the log is told.
pub(in crate::server) async fn encrypt(
    stream: TcpStream,
    host: &Host,
    peer: &Peer,
) -> Option<TlsStream<TcpStream>> {
    let acceptor = peer.entrance.guard.tls.as_ref()?;
    let listener = peer.entrance.name.as_str();
    let failed = |why: &String| {
        host.counters.failed_logins.add(1);
        match host.notices.login.admit(host.clock.now_ms()) {
            Ok(untold) => {
                tracing::warn!(peer = %peer.remote, listener, why, untold, "a connection is closed");
            }
            Err(TooMany) => tracing::debug!(peer = %peer.remote, listener, why, "a connection is closed"),
        }
    };
    tls::handshake(acceptor, stream).await.inspect_err(failed).ok()
}

/// Lets the client log in, where it has to; says whether it may go on.
pub(in crate::server) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
) -> Result<bool, Hangup> {
    let entrance = connection.peer.entrance.clone();
    let Some(accounts) = &entrance.guard.accounts else { return Ok(true) };
    let nonce = nonce().map_err(|problem| Hangup::Malformed(problem.to_string()))?;
    let mut login = Login::new(accounts.clone(), nonce);
    let limit = Duration::from_millis(LOGIN_MS);
    let stand = match tokio::time::timeout(limit, converse(connection, &mut login)).await {
        Ok(stand) => stand?,
        Err(_) => return Err(Hangup::Malformed(format!("no login within {LOGIN_MS} ms"))),
    };
    let (peer, listener) = (connection.peer.remote, entrance.name.as_str());
    match stand {
        // The client has gone.
        Stand::Open => Ok(false),
        Stand::In(user) => {
            tracing::debug!(%peer, listener, user = ?Excerpt(&user), "a client has logged in");
            Ok(true)
        }
        Stand::Refused(refusal) => {
            let user = Excerpt(refusal.user.as_deref().unwrap_or_default());
            let (host, why) = (&connection.host, refusal.why);
            host.counters.failed_logins.add(1);
            match host.notices.login.admit(host.clock.now_ms()) {
                Ok(untold) => tracing::warn!(%peer, listener, ?user, why, untold, "a login failed"),
                Err(TooMany) => tracing::debug!(%peer, listener, ?user, why, "a login failed"),
            }
            Ok(false)
        }
    }
}

/// Frame by frame, until the client is in, refused or gone.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    login: &mut Login,
) -> Result<Stand, Hangup> {
    while let Some((frame, _)) = connection.next_frame(LOGIN_FRAME).await? {
        let (stand, answer) = if login.takes_bare_tokens() {
            bare_token(login, &frame)
        } else {
            request(connection, login, frame).await?
        };
        if let Some(answer) = answer
            && !connection.answer(&answer).await
        {
            break;
        }
        if !matches!(stand, Stand::Open) {
            return Ok(stand);
        }
    }
    Ok(Stand::Open)
}

/// A token without a message around it. Who is refused sees the end of the connection, there being no place for words.
fn bare_token(login: &mut Login, token: &[u8]) -> (Stand, Option<BytesMut>) {
    match login.token(token) {
        Err(refusal) => (Stand::Refused(refusal), None),
        Ok(answer) => {
            let mut frame = BytesMut::with_capacity(LENGTH_BYTES + answer.token.len());
            // A challenge and a proof: less than what the client has sent and a hundred bytes.
            frame.put_u32(u32::try_from(answer.token.len()).unwrap_or(0));
            frame.put_slice(&answer.token);
            (answer.user.map_or(Stand::Open, Stand::In), Some(frame))
        }
    }
}

async fn request<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection<S>,
    login: &mut Login,
    frame: Bytes,
) -> Result<(Stand, Option<BytesMut>), Hangup> {
    let (host, peer) = (&connection.host, &connection.peer);
    let mut call = match wire::open(frame, apis::versions)? {
        Frame::Call(call) => call,
        Frame::UnknownApiVersions { correlation_id } => {
            let answer = apis::unknown_api_versions(correlation_id)?;
            return Ok((Stand::Open, Some(answer)));
        }
    };
    match call.key {
        ApiKey::SaslHandshake => handshake(login, &mut call),
        ApiKey::SaslAuthenticate => authenticate(login, &mut call),
        key => match (login.other(&format!("{key:?}")), key) {
            (None, ApiKey::ApiVersions) => {
                let exchange = Exchange::new(host, peer, call.version);
                Ok((Stand::Open, apis::serve(&exchange, &mut call).await?))
            }
            (None, _) => Err(Hangup::Malformed(format!("{key:?} before a login"))),
            (Some(refusal), _) => Ok((Stand::Refused(refusal), None)),
        },
    }
}

fn handshake(login: &mut Login, call: &mut Call) -> Result<(Stand, Option<BytesMut>), Hangup> {
    let request: SaslHandshakeRequest = call.decode()?;
    let result = login.handshake(call.version, &request.mechanism);
    let mechanisms = login.mechanisms().iter().map(|mechanism| wire::text(mechanism.name())).collect();
    let error = result.as_ref().err().map_or(ErrorCode::None, |refusal| refusal.error);
    let answer = SaslHandshakeResponse::default().with_error_code(error.code()).with_mechanisms(mechanisms);
    let stand = result.err().map_or(Stand::Open, Stand::Refused);
    Ok((stand, Some(apis::encode(call, &answer)?)))
}

fn authenticate(login: &mut Login, call: &mut Call) -> Result<(Stand, Option<BytesMut>), Hangup> {
    let request: SaslAuthenticateRequest = call.decode()?;
    let answer = SaslAuthenticateResponse::default();
    let (stand, answer) = match login.token(&request.auth_bytes) {
        Ok(step) => (step.user.map_or(Stand::Open, Stand::In), answer.with_auth_bytes(step.token.into())),
        Err(refusal) => {
            let answer = answer
                .with_error_code(refusal.error.code())
                .with_error_message(Some(wire::text(&refusal.told)));
            (Stand::Refused(refusal), answer)
        }
    };
    Ok((stand, Some(apis::encode(call, &answer)?)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use crate::api::ClientId;
    use crate::broker::{Broker, BrokerConfig};
    use crate::server::connection;
    use crate::server::counters::Recovery;
    use crate::server::host::{Host, Peer};
    use crate::server::listener::Listener;
    use crate::server::properties::Properties;
    use crate::server::security::{Mechanism, Sasl};
    use crate::shared::SharedBroker;

    /// The clock stands still but for waiting, so nobody waits.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_log_in_is_not_waited_for() {
        let sasl = Sasl::new([Mechanism::Plain]).user("alice", "open sesame");
        let port = Listener::new("SASL_PLAINTEXT", "127.0.0.1:0").sasl(sasl).open().unwrap();
        let listener = tokio::net::TcpListener::from_std(port.socket).unwrap();
        let broker = SharedBroker::new(Broker::new(BrokerConfig::default()));
        let host = Host::new(broker, &Properties::default(), Recovery::default());
        // Silent from the beginning, in the middle of a frame, in the middle of a login.
        let handshake = b"\0\0\0\x13\0\x11\0\x01\0\0\0\x01\0\x02me\0\x05PLAIN";
        for said in [&b""[..], &handshake[..9], handshake] {
            let mut client = TcpStream::connect(port.address).unwrap();
            client.write_all(said).unwrap();
            let (stream, remote) = listener.accept().await.unwrap();
            let local = stream.local_addr().unwrap();
            let peer = Peer { client: ClientId::new(""), remote, local, entrance: port.entrance.clone() };
            let mut served = std::pin::pin!(connection::serve(stream, host.clone(), peer));
            let within = Duration::from_secs;
            assert!(tokio::time::timeout(within(29), served.as_mut()).await.is_err(), "{said:?}");
            tokio::time::timeout(within(2), served).await.unwrap();
            let mut told = Vec::new();
            client.read_to_end(&mut told).unwrap();
            assert_eq!(told.is_empty(), said.len() < handshake.len());
        }
    }
}
