//! `headwater reset`: arguments as those of `kafka-streams-application-reset`, and a line for each thing done.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use headwater::error::{Error, Reaction};
use headwater::kafka::{Cluster, KafkaCluster};
use headwater::reset::{Position, Reset, ResetOptions};
use headwater::time::{Clock, SystemClock};
use headwater::{Config, Result, TopicName, TopicPartition};

use crate::moment;

/// Takes an application back to before its first start: sets the committed offsets of its input topics, deletes its internal
/// topics and, on this machine, its state folder. Stop all its instances first. What is deleted does not come back:
/// try `--dry-run` before.
///
/// Connections are made as the properties of `--config` and the variables HEADWATER_... say, by Kafka's names. Output topics
/// are not touched. State folders on other machines may stay: instances find that their changelogs are new ones, and rebuild.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The application (`application.id`).
    #[arg(long, value_name = "ID")]
    application_id: String,
    /// Brokers to begin with, as host:port,host:port. Otherwise `bootstrap.servers` of the properties.
    #[arg(long, value_name = "SERVERS")]
    bootstrap_server: Option<String>,
    /// A file of properties.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Topics that the application reads, separated by commas. Without them no offset is set.
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    input_topics: Vec<String>,
    /// Only these internal topics are deleted, instead of all that have the name of one.
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    internal_topics: Vec<String>,
    #[command(flatten)]
    start: Start,
    /// The application's `state.dir` on this machine, to delete its folder there.
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Takes members out of the group instead of refusing, where the client can (librdkafka cannot).
    #[arg(long)]
    force: bool,
    /// Says what would be done, and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Where to begin; at the earliest offset without any of these.
#[derive(Args, Debug, Default)]
#[group(multiple = false)]
struct Start {
    /// Begins at the oldest record.
    #[arg(long)]
    to_earliest: bool,
    /// Begins behind the newest record.
    #[arg(long)]
    to_latest: bool,
    /// Begins at this offset in every partition, or at the nearest one that there is.
    #[arg(long, value_name = "OFFSET", allow_negative_numbers = true)]
    to_offset: Option<i64>,
    /// Begins at the first record of this time or later: 2026-01-31T12:00:00.000, in UTC unless a zone follows (Z, +01:00).
    #[arg(long, value_name = "TIME", value_parser = moment::parse_time)]
    to_datetime: Option<i64>,
    /// Begins at the first record that is not older than this: P7D, PT1H30M.
    #[arg(long, value_name = "DURATION", value_parser = moment::parse_duration)]
    by_duration: Option<i64>,
    /// Begins so many records behind the committed offsets, or before them if negative.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// Begins where the lines of this file say: topic,partition,offset. It names the input topics, too, where none are named.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

/// Does what the arguments say.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let clock = SystemClock::new();
    let config = arguments.configuration()?;
    let options = arguments.options(&config, clock.now_ms())?;
    let cluster = KafkaCluster::connect(&config.cluster_options())?;
    perform(&options, arguments.dry_run, (&cluster, &clock), &mut std::io::stdout().lock())
}

impl Arguments {
    fn configuration(&self) -> Result<Config> {
        let builder = Config::builder().environment(std::env::vars_os());
        let builder = self.config.iter().fold(builder, headwater::config::ConfigBuilder::file);
        let servers = self.bootstrap_server.iter();
        let builder = servers.fold(builder, |builder, servers| builder.set("bootstrap.servers", servers));
        builder.set("application.id", &self.application_id).build()
    }

    fn options(&self, config: &Config, now_ms: i64) -> Result<ResetOptions> {
        let names =
            |names: &[String]| names.iter().map(|name| name.trim().into()).collect::<Vec<TopicName>>();
        let position = self.start.position(now_ms)?;
        let mut inputs = names(&self.input_topics);
        if let (true, Position::Each(offsets)) = (inputs.is_empty(), &position) {
            inputs = offsets.iter().map(|(partition, _)| partition.topic.clone()).collect();
            inputs.sort_unstable();
            inputs.dedup();
        }
        Ok(ResetOptions {
            inputs,
            position,
            internal_topics: names(&self.internal_topics),
            state_dir: self.state_dir.clone(),
            remove_members: self.force,
            session_timeout_ms: config.settings().session_timeout_ms,
            ..ResetOptions::new(&self.application_id)
        })
    }
}

