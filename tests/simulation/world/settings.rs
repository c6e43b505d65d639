//! Settings: the configuration of an instance, with times so short that a run is too.

use headwater::Config;

use super::{POLL_MS, SESSION_MS, TRANSACTION_MS};
use crate::case::{APPLICATION, CASES};
use crate::scenario::Scenario;

/// The configuration of the instance of this name.
pub(super) fn settings(scenario: &Scenario, instance: &str) -> headwater::Result<Config> {
    let mut builder = Config::builder()
        .set("application.id", APPLICATION)
        .set("session.timeout.ms", SESSION_MS.to_string())
        .set("heartbeat.interval.ms", (SESSION_MS / 4).to_string())
        .set("max.poll.interval.ms", POLL_MS.to_string())
        .set("request.timeout.ms", "300")
        .set("commit.interval.ms", scenario.commit_interval_ms.to_string())
        .set("state.flush.interval.ms", scenario.flush_interval_ms.to_string())
        .set("emit.interval.ms.kstreams.windowed.aggregation", "0")
        .set("repartition.purge.interval.ms", "500")
        .set("num.stream.threads", scenario.workers.to_string());
    if let Some(bytes) = scenario.memory_bytes {
        builder = builder.set("memory.max", bytes.to_string());
    }
    if let Some(topic) = CASES[scenario.case].dead_letters() {
        builder = builder
            .set("errors.dead.letter.queue.topic.name", topic)
            .set("deserialization.exception.handler", "dead-letter");
    }
    if scenario.static_members {
        builder = builder.set("group.instance.id", instance);
    }
    if scenario.exactly_once {
        builder = builder
            .set("processing.guarantee", "exactly_once_v2")
            .set("transaction.timeout.ms", TRANSACTION_MS.to_string());
    }
    builder.build()
}
