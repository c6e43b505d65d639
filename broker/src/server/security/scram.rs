//! SCRAM: a login by a challenge (RFC 5802, RFC 7677), the server's side. No I/O, and no clock: messages in, messages
//! out.
//!
//! ```text
//! client  n,,n=<user>,r=<its nonce>
//! server  r=<its nonce><our nonce>,s=<salt>,i=<iterations>
//! client  c=biws,r=<both nonces>,p=<proof>
//! server  v=<our proof>
//! ```
//!
//! 1. Names and passwords are taken as they are written, as Kafka does: nothing is normalised.
//! 2. There is no channel binding, and no extension: a client that wants one (Kafka's tokens among them) is refused.
//! 3. A user that there is not fails where a wrong password does, at the end.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::Problem;
use super::sasl::Mechanism;

/// Which hash a mechanism is made of, by ring's names.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    hmac: hmac::Algorithm,
    digest: &'static digest::Algorithm,
    derive: pbkdf2::Algorithm,
}

impl Hash {
    /// The hash of a mechanism; PLAIN has none.
    pub(super) fn of(mechanism: Mechanism) -> Option<Self> {
        match mechanism {
            Mechanism::Plain => None,
            Mechanism::ScramSha256 => Some(Self {
                hmac: hmac::HMAC_SHA256,
                digest: &digest::SHA256,
                derive: pbkdf2::PBKDF2_HMAC_SHA256,
            }),
            Mechanism::ScramSha512 => Some(Self {
                hmac: hmac::HMAC_SHA512,
                digest: &digest::SHA512,
                derive: pbkdf2::PBKDF2_HMAC_SHA512,
            }),
        }
    }
}

/// What is kept of a password. Nobody can log in by it.
pub(super) struct Keys {
    hash: Hash,
    stored: digest::Digest,
    server: hmac::Key,
}

impl Keys {
    pub(super) fn derive(hash: Hash, password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, Problem> {
        let rounds = NonZeroU32::new(iterations).ok_or_else(|| Problem::new("SCRAM without iterations"))?;
        let mut salted = vec![0; hash.digest.output_len()];
        pbkdf2::derive(hash.derive, rounds, salt, password, &mut salted);
        let salted = hmac::Key::new(hash.hmac, &salted);
        let client = hmac::sign(&salted, b"Client Key");
        let server = hmac::sign(&salted, b"Server Key");
        let stored = digest::digest(hash.digest, client.as_ref());
        Ok(Self { hash, stored, server: hmac::Key::new(hash.hmac, server.as_ref()) })
    }

    /// Whether a proof is one of the password's owner: the client's key, hidden behind a signature of what was said.
    fn proves(&self, said: &[u8], proof: &[u8]) -> bool {
        let stored = hmac::Key::new(self.hash.hmac, self.stored.as_ref());
        let signature = hmac::sign(&stored, said);
        let client: Vec<u8> = signature.as_ref().iter().zip(proof).map(|(a, b)| a ^ b).collect();
        let shown = digest::digest(self.hash.digest, &client);
        // In constant time: marks of both, which ring compares so.
        let expected = hmac::sign(&self.server, self.stored.as_ref());
        let is_key = hmac::verify(&self.server, shown.as_ref(), expected.as_ref()).is_ok();
        is_key && proof.len() == signature.as_ref().len()
    }

    fn sign(&self, said: &[u8]) -> hmac::Tag {
        hmac::sign(&self.server, said)
    }
}

/// Why old clients are refused that repeat what RFC 5802 has them send once.
const DOUBLED: &str = "the client has sent its own part of the nonce twice, as librdkafka does before 2.6.1";

/// What a login goes by.
pub(super) struct Account<'a> {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) keys: &'a Keys,
    /// Whether there is such a user: there are keys for any name.
    pub(super) exists: bool,
}

/// Why a login fails; for the log, the client is told less.
pub(super) type Why = String;

/// A login under way.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Ours, until the client has sent its own.
    nonce: String,
    challenge: Option<Challenge>,
}

/// What the client has to answer.
#[derive(Debug)]
struct Challenge {
    user: String,
    /// What the client's first message began with, to be repeated.
    binding: String,
    nonce: String,
    /// Its first message without that, and ours.
    said: String,
}

