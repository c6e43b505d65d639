//! The server: the broker behind a TCP port.
//!
//! ```
//! use headwater_broker::Broker;
//!
//! let server = Broker::builder().start()?;
//! println!("bootstrap.servers={}", server.address());
//! // It ends when it is dropped.
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! 1. One thread serves all connections; each is served request by request, in order. What waits (a fetch for data, a
//!    member for its group) holds up its own connection only, as in Kafka.
//! 2. The broker is shared: whoever has it in this process ([`Server::broker`]) sees what clients do, and the other
//!    way round.
//! 3. It binds the loopback address unless it is told otherwise. It may listen at several addresses, each secured in its
//!    own way: clients are told to go on through the [`Listener`] that they came through.
//! 4. Requests have a largest size each (`socket.request.max.bytes`) and together (`queued.max.request.bytes`: who sends
//!    more waits), connections a number (`max.connections`) and a time that they may be idle
//!    (`connections.max.idle.ms`).

mod apis;
mod clock;
mod connection;
mod exchange;
mod host;
mod listener;
mod listeners;
mod properties;
#[cfg(feature = "security")]
mod security;
mod streams;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{Notify, Semaphore};
use tokio::task::LocalSet;

use crate::api::ClientId;
use crate::broker::{Broker, BrokerConfig};
use crate::shared::SharedBroker;
use crate::storage::files::{FileOptions, FileStorage};
use clock::Clock;
use host::{Host, Peer};
use listener::{Entrance, Port};
use properties::Properties;

pub use listener::{Listener, Protocol};
pub use properties::PropertyError;
#[cfg(feature = "security")]
pub use security::{ClientAuth, Mechanism, Pem, Sasl, Tls};
pub use streams::Streams;

/// The longest time between two looks at what is due: faults and clients in this process may bring something at any time.
const TICK_MS: u64 = 100;

impl Broker {
    /// A broker to be served at a TCP port.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { properties: Properties::default() }
    }
}

/// How a broker is served.
#[derive(Clone, Debug)]
pub struct Builder {
    properties: Properties,
}

impl Builder {
    /// The address to listen at without encryption and login: that of the listener `PLAINTEXT`. Where no listener is
    /// given at all there is this one, at a free port of the loopback address.
    #[must_use]
    pub fn listen(self, address: impl Into<String>) -> Self {
        self.listener(Listener::new(Listener::PLAINTEXT, address))
    }

    /// A listener beside those that were given before; it takes the place of one of its name.
    #[must_use]
    pub fn listener(mut self, listener: Listener) -> Self {
        self.properties.listeners.add(listener);
        self
    }

    /// The broker's settings, in place of all that were set before.
    #[must_use]
    pub fn config(mut self, config: BrokerConfig) -> Self {
        self.properties.broker = config;
        self
    }

    /// A property by Kafka's name. `log.*` are the defaults of topics.
    ///
    /// ```
    /// use headwater_broker::Broker;
    ///
    /// let builder = Broker::builder().set("num.partitions", "4")?.set("log.retention.hours", "1")?;
    /// let error = builder.set("num.partition", "4").unwrap_err().to_string();
    /// assert_eq!(error, "there is no property `num.partition`; did you mean `num.partitions`?");
    /// # Ok::<(), headwater_broker::server::PropertyError>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such property, or it cannot have this value.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, PropertyError> {
        self.properties.set(name, value)?;
        Ok(self)
    }

    /// Properties that were set and mean nothing to a broker of one node.
    #[must_use]
    pub fn without_effect(&self) -> &[String] {
        &self.properties.without_effect
    }

    /// The folder of its data, which is made when there is none; without one it keeps everything in memory, and nothing
    /// when it ends. What was acknowledged survives the end of the process, however it comes; see
    /// [`crate::storage::files`] for what a power cut may take.
    #[must_use]
    pub fn dir(mut self, folder: impl Into<String>) -> Self {
        self.properties.dir = Some(folder.into());
        self
    }

    /// Starts a broker: a new one in memory, or the one that its folder holds.
    ///
    /// # Errors
    /// When the folder is used by another broker or cannot be read, when the address cannot be listened at, or no thread
    /// started.
    pub fn start(self) -> io::Result<Server> {
        let broker = SharedBroker::new(open(&self.properties)?);
        let mut server = self.serve(broker)?;
        server.owned = true;
        Ok(server)
    }

    /// Serves a broker that is there; its settings stay its own.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn serve(self, broker: SharedBroker) -> io::Result<Server> {
        let ports = self.properties.listeners.open()?;
        // There is one at least.
        let address = ports[0].address;
        let addresses = ports.iter().map(|port| (port.entrance.name.clone(), port.address)).collect();
        let host = Host::new(broker.clone(), &self.properties);
        let stop = Arc::new(Notify::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let told = stop.clone();
        let run = move || {
            let local = LocalSet::new();
            local.block_on(&runtime, serve(ports, host, told));
        };
        let thread = std::thread::Builder::new().name("headwater-broker".to_owned()).spawn(run)?;
        Ok(Server { address, addresses, broker, stop, thread: Some(thread), owned: false })
    }
}

