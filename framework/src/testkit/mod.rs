//! The test kit: a topology under test on the production worker, with a cluster in memory and a clock that stands still.
//!
//! There is no processing logic in here. What the kit adds is convenience: topics are made from the plan, and after each
//! input everything is processed and committed before the call returns.
//!
//! ```
//! use headwater::StreamsBuilder;
//! use headwater::testkit::Testkit;
//!
//! let builder = StreamsBuilder::new();
//! builder.stream::<String, String>("lines").map_values(|line| line.to_uppercase()).to("shouts");
//!
//! let mut kit = Testkit::new(&builder.build()?)?;
//! kit.pipe("lines", &"ann".to_owned(), &"hello".to_owned(), 1_000)?;
//! let shouts = kit.read::<String, String>("shouts")?;
//! assert_eq!((shouts[0].key.as_str(), shouts[0].value.as_str(), shouts[0].timestamp), ("ann", "HELLO", 1_000));
//! # Ok::<(), headwater::Error>(())
//! ```

mod builder;
mod kit;
mod reader;

pub use builder::TestkitBuilder;
pub use kit::Testkit;
