//! Record headers: an ordered list of names with optional values. Empty headers cost one null pointer.

use bytes::Bytes;

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name; may repeat within a record.
    pub name: String,
    /// Value; `None` is Kafka's null.
    pub value: Option<Bytes>,
}

/// The headers of one record, in order.
///
/// ```
/// use headwater::record::Headers;
/// let mut headers = Headers::default();
/// headers.push("trace", Some(&b"7f"[..]));
/// assert_eq!(headers.last("trace"), Some(&b"7f"[..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(
    #[expect(clippy::box_collection, reason = "one word in every record that has none")]
    Option<Box<Vec<Header>>>,
);

impl Headers {
    /// Whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|list| list.is_empty())
    }

    /// The headers in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Header] {
        self.0.as_ref().map_or(&[], |list| list.as_slice())
    }

    /// Appends a header; `value` is copied.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        let header = Header { name: name.to_owned(), value: value.map(Bytes::copy_from_slice) };
        self.0.get_or_insert_default().push(header);
    }

    /// The value of the last header of that name; `None` where there is none or it is null.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        self.as_slice().iter().rev().find(|header| header.name == name)?.value.as_deref()
    }

    /// Removes all headers of that name.
    pub fn remove(&mut self, name: &str) {
        if let Some(list) = &mut self.0 {
            list.retain(|header| header.name != name);
        }
    }
}
