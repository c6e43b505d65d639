//! The application under test: each record of the input again, a running count of its key, and, over repartition
//! topics, a leaderboard of the counts and a count of each board's records.

use headwater::{Grouped, Materialized, Ranked, Result, StreamsBuilder, Topology};

/// Suffixes of topics, behind the application's name.
pub(crate) const INPUT: &str = "in";
pub(crate) const ECHO: &str = "echo";
pub(crate) const COUNTS: &str = "counts";
pub(crate) const BOARDS: &str = "boards";
pub(crate) const TOTALS: &str = "totals";
/// On the way to the boards and the totals.
pub(crate) const REPARTITIONED: [&str; 2] = ["ranked-leaderboard-repartition", "summed-repartition"];
/// The changelogs of the stores.
pub(crate) const CHANGELOGS: [&str; 3] = ["counted-changelog", "board-changelog", "totalled-changelog"];
/// Rows of a board.
pub(crate) const PLACES: usize = 5;

/// The topics' names under an application's.
pub(crate) fn named(application: &str, topic: &str) -> String {
    format!("{application}-{topic}")
}

/// The board of a key.
pub(crate) fn board_of(key: &str) -> String {
    format!("board-{}", key.chars().next_back().unwrap_or_default())
}

/// What an instance runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pipeline {
    /// Everything.
    #[default]
    All,
    /// The running count alone, which is all state.
    Counts,
}

impl Pipeline {
    /// Its name as an argument.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Counts => "counts",
        }
    }
}

/// One input, so that each partition of echo and counts is a function of its input. Boards and totals hear from all
/// partitions: what is certain of them is how they end. A total counts: it ends as it should only where nothing was lost on the
/// way, and nothing doubled.
pub(crate) fn build(application: &str, pipeline: Pipeline) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let input = builder.stream::<String, String>(named(application, INPUT));
    let counts = input.group_by_key().count_with(Materialized::named("counted"));
    counts.to_stream().to(&named(application, COUNTS));
    if pipeline == Pipeline::Counts {
        return builder.build();
    }
    input.to(&named(application, ECHO));
    counts
        .group_by_with(|key, count| (board_of(key), *count), Grouped::named("ranked"))
        .leaderboard_with(PLACES, |count| *count, Ranked::named("board"))
        .to_stream()
        .to(&named(application, BOARDS));
    input
        .group_by_with(|key, _| board_of(key), Grouped::named("summed"))
        .count_with(Materialized::named("totalled"))
        .to_stream()
        .to(&named(application, TOTALS));
    builder.build()
}
