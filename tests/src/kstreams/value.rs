//! Values and keys whose types are only known when a case is read, and their serdes.

use std::fmt;
use std::sync::Arc;

use headwater::codec::{
    DoubleSerde, IntegerSerde, LongSerde, Nullable, SerdeError, SessionWindowedSerde, StringSerde,
    TimeWindowedSerde,
};
use headwater::{HasSerde, Serde, Windowed};
use serde_json::{Value as Json, json};

use super::Trouble;

/// A serde that operators share.
pub(super) type Shared<T> = Arc<dyn Serde<T>>;

/// A value of any type that cases use.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Val {
    /// No value.
    Null,
    /// `string`.
    Text(String),
    /// `int`.
    Int(i32),
    /// `long`.
    Long(i64),
    /// `double`.
    Double(f64),
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Long,
    Double,
}

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A key as it is.
    Plain(Kind),
    /// A key in windows of so many milliseconds.
    Window(Kind, i64),
    /// A key in sessions.
    Session(Kind),
}

impl Kind {
    /// The type called `name`.
    pub(super) fn parse(name: &str) -> Result<Self, Trouble> {
        match name {
            "string" => Ok(Self::Text),
            "int" => Ok(Self::Int),
            "long" => Ok(Self::Long),
            "double" => Ok(Self::Double),
            _ => Err(Trouble::unsupported(format!("type `{name}`"))),
        }
    }

    /// A value of this type from bytes of a topic.
    pub(super) fn decode(self, bytes: Option<&[u8]>) -> Result<Json, Trouble> {
        Ok(ValSerde::of(self).deserialize(bytes)?.json())
    }

    /// The value of this type that `json` stands for.
    pub(super) fn read(self, json: &Json) -> Result<Val, Trouble> {
        let bad = || Trouble::failed(format!("{json} is no {self:?}"));
        Ok(match self {
            _ if json.is_null() => Val::Null,
            Self::Text => Val::Text(json.as_str().ok_or_else(bad)?.to_owned()),
            Self::Int => Val::Int(json.as_i64().and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
            Self::Long => Val::Long(json.as_i64().ok_or_else(bad)?),
            Self::Double => Val::Double(json.as_f64().ok_or_else(bad)?),
        })
    }
}

impl KeyKind {
    /// The type called `name`, such as `windowed:string:500`.
    pub(super) fn parse(name: &str) -> Result<Self, Trouble> {
        let parts: Vec<_> = name.split(':').collect();
        match parts[..] {
            ["windowed", kind, size] => {
                let size = size.parse().map_err(|_| Trouble::unsupported(format!("type `{name}`")))?;
                Ok(Self::Window(Kind::parse(kind)?, size))
            }
            ["session", kind] => Ok(Self::Session(Kind::parse(kind)?)),
            _ => Kind::parse(name).map(Self::Plain),
        }
    }

    /// The type of the key itself, without window.
    pub(super) fn inner(self) -> Kind {
        match self {
            Self::Plain(kind) | Self::Window(kind, _) | Self::Session(kind) => kind,
        }
    }

    /// A key of this type as bytes of a topic.
    pub(super) fn encode(self, json: &Json) -> Result<Option<Vec<u8>>, Trouble> {
        if json.is_null() {
            return Ok(None);
        }
        match self {
            Self::Plain(kind) => encode(&ValSerde::of(kind), &kind.read(json)?),
            Self::Window(kind, _) | Self::Session(kind) => {
                let bound = |name: &str| json[name].as_i64().unwrap_or_default();
                let key = Windowed::new(kind.read(&json["key"])?, bound("start"), bound("end"));
                encode(&Windowed::key_serde(self)?, &key)
            }
        }
    }

    /// A key of this type from bytes of a topic.
    pub(super) fn decode(self, bytes: Option<&[u8]>) -> Result<Json, Trouble> {
        match self {
            _ if bytes.is_none() => Ok(Json::Null),
            Self::Plain(kind) => kind.decode(bytes),
            Self::Window(..) | Self::Session(_) => Ok(Windowed::key_serde(self)?.deserialize(bytes)?.json()),
        }
    }
}

/// The bytes of `value`, `None` for null.
pub(super) fn encode<T>(serde: &impl Serde<T>, value: &T) -> Result<Option<Vec<u8>>, Trouble> {
    let mut bytes = Vec::new();
    Ok(serde.serialize(value, &mut bytes)?.then_some(bytes))
}

impl Val {
    /// The value as a case writes it.
    pub(super) fn json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Text(text) => json!(text),
            Self::Int(number) => json!(number),
            Self::Long(number) => json!(number),
            Self::Double(number) => json!(number),
        }
    }

    /// The value as a whole number, where it is one or the text of one.
    pub(super) fn whole(&self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Text(text) => text.parse().ok(),
            Self::Int(number) => Some(i64::from(*number)),
            Self::Long(number) => Some(*number),
            // As Java's cast: towards zero, at the ends of the range where it does not fit.
            #[expect(clippy::cast_possible_truncation, reason = "that is what the cast is for")]
            Self::Double(number) => Some(*number as i64),
        }
    }
}

