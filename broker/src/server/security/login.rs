//! A login: what a client and a server tell each other until the client is in (KIP-43, KIP-152). No I/O, and no clock.
//!
//! 1. The client names a mechanism, once. After that come its tokens: in messages of the protocol, or, where it named
//!    the mechanism in version 0, as bare bytes.
//! 2. Whatever comes out of turn, and a token that does not convince, ends the login. There is no second try.
//! 3. The client is told no more than Kafka tells it: by PLAIN that name or password are wrong, by SCRAM that something
//!    is. The log is told what it was, and never a password.

use std::sync::Arc;

use super::accounts::Accounts;
use super::plain;
use super::sasl::Mechanism;
use super::scram;
use crate::error::ErrorCode;

/// A login under way.
#[derive(Debug)]
pub(super) struct Login {
    accounts: Arc<Accounts>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No mechanism is named. This is what our part of a challenge will be.
    Begin {
        nonce: String,
    },
    Tokens {
        mechanism: Mechanism,
        bare: bool,
        scram: scram::Exchange,
    },
    Over,
}

/// A token that is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) token: Vec<u8>,
    /// Who is in; `None` when there is more to say.
    pub(super) user: Option<String>,
}

/// The end of a login that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) error: ErrorCode,
    /// What the client is told.
    pub(super) told: String,
    /// Who tried, as far as that is known.
    pub(super) user: Option<String>,
    /// What the log is told.
    pub(super) why: String,
}

impl Refusal {
    fn out_of_turn(why: &str) -> Self {
        Self { error: ErrorCode::IllegalSaslState, told: why.to_owned(), user: None, why: why.to_owned() }
    }
}

impl Login {
    /// `nonce` has to be one that was not used before.
    pub(super) fn new(accounts: Arc<Accounts>, nonce: String) -> Self {
        Self { accounts, state: State::Begin { nonce } }
    }

    /// Whether the next frame is a bare token.
    pub(super) fn takes_bare_tokens(&self) -> bool {
        matches!(self.state, State::Tokens { bare: true, .. })
    }

    /// The mechanisms that a client may name.
    pub(super) fn mechanisms(&self) -> &[Mechanism] {
        &self.accounts.mechanisms
    }

    /// The client names a mechanism.
    pub(super) fn handshake(&mut self, version: i16, name: &str) -> Result<(), Refusal> {
        let State::Begin { nonce } = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Refusal::out_of_turn("a second SaslHandshake"));
        };
        let Some(mechanism) = self.mechanisms().iter().copied().find(|known| known.name() == name) else {
            let why = format!("mechanism {:?} is not enabled", Excerpt(name));
            let error = ErrorCode::UnsupportedSaslMechanism;
            return Err(Refusal { error, told: String::new(), user: None, why });
        };
        self.state = State::Tokens { mechanism, bare: version == 0, scram: scram::Exchange::new(nonce) };
        Ok(())
    }

    /// The client sends a token.
    pub(super) fn token(&mut self, token: &[u8]) -> Result<Answer, Refusal> {
        // Whoever fails does not come here again.
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Tokens { mechanism, bare, mut scram } = state else {
            return Err(Refusal::out_of_turn("SaslAuthenticate without a SaslHandshake before it"));
        };
        if mechanism == Mechanism::Plain {
            return self.plain(token);
        }
        let accounts = &self.accounts;
        match scram.step(|name| accounts.account(mechanism, name), token) {
            Ok(step) => {
                if step.user.is_none() {
                    self.state = State::Tokens { mechanism, bare, scram };
                }
                Ok(Answer { token: step.answer.into_bytes(), user: step.user })
            }
            Err(why) => Err(failed(mechanism, scram.user(), why)),
        }
    }

    /// The client sends what may not be sent now.
    pub(super) fn other(&mut self, request: &str) -> Option<Refusal> {
        match std::mem::replace(&mut self.state, State::Over) {
            // Nothing was said yet: it may not know that it has to log in.
            begin @ State::Begin { .. } => {
                self.state = begin;
                None
            }
            State::Tokens { .. } | State::Over => {
                Some(Refusal::out_of_turn(&format!("{request} where SaslAuthenticate was expected")))
            }
        }
    }

    fn plain(&self, token: &[u8]) -> Result<Answer, Refusal> {
        let message = plain::read(token).map_err(|why| failed(Mechanism::Plain, None, why))?;
        let refused = |what: &str| Refusal {
            error: ErrorCode::SaslAuthenticationFailed,
            told: format!("Authentication failed: {what}"),
            user: Some(message.user.to_owned()).filter(|user| !user.is_empty()),
            why: what.to_owned(),
        };
        if message.user.is_empty() {
            return Err(refused("username not specified"));
        }
        if message.password.is_empty() {
            return Err(refused("password not specified"));
        }
        if !self.accounts.is_password(message.user, message.password) {
            return Err(refused("Invalid username or password"));
        }
        if !message.actor.is_empty() && message.actor != message.user {
            return Err(refused("Client requested an authorization id that is different from username"));
        }
        Ok(Answer { token: Vec::new(), user: Some(message.user.to_owned()) })
    }
}

/// A failure that the client is told of in Kafka's words, which do not say whether there is such a user.
fn failed(mechanism: Mechanism, user: Option<&str>, why: String) -> Refusal {
    let told = format!(
        "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
    );
    Refusal { error: ErrorCode::SaslAuthenticationFailed, told, user: user.map(str::to_owned), why }
}

/// A text of a stranger for the log: as much of it as a line bears, without control characters.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

/// Longer names are cut in the log.
const EXCERPT_CHARACTERS: usize = 64;

