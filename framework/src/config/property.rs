//! A property: a name that users write, the values it takes, and the decision it changes.

use std::fmt;

use super::pem;
use crate::kafka::Secret;

/// One row of the table of properties.
#[derive(Debug)]
pub(super) struct Property {
    /// Kafka's name, or ours where Kafka has none.
    pub(super) name: &'static str,
    /// Another name under which it is accepted.
    pub(super) alias: Option<&'static str>,
    /// Which values are allowed.
    pub(super) kind: Kind,
    /// What holds where nothing is set.
    pub(super) default: Fallback,
    /// The prefixes (`consumer.`) under which it may be written as well.
    pub(super) clients: &'static [&'static str],
    /// The decision it changes.
    pub(super) doc: &'static str,
}

impl Property {
    pub(super) const fn new(name: &'static str, kind: Kind, default: Fallback, doc: &'static str) -> Self {
        Self { name, alias: None, kind, default, clients: &[], doc }
    }

    /// The same property, also known under the prefixes `clients`.
    pub(super) const fn of(mut self, clients: &'static [&'static str]) -> Self {
        self.clients = clients;
        self
    }

    /// The same property, also known as `alias`.
    pub(super) const fn also(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }
}

/// What holds where a property is not set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// Nothing: it has to be set.
    Required,
    /// It stays unset, which means this.
    Unset(&'static str),
    /// This value.
    Text(&'static str),
    /// A value that follows from other properties, by this rule.
    Derived(&'static str),
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::Unset(meaning) => write!(f, "default: not set ({meaning})"),
            Self::Text(text) | Self::Derived(text) => write!(f, "default: {text}"),
        }
    }
}

/// A parsed value. Which variant it is follows from the property's [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Unset,
    Text(String),
    Number(i64),
    Secret(Secret),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("not set"),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Secret(secret) => write!(f, "{secret}"),
        }
    }
}

