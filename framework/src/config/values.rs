//! The value of every property, and where it comes from.

use super::property::{Fallback, Property, Value};
use super::source::Source;
use super::table::{LONGEST_TRANSACTION_MS, properties};
use crate::kafka::Secret;

/// The value of one property.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) property: &'static Property,
    pub(super) value: Value,
    pub(super) source: Source,
    /// Whether the property was refused: then the value only fills its place.
    pub(super) refused: bool,
    /// Whether it was written as Java's handler that goes on and also feeds a dead letter queue, if there is
    /// one.
    pub(super) dead_letters_if_possible: bool,
}

/// The value of every property, in the order of the table.
#[derive(Clone, Debug)]
pub(super) struct Values(Vec<Chosen>);

impl Values {
    /// All defaults.
    pub(super) fn new() -> Self {
        let default = |property: &'static Property| {
            let value = match property.default {
                Fallback::Text(text) => property.kind.parse(text).expect("a default is an allowed value"),
                Fallback::Required | Fallback::Unset(_) | Fallback::Derived(_) => Value::Unset,
            };
            let source = Source::Default;
            Chosen { property, value, source, refused: false, dead_letters_if_possible: false }
        };
        Self(properties().map(default).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Chosen> {
        self.0.iter()
    }

    pub(super) fn get(&self, name: &str) -> &Chosen {
        self.0.iter().find(|chosen| chosen.property.name == name).expect("a property of the table")
    }

    pub(super) fn get_mut(&mut self, name: &str) -> &mut Chosen {
        self.0.iter_mut().find(|chosen| chosen.property.name == name).expect("a property of the table")
    }

    /// The value of the property `name`, whose kind is a number.
    pub(super) fn number(&self, name: &str) -> i64 {
        match self.get(name).value {
            Value::Number(number) => number,
            _ => unreachable!("{name} is a number with a default"),
        }
    }

    /// The value of the property `name`, whose kind is a number that may be left out.
    pub(super) fn number_if_set(&self, name: &str) -> Option<i64> {
        match self.get(name).value {
            Value::Number(number) => Some(number),
            Value::Unset => None,
            Value::Text(_) | Value::Secret(_) => unreachable!("{name} is a number"),
        }
    }

    /// The value of the property `name`, whose kind is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name).value {
            Value::Text(text) => Some(text),
            Value::Unset => None,
            Value::Number(_) | Value::Secret(_) => unreachable!("{name} is a text"),
        }
    }

    /// The value of the property `name`, whose kind is a text that is never shown.
    pub(super) fn secret(&self, name: &str) -> Option<&Secret> {
        match &self.get(name).value {
            Value::Secret(secret) => Some(secret),
            Value::Unset => None,
            Value::Number(_) | Value::Text(_) => unreachable!("{name} is a secret"),
        }
    }

    /// Whether someone has set the property `name`.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.get(name).source != Source::Default
    }

    /// Whether transactions are used.
    pub(super) fn exactly_once(&self) -> bool {
        self.text("processing.guarantee") == Some("exactly_once_v2")
    }

    /// The property `name` with its value and source, for a message.
    pub(super) fn told(&self, name: &str) -> String {
        let Chosen { value, source, .. } = self.get(name);
        format!("`{name}` ({value}, {source})")
    }

    /// Fills in the values that follow from others, where they are not set.
    pub(super) fn derive(&mut self) {
        for handler in HANDLERS {
            if self.get(handler).dead_letters_if_possible && self.is_given(DEAD_LETTER_TOPIC) {
                self.get_mut(handler).value = Value::Text("dead-letter".to_owned());
            }
        }
        if let Some(id) = self.text("application.id").map(str::to_owned) {
            self.unless_given("client.id", Value::Text(id));
        }
        let exactly_once = self.exactly_once();
        self.unless_given("commit.interval.ms", Value::Number(if exactly_once { 100 } else { 30_000 }));
        let transaction_ms =
            self.number("commit.interval.ms").saturating_mul(10).clamp(10_000, LONGEST_TRANSACTION_MS);
        self.unless_given("transaction.timeout.ms", Value::Number(transaction_ms));
        let quarter_ms = self.number("transaction.timeout.ms") / 4;
        let request_ms = if exactly_once { quarter_ms.min(30_000) } else { 30_000 };
        self.unless_given("request.timeout.ms", Value::Number(request_ms));
        let flush_bytes = (self.number("memory.max") / 16).clamp(1, 64 << 20);
        self.unless_given("state.flush.bytes", Value::Number(flush_bytes));
        let state_dir = std::env::temp_dir().join("headwater");
        self.unless_given("state.dir", Value::Text(state_dir.display().to_string()));
    }

    fn unless_given(&mut self, name: &str, value: Value) {
        let chosen = self.get_mut(name);
        if chosen.value == Value::Unset {
            chosen.value = value;
        }
    }
}

/// The topic for records that handlers of kind `dead-letter` skip.
pub(super) const DEAD_LETTER_TOPIC: &str = "errors.dead.letter.queue.topic.name";

/// The properties that say what happens to a record that fails.
pub(super) const HANDLERS: [&str; 3] =
    ["deserialization.exception.handler", "processing.exception.handler", "production.exception.handler"];
