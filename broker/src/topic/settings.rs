//! Settings of a topic: Kafka's names, defaults and rules. Names outside the table are refused.
//!
//! Settings that mean nothing to a single node (compression by the broker, replicas, tiers) are accepted and
//! shown, so that a topic can be described as in Kafka, and have no effect; in memory those about segments
//! and flushing have none either.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::api::{ConfigEntry, ConfigKind};
use crate::batch::TimestampType;
use crate::log::CompactionRules;
use crate::storage::KeepRules;

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Integer {
        least: i64,
        most: i64,
    },
    Fraction,
    Choice(&'static [&'static str]),
    /// Several of these, separated by commas.
    List(&'static [&'static str]),
    Text,
}

const ANY: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;
const BOOLEAN: Rule = Rule::Choice(&["true", "false"]);
const CODECS: Rule = Rule::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);

const fn integer(least: i64, most: i64) -> Rule {
    Rule::Integer { least, most }
}

/// Name, default and rule of every setting, by name; after Kafka 4.1.
const TABLE: &[(&str, &str, Rule)] = &[
    ("cleanup.policy", "delete", Rule::List(&["compact", "delete"])),
    ("compression.gzip.level", "-1", integer(-1, 9)),
    ("compression.lz4.level", "9", integer(1, 17)),
    ("compression.type", "producer", CODECS),
    ("compression.zstd.level", "3", integer(-131_072, 22)),
    ("delete.retention.ms", "86400000", integer(0, ANY)),
    ("file.delete.delay.ms", "60000", integer(0, ANY)),
    ("flush.messages", "9223372036854775807", integer(1, ANY)),
    ("flush.ms", "9223372036854775807", integer(0, ANY)),
    ("follower.replication.throttled.replicas", "", Rule::Text),
    ("index.interval.bytes", "4096", integer(0, INT)),
    ("leader.replication.throttled.replicas", "", Rule::Text),
    ("local.retention.bytes", "-2", integer(-2, ANY)),
    ("local.retention.ms", "-2", integer(-2, ANY)),
    ("max.compaction.lag.ms", "9223372036854775807", integer(1, ANY)),
    ("max.message.bytes", "1048588", integer(0, INT)),
    ("message.downconversion.enable", "true", BOOLEAN),
    ("message.timestamp.after.max.ms", "9223372036854775807", integer(0, ANY)),
    ("message.timestamp.before.max.ms", "9223372036854775807", integer(0, ANY)),
    ("message.timestamp.type", "CreateTime", Rule::Choice(&["CreateTime", "LogAppendTime"])),
    ("min.cleanable.dirty.ratio", "0.5", Rule::Fraction),
    ("min.compaction.lag.ms", "0", integer(0, ANY)),
    ("min.insync.replicas", "1", integer(1, INT)),
    ("preallocate", "false", BOOLEAN),
    ("remote.storage.enable", "false", BOOLEAN),
    ("retention.bytes", "-1", integer(-1, ANY)),
    ("retention.ms", "604800000", integer(-1, ANY)),
    ("segment.bytes", "1073741824", integer(14, INT)),
    ("segment.index.bytes", "10485760", integer(4, INT)),
    ("segment.jitter.ms", "0", integer(0, ANY)),
    ("segment.ms", "604800000", integer(1, ANY)),
    ("unclean.leader.election.enable", "false", BOOLEAN),
];

/// A setting that was refused, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingsError(pub(crate) String);

/// What holds for topics that do not set it themselves, where that is not Kafka's own default.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Defaults(Arc<BTreeMap<&'static str, String>>);

impl Defaults {
    pub(crate) fn new(configs: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let changes = configs.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
        change(BTreeMap::new(), changes).map(|set| Self(Arc::new(set)))
    }
}

