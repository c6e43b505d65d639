//! The table of properties: every name that is known, as data.
//!
//! 1. A property stands here only when something reads it; its doc names the decision that it changes.
//! 2. Names, units and defaults are those of Kafka Streams 4 where it has them; a comment says why where ours
//!    differ.

use super::property::{Fallback, Kind, Property, Word};

/// Kafka sends these settings as 32-bit numbers.
const INT: i64 = i32::MAX as i64;
/// Settings without an upper limit.
const LONG: i64 = i64::MAX;
/// Limits of librdkafka, for whom a shorter transaction, or a longer wait, is a mistake.
const SHORTEST_TRANSACTION_MS: i64 = 1_000;
const SHORTEST_REQUEST_MS: i64 = 10;
const LONGEST_REQUEST_MS: i64 = 300_000;
const LONGEST_SESSION_MS: i64 = 3_600_000;
/// Brokers refuse longer transactions unless their `transaction.max.timeout.ms` is raised.
pub(super) const LONGEST_TRANSACTION_MS: i64 = 900_000;

/// The longest path that Linux takes.
const PATH: usize = 4_096;
const MS: &str = "milliseconds";
const CONSUMER: &[&str] = &["consumer.", "main.consumer."];
const PRODUCER: &[&str] = &["producer."];

const GUARANTEES: &[Word] =
    &[("at_least_once", &[]), ("exactly_once_v2", &["exactly_once", "exactly_once_beta"])];
const OFFSETS: &[Word] = &[("earliest", &[]), ("latest", &[]), ("none", &[])];
const ON_DESERIALIZATION: &[Word] = &[
    ("fail", &["LogAndFailExceptionHandler"]),
    ("continue", &["LogAndContinueExceptionHandler"]),
    ("dead-letter", &[]),
];
const ON_PROCESSING: &[Word] = &[
    ("fail", &["LogAndFailProcessingExceptionHandler"]),
    ("continue", &["LogAndContinueProcessingExceptionHandler"]),
    ("dead-letter", &[]),
];
const ON_PRODUCTION: &[Word] =
    &[("fail", &["DefaultProductionExceptionHandler"]), ("continue", &[]), ("dead-letter", &[])];
const PROTOCOLS: &[Word] = &[("PLAINTEXT", &[]), ("SSL", &[]), ("SASL_PLAINTEXT", &[]), ("SASL_SSL", &[])];
const MECHANISMS: &[Word] = &[("PLAIN", &[]), ("SCRAM-SHA-256", &[]), ("SCRAM-SHA-512", &[])];
/// For Java, nothing is the word for none.
const ENDPOINTS: &[Word] = &[("https", &[]), ("none", &[""])];
const STORES: &[Word] = &[("PEM", &[]), ("PKCS12", &["PKCS#12"]), ("JKS", &[])];
const COMPRESSIONS: &[Word] =
    &[("none", &["uncompressed"]), ("gzip", &[]), ("snappy", &[]), ("lz4", &[]), ("zstd", &[])];
const EXTRACTORS: &[Word] = &[
    ("fail-on-invalid-timestamp", &["FailOnInvalidTimestamp"]),
    ("log-and-skip-on-invalid-timestamp", &["LogAndSkipOnInvalidTimestamp"]),
    ("use-partition-time-on-invalid-timestamp", &["UsePartitionTimeOnInvalidTimestamp"]),
    ("wallclock", &["WallclockTimestampExtractor"]),
];

/// Every known property, in the order in which they are listed.
pub(super) const PROPERTIES: &[&[Property]] =
    &[IDENTITY, CONNECTION, COMMITS, MEMBERSHIP, INTAKE, TOPICS, ERRORS, STATE];

/// The property called `name`, or known as `name`.
pub(super) fn property(name: &str) -> Option<&'static Property> {
    properties().find(|property| property.name == name || property.alias == Some(name))
}

/// All properties in order.
pub(super) fn properties() -> impl Iterator<Item = &'static Property> {
    PROPERTIES.iter().flat_map(|group| group.iter())
}

const IDENTITY: &[Property] = &[
    // 200 of the 249 characters of a topic's name: the rest is for `-<store>-changelog`.
    Property::new(
        "application.id",
        Kind::Name(200),
        Fallback::Required,
        "names the consumer group and the internal topics: processes with the same id share the work",
    ),
    Property::new(
        "client.id",
        Kind::Line(200),
        Fallback::Derived("application.id"),
        "how the names begin under which brokers log and meter the clients of this process",
    ),
    // Three digits: worker numbers are padded with zeros in client ids, so that they sort.
    Property::new(
        "num.stream.threads",
        Kind::number(1, 999, "workers"),
        Fallback::Text("1"),
        "how many workers of this process share its tasks, each with a thread, a consumer and a producer; a running \
         application can add and remove some",
    ),
];

