//! A live leaderboard of New York's most delayed flights: replays a month of real flights into topics, ranks them with
//! Headwater, shows the boards in the terminal, and writes them to a file for `examples/check`.

mod files;
mod loader;
mod model;
mod port;
mod topics;
mod topology;
mod utc;
mod view;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use headwater::kafka::Cluster;
use headwater::kafka::memory::MemoryCluster;
use headwater::state::{MemoryBackend, StateBackend};
use headwater::telemetry::DropReason;
use headwater::time::{Clock, SystemClock};
use headwater::{Application, Config, Running};

use loader::Arrival;
use port::Port;
use topics::{Reader, Topics};
use view::View;

/// A result of the example.
type Fallible<T> = Result<T, Box<dyn Error>>;

/// In place of the system's allocator: RocksDB and librdkafka take and give back memory on many threads, and with this one
/// that is faster and less of it is left over.
#[cfg(all(feature = "rocksdb", not(target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Brokers delete records of windows by their own clock, and the flights are of 2013: a hundred years, milliseconds.
const SINCE_2013_MS: &str = "3155760000000";
/// Instead of an address: the broker within this process.
const EMBEDDED: &str = "embedded";
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
    /// How long the replay takes, in seconds; 0: as fast as it goes.
    #[arg(long, default_value_t = 20.0, value_parser = seconds)]
    seconds: f64,
    /// Instead of --seconds: how many times faster than the clock on the wall event time passes; 3600 makes an hour of
    /// flights a second.
    #[arg(long, value_name = "FACTOR", value_parser = factor, conflicts_with = "seconds")]
    speed_up: Option<f64>,
    /// Chooses which flights are late, and by how much.
    #[arg(long, default_value_t = 2013)]
    seed: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    partitions: i32,
    /// Threads of the application.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Where the final boards go, as JSON lines.
    #[arg(long)]
    boards: Option<PathBuf>,
    /// The folder of state on disk; or as the property `state.dir` says.
    #[arg(long)]
    state_dir: Option<String>,
    /// The Kafka cluster, as host:port; `embedded`: a broker within this process.
    #[arg(long, value_name = "embedded|ADDRESS", default_value = "embedded")]
    bootstrap: String,
    /// Where any Kafka client may look into the embedded broker; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
    /// Where state lives.
    #[arg(long, value_enum, default_value_t = Store::Memory)]
    state: Store,
    /// What this process does: several can share the work on a Kafka cluster.
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
    /// How the names of the application and of its topics begin.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Where metrics and health are served over HTTP while the application runs; without an address for this machine only.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:9464")]
    metrics: Option<String>,
}

/// Where state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Store {
    /// In memory; it is read again from its changelogs at every start.
    Memory,
    /// On disk, in the folder that the property `state.dir` names.
    Rocksdb,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Everything.
    All,
    /// It makes the topics, and ends.
    Topics,
    /// It replays the flights, shows the boards and ends with the last one.
    Replay,
    /// It makes boards of flights until it is told to stop (Ctrl-C, SIGTERM).
    Application,
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or("expected a number of seconds, 0 or more")
}

