//! Settings: what librdkafka is told, by its own names.

use std::fmt;

use super::backlog::Limits;
use super::{GOSSIP_MS, Tuning};
use crate::kafka::{
    ClusterOptions, Identity, Isolation, MemberOptions, Pem, ProducerOptions, Secret, Security, Tls,
};

type Pairs = Vec<(String, String)>;

/// Each partition waits in a queue of its own, of so many KiB at most and at least; a queue that is full is not fetched for.
const QUEUED_KBYTES: [usize; 2] = [1024, 16];
/// How much a KiB of it takes: one more fetch comes as the queue is nearly full, and librdkafka adds some 330 bytes to each
/// message, which of short ones is three times what they are themselves.
const QUEUED_TIMES: usize = 2 * 4;
/// What a client's own queue of records to be sent may hold; what is more waits in our batches, which are smaller.
const PRODUCER_KBYTES: usize = 65_536;
/// And no more records than this: librdkafka adds some 250 bytes to each.
const PRODUCER_RECORDS: &str = "100000";
/// What librdkafka adds to a record when it compares its size with `message.max.bytes`.
const RECORD_SLACK: usize = 512;
/// The most records of a batch: librdkafka's default.
const BATCH_RECORDS: usize = 10_000;
/// What a request has beside its records, and more.
const REQUEST_OVERHEAD: usize = 512;
/// How long a batch waits for more records.
const LINGER_MS: u64 = 2;
/// The upper limit of `message.max.bytes`.
const LARGEST_RECORD: usize = 1_000_000_000;
/// After how long a broker that does not answer, but keeps its connection, is given up: by who asks questions, since these are
/// asked again by then, of another one perhaps; and by who reads or is in the group, as Java's `request.timeout.ms`.
const ASKING_MS: i32 = super::questions::TIMEOUT_MS;
const READING_MS: &str = "30000";
/// The upper limit of `max.poll.interval.ms`.
const LONGEST_POLL_MS: i64 = 86_400_000;

fn pairs<const N: usize>(all: [(&str, &str); N]) -> Pairs {
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What a consumer is like.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) client: String,
    pub(super) isolation: Isolation,
    /// Where there is no record, a broker waits for some so long.
    pub(super) wait_ms: u32,
    /// What may wait of each partition.
    pub(super) queued_kbytes: usize,
}

/// How to reach the cluster. Passwords are among it.
pub(super) struct Connection(Pairs);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Connection {
    pub(super) fn new(options: &ClusterOptions) -> Self {
        let Security { tls, login } = &options.security;
        let protocol = match (tls, login) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        let servers = options.servers.join(",");
        let mut all = pairs([("bootstrap.servers", &*servers), ("security.protocol", protocol)]);
        if let Some(tls) = tls {
            encryption(tls, &mut all);
        }
        if let Some(login) = login {
            all.extend(pairs([
                ("sasl.mechanism", login.mechanism.name()),
                ("sasl.username", &login.username),
                ("sasl.password", login.password.reveal()),
            ]));
        }
        Self(all)
    }
}

fn encryption(tls: &Tls, all: &mut Pairs) {
    let mut pem = |file: &str, text: &str, pem: &Pem| {
        let (name, value) = match pem {
            Pem::File(path) => (file, path.as_str()),
            Pem::Text(lines) => (text, lines.reveal()),
        };
        all.extend(pairs([(name, value)]));
    };
    tls.trust.iter().for_each(|trust| pem("ssl.ca.location", "ssl.ca.pem", trust));
    if let Some(Identity::Pem { certificate, key, .. }) = &tls.identity {
        pem("ssl.certificate.location", "ssl.certificate.pem", certificate);
        pem("ssl.key.location", "ssl.key.pem", key);
    }
    let hidden = |name: &str, password: &Option<Secret>| {
        password.as_ref().map(|password| (name.to_owned(), password.reveal().to_owned()))
    };
    match &tls.identity {
        None => {}
        Some(Identity::Pem { password, .. }) => all.extend(hidden("ssl.key.password", password)),
        Some(Identity::Store { file, password }) => {
            all.extend(pairs([("ssl.keystore.location", file.as_str())]));
            all.extend(hidden("ssl.keystore.password", password));
        }
    }
    let names_host = if tls.names_host { "https" } else { "none" };
    all.extend(pairs([("ssl.endpoint.identification.algorithm", names_host)]));
}

/// What the queue of one of so many partitions may hold, KiB, where all may take `bytes`. By powers of two, so that it is
/// another one only where it matters.
pub(super) fn queued_kbytes(partitions: usize, bytes: usize) -> usize {
    let [most, least] = QUEUED_KBYTES;
    let each = bytes / partitions.max(1) / QUEUED_TIMES / 1024;
    let power = each.checked_ilog2().map_or(0, |exponent| 1 << exponent);
    power.clamp(least, most)
}

