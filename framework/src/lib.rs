//! Stream processing on Apache Kafka.

pub mod codec;
pub mod config;
pub mod error;
pub mod kafka;
pub mod record;
pub mod time;
pub mod topic;

pub use codec::{HasSerde, Serde};
pub use error::{Error, Result};
pub use record::{Record, RecordBatch};
pub use topic::{TaskId, TopicPartition};
