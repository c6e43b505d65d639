//! Settings that contradict each other.

use super::problem::Problem;
use super::values::{DEAD_LETTER_TOPIC, HANDLERS, Values};

/// Every contradiction in `values`. One that involves a refused value is not told: its other side may be
/// right.
pub(super) fn contradictions(values: &Values) -> Vec<Problem> {
    let mut problems: Vec<Problem> = RULES.iter().filter_map(|rule| rule.check(values)).collect();
    problems.extend(HANDLERS.iter().filter_map(|handler| handler_without_topic(values, handler)));
    problems.extend(topic_without_handler(values));
    problems
}

/// Two properties that cannot stand together.
struct Rule {
    properties: [&'static str; 2],
    broken: fn(&Values) -> bool,
    /// What must be, between the two names.
    must: &'static str,
    hint: &'static str,
}

impl Rule {
    fn check(&self, values: &Values) -> Option<Problem> {
        let [one, other] = self.properties;
        let refused = values.get(one).refused || values.get(other).refused;
        let broken = !refused && (self.broken)(values);
        broken.then(|| {
            Problem::new(format!("{} {} {}", values.told(one), self.must, values.told(other)), self.hint)
        })
    }
}

const RULES: &[Rule] = &[
    Rule {
        properties: ["commit.interval.ms", "transaction.timeout.ms"],
        broken: |values| {
            values.exactly_once()
                && values.number("commit.interval.ms") >= values.number("transaction.timeout.ms")
        },
        must: "must be below",
        hint: "the coordinator would abort transactions before they are committed; commit more often",
    },
    Rule {
        properties: ["transaction.timeout.ms", "processing.guarantee"],
        broken: |values| values.is_given("transaction.timeout.ms") && !values.exactly_once(),
        must: "has no effect under",
        hint: "leave it out, or set `processing.guarantee` to `exactly_once_v2`",
    },
    Rule {
        properties: ["heartbeat.interval.ms", "session.timeout.ms"],
        broken: |values| values.number("heartbeat.interval.ms") >= values.number("session.timeout.ms"),
        must: "must be below",
        hint: "a third of it leaves room for two lost heartbeats",
    },
    Rule {
        properties: ["state.flush.bytes", "memory.max"],
        broken: |values| values.number("state.flush.bytes") > values.number("memory.max"),
        must: "must not be above",
        hint: "memory would be full before anything is flushed; a sixteenth of it leaves room for records",
    },
];

fn handler_without_topic(values: &Values, handler: &str) -> Option<Problem> {
    let lost = values.text(handler) == Some("dead-letter")
        && values.text(DEAD_LETTER_TOPIC).is_none()
        && !values.get(DEAD_LETTER_TOPIC).refused;
    lost.then(|| {
        let told = values.told(handler);
        Problem::new(
            format!("{told} needs `{DEAD_LETTER_TOPIC}`"),
            "set it to the topic that shall take the records",
        )
    })
}

fn topic_without_handler(values: &Values) -> Option<Problem> {
    let used = |handler: &&str| values.get(handler).refused || values.text(handler) == Some("dead-letter");
    let unused = values.is_given(DEAD_LETTER_TOPIC)
        && !values.get(DEAD_LETTER_TOPIC).refused
        && !HANDLERS.iter().any(used);
    unused.then(|| {
        let told = values.told(DEAD_LETTER_TOPIC);
        let hint =
            format!("set {} to `dead-letter`", HANDLERS.map(|handler| format!("`{handler}`")).join(" or "));
        Problem::new(format!("{told} has no effect: no handler is `dead-letter`"), hint)
    })
}