impl Tuning {
    fn common(&self, client: &str) -> Pairs {
        let mut common = self.connection.0.clone();
        common.extend(pairs([
            // A topic that was deleted is not made again, with a broker's defaults, by whoever writes to it: a producer would
            // unless it is told not to.
            ("allow.auto.create.topics", "false"),
            ("client.id", client),
            // Half of it passes at each start: a client that has learnt who the brokers are connects to the next one only then.
            // While all brokers are away clients look for one as often; the four of an application take 1 % of a core for that.
            ("reconnect.backoff.ms", "100"),
            // A broker that is back is found within a second.
            ("reconnect.backoff.max.ms", "1000"),
            ("socket.keepalive.enable", "true"),
            ("socket.nagle.disable", "true"),
        ]));
        common
    }

    /// For questions. It is never in the group, but has to be a consumer of one: librdkafka (2.12.1) follows a null pointer
    /// where a coordinator that has moved answers a question for committed offsets, and the client has no group.
    pub(super) fn admin(&self, client: &str, group: &str) -> Pairs {
        let mut settings = self.common(client);
        settings.extend(pairs([
            ("group.id", group),
            ("enable.auto.commit", "false"),
            // Who leads a partition is not asked again where an answer says that the epoch is an old one, as after every
            // election (librdkafka 2.12.1, `ListOffsets`): what is known may not be old, or no question is answered for minutes.
            ("metadata.max.age.ms", "2000"),
            // Who is asked about topics is whoever the brokers call their controller; a dead one would be asked until it is back.
            ("topic.metadata.refresh.interval.ms", "2000"),
            // All brokers are connected to at once. One that is connected to when it is asked is connected to again without a
            // pause as long as it is away (librdkafka 2.12.1, `RD_KAFKA_OP_CONNECT`), which takes a core.
            ("enable.sparse.connections", "false"),
            ("socket.timeout.ms", &ASKING_MS.to_string()),
        ]));
        settings
    }

    /// For a consumer that reads what it is told to.
    pub(super) fn consumer(&self, reader: &Reader) -> Pairs {
        let isolation = match reader.isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        let (mut settings, wait) = (self.common(&reader.client), reader.wait_ms.to_string());
        let gossip = GOSSIP_MS.to_string();
        let (queued, fetched) = (reader.queued_kbytes.to_string(), (reader.queued_kbytes * 1024).to_string());
        settings.extend(pairs([
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("fetch.message.max.bytes", &fetched),
            // The default of a second stalls a partition whose queue was full for a moment.
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.wait.max.ms", &wait),
            ("isolation.level", isolation),
            ("queued.max.messages.kbytes", &queued),
            ("queued.min.messages", "10000"),
            ("socket.timeout.ms", READING_MS),
            // The ends of partitions. They come with every fetch; brokers are asked for nothing more.
            ("statistics.interval.ms", "1000"),
            // How soon a topic that a broker did not know is found, or known to be gone.
            ("topic.metadata.refresh.interval.ms", &gossip),
        ]));
        settings
    }

    /// For a member of a group, which reads nothing itself.
    pub(super) fn member(&self, options: &MemberOptions) -> Pairs {
        let mut settings = self.common(&options.client);
        let session = options.session_timeout_ms.to_string();
        let heartbeat = options.heartbeat_interval_ms.to_string();
        // librdkafka refuses one that is shorter than the session, or longer than a day.
        let poll =
            options.max_poll_interval_ms.min(LONGEST_POLL_MS).max(options.session_timeout_ms).to_string();
        settings.extend(pairs([
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("group.id", &options.group),
            ("heartbeat.interval.ms", &heartbeat),
            ("max.poll.interval.ms", &poll),
            ("partition.assignment.strategy", "range"),
            ("session.timeout.ms", &session),
            ("socket.timeout.ms", READING_MS),
            // A topic that a broker did not know yet is found so soon.
            ("topic.metadata.refresh.interval.ms", "10000"),
        ]));
        settings.extend(options.instance.iter().map(|name| ("group.instance.id".to_owned(), name.clone())));
        settings
    }

    /// The largest record, with what librdkafka takes for a part of it.
    fn largest(&self) -> usize {
        self.max_request_size.saturating_add(RECORD_SLACK).clamp(1_000, LARGEST_RECORD)
    }

    /// What a producer with batches of this size makes one request of.
    pub(super) fn request(&self, batch_bytes: usize) -> Limits {
        Limits {
            records: BATCH_RECORDS,
            bytes: batch_bytes.min(self.largest()).saturating_sub(REQUEST_OVERHEAD),
            // The rest is for giving the last of them.
            open_us: LINGER_MS * 1_000 * 3 / 4,
        }
    }

