//! The bare datum: bytes as the schema says, with nothing before them. Reader and writer have to agree on the schema.

use std::marker::PhantomData;

use super::datum::{DatumReader, DatumWriter};
use super::schema::SourceSchema;
use super::{Dynamic, Form, Typed};
use crate::codec::fixed::not_null;
use crate::codec::{Serde, SerdeError};

/// Serde of Avro data without a header. Allocates for every record.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::avro::AvroSerde;
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Order {
///     id: i64,
///     item: Option<String>,
/// }
///
/// let serde = AvroSerde::new(
///     r#"{"type": "record", "name": "Order", "fields": [
///         {"name": "item", "type": ["null", "string"]},
///         {"name": "id", "type": "long"}
///     ]}"#,
/// )?;
/// let mut out = Vec::new();
/// serde.serialize(&Order { id: 1, item: Some("tea".to_owned()) }, &mut out)?;
/// assert_eq!(out, b"\x02\x06tea\x02");
/// assert_eq!(serde.deserialize(Some(&out)), Ok(Order { id: 1, item: Some("tea".to_owned()) }));
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
pub struct AvroSerde<F = Typed> {
    schema: SourceSchema,
    reader: DatumReader,
    writer: DatumWriter,
    form: PhantomData<F>,
}

impl AvroSerde<Typed> {
    /// A serde for types that serde can write and read, with a schema in JSON form.
    ///
    /// # Errors
    /// If the schema is none.
    pub fn new(schema: &str) -> Result<Self, SerdeError> {
        Self::with_form(schema)
    }
}

impl AvroSerde<Dynamic> {
    /// A serde for [`Value`](apache_avro::types::Value), with a schema in JSON form.
    ///
    /// ```
    /// use apache_avro::types::Value;
    /// use headwater::Serde;
    /// use headwater::codec::avro::AvroSerde;
    /// let serde = AvroSerde::dynamic(r#"["null", "long"]"#)?;
    /// assert_eq!(serde.deserialize(Some(&[2, 14]))?, Value::Union(1, Box::new(Value::Long(7))));
    /// # Ok::<(), headwater::codec::SerdeError>(())
    /// ```
    ///
    /// # Errors
    /// If the schema is none.
    pub fn dynamic(schema: &str) -> Result<Self, SerdeError> {
        Self::with_form(schema)
    }
}

impl<F> AvroSerde<F> {
    fn with_form(schema: &str) -> Result<Self, SerdeError> {
        let source = SourceSchema::parse(schema)?;
        let reader = DatumReader::new(&source, None)
            .map_err(|problem| SerdeError::new("an avro schema", problem, Some(schema.as_bytes())))?;
        let writer = DatumWriter::new(&source);
        Ok(Self { schema: source, reader, writer, form: PhantomData })
    }
}

impl<T, F: Form<T>> Serde<T> for AvroSerde<F> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        F::to_value(value)
            .map_err(|error| error.to_string())
            .and_then(|value| self.writer.write(value, out))
            .map_err(|error| not_writable::<T, F>(&self.schema, &error))?;
        Ok(true)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        let Some(datum) = bytes else {
            return Err(not_null(&expected::<T, F>(), None).expect_err("null is refused"));
        };
        let value = self.reader.decode(datum).map_err(|problem| {
            let hint = "was it written with this schema, and without a header?";
            SerdeError::new(expected::<T, F>(), format!("{problem}; {hint}"), bytes)
        })?;
        F::from_value(value).map_err(|error| not_this_type::<T, F>(Some(&self.schema), &error, bytes))
    }
}

pub(super) fn expected<T, F: Form<T>>() -> String {
    format!("avro {}", F::name())
}

#[cold]
pub(super) fn not_writable<T, F: Form<T>>(schema: &SourceSchema, error: &str) -> SerdeError {
    let problem = format!("does not fit the schema `{}`: {error}", schema.name());
    SerdeError::new(expected::<T, F>(), problem, None)
}

#[cold]
pub(super) fn not_this_type<T, F: Form<T>>(
    schema: Option<&SourceSchema>,
    error: &apache_avro::Error,
    bytes: Option<&[u8]>,
) -> SerdeError {
    let schema = schema.map(SourceSchema::name).unwrap_or_default();
    let problem = format!("the type does not match the schema `{schema}`: {error}");
    SerdeError::new(expected::<T, F>(), problem, bytes)
}
