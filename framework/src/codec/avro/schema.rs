//! A schema with its text: the text goes to the registry (a parsed schema loses what it does not know), the parsed form
//! encodes.

use apache_avro::Schema;

use crate::codec::SerdeError;

/// A parsed schema and the JSON it came from.
#[derive(Clone, Debug)]
pub(super) struct SourceSchema {
    pub(super) json: serde_json::Value,
    pub(super) parsed: Schema,
}

impl SourceSchema {
    /// Parses a schema in Avro's JSON form; a bare name such as `long` is one too, as registries return it.
    pub(super) fn parse(text: &str) -> Result<Self, SerdeError> {
        let bad = |problem: String| SerdeError::new("an avro schema", problem, Some(text.as_bytes()));
        let json = match serde_json::from_str(text) {
            Ok(json) => json,
            Err(_) if is_name(text.trim()) => serde_json::Value::from(text.trim()),
            Err(error) => return Err(bad(error.to_string())),
        };
        let parsed = Schema::parse(&json).map_err(|error| bad(error.to_string()))?;
        Ok(Self { json, parsed })
    }

    /// The schema as JSON text, on one line.
    pub(super) fn text(&self) -> String {
        self.json.to_string()
    }

    /// What errors call the schema.
    pub(super) fn name(&self) -> String {
        self.parsed.name().map_or_else(|| self.text(), |name| name.fullname(None))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"_.".contains(&letter))
}
