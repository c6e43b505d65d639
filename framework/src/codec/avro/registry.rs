//! The port to a schema registry: who keeps schemas under ids and subjects. An HTTP client of a real one implements
//! [`SchemaRegistry`] elsewhere; [`MemoryRegistry`] is for tests and for programs that talk to themselves.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The name that versions of a schema are registered under.
///
/// ```
/// use headwater::codec::avro::Subject;
/// assert_eq!(Subject::value_of("orders").as_str(), "orders-value");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// The subject of a topic's values: `<topic>-value`, the registry's usual strategy (`TopicNameStrategy`).
    #[must_use]
    pub fn value_of(topic: &str) -> Self {
        Self(format!("{topic}-value"))
    }

    /// The subject of a topic's keys: `<topic>-key`.
    #[must_use]
    pub fn key_of(topic: &str) -> Self {
        Self(format!("{topic}-key"))
    }

    /// A subject of any name, for other strategies.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A store of schemas that hands out ids.
///
/// Serdes keep what they are told: a registry is asked once per id and once per serde that writes. A call may block; it
/// happens on the thread that processes records, so an implementation should bound its time. An error is reported with
/// [`SerdeError::retry`](crate::codec::SerdeError::retry) set, and the next record asks again.
pub trait SchemaRegistry: Send + Sync + fmt::Debug {
    /// The id of `schema` under `subject`; registers it if it is new there.
    ///
    /// # Errors
    /// If the registry cannot be reached or refuses the schema.
    fn register(&self, subject: &Subject, schema: &str) -> Result<i32, RegistryError>;
    /// The schema of an id; `None` if there is no such id.
    ///
    /// # Errors
    /// If the registry cannot be reached.
    fn schema(&self, id: i32) -> Result<Option<String>, RegistryError>;
    /// Id and text of the newest schema of `subject`; `None` if it has none.
    ///
    /// # Errors
    /// If the registry cannot be reached.
    fn latest(&self, subject: &Subject) -> Result<Option<(i32, String)>, RegistryError>;
}

/// Why a registry did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryError {
    /// What went wrong, in lower case, without full stop.
    pub problem: String,
    /// Whether the same call may work later: unreachable, overloaded. Not if the schema was refused.
    pub retry: bool,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for RegistryError {}

/// A registry in memory. Ids count from 1; the same schema has one id under all subjects, as in a real registry.
/// Compatibility between versions is not checked.
///
/// ```
/// use headwater::codec::avro::{MemoryRegistry, SchemaRegistry, Subject};
/// let registry = MemoryRegistry::default();
/// assert_eq!(registry.register(&Subject::value_of("orders"), r#""long""#), Ok(1));
/// assert_eq!(registry.register(&Subject::value_of("orders"), r#"{"type": "string"}"#), Ok(2));
/// assert_eq!(registry.register(&Subject::key_of("orders"), r#""long""#), Ok(1));
/// assert_eq!(registry.latest(&Subject::value_of("orders")), Ok(Some((2, r#"{"type":"string"}"#.to_owned()))));
/// ```
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The schema of id 1 stands at 0.
    schemas: Vec<Value>,
    versions: HashMap<Subject, Vec<i32>>,
}

impl MemoryRegistry {
    fn with<R>(&self, ask: impl FnOnce(&mut State) -> R) -> R {
        // A panic elsewhere cannot leave the state half changed: nothing in here panics between two changes.
        ask(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SchemaRegistry for MemoryRegistry {
    fn register(&self, subject: &Subject, schema: &str) -> Result<i32, RegistryError> {
        let refused = |error| RegistryError { problem: format!("schema refused: {error}"), retry: false };
        let schema: Value = serde_json::from_str(schema).map_err(refused)?;
        Ok(self.with(|state| state.register(subject, schema)))
    }

    fn schema(&self, id: i32) -> Result<Option<String>, RegistryError> {
        Ok(self.with(|state| state.schema(id)))
    }

    fn latest(&self, subject: &Subject) -> Result<Option<(i32, String)>, RegistryError> {
        Ok(self.with(|state| {
            let id = *state.versions.get(subject)?.last()?;
            Some((id, state.schema(id)?))
        }))
    }
}

impl State {
    fn register(&mut self, subject: &Subject, schema: Value) -> i32 {
        let known = self.schemas.iter().position(|known| *known == schema);
        let index = known.unwrap_or_else(|| {
            self.schemas.push(schema);
            self.schemas.len() - 1
        });
        let id = i32::try_from(index + 1).expect("fewer than 2^31 schemas fit in memory");
        let versions = self.versions.entry(subject.clone()).or_default();
        if !versions.contains(&id) {
            versions.push(id);
        }
        id
    }

    fn schema(&self, id: i32) -> Option<String> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.schemas.get(index).map(Value::to_string)
    }
}
