//! The shape of a datum: what its schema says about where it ends, and nothing else.
//!
//! apache-avro takes data that end early for null, and reserves memory for as many items as a block claims. So a datum
//! is measured first, without building anything:
//!
//! 1. Every length is held against the bytes that are left.
//! 2. Items of no bytes (nulls) are counted, and limited like bytes are.
//! 3. Depth is limited, so that a recursive schema cannot use up the stack.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, Namespace};

/// A record within a record counts three at most, so lists of 200 links pass; a thread's stack holds more.
const MAX_DEPTH: usize = 600;

/// Most items of no bytes in one datum: as many as a record could hold items of one byte (Kafka's limit is 1 MiB by
/// default, and 16 MiB is large).
const MAX_EMPTY_ITEMS: i64 = 1 << 24;

/// A schema, reduced to lengths. Named types stand in a list and are referred to by their index.
#[derive(Debug)]
pub(super) struct Shape {
    root: Part,
    named: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// So many bytes.
    Fixed(usize),
    /// A number of 1 to 10 bytes.
    Varint,
    /// A length, then so many bytes.
    Prefixed,
    /// Blocks of items.
    Items(Box<Part>),
    /// One after the other.
    Sequence(Vec<Part>),
    /// An index, then that one.
    Choice(Vec<Part>),
    /// The named type of that index.
    Named(usize),
}

impl Shape {
    /// The shape of `schema`; an error names the type that it refers to and does not define.
    pub(super) fn of(schema: &Schema) -> Result<Self, String> {
        let mut shaper = Shaper::default();
        let root = shaper.part(schema, &None)?;
        Ok(Self { root, named: shaper.named })
    }

    /// Length of the datum that `bytes` start with; an error says what is wrong.
    pub(super) fn measure(&self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut walk = Walk { named: &self.named, rest: bytes, empty_items: 0 };
        walk.skip(&self.root, 0)?;
        Ok(bytes.len() - walk.rest.len())
    }
}

#[derive(Default)]
struct Shaper {
    index: HashMap<Name, usize>,
    named: Vec<Part>,
}

impl Shaper {
    fn part(&mut self, schema: &Schema, within: &Namespace) -> Result<Part, String> {
        Ok(match schema {
            Schema::Null => Part::Fixed(0),
            Schema::Boolean => Part::Fixed(1),
            Schema::Float => Part::Fixed(4),
            Schema::Double => Part::Fixed(8),
            Schema::Duration => Part::Fixed(12),
            Schema::Bytes | Schema::String | Schema::BigDecimal | Schema::Uuid => Part::Prefixed,
            Schema::Decimal(decimal) => self.part(&decimal.inner, within)?,
            Schema::Array(array) => Part::Items(Box::new(self.part(&array.items, within)?)),
            Schema::Map(map) => {
                let entry = vec![Part::Prefixed, self.part(&map.types, within)?];
                Part::Items(Box::new(Part::Sequence(entry)))
            }
            Schema::Union(union) => {
                let variants = union.variants().iter().map(|variant| self.part(variant, within));
                Part::Choice(variants.collect::<Result<_, _>>()?)
            }
            Schema::Fixed(fixed) => self.define(&fixed.name, within, |_, _| Ok(Part::Fixed(fixed.size)))?,
            Schema::Enum(symbols) => self.define(&symbols.name, within, |_, _| Ok(Part::Varint))?,
            Schema::Record(record) => self.define(&record.name, within, |shaper, namespace| {
                let fields = record.fields.iter().map(|field| shaper.part(&field.schema, namespace));
                Ok(Part::Sequence(fields.collect::<Result<_, _>>()?))
            })?,
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(within);
                let index = self.index.get(&name);
                Part::Named(*index.ok_or_else(|| format!("type `{name}` is not defined in it"))?)
            }
            Schema::Int | Schema::Date | Schema::TimeMillis => Part::Varint,
            Schema::Long | Schema::TimeMicros => Part::Varint,
            Schema::TimestampMillis | Schema::TimestampMicros | Schema::TimestampNanos => Part::Varint,
            Schema::LocalTimestampMillis | Schema::LocalTimestampMicros => Part::Varint,
            Schema::LocalTimestampNanos => Part::Varint,
        })
    }

    /// Enters a named type before its parts are looked at: they may refer to it.
    fn define(
        &mut self,
        name: &Name,
        within: &Namespace,
        body: impl FnOnce(&mut Self, &Namespace) -> Result<Part, String>,
    ) -> Result<Part, String> {
        let name = name.fully_qualified_name(within);
        let namespace = name.namespace.clone();
        let index = self.named.len();
        self.named.push(Part::Fixed(0));
        self.index.insert(name, index);
        self.named[index] = body(self, &namespace)?;
        Ok(Part::Named(index))
    }
}

