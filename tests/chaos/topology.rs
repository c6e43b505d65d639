//! The application under test: each record of the input again, and a running count of its key.

use headwater::{Materialized, Result, StreamsBuilder, Topology};

/// Suffixes of topics, behind the application's name.
pub(crate) const INPUT: &str = "in";
pub(crate) const ECHO: &str = "echo";
pub(crate) const COUNTS: &str = "counts";
/// The store of the counts; its changelog is named by it.
pub(crate) const STORE: &str = "counted";

/// The topics' names under an application's.
pub(crate) fn named(application: &str, topic: &str) -> String {
    format!("{application}-{topic}")
}

/// One input, so that each partition's output is a function of its input.
pub(crate) fn build(application: &str) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let input = builder.stream::<String, String>(named(application, INPUT));
    input.to(&named(application, ECHO));
    input.group_by_key().count_with(Materialized::named(STORE)).to_stream().to(&named(application, COUNTS));
    builder.build()
}
