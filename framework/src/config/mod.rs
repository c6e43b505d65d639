//! Configuration: Kafka's own property names from code, environment and files, checked once, then passed down
//! as a value.
//!
//! 1. Code wins over the environment, the environment over files, files over defaults.
//! 2. A name that is unknown is refused with the nearest valid one; a name that only Kafka knows, with what
//!    to do instead; a value, with what is allowed; settings that contradict each other, with both values and
//!    where they come from.
//! 3. All that is wrong is told in one error.
//! 4. `consumer.`, `main.consumer.` and `producer.` may stand before the settings of that client. They name
//!    the same setting as the bare name.

mod builder;
mod check;
mod elsewhere;
mod file;
mod jaas;
mod name;
mod pem;
mod problem;
mod property;
mod security;
mod settings;
mod source;
mod table;
mod values;

use std::fmt::Write as _;
use std::path::Path;

pub use builder::{ConfigBuilder, RESERVED_VARIABLES};
pub use settings::{DefaultTimestampExtractor, ExceptionHandler, ProcessingGuarantee, Settings};
pub use source::ENVIRONMENT_PREFIX;

use crate::error::{Error, Reaction, Result};
use crate::kafka::{Cluster, ClusterOptions, MemberOptions, ProducerOptions, Security};
use values::Values;

/// The configuration of an application: typed, checked, and able to say where each value comes from.
///
/// ```
/// use headwater::config::{Config, ProcessingGuarantee};
/// let properties = [("application.id", "orders"), ("processing.guarantee", "exactly_once_v2")];
/// let config = Config::from_properties(properties)?;
/// assert_eq!(config.settings().processing_guarantee, ProcessingGuarantee::ExactlyOnceV2);
/// assert_eq!(config.settings().commit_interval_ms, 100);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    values: Values,
    settings: Settings,
    security: Security,
}

