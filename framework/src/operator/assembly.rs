//! Assembling a task: instances of the topology's operators, connected, with their stores.
//!
//! Each task has its own instances, so nothing here is shared between threads. The types of an edge were checked when
//! the topology was written; the casts in here repeat that check once per task, not once per record.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Context, Intake, Outlet, Process, TimestampExtractor};
use crate::config::DefaultTimestampExtractor;
use crate::error::Result;
use crate::state::{ByteStore, Shelf, Space, StateStore};
use crate::topic::TaskId;

/// A time (milliseconds, -1 for none) that an operator observes and that has to survive a restart.
pub type TimeCell = Rc<Cell<i64>>;

/// An operator that wants to be called when time passes or before a commit.
pub trait Tick {
    /// Wall-clock time is `context.now_ms`; called between slices of work.
    ///
    /// # Errors
    /// As [`Process::process`].
    fn tick(&mut self, context: &mut Context<'_>) -> Result<()>;
    /// A commit begins: what is held back has to be forwarded now.
    ///
    /// # Errors
    /// As [`Process::process`].
    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<()> {
        let _ = context;
        Ok(())
    }
    /// A transaction was aborted: what is held in memory only must be forgotten.
    fn discard(&mut self) {}
}

/// A store as the runtime and as its operators see it.
struct StoreHandle {
    engine: Rc<RefCell<dyn StateStore>>,
    typed: Rc<dyn Any>,
}

/// What operators need of the configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `application.id`.
    pub application: String,
    /// `default.timestamp.extractor`.
    pub extractor: DefaultTimestampExtractor,
    /// `emit.interval.ms.kstreams.windowed.aggregation`: how long, by the wall clock, results of closed windows wait.
    pub emit_interval_ms: i64,
}

/// The parts of a task, under construction and after.
pub struct Assembly {
    task: TaskId,
    setup: Setup,
    bytes: Rc<dyn ByteStore>,
    spaces: BTreeMap<String, Space>,
    outlets: BTreeMap<usize, Rc<dyn Any>>,
    intakes: BTreeMap<String, Rc<RefCell<dyn Intake>>>,
    stores: BTreeMap<String, StoreHandle>,
    times: BTreeMap<String, TimeCell>,
    ticks: Vec<Rc<RefCell<dyn Tick>>>,
}

