//! Makes values fit a schema: what a program holds into the schema it writes, what was read into the reader's.
//!
//! apache-avro's `Value::resolve` follows the same rules but looks at each variant of a union twice, so that its time
//! doubles with every record within a record; here every part is looked at once.
//!
//! 1. A record's fields are found by name, then by the schema's aliases; a missing one takes its default.
//! 2. In a union the variant of the value's own kind is taken; among several, or where there is none, the first that
//!    fits.
//! 3. Everything else (numbers that widen, enum defaults, logical types) is up to apache-avro.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, Namespace, RecordField, RecordSchema, SchemaKind, UnionSchema};
use apache_avro::types::Value;

/// What happens to fields that the schema does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Whoever reads may know less.
    Dropped,
    /// Nothing that is written may get lost.
    Refused,
}

/// A schema that values are made to fit.
pub(super) struct Fit {
    schema: Schema,
    /// Named types by their full name.
    names: HashMap<Name, Schema>,
    unknown: Unknown,
}

impl Fit {
    pub(super) fn new(schema: &Schema, unknown: Unknown) -> Self {
        let mut names = HashMap::new();
        define(schema, &None, &mut names);
        Self { schema: schema.clone(), names, unknown }
    }

    /// `value` in the schema's terms; an error says which part does not fit.
    pub(super) fn apply(&self, value: Value) -> Result<Value, String> {
        self.part(value, &self.schema, &None)
    }

    fn part(&self, value: Value, schema: &Schema, within: &Namespace) -> Result<Value, String> {
        match (value, schema) {
            (value, Schema::Ref { name }) => {
                let name = name.fully_qualified_name(within);
                let found = self.names.get(&name);
                let defined = found.ok_or_else(|| format!("type `{name}` is not defined in the schema"))?;
                self.part(value, defined, &name.namespace)
            }
            (Value::Union(_, value), Schema::Union(union)) => self.choose(*value, union, within),
            (value, Schema::Union(union)) => self.choose(value, union, within),
            (Value::Union(_, value), schema) => self.part(*value, schema, within),
            (Value::Record(fields), Schema::Record(record)) => self.record(fields, record, within),
            (Value::Map(fields), Schema::Record(record)) => {
                self.record(fields.into_iter().collect(), record, within)
            }
            (Value::Array(items), Schema::Array(array)) => {
                let items = items.into_iter().map(|item| self.part(item, &array.items, within));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            (Value::Map(entries), Schema::Map(map)) => {
                let fit = |(key, value)| Ok((key, self.part(value, &map.types, within)?));
                Ok(Value::Map(entries.into_iter().map(fit).collect::<Result<_, String>>()?))
            }
            // apache-avro would cut the number.
            (Value::Long(number), Schema::Int | Schema::Date | Schema::TimeMillis) => {
                let small = i32::try_from(number).map_err(|_| format!("{number} is larger than an int"))?;
                self.part(Value::Int(small), schema, within)
            }
            (value, Schema::Record(_) | Schema::Array(_) | Schema::Map(_)) => Err(mismatch(&value, schema)),
            // apache-avro would round the first, and panic where the second is not well-formed.
            (value @ Value::Double(_), Schema::Float) | (value @ Value::Bytes(_), Schema::BigDecimal) => {
                Err(mismatch(&value, schema))
            }
            (value @ Value::Long(_), Schema::Long) | (value @ Value::String(_), Schema::String) => Ok(value),
            (value, leaf) => value.resolve(leaf).map_err(|error| error.to_string()),
        }
    }

    fn choose(&self, value: Value, union: &UnionSchema, within: &Namespace) -> Result<Value, String> {
        let kind = SchemaKind::from(&value);
        let of_kind = |variant: &Schema| SchemaKind::from(self.definition(variant, within)) == kind;
        let variants = || union.variants().iter().enumerate();
        let mut same = variants().filter(|(_, variant)| of_kind(variant));
        if let (Some((index, variant)), None) = (same.next(), same.next()) {
            return Ok(chosen(index, self.part(value, variant, within)?));
        }
        let in_order = variants().filter(|(_, variant)| of_kind(variant));
        for (index, variant) in in_order.chain(variants().filter(|(_, variant)| !of_kind(variant))) {
            if let Ok(fitted) = self.part(value.clone(), variant, within) {
                return Ok(chosen(index, fitted));
            }
        }
        let kinds: Vec<_> = union.variants().iter().map(SchemaKind::from).collect();
        Err(format!("found {kind:?}, which fits none of the union {kinds:?}"))
    }

    fn definition<'a>(&'a self, schema: &'a Schema, within: &Namespace) -> &'a Schema {
        let Schema::Ref { name } = schema else { return schema };
        self.names.get(&name.fully_qualified_name(within)).unwrap_or(schema)
    }

    fn record(
        &self,
        fields: Vec<(String, Value)>,
        record: &RecordSchema,
        within: &Namespace,
    ) -> Result<Value, String> {
        let namespace = record.name.fully_qualified_name(within).namespace;
        let mut fields: Vec<_> = fields.into_iter().map(Some).collect();
        let mut fitted = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let value = match take(&mut fields, field) {
                Some(value) => self.part(value, &field.schema, &namespace),
                None => self.default_of(field, &namespace),
            };
            let value = value.map_err(|problem| format!("field `{}`: {problem}", field.name))?;
            fitted.push((field.name.clone(), value));
        }
        match fields.into_iter().flatten().next() {
            Some((name, _)) if self.unknown == Unknown::Refused => {
                Err(format!("field `{name}` is not in the schema; skip it, or add it there"))
            }
            _ => Ok(Value::Record(fitted)),
        }
    }

