//! Properties: Kafka's names for a broker's settings, and what each does here.
//!
//! 1. A name that neither Kafka nor this broker knows is refused, with the nearest one; one that only means something to
//!    a cluster is accepted and told to have no effect, so that a file of Kafka's can be used as it is (`foreign.rs`).
//! 2. What secures a listener is kept as it is until the server starts (`listeners.rs`); `listener.name.<listener>.` may
//!    stand before it.
//! 3. `log.*` settings are the defaults of topics. Where Kafka has several units for one, the smallest that is set counts.

use std::collections::BTreeMap;
use std::fmt;

use super::foreign::{LACKING, WITHOUT_EFFECT, asks_for_nothing};
use super::listeners::Listeners;
use crate::broker::BrokerConfig;

/// What a broker is told to be.
#[derive(Clone, Debug)]
pub(super) struct Properties {
    pub(super) broker: BrokerConfig,
    /// Where it listens.
    pub(super) listeners: Listeners,
    /// Folder of its data; in memory without one.
    pub(super) dir: Option<String>,
    /// Where metrics are served, if at all.
    pub(super) metrics: Option<String>,
    /// `socket.request.max.bytes`.
    pub(super) request_bytes: usize,
    /// `fetch.max.bytes`.
    pub(super) fetch_bytes: usize,
    /// `max.connections`.
    pub(super) connections: usize,
    /// `queued.max.request.bytes`.
    pub(super) queued_bytes: usize,
    /// `connections.max.idle.ms`.
    pub(super) idle_ms: i64,
    /// Topic defaults that were set in several units: the size of the unit that counts so far.
    units: BTreeMap<&'static str, i64>,
    /// What was set and has no effect.
    pub(super) without_effect: Vec<String>,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            broker: BrokerConfig::default(),
            listeners: Listeners::default(),
            dir: None,
            metrics: None,
            request_bytes: 100 << 20,
            fetch_bytes: 55 << 20,
            connections: i32::MAX as usize,
            queued_bytes: 256 << 20,
            idle_ms: 600_000,
            units: BTreeMap::new(),
            without_effect: Vec::new(),
        }
    }
}

/// Why a property is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyError {
    name: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Unknown { nearest: Option<&'static str> },
    Lacking,
    Value { value: String, allowed: String },
}

impl fmt::Display for PropertyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.problem {
            Problem::Unknown { nearest: Some(nearest) } => {
                write!(f, "there is no property `{name}`; did you mean `{nearest}`?")
            }
            Problem::Lacking => {
                write!(f, "`{name}` asks for what this broker does not do: leave it out, or use Apache Kafka")
            }
            Problem::Unknown { nearest: None } => write!(f, "there is no property `{name}`"),
            Problem::Value { value, allowed } => {
                write!(f, "`{name}` cannot be `{value}`; allowed: {allowed}")
            }
        }
    }
}

impl std::error::Error for PropertyError {}

/// What a property does.
#[derive(Clone, Copy)]
enum Effect {
    Number {
        least: i64,
        most: i64,
        set: fn(&mut Properties, i64),
    },
    Truth(fn(&mut Properties, bool)),
    Text {
        allowed: &'static str,
        set: fn(&mut Properties, &str) -> bool,
    },
    /// A default of topics, by the name that topics have for it, in units of so many of theirs.
    Topic {
        setting: &'static str,
        unit: i64,
    },
    /// It secures a listener.
    Security,
}

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

const fn number(least: i64, most: i64, set: fn(&mut Properties, i64)) -> Effect {
    Effect::Number { least, most, set }
}

const fn topic(setting: &'static str) -> Effect {
    Effect::Topic { setting, unit: 1 }
}

const fn topic_in(unit: i64, setting: &'static str) -> Effect {
    Effect::Topic { setting, unit }
}

fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A count that is limited only if it is set.
fn limit(number: i64) -> usize {
    if number == INT { usize::MAX } else { size(number) }
}

