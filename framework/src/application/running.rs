//! An application that runs: what it tells, and what it can be told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Application;
use super::signals::Listener;
use super::threads::{LISTEN, Shared};
use crate::error::{Error, Reaction, Result};
use crate::topic::TopicPartition;
use crate::worker::{Figures, InputLag, Levels, WorkerState};

/// An application that runs. Dropping it does not stop it; [`Running::stop`] does. Clones are the same application: one may
/// wait for its end while another adds workers or pauses.
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
/// cluster.create_topic("lines", 4)?;
/// cluster.create_topic("shouts", 4)?;
/// let config = Config::from_properties([("application.id", "shouting")])?;
/// let application =
///     Application::new(&builder.build()?, config, Arc::new(cluster), Arc::new(MemoryBackend::default()))?;
///
/// let running = application.start()?; // One worker, as `num.stream.threads` says.
/// assert_eq!(running.add_thread()?, 1);
/// assert_eq!(running.add_thread()?, 2);
/// assert_eq!(running.remove_thread(), Some(2));
/// running.pause();
/// assert!(running.is_paused());
/// running.resume();
/// running.stop()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct Running {
    pub(super) shared: Arc<Shared>,
    #[cfg(feature = "metrics")]
    pub(super) servers: super::served::Servers,
}

impl Running {
    /// Starts the workers.
    pub(super) fn start(application: Application, paused: bool) -> Result<Self> {
        let threads = application.config.settings().num_stream_threads;
        let running = Self {
            shared: Arc::new(Shared::new(application, paused)),
            #[cfg(feature = "metrics")]
            servers: super::served::Servers::default(),
        };
        for _ in 0..threads {
            if let Err(error) = running.shared.add_thread() {
                running.shared.stop();
                return Err(error);
            }
        }
        Ok(running)
    }

    /// Starts one more worker (Kafka Streams' `addStreamThread`), and returns its number: the smallest that is free. So it has
    /// the transactional id and the `group.instance.id` of one that had the number before. The group then gives it tasks
    /// of the others, and all workers share `memory.max` anew.
    ///
    /// # Errors
    /// If the application stops or has failed; if there are 999 workers; if a thread cannot be started. An error of the new
    /// worker itself is told as that of any other.
    pub fn add_thread(&self) -> Result<usize> {
        self.shared.add_thread()
    }

    /// Stops one worker while the others go on (Kafka Streams' `removeStreamThread`): the one with the highest number. It
    /// commits, closes its tasks and leaves the group, which gives them to the others. Returns its number once it is gone;
    /// `None` where there is none to remove, or the application stops.
    ///
    /// As in Kafka Streams the last one may be removed: then nothing is processed until [`Running::add_thread`], and whoever
    /// waits for the application goes on waiting. Called by a function that runs on a worker's thread it does not wait.
    ///
    /// A static member (`group.instance.id`) cannot leave its group: Kafka's protocol has a request for that, librdkafka
    /// has not. So nobody has its tasks until `session.timeout.ms` is over, or a worker of that number is back.
    ///
    /// What the worker fails with as it leaves is logged, and it is gone all the same.
    pub fn remove_thread(&self) -> Option<usize> {
        self.shared.remove_thread()
    }

    /// Stops processing (Kafka Streams' `pause`, KIP-834), from the next step of each worker on: this does not wait. What was
    /// processed is committed; then no record is processed and nothing is emitted. Workers stay members of the group: they
    /// heartbeat, and take, restore and give back tasks. What they fetch is bounded by `buffered.records.per.partition` and
    /// `memory.max`. Other processes of the application are not paused.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::Relaxed);
    }

    /// Goes on after [`Running::pause`], or [`Application::start_paused`].
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::Relaxed);
    }

    /// Whether it was told to pause.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.paused.load(Ordering::Relaxed)
    }

    /// The states of the workers, by their numbers, as of the last second. A worker that is about to be replaced has failed.
    #[must_use]
    pub fn states(&self) -> Vec<WorkerState> {
        let mut figures: Vec<_> =
            self.shared.board().figures.iter().map(|(number, state, _)| (*number, *state)).collect();
        figures.sort_by_key(|(number, _)| *number);
        figures.into_iter().map(|(_, state)| state).collect()
    }

    /// The figures of all workers together, as of the last second; also of those that were replaced or removed.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let board = self.shared.board();
        let mut all = board.past.clone();
        board.figures.iter().for_each(|(.., figures)| all.add(figures));
        all
    }

    /// What all workers together hold and how far they are behind, as of the last second: lags of inputs and of restores,
    /// memory.
    #[must_use]
    pub fn levels(&self) -> Levels {
        let mut all = Levels::default();
        self.shared.board().levels.values().for_each(|levels| all.add(levels));
        all
    }

    /// How far the input partitions of this process are processed, as of the last second. Those of tasks that are still
    /// being restored are left out: [`Levels::restores`] says how far those are.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use headwater::kafka::memory::MemoryCluster;
    /// # use headwater::state::MemoryBackend;
    /// # use headwater::{Application, Config, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, String>("lines").to("copies");
    /// # let cluster = MemoryCluster::new();
    /// # cluster.create_topic("lines", 1)?;
    /// # cluster.create_topic("copies", 1)?;
    /// # let config = Config::from_properties([("application.id", "copying")])?;
    /// # let backend = Arc::new(MemoryBackend::default());
    /// let running = Application::new(&builder.build()?, config, Arc::new(cluster), backend)?.start()?;
    /// for (partition, lag) in running.lag() {
    ///     match lag.records() {
    ///         Some(records) => println!("{partition}: {records} behind"),
    ///         None => println!("{partition}: its end is not known yet"),
    ///     }
    /// }
    /// running.stop()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn lag(&self) -> BTreeMap<TopicPartition, InputLag> {
        self.levels().tasks.into_values().flat_map(|task| task.inputs).collect()
    }

    /// What the first error said that stops the application; [`Running::wait`] returns it once all workers are gone.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared.board().failure.clone()
    }

    /// Whether all workers are gone for good: one has failed and was not replaced, or they were stopped. One whose workers
    /// were all removed is not finished.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.is_finished()
    }

    /// Commits, leaves the group, and waits for the workers.
    ///
    /// # Errors
    /// As [`Running::wait`], now or before.
    pub fn stop(self) -> Result<Figures> {
        self.shared.stop();
        self.wait()
    }

    /// Waits until the process is told to end (SIGTERM, or SIGINT as by Ctrl-C), then commits, leaves the group and waits for
    /// the workers; or until they are gone by themselves. A second signal ends the process at once, as one does that comes
    /// after this has returned.
    ///
    /// # Errors
    /// As [`Running::stop`]; or if signals cannot be listened to.
    pub fn until_signal(self) -> Result<Figures> {
        let listener = Listener::new()?;
        while !listener.is_told() && !self.is_finished() {
            std::thread::park_timeout(LISTEN);
        }
        self.stop()
    }

    /// Waits until the workers are gone for good.
    ///
    /// # Errors
    /// The first error that was answered with [`ShutdownClient`](super::UncaughtErrorResponse::ShutdownClient); it stops all
    /// workers. Of several clones that wait one gets it with its cause, the others get what it says.
    pub fn wait(self) -> Result<Figures> {
        self.shared.wait()?;
        #[cfg(feature = "metrics")]
        self.end_servers();
        let (error, said) = {
            let mut board = self.shared.board();
            (board.error.take(), board.failure.clone())
        };
        let error = error.or_else(|| said.map(|said| Error::new(Reaction::Stop, said)));
        error.map_or_else(|| Ok(self.figures()), Err)
    }
}
