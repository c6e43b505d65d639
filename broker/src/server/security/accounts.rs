//! Accounts: what a server keeps of its users' passwords.
//!
//! 1. No password is kept, only what checks one: SCRAM's keys, and for PLAIN a mark of the password under a key that is
//!    drawn at random at each start.
//! 2. A salt is made of that key and the user's name, not drawn for each user: so a name that nobody has gets one as
//!    well, the same at each try, and a client cannot find out who has an account.
//! 3. What a client shows is compared in constant time: ring compares the mark of it with the mark that is kept.

use std::collections::BTreeMap;

use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};

use super::Problem;
use super::sasl::{Mechanism, Sasl};
use super::scram::{Account, Hash, Keys};

/// Bytes of the key of a start.
const KEY_BYTES: usize = 32;

/// What RFC 7677 asks for, and Java's clients insist on.
const LEAST_ITERATIONS: u32 = 4_096;

/// The users of a listener.
pub(super) struct Accounts {
    pub(super) mechanisms: Vec<Mechanism>,
    iterations: u32,
    key: hmac::Key,
    plain: BTreeMap<String, hmac::Tag>,
    scram: BTreeMap<(String, Mechanism), Keys>,
    /// Keys that no password leads to, for users that there are not.
    nobody: BTreeMap<Mechanism, Keys>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("mechanisms", &self.mechanisms).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Makes the keys of all users, which takes some milliseconds for each.
    pub(super) fn open(sasl: &Sasl, random: &dyn SecureRandom) -> Result<Self, Problem> {
        if sasl.mechanisms.is_empty() {
            return Err(Problem::new("no mechanism of SASL is enabled"));
        }
        if let Some((_, mechanism)) = sasl.users.keys().find(|(_, by)| !sasl.mechanisms.contains(by)) {
            return Err(Problem::new(format!("there are users for {mechanism}, which is not enabled")));
        }
        if sasl.iterations < LEAST_ITERATIONS {
            let few = sasl.iterations;
            let problem = format!("{few} iterations of SCRAM: clients refuse fewer than {LEAST_ITERATIONS}");
            return Err(Problem::new(problem));
        }
        let mut secret = [0; KEY_BYTES];
        let mut password = [0; KEY_BYTES];
        random.fill(&mut secret).and_then(|()| random.fill(&mut password)).map_err(|_| no_random())?;
        let mut accounts = Self {
            mechanisms: sasl.mechanisms.clone(),
            iterations: sasl.iterations,
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            plain: BTreeMap::new(),
            scram: BTreeMap::new(),
            nobody: BTreeMap::new(),
        };
        for ((name, mechanism), secret) in &sasl.users {
            let Some(hash) = Hash::of(*mechanism) else {
                let mark = hmac::sign(&accounts.key, secret.reveal().as_bytes());
                accounts.plain.insert(name.clone(), mark);
                continue;
            };
            let salt = accounts.salt(*mechanism, name);
            let keys = Keys::derive(hash, secret.reveal().as_bytes(), &salt, sasl.iterations)?;
            accounts.scram.insert((name.clone(), *mechanism), keys);
        }
        for mechanism in &sasl.mechanisms {
            if let Some(hash) = Hash::of(*mechanism) {
                let salt = accounts.salt(*mechanism, "");
                accounts.nobody.insert(*mechanism, Keys::derive(hash, &password, &salt, sasl.iterations)?);
            }
        }
        Ok(accounts)
    }

    /// Whether this is the password of that user. It takes the same time whether there is such a user or not.
    pub(super) fn is_password(&self, name: &str, password: &str) -> bool {
        let kept = self.plain.get(name).map_or(&[][..], hmac::Tag::as_ref);
        hmac::verify(&self.key, password.as_bytes(), kept).is_ok()
    }

