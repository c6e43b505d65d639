//! The functions that pipelines name: selectors, predicates, joiners, reducers and aggregators.

use super::Trouble;
use super::value::{Key, KeyKind, Kind, Val};

/// Splits `name:argument`.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    }
}

fn number<T: std::str::FromStr>(text: &str, argument: Option<&str>) -> Result<T, Trouble> {
    let number = argument.and_then(|argument| argument.parse().ok());
    number.ok_or_else(|| Trouble::unsupported(format!("function `{text}`")))
}

/// Makes a value of a key and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Value,
    Key,
    Null,
    Upper,
    Text,
    WindowedKeyText,
    Prefix(usize),
    /// A part of the value, and the text for which it is null.
    Field(usize, String),
    Csv(usize),
    KeyChar(usize),
    Times(i32),
    ToInt,
    ValueUnlessKeyNull,
}

impl Function {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let (name, argument) = split(text);
        Ok(match name {
            "value" => Self::Value,
            "key" => Self::Key,
            "null" => Self::Null,
            "upper" => Self::Upper,
            "str" => Self::Text,
            "windowed_key_str" => Self::WindowedKeyText,
            "prefix_of" => Self::Prefix(number(text, argument)?),
            "field" => Self::Field(number(text, argument)?, "null".to_owned()),
            "field_or_null" => {
                let (index, null) = argument.map(split).unwrap_or_default();
                Self::Field(number(text, Some(index))?, null.unwrap_or("null").to_owned())
            }
            "csv" => Self::Csv(number(text, argument)?),
            "key_char" => Self::KeyChar(number(text, argument)?),
            "times" => Self::Times(number(text, argument)?),
            "to_int" => Self::ToInt,
            "value_unless_key_null" => Self::ValueUnlessKeyNull,
            _ => return Err(Trouble::unsupported(format!("function `{text}`"))),
        })
    }

    /// The type of the result.
    pub(super) fn kind(&self, key: KeyKind, value: Kind) -> Result<Kind, Trouble> {
        match self {
            Self::Value | Self::Null | Self::Times(_) | Self::ValueUnlessKeyNull => Ok(value),
            Self::Key => match key {
                KeyKind::Plain(kind) => Ok(kind),
                _ => Err(Trouble::unsupported("a windowed key as a value".to_owned())),
            },
            Self::ToInt => Ok(Kind::Int),
            _ => Ok(Kind::Text),
        }
    }

    pub(super) fn apply<K: Key>(&self, key: &K, value: &Val) -> Val {
        match self {
            Self::Value => value.clone(),
            Self::Key => key.plain().cloned().unwrap_or(Val::Null),
            Self::WindowedKeyText => Val::Text(key.text()),
            Self::KeyChar(index) => {
                key.text().chars().nth(*index).map_or(Val::Null, |found| Val::Text(found.to_string()))
            }
            Self::ValueUnlessKeyNull if key.text() == "null" => Val::Null,
            Self::ValueUnlessKeyNull => value.clone(),
            _ if *value == Val::Null => Val::Null,
            _ => self.apply_to_present(value),
        }
    }

    fn apply_to_present(&self, value: &Val) -> Val {
        let text = value.to_string();
        let part = |separator: char, index: usize, null: &str| match text.split(separator).nth(index) {
            Some(part) if part != null => Val::Text(part.to_owned()),
            _ => Val::Null,
        };
        match self {
            Self::Upper => Val::Text(text.to_uppercase()),
            Self::Text => Val::Text(text),
            Self::Prefix(length) => Val::Text(text.chars().take(*length).collect()),
            Self::Field(index, null) => part('|', *index, null),
            Self::Csv(index) => part(',', *index, "null"),
            Self::Times(factor) => times(value, *factor),
            Self::ToInt => value.whole().and_then(|n| i32::try_from(n).ok()).map_or(Val::Null, Val::Int),
            _ => Val::Null,
        }
    }
}

fn times(value: &Val, factor: i32) -> Val {
    match value {
        Val::Int(number) => Val::Int(number.wrapping_mul(factor)),
        Val::Long(number) => Val::Long(number.wrapping_mul(i64::from(factor))),
        Val::Double(number) => Val::Double(number * f64::from(factor)),
        Val::Null | Val::Text(_) => Val::Null,
    }
}