impl Start {
    fn position(&self, now_ms: i64) -> Result<Position> {
        Ok(match self {
            Self { to_latest: true, .. } => Position::Latest,
            Self { to_offset: Some(offset), .. } => Position::Offset(*offset),
            Self { to_datetime: Some(time_ms), .. } => Position::Time(*time_ms),
            Self { by_duration: Some(duration_ms), .. } => {
                Position::Time(now_ms.saturating_sub(*duration_ms).max(0))
            }
            Self { shift_by: Some(count), .. } => Position::ShiftBy(*count),
            Self { from_file: Some(path), .. } => Position::Each(read_offsets(path)?),
            Self { .. } => Position::Earliest,
        })
    }
}

/// Reads lines of topic, partition and offset.
fn read_offsets(path: &Path) -> Result<Vec<(TopicPartition, i64)>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(Reaction::Stop, format!("cannot read `{}`", path.display())).because(error)
    })?;
    parse_offsets(&text).map_err(|line| {
        let message = format!("{}:{line}: not `topic,partition,offset`", path.display());
        Error::new(Reaction::Stop, message).hint("as in `orders,0,1200`, a line for each partition")
    })
}

/// The offsets that a text lists, or the number of the line that is none.
fn parse_offsets(text: &str) -> std::result::Result<Vec<(TopicPartition, i64)>, usize> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let one = |(number, line): (usize, &str)| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        let [topic, partition, offset] = fields[..] else { return Err(number) };
        match (topic.is_empty(), partition.parse(), offset.parse()) {
            (false, Ok(partition), Ok(offset)) => Ok((TopicPartition::new(topic, partition), offset)),
            _ => Err(number),
        }
    };
    lines.map(one).collect()
}

/// Resets, or says what a reset would do; a line for each thing.
fn perform(
    options: &ResetOptions,
    dry_run: bool,
    (cluster, clock): (&dyn Cluster, &dyn Clock),
    out: &mut dyn Write,
) -> Result<()> {
    let unwritten = |error| Error::new(Reaction::Stop, "cannot write the output").because(error);
    let reset = Reset::prepare(options, cluster, clock)?;
    if options.inputs.is_empty() {
        writeln!(out, "no input topics are named: no offset is set").map_err(unwritten)?;
    }
    for remark in reset.remarks() {
        writeln!(out, "note: {remark}").map_err(unwritten)?;
    }
    let count = counted(reset.steps().len());
    if dry_run {
        for step in reset.steps() {
            writeln!(out, "would {}", step.intention()).map_err(unwritten)?;
        }
        return writeln!(out, "dry run: {count}, nothing was changed").map_err(unwritten);
    }
    // What is not told is done all the same: a reset is not broken off for that.
    let mut written = Ok(());
    reset.run(&mut |step| {
        let line = writeln!(out, "{step}");
        if written.is_ok() {
            written = line;
        }
    })?;
    written.and_then(|()| writeln!(out, "{count} done")).map_err(unwritten)
}

