//! Shape: what a request's message is made of, as far as its lengths go.
//!
//! A decoder makes room for an array before it has seen its elements, so a request of a few bytes could claim any
//! amount of memory. Here a message is walked through first, without an allocation:
//!
//! 1. Whatever a length claims has to be there.
//! 2. All arrays together have at most [`MOST_ELEMENTS`] elements: the smallest takes a byte on the wire and up to
//!    200 in memory.

use kafka_protocol::messages::ApiKey;

use super::Malformed;
use super::shapes::shape_of;

/// Elements of all arrays of a request: enough for a million partitions.
const MOST_ELEMENTS: usize = 1_000_000;

/// A field, by what it takes on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A number, a truth value or an id of so many bytes.
    Fixed(usize),
    /// A string, or null.
    Text,
    /// Bytes, or null.
    Bytes,
    /// An array of numbers or strings, or null.
    List(&'static Kind),
    /// An array of structures, or null.
    Array(&'static [Field]),
    /// A structure, or null.
    Maybe(&'static [Field]),
    /// What may stand behind the others under this number.
    Tagged(usize, &'static Kind),
    /// A structure.
    Structure(&'static [Field]),
}

/// A field with the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    kind: Kind,
    since: i16,
    until: i16,
}

impl Field {
    pub(super) const fn new(kind: Kind) -> Self {
        Self { kind, since: 0, until: i16::MAX }
    }

    pub(super) const fn since(self, version: i16) -> Self {
        Self { since: version, ..self }
    }

    pub(super) const fn until(self, version: i16) -> Self {
        Self { until: version, ..self }
    }

    fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }

    /// What stands under this number, if this is it.
    fn tagged(&self, tag: usize, version: i16) -> Option<&'static Kind> {
        match self.kind {
            Kind::Tagged(number, kind) if number == tag && self.is_in(version) => Some(kind),
            _ => None,
        }
    }
}

/// Checks a request's message. Bytes behind it are no error, as in Kafka.
pub(super) fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<(), Malformed> {
    let fields = shape_of(key).ok_or_else(|| Malformed("a message without a known shape".to_owned()))?;
    let flexible = key.request_header_version(version) >= 2;
    Walk { left: body, version, flexible, elements: 0 }.fields(fields)
}

struct Walk<'a> {
    left: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
}

fn cut() -> Malformed {
    Malformed("it ends too early".to_owned())
}

