//! What a cluster's error means for the worker: the class of the error becomes a reaction.

use super::{Fault, KafkaError};
use crate::error::{Error, Reaction};

/// What to do about an answer that will be the same however often the transaction is aborted and repeated.
fn hopeless(code: &str) -> Option<&'static str> {
    Some(match code {
        "MESSAGE_TOO_LARGE" | "RECORD_LIST_TOO_LARGE" => {
            "raise `max.message.bytes` of the topic, or lower `max.request.size`: then the production handler gets such \
             records"
        }
        "INVALID_RECORD" => "has the topic `cleanup.policy=compact`? then every record for it needs a key",
        "INVALID_TIMESTAMP" => {
            "the topic's `message.timestamp.before.max.ms` and `after.max.ms` say which are allowed"
        }
        _ => return None,
    })
}

impl From<KafkaError> for Error {
    /// ```
    /// use headwater::error::{Error, Reaction};
    /// use headwater::kafka::{Fault, KafkaError};
    /// let error = KafkaError { code: "ILLEGAL_GENERATION", fault: Fault::Stale, message: "too late".to_owned() };
    /// assert_eq!(Error::from(error).reaction(), Reaction::Rejoin);
    /// ```
    fn from(error: KafkaError) -> Self {
        if let Some(hint) = hopeless(error.code) {
            return Self::new(Reaction::Stop, "the cluster refuses what is written")
                .because(error)
                .hint(hint);
        }
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
