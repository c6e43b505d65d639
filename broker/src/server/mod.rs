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
//! 5. What it has counted is served on a thread of its own, if asked for (`Builder::metrics`).

mod apis;
mod clock;
mod connection;
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "it counts always; only the pages read all of it")
)]
mod counters;
mod exchange;
mod foreign;
mod host;
mod listener;
mod listeners;
#[cfg(feature = "metrics")]
mod metrics;
mod notices;
mod properties;
#[cfg(feature = "security")]
mod security;
mod streams;
mod waiting;

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
use crate::identity::IdSource;
use crate::shared::SharedBroker;
use crate::storage::files::{FileOptions, FileStorage};
use clock::Clock;
use counters::Recovery;
use host::{Host, Peer};
use listener::{Entrance, Port};
#[cfg(feature = "metrics")]
use metrics::MetricsServer;
use notices::TooMany;
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

    /// Serves `/metrics` for Prometheus, and `/health`, `/health/live` and `/health/ready` for probes, over HTTP at this
    /// address (`metrics.address`); port 0 takes a free one. Whoever reaches it reads the names of topics, so give it
    /// [`Builder::METRICS`] unless others shall.
    ///
    /// ```
    /// let server = headwater_broker::Broker::builder().metrics("127.0.0.1:0").start()?;
    /// println!("http://{}/metrics", server.metrics_address().expect("it was asked for"));
    /// assert!(server.metrics_text().contains("headwater_broker_connections 0"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(mut self, address: impl Into<String>) -> Self {
        self.properties.metrics = Some(address.into());
        self
    }

    /// An address for metrics that only this machine reaches. An application's own are at port 9464.
    #[cfg(feature = "metrics")]
    pub const METRICS: &str = "127.0.0.1:9465";

    /// Starts a broker: a new one in memory, or the one that its folder holds.
    ///
    /// # Errors
    /// When the folder is used by another broker or cannot be read, when the address cannot be listened at, or no thread
    /// started.
    pub fn start(self) -> io::Result<Server> {
        let (broker, recovery) = open(&self.properties)?;
        let mut server = self.serve_recovered(SharedBroker::new(broker), recovery)?;
        server.owned = true;
        Ok(server)
    }

    /// Serves a broker that is there; its settings stay its own.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn serve(self, broker: SharedBroker) -> io::Result<Server> {
        self.serve_recovered(broker, Recovery::default())
    }

    fn serve_recovered(self, broker: SharedBroker, recovery: Recovery) -> io::Result<Server> {
        let ports = self.properties.listeners.open()?;
        // There is one at least.
        let address = ports[0].address;
        let addresses = ports.iter().map(|port| (port.entrance.name.clone(), port.address)).collect();
        let host = Host::new(broker.clone(), &self.properties, recovery);
        #[cfg(feature = "metrics")]
        let (shown, metrics) = (host.clone(), serve_metrics(&self.properties, &host)?);
        #[cfg(not(feature = "metrics"))]
        if self.properties.metrics.is_some() {
            let why = "`metrics.address` needs the feature `metrics`";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        for Port { address, entrance, .. } in &ports {
            tracing::info!(%address, listener = entrance.name, protocol = %entrance.protocol, "clients are served");
        }
        let stop = Arc::new(Notify::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let told = stop.clone();
        let run = move || {
            let local = LocalSet::new();
            local.block_on(&runtime, serve(ports, host, told));
        };
        let thread = std::thread::Builder::new().name("headwater-broker".to_owned()).spawn(run)?;
        Ok(Server {
            address,
            addresses,
            broker,
            stop,
            thread: Some(thread),
            owned: false,
            #[cfg(feature = "metrics")]
            shown,
            #[cfg(feature = "metrics")]
            metrics,
        })
    }
}

#[cfg(feature = "metrics")]
fn serve_metrics(properties: &Properties, host: &Host) -> io::Result<Option<MetricsServer>> {
    let Some(address) = &properties.metrics else { return Ok(None) };
    listener::bind(address).and_then(|listener| MetricsServer::start(listener, host)).map(Some)
}

/// The broker that lies in a folder, or a new one.
fn open(properties: &Properties) -> io::Result<(Broker, Recovery)> {
    let mut config = properties.broker.clone();
    let random = || RandomState::new().hash_one(());
    if config.seed == 0 {
        // Topics that are made anew by another broker are other topics, and clients know them by their ids.
        config.seed = random();
    }
    let Some(dir) = &properties.dir else { return Ok((Broker::new(config), Recovery::default())) };
    let failed = |error: &dyn std::fmt::Display, kind| {
        let hint = hint(kind);
        io::Error::new(kind, format!("the broker's folder {dir} cannot be opened: {error}; {hint}"))
    };
    // Who wants each record to be durable wants that of offsets and transactions, too.
    let flush_journal = config.topic_defaults.get("flush.messages").is_some_and(|messages| messages == "1");
    let options = FileOptions { flush_journal, ..FileOptions::default() };
    let clock = Clock::start();
    let storage = FileStorage::open(dir, options).map_err(|error| failed(&error, error.kind()))?;
    let drawn = IdSource::new(random()).cluster_id();
    config.cluster_id = Some(storage.cluster_id(&drawn).map_err(|error| failed(&error, error.kind()))?);
    let broker = Broker::open(config, Box::new(storage), clock.now_ms());
    let mut broker = broker.map_err(|error| failed(&error, io::ErrorKind::Other))?;
    let mut recovery = Recovery { took_ns: clock.now_ns(), damaged_bytes: 0 };
    for damage in broker.take_damages() {
        recovery.damaged_bytes += damage.bytes;
        tracing::warn!(%damage, "something is damaged");
    }
    tracing::info!(
        folder = dir,
        topics = broker.topics().len(),
        partitions = broker.partitions().count(),
        damaged_bytes = recovery.damaged_bytes,
        took_ms = recovery.took_ns / 1_000_000,
        "the folder is taken up"
    );
    Ok((broker, recovery))
}

/// What to do where a folder cannot be opened.
fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ResourceBusy => "end that one, or choose another folder",
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "it is a file: choose another name",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that this user may write to"
        }
        _ => "something in it cannot be read or written: look at its disk and at who may read its files",
    }
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
    #[cfg(feature = "metrics")]
    shown: Host,
    #[cfg(feature = "metrics")]
    metrics: Option<MetricsServer>,
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

    /// Where metrics are served, if they are.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// The text of `/metrics`, for a program that has an HTTP server already.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics_text(&self) -> String {
        metrics::text(&self.shown)
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
                host.counters.refused.add(1);
                match host.notices.refused.admit(host.clock.now_ms()) {
                    Ok(untold) => {
                        tracing::warn!(%peer, untold, "a connection is refused: `max.connections` is {most}");
                    }
                    Err(TooMany) => {
                        tracing::debug!(%peer, "a connection is refused: `max.connections` is {most}");
                    }
                }
            }
            Ok((stream, remote)) => {
                let Ok(local) = stream.local_addr() else { continue };
                // Answers are whole: they need not wait for more.
                let _ = stream.set_nodelay(true);
                let client = ClientId::new("").with_host(format!("/{}", remote.ip()));
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let peer = Peer { client, remote, local, entrance: entrance.clone() };
                let counters = host.counters.clone();
                counters.accepted.add(1);
                let served = connection::serve(stream, host.clone(), peer);
                tokio::task::spawn_local(async move {
                    served.await;
                    counters.ended.add(1);
                    drop(place);
                });
            }
            Err(error) => {
                if let Ok(untold) = host.notices.refused.admit(host.clock.now_ms()) {
                    tracing::warn!(%error, untold, listener = entrance.name, "a connection could not be accepted");
                }
                tokio::time::sleep(std::time::Duration::from_millis(TICK_MS)).await;
            }
        }
    }
}

/// Lets the broker do what is due.
async fn tick(host: Host) {
    let mut timed_out = host.broker.lock().figures().timed_out;
    loop {
        let now = host.clock.now_ms();
        let (deadline, damages, figures) = {
            let mut broker = host.broker.lock();
            broker.tick(now);
            (broker.next_deadline(), broker.take_damages(), broker.figures())
        };
        let came_round = &host.counters.came_round_ms;
        came_round.add(u64::try_from(now).unwrap_or(0).saturating_sub(came_round.get()));
        for damage in damages {
            if let Ok(untold) = host.notices.damaged.admit(now) {
                tracing::warn!(%damage, untold, "something is damaged");
            }
        }
        if figures.timed_out > timed_out {
            let transactions = figures.timed_out - timed_out;
            tracing::debug!(transactions, "transactions are aborted: their time was up");
            timed_out = figures.timed_out;
        }
        let most = std::time::Duration::from_millis(TICK_MS);
        let pause = deadline.map_or(most, |deadline| host.clock.until(deadline).min(most));
        // A deadline that has passed and stays is looked at again soon, not at once.
        tokio::time::sleep(pause.max(std::time::Duration::from_millis(1))).await;
    }
}
