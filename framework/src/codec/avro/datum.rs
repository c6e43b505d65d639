//! One datum: bytes to a value in the reader's schema, and a value to bytes in the writer's.

use apache_avro::headers::HeaderBuilder;
use apache_avro::types::Value;
use apache_avro::{GenericSingleObjectReader, Schema};

use super::fit::{Fit, Unknown};
use super::schema::SourceSchema;
use super::shape::Shape;

/// Reads data of one writer's schema into one reader's.
pub(super) struct DatumReader {
    /// apache-avro's only reader that keeps the schema's names resolved between records; its header is empty here.
    writer: GenericSingleObjectReader,
    shape: Shape,
    /// The reader's schema, where it differs.
    reader: Option<Fit>,
}

struct NoHeader;

impl HeaderBuilder for NoHeader {
    fn build_header(&self) -> Vec<u8> {
        Vec::new()
    }
}

impl DatumReader {
    /// A reader of what was written with `writer`, into the schema `reader`; without one, into the writer's.
    pub(super) fn new(writer: &SourceSchema, reader: Option<&SourceSchema>) -> Result<Self, String> {
        let shape = Shape::of(&writer.parsed)?;
        let resolved = GenericSingleObjectReader::new_with_header_builder(writer.parsed.clone(), NoHeader);
        let differs = reader.filter(|reader| reader.json != writer.json);
        Ok(Self {
            writer: resolved.map_err(|error| error.to_string())?,
            shape,
            reader: differs.map(|reader| Fit::new(&reader.parsed, Unknown::Dropped)),
        })
    }

    /// The value of `datum`, which must end where it ends, in the writer's schema.
    pub(super) fn decode(&self, mut datum: &[u8]) -> Result<Value, String> {
        let len = self.shape.measure(datum)?;
        if len < datum.len() {
            return Err(format!("{} bytes are left after the data", datum.len() - len));
        }
        self.writer.read_value(&mut datum).map_err(|error| error.to_string())
    }

    /// The same value in the reader's schema.
    pub(super) fn resolve(&self, value: Value) -> Result<Value, String> {
        match &self.reader {
            Some(reader) => reader.apply(value),
            None => Ok(value),
        }
    }
}

/// Writes data of one schema.
pub(super) struct DatumWriter {
    schema: Schema,
    fit: Fit,
}

impl DatumWriter {
    pub(super) fn new(schema: &SourceSchema) -> Self {
        Self { schema: schema.parsed.clone(), fit: Fit::new(&schema.parsed, Unknown::Refused) }
    }

    /// Appends `value` as the schema says; an error leaves `out` as it was.
    ///
    /// Not by apache-avro's writer for serde types: that one writes fields in the struct's order, not the schema's.
    pub(super) fn write(&self, value: Value, out: &mut Vec<u8>) -> Result<(), String> {
        let fitted = self.fit.apply(value)?;
        let datum = apache_avro::to_avro_datum(&self.schema, fitted).map_err(|error| error.to_string())?;
        out.extend_from_slice(&datum);
        Ok(())
    }
}