/// Holds for a value or not; for null it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Predicate {
    Even,
    Odd,
    Contains(String),
    LessThan(i64),
    Not(String),
    Present,
}

impl Predicate {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let (name, argument) = split(text);
        Ok(match (name, argument) {
            ("even", None) => Self::Even,
            ("odd", None) => Self::Odd,
            ("contains", Some(part)) => Self::Contains(part.to_owned()),
            ("lt", Some(_)) => Self::LessThan(number(text, argument)?),
            ("ne", Some(other)) => Self::Not(other.to_owned()),
            ("value_not_null", None) => Self::Present,
            _ => return Err(Trouble::unsupported(format!("predicate `{text}`"))),
        })
    }

    pub(super) fn holds(&self, value: &Val) -> bool {
        if *value == Val::Null {
            return false;
        }
        match self {
            Self::Even => value.whole().is_some_and(|number| number % 2 == 0),
            Self::Odd => value.whole().is_some_and(|number| number % 2 != 0),
            Self::Contains(part) => value.to_string().contains(part),
            Self::LessThan(limit) => value.whole().is_some_and(|number| number < *limit),
            Self::Not(other) => value.to_string() != *other,
            Self::Present => true,
        }
    }
}

/// Makes a text of both sides of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Joiner {
    Separated(String),
    Parenthesised,
}

impl Joiner {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        match split(text) {
            ("sep", Some(separator)) => Ok(Self::Separated(separator.to_owned())),
            ("paren", None) => Ok(Self::Parenthesised),
            _ => Err(Trouble::unsupported(format!("joiner `{text}`"))),
        }
    }

    pub(super) fn join(&self, left: &Val, right: &Val) -> Val {
        Val::Text(match self {
            Self::Separated(separator) => format!("{left}{separator}{right}"),
            Self::Parenthesised => format!("({left},{right})"),
        })
    }
}

/// Combines an aggregate with a value, or two aggregates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reducer {
    Separated(String),
    Sum,
    Difference,
    Max,
    Min,
    First,
    Last,
    /// Deletes the value's text from the aggregate's.
    Without,
}

impl Reducer {
    /// A reducer or session merger.
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        Ok(match split(text) {
            ("sep", Some(separator)) => Self::Separated(separator.to_owned()),
            ("sum", None) => Self::Sum,
            ("sub", None) => Self::Difference,
            ("max", None) => Self::Max,
            ("min", None) => Self::Min,
            ("first", None) => Self::First,
            ("last", None) => Self::Last,
            _ => return Err(Trouble::unsupported(format!("reducer `{text}`"))),
        })
    }

    /// An aggregator.
    pub(super) fn parse_aggregator(text: &str) -> Result<Self, Trouble> {
        Ok(match split(text) {
            ("append", Some(separator)) => Self::Separated(separator.to_owned()),
            ("concat", None) => Self::Separated(String::new()),
            ("remove", None) => Self::Without,
            ("sum", None) => Self::Sum,
            ("sub", None) => Self::Difference,
            _ => return Err(Trouble::unsupported(format!("aggregator `{text}`"))),
        })
    }

    pub(super) fn combine(&self, one: Val, other: Val) -> Val {
        match self {
            Self::Separated(separator) => Val::Text(format!("{one}{separator}{other}")),
            Self::Sum => calculate(&one, &other, i64::wrapping_add, |a, b| a + b),
            Self::Difference => calculate(&one, &other, i64::wrapping_sub, |a, b| a - b),
            Self::Max => calculate(&one, &other, i64::max, f64::max),
            Self::Min => calculate(&one, &other, i64::min, f64::min),
            Self::First => one,
            Self::Last => other,
            Self::Without => Val::Text(one.to_string().replace(&other.to_string(), "")),
        }
    }
}

/// Calculates in the first number's type.
fn calculate(one: &Val, other: &Val, whole: fn(i64, i64) -> i64, real: fn(f64, f64) -> f64) -> Val {
    if let (Val::Double(one), Val::Double(other)) = (one, other) {
        return Val::Double(real(*one, *other));
    }
    let (Some(left), Some(right)) = (one.whole(), other.whole()) else { return Val::Null };
    let result = whole(left, right);
    match one {
        // Java's int arithmetic wraps.
        #[expect(clippy::cast_possible_truncation, reason = "wraps as Java's int does")]
        Val::Int(_) => Val::Int(result as i32),
        _ => Val::Long(result),
    }
}
