//! Retention: brokers delete records of window stores' changelogs by their clock, where event time may lie far behind it.

use super::Worker;
use crate::time::UNKNOWN_TIME;

impl Worker {
    /// Warns once of each changelog whose new records brokers may delete at once, since their event time is that old: what is
    /// deleted cannot be restored.
    pub(super) fn watch_retention(&mut self) {
        for task in self.tasks.values().filter(|task| task.stream_time() != UNKNOWN_TIME) {
            let behind_ms = self.wall_ms.saturating_sub(task.stream_time());
            let part = self.plan.subtopologies.iter().find(|part| part.id == task.id().subtopology);
            let stores =
                part.iter().flat_map(|part| &part.stores).filter(|store| !store.changelog.is_empty());
            for store in stores {
                let retention_ms = kept_ms(&store.configs).filter(|kept_ms| behind_ms > *kept_ms);
                if let Some(retention_ms) = retention_ms
                    && self.told.old_changelogs.insert(store.changelog.clone())
                {
                    tracing::warn!(
                        changelog = %store.changelog,
                        retention_ms,
                        behind_ms,
                        "event time lies so far behind the clock that brokers may delete what the changelog is needed for: \
                         raise `windowstore.changelog.additional.retention.ms` before it is made, and its topic's `retention.ms` now"
                    );
                }
            }
        }
    }
}

/// For how long a topic with these settings keeps records; `None` is for ever.
fn kept_ms(configs: &[(String, String)]) -> Option<i64> {
    let value = |name: &str| configs.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
    value("cleanup.policy").filter(|policy| policy.contains("delete"))?;
    value("retention.ms")?.parse().ok().filter(|ms| *ms >= 0)
}

#[cfg(test)]
mod tests {
    use super::kept_ms;

    #[test]
    fn only_topics_whose_records_are_deleted_keep_them_for_a_time() {
        let cases = [
            ("compact,delete", Some("86400000"), Some(86_400_000)),
            ("delete", Some("5"), Some(5)),
            ("delete", Some("-1"), None),
            ("compact", Some("5"), None),
            ("compact,delete", None, None),
        ];
        for (policy, retention, expected) in cases {
            let mut configs = vec![("cleanup.policy".to_owned(), policy.to_owned())];
            configs.extend(retention.map(|ms| ("retention.ms".to_owned(), ms.to_owned())));
            assert_eq!(kept_ms(&configs), expected, "{policy} {retention:?}");
        }
    }
}