impl Config {
    /// Gathers properties from code, environment and files.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let config = Config::builder()
    ///     .environment([("HEADWATER_CLIENT_ID", "west"), ("HEADWATER_COMMIT_INTERVAL_MS", "500")])
    ///     .set("application.id", "orders")
    ///     .set("commit.interval.ms", "50")
    ///     .build()?;
    /// assert_eq!(config.settings().client_id, "west");
    /// assert_eq!(config.settings().commit_interval_ms, 50); // Code wins over the environment.
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The configuration of these properties alone, as set from code.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let properties = [("application.id", "orders"), ("session.timeout.ms", "45s")];
    /// assert_eq!(
    ///     Config::from_properties(properties).unwrap_err().to_string(),
    ///     "`session.timeout.ms` cannot be `45s`; allowed: a whole number of milliseconds, 1 to 3600000"
    /// );
    /// ```
    ///
    /// # Errors
    /// As [`ConfigBuilder::build`].
    pub fn from_properties<N, V>(properties: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: Into<String>,
        V: Into<String>,
    {
        properties
            .into_iter()
            .fold(Self::builder(), |builder, (name, value)| builder.set(name, value))
            .build()
    }

    fn new(values: Values, security: Security) -> Self {
        Self { settings: Settings::new(&values), values, security }
    }

    /// The settings, typed.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What a client of the cluster at `bootstrap.servers` is told.
    #[must_use]
    pub fn cluster_options(&self) -> ClusterOptions {
        ClusterOptions {
            servers: self.settings.bootstrap_servers.clone(),
            client: self.settings.client_id.clone(),
            group: self.settings.application_id.clone(),
            max_request_size: self.settings.max_request_size,
            compression: self.values.text("compression.type").unwrap_or("none").to_owned(),
            security: self.security.clone(),
        }
    }

    /// The settings of the group member of worker number `worker` in the process `process`.
    ///
    /// Brokers make member ids of client ids, and `range` gives partitions to members in the order of their
    /// ids (instance ids, for static members): so the worker's number has three digits, which keeps the order
    /// when the process starts again, and stands before the process, so that every process gets work before
    /// any gets it twice.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let config = Config::from_properties([("application.id", "orders"), ("group.instance.id", "west")])?;
    /// let member = config.member_options("4f1c", 2);
    /// assert_eq!(member.client, "orders-002-4f1c");
    /// assert_eq!(member.instance.as_deref(), Some("west-002"));
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn member_options(&self, process: &str, worker: usize) -> MemberOptions {
        let settings = &self.settings;
        MemberOptions {
            group: settings.application_id.clone(),
            client: self.client(process, worker),
            instance: settings.group_instance_id.as_ref().map(|id| format!("{id}-{worker:03}")),
            session_timeout_ms: settings.session_timeout_ms,
            heartbeat_interval_ms: settings.heartbeat_interval_ms,
            max_poll_interval_ms: settings.max_poll_interval_ms,
        }
    }

    /// The settings of the producer of worker number `worker` in the process `process`.
    ///
    /// `process` has to be the same whenever this process starts again, and differ from all others: the next
    /// producer of the same transactional id ends the transaction that a crash has left open.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let properties = [("application.id", "orders"), ("processing.guarantee", "exactly_once_v2")];
    /// let config = Config::from_properties(properties)?;
    /// assert_eq!(config.producer_options("4f1c", 2).transactional_id.as_deref(), Some("orders-4f1c-2"));
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn producer_options(&self, process: &str, worker: usize) -> ProducerOptions {
        let settings = &self.settings;
        let transactional_id = match settings.processing_guarantee {
            ProcessingGuarantee::AtLeastOnce => None,
            ProcessingGuarantee::ExactlyOnceV2 => {
                Some(format!("{}-{process}-{worker}", settings.application_id))
            }
        };
        ProducerOptions {
            client: self.client(process, worker),
            transactional_id,
            transaction_timeout_ms: settings.transaction_timeout_ms,
            request_timeout_ms: settings.request_timeout_ms,
        }
    }

    fn client(&self, process: &str, worker: usize) -> String {
        format!("{}-{worker:03}-{process}", self.settings.client_id)
    }

    /// What to warn of where the application runs on `cluster`, and settings say how another one is reached. They are not
    /// refused: every properties file of a Kafka user has them, and it is the program that decides where it runs.
    #[must_use]
    pub fn unused_connection(&self, cluster: &dyn Cluster) -> Option<String> {
        let names = table::CONNECTION.iter().map(|property| property.name);
        let told: Vec<_> =
            names.filter(|name| self.values.is_given(name)).map(|name| self.values.told(name)).collect();
        let are = match told.as_slice() {
            [_, _, ..] => "are",
            [_] => "is",
            [] => return None,
        };
        let instead = match cfg!(feature = "kafka") {
            true => "`KafkaCluster::connect` reaches another one",
            false => {
                "the client for Kafka comes with the feature `kafka`, which this program was built without"
            }
        };
        cluster.is_in_process().then(|| {
            let told = told.join(", ");
            format!("{told} {are} not used: the program runs on the in-process cluster; {instead}")
        })
    }

    /// Refuses `state.dir` where the state of the program lies elsewhere, in `folder` or in memory: who sets it counts on
    /// state that is there after a restart.
    ///
    /// # Errors
    /// As said.
    pub fn check_folder(&self, folder: Option<&Path>) -> Result<()> {
        let name = "state.dir";
        if !self.values.is_given(name)
            || folder.is_some_and(|folder| folder.starts_with(&self.settings.state_dir))
        {
            return Ok(());
        }
        let place =
            folder.map_or_else(|| "in memory".to_owned(), |folder| format!("in `{}`", folder.display()));
        let told = self.values.told(name);
        let message = format!("{told} is not used: the program keeps its state {place}");
        Err(Error::new(Reaction::Stop, message).hint(
            "let the program open a `RocksBackend` with these settings (feature `rocksdb`), or leave it out",
        ))
    }

    /// All properties with their values, where these come from, and what they decide.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let config = Config::from_properties([("application.id", "orders"), ("max.task.idle.ms", "-1")])?;
    /// assert!(config.explain().contains("\nmax.task.idle.ms = -1 (code)\n    how long a task waits for"));
    /// assert!(config.explain().contains("\ntask.timeout.ms = 300000 (default)\n    how long a task repeats"));
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for values::Chosen { property, value, source, .. } in self.values.iter() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} = {value} ({source})\n    {}", property.name, property.doc);
        }
        text
    }

    /// All properties with what they decide, what is allowed, and their defaults.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let help = Config::help();
    /// assert!(help.contains("\nnum.stream.threads\n    how many workers of this process share its tasks"));
    /// assert!(help.contains("\n    a whole number of workers, 1 to 999; default: 1\n"));
    /// ```
    #[must_use]
    pub fn help() -> String {
        let mut text = String::new();
        for property in table::properties() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}\n    {}\n    {}; {}",
                property.name, property.doc, property.kind, property.default
            );
        }
        text
    }
}