fn factor(text: &str) -> Result<f64, &'static str> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or("expected a factor above 0, as 3600")
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leaderboard: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Fallible<()> {
    log_to_stderr(arguments.bootstrap != EMBEDDED)?;
    if arguments.bootstrap == EMBEDDED && arguments.role != Role::All {
        return Err("the embedded broker is of one process: `--role` needs `--bootstrap ADDRESS`".into());
    }
    let mut properties = Config::builder()
        .set("application.id", format!("{}leaderboard", arguments.prefix))
        .set("processing.guarantee", "exactly_once_v2")
        .set("num.stream.threads", arguments.threads.to_string())
        .set("windowstore.changelog.additional.retention.ms", SINCE_2013_MS)
        .environment(std::env::vars_os());
    if arguments.bootstrap != EMBEDDED {
        properties = properties.set("bootstrap.servers", arguments.bootstrap.as_str());
    }
    if let Some(folder) = &arguments.state_dir {
        properties = properties.set("state.dir", folder.as_str());
    }
    let config = properties.build()?;
    let embedded = (arguments.bootstrap == EMBEDDED).then(MemoryCluster::new);
    let port = embedded.as_ref().map(|cluster| Port::open(cluster, &arguments.listen)).transpose()?;
    let cluster: Arc<dyn Cluster> = match embedded {
        Some(cluster) => Arc::new(cluster),
        None => on_kafka(&config)?,
    };
    match arguments.role {
        Role::Application => {
            let figures = start(&arguments, config, &cluster)?.until_signal()?;
            Ok(writeln!(stdout(), "{}", figures.total())?)
        }
        Role::Topics => Topics::new(&cluster, &arguments.prefix, arguments.partitions).map(drop),
        Role::All | Role::Replay => {
            let view = View::new(port.as_ref().and_then(Port::hint))?;
            replay(arguments, config, &cluster, view)
        }
    }
}

/// The flights, from files to boards.
fn replay(arguments: Arguments, config: Config, cluster: &Arc<dyn Cluster>, view: View) -> Fallible<()> {
    // What may be wrong with arguments and files is found before anything is replayed.
    let mut boards = arguments.boards.clone().map(BoardsFile::create).transpose()?;
    let data = files::read(&arguments.data)?;
    let arrivals = loader::arrivals(&data, arguments.seed)?;
    let pace = match arguments.speed_up {
        Some(factor) => Pace::sped_up(&arrivals, factor),
        None => Pace { seconds: arguments.seconds },
    };
    let topics = Topics::new(cluster, &arguments.prefix, arguments.partitions)?;
    loader::load_tables(&data, &topics)?;
    let running = match arguments.role {
        Role::All => Some(start(&arguments, config, cluster)?),
        _ => None,
    };
    if let Some(running) = running.clone() {
        // Ctrl-C: the application commits and leaves the group, and the replay ends with it. What it fails with is told below.
        std::thread::spawn(move || running.until_signal());
    }
    let clock = SystemClock::new();
    let mut replay = Replay { clock, topics, arrivals, sent: 0, view };
    let ended = || running.as_ref().is_some_and(Running::is_finished);
    let counts = replay.run(data.flights.len(), pace, &ended);
    // If the application has failed, that is why the replay has: its error comes first.
    let figures = running.map(Running::stop).transpose()?;
    let counts = counts?;
    replay.view.print_last()?;
    let (changes, seconds) = (replay.view.changes(), replay.seconds());
    write!(stdout(), "\n{changes} changes of boards in {seconds:.1} s")?;
    match figures {
        Some(figures) => verdict(&figures)?,
        None => writeln!(stdout())?,
    }
    boards.as_mut().map_or(Ok(()), |boards| boards.write(&replay.view, &counts))
}

/// What the application says of itself; records that came too late are missing in the boards.
fn verdict(figures: &headwater::worker::Figures) -> Fallible<()> {
    writeln!(stdout(), "; {}", figures.total())?;
    let late = figures.total().dropped(DropReason::Late);
    if late > 0 {
        return Err(
            format!("{late} records came too late: the grace of {GRACE:?} does not cover the input").into()
        );
    }
    Ok(writeln!(stdout(), "0 records came too late")?)
}

/// The application, on its cluster and with its state.
fn application(arguments: &Arguments, config: Config, cluster: &Arc<dyn Cluster>) -> Fallible<Application> {
    let topology = topology::build(&arguments.prefix, GRACE, INTERVAL)?;
    let backend: Arc<dyn StateBackend> = match arguments.state {
        Store::Memory => Arc::new(MemoryBackend::default()),
        Store::Rocksdb => on_disk(&config)?,
    };
    let application = Application::new(&topology, config, Arc::clone(cluster), backend)?;
    #[cfg(feature = "progress")]
    let application = application.observer(Arc::new(headwater::RestoreBar::new()));
    Ok(application)
}