/// By name.
#[rustfmt::skip] // A table: one line each.
const TABLE: &[(&str, Effect)] = &[
    ("advertised.listeners", Effect::Text { allowed: ENDPOINTS, set: |all, text| all.listeners.set_advertised(text) }),
    ("auto.create.topics.enable", Effect::Truth(|all, on| all.broker.auto_create_topics = on)),
    ("compression.type", topic("compression.type")),
    ("connections.max.idle.ms", number(0, LONG, |all, ms| all.idle_ms = ms)),
    ("fetch.max.bytes", number(1024, INT, |all, bytes| all.fetch_bytes = size(bytes))),
    ("group.consumer.heartbeat.interval.ms", number(1, INT, |all, ms| all.broker.group_consumer_heartbeat_interval_ms = ms)),
    ("group.consumer.max.heartbeat.interval.ms", number(1, INT, |all, ms| all.broker.group_consumer_max_heartbeat_interval_ms = ms)),
    ("group.consumer.max.session.timeout.ms", number(1, INT, |all, ms| all.broker.group_consumer_max_session_timeout_ms = ms)),
    ("group.consumer.max.size", number(1, INT, |all, most| all.broker.group_consumer_max_size = limit(most))),
    ("group.consumer.min.heartbeat.interval.ms", number(1, INT, |all, ms| all.broker.group_consumer_min_heartbeat_interval_ms = ms)),
    ("group.consumer.min.session.timeout.ms", number(1, INT, |all, ms| all.broker.group_consumer_min_session_timeout_ms = ms)),
    ("group.consumer.session.timeout.ms", number(1, INT, |all, ms| all.broker.group_consumer_session_timeout_ms = ms)),
    ("group.initial.rebalance.delay.ms", number(0, INT, |all, ms| all.broker.group_initial_rebalance_delay_ms = ms)),
    ("group.max.session.timeout.ms", number(1, INT, |all, ms| all.broker.group_max_session_timeout_ms = ms)),
    ("group.max.size", number(1, INT, |all, most| all.broker.group_max_size = limit(most))),
    ("group.min.session.timeout.ms", number(1, INT, |all, ms| all.broker.group_min_session_timeout_ms = ms)),
    ("listener.security.protocol.map", Effect::Text { allowed: PROTOCOLS, set: |all, text| all.listeners.set_protocols(text) }),
    ("listeners", Effect::Text { allowed: ENDPOINTS, set: |all, text| all.listeners.set_named(text) }),
    ("log.cleaner.backoff.ms", number(1, LONG, |all, ms| all.broker.compaction_interval_ms = Some(ms))),
    ("log.cleaner.delete.retention.ms", topic("delete.retention.ms")),
    ("log.cleaner.max.compaction.lag.ms", topic("max.compaction.lag.ms")),
    ("log.cleaner.min.cleanable.ratio", topic("min.cleanable.dirty.ratio")),
    ("log.cleaner.min.compaction.lag.ms", topic("min.compaction.lag.ms")),
    ("log.cleanup.policy", topic("cleanup.policy")),
    ("log.dir", Effect::Text { allowed: "a folder", set: set_dir }),
    ("log.dirs", Effect::Text { allowed: "one folder", set: set_dir }),
    ("log.flush.interval.messages", topic("flush.messages")),
    ("log.flush.interval.ms", topic("flush.ms")),
    ("log.index.interval.bytes", topic("index.interval.bytes")),
    ("log.index.size.max.bytes", topic("segment.index.bytes")),
    ("log.message.timestamp.after.max.ms", topic("message.timestamp.after.max.ms")),
    ("log.message.timestamp.before.max.ms", topic("message.timestamp.before.max.ms")),
    ("log.message.timestamp.type", topic("message.timestamp.type")),
    ("log.preallocate", topic("preallocate")),
    ("log.retention.bytes", topic("retention.bytes")),
    ("log.retention.check.interval.ms", number(1, LONG, |all, ms| all.broker.retention_interval_ms = Some(ms))),
    ("log.retention.hours", topic_in(HOUR_MS, "retention.ms")),
    ("log.retention.minutes", topic_in(MINUTE_MS, "retention.ms")),
    ("log.retention.ms", topic("retention.ms")),
    ("log.roll.hours", topic_in(HOUR_MS, "segment.ms")),
    ("log.roll.jitter.hours", topic_in(HOUR_MS, "segment.jitter.ms")),
    ("log.roll.jitter.ms", topic("segment.jitter.ms")),
    ("log.roll.ms", topic("segment.ms")),
    ("log.segment.bytes", topic("segment.bytes")),
    ("log.segment.delete.delay.ms", topic("file.delete.delay.ms")),
    ("max.connections", number(1, INT, |all, most| all.connections = size(most))),
    ("message.max.bytes", topic("max.message.bytes")),
    ("metrics.address", Effect::Text { allowed: "<host>:<port>", set: set_metrics }),
    ("min.insync.replicas", topic("min.insync.replicas")),
    ("num.partitions", number(1, INT, |all, most| all.broker.default_partitions = i32::try_from(most).unwrap_or(i32::MAX))),
    ("offset.metadata.max.bytes", number(0, INT, |all, bytes| all.broker.offset_metadata_max_bytes = size(bytes))),
    ("offsets.retention.check.interval.ms", number(1, LONG, |all, ms| all.broker.offsets_retention_check_interval_ms = Some(ms))),
    ("offsets.retention.minutes", number(1, INT, |all, minutes| all.broker.offsets_retention_ms = minutes * MINUTE_MS)),
    ("producer.id.expiration.check.interval.ms", number(1, INT, |all, ms| all.broker.producer_id_expiration_check_interval_ms = Some(ms))),
    ("producer.id.expiration.ms", number(1, INT, |all, ms| all.broker.producer_id_expiration_ms = ms)),
    ("queued.max.request.bytes", number(1 << 20, LONG, |all, bytes| all.queued_bytes = size(bytes))),
    ("sasl.enabled.mechanisms", Effect::Security),
    ("socket.request.max.bytes", number(1024, INT, |all, bytes| all.request_bytes = size(bytes))),
    ("ssl.client.auth", Effect::Security),
    ("ssl.key.password", Effect::Security),
    ("ssl.keystore.certificate.chain", Effect::Security),
    ("ssl.keystore.key", Effect::Security),
    ("ssl.keystore.location", Effect::Security),
    ("ssl.keystore.type", Effect::Security),
    ("ssl.truststore.certificates", Effect::Security),
    ("ssl.truststore.location", Effect::Security),
    ("ssl.truststore.type", Effect::Security),
    ("transaction.max.timeout.ms", number(1, INT, |all, ms| all.broker.transaction_max_timeout_ms = ms)),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", number(1, INT, |all, ms| all.broker.transactional_id_expiration_check_interval_ms = Some(ms))),
    ("transactional.id.expiration.ms", number(1, INT, |all, ms| all.broker.transactional_id_expiration_ms = ms)),
    ("unclean.leader.election.enable", topic("unclean.leader.election.enable")),
];

