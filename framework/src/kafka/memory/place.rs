//! Place: a partition in our words and in the broker's, and errors that say where they happened.

use headwater_broker::{ErrorCode, api};

use crate::kafka::{Fault, Isolation, KafkaError};
use crate::topic::TopicPartition;

/// The partition as the broker names it.
pub(super) fn at(partition: &TopicPartition) -> api::TopicPartition {
    api::TopicPartition { topic: partition.topic.clone(), partition: partition.partition }
}

/// The isolation as the broker names it.
pub(super) fn isolation(isolation: Isolation) -> api::Isolation {
    match isolation {
        Isolation::ReadUncommitted => api::Isolation::ReadUncommitted,
        Isolation::ReadCommitted => api::Isolation::ReadCommitted,
    }
}

/// An error that the broker answered.
pub(super) fn answered(code: ErrorCode, fault: Fault, what: impl Into<String>) -> KafkaError {
    KafkaError { code: code.name(), fault, message: what.into() }
}

/// A call that does not fit the port's state; librdkafka's name for it.
pub(super) fn out_of_place(what: impl Into<String>) -> KafkaError {
    KafkaError { code: "_STATE", fault: Fault::Refused, message: what.into() }
}