/// Starts the application, with its metrics where they were asked for.
fn start(arguments: &Arguments, config: Config, cluster: &Arc<dyn Cluster>) -> Fallible<Running> {
    let running = application(arguments, config, cluster)?.start()?;
    match &arguments.metrics {
        Some(address) => serve(running, address),
        None => Ok(running),
    }
}

#[cfg(feature = "metrics")]
fn serve(running: Running, address: &str) -> Fallible<Running> {
    match running.serve_metrics(address) {
        Ok(address) => eprintln!("http://{address}/metrics"),
        Err(error) => {
            running.stop()?;
            return Err(format!("--metrics {address}: {error}").into());
        }
    }
    Ok(running)
}

#[cfg(not(feature = "metrics"))]
fn serve(running: Running, _address: &str) -> Fallible<Running> {
    running.stop()?;
    Err("`--metrics` needs the feature `metrics`: build without `--no-default-features`".into())
}

#[cfg(feature = "kafka")]
fn on_kafka(config: &Config) -> Fallible<Arc<dyn Cluster>> {
    Ok(Arc::new(headwater::kafka::KafkaCluster::connect(&config.cluster_options())?))
}

#[cfg(not(feature = "kafka"))]
fn on_kafka(_config: &Config) -> Fallible<Arc<dyn Cluster>> {
    Err("`--bootstrap` with an address needs the feature `kafka`: build without `--no-default-features`"
        .into())
}

#[cfg(feature = "rocksdb")]
fn on_disk(config: &Config) -> Fallible<Arc<dyn StateBackend>> {
    use headwater::state::{RocksBackend, RocksOptions};
    Ok(Arc::new(RocksBackend::open_folder(&RocksOptions::new(config.settings()))?))
}

#[cfg(not(feature = "rocksdb"))]
fn on_disk(_config: &Config) -> Fallible<Arc<dyn StateBackend>> {
    Err("`--state rocksdb` needs the feature `rocksdb`: build without `--no-default-features`".into())
}

/// `HEADWATER_LOG` names the level of what is logged: warnings where it is not set, as that no broker can be reached; errors
/// only where there is none.
fn log_to_stderr(on_kafka: bool) -> Fallible<()> {
    let level = match std::env::var("HEADWATER_LOG") {
        Ok(level) => level.parse().map_err(|_| {
            format!("HEADWATER_LOG is `{level}`; it may be off, error, warn, info, debug or trace")
        })?,
        Err(_) if on_kafka => tracing_subscriber::filter::LevelFilter::WARN,
        Err(_) => tracing_subscriber::filter::LevelFilter::ERROR,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    Ok(())
}

/// Where the final boards go: beside the file until all of them are written, so that a run that fails spoils nothing.
struct BoardsFile {
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
}

impl BoardsFile {
    fn create(path: PathBuf) -> Fallible<Self> {
        let beside = path.with_extension("part");
        let file = File::create(&beside).map_err(|error| {
            format!("{}: {error}; --boards names a file that can be written", path.display())
        })?;
        Ok(Self { file: BufWriter::new(file), path, beside })
    }

    fn write(&mut self, view: &View, counts: &topics::Counts) -> Fallible<()> {
        let file = &mut self.file;
        let mut written = || {
            view.write(&mut *file)?;
            serde_json::to_writer(&mut *file, &serde_json::json!({ "counts": counts }))?;
            writeln!(file)?;
            file.flush()?;
            Ok(std::fs::rename(&self.beside, &self.path)?)
        };
        written().map_err(|error: Box<dyn Error>| format!("{}: {error}", self.path.display()).into())
    }
}

/// How fast the replay goes.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// How long all of it takes.
    seconds: f64,
}

impl Pace {
    /// Event time passes `factor` times faster than the clock on the wall.
    fn sped_up(arrivals: &[Arrival], factor: f64) -> Self {
        let (first, last) = (arrivals.first(), arrivals.last());
        let span_ms = first.zip(last).map_or(0, |(first, last)| last.at - first.at);
        #[expect(clippy::cast_precision_loss, reason = "a replay's pace")]
        Self { seconds: span_ms as f64 / 1e3 / factor }
    }

