//! Served: a running application's figures and health, over HTTP or as text (feature `metrics`).

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::running::Running;
use super::threads::Shared;
use crate::error::Result;
use crate::metrics::{Health, MetricsServer, Snapshot, Source, text};

/// Who serves pages; they end with the application.
pub(super) type Servers = Arc<Mutex<Vec<MetricsServer>>>;

impl Shared {
    fn snapshot(&self) -> Snapshot {
        let application = &self.application;
        let settings = application.config.settings();
        let thread = |number| application.config.member_options(&application.process, number).client;
        let (workers, failures, failed) = self.published(thread);
        Snapshot {
            client: format!("{}-{}", settings.client_id, application.process),
            process: application.process.clone(),
            memory_max: settings.memory_max,
            workers,
            failures,
            failed,
            backend: application.backend.sizes(),
        }
    }
}

impl Running {
    /// Answers HTTP at `address` until the application is stopped or dropped: `/metrics` for Prometheus, `/health`,
    /// `/health/live` and `/health/ready` for probes; [`metrics`](crate::metrics) says what they tell. Returns the address with
    /// the port that the system has chosen, where that was 0.
    ///
    /// Give it [`metrics::LOOPBACK`](crate::metrics::LOOPBACK), or `0.0.0.0:9464` for other machines to read it: whoever can
    /// connect can read it, and nothing else.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    /// # use headwater::kafka::memory::MemoryCluster;
    /// # use headwater::state::MemoryBackend;
    /// # use headwater::{Application, Config, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, String>("lines").to("copies");
    /// # let cluster = MemoryCluster::new();
    /// # cluster.create_topic("lines", 1)?;
    /// # cluster.create_topic("copies", 1)?;
    /// # let config = Config::from_properties([("application.id", "copying")])?;
    /// # let application = Application::new(&builder.build()?, config, Arc::new(cluster), Arc::new(MemoryBackend::default()))?;
    /// let running = application.start()?;
    /// let address = running.serve_metrics("127.0.0.1:0")?;
    /// println!("http://{address}/metrics");
    /// # let mut stream = std::net::TcpStream::connect(address).unwrap();
    /// # stream.write_all(b"GET /health HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").unwrap();
    /// # let mut answer = String::new();
    /// # stream.read_to_string(&mut answer).unwrap();
    /// # assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    /// running.stop()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the address cannot be listened at.
    pub fn serve_metrics(&self, address: impl ToSocketAddrs) -> Result<SocketAddr> {
        let shared = Arc::clone(&self.shared);
        let source: Source = Arc::new(move || shared.snapshot());
        let server = MetricsServer::start(address, &source)?;
        let address = server.address();
        self.servers().push(server);
        Ok(address)
    }

    /// The text of `/metrics`, for a program that has an HTTP server already.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        text(&self.shared.snapshot())
    }

    /// The health that `/health` tells, for a program that has an HTTP server already.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::of(&self.shared.snapshot())
    }

    /// Clones may live on where the application has ended.
    pub(super) fn end_servers(&self) {
        self.servers().clear();
    }

    fn servers(&self) -> MutexGuard<'_, Vec<MetricsServer>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
