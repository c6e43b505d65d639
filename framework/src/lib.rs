//! Stream processing on Apache Kafka.

pub mod topic;
pub mod time;
pub mod record;
pub mod error;
pub mod telemetry;
pub mod codec;
pub mod kafka;
pub mod config;
pub mod state;
pub mod window;
pub mod operator;
pub mod topology;
pub mod dsl;
pub mod consume;
pub mod task;
pub mod produce;
pub mod commit;
pub mod group;
pub mod worker;
pub mod application;
pub mod query;
pub mod testkit;

pub use application::{Application, Running};
pub use codec::{HasSerde, Serde};
pub use config::Config;
pub use dsl::{
    BranchedKStream, Consumed, Grouped, Joined, KGroupedStream, KGroupedTable, KStream, KTable, Materialized,
    Produced, Ranked, Repartitioned, SessionWindowedKStream, StreamsBuilder, TimeWindowedKStream,
    WindowGroupedTable,
};
pub use error::{Error, Result};
pub use operator::BoardEmit;
pub use record::{Record, RecordBatch, Window, Windowed};
pub use state::{Board, BoardRow, FloatScore};
pub use topic::{TaskId, TopicName, TopicPartition};
pub use topology::Topology;
pub use window::{EmitStrategy, SessionWindows, TimeWindows};
