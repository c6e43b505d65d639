//! Stream processing on Apache Kafka.

pub mod application;
pub mod codec;
pub mod commit;
pub mod config;
pub mod consume;
pub mod error;
pub mod group;
pub mod kafka;
pub mod operator;
pub mod produce;
pub mod query;
pub mod record;
pub mod state;
pub mod task;
pub mod telemetry;
pub mod testkit;
pub mod time;
pub mod topic;
pub mod topology;
pub mod window;
pub mod worker;

pub use codec::{HasSerde, Serde};
pub use error::{Error, Result};
pub use record::{Record, RecordBatch};
pub use topic::{TaskId, TopicPartition};
pub use window::{EmitStrategy, SessionWindows, TimeWindows};