const ENDPOINTS: &str = "<listener>://<host>:<port>, and more of them behind commas";
const PROTOCOLS: &str = "<listener>:<protocol>, and more of them behind commas; PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL are protocols";

/// Whether a property that is not in the table secures a listener: the users of one, or what else its name stands before.
fn secures(name: &str) -> bool {
    if let Some(user) = name.strip_prefix("sasl.user.") {
        return !user.is_empty();
    }
    let own = name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.'));
    own.is_some_and(|(_, own)| {
        const JAAS: [&str; 3] = ["plain", "scram-sha-256", "scram-sha-512"];
        JAAS.iter().any(|mechanism| own.strip_prefix(mechanism) == Some(".sasl.jaas.config"))
            || TABLE.iter().any(|(known, effect)| *known == own && matches!(effect, Effect::Security))
    })
}

fn set_metrics(all: &mut Properties, value: &str) -> bool {
    let address = value.trim();
    let fits =
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if fits {
        all.metrics = Some(address.to_owned());
    }
    fits
}

fn set_dir(all: &mut Properties, value: &str) -> bool {
    let one = !value.trim().is_empty() && !value.contains(',');
    if one {
        all.dir = Some(value.trim().to_owned());
    }
    one
}

impl Properties {
    /// Sets one.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), PropertyError> {
        let refused = |problem| PropertyError { name: name.to_owned(), problem };
        let Some((_, effect)) = TABLE.iter().find(|(known, _)| *known == name) else {
            if secures(name) {
                self.listeners.set_security(name, value);
                return Ok(());
            }
            if WITHOUT_EFFECT.contains(&name) || LACKING.contains(&name) && asks_for_nothing(value) {
                self.without_effect.push(name.to_owned());
                return Ok(());
            }
            if LACKING.contains(&name) {
                return Err(refused(Problem::Lacking));
            }
            return Err(refused(Problem::Unknown { nearest: nearest(name) }));
        };
        let not = |allowed: String| refused(Problem::Value { value: value.to_owned(), allowed });
        match effect {
            Effect::Number { least, most, set } => {
                let number = value.trim().parse().ok().filter(|number| (*least..=*most).contains(number));
                set(self, number.ok_or_else(|| not(format!("a whole number, {least} to {most}")))?);
            }
            Effect::Truth(set) => match value.trim() {
                "true" => set(self, true),
                "false" => set(self, false),
                _ => return Err(not("true or false".to_owned())),
            },
            Effect::Text { allowed, set } => {
                if !set(self, value) {
                    return Err(not((*allowed).to_owned()));
                }
            }
            Effect::Topic { setting, unit } => self.set_topic(setting, *unit, value).map_err(not)?,
            Effect::Security => self.listeners.set_security(name, value),
        }
        Ok(())
    }

    /// Sets a default of topics, unless it is set in a smaller unit.
    fn set_topic(&mut self, setting: &'static str, unit: i64, value: &str) -> Result<(), String> {
        let value = value.trim();
        let value = match unit {
            1 => value.to_owned(),
            unit => match value.parse::<i64>() {
                // No limit is that in each unit.
                Ok(-1) => "-1".to_owned(),
                Ok(number) => number.saturating_mul(unit).to_string(),
                Err(_) => return Err("a whole number".to_owned()),
            },
        };
        if self.units.get(setting).is_some_and(|known| *known < unit) {
            return Ok(());
        }
        let mut defaults = self.broker.topic_defaults.clone();
        defaults.insert(setting.to_owned(), value);
        BrokerConfig::check_topic_defaults(&defaults)?;
        self.units.insert(setting, unit);
        self.broker.topic_defaults = defaults;
        Ok(())
    }
}