    /// For a producer with batches of this size.
    pub(super) fn producer(&self, options: &ProducerOptions, batch_bytes: usize) -> Pairs {
        let mut settings = self.common(&options.client);
        let (batch, largest) = (batch_bytes.to_string(), self.largest().to_string());
        // librdkafka refuses one that outlasts the transaction.
        let answer = match options.transactional_id {
            Some(_) => options.request_timeout_ms.min(options.transaction_timeout_ms),
            None => options.request_timeout_ms,
        };
        // A broker that waits for its followers answers before it is given up, with all that is under way to it.
        let followers = (answer - answer / 4).to_string();
        let answer = answer.to_string();
        let gossip = GOSSIP_MS.to_string();
        // Or there would never be room for the largest record.
        let queue = PRODUCER_KBYTES.max(self.largest() / 1024 + 1).to_string();
        settings.extend(pairs([
            ("batch.num.messages", &BATCH_RECORDS.to_string()),
            ("batch.size", &batch),
            ("compression.type", &self.compression),
            ("enable.idempotence", "true"),
            ("linger.ms", &LINGER_MS.to_string()),
            ("message.max.bytes", &largest),
            ("queue.buffering.max.kbytes", &queue),
            ("queue.buffering.max.messages", PRODUCER_RECORDS),
            ("request.timeout.ms", &followers),
            ("retry.backoff.ms", "50"),
            // After how long a broker that does not answer is given up, and asked anew by another connection.
            ("socket.timeout.ms", &answer),
            // How long a topic may be unknown. With the default of 30 s a transaction would be over before it is told.
            ("topic.metadata.propagation.max.ms", &gossip),
        ]));
        match &options.transactional_id {
            Some(id) => {
                let timeout = options.transaction_timeout_ms.to_string();
                settings.extend(pairs([("transactional.id", id), ("transaction.timeout.ms", &timeout)]));
            }
            // Whoever sends says how long it is worth to try: `task.timeout.ms`.
            None => settings.extend(pairs([("message.timeout.ms", "0")])),
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{Login, Mechanism};

    fn connection(security: Security) -> Connection {
        Connection::new(&ClusterOptions {
            servers: vec!["a:1".to_owned(), "b:2".to_owned()],
            client: "c".to_owned(),
            group: "g".to_owned(),
            max_request_size: 1,
            compression: "none".to_owned(),
            security,
        })
    }

    fn lines(connection: &Connection) -> Vec<String> {
        connection.0.iter().skip(1).map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn text(text: &str) -> Pem {
        Pem::Text(Secret::new(text))
    }

    #[test]
    fn security_is_told_by_librdkafkas_names() {
        let password = || Some(Secret::new("p"));
        let file = |path: &str| Pem::File(path.to_owned());
        let tls = |trust, identity, names_host| Some(Tls { trust, identity, names_host });
        let login =
            |mechanism| Some(Login { mechanism, username: "u".to_owned(), password: Secret::new("p") });
        let pem = |certificate, key, password| Some(Identity::Pem { certificate, key, password });
        let store = Identity::Store { file: "store".to_owned(), password: password() };
        let cases = [
            (None, None, "security.protocol=plaintext"),
            (
                tls(None, None, true),
                None,
                "security.protocol=ssl ssl.endpoint.identification.algorithm=https",
            ),
            (
                tls(Some(file("ca")), pem(file("cert"), file("key"), password()), false),
                None,
                "security.protocol=ssl ssl.ca.location=ca ssl.certificate.location=cert ssl.key.location=key \
                 ssl.key.password=p ssl.endpoint.identification.algorithm=none",
            ),
            (
                tls(Some(text("CA")), pem(text("CERT"), text("KEY"), None), true),
                login(Mechanism::ScramSha512),
                "security.protocol=sasl_ssl ssl.ca.pem=CA ssl.certificate.pem=CERT ssl.key.pem=KEY \
                 ssl.endpoint.identification.algorithm=https sasl.mechanism=SCRAM-SHA-512 sasl.username=u \
                 sasl.password=p",
            ),
            (
                tls(None, Some(store), true),
                login(Mechanism::Plain),
                "security.protocol=sasl_ssl ssl.keystore.location=store ssl.keystore.password=p \
                 ssl.endpoint.identification.algorithm=https sasl.mechanism=PLAIN sasl.username=u sasl.password=p",
            ),
            (
                None,
                login(Mechanism::ScramSha256),
                "security.protocol=sasl_plaintext sasl.mechanism=SCRAM-SHA-256 sasl.username=u sasl.password=p",
            ),
        ];
        for (tls, login, expected) in cases {
            assert_eq!(lines(&connection(Security { tls, login })).join(" "), expected);
        }
    }

    #[test]
    fn queues_of_many_partitions_are_smaller() {
        // Partitions, MiB for all of them, KiB for each.
        for (partitions, megabytes, expected) in [
            (0, 32, 1024),
            (4, 32, 1024),
            (5, 32, 512),
            (64, 32, 64),
            (1_000, 32, 16),
            (4, 0, 16),
            (4, 1_024, 1024),
        ] {
            assert_eq!(
                queued_kbytes(partitions, megabytes << 20),
                expected,
                "{partitions} in {megabytes} MiB"
            );
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let login = Login {
            mechanism: Mechanism::Plain,
            username: "u".to_owned(),
            password: Secret::new("open sesame"),
        };
        let tls = Tls { trust: Some(text("open sesame")), identity: None, names_host: true };
        let security = Security { tls: Some(tls), login: Some(login) };
        let printed = format!("{security:?} {:?}", connection(security.clone()));
        assert!(printed.contains("sasl.password") && !printed.contains("sesame"), "{printed}");
    }
}