impl Assembly {
    /// An empty assembly; `spaces` are the places of the sub-topology's stores in `bytes`.
    pub fn new(
        task: TaskId,
        setup: Setup,
        bytes: Rc<dyn ByteStore>,
        spaces: BTreeMap<String, Space>,
    ) -> Self {
        Self {
            task,
            setup,
            bytes,
            spaces,
            outlets: BTreeMap::new(),
            intakes: BTreeMap::new(),
            stores: BTreeMap::new(),
            times: BTreeMap::new(),
            ticks: Vec::new(),
        }
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// What operators need of the configuration.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The task's byte store.
    pub fn bytes(&self) -> &Rc<dyn ByteStore> {
        &self.bytes
    }

    /// The outlet of node `node`, made on first use.
    ///
    /// # Panics
    /// If the node's output has other types: the DSL would not have compiled.
    pub fn outlet<K: 'static, V: 'static>(&mut self, node: usize) -> Outlet<K, V> {
        let outlet = self.outlets.entry(node).or_insert_with(|| Rc::new(Outlet::<K, V>::default()));
        outlet.downcast_ref::<Outlet<K, V>>().expect("an edge has the types it was written with").clone()
    }

    /// Connects `operator` behind each of `parents`.
    pub fn connect<K, V, P>(&mut self, parents: &[usize], operator: P)
    where
        K: Clone + 'static,
        V: Clone + 'static,
        P: Process<K, V> + 'static,
    {
        self.connect_shared(parents, &Rc::new(RefCell::new(operator)));
    }

    /// Connects an operator that is kept elsewhere as well.
    pub fn connect_shared<K, V, P>(&mut self, parents: &[usize], operator: &Rc<RefCell<P>>)
    where
        K: Clone + 'static,
        V: Clone + 'static,
        P: Process<K, V> + 'static,
    {
        for parent in parents {
            self.outlet::<K, V>(*parent).connect(operator.clone());
        }
    }

    /// Adds the entrance for the records of `topics`; internal ones are named without application id.
    pub fn intake(&mut self, topics: &[String], internal: bool, intake: impl Intake + 'static) {
        let intake: Rc<RefCell<dyn Intake>> = Rc::new(RefCell::new(intake));
        for topic in topics {
            let name = if internal { format!("{}-{topic}", self.setup.application) } else { topic.clone() };
            self.intakes.insert(name, Rc::clone(&intake));
        }
    }

    /// The timestamp extractor for sources that name none (`default.timestamp.extractor`).
    pub fn default_extractor<K, V>(&self) -> TimestampExtractor<K, V> {
        match self.setup.extractor {
            DefaultTimestampExtractor::FailOnInvalidTimestamp => TimestampExtractor::FailOnInvalid,
            DefaultTimestampExtractor::LogAndSkipOnInvalidTimestamp => TimestampExtractor::LogAndSkip,
            DefaultTimestampExtractor::UsePartitionTimeOnInvalidTimestamp => {
                TimestampExtractor::UsePartitionTime
            }
            DefaultTimestampExtractor::Wallclock => TimestampExtractor::Wallclock,
        }
    }

    /// Adds an operator that is called when time passes.
    pub fn tick(&mut self, tick: &Rc<RefCell<impl Tick + 'static>>) {
        self.ticks.push(tick.clone());
    }

    /// The time called `name`, kept with the task's state and with its committed offsets.
    pub fn time(&mut self, name: &str) -> TimeCell {
        self.times.entry(name.to_owned()).or_insert_with(|| Rc::new(Cell::new(-1))).clone()
    }

    /// The store `name`, opened by `open` on first use.
    ///
    /// # Errors
    /// If it cannot be opened.
    ///
    /// # Panics
    /// If the store is unknown or has another type: the DSL would not have built.
    pub fn store<S>(&mut self, name: &str, open: impl FnOnce(Shelf) -> Result<S>) -> Result<Rc<RefCell<S>>>
    where
        S: StateStore + 'static,
    {
        if !self.stores.contains_key(name) {
            let space = *self.spaces.get(name).expect("a store belongs to its sub-topology");
            let store = open(Shelf { name: name.to_owned(), space, bytes: Rc::clone(&self.bytes) })?;
            let store = Rc::new(RefCell::new(store));
            self.stores.insert(name.to_owned(), StoreHandle { engine: store.clone(), typed: store });
        }
        Ok(self.typed_store(name).expect("the store was just opened with this type"))
    }

    /// The store `name`, if it is there and has this type; for a look inside.
    #[must_use]
    pub fn typed_store<S: 'static>(&self, name: &str) -> Option<Rc<RefCell<S>>> {
        Rc::clone(&self.stores.get(name)?.typed).downcast::<RefCell<S>>().ok()
    }

    /// The entrances, by topic.
    #[must_use]
    pub fn intakes(&self) -> &BTreeMap<String, Rc<RefCell<dyn Intake>>> {
        &self.intakes
    }

    /// The stores, in the order of their names.
    pub fn stores(&self) -> impl Iterator<Item = &Rc<RefCell<dyn StateStore>>> {
        self.stores.values().map(|store| &store.engine)
    }

    /// The times, by name.
    #[must_use]
    pub fn times(&self) -> &BTreeMap<String, TimeCell> {
        &self.times
    }

    /// The operators that are called when time passes.
    #[must_use]
    pub fn ticks(&self) -> &[Rc<RefCell<dyn Tick>>] {
        &self.ticks
    }
}
