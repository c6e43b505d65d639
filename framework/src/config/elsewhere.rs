//! Names that users of Kafka and Kafka Streams know, and that are no properties here: why, and what to do
//! instead.

use super::table::properties;

/// A name that shares more of its letters with a property is taken for that one, misspelt.
const MISSPELT: f64 = 0.9;

/// Names (one that ends in `.` stands for all that begin so), why they are no properties, what to do instead.
type Elsewhere = (&'static [&'static str], &'static str, &'static str);

/// Why `name` is no property, and what to do instead; `None` for a name that nobody knows.
///
/// Underscores count as dots: a variable's name cannot tell them apart. A property may begin like a group of names that
/// are none: then it, and what looks like it, is none of the group.
pub(super) fn elsewhere(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.replace('_', ".");
    let means_property = |group: &str| {
        let mut members = properties().filter(|property| property.name.starts_with(group));
        members.any(|property| strsim::normalized_damerau_levenshtein(property.name, &name) > MISSPELT)
    };
    let stands_for = |entry: &&'static str| {
        let entry = entry.replace('_', ".");
        entry == name || (entry.ends_with('.') && name.starts_with(&entry) && !means_property(&entry))
    };
    NAMES.iter().find(|(names, _, _)| names.iter().any(stands_for)).map(|(_, why, instead)| (*why, *instead))
}

const LEAVE_OUT: &str = "leave it out";