    fn default_of(&self, field: &RecordField, within: &Namespace) -> Result<Value, String> {
        let Some(default) = &field.default else { return Err("is missing and has no default".to_owned()) };
        let value = Value::from(default.clone());
        match &field.schema {
            // The specification gives a union's default to its first variant.
            Schema::Union(union) if !union.variants().is_empty() => {
                Ok(chosen(0, self.part(value, &union.variants()[0], within)?))
            }
            schema => self.part(value, schema, within),
        }
    }
}

fn mismatch(value: &Value, schema: &Schema) -> String {
    format!("found {:?} instead of {:?}", SchemaKind::from(value), SchemaKind::from(schema))
}

fn chosen(index: usize, value: Value) -> Value {
    let index = u32::try_from(index).expect("a union has few variants");
    Value::Union(index, Box::new(value))
}

/// Takes the value of `field` out of `fields`, by its name or else an alias.
fn take(fields: &mut [Option<(String, Value)>], field: &RecordField) -> Option<Value> {
    let aliases = field.aliases.iter().flatten();
    std::iter::once(&field.name).chain(aliases).find_map(|name| {
        let is_it =
            |entry: &&mut Option<(String, Value)>| entry.as_ref().is_some_and(|entry| entry.0 == *name);
        fields.iter_mut().find(is_it)?.take().map(|(_, value)| value)
    })
}

/// Enters the named types of `schema` into `names`.
fn define(schema: &Schema, within: &Namespace, names: &mut HashMap<Name, Schema>) {
    if let Some(name) = schema.name().filter(|_| !matches!(schema, Schema::Ref { .. })) {
        names.insert(name.fully_qualified_name(within), schema.clone());
    }
    match schema {
        Schema::Record(record) => {
            let namespace = record.name.fully_qualified_name(within).namespace;
            record.fields.iter().for_each(|field| define(&field.schema, &namespace, names));
        }
        Schema::Union(union) => union.variants().iter().for_each(|variant| define(variant, within, names)),
        Schema::Array(array) => define(&array.items, within, names),
        Schema::Map(map) => define(&map.types, within, names),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(schema: &str, unknown: Unknown, value: Value) -> Result<Value, String> {
        Fit::new(&Schema::parse_str(schema).unwrap(), unknown).apply(value)
    }

    fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
        Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }

    const ITEM: &str = r#"{"type": "record", "name": "Item", "fields": [
        {"name": "id", "type": "long", "aliases": ["number"]},
        {"name": "kind", "type": ["string", "null"], "default": "none"}]}"#;

    #[test]
    fn fields_go_by_name_then_alias_then_default() {
        let none = Value::Union(0, Box::new(Value::String("none".to_owned())));
        let expected = record([("id", Value::Long(7)), ("kind", none)]);
        for name in ["id", "number"] {
            let fitted = fit(ITEM, Unknown::Refused, record([(name, Value::Int(7))]));
            assert_eq!(fitted, Ok(expected.clone()), "{name}");
        }
        let error = fit(ITEM, Unknown::Refused, record([]));
        assert_eq!(error, Err("field `id`: is missing and has no default".to_owned()));
    }

    #[test]
    fn unknown_fields_are_dropped_by_readers_and_refused_by_writers() {
        let value = || record([("id", Value::Long(7)), ("more", Value::Null)]);
        assert!(fit(ITEM, Unknown::Dropped, value()).is_ok());
        let error = fit(ITEM, Unknown::Refused, value());
        assert_eq!(error, Err("field `more` is not in the schema; skip it, or add it there".to_owned()));
    }

    #[test]
    fn numbers_widen_and_are_never_cut() {
        let fits = [
            (r#""int""#, Value::Long(5), Value::Int(5)),
            (r#""long""#, Value::Int(5), Value::Long(5)),
            (r#""double""#, Value::Int(5), Value::Double(5.0)),
            (r#""double""#, Value::Float(0.5), Value::Double(0.5)),
        ];
        for (schema, value, expected) in fits {
            assert_eq!(fit(schema, Unknown::Dropped, value), Ok(expected), "{schema}");
        }
        let refused = [
            (r#""int""#, Value::Long(1 << 31), "2147483648 is larger than an int"),
            (r#""float""#, Value::Double(0.1), "found Double instead of Float"),
            (r#"{"type": "array", "items": "int"}"#, Value::Int(1), "found Int instead of Array"),
        ];
        for (schema, value, problem) in refused {
            assert_eq!(fit(schema, Unknown::Dropped, value), Err(problem.to_owned()));
        }
    }

    #[test]
    fn a_union_takes_the_variant_that_fits() {
        let records = format!(
            r#"["null", "double", {ITEM}, {{"type": "record", "name": "Other",
            "fields": [{{"name": "x", "type": "int"}}]}}]"#
        );
        let table = [
            (Value::Null, 0),
            (Value::Int(1), 1),
            (record([("id", Value::Int(1))]), 2),
            (record([("x", Value::Int(1))]), 3),
        ];
        for (value, index) in table {
            let fitted = fit(&records, Unknown::Refused, value).unwrap();
            assert!(matches!(fitted, Value::Union(found, _) if found == index), "{fitted:?}");
        }
        let error = fit(r#"["null", "int"]"#, Unknown::Dropped, Value::Boolean(true));
        assert_eq!(error, Err("found Boolean, which fits none of the union [Null, Int]".to_owned()));
    }
}
