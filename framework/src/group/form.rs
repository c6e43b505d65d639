//! Form: whether a topic of the application's own that is there already is as the plan would make it.
//!
//! A setting that is not known, since it may not be read, is believed to be right.

use crate::error::{Error, Reaction, Result};
use crate::kafka::TopicInfo;

/// Settings that decide whether records stay, and when they were.
const SETTINGS: [&str; 4] = ["cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type"];
/// What brokers take for "no limit".
const UNLIMITED: &str = "-1";

/// Checks the number of partitions.
pub(super) fn check_count(topic: &TopicInfo, count: i32) -> Result<()> {
    if topic.partitions == count {
        return Ok(());
    }
    let message = format!(
        "`{}` has {} partitions, but the topology needs {count}: did an input topic get more partitions?",
        topic.name, topic.partitions
    );
    Err(Error::new(Reaction::Stop, message).hint(
        "stop all instances and reset the application (delete its internal topics), or use another `application.id`",
    ))
}

/// Checks the settings, where the plan would make the topic with `wanted`.
pub(super) fn check_settings(topic: &TopicInfo, wanted: &[(String, String)]) -> Result<()> {
    let differs = |name: &'static str| {
        let is = value(&topic.configs, name)?;
        let needed = value(wanted, name)?;
        (!suffices(name, is, needed)).then(|| (name, is.to_owned(), needed.to_owned()))
    };
    let differing: Vec<_> = SETTINGS.into_iter().filter_map(differs).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let has = differing.iter().map(|(name, is, _)| format!("{name}={is}"));
    let needs = differing.iter().map(|(name, _, needed)| format!("{name}={needed}"));
    let message = format!(
        "`{}` has {}, but the topology needs {}",
        topic.name,
        Vec::from_iter(has).join(" and "),
        Vec::from_iter(needs).join(" and ")
    );
    // A list stands in brackets there.
    let set = differing.iter().map(|(name, _, needed)| match needed.contains(',') {
        true => format!("{name}=[{needed}]"),
        false => format!("{name}={needed}"),
    });
    let set = Vec::from_iter(set).join(",");
    Err(Error::new(Reaction::Stop, message).hint(format!(
        "set it with `kafka-configs --alter --topic {} --add-config {set}`: else records go too early, or get other times",
        topic.name
    )))
}

fn value<'a>(configs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    configs
        .iter()
        .find(|(one, _)| one == name)
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

fn suffices(name: &str, is: &str, needed: &str) -> bool {
    let number = |text: &str| match text {
        UNLIMITED => i64::MAX,
        number => number.parse().unwrap_or(i64::MAX),
    };
    match name {
        "cleanup.policy" => words(is) == words(needed),
        "retention.ms" | "retention.bytes" => number(is) >= number(needed),
        _ => is == needed,
    }
}

fn words(list: &str) -> Vec<&str> {
    let mut words: Vec<_> = list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(lines: &str) -> Vec<(String, String)> {
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        lines.split_whitespace().filter_map(pair).collect()
    }

    #[test]
    fn a_topic_may_keep_more_than_it_has_to_and_no_less() {
        let window = "cleanup.policy=compact,delete retention.ms=100 retention.bytes=-1 message.timestamp.type=CreateTime";
        let repartition = "cleanup.policy=delete retention.ms=-1";
        let cases = [
            (window, window, ""),
            (window, "cleanup.policy=delete,compact retention.ms=101 retention.bytes=-1", ""),
            (window, "retention.ms=-1 message.timestamp.type=CreateTime", ""),
            (window, "", ""),
            (window, "cleanup.policy=compact retention.ms=100", "cleanup.policy=[compact,delete]"),
            (
                window,
                "cleanup.policy=delete retention.ms=99",
                "cleanup.policy=[compact,delete],retention.ms=100",
            ),
            (window, "retention.bytes=1000", "retention.bytes=-1"),
            (window, "message.timestamp.type=LogAppendTime", "message.timestamp.type=CreateTime"),
            ("cleanup.policy=compact", "cleanup.policy=compact retention.ms=5 retention.bytes=5", ""),
            ("cleanup.policy=compact", "cleanup.policy=delete", "cleanup.policy=compact"),
            (repartition, "cleanup.policy=delete retention.ms=-1", ""),
            (repartition, "retention.ms=604800000", "retention.ms=-1"),
            (repartition, "cleanup.policy=compact", "cleanup.policy=delete"),
        ];
        for (wanted, is, set) in cases {
            let topic = TopicInfo { name: "t".into(), id: 1, partitions: 1, configs: pairs(is) };
            let said = check_settings(&topic, &pairs(wanted)).map_err(|error| error.to_string());
            match said {
                Ok(()) => assert_eq!(set, "", "{wanted}: {is}"),
                Err(said) => {
                    let command = format!("`kafka-configs --alter --topic t --add-config {set}`");
                    assert!(!set.is_empty() && said.contains(&command), "{wanted}: {is}: {said}");
                }
            }
        }
    }
}
