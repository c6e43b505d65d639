//! Requests: what a client sends to the broker, however hostile.
//!
//! 1. An input is read as a [`script`]: frames with any body, bytes as they are, time that passes.
//! 2. It is played to a broker with a few topics by the code that serves a TCP connection, over a pipe.
//! 3. Nothing may panic, and no answer may be other than its API and version want it.
//! 4. After it an honest client is served, in a moment and with what it wrote.

mod honest;
pub mod script;
pub mod seeds;

use std::future::Future;
use std::time::Duration;

use bytes::{Buf, Bytes};
use headwater_broker::api::{CreateTopicsRequest, Isolation, NewTopic};
use headwater_broker::server::{Listener, Mechanism, Sasl, Streams};
use headwater_broker::{Broker, BrokerConfig, ClientId, SharedBroker, TopicPartition};
use kafka_protocol::messages::{ApiKey, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::Decodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;

use script::{Connection, Frame, Script, Step};

/// Ids of topics and members follow from it, so that inputs can name them.
const SEED: u64 = 1;
/// The user of the listener with a login.
const USER: &str = "alice";
const PASSWORD: &str = "open sesame";
/// So long a client waits for an answer. No real time passes: where nobody has anything to do the clock moves on.
const PATIENCE: Duration = Duration::from_secs(1);
/// So long nothing takes, unless it hangs.
const HANG: Duration = Duration::from_secs(24 * 3_600);
/// Bytes on their way.
const PIPE_BYTES: usize = 64 << 10;
/// A request of this size may come.
const REQUEST_BYTES: usize = 1 << 20;
/// Partitions that are looked at.
const LOOKS: i32 = 64;

/// A server that outlives inputs; its broker does not.
pub struct Target {
    runtime: Runtime,
    broker: SharedBroker,
    open: Streams,
    login: Streams,
}

/// A broker with the topics that seeds name: one like any other, one that is compacted, one with the broker's time.
fn broker() -> Broker {
    let config = BrokerConfig { seed: SEED, auto_create_topics: true, ..BrokerConfig::default() };
    let mut broker = Broker::new(config);
    let topics = vec![
        NewTopic::new("a", 2),
        NewTopic::new("c", 1).with_config("cleanup.policy", "compact"),
        NewTopic::new("t", 1).with_config("message.timestamp.type", "LogAppendTime"),
    ];
    broker
        .call(&ClientId::new("setup"), CreateTopicsRequest::new(topics), 0)
        .expect("it is answered at once");
    broker
}

impl Target {
    /// A server with a broker of its own.
    ///
    /// # Panics
    /// If there can be none.
    #[must_use]
    pub fn new() -> Self {
        let broker = SharedBroker::new(broker());
        let limit = REQUEST_BYTES.to_string();
        let builder = Broker::builder();
        let builder = builder.set("socket.request.max.bytes", &limit).expect("there is such a property");
        let builder = builder.set("queued.max.request.bytes", &limit).expect("there is such a property");
        let sasl = Sasl::new([Mechanism::Plain, Mechanism::ScramSha256]).user(USER, PASSWORD);
        let listener = Listener::new("SASL_PLAINTEXT", "127.0.0.1:0").sasl(sasl);
        let login = builder.clone().listener(listener).streams(broker.clone()).expect("it takes no port");
        let open = builder.streams(broker.clone()).expect("it takes no port");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        Self { runtime: runtime.expect("it is one thread"), broker, open, login }
    }

    /// Plays an input.
    ///
    /// # Panics
    /// If the broker does what it may not.
    pub fn run(&self, input: &[u8]) {
        *self.broker.lock() = broker();
        let script = Script::read(input);
        let streams = if script.logs_in { &self.login } else { &self.open };
        self.runtime.block_on(within(streams, async {
            for connection in &script.connections {
                let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
                tokio::join!(streams.serve(theirs), play(connection, ours));
            }
        }));
        check(&self.broker);
        self.runtime.block_on(within(&self.open, honest::check(&self.open)));
        assert!(!self.broker.lock().has_answers(), "there are answers that nobody wants");
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets time pass for the broker while something is done, which has to come to an end.
async fn within<T>(streams: &Streams, doing: impl Future<Output = T>) -> T {
    tokio::select! {
        done = tokio::time::timeout(HANG, doing) => done.expect("a connection hangs"),
        () = streams.keep_time() => unreachable!("time has no end"),
    }
}

/// A client: it waits for answers where the script wants it to, and goes when none comes.
async fn play(connection: &Connection, mut stream: DuplexStream) {
    let mut unread = Vec::new();
    for step in &connection.steps {
        let sent = match step {
            Step::Wait(time) => {
                tokio::time::sleep(*time).await;
                continue;
            }
            Step::Bytes(bytes) => stream.write_all(bytes).await,
            Step::Frame(frame) => {
                unread.push(frame);
                stream.write_all(&frame.bytes()).await
            }
        };
        if sent.is_err() {
            return;
        }
        if matches!(step, Step::Frame(frame) if frame.waits) {
            for frame in unread.drain(..) {
                match tokio::time::timeout(PATIENCE, answer(&mut stream)).await {
                    Ok(Some(answer)) => check_answer(frame, answer),
                    _ => return,
                }
            }
        }
    }
    if !connection.hangs_up {
        // It says that nothing more comes, and listens until the other side is done.
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// The next answer; none at the end.
async fn answer(stream: &mut DuplexStream) -> Option<Bytes> {
    let length = stream.read_i32().await.ok()?;
    let mut answer = vec![0; usize::try_from(length).expect("an answer has a length")];
    stream.read_exact(&mut answer).await.ok()?;
    Some(answer.into())
}

/// An answer can be read. Some requests have none (`acks=0`), so that those behind are out of step; tokens of a login
/// may be bare; an unknown version of ApiVersions is answered in another one.
fn check_answer(frame: &Frame, mut answer: Bytes) {
    let Ok(key) = ApiKey::try_from(i16::from(frame.key)) else { return };
    let (version, known) = (i16::from(frame.version), key.valid_versions());
    if answer.len() < 4 || (&answer[..]).get_i32() != frame.correlation_id {
        return;
    }
    if !(known.min..=known.max).contains(&version) || key == ApiKey::SaslHandshake && version == 0 {
        return;
    }
    let header = ResponseHeader::decode(&mut answer, key.response_header_version(version));
    header.unwrap_or_else(|error| panic!("{key:?} {version}: the header of an answer: {error}"));
    let told = ResponseKind::decode(key, &mut answer, version);
    told.unwrap_or_else(|error| panic!("{key:?} {version}: an answer that cannot be read: {error}"));
    assert!(answer.is_empty(), "{key:?} {version}: {} bytes behind an answer", answer.len());
}

/// What holds for any broker.
fn check(broker: &SharedBroker) {
    let broker = broker.lock();
    assert!(!broker.is_down());
    for topic in broker.topics() {
        for partition in 0..broker.partition_count(&topic).unwrap_or(0).min(LOOKS) {
            let view = broker.partition(&topic, partition).expect("a topic has its partitions");
            let (start, stable, end) = (view.log_start_offset, view.last_stable_offset, view.high_watermark);
            assert!(0 <= start && start <= stable && stable <= end, "{topic}-{partition}: {view:?}");
            let at = TopicPartition::new(topic.as_str(), partition);
            assert_eq!(broker.end_offset(&at, Isolation::ReadCommitted), Some(stable));
        }
    }
}