impl fmt::Display for Val {
    /// As Java prints it: null is `null`, a double always has a point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Long(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number:?}"),
        }
    }
}

/// The serde of values of one type; without a type it writes any value and reads none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ValSerde {
    kind: Option<Kind>,
}

impl ValSerde {
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind: Some(kind) }
    }
}

impl HasSerde for Val {
    type Serde = ValSerde;
}

impl Serde<Val> for ValSerde {
    fn serialize(&self, value: &Val, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        let (kind, written) = match value {
            Val::Null => return Ok(false),
            Val::Text(text) => (Kind::Text, StringSerde.serialize(text, out)?),
            Val::Int(number) => (Kind::Int, IntegerSerde.serialize(number, out)?),
            Val::Long(number) => (Kind::Long, LongSerde.serialize(number, out)?),
            Val::Double(number) => (Kind::Double, DoubleSerde.serialize(number, out)?),
        };
        match self.kind {
            Some(expected) if expected != kind => {
                Err(SerdeError::new(format!("{expected:?}"), format!("found {value:?}"), None))
            }
            _ => Ok(written),
        }
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Val, SerdeError> {
        if bytes.is_none() {
            return Ok(Val::Null);
        }
        match self.kind {
            None => Err(SerdeError::new("a value", "the pipeline does not tell its type", bytes)),
            Some(Kind::Text) => StringSerde.deserialize(bytes).map(Val::Text),
            Some(Kind::Int) => IntegerSerde.deserialize(bytes).map(Val::Int),
            Some(Kind::Long) => LongSerde.deserialize(bytes).map(Val::Long),
            Some(Kind::Double) => DoubleSerde.deserialize(bytes).map(Val::Double),
        }
    }

    fn is_null(&self, value: &Val) -> bool {
        *value == Val::Null
    }
}

/// A key in the DSL's types: a value, or a value in a window.
pub(super) trait Key: HasSerde {
    /// The serde of keys of type `kind`.
    fn key_serde(kind: KeyKind) -> Result<Shared<Self>, Trouble>;
    /// The key as a plain value, where it has no window.
    fn plain(&self) -> Option<&Val>;
    /// The key as text, `[key@start/end]` where it has a window.
    fn text(&self) -> String;
    /// The key as a case writes it.
    fn json(&self) -> Json;
}

impl Key for Val {
    fn key_serde(kind: KeyKind) -> Result<Shared<Self>, Trouble> {
        match kind {
            KeyKind::Plain(kind) => Ok(Arc::new(ValSerde::of(kind))),
            _ => Err(Trouble::failed("the key has no window".to_owned())),
        }
    }

    fn plain(&self) -> Option<&Val> {
        Some(self)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Json {
        Self::json(self)
    }
}

impl Key for Windowed<Val> {
    fn key_serde(kind: KeyKind) -> Result<Shared<Self>, Trouble> {
        match kind {
            KeyKind::Plain(_) => Err(Trouble::failed("the key has a window".to_owned())),
            KeyKind::Window(kind, size) => Ok(Arc::new(TimeWindowedSerde::new(ValSerde::of(kind), size))),
            KeyKind::Session(kind) => Ok(Arc::new(SessionWindowedSerde::new(ValSerde::of(kind)))),
        }
    }

    fn plain(&self) -> Option<&Val> {
        None
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Json {
        json!({ "key": self.key.json(), "start": self.window.start, "end": self.window.end })
    }
}

/// A table's value in the DSL's types.
pub(super) trait Cell: HasSerde {
    /// The serde of values of type `kind`.
    fn value_serde(kind: Kind) -> Shared<Self>;
    /// The value.
    fn val(&self) -> Val;
    /// The value in this type; `None` where it cannot hold it.
    fn of(val: Val) -> Option<Self>;
}

impl Cell for Val {
    fn value_serde(kind: Kind) -> Shared<Self> {
        Arc::new(ValSerde::of(kind))
    }

    fn val(&self) -> Val {
        self.clone()
    }

    fn of(val: Val) -> Option<Self> {
        (val != Self::Null).then_some(val)
    }
}

impl Cell for i64 {
    fn value_serde(_kind: Kind) -> Shared<Self> {
        Arc::new(LongSerde)
    }

    fn val(&self) -> Val {
        Val::Long(*self)
    }

    fn of(val: Val) -> Option<Self> {
        match val {
            Val::Long(number) => Some(number),
            _ => None,
        }
    }
}

impl<T: Cell> Cell for Option<T> {
    fn value_serde(kind: Kind) -> Shared<Self> {
        Arc::new(Nullable(T::value_serde(kind)))
    }

    fn val(&self) -> Val {
        self.as_ref().map_or(Val::Null, Cell::val)
    }

    fn of(val: Val) -> Option<Self> {
        T::of(val).map(Some)
    }
}
