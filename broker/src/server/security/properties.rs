//! Properties: how a listener is secured, by Kafka's names.
//!
//! 1. `listener.name.<listener>.<property>` stands before `<property>`; the listener's name is in lower case there.
//! 2. Certificates and keys are in PEM, by `ssl.keystore.*` and `ssl.truststore.*`.
//! 3. Kafka keeps SCRAM's users in its metadata, put there by a command; this broker is told them at its start. So
//!    `user_<name>` entries of `sasl.jaas.config`, which Kafka knows for PLAIN, are read for every mechanism; and a
//!    property of ours, `sasl.user.<name>=<password>`, is a user for all mechanisms of all listeners, who need not be
//!    written in JAAS' quotes once for each.

use std::collections::BTreeMap;

use super::Problem;
use super::jaas;
use super::pem::Pem;
use super::sasl::{Mechanism, Sasl};
use super::tls::{ClientAuth, Tls};
use crate::server::listener::{Listener, Protocol};

/// Users of all mechanisms and listeners.
const USER: &str = "sasl.user.";
/// The only form that is read here.
const PEM: &str = "PEM";

/// Secures a listener as these properties say.
///
/// Files are read when the server starts.
pub(in crate::server) fn secured(
    listener: Listener,
    protocol: Protocol,
    properties: &BTreeMap<String, String>,
) -> Result<Listener, Problem> {
    let prefix = format!("listener.name.{}.", listener.name().to_lowercase());
    let read = Read { prefix, properties };
    let mut listener = listener;
    if protocol.is_encrypted() {
        listener = listener.tls(read.tls()?);
    }
    if protocol.has_login() {
        listener = listener.sasl(read.sasl()?);
    }
    Ok(listener)
}

/// The properties of one listener.
struct Read<'a> {
    prefix: String,
    properties: &'a BTreeMap<String, String>,
}

impl<'a> Read<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let own = self.properties.get(&format!("{}{name}", self.prefix));
        own.or_else(|| self.properties.get(name)).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn tls(&self) -> Result<Tls, Problem> {
        if self.get("ssl.key.password").is_some() {
            return Err(Problem::new("`ssl.key.password`: encrypted keys are not read here"));
        }
        let file = self.store("ssl.keystore")?;
        let (chain, key) = match (self.get("ssl.keystore.certificate.chain"), self.get("ssl.keystore.key")) {
            (Some(chain), Some(key)) => (Pem::text(chain), Pem::text(key)),
            (None, None) => {
                let file = file.ok_or_else(|| Problem::new("`ssl.keystore.location` is missing"))?;
                (file.clone(), file)
            }
            _ => {
                let both = "`ssl.keystore.certificate.chain` and `ssl.keystore.key` go together";
                return Err(Problem::new(both));
            }
        };
        let authorities = match self.get("ssl.truststore.certificates") {
            Some(text) => Some(Pem::text(text)),
            None => self.store("ssl.truststore")?,
        };
        let named = |authorities: Option<Pem>| {
            authorities
                .ok_or_else(|| Problem::new("`ssl.truststore.location` is missing: who signs clients?"))
        };
        let clients = match self.get("ssl.client.auth").unwrap_or("none") {
            "none" => ClientAuth::None,
            "requested" => ClientAuth::Requested(named(authorities)?),
            "required" => ClientAuth::Required(named(authorities)?),
            other => {
                let known = "none, requested and required are known";
                return Err(Problem::new(format!("`ssl.client.auth` is `{other}`: {known}")));
            }
        };
        Ok(Tls::new(chain, key).clients(clients))
    }

    /// The file of a store, which has to be in PEM.
    fn store(&self, store: &str) -> Result<Option<Pem>, Problem> {
        let name = format!("{store}.type");
        match self.get(&name) {
            None | Some(PEM) => Ok(self.get(&format!("{store}.location")).map(Pem::file)),
            Some(other) => Err(Problem::new(format!("`{name}` is `{other}`: only {PEM} is read here"))),
        }
    }

    fn sasl(&self) -> Result<Sasl, Problem> {
        let Some(names) = self.get("sasl.enabled.mechanisms") else {
            return Err(Problem::new("`sasl.enabled.mechanisms` is missing"));
        };
        let mechanisms = names
            .split(',')
            .map(|name| name.trim().parse::<Mechanism>().map_err(Problem::new))
            .collect::<Result<Vec<_>, _>>()?;
        let mut sasl = Sasl::new(mechanisms.iter().copied());
        for (name, password) in self.properties {
            if let Some(user) = name.strip_prefix(USER) {
                sasl = sasl.user(user, password);
            }
        }
        for mechanism in mechanisms {
            for (user, password) in self.jaas(mechanism)? {
                sasl = sasl.user_by(mechanism, &user, &password);
            }
        }
        Ok(sasl)
    }

    /// As Kafka reads it at a broker, this property needs the mechanism's name before it.
    fn jaas(&self, mechanism: Mechanism) -> Result<Vec<(String, String)>, Problem> {
        let name = format!("{}.sasl.jaas.config", mechanism.name().to_lowercase());
        let value = self.get(&name);
        value.map_or(Ok(Vec::new()), |value| jaas::users(mechanism, value))
    }
}

