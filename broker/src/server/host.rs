//! The host: what all connections of a server share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::clock::Clock;
use super::counters::{Counters, Recovery};
use super::listener::Entrance;
use super::notices::Notices;
use super::properties::Properties;
use super::waiting::Waiting;
use crate::api::ClientId;
use crate::broker::BrokerConfig;
use crate::shared::SharedBroker;

/// The number of the only node.
pub(super) const NODE_ID: i32 = 1;

/// A piece of the room for requests.
pub(super) const PERMIT_BYTES: usize = 1 << 10;

/// What connections share. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) broker: SharedBroker,
    pub(super) clock: Clock,
    /// Somebody's answer is ready.
    pub(super) answers: Arc<Notify>,
    /// Fetches that wait for data, or for a last stable offset.
    pub(super) waiting: Arc<Waiting>,
    pub(super) limits: Limits,
    /// Bytes of requests that there is room for, in pieces of [`PERMIT_BYTES`].
    pub(super) room: Arc<Semaphore>,
    /// Bytes of answers that there is room for, as many as for requests, in pieces of [`PERMIT_BYTES`].
    pub(super) answer_room: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
    pub(super) notices: Arc<Notices>,
    pub(super) cluster_id: Arc<str>,
    /// The broker's settings, as it shows them.
    pub(super) settings: Arc<[(&'static str, String)]>,
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// `socket.request.max.bytes`.
    pub(super) request_bytes: usize,
    /// `fetch.max.bytes`.
    pub(super) fetch_bytes: usize,
    /// `max.connections`.
    pub(super) connections: usize,
    /// `queued.max.request.bytes`.
    pub(super) queued_bytes: usize,
    /// `connections.max.idle.ms`.
    pub(super) idle: Duration,
}

impl Host {
    pub(super) fn new(broker: SharedBroker, properties: &Properties, recovery: Recovery) -> Self {
        let limits = Limits {
            request_bytes: properties.request_bytes,
            fetch_bytes: properties.fetch_bytes,
            connections: properties.connections,
            // One request of the largest size has to fit.
            queued_bytes: properties.queued_bytes.max(properties.request_bytes),
            idle: Duration::from_millis(u64::try_from(properties.idle_ms).unwrap_or(u64::MAX)),
        };
        let room = (limits.queued_bytes / PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        let (answers, waiting) = (Arc::new(Notify::new()), Arc::new(Waiting::default()));
        let (tell_answers, tell_waiting) = (answers.clone(), waiting.clone());
        broker.listen_closely(move |change, moved| {
            if change.answers {
                tell_answers.notify_waiters();
            }
            tell_waiting.wake(moved);
        });
        let (cluster_id, settings) = {
            let broker = broker.lock();
            (broker.cluster_id(), settings(broker.config(), &limits))
        };
        let clock = Clock::start();
        let (room, answer_room) = (Arc::new(Semaphore::new(room)), Arc::new(Semaphore::new(room)));
        let counters = Arc::new(Counters::new(recovery));
        // Until the thread runs it counts as one that has come round.
        counters.came_round_ms.add(u64::try_from(clock.now_ms()).unwrap_or(0));
        let notices = Arc::default();
        Self {
            broker,
            clock,
            answers,
            waiting,
            limits,
            room,
            answer_room,
            counters,
            notices,
            cluster_id,
            settings,
        }
    }
}

/// What the broker runs with, by Kafka's names.
fn settings(config: &BrokerConfig, limits: &Limits) -> Arc<[(&'static str, String)]> {
    [
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        ("connections.max.idle.ms", limits.idle.as_millis().to_string()),
        ("fetch.max.bytes", limits.fetch_bytes.to_string()),
        ("group.initial.rebalance.delay.ms", config.group_initial_rebalance_delay_ms.to_string()),
        ("group.max.session.timeout.ms", config.group_max_session_timeout_ms.to_string()),
        ("group.min.session.timeout.ms", config.group_min_session_timeout_ms.to_string()),
        ("max.connections", limits.connections.to_string()),
        ("node.id", NODE_ID.to_string()),
        ("num.partitions", config.default_partitions.to_string()),
        ("offset.metadata.max.bytes", config.offset_metadata_max_bytes.to_string()),
        ("producer.id.expiration.ms", config.producer_id_expiration_ms.to_string()),
        ("queued.max.request.bytes", limits.queued_bytes.to_string()),
        ("socket.request.max.bytes", limits.request_bytes.to_string()),
        ("transaction.max.timeout.ms", config.transaction_max_timeout_ms.to_string()),
        ("transactional.id.expiration.ms", config.transactional_id_expiration_ms.to_string()),
    ]
    .into()
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) client: ClientId,
    /// Its address.
    pub(super) remote: SocketAddr,
    /// The address of ours that it came to.
    pub(super) local: SocketAddr,
    /// The listener that it came through.
    pub(super) entrance: Arc<Entrance>,
}
