//! What an operator may know and do while it handles a record.

use crate::codec::SerdeError;
use crate::error::{Error, Reaction, Result};
use crate::record::{Headers, RawRecord, SharedBatch};
use crate::telemetry::{Counters, DropReason, Stage};
use crate::topic::{TaskId, TopicName, TopicPartition};

/// Where an output record goes.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// To the topic of the sink with this number, to the partition of the key.
    Sink(usize),
    /// To a topic chosen for this record, to the partition of the key.
    Named(&'a TopicName),
}

/// Takes what sinks write. Implemented by the station that sends.
pub trait Output {
    /// Queues a record.
    ///
    /// # Errors
    /// With [`Reaction::Skip`] where the record itself cannot be sent (too large).
    fn emit(&mut self, target: &Target<'_>, record: &OutRecord<'_>) -> Result<()>;
    /// Queues records at once, up to the first that has to go alone, which shows what is wrong with it. Returns how
    /// many were queued.
    fn emit_all(&mut self, sink: usize, records: &OutColumns<'_>) -> usize {
        let _ = (sink, records);
        0
    }
}

/// Records on their way out, as bytes, in columns of the same length.
#[derive(Clone, Copy, Debug)]
pub struct OutColumns<'a> {
    /// Keys.
    pub keys: &'a [Option<&'a [u8]>],
    /// What is hashed for the partition of each.
    pub partition_keys: &'a [Option<&'a [u8]>],
    /// Values.
    pub values: &'a [Option<&'a [u8]>],
    /// Milliseconds; never negative.
    pub timestamps: &'a [i64],
    /// Headers.
    pub headers: &'a [Headers],
}

/// A record on its way out, as bytes.
#[derive(Clone, Copy, Debug)]
pub struct OutRecord<'a> {
    /// Key, `None` for null.
    pub key: Option<&'a [u8]>,
    /// What is hashed for the partition: the key, or the inner key of a windowed one.
    pub partition_key: Option<&'a [u8]>,
    /// Value, `None` for null.
    pub value: Option<&'a [u8]>,
    /// Milliseconds; never negative.
    pub timestamp: i64,
    /// Headers.
    pub headers: &'a Headers,
    /// Where it comes from.
    pub origin: Origin<'a>,
}

/// Where a record on its way out comes from: for the day that it cannot be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The node that writes it.
    pub node: &'a str,
    /// The input record that is handled, if there is one.
    pub input: Option<&'a Input<'a>>,
}

/// What to do with a record that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandlerResponse {
    /// Stop the worker with the error; the record is read again after a restart.
    #[default]
    Fail,
    /// Drop the record and count it.
    Continue,
    /// Write the input record to the dead letter topic, in the same transaction.
    DeadLetter,
}

/// The answers for each stage.
#[derive(Clone, Debug, Default)]
pub struct Handlers {
    /// For records that cannot be read.
    pub deserialization: HandlerResponse,
    /// For operators that fail.
    pub processing: HandlerResponse,
    /// For records that cannot be written.
    pub production: HandlerResponse,
    /// `errors.dead.letter.queue.topic.name`.
    pub dead_letter_topic: Option<TopicName>,
}

/// What an operator may know and do while it handles a record.
pub struct Context<'a> {
    /// The task.
    pub task: TaskId,
    /// Wall-clock time of this slice of work, milliseconds.
    pub now_ms: i64,
    /// Highest event time that the task has seen, -1 before the first record.
    pub stream_time: i64,
    /// The input record as it came, while one is handled.
    pub input: Option<Input<'a>>,
    /// Counts of this task since the last commit.
    pub counters: &'a mut Counters,
    /// The answers to failures.
    pub handlers: &'a Handlers,
    /// Takes what is written.
    pub output: &'a mut dyn Output,
}

/// The input record that is handled now.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Where it lies.
    pub partition: &'a TopicPartition,
    /// The batch it came in.
    pub batch: &'a SharedBatch,
    /// Its place in the batch.
    pub row: usize,
}

impl<'a> Input<'a> {
    /// Its bytes.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> RawRecord<'a> {
        self.batch.get(self.row)
    }
}