#[cfg(test)]
mod tests {
    use super::secured;
    use crate::server::listener::{Listener, Protocol};

    fn read(protocol: Protocol, properties: &[(&str, &str)]) -> Result<Listener, String> {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        secured(Listener::new("Inside", "127.0.0.1:0"), protocol, &properties.collect())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_listeners_own_properties_stand_before_those_of_all() {
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required user_bob=\"builder\";";
        let listener = read(
            Protocol::SaslSsl,
            &[
                ("ssl.keystore.location", "all.pem"),
                ("listener.name.inside.ssl.keystore.location", "own.pem"),
                ("listener.name.other.ssl.keystore.location", "other.pem"),
                ("ssl.keystore.type", "PEM"),
                ("ssl.truststore.location", "ca.pem"),
                ("listener.name.inside.ssl.client.auth", "requested"),
                ("ssl.client.auth", "none"),
                ("sasl.enabled.mechanisms", "PLAIN, SCRAM-SHA-512"),
                ("sasl.user.alice", "open sesame"),
                ("listener.name.inside.plain.sasl.jaas.config", plain),
            ],
        );
        let listener = listener.unwrap();
        assert_eq!(listener.protocol(), Protocol::SaslSsl);
        let printed = format!("{listener:?}");
        for part in [
            "Tls { chain: File(\"own.pem\"), key: File(\"own.pem\"), clients: Requested(File(\"ca.pem\")) }",
            "(\"alice\", Plain): [hidden], (\"alice\", ScramSha512): [hidden], (\"bob\", Plain): [hidden]",
        ] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_by_its_name() {
        let key = ("ssl.keystore.location", "server.pem");
        let cases: &[(Protocol, &[(&str, &str)], &str)] = &[
            (Protocol::Ssl, &[], "`ssl.keystore.location` is missing"),
            (
                Protocol::Ssl,
                &[key, ("ssl.keystore.type", "JKS")],
                "`ssl.keystore.type` is `JKS`: only PEM is",
            ),
            (Protocol::Ssl, &[key, ("ssl.key.password", "x")], "`ssl.key.password`: encrypted keys are not"),
            (
                Protocol::Ssl,
                &[("ssl.keystore.key", "x")],
                "`ssl.keystore.certificate.chain` and `ssl.keystore",
            ),
            (Protocol::Ssl, &[key, ("ssl.client.auth", "required")], "`ssl.truststore.location` is missing"),
            (
                Protocol::Ssl,
                &[key, ("ssl.client.auth", "yes")],
                "`ssl.client.auth` is `yes`: none, requested",
            ),
            (Protocol::SaslPlaintext, &[], "`sasl.enabled.mechanisms` is missing"),
            (
                Protocol::SaslPlaintext,
                &[("sasl.enabled.mechanisms", "GSSAPI")],
                "`GSSAPI` is no mechanism of",
            ),
            (
                Protocol::SaslPlaintext,
                &[("sasl.enabled.mechanisms", "PLAIN"), ("plain.sasl.jaas.config", "user")],
                "no `;` at the end in a `sasl.jaas.config`",
            ),
        ];
        for (protocol, properties, expected) in cases {
            let problem = read(*protocol, properties).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
        assert_eq!(read(Protocol::Plaintext, &[]).unwrap().protocol(), Protocol::Plaintext);
    }
}
