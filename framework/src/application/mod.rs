//! The application: workers on threads, started and stopped together.

mod drive;
#[cfg(feature = "progress")]
mod restore_bar;
mod running;
#[cfg(feature = "metrics")]
mod served;
mod signals;
mod threads;
mod uncaught;

#[cfg(feature = "progress")]
pub use restore_bar::RestoreBar;
pub use running::Running;
pub use uncaught::UncaughtErrorResponse;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::commit::Window;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kafka::Cluster;
use crate::state::StateBackend;
use crate::time::{Clock, SystemClock};
use crate::topology::{Plan, PlanOptions, Topology};
use crate::worker::{Figures, Observer, Worker, WorkerOptions};

use drive::drive;
use uncaught::UncaughtErrorHandler;

/// A topology with everything that it needs to run.
///
/// ```
/// use std::sync::Arc;
/// use headwater::kafka::memory::MemoryCluster;
/// use headwater::state::MemoryBackend;
/// use headwater::{Application, Config, StreamsBuilder};
///
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("lines").map_values(|line| line.to_uppercase()).to("shouts");
/// let cluster = MemoryCluster::new();
/// cluster.create_topic("lines", 1)?;
/// cluster.create_topic("shouts", 1)?;
///
/// let config = Config::from_properties([("application.id", "shouting")])?;
/// let application =
///     Application::new(&builder.build()?, config, Arc::new(cluster), Arc::new(MemoryBackend::default()))?;
/// let running = application.start()?;
/// running.stop()?;
/// # Ok::<(), headwater::Error>(())
/// ```
pub struct Application {
    plan: Arc<Plan>,
    config: Config,
    cluster: Arc<dyn Cluster>,
    backend: Arc<dyn StateBackend>,
    clock: Arc<dyn Clock>,
    process: String,
    observer: Option<Arc<dyn Observer>>,
    uncaught: Option<Arc<UncaughtErrorHandler>>,
    probe: Option<Arc<Hook>>,
}

/// A test's hook into the windows of each worker's commits, told the worker's number.
type Hook = dyn Fn(usize, Window) -> bool + Send + Sync;

impl Application {
    /// An application; nothing happens before it is started.
    ///
    /// # Errors
    /// If the topology cannot run under the configuration's application id.
    pub fn new(
        topology: &Topology,
        config: Config,
        cluster: Arc<dyn Cluster>,
        backend: Arc<dyn StateBackend>,
    ) -> Result<Self> {
        if let Some(warning) = config.unused_connection(cluster.as_ref()) {
            tracing::warn!("{warning}");
        }
        let settings = config.settings();
        let plan = topology.plan(&PlanOptions {
            application: settings.application_id.clone(),
            additional_retention_ms: settings.windowstore_changelog_additional_retention_ms,
        })?;
        config.check_folder(backend.folder())?;
        let process = backend.process_name().map_or_else(process_name, str::to_owned);
        Ok(Self {
            plan: Arc::new(plan),
            config,
            cluster,
            backend,
            clock: Arc::new(SystemClock::new()),
            process,
            observer: None,
            uncaught: None,
            probe: None,
        })
    }

    /// An application on the Kafka cluster at `bootstrap.servers`, with its state on disk, in `state.dir`.
    ///
    /// ```no_run
    /// use headwater::{Application, Config, StreamsBuilder};
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("lines").map_values(|line| line.to_uppercase()).to("shouts");
    /// let properties = [("application.id", "shouting"), ("bootstrap.servers", "localhost:9092")];
    /// let config = Config::from_properties(properties)?;
    /// Application::on_kafka(&builder.build()?, config)?.start()?.until_signal()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Application::new`]; if `bootstrap.servers` is not set; if the folder cannot be used.
    #[cfg(all(feature = "kafka", feature = "rocksdb"))]
    pub fn on_kafka(topology: &Topology, config: Config) -> Result<Self> {
        let cluster = crate::kafka::KafkaCluster::connect(&config.cluster_options())?;
        let options = crate::state::RocksOptions::new(config.settings());
        let backend = crate::state::RocksBackend::open_folder(&options)?;
        Self::new(topology, config, Arc::new(cluster), Arc::new(backend))
    }

    /// Names the process: the same name whenever it starts again, another one for each process of the application. It is
    /// part of the transactional ids, by which a restart ends the transaction that a crash has left open; two processes of
    /// the same name fence each other until one of them fails.
    ///
    /// Without this it has the name that is kept with its state. Where state lives in memory only it has a new one at each
    /// start, so nothing is there to be taken over (but readers wait for `transaction.timeout.ms` where a crash has left a
    /// transaction open).
    #[must_use]
    pub fn process(mut self, name: impl Into<String>) -> Self {
        self.process = name.into();
        self
    }