/// The settings of one topic: what was set, and what the broker acts on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    set: BTreeMap<&'static str, String>,
    defaults: Defaults,
    pub(crate) compacted: bool,
    pub(crate) deleted: bool,
    pub(crate) delete_retention_ms: i64,
    pub(crate) max_message_bytes: usize,
    pub(crate) timestamp_type: TimestampType,
    /// Oldest and latest time of a producer's record, relative to now.
    timestamps: (i64, i64),
    pub(crate) min_compaction_lag_ms: i64,
    pub(crate) max_compaction_lag_ms: i64,
    pub(crate) min_cleanable_dirty_ratio: f64,
    segment_bytes: u64,
    segment_ms: i64,
    index_interval_bytes: u64,
    flush_messages: i64,
    flush_ms: i64,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) retention_bytes: Option<u64>,
}

impl Settings {
    pub(crate) fn new(
        configs: &BTreeMap<String, String>,
        defaults: &Defaults,
    ) -> Result<Self, SettingsError> {
        let changes = configs.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
        change(BTreeMap::new(), changes).map(|set| Self::read(set, defaults.clone()))
    }

    /// The same settings with some set anew, or back to their default.
    pub(crate) fn changed<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Self, SettingsError> {
        change(self.set.clone(), changes).map(|set| Self::read(set, self.defaults.clone()))
    }

    fn read(set: BTreeMap<&'static str, String>, defaults: Defaults) -> Self {
        let text = |name: &str| {
            let set = set.get(name).or_else(|| defaults.0.get(name)).map(String::as_str);
            set.unwrap_or_else(|| default_of(name)).trim().to_owned()
        };
        let number =
            |name: &str| text(name).parse::<i64>().expect("the rule of the setting admits integers only");
        let limit = |name: &str| Some(number(name)).filter(|&limit| limit >= 0);
        let policy = text("cleanup.policy");
        let has_policy = |wanted: &str| policy.split(',').any(|policy| policy.trim() == wanted);
        let by_broker = text("message.timestamp.type") == "LogAppendTime";
        Self {
            compacted: has_policy("compact"),
            deleted: has_policy("delete"),
            delete_retention_ms: number("delete.retention.ms"),
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(usize::MAX),
            timestamp_type: if by_broker { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
            timestamps: (number("message.timestamp.before.max.ms"), number("message.timestamp.after.max.ms")),
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            max_compaction_lag_ms: number("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio")
                .parse()
                .expect("the rule of the setting admits fractions only"),
            segment_bytes: number("segment.bytes").unsigned_abs(),
            segment_ms: number("segment.ms"),
            index_interval_bytes: number("index.interval.bytes").unsigned_abs(),
            flush_messages: number("flush.messages"),
            flush_ms: number("flush.ms"),
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes").and_then(|bytes| u64::try_from(bytes).ok()),
            set,
            defaults,
        }
    }

    /// What was set.
    pub(crate) fn configs(&self) -> BTreeMap<String, String> {
        self.set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    /// How batches are kept.
    pub(crate) fn keep_rules(&self, now: i64) -> KeepRules {
        // As Kafka: a record of a compacted topic must not wait for ever in a segment that nobody closes.
        let longest = if self.compacted { self.max_compaction_lag_ms } else { i64::MAX };
        KeepRules {
            segment_bytes: self.segment_bytes,
            segment_ms: self.segment_ms.min(longest),
            index_interval_bytes: self.index_interval_bytes,
            flush_messages: self.flush_messages,
            flush_ms: self.flush_ms,
            now,
        }
    }

    /// What times the records of producers may have.
    pub(crate) fn allowed_times(&self, now: i64) -> RangeInclusive<i64> {
        let (before, after) = self.timestamps;
        let first = if before == ANY { i64::MIN } else { now.saturating_sub(before) };
        let last = if after == ANY { i64::MAX } else { now.saturating_add(after) };
        first..=last
    }

    pub(crate) fn compaction_rules(&self, by_hand: bool, now: i64) -> CompactionRules {
        CompactionRules {
            delete_retention_ms: self.delete_retention_ms,
            min_lag_ms: self.min_compaction_lag_ms,
            max_lag_ms: self.max_compaction_lag_ms,
            min_dirty_ratio: self.min_cleanable_dirty_ratio,
            segment_bytes: self.segment_bytes,
            by_hand,
            now,
        }
    }

    /// All settings, by name.
    pub(crate) fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |&(name, default, rule): &(&'static str, &str, Rule)| {
            let (set, brokers) = (self.set.get(name), self.defaults.0.get(name));
            let value = set.or(brokers).cloned().unwrap_or_else(|| default.to_owned());
            let is_default = set.is_none();
            ConfigEntry {
                name,
                value,
                is_default,
                is_brokers: is_default && brokers.is_some(),
                kind: rule.kind(),
            }
        };
        TABLE.iter().map(entry).collect()
    }
}

/// Sets some anew, or back to their default.
fn change<'a>(
    mut set: BTreeMap<&'static str, String>,
    changes: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<BTreeMap<&'static str, String>, SettingsError> {
    for (name, value) in changes {
        let at = TABLE
            .binary_search_by(|(known, ..)| (*known).cmp(name))
            .map_err(|_| SettingsError(format!("unknown topic config {name}")))?;
        let (name, _, rule) = TABLE[at];
        match value {
            None => {
                set.remove(name);
            }
            Some(value) if rule.admits(value) => {
                set.insert(name, value.to_owned());
            }
            Some(value) => {
                return Err(SettingsError(format!("invalid value {value} for topic config {name}")));
            }
        }
    }
    Ok(set)
}