/// A step that went well.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) answer: String,
    /// Who is in; `None` when the client has to answer first.
    pub(super) user: Option<String>,
}

impl Exchange {
    /// `nonce` has to be one that was not used before, of printable characters without a comma.
    pub(super) fn new(nonce: String) -> Self {
        Self { nonce, challenge: None }
    }

    /// The user who tries, as far as that is known.
    pub(super) fn user(&self) -> Option<&str> {
        self.challenge.as_ref().map(|challenge| challenge.user.as_str())
    }

    /// Takes the client's next message. `account` gives one for any name, where the mechanism is
    /// enabled.
    pub(super) fn step<'a>(
        &mut self,
        account: impl FnOnce(&str) -> Option<Account<'a>>,
        message: &[u8],
    ) -> Result<Step, Why> {
        let message = std::str::from_utf8(message).map_err(|_| "a message that is no text".to_owned())?;
        match &self.challenge {
            None => self.challenge(account, message),
            Some(challenge) => challenge.decide(account, message),
        }
    }

    fn challenge<'a>(
        &mut self,
        account: impl FnOnce(&str) -> Option<Account<'a>>,
        message: &str,
    ) -> Result<Step, Why> {
        let first = First::read(message)?;
        let account = account(&first.user).ok_or("a mechanism that is not enabled")?;
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&account.salt), account.iterations);
        self.challenge = Some(Challenge {
            said: format!("{},{answer}", first.bare),
            binding: first.binding.to_owned(),
            user: first.user,
            nonce,
        });
        Ok(Step { answer, user: None })
    }
}

impl Challenge {
    fn decide<'a>(
        &self,
        account: impl FnOnce(&str) -> Option<Account<'a>>,
        message: &str,
    ) -> Result<Step, Why> {
        let last = Last::read(message)?;
        if last.binding != self.binding.as_bytes() {
            return Err("the channel is not bound as the first message said".to_owned());
        }
        if last.nonce != self.nonce {
            // Kafka accepts this up to 3.9, and refuses it from 4.0 on.
            let doubled = last.nonce.ends_with(&self.nonce);
            let why = if doubled { DOUBLED } else { "the nonce is another than that of this login" };
            return Err(why.to_owned());
        }
        let account = account(&self.user).ok_or("a mechanism that is not enabled")?;
        let said = format!("{},{}", self.said, last.without_proof);
        // Both are found out for a user that there is not, too: that takes the same time.
        let proven = account.keys.proves(said.as_bytes(), &last.proof);
        if !account.exists {
            return Err("no such user".to_owned());
        }
        if !proven {
            return Err("wrong password".to_owned());
        }
        let answer = format!("v={}", STANDARD.encode(account.keys.sign(said.as_bytes())));
        Ok(Step { answer, user: Some(self.user.clone()) })
    }
}

/// The client's first message.
struct First<'a> {
    /// `n,,`: no channel is bound, and the user acts for nobody else.
    binding: &'a str,
    bare: &'a str,
    user: String,
    nonce: &'a str,
}

impl<'a> First<'a> {
    fn read(message: &'a str) -> Result<Self, Why> {
        let cut = || "a first message that is cut".to_owned();
        let (flag, rest) = message.split_once(',').ok_or_else(cut)?;
        let (other, bare) = rest.split_once(',').ok_or_else(cut)?;
        // `y`: the client could bind a channel, and thinks that we cannot, which is so.
        if flag != "n" && flag != "y" {
            return Err("a channel cannot be bound here".to_owned());
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|user| user.strip_prefix("n="));
        let user = name(user.ok_or("a first message without a user")?)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or("a first message without a nonce")?;
        if let Some(extension) = attributes.next() {
            let name = extension.split('=').next().unwrap_or_default();
            return Err(format!("extension {name:?} is not known here"));
        }
        if !other.is_empty() && other.strip_prefix("a=").map(name) != Some(Ok(user.clone())) {
            return Err("a user cannot act for another".to_owned());
        }
        Ok(Self { binding: &message[..message.len() - bare.len()], bare, user, nonce })
    }
}

/// The client's second message.
struct Last<'a> {
    binding: Vec<u8>,
    nonce: &'a str,
    without_proof: &'a str,
    proof: Vec<u8>,
}

