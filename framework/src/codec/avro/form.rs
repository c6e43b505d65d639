//! The two forms in which a program holds Avro data: its own types, or values that know their parts at run time.

use apache_avro::types::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::type_name::short_type_name;

/// How values of type `T` become Avro's [`Value`] and back.
pub trait Form<T>: Send + Sync {
    /// What errors call the type.
    fn name() -> String;
    /// The value in Avro's terms; the schema is applied afterwards.
    ///
    /// # Errors
    /// If the type has parts that Avro lacks.
    fn to_value(value: &T) -> Result<Value, apache_avro::Error>;
    /// The value that `value`, already in the reader's schema, stands for.
    ///
    /// # Errors
    /// If the type has another structure than the schema.
    fn from_value(value: Value) -> Result<T, apache_avro::Error>;
}

/// Types that serde can write and read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed;

/// [`Value`]: for programs that learn the schema at run time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dynamic;

impl<T: Serialize + DeserializeOwned> Form<T> for Typed {
    fn name() -> String {
        short_type_name::<T>()
    }

    fn to_value(value: &T) -> Result<Value, apache_avro::Error> {
        apache_avro::to_value(value)
    }

    fn from_value(value: Value) -> Result<T, apache_avro::Error> {
        apache_avro::from_value(&value)
    }
}

impl Form<Value> for Dynamic {
    fn name() -> String {
        "value".to_owned()
    }

    fn to_value(value: &Value) -> Result<Value, apache_avro::Error> {
        Ok(value.clone())
    }

    fn from_value(value: Value) -> Result<Value, apache_avro::Error> {
        Ok(value)
    }
}