fn default_of(name: &str) -> &'static str {
    TABLE.iter().find(|(known, ..)| *known == name).expect("the broker reads settings of the table only").1
}

impl Rule {
    fn kind(self) -> ConfigKind {
        match self {
            Self::Integer { most: INT, .. } => ConfigKind::Integer,
            Self::Integer { .. } => ConfigKind::Long,
            Self::Fraction => ConfigKind::Double,
            Self::Choice(choices) if choices.contains(&"true") => ConfigKind::Boolean,
            Self::Choice(_) | Self::Text => ConfigKind::Text,
            Self::List(_) => ConfigKind::List,
        }
    }

    fn admits(self, value: &str) -> bool {
        let value = value.trim();
        match self {
            Self::Integer { least, most } => value.parse().is_ok_and(|n: i64| (least..=most).contains(&n)),
            Self::Fraction => value.parse().is_ok_and(|n: f64| (0.0..=1.0).contains(&n)),
            Self::Choice(choices) => choices.contains(&value),
            Self::List(choices) => value.split(',').all(|item| choices.contains(&item.trim())),
            Self::Text => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, TABLE};
    use std::collections::BTreeMap;

    fn settings(configs: &[(&str, &str)]) -> Result<Settings, String> {
        let configs: BTreeMap<String, String> =
            configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::new(&configs, &super::Defaults::default()).map_err(|error| error.0)
    }

    #[test]
    fn the_table_is_sorted_and_its_defaults_obey_their_rules() {
        assert!(TABLE.is_sorted_by_key(|(name, ..)| *name));
        for (name, default, rule) in TABLE {
            assert!(rule.admits(default), "{name}");
        }
        assert_eq!(settings(&[]).unwrap().max_message_bytes, 1_048_588);
    }

    #[test]
    fn values_are_checked() {
        let cases = [
            (("cleanup.policy", "compact, delete"), None),
            (("cleanup.policy", "shred"), Some("invalid value shred for topic config cleanup.policy")),
            (("retention.ms", "-2"), Some("invalid value -2 for topic config retention.ms")),
            (("retention.ms", "soon"), Some("invalid value soon for topic config retention.ms")),
            (("retention.minutes", "1"), Some("unknown topic config retention.minutes")),
        ];
        for (config, expected) in cases {
            assert_eq!(settings(&[config]).err().as_deref(), expected, "{config:?}");
        }
        let both = settings(&[("cleanup.policy", "compact, delete"), ("retention.ms", "-1")]).unwrap();
        assert!(both.compacted && both.deleted && both.retention_ms.is_none());
    }
}