fn counted(steps: usize) -> String {
    if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use headwater::kafka::memory::MemoryCluster;
    use headwater::time::ManualClock;
    use headwater::{Config, RecordBatch, TopicPartition};

    use super::{Start, parse_offsets, perform};
    use crate::{Command, Headwater};

    /// What is told, to whoever calls `headwater reset --application-id app` with these arguments; records of a second each.
    fn said(cluster: &MemoryCluster, arguments: &str) -> String {
        let words = ["headwater", "reset", "--application-id", "app"];
        let words = words.into_iter().chain(arguments.split_whitespace());
        let Command::Reset(arguments) = match Headwater::try_parse_from(words) {
            Ok(headwater) => headwater.command,
            Err(error) => return error.to_string().lines().next().unwrap().to_owned(),
        };
        let config = Config::from_properties([("application.id", "app")]).unwrap();
        let clock = ManualClock::at(5_000);
        let mut out = Vec::new();
        let options = arguments.options(&config, 5_000).unwrap();
        let done = perform(&options, arguments.dry_run, (cluster, &clock), &mut out);
        let out = String::from_utf8(out).unwrap().trim_end().replace('\n', " | ");
        match done {
            Ok(()) => out,
            Err(error) if out.is_empty() => format!("error: {error}"),
            Err(error) => format!("{out} | error: {error}"),
        }
    }

    /// A topic of five records, one every second, and a changelog.
    fn cluster() -> MemoryCluster {
        let cluster = MemoryCluster::new();
        cluster.create_topic("in", 1).unwrap();
        let compact = [("cleanup.policy", "compact")];
        cluster.create_topic_with("app-counts-changelog", 1, &compact).unwrap();
        let mut batch = RecordBatch::default();
        (0..5).for_each(|second| batch.push(second * 1_000, Some(b"k"), Some(b"v"), 0));
        cluster.produce(&TopicPartition::new("in", 0), &batch).unwrap();
        cluster
    }

    #[test]
    fn arguments_say_where_to_begin() {
        let to = |place: &str| format!("would set in-0 to offset {place}");
        let none = "(none was committed)";
        let cases = [
            ("", to(&format!("0 {none}"))),
            ("--to-earliest", to(&format!("0 {none}"))),
            ("--to-latest", to(&format!("5 {none}"))),
            ("--to-offset 3", to(&format!("3 {none}"))),
            ("--to-offset -1", to("0 (none was committed; the partition begins there, not at -1)")),
            ("--to-datetime 1970-01-01T00:00:02", to(&format!("2 {none}"))),
            ("--to-datetime 1970-01-01T01:00:02.001+01:00", to(&format!("3 {none}"))),
            ("--by-duration PT4S", to(&format!("1 {none}"))),
            ("--by-duration P1D", to(&format!("0 {none}"))),
            ("--shift-by -2", to("0 (none was committed; nothing is committed, so counted from the start)")),
        ];
        for (arguments, expected) in cases {
            let said = said(&cluster(), &format!("--input-topics in --dry-run {arguments}"));
            let rest = "would delete topic `app-counts-changelog` | dry run: 2 steps, nothing was changed";
            assert_eq!(said, format!("{expected} | {rest}"), "{arguments}");
        }
    }

    #[test]
    fn every_step_has_its_line_and_a_second_reset_finds_less() {
        let cluster = cluster();
        let expected =
            "set in-0 to offset 2 (none was committed) | deleted topic `app-counts-changelog` | 2 steps done";
        assert_eq!(said(&cluster, "--input-topics in --to-offset 2"), expected);
        let expected = "set in-0 to offset 3 (was 2) | 1 step done";
        assert_eq!(said(&cluster, "--input-topics in --shift-by 1"), expected);
        let stays = "the committed offsets of `in` stay as they are: the application goes on from there, without its state";
        let expected = format!("no input topics are named: no offset is set | note: {stays} | 0 steps done");
        assert_eq!(said(&cluster, ""), expected);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let cases = [
            (
                "--to-latest --to-earliest",
                "error: the argument '--to-latest' cannot be used with '--to-earliest'",
            ),
            (
                "--input-topics in,none,nine",
                "error: input topics do not exist: `none`, `nine`; correct the names; nothing was changed",
            ),
            (
                "--internal-topics in",
                "error: not internal topics of `app`: `in`; their names are `app-...-changelog` and `app-...-repartition`; nothing was changed",
            ),
            (
                "--internal-topics app-x-changelog",
                "error: internal topics do not exist: `app-x-changelog`; correct the names; nothing was changed",
            ),
            (
                "--to-datetime tomorrow",
                "error: invalid value 'tomorrow' for '--to-datetime <TIME>': not a time, as 2026-01-31T12:00:00.000",
            ),
            (
                "--by-duration 7d",
                "error: invalid value '7d' for '--by-duration <DURATION>': not a duration, as P7D or PT1H30M",
            ),
        ];
        for (arguments, expected) in cases {
            assert_eq!(said(&cluster(), arguments), expected, "{arguments}");
        }
    }

    #[test]
    fn files_list_offsets() {
        let offset = |number, offset| (TopicPartition::new("in", number), offset);
        assert_eq!(parse_offsets("in,0,7\n\n in , 1 , 8 \r\n"), Ok(vec![offset(0, 7), offset(1, 8)]));
        assert_eq!(parse_offsets("in,0,7\nin,1"), Err(2));
        assert_eq!(parse_offsets("in,0,seven"), Err(1));
        assert_eq!(parse_offsets(",0,7"), Err(1));
        assert!(Start { from_file: Some("no/such/file".into()), ..Start::default() }.position(0).is_err());
    }
}