/// How to reach a cluster. They do nothing on the in-process one, and a start warns of it.
pub(super) const CONNECTION: &[Property] = &[
    // Not refused where it does nothing, since every properties file of a Kafka user has it: the program decides which
    // cluster it runs on, and an application on the in-process one warns that nobody connects to these.
    Property::new(
        "bootstrap.servers",
        Kind::Servers,
        Fallback::Unset("the cluster that the program was given"),
        "which Kafka cluster the program connects to: on the in-process one it does nothing, and a \
         start warns of it, as of all that says how to connect",
    ),
    Property::new(
        "security.protocol",
        Kind::Choice(PROTOCOLS),
        Fallback::Text("PLAINTEXT"),
        "whether connections are encrypted (SSL) and log in (SASL): as the listener behind bootstrap.servers wants it",
    ),
    Property::new(
        "sasl.mechanism",
        Kind::Choice(MECHANISMS),
        Fallback::Unset("no login"),
        "how the password is shown: as it is, or by a challenge",
    )
    .also("sasl.mechanisms"),
    Property::new("sasl.username", Kind::Line(1_000), Fallback::Unset("no login"), "who logs in"),
    Property::new(
        "sasl.password",
        Kind::Secret,
        Fallback::Unset("no login"),
        "the password of sasl.username",
    ),
    Property::new(
        "sasl.jaas.config",
        Kind::Secret,
        Fallback::Unset("no login"),
        "user and password as Java clients write them: PlainLoginModule or ScramLoginModule with username and password",
    ),
    Property::new(
        "ssl.endpoint.identification.algorithm",
        Kind::Choice(ENDPOINTS),
        Fallback::Text("https"),
        "whether a broker's certificate has to name the host that is connected to",
    ),
    Property::new(
        "ssl.ca.location",
        Kind::Line(PATH),
        Fallback::Unset("the system's certificates"),
        "the file in PEM with the certificates of the authorities whose word counts for a broker",
    ),
    Property::new(
        "ssl.ca.pem",
        Kind::Pem,
        Fallback::Unset("the system's certificates"),
        "the same certificates as text",
    )
    .also("ssl.truststore.certificates"),
    Property::new(
        "ssl.certificate.location",
        Kind::Line(PATH),
        Fallback::Unset("no certificate is shown"),
        "the file in PEM with our own certificate, for brokers that want to see one",
    ),
    Property::new(
        "ssl.certificate.pem",
        Kind::Pem,
        Fallback::Unset("no certificate is shown"),
        "the same certificate as text",
    )
    .also("ssl.keystore.certificate.chain"),
    Property::new(
        "ssl.key.location",
        Kind::Line(PATH),
        Fallback::Unset("no certificate is shown"),
        "the file in PEM with the key of our own certificate",
    ),
    Property::new(
        "ssl.key.pem",
        Kind::Pem,
        Fallback::Unset("no certificate is shown"),
        "the same key as text",
    )
    .also("ssl.keystore.key"),
    Property::new(
        "ssl.key.password",
        Kind::Secret,
        Fallback::Unset("the key is not encrypted"),
        "what the key of our own certificate is encrypted with",
    ),
    // Java's names for files of certificates and keys, of the kinds that OpenSSL reads as well.
    Property::new(
        "ssl.truststore.location",
        Kind::Line(PATH),
        Fallback::Unset("the system's certificates"),
        "as ssl.ca.location; a truststore in JKS or PKCS12 is refused with the command that converts it",
    ),
    Property::new(
        "ssl.truststore.type",
        Kind::Choice(STORES),
        Fallback::Derived("what the file holds"),
        "in which form ssl.truststore.location is",
    ),
    Property::new(
        "ssl.keystore.location",
        Kind::Line(PATH),
        Fallback::Unset("no certificate is shown"),
        "the file in PEM or PKCS12 with our own certificate and its key; one in JKS is refused with the command that \
         converts it",
    ),
    Property::new(
        "ssl.keystore.type",
        Kind::Choice(STORES),
        Fallback::Derived("what the file holds"),
        "in which form ssl.keystore.location is",
    ),
    Property::new(
        "ssl.keystore.password",
        Kind::Secret,
        Fallback::Unset("the file is not encrypted"),
        "what ssl.keystore.location, in PKCS12, is encrypted with",
    ),
    Property::new(
        "compression.type",
        Kind::Choice(COMPRESSIONS),
        Fallback::Text("none"),
        "how producers compress batches: less network and disk of the brokers for more work of this process",
    )
    .of(PRODUCER)
    .also("compression.codec"),
];

