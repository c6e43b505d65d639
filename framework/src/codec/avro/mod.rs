//! Avro serdes: [`AvroSerde`] for the bare datum, [`ConfluentAvroSerde`] for data whose schema a registry keeps.
//!
//! 1. Both come in two forms: [`Typed`] for every type that serde can write and read, [`Dynamic`] for
//!    [`Value`](apache_avro::types::Value). No null datum: wrap the type in `Option`, and the serde in
//!    [`Nullable`](super::Nullable), where Kafka's null is meant.
//! 2. A struct is written through its schema, field by name: the order of its fields does not matter, a field that it
//!    lacks takes the schema's default, a field that the schema lacks is an error.
//! 3. Data written with another schema are made to fit the reader's: new fields take their defaults, fields that are
//!    gone are dropped, renamed ones are found by their aliases, numbers widen.
//! 4. Every datum is measured by its schema before it is decoded (`shape`): bytes that end early or
//!    announce more than there is are an error, never a null or a huge allocation.
//! 5. Keys are found by their bytes: a type used as a key must not hold an Avro map, whose order is arbitrary.

mod confluent;
mod datum;
mod fit;
mod form;
mod known;
mod plain;
mod registry;
mod schema;
mod shape;

pub use confluent::ConfluentAvroSerde;
pub use form::{Dynamic, Form, Typed};
pub use plain::AvroSerde;
pub use registry::{MemoryRegistry, RegistryError, SchemaRegistry, Subject};
