//! What the user writes: Kafka Streams' words, typed from end to end. No I/O here.
//!
//! 1. Each call adds nodes to a graph and returns a handle on its result; a mistyped edge does not compile.
//! 2. Names that are not given are generated as Kafka Streams generates them, so a Java application's internal topics
//!    are found under the same names. `named("x")` names the next operator.
//! 3. A change of key marks the stream; grouping or joining it then goes through a repartition topic.
//! 4. Mistakes are collected and told by [`StreamsBuilder::build`], all at once.

mod branch;
mod builder;
mod grouped_stream;
mod grouped_table;
mod leaderboard;
mod options;
mod repartition;
mod session_windowed;
mod stream;
mod stream_join;
mod table;
mod windowed;

pub use branch::BranchedKStream;
pub use builder::StreamsBuilder;
pub use grouped_stream::KGroupedStream;
pub use grouped_table::KGroupedTable;
pub use leaderboard::{Ranked, WindowGroupedTable};
pub use options::{Consumed, Grouped, Joined, Materialized, Produced, Repartitioned, Topics};
pub use session_windowed::SessionWindowedKStream;
pub use stream::KStream;
pub use table::KTable;
pub use windowed::TimeWindowedKStream;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::codec::{HasSerde, Serde, SerdeError};
use crate::error::Result;
use crate::operator::{Assembly, Process};
use crate::record::Windowed;
use crate::topology::{Graph, Node, NodeId, NodeKind};

/// A serde, shared between the operators that use it.
pub type SharedSerde<T> = Arc<dyn Serde<T>>;

/// The graph under construction, shared by all handles on it.
#[derive(Clone, Default)]
pub(crate) struct Draft(Rc<RefCell<Graph>>);

impl Draft {
    /// Changes the graph.
    pub(crate) fn edit<T>(&self, edit: impl FnOnce(&mut Graph) -> T) -> T {
        edit(&mut self.0.borrow_mut())
    }

    /// The given name, or a generated one.
    pub(crate) fn name(&self, given: Option<String>, prefix: &str) -> String {
        given.unwrap_or_else(|| self.edit(|graph| graph.next_name(prefix)))
    }

    /// The name `wanted`, or a generated one if a node is called so already.
    pub(crate) fn free_name(&self, wanted: &str, prefix: &str) -> String {
        let taken = self.edit(|graph| graph.nodes.iter().any(|node| node.name == wanted));
        self.name((!taken).then(|| wanted.to_owned()), prefix)
    }

    /// Notes a mistake for the end.
    pub(crate) fn mistake(&self, result: Result<()>) {
        if let Err(error) = result {
            self.edit(|graph| graph.mistakes.push(error.to_string()));
        }
    }

    /// Adds a processor behind `parents` whose operator is made by `make` from the assembly and the node's number.
    pub(crate) fn operator<K, V, P, M>(&self, name: String, parents: &[NodeId], make: M) -> NodeId
    where
        K: Clone + 'static,
        V: Clone + 'static,
        P: Process<K, V> + 'static,
        M: Fn(&mut Assembly, NodeId) -> Result<P> + Send + Sync + 'static,
    {
        self.node(
            Node {
                name,
                kind: NodeKind::Processor,
                parents: parents.to_vec(),
                stores: Vec::new(),
                assemble: None,
            },
            make,
        )
    }

    /// Adds a node whose operator is made by `make`.
    pub(crate) fn node<K, V, P, M>(&self, node: Node, make: M) -> NodeId
    where
        K: Clone + 'static,
        V: Clone + 'static,
        P: Process<K, V> + 'static,
        M: Fn(&mut Assembly, NodeId) -> Result<P> + Send + Sync + 'static,
    {
        let parents = node.parents.clone();
        self.edit(|graph| {
            let id = graph.add(node);
            graph.nodes[id].assemble = Some(Arc::new(move |assembly| {
                let operator = make(assembly, id)?;
                assembly.connect::<K, V, P>(&parents, operator);
                Ok(())
            }));
            id
        })
    }
}

/// The serde that is given, or the type's usual one.
pub(crate) fn serde_or_usual<T: HasSerde>(given: &Option<SharedSerde<T>>) -> SharedSerde<T> {
    given.clone().unwrap_or_else(|| Arc::new(T::Serde::default()))
}

/// Stands in for the serde of windowed keys where none is named: how a window is written depends on its kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWindowedSerde;

impl<K> Serde<Windowed<K>> for NoWindowedSerde {
    fn serialize(&self, _value: &Windowed<K>, _out: &mut Vec<u8>) -> std::result::Result<bool, SerdeError> {
        Err(no_windowed_serde(None))
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> std::result::Result<Windowed<K>, SerdeError> {
        Err(no_windowed_serde(bytes))
    }
}

fn no_windowed_serde(bytes: Option<&[u8]>) -> SerdeError {
    let problem = "windowed keys have no usual serde; name `TimeWindowedSerde` or `SessionWindowedSerde`";
    SerdeError::new("windowed key", problem, bytes)
}

impl<K: HasSerde> HasSerde for Windowed<K> {
    type Serde = NoWindowedSerde;
}
