//! Verdict: what librdkafka's errors are called by Kafka, and which class they are of.

use super::raw::Failure;
use crate::kafka::Fault;

/// Kafka's name of an error, where librdkafka has one of its own.
pub(super) fn kafka_name(name: &'static str) -> &'static str {
    match name {
        "MSG_SIZE_TOO_LARGE" => "MESSAGE_TOO_LARGE",
        // The last one where the bounds of partitions that have no leader are asked for.
        "UNKNOWN_TOPIC_OR_PART" | "_UNKNOWN_TOPIC" | "_UNKNOWN_PARTITION" | "_NOENT" => {
            "UNKNOWN_TOPIC_OR_PARTITION"
        }
        "TOPIC_EXCEPTION" => "INVALID_TOPIC_EXCEPTION",
        "_AUTO_OFFSET_RESET" => "OFFSET_OUT_OF_RANGE",
        "_FENCED" => "PRODUCER_FENCED",
        "NOT_LEADER_FOR_PARTITION" => "NOT_LEADER_OR_FOLLOWER",
        "_AUTHENTICATION" => "SASL_AUTHENTICATION_FAILED",
        // It has no number in Kafka's protocol; Java clients throw `SslAuthenticationException`.
        "_SSL" => "SSL_AUTHENTICATION_FAILED",
        other => other,
    }
}

/// Answers after which the same question may be answered otherwise.
const RETRIABLE: &[&str] = &[
    "_ALL_BROKERS_DOWN",
    "_NODE_UPDATE",
    "_RESOLVE",
    "_TIMED_OUT",
    "_TIMED_OUT_QUEUE",
    "_TRANSPORT",
    "_WAIT_CACHE",
    "_WAIT_COORD",
    "BROKER_NOT_AVAILABLE",
    "CONCURRENT_TRANSACTIONS",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "FENCED_LEADER_EPOCH",
    "KAFKA_STORAGE_ERROR",
    "LEADER_NOT_AVAILABLE",
    "LISTENER_NOT_FOUND",
    "NETWORK_EXCEPTION",
    "NOT_CONTROLLER",
    "NOT_COORDINATOR",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_LEADER_OR_FOLLOWER",
    // Who has just been elected leader does not know the end of its partitions yet.
    "OFFSET_NOT_AVAILABLE",
    "REBALANCE_IN_PROGRESS",
    "REPLICA_NOT_AVAILABLE",
    "REQUEST_TIMED_OUT",
    // The line decides whether we are turned away for good.
    "SASL_AUTHENTICATION_FAILED",
    "SSL_AUTHENTICATION_FAILED",
    "THROTTLING_QUOTA_EXCEEDED",
    "UNKNOWN_LEADER_EPOCH",
    "UNKNOWN_TOPIC_ID",
    "UNSTABLE_OFFSET_COMMIT",
];

/// Answers by which the group says that it has moved on.
const STALE: &[&str] = &["FENCED_INSTANCE_ID", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID"];

/// What an answer means outside of a transaction.
pub(super) fn plain(failure: &Failure) -> Fault {
    match failure.code {
        code if STALE.contains(&code) => Fault::Stale,
        _ if failure.fatal => Fault::Fatal,
        code if failure.retriable || RETRIABLE.contains(&code) => Fault::Retriable,
        _ => Fault::Refused,
    }
}

/// What a failure to fetch means. Whatever a broker could not say is asked again.
pub(super) fn fetch(failure: &Failure) -> Fault {
    match failure.code {
        "UNKNOWN" => Fault::Retriable,
        _ => plain(failure),
    }
}

/// What the answer to a question means. Brokers learn of a topic one after the other: one that has just been made may be
/// unknown to whoever is asked next.
pub(super) fn question(failure: &Failure) -> Fault {
    match failure.code {
        "UNKNOWN_TOPIC_OR_PARTITION" => Fault::Retriable,
        _ => plain(failure),
    }
}

/// What an answer in a transaction means, in the order that librdkafka's manual gives: fatal, to be aborted, to be
/// repeated, and else fatal.
pub(super) fn transactional(failure: &Failure) -> Fault {
    match failure {
        Failure { fatal: true, .. } => Fault::Fatal,
        // What the fence of a member means is said by its membership, which hears of it by the next heartbeat.
        Failure { code: "FENCED_INSTANCE_ID", abortable: true, .. } => Fault::Abortable,
        Failure { abortable: true, code, .. } if STALE.contains(code) => Fault::Stale,
        Failure { abortable: true, .. } => Fault::Abortable,
        Failure { retriable: true, .. } => Fault::Retriable,
        _ => Fault::Fatal,
    }
}

/// Whether the brokers will not talk to us, however often we try: credentials, certificates.
pub(super) fn is_turned_away(failure: &Failure) -> bool {
    // What a broker that ends makes of a login under way, which librdkafka tells as one that was refused.
    let broken_off = ["transport failure", "Timed out", "Disconnected", "hung up"];
    let codes = ["SASL_AUTHENTICATION_FAILED", "SSL_AUTHENTICATION_FAILED", "_UNSUPPORTED_FEATURE"];
    codes.contains(&failure.code) && !broken_off.iter().any(|words| failure.text.contains(words))
}

/// What is wrong with a broker's certificate, by OpenSSL's number (`X509_V_ERR_*`).
pub(super) fn distrust(number: i32) -> String {
    let what = match number {
        9 => "is not valid yet: which of the two clocks is wrong?",
        10 => "has expired",
        18..=21 => {
            "is signed by nobody who is trusted: `ssl.ca.location` names the certificates of those who are"
        }
        23 => "was revoked",
        62 | 64 => {
            "is for other hosts: connect by a name that it holds, or set `ssl.endpoint.identification.algorithm` to `none`"
        }
        other => return format!("does not verify (X509_V_ERR number {other})"),
    };
    what.to_owned()
}

/// Whether a request is answered to whom a broker does not know yet: the numbers of SaslHandshake, ApiVersions and
/// SaslAuthenticate in Kafka's protocol.
pub(super) fn is_greeting(api: i16) -> bool {
    matches!(api, 17 | 18 | 36)
}

/// Whether a record that was refused so is at fault itself, not the broker's state; `false` for one that the topic as a
/// whole refuses.
pub(super) fn is_about_record(code: &str) -> bool {
    matches!(code, "MESSAGE_TOO_LARGE" | "RECORD_LIST_TOO_LARGE" | "INVALID_RECORD" | "INVALID_TIMESTAMP")
}

/// Whether a topic refuses whatever we write.
pub(super) fn is_about_topic(code: &str) -> bool {
    matches!(code, "TOPIC_AUTHORIZATION_FAILED" | "POLICY_VIOLATION" | "INVALID_TOPIC_EXCEPTION")
}

/// Whether a broker refuses the certificate that we show, or that we show none: it tells so by an alert of TLS (RFC 8446,
/// 6.2), which librdkafka takes for a connection that is broken off.
fn is_about_ours(text: &str) -> bool {
    let alerts = [
        "alert bad certificate",
        "alert unsupported certificate",
        "alert certificate revoked",
        "alert certificate expired",
        "alert certificate unknown",
        "alert certificate required",
        "alert unknown ca",
    ];
    alerts.iter().any(|alert| text.contains(alert))
}

/// As it is, but where our certificate is refused: with that as its reason.
pub(super) fn with_alert(failure: Failure) -> Failure {
    if !is_about_ours(&failure.text) {
        return failure;
    }
    let text = format!(
        "the broker refuses our certificate, or wants one: `ssl.certificate.location` (or `ssl.keystore.location`) names \
         it: {}",
        failure.text
    );
    Failure { code: kafka_name("_SSL"), text, ..failure }
}

/// What was heard of a connection, with what may be behind it where librdkafka does not say.
pub(super) fn with_advice(text: &str) -> String {
    // A listener of another kind hangs up on who begins as if it were ours. So does a broker that ends.
    let hung_up = |state| text.contains("Disconnected") && text.contains(state);
    let question = if text.contains("security.protocol") || text.contains("PLAINTEXT broker listener?") {
        return text.to_owned();
    } else if hung_up("in state APIVERSION_QUERY") {
        "does the listener want TLS or a login?"
    } else if hung_up("in state SSL_HANDSHAKE") {
        "is it a PLAINTEXT broker listener?"
    } else {
        return text.to_owned();
    };
    format!("{text}: {question} `security.protocol` says which we speak")
}

/// A log line without its times and counts: lines that differ in nothing else are the same.
pub(super) fn same_line(line: &str) -> String {
    let line = line.rsplit_once(" (after ").map_or(line, |(line, _)| line);
    let mut same = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            digit if digit.is_ascii_digit() => {
                if !same.ends_with('#') {
                    same.push('#');
                }
            }
            other => same.push(other),
        }
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, flags that librdkafka (2.12.1) gives with it, what it means in a transaction and outside.
    #[test]
    fn errors_have_their_class() {
        let cases = [
            ("INVALID_PRODUCER_EPOCH", "f", Fault::Fatal, Fault::Fatal),
            ("PRODUCER_FENCED", "f", Fault::Fatal, Fault::Fatal),
            ("ILLEGAL_GENERATION", "a", Fault::Stale, Fault::Stale),
            ("UNKNOWN_MEMBER_ID", "a", Fault::Stale, Fault::Stale),
            ("FENCED_INSTANCE_ID", "a", Fault::Abortable, Fault::Stale),
            ("TOPIC_AUTHORIZATION_FAILED", "a", Fault::Abortable, Fault::Refused),
            ("_TIMED_OUT", "r", Fault::Retriable, Fault::Retriable),
            ("COORDINATOR_NOT_AVAILABLE", "r", Fault::Retriable, Fault::Retriable),
            ("OFFSET_NOT_AVAILABLE", "", Fault::Fatal, Fault::Retriable),
            // Of the idempotent producer: librdkafka asks for another epoch where it can, and tells the rest as fatal.
            ("OUT_OF_ORDER_SEQUENCE_NUMBER", "f", Fault::Fatal, Fault::Fatal),
            ("UNKNOWN_PRODUCER_ID", "a", Fault::Abortable, Fault::Refused),
            ("INVALID_PRODUCER_ID_MAPPING", "a", Fault::Abortable, Fault::Refused),
            ("_INCONSISTENT", "a", Fault::Abortable, Fault::Refused),
            ("INVALID_TXN_STATE", "f", Fault::Fatal, Fault::Fatal),
            ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "f", Fault::Fatal, Fault::Fatal),
            ("GROUP_AUTHORIZATION_FAILED", "a", Fault::Abortable, Fault::Refused),
            ("CONCURRENT_TRANSACTIONS", "r", Fault::Retriable, Fault::Retriable),
            ("NOT_ENOUGH_REPLICAS", "", Fault::Fatal, Fault::Retriable),
            ("SASL_AUTHENTICATION_FAILED", "", Fault::Fatal, Fault::Retriable),
            ("_STATE", "", Fault::Fatal, Fault::Refused),
            ("UNKNOWN_TOPIC_OR_PARTITION", "", Fault::Fatal, Fault::Refused),
        ];
        for (code, flags, inside, outside) in cases {
            let failure = Failure {
                code,
                text: String::new(),
                fatal: flags == "f",
                abortable: flags == "a",
                retriable: flags == "r",
            };
            assert_eq!((transactional(&failure), plain(&failure)), (inside, outside), "{code}");
            let asked = if code == "UNKNOWN_TOPIC_OR_PARTITION" { Fault::Retriable } else { outside };
            assert_eq!(question(&failure), asked, "{code}");
        }
    }

    #[test]
    fn a_listener_that_hangs_up_at_the_greeting_may_want_another_protocol() {
        let advised = |text| with_advice(text).contains("`security.protocol`");
        assert!(advised("a:1: Disconnected: closed by peer (after 1ms in state APIVERSION_QUERY)"));
        assert!(advised("ssl://a:1: Disconnected: closed by peer (after 0ms in state SSL_HANDSHAKE)"));
        let told = "ssl://a:1: SSL handshake failed: connecting to a PLAINTEXT broker listener?";
        assert_eq!(with_advice(told), told, "librdkafka has said it");
        assert!(!advised("a:1: Disconnected: closed by peer (after 1ms in state UP)"));
        assert!(!advised("a:1: Connect failed (after 1ms in state CONNECT)"));
    }

    #[test]
    fn lines_that_differ_in_numbers_are_the_same() {
        assert_eq!(same_line("failed after 12 ms, 3 times"), same_line("failed after 7 ms, 45 times"));
        assert_eq!(
            same_line("failed (after 12ms in state UP)"),
            same_line("failed (after 7ms in state UP, 3 identical error(s) suppressed)")
        );
        assert_ne!(same_line("failed"), same_line("refused"));
    }
}
