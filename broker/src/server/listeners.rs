//! Listeners: which ones a server has, as it is told in code or by Kafka's properties.
//!
//! 1. `listeners` names them with their addresses, `advertised.listeners` what their clients are told to connect to, and
//!    `listener.security.protocol.map` how each is secured; without that its name says so.
//! 2. What is told in code takes the place of a listener of the same name.
//! 3. Whether all of it goes together is found out when the server starts, because properties come in any order.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use super::listener::{Listener, Port, Protocol};
#[cfg(feature = "security")]
use super::security;

/// Kafka's name for the listener of controllers, which there are none of here.
const CONTROLLER: &str = "CONTROLLER";

/// The listeners of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners {
    /// By properties: names and addresses.
    named: Vec<(String, String)>,
    advertised: BTreeMap<String, (String, u16)>,
    protocols: BTreeMap<String, Protocol>,
    security: SecurityProperties,
    /// In code.
    given: Vec<Listener>,
}

/// Properties that say how connections are secured, passwords among them.
#[derive(Clone, Default)]
pub(super) struct SecurityProperties(pub(super) BTreeMap<String, String>);

impl fmt::Debug for SecurityProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `<name>://<host>:<port>`, several of them with commas between.
fn endpoints(value: &str) -> Option<Vec<(String, String, u16)>> {
    let mut found: Vec<(String, String, u16)> = Vec::new();
    for part in value.split(',') {
        let (name, address) = part.trim().split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        if name.is_empty() || found.iter().any(|(known, ..)| known == name) {
            return None;
        }
        found.push((name.to_owned(), host.to_owned(), port.parse().ok()?));
    }
    found.retain(|(name, ..)| name != CONTROLLER);
    (!found.is_empty()).then_some(found)
}

impl Listeners {
    /// Adds one that is told in code.
    pub(super) fn add(&mut self, listener: Listener) {
        match self.given.iter_mut().find(|known| known.name() == listener.name()) {
            Some(known) => *known = listener,
            None => self.given.push(listener),
        }
    }

    /// `listeners`; says whether it can be read. No host means all addresses.
    pub(super) fn set_named(&mut self, value: &str) -> bool {
        let Some(endpoints) = endpoints(value) else { return false };
        let address = |(name, host, port): (String, String, u16)| {
            (name, format!("{}:{port}", if host.is_empty() { "0.0.0.0" } else { &host }))
        };
        self.named = endpoints.into_iter().map(address).collect();
        true
    }

    /// `advertised.listeners`; says whether it can be read.
    pub(super) fn set_advertised(&mut self, value: &str) -> bool {
        let Some(endpoints) = endpoints(value) else { return false };
        if endpoints.iter().any(|(_, host, _)| host.is_empty()) {
            return false;
        }
        self.advertised = endpoints.into_iter().map(|(name, host, port)| (name, (host, port))).collect();
        true
    }

    /// `listener.security.protocol.map`; says whether it can be read.
    pub(super) fn set_protocols(&mut self, value: &str) -> bool {
        let entry = |entry: &str| {
            let (name, protocol) = entry.trim().split_once(':')?;
            Some((name.to_owned(), protocol.parse().ok()?))
        };
        let protocols: Option<BTreeMap<_, _>> = value.split(',').map(entry).collect();
        protocols.is_some_and(|protocols| {
            self.protocols = protocols;
            true
        })
    }

    /// A property of a listener's security, or of all listeners'.
    pub(super) fn set_security(&mut self, name: &str, value: &str) {
        self.security.0.insert(name.to_owned(), value.to_owned());
    }

    /// Takes all ports; there is one at least. Without any being told of it is a free one of the loopback address.
    pub(super) fn open(&self) -> io::Result<Vec<Port>> {
        self.all()?.into_iter().map(Listener::open).collect()
    }

