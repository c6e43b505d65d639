//! A connection: requests come in and are answered one after another, in their order.
//!
//! What cannot be understood ends the connection with a line in the log, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::apis;
use super::clock::Clock;
use super::exchange::{Exchange, Hangup};
use super::host::{Host, PERMIT_BYTES, Peer};
use super::notices::TooMany;
#[cfg(feature = "security")]
use super::security;
use crate::api::ClientId;
use crate::wire::{self, Frame, LENGTH_BYTES};

/// Bytes to have room for when a client has nothing under way.
const IDLE_BYTES: usize = 4 << 10;

/// A request of up to so many bytes has room always.
pub(super) const FREE_BYTES: usize = 64 << 10;
/// A request of up to so many bytes takes its room at once, when a part of it has come: were all to take it bit by bit, they
/// could wait for each other.
const WHOLE_BYTES: usize = 1 << 20;
/// In so long a request has to come, from its length to its last byte: until then it may hold room that others wait for.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How long a client is waited for to take notice of the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a connection in TLS begins with, where the length of a frame is expected: a handshake, in one of its versions.
const TLS_BEGINS: i32 = 0x1603;

/// A part of the room for requests; none for a small one.
type Room = Option<OwnedSemaphorePermit>;

/// Serves a client until it goes, or has to.
pub(super) async fn serve(stream: TcpStream, host: Host, peer: Peer) {
    #[cfg(feature = "security")]
    if peer.entrance.protocol.is_encrypted() {
        if let Some(stream) = security::encrypt(stream, &host, &peer).await {
            talk(stream, host, peer).await;
        }
        return;
    }
    talk(stream, host, peer).await;
}

/// Serves a client on a stream that is encrypted already, or need not be.
pub(super) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: S, host: Host, peer: Peer) {
    let remote = peer.remote;
    let mut connection = Connection { stream, host, peer, inbox: BytesMut::new() };
    if let Err(hangup) = connection.run().await {
        match hangup {
            Hangup::Idle => tracing::debug!(peer = %remote, "a connection is closed: it was idle"),
            Hangup::Malformed(why) => {
                connection.host.counters.malformed.add(1);
                match connection.host.notices.malformed.admit(connection.host.clock.now_ms()) {
                    Ok(untold) => tracing::warn!(peer = %remote, why, untold, "a connection is closed"),
                    Err(TooMany) => tracing::debug!(peer = %remote, why, "a connection is closed"),
                }
            }
            Hangup::Failed(code) => tracing::debug!(peer = %remote, %code, "a connection is closed"),
        }
    }
    // In TLS the end has to be told, or it could be anybody's doing.
    let _ = tokio::time::timeout(FAREWELL, connection.stream.shutdown()).await;
}

/// How large a frame may be, and what that limit is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameLimit {
    pub(super) bytes: usize,
    pub(super) name: &'static str,
}

/// A client's connection.
pub(super) struct Connection<S> {
    stream: S,
    pub(super) host: Host,
    pub(super) peer: Peer,
    /// Bytes that have come and are not served yet.
    inbox: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> Result<(), Hangup> {
        #[cfg(feature = "security")]
        if !security::log_in(self).await? {
            return Ok(());
        }
        let limit = FrameLimit { bytes: self.host.limits.request_bytes, name: "`socket.request.max.bytes`" };
        while let Some((frame, room)) = self.next_frame(limit).await? {
            let mut held = None;
            let served = match wire::open(frame, apis::versions)? {
                Frame::UnknownApiVersions { correlation_id } => {
                    Some(apis::unknown_api_versions(correlation_id)?)
                }
                Frame::Call(mut call) => {
                    if call.client_id.as_ref() != self.peer.client.as_str() {
                        let host = Arc::from(self.peer.client.host());
                        self.peer.client =
                            ClientId::new(call.client_id.clone()).with_host(Arc::<str>::clone(&host));
                    }
                    let exchange = Exchange::new(&self.host, &self.peer, call.version);
                    let answer = timed(&self.host.clock, apis::serve(&exchange, &mut call));
                    let Some((answer, took_ns)) =
                        unless_gone(answer, &mut self.stream, &mut self.inbox).await
                    else {
                        return Ok(());
                    };
                    held = exchange.held.take();
                    let answer = answer?;
                    self.host.counters.count_request(call.key as i16, took_ns);
                    answer
                }
            };
            drop(room);
            if let Some(bytes) = served
                && !self.answer(&bytes).await
            {
                return Ok(());
            }
            drop(held);
        }
        Ok(())
    }

    /// Sends an answer; says whether the client is still there. Who does not read is idle.
    pub(super) async fn answer(&mut self, bytes: &[u8]) -> bool {
        let sent = async {
            self.stream.write_all(bytes).await?;
            // What encrypts holds back what does not fill the network.
            self.stream.flush().await
        };
        matches!(tokio::time::timeout(self.host.limits.idle, sent).await, Ok(Ok(())))
    }

