//! Scrape: a page of metrics, read as strictly as Prometheus' text form (version 0.0.4) says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Asks for a path; status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, head, body) = answer(address, path);
    assert!(path != "/metrics" || head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    (status, body)
}

fn answer(address: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// Labels, sorted by name.
type Labels = BTreeMap<String, String>;

/// A page that was read.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    samples: BTreeMap<(String, Labels), f64>,
    pub(crate) text: String,
}

impl Scrape {
    pub(crate) fn of(address: SocketAddr) -> Self {
        let (status, text) = get(address, "/metrics");
        assert_eq!(status, 200, "{text}");
        Self::read(text)
    }

    /// Reads a page. Anything that Prometheus would refuse, or that is there twice, fails.
    pub(crate) fn read(text: String) -> Self {
        let mut scrape = Self { samples: BTreeMap::new(), text };
        let (mut families, mut family) = (BTreeSet::new(), (String::new(), String::new()));
        assert!(scrape.text.ends_with('\n'), "the last line ends");
        for line in scrape.text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty() && is_name(name), "{line}");
                assert!(families.insert(name.to_owned()), "the family is there twice: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(families.contains(name), "help comes first: {line}");
                assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
                family = (name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                let (of, kind) = (&family.0, family.1.as_str());
                let part = name.strip_prefix(of.as_str()).unwrap_or_else(|| panic!("not of {of}: {line}"));
                assert!(part.is_empty() || kind == "summary" && ["_sum", "_count"].contains(&part), "{line}");
                assert!(kind != "counter" || name.ends_with("_total") && value >= 0.0, "{line}");
                assert!(scrape.samples.insert((name, labels), value).is_none(), "it is there twice: {line}");
            }
        }
        scrape
    }

    /// The sum of a metric over all series that have these labels; `None` where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |all: &Labels| {
            labels.iter().all(|(name, value)| all.get(*name).is_some_and(|found| found == value))
        };
        let found = self.samples.iter().filter(|((other, all), _)| other == name && has(all));
        let values: Vec<_> = found.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// As [`Scrape::sum`], of a metric that has to be there.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.sum(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in\n{}", self.text))
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':') && name.chars().all(legal)
}

/// `name{label="value",...} number`, each value escaped.
fn sample(line: &str) -> (String, Labels, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, rest)) = head.split_once('{') else {
        assert!(is_name(head), "{line}");
        return (head.to_owned(), Labels::new(), value);
    };
    let mut rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("no end of labels: {line}"));
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").unwrap();
        let end = quoted.match_indices('"').map(|(at, _)| at);
        let end = end.into_iter().find(|at| !quoted[..*at].ends_with('\\')).unwrap();
        assert!(is_name(label) && !label.contains(':'), "{line}");
        assert!(labels.insert(label.to_owned(), quoted[..end].to_owned()).is_none(), "{line}");
        rest = quoted[end + 1..].trim_start_matches(',');
    }
    assert!(is_name(name), "{line}");
    (name.to_owned(), labels, value)
}