/// The broker that lies in a folder, or a new one.
fn open(properties: &Properties) -> io::Result<Broker> {
    let mut config = properties.broker.clone();
    let Some(dir) = &properties.dir else {
        if config.seed == 0 {
            // Topics that are made anew by another broker are other topics, and clients know them by their ids.
            config.seed = RandomState::new().hash_one(());
        }
        return Ok(Broker::new(config));
    };
    let failed = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("the broker's folder {dir} cannot be opened: {error}"))
    };
    // Who wants each record to be durable wants that of offsets and transactions, too.
    let flush_journal = config.topic_defaults.get("flush.messages").is_some_and(|messages| messages == "1");
    let options = FileOptions { flush_journal, ..FileOptions::default() };
    let storage = FileStorage::open(dir, options).map_err(|error| failed(&error))?;
    let mut broker =
        Broker::open(config, Box::new(storage), Clock::start().now_ms()).map_err(|error| failed(&error))?;
    for damage in broker.take_damages() {
        tracing::warn!(%damage, "something is damaged");
    }
    Ok(broker)
}

/// A broker that is served. It ends when this is dropped: connections are closed, and the port is free.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    addresses: BTreeMap<String, SocketAddr>,
    broker: SharedBroker,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    /// Whether the broker ends with it.
    owned: bool,
}

impl Server {
    /// Where it listens, by its first listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, by the names of its listeners.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// The broker itself, to look inside or to plant faults.
    #[must_use]
    pub fn broker(&self) -> &SharedBroker {
        &self.broker
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, which has been told.
            let _ = thread.join();
        }
        if self.owned
            && let Err(error) = self.broker.lock().close(i64::MIN)
        {
            tracing::warn!(%error, "the broker could not end in order: its next start reads more");
        }
    }
}

/// Serves all listeners until it is told to stop. What it has started ends with the set of tasks that it runs in.
async fn serve(ports: Vec<Port>, host: Host, stop: Arc<Notify>) {
    let places = Arc::new(Semaphore::new(host.limits.connections.min(Semaphore::MAX_PERMITS)));
    for Port { socket, entrance, .. } in ports {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => {
                tokio::task::spawn_local(accept(socket, entrance, host.clone(), places.clone()));
            }
            Err(error) => tracing::error!(%error, listener = entrance.name, "the port cannot be served"),
        }
    }
    tokio::task::spawn_local(tick(host));
    stop.notified().await;
}

/// Accepts the connections of a listener.
async fn accept(
    socket: tokio::net::TcpListener,
    entrance: Arc<Entrance>,
    host: Host,
    places: Arc<Semaphore>,
) {
    loop {
        match socket.accept().await {
            Ok((_, peer)) if places.available_permits() == 0 => {
                let most = host.limits.connections;
                tracing::warn!(%peer, "a connection is refused: `max.connections` is {most}");
            }
            Ok((stream, remote)) => {
                let Ok(local) = stream.local_addr() else { continue };
                // Answers are whole: they need not wait for more.
                let _ = stream.set_nodelay(true);
                let client = ClientId::new("").with_host(format!("/{}", remote.ip()));
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let peer = Peer { client, remote, local, entrance: entrance.clone() };
                let served = connection::serve(stream, host.clone(), peer);
                tokio::task::spawn_local(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, listener = entrance.name, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(TICK_MS)).await;
            }
        }
    }
}

/// Lets the broker do what is due.
async fn tick(host: Host) {
    loop {
        let now = host.clock.now_ms();
        let deadline = {
            let mut broker = host.broker.lock();
            broker.tick(now);
            broker.next_deadline()
        };
        let most = std::time::Duration::from_millis(TICK_MS);
        let pause = deadline.map_or(most, |deadline| host.clock.until(deadline).min(most));
        // A deadline that has passed and stays is looked at again soon, not at once.
        tokio::time::sleep(pause.max(std::time::Duration::from_millis(1))).await;
    }
}