struct Walk<'a> {
    named: &'a [Part],
    rest: &'a [u8],
    empty_items: i64,
}

impl Walk<'_> {
    fn skip(&mut self, part: &Part, depth: usize) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("nested too deeply");
        }
        match part {
            Part::Fixed(len) => self.advance(*len),
            Part::Varint => self.varint().map(drop),
            Part::Prefixed => {
                let len = self.varint()?;
                self.advance(usize::try_from(len).map_err(|_| "a length is negative")?)
            }
            Part::Items(item) => self.skip_items(item, depth + 1),
            Part::Sequence(parts) => parts.iter().try_for_each(|part| self.skip(part, depth + 1)),
            Part::Choice(parts) => {
                let index = self.varint()?;
                let chosen = usize::try_from(index).ok().and_then(|index| parts.get(index));
                self.skip(chosen.ok_or("a union has no variant of that index")?, depth + 1)
            }
            Part::Named(index) => self.skip(&self.named[*index], depth + 1),
        }
    }

    fn skip_items(&mut self, item: &Part, depth: usize) -> Result<(), &'static str> {
        loop {
            let claimed = self.varint()?;
            if claimed == 0 {
                return Ok(());
            }
            if claimed < 0 {
                // A negative count is followed by the block's length in bytes, for readers that skip it.
                self.varint()?;
            }
            let count = claimed.checked_abs().ok_or("a block claims too many items")?;
            for _ in 0..count {
                let before = self.rest.len();
                self.skip(item, depth)?;
                if before == self.rest.len() {
                    self.empty_items += 1;
                    if self.empty_items > MAX_EMPTY_ITEMS {
                        return Err("a block claims too many items");
                    }
                }
            }
        }
    }

    fn advance(&mut self, len: usize) -> Result<(), &'static str> {
        self.rest = self.rest.get(len..).ok_or("the data end early")?;
        Ok(())
    }

    fn varint(&mut self) -> Result<i64, &'static str> {
        let mut zigzag = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            zigzag |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        Err(if self.rest.len() < 10 { "the data end early" } else { "a number is longer than 10 bytes" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(schema: &str, bytes: &[u8]) -> Result<usize, &'static str> {
        Shape::of(&Schema::parse_str(schema).unwrap()).unwrap().measure(bytes)
    }

    #[test]
    fn measures_end_where_data_end() {
        let list = r#"{"type":"record","name":"L","namespace":"n","fields":[
            {"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}"#;
        let table: [(&str, &[u8], Result<usize, &str>); 16] = [
            (r#""null""#, b"", Ok(0)),
            (r#""boolean""#, b"", Err("the data end early")),
            (r#""string""#, b"\x06abcd", Ok(4)),
            (r#""string""#, b"\x06ab", Err("the data end early")),
            (r#""string""#, b"\x01", Err("a length is negative")),
            (r#""long""#, &[0x80; 9], Err("the data end early")),
            (r#""long""#, &[0x80; 11], Err("a number is longer than 10 bytes")),
            (r#"["null","double"]"#, b"\x0212345678", Ok(9)),
            (r#"["null","double"]"#, b"\x04", Err("a union has no variant of that index")),
            (r#"{"type":"array","items":"int"}"#, &[4, 1, 2, 0], Ok(4)),
            (r#"{"type":"array","items":"int"}"#, &[3, 4, 1, 2, 0], Ok(5)),
            (r#"{"type":"array","items":"int"}"#, &[0xfe, 0xff, 0xff, 0xff, 0x0f], Err("the data end early")),
            (r#"{"type":"map","values":"boolean"}"#, &[2, 2, b'k', 1, 0], Ok(5)),
            (list, &[1, 2, 1, 0], Ok(4)),
            (list, &[1, 2, 1], Err("the data end early")),
            (list, &[2; 10_000], Err("nested too deeply")),
        ];
        for (schema, bytes, expected) in table {
            assert_eq!(measure(schema, bytes), expected, "{schema} {bytes:?}");
        }
    }

    #[test]
    fn a_block_of_nulls_cannot_grow_without_end() {
        let claim = [0xfe, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let result = measure(r#"{"type":"array","items":"null"}"#, &claim);
        assert_eq!(result, Err("a block claims too many items"));
    }
}