    /// The part of the replay that is due after so many microseconds, 1 for all of it.
    fn part(self, elapsed_us: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a replay's pace")]
        let elapsed = elapsed_us as f64 / 1e6;
        if elapsed >= self.seconds { 1.0 } else { elapsed / self.seconds }
    }
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
    fn run(&mut self, flights: usize, pace: Pace, finished: &dyn Fn() -> bool) -> Fallible<topics::Counts> {
        let mut boards = Reader::new(&self.topics, topology::BOARDS);
        let mut counted = Reader::new(&self.topics, topology::COUNTS);
        let mut counts = topics::Counts::default();
        let begin = self.clock.elapsed_us();
        let (mut moved, mut drawn) = (begin, begin);
        let flights = i64::try_from(flights)?;
        loop {
            let now = self.clock.elapsed_us();
            let sent = self.send_due(pace.part(now - begin))?;
            let changes = boards.read(self.clock.now_ms(), |_, board| {
                self.view.take(serde_json::from_slice(board)?);
                Ok(())
            })?;
            let changes =
                changes + counted.read(self.clock.now_ms(), |name, count| counts.take(name, count))?;
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
            self.topics.wait(20);
        }
    }

    /// Sends what arrives in the first `part` of the month.
    fn send_due(&mut self, part: f64) -> Fallible<usize> {
        let (Some(first), Some(last)) = (self.arrivals.first(), self.arrivals.last()) else { return Ok(0) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a replay's pace")]
        let until = first.at + ((last.at - first.at) as f64 * part) as i64;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        let program = std::iter::once(&"leaderboard");
        Arguments::try_parse_from(program.chain(arguments)).map_err(|error| {
            assert_eq!(error.exit_code(), 2);
            error.to_string().lines().next().unwrap_or_default().to_owned()
        })
    }

    #[test]
    fn a_wrong_argument_is_answered_with_what_is_right() {
        let cases: &[(&[&str], &str)] = &[
            (&["--seconds=-1"], "expected a number of seconds, 0 or more"),
            (&["--seconds=nan"], "expected a number of seconds, 0 or more"),
            (&["--speed-up", "0"], "expected a factor above 0, as 3600"),
            (&["--speed-up", "inf"], "expected a factor above 0, as 3600"),
            (&["--speed-up", "60", "--seconds", "1"], "cannot be used with"),
            (&["--partitions", "0"], "0 is not in 1..=1000"),
            (&["--threads", "0"], "0 is not in 1..=256"),
        ];
        for (arguments, expected) in cases {
            let problem = parse(arguments).err().unwrap();
            assert!(problem.contains(expected), "{arguments:?}: {problem}");
        }
        assert!(parse(&["--seconds", "0"]).is_ok() && parse(&["--speed-up", "3600"]).is_ok());
    }

    #[test]
    fn a_speed_up_is_a_length_of_the_replay() {
        let at = |at| Arrival { at, topic: "", key: String::new(), value: Vec::new(), time: at };
        let pace = Pace::sped_up(&[at(1_000), at(7_201_000)], 3_600.0);
        assert_eq!(pace.seconds.to_bits(), 2.0_f64.to_bits());
        assert_eq!([0, 1_000_000, 2_000_000, 9_000_000].map(|us| pace.part(us)), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(Pace { seconds: 0.0 }.part(0).to_bits(), 1.0_f64.to_bits());
        assert_eq!(Pace::sped_up(&[], 1.0).part(0).to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn a_file_for_the_boards_that_cannot_be_made_is_named() {
        let problem = BoardsFile::create("/no/such/folder/boards.jsonl".into()).err().unwrap().to_string();
        assert!(problem.starts_with("/no/such/folder/boards.jsonl: "), "{problem}");
        assert!(problem.ends_with("--boards names a file that can be written"), "{problem}");
    }
}