const COMMITS: &[Property] = &[
    Property::new(
        "processing.guarantee",
        Kind::Choice(GUARANTEES),
        Fallback::Text("at_least_once"),
        "whether results, state and offsets are committed in one transaction, or results may repeat after a \
         failure",
    ),
    Property::new(
        "commit.interval.ms",
        Kind::number(1, LONG, MS),
        Fallback::Derived("100 under exactly_once_v2, else 30000"),
        "how often offsets, state and output are committed: shorter is fresher, longer is cheaper",
    ),
    Property::new(
        "transaction.timeout.ms",
        Kind::number(SHORTEST_TRANSACTION_MS, LONGEST_TRANSACTION_MS, MS),
        Fallback::Derived("ten times commit.interval.ms, 10000 to 900000"),
        "after how long the coordinator aborts the transaction of a worker that is gone, which holds up \
         readers till then",
    )
    .of(PRODUCER),
    // A quarter of the transaction's time: a commit is given up after half of it, so a request can be repeated once.
    Property::new(
        "request.timeout.ms",
        Kind::number(SHORTEST_REQUEST_MS, LONGEST_REQUEST_MS, MS),
        Fallback::Derived("30000, but at most a quarter of transaction.timeout.ms under exactly_once_v2"),
        "after how long an unanswered request of a producer counts as lost and is repeated",
    )
    .of(PRODUCER),
    Property::new(
        "max.request.size",
        Kind::Bytes(1),
        Fallback::Text("1 MiB"),
        "how large a result may be: a larger one goes to production.exception.handler; topics have a limit of their \
         own, max.message.bytes",
    )
    .of(PRODUCER),
];

const MEMBERSHIP: &[Property] = &[
    Property::new(
        "session.timeout.ms",
        Kind::number(1, LONGEST_SESSION_MS, MS),
        Fallback::Text("45000"),
        "after how long without a heartbeat a worker is given up and its tasks move elsewhere",
    )
    .of(CONSUMER),
    Property::new(
        "heartbeat.interval.ms",
        Kind::number(1, LONGEST_SESSION_MS, MS),
        Fallback::Text("3000"),
        "how often a worker tells the coordinator that it lives, and learns of a rebalance",
    )
    .of(CONSUMER),
    Property::new(
        "max.poll.interval.ms",
        Kind::number(1, INT, MS),
        Fallback::Text("300000"),
        "how long a rebalance waits for a busy worker before its tasks move elsewhere",
    )
    .of(CONSUMER),
    // 245 of the 249 characters that brokers allow: the rest is for the worker's number.
    Property::new(
        "group.instance.id",
        Kind::Name(245),
        Fallback::Unset("every restart moves tasks"),
        "makes the workers static members: a restart within session.timeout.ms moves no task; differs for \
         each process",
    )
    .of(CONSUMER),
];

const INTAKE: &[Property] = &[
    Property::new(
        "auto.offset.reset",
        Kind::Choice(OFFSETS),
        Fallback::Text("earliest"),
        "where reading starts where no offset is committed, or the committed one is gone; none: stop with \
         an error",
    )
    .of(CONSUMER),
    Property::new(
        "buffered.records.per.partition",
        Kind::number(1, INT, "records"),
        Fallback::Text("1000"),
        "how many records of a partition wait in memory before it is no longer fetched",
    ),
    Property::new(
        "max.task.idle.ms",
        Kind::Number { min: 0, max: LONG, also: Some(-1), unit: MS },
        Fallback::Text("0"),
        "how long a task waits for records of an empty input, to process inputs in order of time; 0: only for records \
         that the broker has already; -1: never",
    ),
    Property::new(
        "default.timestamp.extractor",
        Kind::Choice(EXTRACTORS),
        Fallback::Text("fail-on-invalid-timestamp"),
        "which time a record has, and what happens to one without a valid timestamp",
    ),
    Property::new(
        "task.timeout.ms",
        Kind::number(0, LONG, MS),
        Fallback::Text("300000"),
        "how long a task repeats what fails for want of an answer before the error stops it; 0: the first \
         error stops it",
    ),
];

