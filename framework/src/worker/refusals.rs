//! Refusals: what becomes of records that a topic does not take, beside those whose own step has noticed.

use std::task::Poll;

use super::Worker;
use crate::error::{Error, Reaction, Result};
use crate::kafka::Refusal;
use crate::operator::Context;
use crate::produce::Refused;
use crate::telemetry::Stage;
use crate::topic::TaskId;

impl Worker {
    /// Finds out about topics that were chosen for a record and not known before.
    pub(super) fn resolve(&mut self, now_ms: i64) -> Result<()> {
        if !self.outbox.is_holding() {
            return Ok(());
        }
        let Poll::Ready(refused) = self.outbox.resolve(self.resolver.as_mut(), now_ms)? else {
            return Ok(());
        };
        for one in refused {
            self.refused(one)?;
        }
        Ok(())
    }

    /// The production handler's answer to a record that had waited for its topic.
    fn refused(&mut self, refused: Refused) -> Result<()> {
        let Refused { task: id, error, held } = refused;
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(()) };
        let stream_time = task.stream_time();
        let counters = task.counters_mut();
        counters.produced = counters.produced.saturating_sub(1);
        self.outbox.set_writer(id);
        let mut context = Context {
            task: id,
            now_ms: self.wall_ms,
            stream_time,
            input: held.input(),
            counters,
            handlers: &self.handlers,
            output: &mut self.outbox,
        };
        context.failed(Stage::Production, held.node(), error)
    }

    /// The error to fail with where a changelog was refused: state cannot be left out of a commit.
    pub(super) fn refused_state(&self, refusal: &Refusal) -> Option<Error> {
        let topic = &refusal.partition.topic;
        let stores = |part: &'_ crate::topology::SubtopologyPlan| {
            part.stores
                .iter()
                .find(|store| store.changelog == *topic)
                .map(|store| (part.id, store.name.clone()))
        };
        let (subtopology, store) = self.plan.subtopologies.iter().find_map(stores)?;
        let id = TaskId { subtopology, partition: refusal.partition.partition };
        let code = refusal.code;
        let message = match &refusal.record {
            None => format!("the changelog of store `{store}` may not be written ({code})"),
            Some(record) => {
                let key = crate::state::shown_key(record.key.as_deref().unwrap_or_default());
                let bytes = record.value.as_ref().map_or(0, bytes::Bytes::len);
                format!(
                    "the changelog of store `{store}` does not take the value of key `{key}`, which has {bytes} bytes ({code})"
                )
            }
        };
        let hint = match code {
            "MESSAGE_TOO_LARGE" => format!(
                "raise `max.message.bytes` of topic `{topic}`, or set `topic.max.message.bytes` before it is made; or keep less in one value"
            ),
            _ => format!("see to topic `{topic}`: state that is not logged cannot be committed"),
        };
        let error = Error::new(Reaction::Stop, message).in_task(id).hint(hint);
        Some(match self.tasks.get(&id) {
            Some(task) => error.detail(&task.progress_text()),
            None => error,
        })
    }
}
