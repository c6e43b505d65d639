//! A single-node Kafka broker core.
