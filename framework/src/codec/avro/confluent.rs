//! The wire format of Confluent's schema registry: `0x00 ‖ schema id:i32 ‖ datum`, and the registry says what schema the
//! id stands for.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use apache_avro::Schema;
use apache_avro::types::Value;

use super::datum::{DatumReader, DatumWriter};
use super::known::Known;
use super::plain::{expected, not_this_type, not_writable};
use super::schema::SourceSchema;
use super::{Dynamic, Form, RegistryError, SchemaRegistry, Subject, Typed};
use crate::codec::fixed::not_null;
use crate::codec::{Serde, SerdeError};

/// The only version of the format that carries the id before the data.
const MAGIC: u8 = 0;

/// Magic byte and schema id.
const HEADER_LEN: usize = 5;

/// Serde of Avro data whose schema a registry keeps, as Confluent's Avro serializers write them. Allocates for every
/// record.
///
/// 1. The first value written registers the schema under the subject, or looks up the newest one
///    ([`with_latest_schema`](Self::with_latest_schema), [`dynamic`](Self::dynamic)); the id is kept from then on.
/// 2. What is read may have been written with any schema that the registry knows: the first record of each id asks for
///    it. Data are resolved to the serde's own schema.
/// 3. Building a serde asks nothing, so a topology can be built without a registry.
/// 4. A datum of the bare schema `"bytes"` has no length before it, as in Java.
/// 5. Schemas that refer to other subjects are not supported: register them in one piece.
///
/// ```
/// use std::sync::Arc;
///
/// use headwater::Serde;
/// use headwater::codec::avro::{ConfluentAvroSerde, MemoryRegistry, Subject};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Order {
///     id: i64,
/// }
///
/// let registry = Arc::new(MemoryRegistry::default());
/// let schema = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}"#;
/// let serde = ConfluentAvroSerde::new(registry, Subject::value_of("orders"), schema)?;
/// let mut out = Vec::new();
/// serde.serialize(&Order { id: 7 }, &mut out)?;
/// assert_eq!(out, [0, 0, 0, 0, 1, 14]);
/// assert_eq!(serde.deserialize(Some(&out)), Ok(Order { id: 7 }));
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
pub struct ConfluentAvroSerde<F = Typed> {
    registry: Arc<dyn SchemaRegistry>,
    subject: Subject,
    /// The schema that data are read into, and written with unless `write_latest`; none: that of each datum.
    own: Option<SourceSchema>,
    write_latest: bool,
    /// Threads that write their first value together may each ask: the answer is the same.
    written: OnceLock<Written>,
    readers: Known<Reader>,
    form: PhantomData<F>,
}

/// What is written: the schema, and its id.
struct Written {
    id: i32,
    schema: SourceSchema,
    writer: DatumWriter,
}

/// What reads the data of one id.
struct Reader {
    schema: SourceSchema,
    datum: DatumReader,
}

impl ConfluentAvroSerde<Typed> {
    /// A serde for types that serde can write and read, with a schema in JSON form.
    ///
    /// # Errors
    /// If the schema is none.
    pub fn new(
        registry: Arc<dyn SchemaRegistry>,
        subject: Subject,
        schema: &str,
    ) -> Result<Self, SerdeError> {
        let own = SourceSchema::parse(schema)?;
        Ok(Self::with_form(registry, subject, Some(own)))
    }
}

impl ConfluentAvroSerde<Dynamic> {
    /// A serde for [`Value`]: reads every datum in the schema it was written with, writes with the subject's newest.
    #[must_use]
    pub fn dynamic(registry: Arc<dyn SchemaRegistry>, subject: Subject) -> Self {
        Self::with_form(registry, subject, None)
    }
}

impl<F> ConfluentAvroSerde<F> {
    fn with_form(registry: Arc<dyn SchemaRegistry>, subject: Subject, own: Option<SourceSchema>) -> Self {
        let write_latest = own.is_none();
        let (written, readers) = (OnceLock::new(), Known::new());
        Self { registry, subject, own, write_latest, written, readers, form: PhantomData }
    }

    /// The same serde, writing with the subject's newest schema and registering nothing (Confluent's
    /// `auto.register.schemas=false` with `use.latest.version=true`).
    #[must_use]
    pub fn with_latest_schema(mut self) -> Self {
        self.write_latest = true;
        self
    }

    fn written(&self) -> Result<&Written, Trouble> {
        if let Some(written) = self.written.get() {
            return Ok(written);
        }
        let subject = self.subject.as_str();
        let written = match &self.own {
            Some(own) if !self.write_latest => {
                let id = self.registry.register(&self.subject, &own.text());
                let id = id.map_err(|error| Trouble::from(&error, &format!("subject `{subject}`")))?;
                Written::new(id, own.clone())
            }
            _ => {
                let latest = self.registry.latest(&self.subject);
                let latest =
                    latest.map_err(|error| Trouble::from(&error, &format!("subject `{subject}`")))?;
                let (id, text) = latest.ok_or_else(|| Trouble {
                    problem: format!(
                        "subject `{subject}` has no schema; register one, or give the serde one"
                    ),
                    retry: false,
                })?;
                Written::new(id, parse_registered(id, &text)?)
            }
        };
        Ok(self.written.get_or_init(|| written))
    }

