//! A case as its file writes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::Trouble;
use super::value::{KeyKind, Kind};

/// A file of cases; files without cases hold something else.
#[derive(Deserialize)]
pub(super) struct CaseFile {
    #[serde(default)]
    pub(super) cases: Vec<Case>,
}

/// One case.
#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) id: Json,
    #[serde(default)]
    pub(super) config: CaseConfig,
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) pipeline: Vec<Op>,
    pub(super) inputs: Vec<Input>,
}

/// How the application is configured.
#[derive(Default, Deserialize)]
pub(super) struct CaseConfig {
    /// Size of the record cache. The framework has none and tells every update of a table; where every record is
    /// committed it shows in one place only: a cache merges the steps in which one record changes one session.
    #[serde(default)]
    pub(super) cache_max_bytes: Option<u64>,
    #[serde(default)]
    pub(super) optimization: Option<String>,
}

/// A topic's types.
#[derive(Deserialize)]
pub(super) struct Topic {
    key: String,
    value: String,
    #[serde(default)]
    pub(super) sink: bool,
}

impl Topic {
    pub(super) fn kinds(&self) -> Result<(KeyKind, Kind), Trouble> {
        Ok((KeyKind::parse(&self.key)?, Kind::parse(&self.value)?))
    }
}

/// One thing that happens.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Input {
    /// A record arrives.
    Record(InputRecord),
    /// Time passes.
    Clock {
        /// By so many milliseconds.
        advance_wall_clock_ms: i64,
    },
}

/// A record that arrives.
#[derive(Deserialize)]
pub(super) struct InputRecord {
    pub(super) topic: String,
    pub(super) key: Json,
    pub(super) value: Json,
    pub(super) ts: i64,
    /// Names with base64 values; `None` where the case has no headers.
    #[serde(default)]
    pub(super) headers: Vec<(String, Option<String>)>,
}

/// A step of the pipeline. Fields that an operator does not have are `None`; unknown ones are in `rest`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Op {
    pub(super) id: String,
    pub(super) op: String,
    pub(super) from: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) with: Option<String>,
    pub(super) left: Option<String>,
    pub(super) right: Option<String>,
    pub(super) store: Option<String>,
    /// Whether the store is cached, which is the case's configuration's business unless it says no.
    #[serde(rename = "cache")]
    pub(super) _cache: Option<bool>,
    pub(super) pred: Option<String>,
    #[serde(rename = "fn")]
    pub(super) function: Option<String>,
    pub(super) key_fn: Option<String>,
    pub(super) value_fn: Option<String>,
    pub(super) key_type: Option<String>,
    pub(super) value_type: Option<String>,
    pub(super) drop_key: Option<String>,
    pub(super) init: Option<Json>,
    pub(super) add: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) merge: Option<String>,
    pub(super) window: Option<Json>,
    pub(super) emit: Option<String>,
    pub(super) kind: Option<String>,
    #[serde(rename = "type")]
    pub(super) join_type: Option<String>,
    pub(super) joiner: Option<String>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Json>,
}

/// Windows.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WindowSpec {
    Tumbling {
        size_ms: u64,
        #[serde(default)]
        grace_ms: u64,
    },
    Hopping {
        size_ms: u64,
        advance_ms: u64,
        #[serde(default)]
        grace_ms: u64,
    },
    Session {
        gap_ms: u64,
        #[serde(default)]
        grace_ms: u64,
    },
    #[serde(other)]
    Other,
}

impl Op {
    /// A field that this operator has to have.
    pub(super) fn need<'a, T>(&self, name: &str, field: &'a Option<T>) -> Result<&'a T, Trouble> {
        field.as_ref().ok_or_else(|| Trouble::failed(format!("`{}` needs the field `{name}`", self.op)))
    }

    /// The type named by an optional field.
    pub(super) fn kind_of(field: Option<&String>) -> Result<Option<Kind>, Trouble> {
        field.map(|name| Kind::parse(name)).transpose()
    }
}

impl WindowSpec {
    /// The windows that `json` describes.
    pub(super) fn read(json: &Json) -> Result<Self, Trouble> {
        Self::deserialize(json).map_err(|error| Trouble::failed(format!("windows {json}: {error}")))
    }
}