/// A word of a [`Kind::Choice`], and the Java classes that mean the same.
pub(super) type Word = (&'static str, &'static [&'static str]);

/// The values that a property takes.
#[derive(Debug)]
pub(super) enum Kind {
    /// A name on Kafka: letters, digits, `.`, `_`, `-`; its longest length.
    Name(usize),
    /// Any line without control characters; its longest length.
    Line(usize),
    /// `host:port`, separated by commas.
    Servers,
    /// One of these words.
    Choice(&'static [Word]),
    /// A whole number from `min` to `max` (`i64::MAX`: no limit), or the single value `also`.
    Number { min: i64, max: i64, also: Option<i64>, unit: &'static str },
    /// A number of bytes, at least this many, with or without a unit of 1024s.
    Bytes(i64),
    /// Any text, taken as it is and never shown.
    Secret,
    /// Certificates or a key as text, never shown.
    Pem,
}

impl Kind {
    /// A whole number from `min` to `max`, counted in `unit`.
    pub(super) const fn number(min: i64, max: i64, unit: &'static str) -> Self {
        Self::Number { min, max, also: None, unit }
    }

    /// `text` as it may be shown.
    pub(super) fn shown(&self, text: &str) -> String {
        match self {
            Self::Secret | Self::Pem => Secret::new(text).to_string(),
            _ => text.trim().to_owned(),
        }
    }

    fn has_empty_word(&self) -> bool {
        matches!(self, Self::Choice(words) if words.iter().any(|(_, others)| others.contains(&"")))
    }

    /// The value that `text` stands for; `None` where it is not allowed.
    pub(super) fn parse(&self, text: &str) -> Option<Value> {
        if let Self::Secret = self {
            return (!text.is_empty()).then(|| Value::Secret(Secret::new(text)));
        }
        let text = text.trim();
        if text.is_empty() && !self.has_empty_word() {
            return None;
        }
        match self {
            Self::Secret => unreachable!("it was taken as it is"),
            Self::Pem => pem::with_lines(text).map(|lines| Value::Secret(Secret::new(lines))),
            Self::Name(longest) => legal_name(text, *longest).then(|| Value::Text(text.to_owned())),
            Self::Line(longest) => (text.chars().count() <= *longest && !text.chars().any(char::is_control))
                .then(|| Value::Text(text.to_owned())),
            Self::Servers => servers(text).map(|list| Value::Text(list.join(","))),
            Self::Choice(words) => choose(words, text).map(|word| Value::Text(word.to_owned())),
            Self::Number { min, max, also, .. } => {
                let number = text.parse::<i64>().ok()?;
                ((*min..=*max).contains(&number) || *also == Some(number)).then_some(Value::Number(number))
            }
            Self::Bytes(least) => bytes(text).filter(|bytes| bytes >= least).map(Value::Number),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(longest) => {
                write!(f, "1 to {longest} of the characters a-z A-Z 0-9 . _ - (and not `.` or `..`)")
            }
            Self::Line(longest) => write!(f, "1 to {longest} characters without control characters"),
            Self::Servers => f.write_str("a list of host:port, separated by commas"),
            Self::Choice(words) => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                f.write_str(&words.join(" | "))
            }
            Self::Number { min, max, also, unit } => {
                write!(f, "a whole number of {unit}, ")?;
                if *max == i64::MAX {
                    write!(f, "{min} or more")?;
                } else {
                    write!(f, "{min} to {max}")?;
                }
                also.map_or(Ok(()), |also| write!(f, ", or {also}"))
            }
            Self::Bytes(least) => {
                write!(
                    f,
                    "a number of bytes, {least} or more, as in 1048576, 1024k, 64m, 2g, 64 MiB or 2 GiB"
                )
            }
            Self::Secret => f.write_str("any text, which is never shown"),
            Self::Pem => f.write_str("text in PEM (-----BEGIN ...), which is never shown"),
        }
    }
}

fn legal_name(text: &str, longest: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= longest && text.bytes().all(legal) && text != "." && text != ".."
}

/// The servers of a list; `None` where one is not `host:port` (an IPv6 host stands in brackets).
fn servers(text: &str) -> Option<Vec<&str>> {
    let legal = |server: &&str| {
        server.rsplit_once(':').is_some_and(|(host, port)| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host_is_legal = match bare {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    !host.is_empty()
                        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
                }
            };
            host_is_legal && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
    };
    let list: Vec<&str> = text.split(',').map(str::trim).collect();
    list.iter().all(legal).then_some(list)
}

/// The word that `text` is, whatever its case, or whose Java class it names, with or without package.
fn choose(words: &[Word], text: &str) -> Option<&'static str> {
    let class = text.rsplit(['.', '$']).next().unwrap_or(text);
    let (word, _) = words.iter().find(|(word, classes)| {
        word.eq_ignore_ascii_case(text) || classes.contains(&text) || classes.contains(&class)
    })?;
    Some(word)
}

/// The number of bytes that `text` stands for. Units count in 1024s, as the JVM's `-Xmx64m` does; `MB`, which
/// may mean either, is none of them.
fn bytes(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Value};

    #[test]
    fn bytes_count_in_1024s() {
        let cases = [
            ("1", Some(1)),
            ("64k", Some(65_536)),
            ("64K", Some(65_536)),
            ("3m", Some(3_145_728)),
            ("2g", Some(2_147_483_648)),
            ("64KiB", Some(65_536)),
            ("3 MiB", Some(3_145_728)),
            (" 2gib ", Some(2_147_483_648)),
            ("0", None),
            ("-1", None),
            ("m", None),
            ("1.5m", None),
            ("64MB", None),
            ("64 t", None),
            ("9007199254740993g", None),
            ("", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(Kind::Bytes(1).parse(text), bytes.map(Value::Number), "{text:?}");
        }
    }

    #[test]
    fn servers_are_hosts_with_ports() {
        let cases = [
            ("broker:9092", Some("broker:9092")),
            ("a.example:1, b-2:65535", Some("a.example:1,b-2:65535")),
            ("[::1]:9092", Some("[::1]:9092")),
            ("::1:9092", None),
            ("[broker]:9092", None),
            ("broker", None),
            ("broker:0", None),
            ("broker:65536", None),
            (":9092", None),
            ("a:1,", None),
            ("ssl://broker:9092", None),
        ];
        for (text, servers) in cases {
            let expected = servers.map(|servers| Value::Text(servers.to_owned()));
            assert_eq!(Kind::Servers.parse(text), expected, "{text:?}");
        }
    }
}