const TOPICS: &[Property] = &[
    Property::new(
        "replication.factor",
        Kind::Number { min: 1, max: 32_767, also: Some(-1), unit: "replicas" },
        Fallback::Text("-1"),
        "how many brokers hold each internal topic that the application makes; -1: as many as the brokers' default \
         says; the in-process cluster is one broker and refuses more than 1",
    ),
    // Kafka Streams hands every setting with the prefix `topic.` to internal topics; this one decides what state may hold.
    Property::new(
        "topic.max.message.bytes",
        Kind::number(1, INT, "bytes"),
        Fallback::Unset("the brokers' default"),
        "how large a record of an internal topic may be, such as a value of state, when the topic is made",
    ),
    Property::new(
        "repartition.purge.interval.ms",
        Kind::number(0, LONG, MS),
        Fallback::Text("30000"),
        "how often processed records are deleted from repartition topics, at commits; 0: at each commit",
    ),
    Property::new(
        "windowstore.changelog.additional.retention.ms",
        Kind::number(0, LONG, MS),
        Fallback::Text("86400000"),
        "how much longer than its store a window store's changelog keeps records, against clocks that differ",
    ),
    // Kafka's default is 1000, to spare scans of its store that ours does not need.
    Property::new(
        "emit.interval.ms.kstreams.windowed.aggregation",
        Kind::number(0, LONG, MS),
        Fallback::Text("0"),
        "how often closed windows are looked for where results are emitted on window close; 0: whenever \
         time advances",
    )
    .also("__emit.interval.ms.kstreams.windowed.aggregation__"),
];

const ERRORS: &[Property] = &[
    Property::new(
        "deserialization.exception.handler",
        Kind::Choice(ON_DESERIALIZATION),
        Fallback::Text("fail"),
        "what happens to a record whose bytes cannot be read: stop, skip it, or skip it and keep it in the \
         dead letter queue",
    ),
    Property::new(
        "processing.exception.handler",
        Kind::Choice(ON_PROCESSING),
        Fallback::Text("fail"),
        "what happens to a record on which an operator fails: stop, skip it, or skip it and keep it in the \
         dead letter queue",
    ),
    Property::new(
        "production.exception.handler",
        Kind::Choice(ON_PRODUCTION),
        Fallback::Text("fail"),
        "what happens to a result that cannot be written: stop, drop it, or drop it and keep its input in \
         the dead letter queue",
    ),
    Property::new(
        "errors.dead.letter.queue.topic.name",
        Kind::Name(249),
        Fallback::Unset("no handler may be `dead-letter`"),
        "which topic takes the records that handlers of kind `dead-letter` skip",
    ),
];

const STATE: &[Property] = &[
    // A minute or 64 MiB: RocksDB's usual size of a memtable is 64 MiB, and a restart replays at most that much.
    Property::new(
        "state.flush.interval.ms",
        Kind::number(1, LONG, MS),
        Fallback::Text("60000"),
        "how often committed state goes from the workers to the byte store: how much time's worth of changes a worker \
         that starts again replays",
    ),
    Property::new(
        "state.flush.bytes",
        Kind::Bytes(1),
        Fallback::Derived("64 MiB, but at most a sixteenth of memory.max"),
        "how much committed state waits until it goes to the byte store, even before state.flush.interval.ms is \
         over",
    ),
    Property::new(
        "memory.max",
        Kind::Bytes(1),
        Fallback::Text("256 MiB"),
        "how much memory the process should take; of it 48 MiB and a sixth, but no more than a quarter, are for code, \
         clients and allocators; of the rest three eighths are for state on disk, where there is, and the others for records \
         and state of the workers: before they take more they commit and flush early, drop what they can read again, and \
         fetch only what a task has nothing of; what large values hold is estimated",
    ),
    // Kafka Streams' default is `kafka-streams` below the same folder.
    Property::new(
        "state.dir",
        Kind::Line(4_096),
        Fallback::Derived("`headwater` in the folder for temporary files"),
        "in which folder state on disk lies, in a folder named by application.id; each process of an application needs one \
         of its own, on a disk that keeps it",
    ),
    Property::new(
        "state.cleanup.delay.ms",
        Kind::number(0, LONG, MS),
        Fallback::Text("600000"),
        "how long the state of a task that has moved elsewhere stays on disk, so that it need not be restored as a whole \
         when the task comes back",
    ),
];
