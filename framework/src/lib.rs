//! Stream processing on Apache Kafka.

pub mod codec;
pub mod config;
pub mod error;
pub mod kafka;
pub mod operator;
pub mod record;
pub mod state;
pub mod telemetry;
pub mod time;
pub mod topic;
pub mod topology;
pub mod window;

pub use codec::{HasSerde, Serde};
pub use error::{Error, Result};
pub use record::{Record, RecordBatch};
pub use topic::{TaskId, TopicPartition};
pub use window::{EmitStrategy, SessionWindows, TimeWindows};
