//! What a cluster's error means for the worker: the class of the error becomes a reaction.

use super::{Fault, KafkaError};
use crate::error::{Error, Reaction};

impl From<KafkaError> for Error {
    /// ```
    /// use headwater::error::{Error, Reaction};
    /// use headwater::kafka::{Fault, KafkaError};
    /// let error = KafkaError { code: "ILLEGAL_GENERATION", fault: Fault::Stale, message: "too late".to_owned() };
    /// assert_eq!(Error::from(error).reaction(), Reaction::Rejoin);
    /// ```
    fn from(error: KafkaError) -> Self {
        let reaction = match error.fault {
            Fault::Retriable => Reaction::Retry,
            Fault::Abortable => Reaction::Abort,
            Fault::Stale if error.code == "FENCED_INSTANCE_ID" => {
                return Self::new(Reaction::Stop, "another process uses our `group.instance.id`")
                    .because(error)
                    .hint("give every process an id of its own");
            }
            Fault::Stale => Reaction::Rejoin,
            Fault::Fatal => Reaction::NewProducer,
            Fault::Refused => Reaction::Stop,
        };
        Self::new(reaction, "the cluster reports an error").because(error)
    }
}