    /// All listeners, of which there is one at least.
    pub(super) fn all(&self) -> io::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for (name, address) in &self.named {
            if !self.given.iter().any(|given| given.name() == name) {
                listeners.push(self.by_properties(name, address)?);
            }
        }
        // Those of properties stand first, in their order: they are what clients are given to begin with.
        listeners.extend(self.given.iter().cloned());
        if listeners.is_empty() {
            listeners.push(Listener::new(Listener::PLAINTEXT, "127.0.0.1:0"));
        }
        let known = |name: &String| listeners.iter().any(|listener| listener.name() == name);
        if let Some(name) = self.advertised.keys().find(|name| !known(name)) {
            return Err(refused(format!("`advertised.listeners` has {name}, which is no listener")));
        }
        Ok(listeners)
    }

    fn by_properties(&self, name: &str, address: &str) -> io::Result<Listener> {
        let protocol = match self.protocols.get(name) {
            Some(protocol) => *protocol,
            None => name.parse().map_err(|_| {
                refused(format!("`listener.security.protocol.map` does not say how {name} is secured"))
            })?,
        };
        let mut listener = Listener::new(name, address);
        if let Some((host, port)) = self.advertised.get(listener.name()) {
            listener = listener.advertised(host.as_str(), *port);
        }
        self.secured(listener, protocol)
    }

    #[cfg(feature = "security")]
    fn secured(&self, listener: Listener, protocol: Protocol) -> io::Result<Listener> {
        let name = listener.name().to_owned();
        security::secured(listener, protocol, &self.security.0)
            .map_err(|problem| refused(format!("listener {name}: {problem}")))
    }

    #[cfg(not(feature = "security"))]
    fn secured(&self, listener: Listener, protocol: Protocol) -> io::Result<Listener> {
        match protocol {
            Protocol::Plaintext => Ok(listener),
            other => {
                Err(refused(format!("listener {}: {other} needs the feature `security`", listener.name())))
            }
        }
    }
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::{Listeners, endpoints};

    #[test]
    fn endpoints_are_read_as_kafka_writes_them() {
        let named = |value: &str| {
            let found = endpoints(value)?;
            Some(found.iter().map(|(name, host, port)| format!("{name}/{host}/{port}")).collect::<Vec<_>>())
        };
        let check = |value: &str, expected: &[&str]| assert_eq!(named(value).unwrap(), expected, "{value}");
        check("PLAINTEXT://:9092,CONTROLLER://:9093", &["PLAINTEXT//9092"]);
        check("A://localhost:1, B://[::1]:2", &["A/localhost/1", "B/[::1]/2"]);
        for wrong in [
            "",
            "A",
            "A://",
            "A://x",
            "A://x:y",
            "A://x:65536",
            "://x:1",
            "A://x:1,A://y:2",
            "CONTROLLER://:1",
        ] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_told_when_the_server_starts() {
        let problem = |listeners: Listeners| listeners.open().unwrap_err().to_string();
        let mut unknown = Listeners::default();
        assert!(unknown.set_named("INSIDE://127.0.0.1:0"));
        let expected = "`listener.security.protocol.map` does not say how INSIDE is secured";
        assert_eq!(problem(unknown.clone()), expected);
        assert!(!unknown.set_protocols("INSIDE:TLS") && !unknown.set_protocols("INSIDE"));
        assert!(unknown.set_protocols("OUTSIDE:SSL,INSIDE:PLAINTEXT"));
        assert!(!unknown.set_advertised("INSIDE://:9092"));
        assert!(unknown.set_advertised("OUTSIDE://kafka.example.org:9092"));
        let expected = "`advertised.listeners` has OUTSIDE, which is no listener";
        assert_eq!(problem(unknown), expected);
        let mut encrypted = Listeners::default();
        assert!(encrypted.set_named("SSL://127.0.0.1:0"));
        let why = if cfg!(feature = "security") {
            "`ssl.keystore.location` is missing"
        } else {
            "SSL needs the feature `security`"
        };
        assert_eq!(problem(encrypted), format!("listener SSL: {why}"));
    }

    #[test]
    fn passwords_are_not_printed() {
        let mut listeners = Listeners::default();
        listeners.set_security("sasl.user.alice", "open sesame");
        let printed = format!("{listeners:?}");
        assert!(printed.contains("sasl.user.alice") && !printed.contains("sesame"), "{printed}");
    }
}
