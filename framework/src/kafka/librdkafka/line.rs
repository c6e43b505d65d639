//! Line: what all clients of a process together hear of their connections. Whether brokers answer, and whether they turn us
//! away.
//!
//! 1. librdkafka connects again and again by itself. That nobody can be reached is said once, and that somebody answers
//!    again as well.
//! 2. Who is turned away before any broker has answered, while no other server can be reached or does better, has the wrong
//!    credentials or certificates: that is final, since waiting does not make them right.
//! 3. Once brokers have answered they are known to be right. Who is turned away later waits as if nobody could be reached: a
//!    broker that starts may not know its users yet, and one that ends breaks a login off.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::raw::Failure;
use super::verdict;
use crate::kafka::{Fault, KafkaError};

#[derive(Debug, Default)]
struct Heard {
    /// A broker has answered, ever.
    known: bool,
    away: bool,
    last: Option<String>,
    turned_away: Option<KafkaError>,
    /// The servers of whom a failure was heard.
    failed: BTreeSet<String>,
}

impl Heard {
    /// Advice is for who has never been answered: settings that were right once still are.
    fn note(&mut self, text: &str) {
        self.last = Some(if self.known { text.to_owned() } else { verdict::with_advice(text) });
    }

    /// Notes of whom a failure is: of all where it does not say.
    fn blame(&mut self, servers: &[String], text: &str) {
        let mut blamed = servers.iter().filter(|server| names(text, server)).peekable();
        match blamed.peek() {
            Some(_) => self.failed.extend(blamed.cloned()),
            None => self.failed.extend(servers.iter().cloned()),
        }
    }
}

/// Whether a text names a server, not one whose name or port is longer.
fn names(text: &str, server: &str) -> bool {
    let of_name = |letter: char| letter.is_alphanumeric() || ".-_".contains(letter);
    text.match_indices(server).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + server.len()..]);
        !before.ends_with(of_name) && !behind.starts_with(|letter: char| letter.is_ascii_digit())
    })
}

/// So many different log lines are told apart; then counting starts over.
const LINES: usize = 256;

/// What the clients of a process hear of their connections.
#[derive(Debug)]
pub(super) struct Line {
    servers: Vec<String>,
    heard: Mutex<Heard>,
    /// How often each line of librdkafka's logs has come: its clients say the same.
    lines: Mutex<HashMap<String, u32>>,
    /// Whether an answer would be news. Without the lock: answers are many.
    news: AtomicBool,
}

impl Line {
    /// The line to these servers.
    pub(super) fn new(servers: &[String]) -> Self {
        Self {
            servers: servers.to_vec(),
            heard: Mutex::default(),
            lines: Mutex::default(),
            news: AtomicBool::new(true),
        }
    }

