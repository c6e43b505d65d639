//! The port: the embedded broker, where any Kafka client can look into it while flights are replayed.

use headwater::kafka::memory::MemoryCluster;

use crate::Fallible;
use crate::topology::BOARDS;

/// The cluster in memory at a port, until this is dropped.
pub(crate) struct Port {
    #[cfg(feature = "embedded")]
    server: headwater::kafka::memory::Server,
}

impl Port {
    /// Serves the cluster at an address.
    #[cfg(feature = "embedded")]
    pub(crate) fn open(cluster: &MemoryCluster, address: &str) -> Fallible<Self> {
        let server = cluster.serve(address).map_err(|error| format!("--listen {address}: {error}"))?;
        Ok(Self { server })
    }

    /// Serves nothing.
    #[cfg(not(feature = "embedded"))]
    pub(crate) fn open(_: &MemoryCluster, _: &str) -> Fallible<Self> {
        Ok(Self {})
    }

    /// What to type to look into it, if that is possible.
    pub(crate) fn hint(&self) -> Option<String> {
        #[cfg(feature = "embedded")]
        return Some(format!("look into it meanwhile: kcat -b {} -C -t {BOARDS}", self.server.address()));
        #[cfg(not(feature = "embedded"))]
        return None;
    }
}
