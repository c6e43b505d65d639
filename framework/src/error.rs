//! What went wrong, where, and what the worker shall do about it.
//!
//! Lower layers attach a [`Place`] and a [`Reaction`]; only the worker acts on the reaction.

use std::fmt;

use crate::topic::{TaskId, TopicPartition};

/// What has to happen after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The record is at fault: the handler decides whether to skip it.
    Skip,
    /// The same call may work later.
    Retry,
    /// Abort the transaction, go back to the committed offsets, go on.
    Abort,
    /// The work may belong to someone else by now: give the tasks up, rejoin the group.
    Rejoin,
    /// The producer is dead: make a new one, then go on from the committed offsets.
    NewProducer,
    /// Local state cannot be used: rebuild it from its changelog.
    Rebuild,
    /// Nothing helps but a person: stop.
    Stop,
}

/// Where an error happened; what is unknown is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The task.
    pub task: Option<TaskId>,
    /// The input partition.
    pub partition: Option<TopicPartition>,
    /// The input record's offset.
    pub offset: Option<i64>,
    /// The topology node.
    pub node: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let result = write!(f, "{sep}{name} {value}");
            sep = ", ";
            result
        };
        if let Some(partition) = &self.partition {
            part(f, "topic", &partition.topic)?;
            part(f, "partition", &partition.partition)?;
        }
        if let Some(offset) = &self.offset {
            part(f, "offset", offset)?;
        }
        if let Some(node) = &self.node {
            part(f, "node", node)?;
        }
        if let Some(task) = &self.task {
            part(f, "task", task)?;
        }
        Ok(())
    }
}

struct Parts {
    message: String,
    hint: Option<String>,
    place: Place,
    reaction: Reaction,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// An error of the framework: message, place, reaction, and where it helps a hint.
///
/// ```
/// use headwater::error::{Error, Reaction};
/// let error = Error::new(Reaction::Stop, "topic `orders` does not exist").hint("create it, then start again");
/// assert_eq!(error.to_string(), "topic `orders` does not exist; create it, then start again");
/// ```
pub struct Error(Box<Parts>);

impl Error {
    /// An error with a message in lower case, without full stop.
    pub fn new(reaction: Reaction, message: impl Into<String>) -> Self {
        let parts =
            Parts { message: message.into(), hint: None, place: Place::default(), reaction, source: None };
        Self(Box::new(parts))
    }

    /// The same error with more about it, behind its message.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.0.message.push_str("; ");
        self.0.message.push_str(detail);
        self
    }

    /// The same error with an advice on what to do. Who knows more adds another one, behind the first.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.0.hint = Some(match self.0.hint.take() {
            Some(first) => format!("{first}; {hint}"),
            None => hint,
        });
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with another reaction.
    #[must_use]
    pub fn reacting(mut self, reaction: Reaction) -> Self {
        self.0.reaction = reaction;
        self
    }

    /// The same error at the node `name`, unless a node is known already.
    #[must_use]
    pub fn at_node(mut self, name: &str) -> Self {
        self.0.place.node.get_or_insert_with(|| name.to_owned());
        self
    }

    /// The same error at an input record, unless one is known already.
    #[must_use]
    pub fn at_record(mut self, partition: &TopicPartition, offset: i64) -> Self {
        self.0.place.partition.get_or_insert_with(|| partition.clone());
        self.0.place.offset.get_or_insert(offset);
        self
    }

    /// The same error in `task`, unless a task is known already.
    #[must_use]
    pub fn in_task(mut self, task: TaskId) -> Self {
        self.0.place.task.get_or_insert(task);
        self
    }

    /// What has to happen now.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        self.0.reaction
    }

    /// Where it happened.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The bare message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.message)?;
        let mut source = self.0.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        if self.0.place != Place::default() {
            write!(f, " ({})", self.0.place)?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.reaction)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Shorthand for results of the framework.
pub type Result<T> = std::result::Result<T, Error>;
