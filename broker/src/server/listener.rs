//! A listener: an address of the server, how connections to it are secured, and what clients that come to it are told
//! to connect to.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "security")]
use super::security::{Guard, Sasl, Security, Tls};

/// How connections to a listener are secured: `security.protocol` of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Neither encrypted nor with a login.
    Plaintext,
    /// Encrypted.
    Ssl,
    /// With a login.
    SaslPlaintext,
    /// Encrypted and with a login.
    SaslSsl,
}

impl Protocol {
    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients have to log in.
    #[must_use]
    pub fn has_login(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = String;

    /// By Kafka's name, in any case, as Kafka reads it.
    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];
        known.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            format!("`{name}` is no security protocol: PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL are")
        })
    }
}

/// A listener of a server.
///
/// ```
/// use headwater_broker::Broker;
/// use headwater_broker::server::{Listener, Protocol};
///
/// let inside = Listener::new("INSIDE", "127.0.0.1:0");
/// // Clients that come here from outside are sent to a name that they know.
/// let outside = Listener::new("OUTSIDE", "127.0.0.1:0").advertised("kafka.example.org", 9092);
/// assert_eq!(outside.protocol(), Protocol::Plaintext);
/// let server = Broker::builder().listener(inside).listener(outside).start()?;
/// assert_eq!(server.addresses()["INSIDE"], server.address());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Listener {
    name: String,
    address: String,
    advertised: Option<(Arc<str>, u16)>,
    #[cfg(feature = "security")]
    security: Security,
}

impl Listener {
    /// The name of the listener that is there without one being given.
    pub(super) const PLAINTEXT: &str = "PLAINTEXT";

    /// A listener of this name at this address, neither encrypted nor with a login. Port 0 takes a free one.
    #[must_use]
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            advertised: None,
            #[cfg(feature = "security")]
            security: Security::default(),
        }
    }

    /// What its clients are told to connect to, as `advertised.listeners`; port 0 stands for the one that it listens
    /// at. Without this it is the address that they came to.
    #[must_use]
    pub fn advertised(mut self, host: impl Into<Arc<str>>, port: u16) -> Self {
        self.advertised = Some((host.into(), port));
        self
    }

    /// Connections are encrypted.
    #[cfg(feature = "security")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.security.tls = Some(tls);
        self
    }

    /// Clients have to log in.
    #[cfg(feature = "security")]
    #[must_use]
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.security.sasl = Some(sasl);
        self
    }

    /// Its name, which is its own among the listeners of a server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How connections to it are secured.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        #[cfg(feature = "security")]
        return match (&self.security.tls, &self.security.sasl) {
            (None, None) => Protocol::Plaintext,
            (Some(_), None) => Protocol::Ssl,
            (None, Some(_)) => Protocol::SaslPlaintext,
            (Some(_), Some(_)) => Protocol::SaslSsl,
        };
        #[cfg(not(feature = "security"))]
        Protocol::Plaintext
    }

    /// Takes the port, once it is known to be secured as it is to be.
    pub(super) fn open(self) -> io::Result<Port> {
        let wanted = self.address.clone();
        let entrance = self.entrance()?;
        let socket = bind(&wanted)?;
        let address = socket.local_addr()?;
        Ok(Port { socket, address, entrance: Arc::new(entrance) })
    }

    /// What its connections have to know of it; no port is taken.
    pub(super) fn entrance(self) -> io::Result<Entrance> {
        #[cfg(feature = "security")]
        let guard = self.security.open().map_err(|problem| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("listener {}: {problem}", self.name))
        })?;
        Ok(Entrance {
            protocol: self.protocol(),
            name: self.name,
            advertised: self.advertised,
            #[cfg(feature = "security")]
            guard,
        })
    }
}

/// Takes a port.
pub(super) fn bind(address: &str) -> io::Result<TcpListener> {
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; end what listens there, or choose another port (0 takes a free one)"
            }
            io::ErrorKind::AddrNotAvailable => "; choose an address of this machine",
            io::ErrorKind::PermissionDenied => "; choose a port from 1024 on",
            _ => "; it has to be <host>:<port>",
        };
        io::Error::new(error.kind(), format!("{address} cannot be listened at: {error}{hint}"))
    };
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
    let socket = TcpListener::bind(&*addresses).map_err(failed)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A port that is listened at, before anybody is let in.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) entrance: Arc<Entrance>,
}

/// What connections know of the listener that they came through.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    advertised: Option<(Arc<str>, u16)>,
    #[cfg(feature = "security")]
    pub(super) guard: Guard,
}

impl Entrance {
    /// What clients are told to connect to that came to this address of ours.
    pub(super) fn address(&self, local: SocketAddr) -> (Arc<str>, u16) {
        match &self.advertised {
            Some((host, 0)) => (host.clone(), local.port()),
            Some((host, port)) => (host.clone(), *port),
            None => (local.ip().to_string().into(), local.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Protocol;

    #[test]
    fn protocols_are_known_by_kafkas_names() {
        for (name, encrypted, login) in [
            ("PLAINTEXT", false, false),
            ("SSL", true, false),
            ("SASL_PLAINTEXT", false, true),
            ("SASL_SSL", true, true),
        ] {
            let protocol: Protocol = name.to_lowercase().parse().unwrap();
            assert_eq!(
                (protocol.to_string().as_str(), protocol.is_encrypted(), protocol.has_login()),
                (name, encrypted, login)
            );
        }
        let error = "TLS".parse::<Protocol>().unwrap_err();
        assert!(error.starts_with("`TLS` is no security protocol"), "{error}");
    }
}
