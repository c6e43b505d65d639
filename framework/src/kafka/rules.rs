//! Rules: what a topic's settings demand of its records, to be known before a broker refuses one.

use super::TopicInfo;

/// What a topic's settings demand of its records; what is not known demands nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicRules {
    /// `max.message.bytes`: no batch, and so no record, may be larger.
    pub max_message_bytes: Option<usize>,
    /// `cleanup.policy` holds `compact`: every record needs a key.
    pub needs_keys: bool,
}

impl TopicInfo {
    /// What the topic's settings demand of its records.
    ///
    /// ```
    /// use headwater::kafka::{TopicInfo, TopicRules};
    /// let configs = vec![("cleanup.policy".to_owned(), "compact,delete".to_owned())];
    /// let topic = TopicInfo { name: "rows".into(), id: 1, partitions: 1, configs };
    /// assert_eq!(topic.rules(), TopicRules { max_message_bytes: None, needs_keys: true });
    /// ```
    #[must_use]
    pub fn rules(&self) -> TopicRules {
        let value = |wanted: &str| {
            self.configs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        TopicRules {
            max_message_bytes: value("max.message.bytes").and_then(|value| value.trim().parse().ok()),
            needs_keys: value("cleanup.policy")
                .is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact")),
        }
    }
}
