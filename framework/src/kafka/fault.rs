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

/// What to do where brokers talk to us, and refuse the work as such. librdkafka takes the first three for the end of a producer;
/// the next one would hear the same.
fn forbidden(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" => (
            "the cluster does not allow our transactions",
            "let our user Describe and Write transactional ids that begin with `application.id` (an ACL with a prefix)",
        ),
        "CLUSTER_AUTHORIZATION_FAILED" => (
            "the cluster does not allow our producer",
            "let our user do IdempotentWrite on the cluster; brokers before 2.8 ask for it",
        ),
        "INVALID_TRANSACTION_TIMEOUT" => (
            "the cluster does not allow transactions as long as ours",
            "lower `transaction.timeout.ms`, or raise `transaction.max.timeout.ms` of the brokers",
        ),
        "GROUP_AUTHORIZATION_FAILED" => (
            "the cluster does not allow our group",
            "let our user Read the group that has `application.id` as its name",
        ),
        _ => return None,
    })
}

/// What to do where brokers do not talk to us.
fn turned_away(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "SASL_AUTHENTICATION_FAILED" => (
            "the cluster refuses our login",
            "look at `sasl.username`, `sasl.password` and `sasl.mechanism`: has the user a password for that mechanism, and \
             does the listener behind `bootstrap.servers` take it?",
        ),
        "SSL_AUTHENTICATION_FAILED" => (
            "no encrypted connection to the cluster can be made",
            "look at `bootstrap.servers`, `security.protocol` and the settings that begin with `ssl.`",
        ),
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
        // A transaction that has failed is repeated. Where that is for a record, its report, which is still to come, tells which.
        let for_good = match error.fault {
            Fault::Abortable => Reaction::Abort,
            _ => Reaction::Stop,
        };
        if let Some(hint) = hopeless(error.code) {
            return Self::new(for_good, "the cluster refuses what is written").because(error).hint(hint);
        }
        if let Some((message, hint)) = forbidden(error.code) {
            return Self::new(for_good, message).because(error).hint(hint);
        }
        if let (Fault::Refused, Some((message, hint))) = (error.fault, turned_away(error.code)) {
            return Self::new(Reaction::Stop, message).because(error).hint(hint);
        }
        let gone = error.code == "UNKNOWN_TOPIC_OR_PARTITION";
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
        if gone {
            return Self::new(reaction, "a topic is not there any more").because(error).hint(
                "was it deleted? create it, then start again: `auto.offset.reset` says where an input begins",
            );
        }
        Self::new(reaction, "the cluster reports an error").because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_for_good_ends_with_advice() {
        // Code, fault, reaction, words of the advice.
        let cases = [
            ("INVALID_TRANSACTION_TIMEOUT", Fault::Fatal, Reaction::Stop, "`transaction.max.timeout.ms`"),
            ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Fault::Fatal, Reaction::Stop, "transactional ids"),
            ("CLUSTER_AUTHORIZATION_FAILED", Fault::Fatal, Reaction::Stop, "IdempotentWrite"),
            ("GROUP_AUTHORIZATION_FAILED", Fault::Refused, Reaction::Stop, "Read the group"),
            // It may be given back while the transaction is repeated.
            ("GROUP_AUTHORIZATION_FAILED", Fault::Abortable, Reaction::Abort, "Read the group"),
            ("INVALID_TIMESTAMP", Fault::Refused, Reaction::Stop, "`message.timestamp.before.max.ms`"),
            // The transaction is repeated: by then it is known which record that was.
            ("INVALID_TIMESTAMP", Fault::Abortable, Reaction::Abort, "`message.timestamp.before.max.ms`"),
        ];
        for (code, fault, reaction, advice) in cases {
            let error = Error::from(KafkaError { code, fault, message: "no".to_owned() });
            assert_eq!(error.reaction(), reaction, "{code}");
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
