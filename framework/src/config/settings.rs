//! The settings of an application, typed. Every field is a property of the same name;
//! [`Config`](super::Config) checks them.

use std::path::PathBuf;

use super::values::{DEAD_LETTER_TOPIC, Values};
use crate::kafka::StartAt;
use crate::topic::TopicName;

/// `processing.guarantee`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessingGuarantee {
    /// Results may repeat after a failure.
    AtLeastOnce,
    /// Results, state and offsets are committed in one transaction.
    ExactlyOnceV2,
}

/// What happens to a record that fails: `deserialization.exception.handler` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionHandler {
    /// Stop.
    Fail,
    /// Skip the record.
    Continue,
    /// Skip the record, and write it to `errors.dead.letter.queue.topic.name`.
    DeadLetter,
}

/// `default.timestamp.extractor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultTimestampExtractor {
    /// The record's timestamp; one below 0 is an error.
    FailOnInvalidTimestamp,
    /// The record's timestamp; a record with one below 0 is skipped.
    LogAndSkipOnInvalidTimestamp,
    /// The record's timestamp; in place of one below 0 the highest of its partition so far.
    UsePartitionTimeOnInvalidTimestamp,
    /// The time at which the record is processed.
    Wallclock,
}

/// The settings of an application, by the names of their properties.
///
/// Times are milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// `application.id`.
    pub application_id: String,
    /// `bootstrap.servers`, as `host:port`; empty for an in-process cluster.
    pub bootstrap_servers: Vec<String>,
    /// `client.id`: how client ids begin.
    pub client_id: String,
    /// `num.stream.threads`.
    pub num_stream_threads: usize,
    /// `processing.guarantee`.
    pub processing_guarantee: ProcessingGuarantee,
    /// `commit.interval.ms`.
    pub commit_interval_ms: i64,
    /// `transaction.timeout.ms`; without meaning under [`ProcessingGuarantee::AtLeastOnce`].
    pub transaction_timeout_ms: i64,
    /// `request.timeout.ms`.
    pub request_timeout_ms: i64,
    /// `max.request.size`.
    pub max_request_size: usize,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i64,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i64,
    /// `max.poll.interval.ms`.
    pub max_poll_interval_ms: i64,
    /// `group.instance.id` of the process; its workers number it.
    pub group_instance_id: Option<String>,
    /// `auto.offset.reset`; `None` is `none`: stop with an error.
    pub auto_offset_reset: Option<StartAt>,
    /// `buffered.records.per.partition`.
    pub buffered_records_per_partition: usize,
    /// `max.task.idle.ms`; `None` is -1: never wait, not even for records that the broker has already.
    pub max_task_idle_ms: Option<i64>,
    /// `default.timestamp.extractor`.
    pub default_timestamp_extractor: DefaultTimestampExtractor,
    /// `task.timeout.ms`.
    pub task_timeout_ms: i64,
    /// `replication.factor`; `None` is -1: the brokers' default.
    pub replication_factor: Option<i16>,
    /// `topic.max.message.bytes`; `None`: the brokers' default.
    pub topic_max_message_bytes: Option<i64>,
    /// `repartition.purge.interval.ms`.
    pub repartition_purge_interval_ms: i64,
    /// `windowstore.changelog.additional.retention.ms`.
    pub windowstore_changelog_additional_retention_ms: i64,
    /// `emit.interval.ms.kstreams.windowed.aggregation`.
    pub emit_interval_ms: i64,
    /// `deserialization.exception.handler`.
    pub deserialization_exception_handler: ExceptionHandler,
    /// `processing.exception.handler`.
    pub processing_exception_handler: ExceptionHandler,
    /// `production.exception.handler`.
    pub production_exception_handler: ExceptionHandler,
    /// `errors.dead.letter.queue.topic.name`; set where a handler is [`ExceptionHandler::DeadLetter`].
    pub dead_letter_topic: Option<TopicName>,
    /// `state.flush.interval.ms`.
    pub state_flush_interval_ms: i64,
    /// `state.flush.bytes`.
    pub state_flush_bytes: usize,
    /// `memory.max`.
    pub memory_max: usize,
    /// `state.dir`.
    pub state_dir: PathBuf,
    /// `state.cleanup.delay.ms`.
    pub state_cleanup_delay_ms: i64,
}