impl std::fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let excerpt: String = self.0.chars().take(EXCERPT_CHARACTERS).collect();
        let rest = if excerpt.len() < self.0.len() { "…" } else { "" };
        write!(f, "{excerpt:?}{rest}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Excerpt, Login, Refusal};
    use crate::error::ErrorCode;
    use crate::server::security::accounts::Accounts;
    use crate::server::security::{Mechanism, Sasl};
    use ring::rand::SystemRandom;

    fn login() -> Login {
        let sasl = Sasl::new([Mechanism::Plain, Mechanism::ScramSha512]).user("alice", "secret");
        let accounts = Accounts::open(&sasl, &SystemRandom::new()).unwrap();
        Login::new(Arc::new(accounts), "ours".to_owned())
    }

    fn plain(token: &[u8]) -> Result<Option<String>, Refusal> {
        let mut login = login();
        login.handshake(1, "PLAIN").unwrap();
        login.token(token).map(|answer| answer.user)
    }

    #[test]
    fn plain_is_answered_in_kafkas_words() {
        assert_eq!(plain(b"\0alice\0secret").unwrap().as_deref(), Some("alice"));
        assert_eq!(plain(b"alice\0alice\0secret").unwrap().as_deref(), Some("alice"));
        let invalid = "Authentication failed: Invalid username or password";
        let other =
            "Authentication failed: Client requested an authorization id that is different from username";
        let malformed = "Authentication failed during authentication due to invalid credentials with SASL \
                         mechanism PLAIN";
        let cases: &[(&[u8], &str, Option<&str>)] = &[
            (b"\0alice\0Secret", invalid, Some("alice")),
            (b"\0bob\0secret", invalid, Some("bob")),
            (b"bob\0alice\0secret", other, Some("alice")),
            (b"bob\0alice\0wrong", invalid, Some("alice")),
            (b"\0\0secret", "Authentication failed: username not specified", None),
            (b"\0alice\0", "Authentication failed: password not specified", Some("alice")),
            (b"alice", malformed, None),
        ];
        for (token, told, user) in cases {
            let refusal = plain(token).unwrap_err();
            assert_eq!(refusal.error, ErrorCode::SaslAuthenticationFailed);
            assert_eq!((refusal.told.as_str(), refusal.user.as_deref()), (*told, *user));
            assert!(!format!("{refusal:?}").contains("ecret"), "{refusal:?}");
        }
    }

    #[test]
    fn by_scram_a_client_is_not_told_what_is_wrong() {
        for (first, user) in
            [("n,,n=alice,r=theirs", Some("alice")), ("n,,n=bob,r=theirs", Some("bob")), ("", None)]
        {
            let mut login = login();
            login.handshake(1, "SCRAM-SHA-512").unwrap();
            let refusal = match login.token(first.as_bytes()) {
                Ok(answer) => {
                    assert!(answer.user.is_none() && answer.token.starts_with(b"r=theirsours,s="));
                    login.token(b"c=biws,r=theirsours,p=AAAA").unwrap_err()
                }
                Err(refusal) => refusal,
            };
            let told = "Authentication failed during authentication due to invalid credentials with SASL \
                        mechanism SCRAM-SHA-512";
            assert_eq!((refusal.told.as_str(), refusal.user.as_deref()), (told, user));
        }
    }

    #[test]
    fn a_mechanism_that_is_not_enabled() {
        for name in ["SCRAM-SHA-256", "GSSAPI", "plain", ""] {
            let refusal = login().handshake(1, name).unwrap_err();
            assert_eq!(refusal.error, ErrorCode::UnsupportedSaslMechanism);
            assert_eq!(refusal.why, format!("mechanism {name:?} is not enabled"));
        }
    }

    #[test]
    fn what_comes_out_of_turn_ends_the_login() {
        let error = |result: Result<(), Refusal>| result.unwrap_err().error;
        let mut early = login();
        assert_eq!(error(early.token(b"\0alice\0secret").map(drop)), ErrorCode::IllegalSaslState);
        assert_eq!(error(early.handshake(1, "PLAIN")), ErrorCode::IllegalSaslState);
        let mut twice = login();
        twice.handshake(1, "PLAIN").unwrap();
        assert_eq!(error(twice.handshake(1, "PLAIN")), ErrorCode::IllegalSaslState);
        assert_eq!(error(twice.token(b"\0alice\0secret").map(drop)), ErrorCode::IllegalSaslState);
        let mut asking = login();
        assert_eq!(asking.other("ApiVersions"), None);
        asking.handshake(1, "PLAIN").unwrap();
        assert_eq!(asking.other("ApiVersions").unwrap().error, ErrorCode::IllegalSaslState);
        // There is no second try.
        let mut failed = login();
        failed.handshake(1, "PLAIN").unwrap();
        failed.token(b"\0alice\0wrong").unwrap_err();
        assert_eq!(error(failed.token(b"\0alice\0secret").map(drop)), ErrorCode::IllegalSaslState);
    }

    #[test]
    fn tokens_are_bare_behind_a_handshake_of_version_0() {
        for (version, bare) in [(0, true), (1, false)] {
            let mut login = login();
            assert!(!login.takes_bare_tokens());
            login.handshake(version, "SCRAM-SHA-512").unwrap();
            assert_eq!(login.takes_bare_tokens(), bare);
            login.token(b"n,,n=alice,r=theirs").unwrap();
            assert_eq!(login.takes_bare_tokens(), bare);
        }
    }

    #[test]
    fn strangers_do_not_write_the_log() {
        assert_eq!(format!("{:?}", Excerpt("a\nb")), "\"a\\nb\"");
        let long = format!("{:?}", Excerpt(&"ä".repeat(100)));
        assert_eq!(long, format!("\"{}\"…", "ä".repeat(64)));
    }
}
