//! Stream processing on Apache Kafka: typed topologies of streams, tables, windows and joins, with exactly-once commits.
//!
//! The modules stand in the order of a record's road; each uses only those before it. Begin with [`StreamsBuilder`],
//! test with [`testkit`], run with [`Application`].
//!
//! ```
//! use headwater::testkit::Testkit;
//! use headwater::{Materialized, StreamsBuilder};
//!
//! let builder = StreamsBuilder::new();
//! let clicks = builder.stream::<String, String>("clicks").group_by_key();
//! clicks.count_with(Materialized::named("counts")).to_stream().to("counts");
//!
//! let mut kit = Testkit::new(&builder.build()?)?;
//! kit.pipe("clicks", &"ann".to_owned(), &"home".to_owned(), 0)?;
//! let counts = kit.read::<String, i64>("counts")?;
//! assert_eq!((counts[0].key.as_str(), counts[0].value), ("ann", 1));
//! # Ok::<(), headwater::Error>(())
//! ```

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
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod application;
pub mod query;
pub mod reset;
pub mod testkit;

#[cfg(feature = "progress")]
pub use application::RestoreBar;
pub use application::{Application, Running, UncaughtErrorResponse};
pub use codec::{HasSerde, Serde};
pub use config::Config;
pub use dsl::{
    BranchedKStream, Consumed, Grouped, Joined, KGroupedStream, KGroupedTable, KStream, KTable, Materialized,
    Produced, Ranked, Repartitioned, SessionWindowedKStream, StreamsBuilder, TimeWindowedKStream,
    WindowGroupedTable,
};
pub use error::{Error, Result};
pub use operator::BoardEmit;
pub use record::{Record, RecordBatch, Slice, Window, Windowed};
pub use state::{Board, BoardRow, FloatScore};
pub use topic::{TaskId, TopicName, TopicPartition};
pub use topology::Topology;
pub use window::{EmitStrategy, SessionWindows, TimeWindows};

/// The README's programs are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