impl Settings {
    /// The settings of `values`, which were checked.
    pub(super) fn new(values: &Values) -> Self {
        let text = |name| values.text(name).map(str::to_owned);
        let required = |name| text(name).expect("the builder refuses a configuration without it");
        let servers = values.text("bootstrap.servers");
        Self {
            application_id: required("application.id"),
            bootstrap_servers: servers
                .map_or(Vec::new(), |list| list.split(',').map(str::to_owned).collect()),
            client_id: required("client.id"),
            num_stream_threads: size(values, "num.stream.threads"),
            processing_guarantee: match values.exactly_once() {
                true => ProcessingGuarantee::ExactlyOnceV2,
                false => ProcessingGuarantee::AtLeastOnce,
            },
            commit_interval_ms: values.number("commit.interval.ms"),
            transaction_timeout_ms: values.number("transaction.timeout.ms"),
            request_timeout_ms: values.number("request.timeout.ms"),
            max_request_size: size(values, "max.request.size"),
            session_timeout_ms: values.number("session.timeout.ms"),
            heartbeat_interval_ms: values.number("heartbeat.interval.ms"),
            max_poll_interval_ms: values.number("max.poll.interval.ms"),
            group_instance_id: text("group.instance.id"),
            auto_offset_reset: match values.text("auto.offset.reset") {
                Some("latest") => Some(StartAt::Latest),
                Some("none") => None,
                _ => Some(StartAt::Earliest),
            },
            buffered_records_per_partition: size(values, "buffered.records.per.partition"),
            max_task_idle_ms: Some(values.number("max.task.idle.ms")).filter(|&ms| ms >= 0),
            default_timestamp_extractor: extractor(values),
            task_timeout_ms: values.number("task.timeout.ms"),
            replication_factor: i16::try_from(values.number("replication.factor")).ok().filter(|&n| n > 0),
            topic_max_message_bytes: values.number_if_set("topic.max.message.bytes"),
            repartition_purge_interval_ms: values.number("repartition.purge.interval.ms"),
            windowstore_changelog_additional_retention_ms: values
                .number("windowstore.changelog.additional.retention.ms"),
            emit_interval_ms: values.number("emit.interval.ms.kstreams.windowed.aggregation"),
            deserialization_exception_handler: handler(values, "deserialization.exception.handler"),
            processing_exception_handler: handler(values, "processing.exception.handler"),
            production_exception_handler: handler(values, "production.exception.handler"),
            dead_letter_topic: values.text(DEAD_LETTER_TOPIC).map(TopicName::from),
            state_flush_interval_ms: values.number("state.flush.interval.ms"),
            state_flush_bytes: size(values, "state.flush.bytes"),
            memory_max: size(values, "memory.max"),
            state_dir: required("state.dir").into(),
            state_cleanup_delay_ms: values.number("state.cleanup.delay.ms"),
        }
    }
}

/// What a process takes that nobody counts, bytes: code, the queues of a client, threads.
const PROCESS_BYTES: usize = 48 << 20;
/// The part of memory that allocators hold back, about.
const ALLOCATOR_PART: usize = 6;
/// What is not counted gets at most this part of `memory.max`, lest a small one leave nothing.
const UNCOUNTED_PART: usize = 4;
/// The part of `memory.max` that may wait in a client's queues: half of what is not counted, or more.
const QUEUED_PART: usize = 8;

impl Settings {
    /// The part of `memory.max` that is for records and state, bytes: what is counted. The rest is for what is not.
    #[must_use]
    pub fn counted_memory(&self) -> usize {
        let uncounted = PROCESS_BYTES + self.memory_max / ALLOCATOR_PART;
        self.memory_max - uncounted.min(self.memory_max / UNCOUNTED_PART)
    }

    /// What the records that were fetched ahead of the workers may take, bytes; it is not counted.
    #[must_use]
    pub fn queued_memory(&self) -> usize {
        self.memory_max / QUEUED_PART
    }
}

fn size(values: &Values, name: &str) -> usize {
    usize::try_from(values.number(name)).unwrap_or(usize::MAX)
}

fn handler(values: &Values, name: &str) -> ExceptionHandler {
    match values.text(name) {
        Some("continue") => ExceptionHandler::Continue,
        Some("dead-letter") => ExceptionHandler::DeadLetter,
        _ => ExceptionHandler::Fail,
    }
}

fn extractor(values: &Values) -> DefaultTimestampExtractor {
    match values.text("default.timestamp.extractor") {
        Some("log-and-skip-on-invalid-timestamp") => DefaultTimestampExtractor::LogAndSkipOnInvalidTimestamp,
        Some("use-partition-time-on-invalid-timestamp") => {
            DefaultTimestampExtractor::UsePartitionTimeOnInvalidTimestamp
        }
        Some("wallclock") => DefaultTimestampExtractor::Wallclock,
        _ => DefaultTimestampExtractor::FailOnInvalidTimestamp,
    }
}