    /// What a login by SCRAM goes by, whether there is such a user or not. `None` where the mechanism is not enabled.
    pub(super) fn account(&self, mechanism: Mechanism, name: &str) -> Option<Account<'_>> {
        let nobody = self.nobody.get(&mechanism)?;
        let known = self.scram.get(&(name.to_owned(), mechanism));
        Some(Account {
            salt: self.salt(mechanism, name),
            iterations: self.iterations,
            keys: known.unwrap_or(nobody),
            exists: known.is_some(),
        })
    }

    fn salt(&self, mechanism: Mechanism, name: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(mechanism.name().as_bytes());
        context.update(&[0]);
        context.update(name.as_bytes());
        context.sign().as_ref().to_vec()
    }
}

/// A part of a challenge that nobody has seen before, in letters.
pub(super) fn nonce() -> Result<String, Problem> {
    use base64::Engine;
    let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
    SystemRandom::new().fill(&mut bytes).map_err(|_| no_random())?;
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes))
}

fn no_random() -> Problem {
    Problem::new("the system gives no random bytes")
}

#[cfg(test)]
mod tests {
    use super::{Accounts, nonce};
    use crate::server::security::{Mechanism, Sasl};
    use ring::rand::SystemRandom;

    fn open(sasl: &Sasl) -> Accounts {
        Accounts::open(sasl, &SystemRandom::new()).unwrap()
    }

    #[test]
    fn a_name_that_nobody_has_looks_as_others_do() {
        let sasl = Sasl::new([Mechanism::ScramSha256, Mechanism::ScramSha512]).user("alice", "secret");
        let accounts = open(&sasl);
        let of = |name| accounts.account(Mechanism::ScramSha512, name).unwrap();
        assert!(of("alice").exists && !of("bob").exists);
        assert_eq!(of("bob").salt, of("bob").salt);
        assert_eq!(of("bob").salt.len(), of("alice").salt.len());
        assert_ne!(of("bob").salt, of("alice").salt);
        // Another start, another mechanism: another salt.
        assert_ne!(of("alice").salt, open(&sasl).account(Mechanism::ScramSha512, "alice").unwrap().salt);
        assert_ne!(of("alice").salt, accounts.account(Mechanism::ScramSha256, "alice").unwrap().salt);
        assert!(accounts.account(Mechanism::Plain, "alice").is_none());
    }

    #[test]
    fn passwords_are_checked_and_not_printed() {
        let sasl = Sasl::new(Mechanism::ALL).user("alice", "secret").user_by(Mechanism::Plain, "bob", "word");
        let accounts = open(&sasl);
        assert!(accounts.is_password("alice", "secret") && accounts.is_password("bob", "word"));
        for (name, password) in [("alice", "word"), ("alice", ""), ("carol", "secret"), ("", "")] {
            assert!(!accounts.is_password(name, password), "{name} {password}");
        }
        assert!(!accounts.account(Mechanism::ScramSha256, "bob").unwrap().exists);
        let printed = format!("{sasl:?} {accounts:?}");
        assert!(printed.contains("alice") && !printed.contains("secret"), "{printed}");
    }

    #[test]
    fn settings_that_let_nobody_in_are_refused() {
        let problem = |sasl: &Sasl| Accounts::open(sasl, &SystemRandom::new()).unwrap_err().to_string();
        assert_eq!(problem(&Sasl::new([])), "no mechanism of SASL is enabled");
        let other = Sasl::new([Mechanism::Plain]).user_by(Mechanism::ScramSha512, "alice", "secret");
        assert_eq!(problem(&other), "there are users for SCRAM-SHA-512, which is not enabled");
        let few = Sasl::new([Mechanism::ScramSha512]).iterations(4_095);
        assert_eq!(problem(&few), "4095 iterations of SCRAM: clients refuse fewer than 4096");
    }

    #[test]
    fn no_nonce_is_used_twice() {
        assert_ne!(nonce().unwrap(), nonce().unwrap());
        assert!(nonce().unwrap().bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
    }
}