    /// The next request, and the room that it takes; `None` when the client has gone.
    pub(super) async fn next_frame(&mut self, limit: FrameLimit) -> Result<Option<(Bytes, Room)>, Hangup> {
        while self.inbox.len() < LENGTH_BYTES {
            self.inbox.reserve(IDLE_BYTES);
            // Who waits for an answer is not idle.
            match tokio::time::timeout(self.host.limits.idle, self.stream.read_buf(&mut self.inbox)).await {
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
                Err(_) => return Err(Hangup::Idle),
            }
        }
        let length = (&self.inbox[..LENGTH_BYTES]).get_i32();
        let fits = usize::try_from(length).ok().filter(|length| *length <= limit.bytes);
        let Some(length) = fits else { return Err(too_large(length, limit)) };
        let Ok(arrived) = tokio::time::timeout(ARRIVAL, self.arrive(LENGTH_BYTES + length)).await else {
            let seconds = ARRIVAL.as_secs();
            return Err(Hangup::Malformed(format!(
                "a request of {length} bytes that has not come in {seconds} s"
            )));
        };
        let Some(room) = arrived else { return Ok(None) };
        self.inbox.advance(LENGTH_BYTES);
        Ok(Some((self.inbox.split_to(length).freeze(), room)))
    }

    /// Waits until so many bytes are there. Memory comes with what has come: a client that only claims to send much takes
    /// none, and what is large waits for its part of `queued.max.request.bytes`.
    async fn arrive(&mut self, bytes: usize) -> Option<Room> {
        let mut room: Room = None;
        while self.inbox.len() < bytes {
            let next = (bytes - self.inbox.len()).min(self.inbox.len().max(IDLE_BYTES));
            let wanted = if bytes <= WHOLE_BYTES { bytes } else { self.inbox.len() + next };
            let held = room.as_ref().map_or(0, |room| room.num_permits() * PERMIT_BYTES);
            if self.inbox.len() + next > FREE_BYTES.max(held) {
                let permits = u32::try_from((wanted - held).div_ceil(PERMIT_BYTES)).ok()?;
                let more = Arc::clone(&self.host.room).acquire_many_owned(permits).await.ok()?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            self.inbox.reserve(next);
            if matches!(self.stream.read_buf(&mut self.inbox).await, Ok(0) | Err(_)) {
                return None;
            }
        }
        Some(room)
    }
}

fn too_large(length: i32, limit: FrameLimit) -> Hangup {
    let FrameLimit { bytes, name } = limit;
    Hangup::Malformed(match length >> 16 {
        TLS_BEGINS => "it speaks TLS, which this listener does not; is the client set to SSL?".to_owned(),
        _ => format!("a request of {length} bytes; {name} is {bytes}"),
    })
}

/// Waits for an answer as long as the client does; `None` when it has gone. Requests that come meanwhile wait.
async fn unless_gone<S: AsyncRead + Unpin, T>(
    answer: impl Future<Output = T>,
    stream: &mut S,
    inbox: &mut BytesMut,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    // Most are answered at once.
    if let std::task::Poll::Ready(answer) = futures_now(answer.as_mut()).await {
        return Some(answer);
    }
    loop {
        if inbox.len() > IDLE_BYTES {
            return Some(answer.await);
        }
        inbox.reserve(IDLE_BYTES);
        tokio::select! {
            answer = answer.as_mut() => return Some(answer),
            read = stream.read_buf(inbox) => if matches!(read, Ok(0) | Err(_)) { return None; },
        }
    }
}

/// What a future comes to, and how long this thread has worked on it: what it waits for does not count.
async fn timed<F: Future>(clock: &Clock, future: F) -> (F::Output, u64) {
    let mut future = std::pin::pin!(future);
    let mut took_ns = 0;
    let output = std::future::poll_fn(|context| {
        let begin = clock.now_ns();
        let polled = future.as_mut().poll(context);
        took_ns += clock.now_ns().saturating_sub(begin);
        polled
    });
    (output.await, took_ns)
}

/// What a future says when it is asked once.
async fn futures_now<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
}

#[cfg(test)]
mod tests {
    use super::{Clock, futures_now, timed};

    #[tokio::test]
    async fn what_a_request_waits_for_is_not_its_time() {
        let clock = Clock::start();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut served = std::pin::pin!(timed(&clock, receiver));
        assert!(futures_now(served.as_mut()).await.is_pending());
        let (begin, mut waited) = (clock.now_ns(), 0);
        while waited < 1_000_000 {
            waited = clock.now_ns() - begin;
        }
        sender.send(7).unwrap();
        let (answer, took_ns) = served.await;
        assert_eq!(answer, Ok(7));
        assert!(
            took_ns > 0 && took_ns + waited <= clock.now_ns(),
            "{took_ns} ns, and {waited} ns of waiting"
        );
    }
}