    /// Runs by another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tells `observer` what the workers do.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Decides what follows on an error that has ended a worker (Kafka Streams' `setUncaughtExceptionHandler`). Without a
    /// handler all workers stop, as with [`UncaughtErrorResponse::ShutdownClient`].
    ///
    /// `handler` is asked on the worker's thread, after its transaction was aborted and it has left the group; a panic is an
    /// error as well, of the user's functions or of our own. One that panics itself stops all workers. Kafka Streams'
    /// `SHUTDOWN_APPLICATION`, which stops other processes too, is not there: consumer groups with Kafka's own assignors carry
    /// no such message.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use headwater::kafka::memory::MemoryCluster;
    /// use headwater::kafka::{Cluster, Isolation};
    /// use headwater::state::MemoryBackend;
    /// use headwater::{Application, Config, RecordBatch, StreamsBuilder, TopicPartition, UncaughtErrorResponse};
    ///
    /// let (builder, panicked) = (StreamsBuilder::new(), AtomicBool::new(false));
    /// let shout = move |line: String| {
    ///     assert!(panicked.swap(true, Ordering::Relaxed), "this goes wrong once");
    ///     line.to_uppercase()
    /// };
    /// builder.stream::<String, String>("lines").map_values(shout).to("shouts");
    /// let cluster = MemoryCluster::new();
    /// cluster.create_topic("lines", 1)?;
    /// cluster.create_topic("shouts", 1)?;
    /// let config = Config::from_properties([("application.id", "shouting"), ("commit.interval.ms", "10")])?;
    /// let state = Arc::new(MemoryBackend::default());
    /// let running = Application::new(&builder.build()?, config, Arc::new(cluster.clone()), state)?
    ///     .uncaught_error_handler(|error| {
    ///         eprintln!("{error}"); // worker 0 panicked: this goes wrong once (task 0_0)
    ///         UncaughtErrorResponse::ReplaceThread
    ///     })
    ///     .start()?;
    ///
    /// let mut batch = RecordBatch::default();
    /// batch.push(0, Some(b"ann"), Some(b"hello"), 0);
    /// cluster.produce(&TopicPartition::new("lines", 0), &batch)?;
    /// while cluster.read_all("shouts", Isolation::ReadCommitted)?[0].is_empty() {
    ///     cluster.wait(10);
    /// }
    /// let figures = running.stop()?;
    /// assert_eq!((figures.failures, figures.total().processed), (1, 1));
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn uncaught_error_handler(
        mut self,
        handler: impl Fn(&Error) -> UncaughtErrorResponse + Send + Sync + 'static,
    ) -> Self {
        self.uncaught = Some(Arc::new(handler));
        self
    }

    /// Tells `hook` the windows of each commit, for tests that kill the process in them; where it returns true the worker ends.
    #[doc(hidden)]
    #[must_use]
    pub fn probe(mut self, hook: Arc<Hook>) -> Self {
        self.probe = Some(hook);
        self
    }

    /// What is going to run.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs one worker on this thread until `until` says so, which is asked after each step, or until it fails: the handler of
    /// uncaught errors is not asked.
    ///
    /// # Errors
    /// The worker's.
    ///
    /// # Panics
    /// Where a function of the user's does: it is the caller's own thread. [`Application::start`] makes an error of it.
    pub fn run_until(&self, mut until: impl FnMut(&Worker) -> bool) -> Result<Figures> {
        let cluster = self.cluster.for_worker();
        let mut worker = Worker::new(self.worker(0, &cluster));
        drive(&mut worker, cluster.as_ref(), self.clock.as_ref(), &mut |worker| {
            if until(worker) {
                worker.stop();
            }
        })?;
        Ok(worker.figures().clone())
    }

    /// Starts `num.stream.threads` workers.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(self) -> Result<Running> {
        Running::start(self, false)
    }

    /// As [`Application::start`], but nothing is processed before [`Running::resume`]. Workers join the group, and get and
    /// restore their tasks.
    ///
    /// # Errors
    /// As [`Application::start`].
    pub fn start_paused(self) -> Result<Running> {
        Running::start(self, true)
    }

    fn worker(&self, number: usize, cluster: &Arc<dyn Cluster>) -> WorkerOptions {
        let options = WorkerOptions::new(
            Arc::clone(&self.plan),
            self.config.clone(),
            Arc::clone(cluster),
            Arc::clone(&self.backend),
        );
        let options = options.named(self.process.clone(), number).clock(Arc::clone(&self.clock));
        let options = match &self.observer {
            Some(observer) => options.observer(Arc::clone(observer)),
            None => options,
        };
        match &self.probe {
            Some(hook) => {
                let hook = Arc::clone(hook);
                options.probe(Box::new(move |window| hook(number, window)))
            }
            None => options,
        }
    }
}

/// The name of a process that was given none: a new one at each start, as its state is in memory only and nobody else has
/// something to take over from it.
fn process_name() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}