impl Walk<'_> {
    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.left = self.left.get(bytes..).ok_or_else(cut)?;
        Ok(())
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.left.split_first_chunk::<N>().ok_or_else(cut)?;
        self.left = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a length of more than five bytes".to_owned()))
    }

    /// The length of what follows; `None` for null.
    fn length(&mut self, short: bool) -> Result<Option<usize>, Malformed> {
        let length = match (self.flexible, short) {
            (true, _) => return Ok(self.varint()?.checked_sub(1)),
            (false, true) => i32::from(i16::from_be_bytes(self.fixed()?)),
            (false, false) => i32::from_be_bytes(self.fixed()?),
        };
        match length {
            -1 => Ok(None),
            length => {
                usize::try_from(length).map(Some).map_err(|_| Malformed(format!("a length of {length}")))
            }
        }
    }

    /// How many elements an array has. Each takes at least a byte.
    fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.length(false)?.unwrap_or(0);
        if count > self.left.len() {
            return Err(Malformed(format!("an array of {count} elements in {} bytes", self.left.len())));
        }
        self.elements += count;
        if self.elements > MOST_ELEMENTS {
            return Err(Malformed(format!("more than {MOST_ELEMENTS} elements in all arrays")));
        }
        Ok(count)
    }

    fn fields(&mut self, fields: &[Field]) -> Result<(), Malformed> {
        for field in fields {
            if field.is_in(self.version) {
                self.field(&field.kind)?;
            }
        }
        if self.flexible { self.tags(fields) } else { Ok(()) }
    }

    fn field(&mut self, kind: &Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Fixed(bytes) => self.skip(*bytes),
            Kind::Text | Kind::Bytes => {
                let length = self.length(matches!(kind, Kind::Text))?;
                self.skip(length.unwrap_or(0))
            }
            Kind::List(kind) => {
                for _ in 0..self.count()? {
                    self.field(kind)?;
                }
                Ok(())
            }
            Kind::Array(fields) => {
                for _ in 0..self.count()? {
                    self.fields(fields)?;
                }
                Ok(())
            }
            Kind::Maybe(fields) => match self.fixed()? {
                [0xff] => Ok(()),
                [_] => self.fields(fields),
            },
            Kind::Tagged(..) => Ok(()),
            Kind::Structure(fields) => self.fields(fields),
        }
    }

    /// Fields with numbers of their own: those of `known`, and what only newer clients know. A decoder reads what it
    /// knows without a look at the length in front of it.
    fn tags(&mut self, known: &[Field]) -> Result<(), Malformed> {
        let count = self.varint()?;
        // Each takes two bytes at least.
        if count > self.left.len() / 2 {
            return Err(cut());
        }
        self.elements += count;
        if self.elements > MOST_ELEMENTS {
            return Err(Malformed(format!("more than {MOST_ELEMENTS} elements in all arrays")));
        }
        for _ in 0..count {
            let tag = self.varint()?;
            let length = self.varint()?;
            let left = self.left;
            let rest = left.get(length..).ok_or_else(cut)?;
            if let Some(kind) = known.iter().find_map(|field| field.tagged(tag, self.version)) {
                self.field(kind)?;
                if self.left.len() != rest.len() {
                    return Err(Malformed(format!(
                        "field {tag} does not have the {length} bytes that it claims"
                    )));
                }
            }
            self.left = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Walk, check};
    use crate::wire::shapes::shape_of;
    use kafka_protocol::messages::ApiKey;

    #[test]
    fn what_lengths_claim_has_to_be_there() {
        let cases: &[(ApiKey, i16, &[u8], &str)] = &[
            (ApiKey::Metadata, 1, &[0x7f, 0xff, 0xff, 0xff], "an array of 2147483647 elements in 0 bytes"),
            (ApiKey::Metadata, 1, &[0xff, 0xff, 0xff, 0xfe], "a length of -2"),
            (ApiKey::Metadata, 1, &[0, 0, 0, 1, 0, 9, b'a'], "it ends too early"),
            (
                ApiKey::Metadata,
                12,
                &[0xff, 0xff, 0xff, 0xff, 0x0f, 0],
                "an array of 4294967294 elements in 1 bytes",
            ),
            (ApiKey::Metadata, 12, &[0xff, 0xff, 0xff, 0xff, 0xff, 1], "a length of more than five bytes"),
            (ApiKey::Heartbeat, 4, &[1, 0, 0, 0, 0, 1, 0, 9], "it ends too early"),
            (
                ApiKey::Fetch,
                13,
                &fetch(&[1, 0, 1, 3, 1, 1]),
                "field 0 does not have the 1 bytes that it claims",
            ),
            (
                ApiKey::Fetch,
                13,
                &fetch(&[1, 0, 4, 2, 1, 1, 0]),
                "field 0 does not have the 4 bytes that it claims",
            ),
            (ApiKey::Fetch, 13, &fetch(&[1, 0, 2, 3]), "it ends too early"),
            (ApiKey::Fetch, 13, &fetch(&[1, 9, 2, 3]), "it ends too early"),
        ];
        for (key, version, body, expected) in cases {
            assert_eq!(check(*key, *version, body).unwrap_err().0, *expected, "{key:?} {body:?}");
        }
        assert_eq!(check(ApiKey::Metadata, 1, &[0xff, 0xff, 0xff, 0xff]), Ok(()));
        assert_eq!(check(ApiKey::Fetch, 13, &fetch(&[2, 0, 2, 2, b'a', 9, 1, 0])), Ok(()));
    }

    /// A request to fetch nothing, with these fields behind all others.
    fn fetch(tagged: &[u8]) -> Vec<u8> {
        let mut body = vec![0; 4 * 4 + 1 + 2 * 4];
        body.extend([1, 1, 1]);
        body.extend(tagged);
        body
    }

    #[test]
    fn a_request_has_a_limit_of_elements() {
        let mut body = 1_000_001_i32.to_be_bytes().to_vec();
        body.resize(body.len() + 2_000_002, 0);
        let error = check(ApiKey::DescribeGroups, 0, &body).unwrap_err().0;
        assert_eq!(error, "more than 1000000 elements in all arrays");
    }

    /// Every message that Kafka's own classes have written has the shape that stands here, to its last byte.
    #[test]
    fn requests_of_kafka_have_these_shapes() {
        let Some(folder) = std::env::var_os("HEADWATER_SUITES") else { return };
        let path = std::path::Path::new(&folder).join("kafka-protocol/message-vectors.jsonl");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut walked = 0;
        for line in text.lines() {
            let vector: serde_json::Value = serde_json::from_str(line).unwrap();
            if vector["type"] != "request" {
                continue;
            }
            let number = i16::try_from(vector["api_key"].as_i64().unwrap()).unwrap();
            let version = i16::try_from(vector["version"].as_i64().unwrap()).unwrap();
            let Ok(key) = ApiKey::try_from(number) else { continue };
            let range = key.valid_versions();
            let Some(fields) = shape_of(key) else { continue };
            if !(range.min..=range.max).contains(&version) {
                continue;
            }
            let hex = vector["hex"].as_str().unwrap();
            let body: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let flexible = vector["flexible"].as_bool().unwrap();
            let mut walk = Walk { left: &body, version, flexible, elements: 0 };
            let result = walk.fields(fields);
            assert!(
                result.is_ok() && walk.left.is_empty(),
                "{line}: {result:?}, {} bytes left",
                walk.left.len()
            );
            walked += 1;
        }
        assert!(walked > 400, "{walked}");
    }
}