const NAMES: &[Elsewhere] = &[
    // Decided by the guarantee.
    (&["acks"], "writes always wait for all in-sync replicas (`all`)", LEAVE_OUT),
    (&["enable.idempotence"], "producers are always idempotent", LEAVE_OUT),
    (
        &["enable.auto.commit", "auto.commit.interval.ms"],
        "offsets are committed together with results and state",
        "set `commit.interval.ms`",
    ),
    (
        &["isolation.level"],
        "it follows from the guarantee: `read_committed` under `exactly_once_v2`",
        "set `processing.guarantee`",
    ),
    (
        &["transactional.id"],
        "it is made of the application's id, the process and the worker",
        "set `application.id` and `processing.guarantee`",
    ),
    (
        &["retries", "delivery.timeout.ms", "max.block.ms"],
        "what fails for want of an answer is repeated",
        "set `task.timeout.ms`",
    ),
    (&["max.in.flight.requests.per.connection"], "the order of records is always kept", LEAVE_OUT),
    // Decided by the group.
    (&["group.id"], "the group has the application's name", "set `application.id`"),
    (
        &["group.protocol", "group.remote.assignor"],
        "membership is by the classic protocol, which all brokers from 2.5 on speak",
        LEAVE_OUT,
    ),
    (
        &["partition.assignment.strategy", "task.assignor.class"],
        "partitions are always assigned by `range`, which keeps the inputs of a join together",
        LEAVE_OUT,
    ),
    (
        &[
            "num.standby.replicas",
            "max.warmup.replicas",
            "acceptable.recovery.lag",
            "probing.rebalance.interval.ms",
        ],
        "there are no standby replicas",
        "set `group.instance.id`: a restart within `session.timeout.ms` moves no task",
    ),
    (&["rack.aware.assignment.", "client.rack"], "assignment knows no racks", LEAVE_OUT),
    (&["upgrade.from"], "there is no older version to upgrade from", LEAVE_OUT),
    // Decided by memory and batches.
    (
        &["statestore.cache.max.bytes", "cache.max.bytes.buffering", "statestore.uncommitted.max.bytes"],
        "every update of a table is told; only the changelog gets the last one of each commit",
        "set `memory.max` for the memory of state; tell windows once with `EmitStrategy::on_window_close`",
    ),
    (&["input.buffer.max.bytes"], "input counts towards the memory of the process", "set `memory.max`"),
    (
        &["max.poll.records"],
        "records come in batches; how many wait is bounded for each partition",
        "set `buffered.records.per.partition`",
    ),
    (
        &["linger.ms", "batch.size", "buffer.memory", "poll.ms", "fetch."],
        "batches are sized by the framework",
        LEAVE_OUT,
    ),
    (
        &["max.partition.fetch.bytes", "check.crcs"],
        "batches are sized and checked by the framework",
        LEAVE_OUT,
    ),
    // Decided in code.
    (
        &[
            "default.key.serde",
            "default.value.serde",
            "default.list.",
            "windowed.inner.class.serde",
            "window.size.ms",
        ],
        "serdes come from the types of keys and values",
        "implement `HasSerde` for the type, or name a serde where the topology uses it",
    ),
    (
        &["key.serializer", "value.serializer", "key.deserializer", "value.deserializer"],
        "serdes come from the types of keys and values",
        "implement `HasSerde` for the type, or name a serde where the topology uses it",
    ),
    (&["partitioner."], "keys are partitioned as Java clients do (murmur2)", LEAVE_OUT),
    (&["topology.optimization"], "a topology runs as it is written", LEAVE_OUT),
    (
        &["ensure.explicit.internal.resource.naming"],
        "names of stores and internal topics are checked when the topology is built",
        "name every stateful operator",
    ),
    (
        &["default.dsl.store", "dsl.store.suppliers.class", "dsl.store.format"],
        "which store is used is decided in the topology",
        "choose the store where it is made",
    ),
    (
        &["rocksdb.config.setter"],
        "there is one database for all stores, which is set up by the framework and bounded as a whole",
        "set `memory.max`, of which it gets its part",
    ),
    (
        &[
            "processor.wrapper.class",
            "default.client.supplier",
            "interceptor.classes",
            "metric.reporters",
            "config.providers",
        ],
        "there are no classes to name in a configuration",
        "pass what it shall do to the application in code",
    ),
    (
        &["topic."],
        "internal topics take the brokers' defaults, but for `topic.max.message.bytes`",
        "set `replication.factor`, or the brokers' defaults",
    ),
    (
        &["allow.auto.create.topics"],
        "internal topics are made by the application, and all others have to exist",
        LEAVE_OUT,
    ),
    // Renamed or gone in Kafka Streams itself.
    (
        &["default.deserialization.exception.handler"],
        "it is the old name of `deserialization.exception.handler`",
        "set `deserialization.exception.handler`",
    ),
    (
        &["default.production.exception.handler"],
        "it is the old name of `production.exception.handler`",
        "set `production.exception.handler`",
    ),
    (
        &["processing.exception.handler.global.enabled"],
        "one handler serves all tables",
        "set `processing.exception.handler`",
    ),
    (&["enable.transactional.statestores"], "state never holds what is not committed", LEAVE_OUT),
    (
        &["state.cleanup.dir.max.age.ms"],
        "the age of state is decided task by task, as it is taken up again",
        "set `state.cleanup.delay.ms`",
    ),
    (
        &["allow.os.group.write.access"],
        "state is written by one process, and the group of its user may read it",
        LEAVE_OUT,
    ),
    (
        &["__emit.interval.ms.kstreams.outer.join.spurious.results.fix__"],
        "outer joins emit as soon as their window closes",
        LEAVE_OUT,
    ),
    // Not there.
    (&["application.server"], "stores are queried inside the process", LEAVE_OUT),
    // Security: what OpenSSL decides, or what librdkafka is built without.
    (
        &["sasl.kerberos.", "sasl.oauthbearer.", "sasl.login.", "sasl.client.", "sasl.server."],
        "logins are by PLAIN or SCRAM, with a user's name and password",
        "set `sasl.mechanism`, `sasl.username` and `sasl.password`",
    ),
    (
        &["ssl.truststore.password"],
        "a truststore is a file of certificates in PEM, which has no password",
        "leave it out, or name the certificates by `ssl.ca.location`",
    ),
    (
        &["enable.ssl.certificate.verification"],
        "brokers always have to show a certificate that verifies",
        "name their authority by `ssl.ca.location`; `ssl.endpoint.identification.algorithm` may be `none`",
    ),
    (
        &[
            "ssl.protocol",
            "ssl.enabled.protocols",
            "ssl.cipher.suites",
            "ssl.curves.list",
            "ssl.sigalgs.list",
            "ssl.crl.location",
            "ssl.ca.certificate.stores",
            "ssl.secure.random.implementation",
        ],
        "versions and ciphers are OpenSSL's default",
        "set them for the machine, in its `openssl_conf`",
    ),
    (
        &[
            "ssl.provider",
            "ssl.providers",
            "ssl.keymanager.algorithm",
            "ssl.trustmanager.algorithm",
            "ssl.engine.",
            "security.providers",
        ],
        "there are no classes to name in a configuration; OpenSSL makes the connections",
        LEAVE_OUT,
    ),
    (
        &[
            "metrics.recording.level",
            "metrics.num.samples",
            "metrics.sample.window.ms",
            "enable.metrics.push",
            "built.in.metrics.version",
            "auto.include.jmx.reporter",
            "log.summary.interval.ms",
        ],
        "what is measured is not configured",
        LEAVE_OUT,
    ),
    (
        &[
            "connections.max.idle.ms",
            "default.api.timeout.ms",
            "client.dns.lookup",
            "metadata.",
            "receive.buffer.bytes",
            "reconnect.backoff.",
            "retry.backoff.",
            "send.buffer.bytes",
            "socket.connection.setup.",
        ],
        "connections are looked after by the framework",
        LEAVE_OUT,
    ),
];

#[cfg(test)]
mod tests {
    use super::super::table::{properties, property};
    use super::{NAMES, elsewhere};

    #[test]
    fn no_property_is_elsewhere() {
        for property in properties() {
            let listed = NAMES.iter().any(|(names, _, _)| names.contains(&property.name));
            assert!(!listed && elsewhere(property.name).is_none(), "{}", property.name);
        }
    }

    #[test]
    fn what_is_advised_exists() {
        for (names, _, instead) in NAMES {
            // Every second piece stands between backticks.
            let named = instead.split('`').skip(1).step_by(2).filter(|name| name.contains('.'));
            for name in named {
                assert!(property(name).is_some(), "{names:?} advise `{name}`");
            }
        }
    }
}
