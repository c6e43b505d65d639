//! Streams: the same server without a port, for clients that come over whatever bytes go through: a pipe in a test, a
//! Unix socket, a tunnel.
//!
//! It brings no thread and no runtime: whoever has the streams polls [`Streams::serve`] for each client and
//! [`Streams::keep_time`] beside them, on a runtime of tokio's with time enabled.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Builder;
use super::connection;
use super::counters::Recovery;
use super::host::{Host, Peer};
use super::listener::Entrance;
use crate::api::ClientId;
use crate::shared::SharedBroker;

/// Whoever comes over a stream has no address of its own, and came to none.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A broker that is served over streams.
///
/// ```
/// use headwater_broker::{Broker, BrokerConfig, SharedBroker};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let broker = SharedBroker::new(Broker::new(BrokerConfig::default()));
/// let streams = Broker::builder().streams(broker)?;
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// runtime.block_on(async {
///     let (mut client, stream) = tokio::io::duplex(4096);
///     let ask = async {
///         // ApiVersions in version 0, correlation id 7, without a client id.
///         client.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).await?;
///         let (_length, correlation_id) = (client.read_i32().await?, client.read_i32().await?);
///         drop(client);
///         Ok::<i32, std::io::Error>(correlation_id)
///     };
///     let ((), answer) = tokio::join!(streams.serve(stream), ask);
///     assert_eq!(answer?, 7);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Streams {
    host: Host,
    entrance: Arc<Entrance>,
}

impl Builder {
    /// Serves a broker that is there over streams, and takes no port. Clients come through the first listener: it says
    /// whether they have to log in, and [`Listener::advertised`](super::Listener::advertised) what they are told to
    /// connect to.
    ///
    /// # Errors
    /// When what the listener needs cannot be read, or it is encrypted: that needs a port.
    pub fn streams(self, broker: SharedBroker) -> io::Result<Streams> {
        let listener = self.properties.listeners.all()?.remove(0);
        if listener.protocol().is_encrypted() {
            let why = format!("listener {} is encrypted, which needs a port", listener.name());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let entrance = listener.entrance()?;
        let host = Host::new(broker, &self.properties, Recovery::default());
        Ok(Streams { host, entrance: Arc::new(entrance) })
    }
}

impl Streams {
    /// Serves a client until it goes, or has to. It has gone when its stream ends.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) {
        let client = ClientId::new("").with_host(format!("/{}", NOWHERE.ip()));
        let peer = Peer { client, remote: NOWHERE, local: NOWHERE, entrance: self.entrance.clone() };
        connection::talk(stream, self.host.clone(), peer).await;
    }

    /// Lets the broker do what is due, without an end: sessions run out, groups become complete, old records go. Without
    /// it whoever waits for somebody else may wait for ever.
    pub async fn keep_time(&self) {
        super::tick(self.host.clone()).await;
    }
}
