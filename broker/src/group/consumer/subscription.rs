//! A subscription: the topics that a member wants, by name and by a pattern of names.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::Refusal;
use crate::api::TopicId;
use crate::error::ErrorCode;
use crate::topic::Catalogue;

/// Memory that a compiled pattern may take: thousands of times what patterns of topics need, and little enough
/// that a hostile one does no harm.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A pattern of topic names. It stands for whole names, as Kafka's (RE2) do: `t.` is `t1` and not `t10`. Names
/// are ASCII, so classes such as `\w` are too.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: Arc<str>,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Pattern {
    pub(super) fn parse(text: &Arc<str>) -> Result<Self, Refusal> {
        // Alone first: a pattern such as `a)(b` makes sense only inside the brackets.
        let refused = |error: regex::Error| {
            (ErrorCode::InvalidRegularExpression, format!("the pattern {text} cannot be read: {error}"))
        };
        let compile = |text: &str| {
            RegexBuilder::new(text).unicode(false).size_limit(PATTERN_BYTES_MAX).build().map_err(refused)
        };
        compile(text)?;
        Ok(Self { text: text.clone(), regex: compile(&format!(r"\A(?:{text})\z"))? })
    }

    fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic.as_bytes())
    }
}

/// What a member wants to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    names: BTreeSet<Arc<str>>,
    pattern: Option<Pattern>,
}

impl Subscription {
    /// A subscription that was kept. Its pattern could be read when it came.
    pub(super) fn restored(names: &[Arc<str>], pattern: Option<&Arc<str>>) -> Self {
        let pattern = pattern.and_then(|text| Pattern::parse(text).ok());
        Self { names: names.iter().cloned().collect(), pattern }
    }

    /// Takes new names or a new pattern, each if there is one; tells whether that changes anything.
    pub(super) fn update(&mut self, names: Option<&[Arc<str>]>, pattern: Option<&Option<Pattern>>) -> bool {
        let before = (self.names.clone(), self.pattern_text());
        if let Some(names) = names {
            self.names = names.iter().cloned().collect();
        }
        if let Some(pattern) = pattern {
            self.pattern.clone_from(pattern);
        }
        before != (self.names.clone(), self.pattern_text())
    }

    pub(super) fn names(&self) -> &BTreeSet<Arc<str>> {
        &self.names
    }

    pub(super) fn pattern_text(&self) -> Option<Arc<str>> {
        self.pattern.as_ref().map(|pattern| pattern.text.clone())
    }

    pub(super) fn wants(&self, topic: &str) -> bool {
        self.names.contains(topic) || self.pattern.as_ref().is_some_and(|pattern| pattern.matches(topic))
    }

    /// The wanted topics that exist.
    pub(super) fn topics(&self, catalogue: &Catalogue) -> BTreeSet<TopicId> {
        let named = self.names.iter().filter_map(|name| catalogue.topics.get(name)).map(|topic| topic.id);
        let Some(pattern) = &self.pattern else { return named.collect() };
        let alike =
            catalogue.topics.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, topic)| topic.id);
        named.chain(alike).collect()
    }
}
