//! What a worker is made of.

use std::sync::Arc;

use super::Observer;
use crate::commit::{Planted, Probe};
use crate::config::Config;
use crate::kafka::Cluster;
use crate::state::StateBackend;
use crate::time::{Clock, SystemClock};
use crate::topology::Plan;

/// What a worker is made of; what is not said has a default.
pub struct WorkerOptions {
    pub(super) plan: Arc<Plan>,
    pub(super) config: Config,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) backend: Arc<dyn StateBackend>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) process: String,
    pub(super) number: usize,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) planted: Planted,
    pub(super) probe: Probe,
}

impl WorkerOptions {
    /// The worker number 0 of a process without name.
    #[must_use]
    pub fn new(
        plan: Arc<Plan>,
        config: Config,
        cluster: Arc<dyn Cluster>,
        backend: Arc<dyn StateBackend>,
    ) -> Self {
        Self {
            plan,
            config,
            cluster,
            backend,
            clock: Arc::new(SystemClock::new()),
            process: "0".to_owned(),
            number: 0,
            observer: None,
            planted: Planted::Nothing,
            probe: Probe::default(),
        }
    }

    /// Names the process and numbers the worker in it. Both have to be the same when the process starts again.
    #[must_use]
    pub fn named(mut self, process: impl Into<String>, number: usize) -> Self {
        self.process = process.into();
        self.number = number;
        self
    }

    /// Measures with another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Plants a fault.
    #[doc(hidden)]
    #[must_use]
    pub fn planted(mut self, planted: Planted) -> Self {
        self.planted = planted;
        self
    }

    /// Tells `hook` the windows of each commit; where it returns true the worker crashes.
    #[doc(hidden)]
    #[must_use]
    pub fn probe(mut self, hook: Box<crate::commit::ProbeFn>) -> Self {
        self.probe = Probe::new(hook);
        self
    }
}
