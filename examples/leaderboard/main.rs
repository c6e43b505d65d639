//! A live leaderboard of New York's most delayed flights: replays a month of real flights into topics, ranks them with
//! Headwater, shows the boards in the terminal, and writes them to a file for `examples/check`.

mod files;
mod loader;
mod model;
mod topics;
mod topology;
mod utc;
mod view;

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use headwater::kafka::Cluster;
use headwater::state::MemoryBackend;
use headwater::time::{Clock, SystemClock};
use headwater::{Application, Config};

use loader::Arrival;
use topics::{Reader, Topics};
use view::View;

/// A result of the example.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// How often the boards are told, and drawn.
const INTERVAL: Duration = Duration::from_millis(250);
/// The windows stay open for longer than the year has days: a verified run leaves no flight out.
const GRACE: Duration = Duration::from_secs(400 * 24 * 3_600);
/// Quiet for so long, with everything counted, the replay is over: several intervals and commits.
const QUIET_MS: u64 = 1_500;

/// Replays flights and shows the most delayed carriers, routes and aircraft, live.
#[derive(Parser)]
struct Arguments {
    /// Folder with flights.csv.gz, airlines.csv.gz, planes.csv.gz and weather.csv.gz.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/leaderboard/data"))]
    data: PathBuf,
    /// How long the replay takes, in seconds.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Chooses which flights are late, and by how much.
    #[arg(long, default_value_t = 2013)]
    seed: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Threads of the application.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Where the final boards go, as JSON lines.
    #[arg(long)]
    boards: Option<PathBuf>,
}

fn main() -> Fallible<()> {
    let level = std::env::var("HEADWATER_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(tracing_subscriber::filter::LevelFilter::ERROR);
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let clock = SystemClock::new();
    let data = files::read(&arguments.data)?;
    let arrivals = loader::arrivals(&data, arguments.seed)?;
    let topics = Topics::new(arguments.partitions)?;
    loader::load_tables(&data, &topics)?;

    let config = Config::builder()
        .set("application.id", "leaderboard")
        .set("processing.guarantee", "exactly_once_v2")
        .set("num.stream.threads", arguments.threads.to_string())
        .environment(std::env::vars_os())
        .build()?;
    let topology = topology::build(GRACE, INTERVAL)?;
    let cluster: Arc<dyn Cluster> = Arc::new(topics.cluster().clone());
    let running =
        Application::new(&topology, config, cluster, Arc::new(MemoryBackend::default()))?.start()?;

    let mut replay = Replay { clock, topics, arrivals, sent: 0, view: View::new() };
    let counts = replay.run(data.flights.len(), arguments.seconds, &|| running.is_finished())?;
    let figures = running.stop()?;
    replay.view.print_last()?;
    writeln!(
        stdout(),
        "\n{} changes of boards in {:.1} s; {}",
        replay.view.changes(),
        replay.seconds(),
        figures.total()
    )?;
    if let Some(path) = arguments.boards {
        let mut file =
            BufWriter::new(File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?);
        replay.view.write(&mut file)?;
        serde_json::to_writer(&mut file, &serde_json::json!({ "counts": counts }))?;
        writeln!(file)?;
        file.flush()?;
    }
    Ok(())
}

/// Flights on their way into the topics, boards on their way to the screen.
struct Replay {
    clock: SystemClock,
    topics: Topics,
    arrivals: Vec<Arrival>,
    sent: usize,
    view: View,
}

impl Replay {
    fn seconds(&self) -> f64 {
        Duration::from_micros(self.clock.elapsed_us()).as_secs_f64()
    }

    /// Sends what is due and shows what comes back, until all flights are counted and nothing moves any more.
    fn run(&mut self, flights: usize, seconds: f64, finished: &dyn Fn() -> bool) -> Fallible<topics::Counts> {
        let mut boards = Reader::new(&self.topics, topology::BOARDS);
        let mut counted = Reader::new(&self.topics, topology::COUNTS);
        let mut counts = topics::Counts::default();
        let begin = self.clock.elapsed_us();
        let (mut moved, mut drawn) = (begin, begin);
        let flights = i64::try_from(flights)?;
        loop {
            let now = self.clock.elapsed_us();
            let sent = self.send_due((now - begin) as f64 / 1e6 / seconds)?;
            let changes = boards.read(|_, board| {
                self.view.take(serde_json::from_slice(board)?);
                Ok(())
            })?;
            let changes = changes + counted.read(|name, count| counts.take(name, count))?;
            if sent + changes > 0 {
                moved = now;
            }
            let all = self.sent == self.arrivals.len() && counts.of("flights") == flights;
            if all && now - moved > QUIET_MS * 1_000 {
                return Ok(counts);
            }
            if finished() {
                return Err("the application ended before the replay did".into());
            }
            if now - drawn > u64::try_from(INTERVAL.as_micros())? {
                self.view.show(&self.status(&counts))?;
                drawn = now;
            }
            self.topics.cluster().wait(20);
        }
    }

    /// Sends what arrives in the first `part` of the month.
    fn send_due(&mut self, part: f64) -> Fallible<usize> {
        let (Some(first), Some(last)) = (self.arrivals.first(), self.arrivals.last()) else { return Ok(0) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a replay's pace")]
        let until = first.at + ((last.at - first.at) as f64 * part.min(1.0)) as i64;
        let from = self.sent;
        while let Some(arrival) = self.arrivals.get(self.sent).filter(|arrival| arrival.at <= until) {
            self.topics.send(arrival.topic, &arrival.key, &arrival.value, arrival.time)?;
            self.sent += 1;
        }
        self.topics.flush()?;
        Ok(self.sent - from)
    }

    fn status(&self, counts: &topics::Counts) -> String {
        let part = 100 * self.sent / self.arrivals.len().max(1);
        let flights = counts.of("flights");
        if stdout().is_terminal() {
            format!("{part:>3} % of the month, {flights} flights")
        } else {
            String::new()
        }
    }
}