/// The name that is most like this one, if any is.
fn nearest(name: &str) -> Option<&'static str> {
    // What stands before a listener's own property is no part of its name.
    let own = name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.'));
    let name = own.map_or(name, |(_, own)| own);
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let names = TABLE.iter().map(|(known, _)| known).chain(WITHOUT_EFFECT).chain(LACKING).copied();
    names
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .filter(|known| likeness(known) > 0.85)
}

#[cfg(test)]
mod tests {
    use super::{LACKING, Properties, TABLE, WITHOUT_EFFECT};

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|(name, _)| *name));
        assert!(WITHOUT_EFFECT.is_sorted() && LACKING.is_sorted());
        let twice = |name: &str| WITHOUT_EFFECT.contains(&name) || LACKING.contains(&name);
        assert_eq!(TABLE.iter().find(|(name, _)| twice(name)).map(|(name, _)| name), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let cases = [
            ("num.partition", "3", "there is no property `num.partition`; did you mean `num.partitions`?"),
            (
                "authorizer.class.name",
                "Guard",
                "`authorizer.class.name` asks for what this broker does not do: leave it out, or use Apache Kafka",
            ),
            ("shoe.size", "43", "there is no property `shoe.size`"),
            ("listener.name.ssl.shoe.size", "43", "there is no property `listener.name.ssl.shoe.size`"),
            (
                "ssl.client.authentication",
                "required",
                "there is no property `ssl.client.authentication`; did you mean `ssl.client.auth`?",
            ),
            (
                "num.partitions",
                "0",
                "`num.partitions` cannot be `0`; allowed: a whole number, 1 to 2147483647",
            ),
            (
                "auto.create.topics.enable",
                "yes",
                "`auto.create.topics.enable` cannot be `yes`; allowed: true or false",
            ),
            (
                "log.retention.hours",
                "soon",
                "`log.retention.hours` cannot be `soon`; allowed: a whole number",
            ),
            (
                "listeners",
                "HTTP:80",
                "`listeners` cannot be `HTTP:80`; allowed: <listener>://<host>:<port>, and more of them behind commas",
            ),
            ("log.dirs", "a,b", "`log.dirs` cannot be `a,b`; allowed: one folder"),
            ("metrics.address", ":1", "`metrics.address` cannot be `:1`; allowed: <host>:<port>"),
            ("metrics.address", "9465", "`metrics.address` cannot be `9465`; allowed: <host>:<port>"),
        ];
        for (name, value, expected) in cases {
            assert_eq!(Properties::default().set(name, value).unwrap_err().to_string(), expected);
        }
        let error = Properties::default().set("log.cleanup.policy", "shred").unwrap_err().to_string();
        assert!(error.starts_with("`log.cleanup.policy` cannot be `shred`; allowed: "), "{error}");
    }

    #[test]
    fn the_smallest_unit_counts_in_any_order() {
        for order in
            [["log.retention.ms", "log.retention.hours"], ["log.retention.hours", "log.retention.ms"]]
        {
            let mut properties = Properties::default();
            for name in order {
                properties.set(name, "7").unwrap();
            }
            assert_eq!(properties.broker.topic_defaults["retention.ms"], "7", "{order:?}");
        }
        let mut properties = Properties::default();
        properties.set("log.retention.hours", "2").unwrap();
        assert_eq!(properties.broker.topic_defaults["retention.ms"], "7200000");
        properties.set("log.retention.minutes", "-1").unwrap();
        assert_eq!(properties.broker.topic_defaults["retention.ms"], "-1");
    }

    #[test]
    fn a_file_of_kafkas_can_be_used() {
        let mut properties = Properties::default();
        let lines = [
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ("advertised.listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
            ("log.dirs", "/var/lib/logs"),
            ("offsets.topic.replication.factor", "1"),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL"),
            ("ssl.keystore.location", "server.pem"),
            ("listener.name.ssl.ssl.client.auth", "requested"),
            ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", "ScramLoginModule required;"),
            ("sasl.user.alice", "open sesame"),
        ];
        for (name, value) in lines {
            properties.set(name, value).unwrap();
        }
        let listeners = format!("{:?}", properties.listeners);
        assert!(listeners.contains("[(\"PLAINTEXT\", \"0.0.0.0:9092\")]"), "{listeners}");
        assert!(listeners.contains("{\"PLAINTEXT\": (\"localhost\", 9092)}"), "{listeners}");
        assert_eq!(properties.dir.as_deref(), Some("/var/lib/logs"));
        assert_eq!(
            properties.without_effect,
            ["process.roles", "node.id", "offsets.topic.replication.factor"]
        );
    }
}
