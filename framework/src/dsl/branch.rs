//! Splitting a stream into branches.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use super::KStream;
use crate::operator::{Branch, BranchPredicate};
use crate::topology::{Node, NodeId, NodeKind};

type Branches<K, V> = Arc<Mutex<Vec<(BranchPredicate<K, V>, NodeId)>>>;

/// A stream that is being split: each record goes into the first branch that takes it.
///
/// ```
/// use headwater::StreamsBuilder;
/// let builder = StreamsBuilder::new();
/// let numbers = builder.stream::<String, i64>("numbers").split();
/// numbers.branch(|_, n| n % 2 == 0).to("even");
/// numbers.default_branch().to("odd");
/// assert!(builder.build().unwrap().describe().contains("KSTREAM-BRANCH-0000000001"));
/// ```
pub struct BranchedKStream<K, V> {
    stream: KStream<K, V>,
    name: String,
    node: NodeId,
    branches: Branches<K, V>,
    count: Rc<RefCell<usize>>,
}

impl<K: Clone + 'static, V: Clone + 'static> BranchedKStream<K, V> {
    pub(crate) fn new(stream: &KStream<K, V>, name: String) -> Self {
        let branches = Branches::<K, V>::default();
        let made = Arc::clone(&branches);
        let node = stream.draft.operator::<K, V, _, _>(name.clone(), &[stream.node], move |assembly, _| {
            let branches = made.lock().unwrap_or_else(PoisonError::into_inner);
            let branches =
                branches.iter().map(|(predicate, child)| (predicate.clone(), assembly.outlet(*child)));
            Ok(Branch { branches: branches.collect() })
        });
        Self { stream: stream.clone(), name, node, branches, count: Rc::default() }
    }

    /// The records for which `predicate` holds and that no branch before took.
    pub fn branch(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        *self.count.borrow_mut() += 1;
        let suffix = self.count.borrow().to_string();
        self.add(&suffix, Some(Arc::new(predicate)))
    }

    /// As [`BranchedKStream::branch`], named `<name of the split><name>`.
    pub fn branch_named(
        &self,
        name: &str,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        *self.count.borrow_mut() += 1;
        self.add(name, Some(Arc::new(predicate)))
    }

    /// The records that no branch took. Without it they go no further, as the program asked.
    pub fn default_branch(self) -> KStream<K, V> {
        self.add("0", None)
    }

    fn add(&self, suffix: &str, predicate: BranchPredicate<K, V>) -> KStream<K, V> {
        let child = Node {
            name: format!("{}{suffix}", self.name),
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: Vec::new(),
            assemble: None,
        };
        // The branch operator forwards to the child's outlet itself, so the child needs no operator.
        let node = self.stream.draft.edit(|graph| graph.add(child));
        self.branches.lock().unwrap_or_else(PoisonError::into_inner).push((predicate, node));
        KStream::new(self.stream.draft.clone(), node)
            .with_serdes(self.stream.keys.clone(), self.stream.values.clone())
            .marked(self.stream.rekeyed)
    }
}