impl<'a> Last<'a> {
    fn read(message: &'a str) -> Result<Self, Why> {
        let malformed = || "a final message that cannot be read".to_owned();
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(malformed)?;
        let (binding, nonce) = without_proof.split_once(',').ok_or_else(malformed)?;
        let binding = binding.strip_prefix("c=").ok_or_else(malformed)?;
        // A comma is in no nonce: one here begins an extension.
        let nonce = nonce.strip_prefix("r=").filter(|nonce| is_nonce(nonce)).ok_or_else(malformed)?;
        let binding = STANDARD.decode(binding).map_err(|_| malformed())?;
        let proof = STANDARD.decode(proof).map_err(|_| malformed())?;
        Ok(Self { binding, nonce, without_proof, proof })
    }
}

/// Printable characters of ASCII but the comma.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// A name of a message: a comma and an equals sign are written as `=2C` and `=3D`.
fn name(written: &str) -> Result<String, Why> {
    let mut name = String::with_capacity(written.len());
    let mut parts = written.split('=');
    name.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err("a user's name that is not escaped as it has to be".to_owned()),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') { Err("a user without a name".to_owned()) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::{Account, Exchange, Hash, Keys, Last, STANDARD, name};
    use crate::server::security::Mechanism;
    use base64::Engine;
    use ring::{digest, hmac, pbkdf2};

    /// RFC 7677, section 3.
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const OURS: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const PROOF: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn hash() -> Hash {
        Hash::of(Mechanism::ScramSha256).unwrap()
    }

    /// What a server says to these messages that knows the user `user` with the password `pencil`.
    fn served(nonce: &str, messages: &[&[u8]]) -> Result<Vec<String>, String> {
        let salt = STANDARD.decode(SALT).unwrap();
        let keys = Keys::derive(hash(), b"pencil", &salt, 4_096).unwrap();
        let mut exchange = Exchange::new(nonce.to_owned());
        let account = |name: &str| {
            Some(Account { salt: salt.clone(), iterations: 4_096, keys: &keys, exists: name == "user" })
        };
        let step = |message: &&[u8]| {
            let step = exchange.step(account, message)?;
            assert_eq!(step.user.is_some(), step.answer.starts_with("v="), "{}", step.answer);
            Ok(step.answer)
        };
        messages.iter().map(step).collect()
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let said = served(OURS, &[FIRST.as_bytes(), LAST.as_bytes()]);
        assert_eq!(said.unwrap(), [CHALLENGE, PROOF]);
    }

    /// The client's side, by the book.
    fn last(first: &str, challenge: &str, password: &str) -> String {
        let mut salted = [0; 32];
        let salt = STANDARD.decode(SALT).unwrap();
        let rounds = std::num::NonZeroU32::new(4_096).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), b"Client Key");
        let stored = digest::digest(&digest::SHA256, key.as_ref());
        let bare = &first[first.match_indices(',').nth(1).unwrap().0 + 1..];
        let binding = STANDARD.encode(&first[..first.len() - bare.len()]);
        let without = format!("c={binding},{}", challenge.split(',').next().unwrap());
        let said = format!("{bare},{challenge},{without}");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored.as_ref()), said.as_bytes());
        let proof: Vec<u8> = key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        format!("{without},p={}", STANDARD.encode(proof))
    }

    #[test]
    fn only_the_password_opens() {
        assert_eq!(last(FIRST, CHALLENGE, "pencil"), LAST);
        let wrong = last(FIRST, CHALLENGE, "Pencil");
        assert_eq!(served(OURS, &[FIRST.as_bytes(), wrong.as_bytes()]).unwrap_err(), "wrong password");
        // Somebody else's password is no use for a name that nobody has, even where the keys are the same.
        let first = FIRST.replace("user", "nobody");
        let last = last(&first, CHALLENGE, "pencil");
        assert_eq!(served(OURS, &[first.as_bytes(), last.as_bytes()]).unwrap_err(), "no such user");
    }

    #[test]
    fn what_was_overheard_is_no_use_again() {
        let why = served("another", &[FIRST.as_bytes(), LAST.as_bytes()]).unwrap_err();
        assert_eq!(why, "the nonce is another than that of this login");
        // With the new nonce the old proof proves nothing.
        let forged = LAST.replace(OURS, "another");
        assert_eq!(served("another", &[FIRST.as_bytes(), forged.as_bytes()]).unwrap_err(), "wrong password");
    }

    #[test]
    fn hostile_first_messages() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "a first message that is cut"),
            (b"n", "a first message that is cut"),
            (b"n,", "a first message that is cut"),
            (b"n,,", "a first message without a user"),
            (b"n,,n=", "a user without a name"),
            (b"n,,n=user", "a first message without a nonce"),
            (b"n,,n=user,r=", "a first message without a nonce"),
            (b"n,,n=user,r=a b", "a first message without a nonce"),
            (b"n,,r=abc,n=user", "a first message without a user"),
            (b"n,,m=ext,n=user,r=abc", "a first message without a user"),
            (b"n,,n=us\xff,r=abc", "a message that is no text"),
            (b"n,,n=us=2,r=abc", "a user's name that is not escaped as it has to be"),
            (b"n,,n=us=2c,r=abc", "a user's name that is not escaped as it has to be"),
            (b"n,,n=user\0,r=abc", "a user without a name"),
            (b"n,,n=user,r=abc,tokenauth=true", "extension \"tokenauth\" is not known here"),
            (b"n,,n=user,r=abc,x=1", "extension \"x\" is not known here"),
            (b"n,a=other,n=user,r=abc", "a user cannot act for another"),
            (b"n,user,n=user,r=abc", "a user cannot act for another"),
            (b"p=tls-unique,,n=user,r=abc", "a channel cannot be bound here"),
            (b"x,,n=user,r=abc", "a channel cannot be bound here"),
        ];
        for (message, expected) in cases {
            let why = served(OURS, &[message]).unwrap_err();
            assert_eq!(why, *expected, "{}", String::from_utf8_lossy(message));
        }
        for accepted in ["y,,n=user,r=abc", "n,a=user,n=user,r=abc"] {
            served(OURS, &[accepted.as_bytes()]).unwrap();
        }
    }

    #[test]
    fn hostile_final_messages() {
        let proof = LAST.split_once(",p=").unwrap().1;
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let unreadable = "a final message that cannot be read";
        let cases = [
            (String::new(), unreadable),
            (format!("c=biws,r={nonce}"), unreadable),
            (format!("c=biws,r={nonce},p=!"), unreadable),
            (format!("c=!,r={nonce},p={proof}"), unreadable),
            (format!("r={nonce},c=biws,p={proof}"), unreadable),
            (format!("c=biws,r={nonce},x=1,p={proof}"), unreadable),
            (format!("c=biws,r={nonce},p="), "wrong password"),
            (format!("c=biws,r={nonce},p=AAAA"), "wrong password"),
            (format!("c=biws,r={nonce},p={proof}{proof}").replace("==", ""), unreadable),
            (format!("c=eSws,r={nonce},p={proof}"), "the channel is not bound as the first message said"),
            (format!("c=biws,r={nonce}x,p={proof}"), "the nonce is another than that of this login"),
            (format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{nonce},p={proof}"), super::DOUBLED),
            (format!("c=biws,r={OURS},p={proof}"), "the nonce is another than that of this login"),
        ];
        for (message, expected) in cases {
            let why = served(OURS, &[FIRST.as_bytes(), message.as_bytes()]).unwrap_err();
            assert_eq!(why, expected, "{message}");
        }
        // Cut anywhere, it opens nothing.
        for at in 0..LAST.len() {
            served(OURS, &[FIRST.as_bytes(), &LAST.as_bytes()[..at]]).unwrap_err();
        }
        // A proof with something behind it is none.
        let mut longer = STANDARD.decode(proof).unwrap();
        longer.push(0);
        let longer = format!("c=biws,r={nonce},p={}", STANDARD.encode(longer));
        assert_eq!(served(OURS, &[FIRST.as_bytes(), longer.as_bytes()]).unwrap_err(), "wrong password");
        assert!(Last::read(LAST).is_ok());
    }

    #[test]
    fn names_are_written_with_two_escapes() {
        for (written, expected) in
            [("user", "user"), ("a=2Cb=3Dc", "a,b=c"), ("=3D=2C", "=,"), ("=3D2C", "=2C"), ("Größe", "Größe")]
        {
            assert_eq!(name(written).unwrap(), expected);
        }
    }
}