impl Context<'_> {
    /// Says which record of the input batch is handled from now on.
    #[inline]
    pub fn at(&mut self, origin: u32) {
        if let Some(input) = &mut self.input {
            input.row = origin as usize;
        }
    }

    /// Which record of the input batch is handled now.
    #[must_use]
    #[inline]
    pub fn origin(&self) -> u32 {
        self.input.map_or(0, |input| u32::try_from(input.row).unwrap_or(u32::MAX))
    }

    /// The current record, or one of its windows, is dropped at `node`: counts it, and says so the first time since the
    /// last commit. The others are told at level debug only, since a stream may have many.
    pub fn drop(&mut self, node: &str, reason: DropReason) {
        self.counters.drop(reason);
        let first = self.counters.dropped(reason) == 1;
        if first || tracing::enabled!(tracing::Level::DEBUG) {
            self.tell_dropped(node, reason, first);
        }
    }

    #[cold]
    fn tell_dropped(&self, node: &str, reason: DropReason, first: bool) {
        let message = format!("record dropped: {}", reason.name());
        let error = self.placed(Error::new(Reaction::Skip, message).at_node(node)).hint(reason.advice());
        if first {
            tracing::warn!("{error}; more of these are only counted until the next commit");
        } else {
            tracing::debug!("{error}");
        }
    }

    /// Says that the current record failed at `stage`: the stage's handler decides whether the work goes on.
    ///
    /// # Errors
    /// The error itself, with its place, if the handler says to fail.
    pub fn failed(&mut self, stage: Stage, node: &str, error: Error) -> Result<()> {
        let reason = match stage {
            Stage::Deserialization => DropReason::Undecodable,
            Stage::Processing => DropReason::Failed,
            Stage::Production => DropReason::Unproducible,
        };
        self.failed_as(reason, stage, node, error)
    }

    /// As [`Context::failed`], where a drop counts under another reason than the stage's usual one.
    ///
    /// # Errors
    /// As [`Context::failed`].
    pub fn failed_as(&mut self, reason: DropReason, stage: Stage, node: &str, error: Error) -> Result<()> {
        let error = self.placed(error.at_node(node));
        let response = match stage {
            Stage::Deserialization => self.handlers.deserialization,
            Stage::Processing => self.handlers.processing,
            Stage::Production => self.handlers.production,
        };
        match response {
            HandlerResponse::Fail => Err(error.reacting(Reaction::Stop).hint(format!(
                "set `{}.exception.handler` to `continue` or `dead-letter` to go on after such records",
                stage.name()
            ))),
            HandlerResponse::Continue => {
                tracing::warn!(stage = stage.name(), %error, "record dropped");
                self.counters.drop(reason);
                Ok(())
            }
            HandlerResponse::DeadLetter => {
                tracing::warn!(stage = stage.name(), %error, "record sent to the dead letter topic");
                self.dead_letter(stage, node, &error)
            }
        }
    }

    /// The error with the task and the input record that is handled now.
    fn placed(&self, error: Error) -> Error {
        let error = error.in_task(self.task);
        match &self.input {
            Some(input) => error.at_record(input.partition, input.raw().offset),
            None => error,
        }
    }

    /// Deals with the error of an operator that did not do so itself: one of the record's is the processing handler's.
    ///
    /// # Errors
    /// Any other error, and one for which the handler says to fail.
    #[cold]
    pub fn recover(&mut self, error: Error) -> Result<()> {
        if error.reaction() == Reaction::Skip {
            let node = error.place().node.clone().unwrap_or_else(|| "(unnamed)".to_owned());
            return self.failed(Stage::Processing, &node, error);
        }
        Err(self.placed(error))
    }

    /// As [`Context::failed`] for bytes that could not be read or a value that could not be written.
    ///
    /// # Errors
    /// As [`Context::failed`]; where the same call may work later ([`SerdeError::retry`]), always.
    pub fn serde_failed(&mut self, stage: Stage, node: &str, what: &str, error: SerdeError) -> Result<()> {
        let verb = if stage == Stage::Deserialization { "read" } else { "write" };
        let blameless = error.retry;
        let error = Error::new(Reaction::Skip, format!("cannot {verb} the {what}")).because(error);
        if !blameless {
            return self.failed(stage, node, error);
        }
        // Not the record is at fault, so no handler may skip it. One that is not read yet waits; one that has gone
        // down a part of the topology can only be taken back.
        let reaction = if stage == Stage::Deserialization { Reaction::Retry } else { Reaction::Abort };
        let error = error.hint("this is no fault of the record: it is read again once there is an answer");
        Err(self.placed(error.at_node(node)).reacting(reaction))
    }

    /// Writes the input record as it came, with headers that say what happened. What an operator writes when time passes
    /// has no input record: then the headers are all there is to keep.
    fn dead_letter(&mut self, stage: Stage, node: &str, error: &Error) -> Result<()> {
        let Some(topic) = &self.handlers.dead_letter_topic else {
            return Err(Error::new(Reaction::Stop, error.to_string())
                .hint("there is no dead letter topic: set `errors.dead.letter.queue.topic.name`"));
        };
        let raw = self.input.map(|input| input.raw());
        let mut headers = raw.map_or_else(Headers::default, |raw| raw.to_headers());
        let mut say = |name: &str, text: &str| {
            headers.push(&format!("__streams.errors.{name}"), Some(text.as_bytes()));
        };
        say("stage", stage.name());
        say("exception", error.message());
        say("message", &error.to_string());
        if let Some(input) = &self.input {
            say("topic", &input.partition.topic);
            say("partition", &input.partition.partition.to_string());
            say("offset", &input.raw().offset.to_string());
        }
        say("node", node);
        say("task", &self.task.to_string());
        let key = raw.and_then(|raw| raw.key);
        let record = OutRecord {
            key,
            partition_key: key,
            value: raw.and_then(|raw| raw.value),
            timestamp: raw.map_or(self.stream_time, |raw| raw.timestamp).max(0),
            headers: &headers,
            origin: Origin { node, input: self.input.as_ref() },
        };
        self.output.emit(&Target::Named(topic), &record).map_err(|error| error.reacting(Reaction::Stop))?;
        self.counters.bury(stage);
        Ok(())
    }
}