    fn reader(&self, id: i32) -> Result<&Reader, Trouble> {
        self.readers.get_or_make(id, || {
            let text = self.registry.schema(id);
            let text = text.map_err(|error| Trouble::from(&error, &format!("schema id {id}")))?;
            let text = text.ok_or_else(|| Trouble {
                problem: format!("the registry has no schema id {id}; does the producer use the same one?"),
                retry: false,
            })?;
            let schema = parse_registered(id, &text)?;
            let datum = DatumReader::new(&schema, self.own.as_ref()).map_err(|problem| Trouble {
                problem: format!("schema id {id} cannot be used: {problem}"),
                retry: false,
            })?;
            Ok(Reader { schema, datum })
        })
    }

    /// The value of `bytes` in the serde's schema.
    fn read(&self, bytes: &[u8]) -> Result<Value, Trouble> {
        let (id, body) = split_header(bytes)?;
        let reader = self.reader(id)?;
        let written = reader.decode(body).map_err(|problem| {
            let name = reader.schema.name();
            Trouble { problem: format!("no data of schema id {id}, `{name}`: {problem}"), retry: false }
        })?;
        reader.datum.resolve(written).map_err(|problem| {
            let (theirs, ours) = (reader.schema.name(), self.own.as_ref().map(SourceSchema::name));
            let ours = ours.unwrap_or_default();
            let hint = "give new fields a default, or change the schema in steps that are compatible";
            let problem =
                format!("schema id {id}, `{theirs}`, cannot be read as `{ours}`: {problem}; {hint}");
            Trouble { problem, retry: false }
        })
    }
}

impl Written {
    fn new(id: i32, schema: SourceSchema) -> Self {
        let writer = DatumWriter::new(&schema);
        Self { id, schema, writer }
    }

    fn write(&self, value: Value, out: &mut Vec<u8>) -> Result<(), String> {
        match (&self.schema.parsed, value) {
            (Schema::Bytes, Value::Bytes(bytes)) => out.extend_from_slice(&bytes),
            (_, value) => self.writer.write(value, out)?,
        }
        Ok(())
    }
}

impl Reader {
    fn decode(&self, body: &[u8]) -> Result<Value, String> {
        if matches!(self.schema.parsed, Schema::Bytes) {
            return Ok(Value::Bytes(body.to_vec()));
        }
        self.datum.decode(body)
    }
}

impl<T, F: Form<T>> Serde<T> for ConfluentAvroSerde<F> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        let written = self.written().map_err(|trouble| trouble.about::<T, F>(None))?;
        let start = out.len();
        out.push(MAGIC);
        out.extend_from_slice(&written.id.to_be_bytes());
        let result =
            F::to_value(value).map_err(|error| error.to_string()).and_then(|value| written.write(value, out));
        result.map_err(|error| {
            out.truncate(start);
            not_writable::<T, F>(&written.schema, &error)
        })?;
        Ok(true)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        let Some(present) = bytes else {
            return Err(not_null(&expected::<T, F>(), None).expect_err("null is refused"));
        };
        let value = self.read(present).map_err(|trouble| trouble.about::<T, F>(bytes))?;
        F::from_value(value).map_err(|error| not_this_type::<T, F>(self.own.as_ref(), &error, bytes))
    }
}

/// A [`SerdeError`] that does not know its type yet.
struct Trouble {
    problem: String,
    retry: bool,
}

impl Trouble {
    fn from(error: &RegistryError, asked: &str) -> Self {
        let problem = format!("the schema registry did not answer about {asked}: {error}");
        Self { problem, retry: error.retry }
    }

    #[cold]
    fn about<T, F: Form<T>>(self, bytes: Option<&[u8]>) -> SerdeError {
        SerdeError { retry: self.retry, ..SerdeError::new(expected::<T, F>(), self.problem, bytes) }
    }
}

fn split_header(bytes: &[u8]) -> Result<(i32, &[u8]), Trouble> {
    let problem = match bytes.split_first_chunk::<HEADER_LEN>() {
        Some(([MAGIC, id @ ..], body)) => return Ok((i32::from_be_bytes(*id), body)),
        _ if bytes.first().is_some_and(|first| *first != MAGIC) => {
            let hint = "was it written through a schema registry? if not, read it with the serde that fits";
            format!("found {} where the magic byte 0 should be; {hint}", bytes[0])
        }
        _ => {
            let hint = "the record was cut, or not written through a schema registry";
            format!(
                "found {} bytes, fewer than the {HEADER_LEN} of magic byte and schema id; {hint}",
                bytes.len()
            )
        }
    };
    Err(Trouble { problem, retry: false })
}

fn parse_registered(id: i32, text: &str) -> Result<SourceSchema, Trouble> {
    SourceSchema::parse(text).map_err(|error| Trouble {
        problem: format!("schema id {id} cannot be used: {}", error.problem),
        retry: false,
    })
}