    /// The servers, as librdkafka lists them.
    pub(super) fn servers(&self) -> String {
        self.servers.join(",")
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is wrong with a connection. librdkafka goes on.
    pub(super) fn report(&self, failure: Failure) {
        let failure = verdict::with_alert(failure);
        let mut heard = self.heard();
        if failure.code == "_ALL_BROKERS_DOWN" {
            // Without a failure since the last answer this is an old story, told late by a client that nobody has asked.
            if let Some(why) = heard.last.clone()
                && !std::mem::replace(&mut heard.away, true)
            {
                let servers = self.servers();
                tracing::warn!(
                    servers,
                    why,
                    "no broker can be reached: connecting is tried again until one answers"
                );
            }
        } else {
            heard.note(&failure.text);
            heard.blame(&self.servers, &failure.text);
        }
        if verdict::is_turned_away(&failure) && !heard.known {
            heard.turned_away = Some(failure.because(Fault::Refused));
        }
        self.news.store(true, Ordering::Release);
    }

    /// A connection has failed, says a line of librdkafka's log; of what it takes for usual there is no more than that.
    pub(super) fn failed(&self, line: &str) {
        let (mut heard, line) = (self.heard(), without_thread(line));
        heard.note(line);
        heard.blame(&self.servers, line);
        drop(heard);
        self.news.store(true, Ordering::Release);
    }

    /// How often a line of librdkafka's log has come, with other numbers perhaps.
    pub(super) fn times(&self, line: &str) -> u32 {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() > LINES {
            lines.clear();
        }
        let times = lines.entry(verdict::same_line(without_thread(line))).or_default();
        *times = times.saturating_add(1);
        *times
    }

    /// A broker has answered something that it answers nobody whom it does not know.
    pub(super) fn answered(&self) {
        if !self.news.load(Ordering::Relaxed) || !self.news.swap(false, Ordering::AcqRel) {
            return;
        }
        let heard = std::mem::replace(&mut *self.heard(), Heard { known: true, ..Heard::default() });
        if heard.away {
            tracing::info!(servers = self.servers(), "a broker answers again");
        }
    }

    /// Why nobody will ever answer, where that is known: one server turns us away, and no other is any better.
    pub(super) fn turned_away(&self) -> Option<KafkaError> {
        let heard = self.heard();
        heard.turned_away.clone().filter(|_| heard.failed.len() >= self.servers.len())
    }

    /// A failure as an error of this class; what is to be repeated with what was heard of the connections.
    pub(super) fn told(&self, failure: Failure, fault: Fault) -> KafkaError {
        let failure = if fault == Fault::Retriable { self.explain(failure) } else { failure };
        failure.because(fault)
    }

    /// A failure to be repeated, with what was heard of the connections.
    fn explain(&self, failure: Failure) -> Failure {
        let (servers, heard) = (self.servers(), self.heard());
        let text = match (heard.away, &heard.last) {
            (true, Some(last)) => format!("no broker of {servers} can be reached: {last}"),
            (false, Some(last)) => format!("{} (the last that was heard: {last})", failure.text),
            (_, None) => return failure,
        };
        Failure { text, ..failure }
    }
}

/// A line begins with the thread that writes it: `[thrd:name]: `.
fn without_thread(line: &str) -> &str {
    line.strip_prefix("[thrd:").and_then(|line| line.split_once("]: ")).map_or(line, |(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &'static str, text: &str) -> Failure {
        Failure { code, text: text.to_owned(), fatal: false, abortable: false, retriable: false }
    }

    fn line() -> Line {
        Line::new(&["a:1".to_owned(), "b:2".to_owned()])
    }

    #[test]
    fn who_is_turned_away_before_the_first_answer_is_so_for_good() {
        let line = line();
        line.report(failure("_TRANSPORT", "refused"));
        assert_eq!(line.turned_away(), None);
        line.report(failure("SASL_AUTHENTICATION_FAILED", "invalid password"));
        let error = line.turned_away().unwrap();
        assert_eq!((error.fault, error.message.as_str()), (Fault::Refused, "invalid password"));
    }

    #[test]
    fn who_is_turned_away_by_one_of_several_servers_waits_for_the_others() {
        let refusal = failure("SASL_AUTHENTICATION_FAILED", "sasl_ssl://a:1/bootstrap: invalid password");
        let line = line();
        line.report(refusal.clone());
        assert_eq!(line.turned_away(), None);
        line.failed("[thrd:b:2/bootstrap]: b:2/bootstrap: Connect to ipv4#b:2 failed");
        assert!(line.turned_away().is_some());
        line.answered();
        line.report(refusal);
        assert_eq!(line.turned_away(), None, "another has answered");
    }

    #[test]
    fn a_server_is_not_taken_for_one_with_a_longer_name() {
        for (text, expected) in [
            ("a:1: Connect to ipv4#a:1 failed", true),
            ("sasl_ssl://a:1/bootstrap: invalid password", true),
            ("my-a:1/bootstrap: invalid password", false),
            ("x.a:1: refused", false),
            ("a:12: refused", false),
            ("a:12: refused, a:1 as well", true),
        ] {
            assert_eq!(names(text, "a:1"), expected, "{text}");
        }
    }

    #[test]
    fn whose_certificate_is_refused_before_the_first_answer_is_turned_away_for_good() {
        let alerts = [
            ("sslv3 alert certificate unknown: SSL alert number 46", true),
            ("tlsv13 alert certificate required: SSL alert number 116", true),
            ("tlsv1 alert internal error: SSL alert number 80", false),
        ];
        for (alert, is_final) in alerts {
            let line = line();
            line.report(failure(
                "_TRANSPORT",
                &format!("Receive failed: error:0A000416:SSL routines::{alert}"),
            ));
            let expected = is_final.then_some("SSL_AUTHENTICATION_FAILED");
            assert_eq!(line.turned_away().map(|error| error.code), expected, "{alert}");
        }
    }

    #[test]
    fn who_is_turned_away_later_waits() {
        let line = line();
        line.answered();
        line.report(failure("SASL_AUTHENTICATION_FAILED", "invalid password"));
        assert_eq!(line.turned_away(), None);
        assert!(line.explain(failure("_TIMED_OUT", "late")).text.contains("invalid password"));
    }

    #[test]
    fn settings_that_were_right_once_are_not_doubted() {
        let line = line();
        let hung_up = "a:1: Disconnected: closed by peer (after 1ms in state APIVERSION_QUERY)";
        let doubts = || {
            line.report(failure("_TRANSPORT", hung_up));
            line.explain(failure("_TIMED_OUT", "late")).text.contains("`security.protocol`")
        };
        assert!(doubts());
        line.answered();
        assert!(!doubts());
    }

    #[test]
    fn a_login_that_is_broken_off_is_no_refusal() {
        let line = line();
        let text =
            "SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport failure";
        line.report(failure("SASL_AUTHENTICATION_FAILED", text));
        assert_eq!(line.turned_away(), None);
    }

    #[test]
    fn what_fails_for_want_of_an_answer_says_why() {
        let line = line();
        let explained = || line.explain(failure("_TIMED_OUT", "late")).text;
        assert_eq!(explained(), "late");
        line.report(failure("_TRANSPORT", "refused"));
        assert_eq!(explained(), "late (the last that was heard: refused)");
        line.report(failure("_ALL_BROKERS_DOWN", "2/2 brokers are down"));
        assert_eq!(explained(), "no broker of a:1,b:2 can be reached: refused");
        line.answered();
        assert_eq!(explained(), "late");
        // Late news of the same.
        line.report(failure("_ALL_BROKERS_DOWN", "2/2 brokers are down"));
        assert_eq!(explained(), "late");
        line.failed("[thrd:a:1/bootstrap]: a:1/bootstrap: Disconnected (after 3ms in state UP)");
        line.report(failure("_ALL_BROKERS_DOWN", "2/2 brokers are down"));
        assert_eq!(
            explained(),
            "no broker of a:1,b:2 can be reached: a:1/bootstrap: Disconnected (after 3ms in state UP)"
        );
    }

    #[test]
    fn lines_that_say_the_same_are_counted_together() {
        let line = line();
        let lines = [
            "[thrd:a]: a:1: refused (after 0ms in state CONNECT)",
            "[thrd:b]: a:1: refused (after 12ms in state CONNECT)",
            "a:1: refused (after 1ms in state CONNECT, 7 identical error(s) suppressed)",
            "b:2: refused (after 1ms in state CONNECT)",
        ];
        assert_eq!(lines.map(|said| line.times(said)), [1, 2, 3, 1]);
    }
}
