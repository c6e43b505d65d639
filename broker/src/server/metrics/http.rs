//! HTTP: a thread that answers with what the broker has counted.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::page::CONTENT_TYPE;
use super::{Health, text};
use crate::server::host::Host;

/// A server of metrics. Dropping it ends it; connections that are open are cut.
#[derive(Debug)]
pub(in crate::server) struct MetricsServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Answers at a port that was taken.
    pub(in crate::server) fn start(listener: TcpListener, host: &Host) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let routes = routes(host);
        let thread = std::thread::Builder::new()
            .name("headwater-broker-metrics".to_owned())
            .spawn(move || serve(&runtime, listener, routes, stopped))?;
        tracing::info!(%address, "metrics are served");
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it answers.
    pub(in crate::server) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, which has been told.
            let _ = thread.join();
        }
    }
}

fn serve(runtime: &Runtime, listener: TcpListener, routes: Router, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            // The connections' tasks end with the runtime, whatever they wait for.
            Ok(listener) => {
                tokio::spawn(axum::serve(listener, routes).into_future());
                // Nothing is ever sent: the other side is dropped.
                let _ = stopped.await;
            }
            Err(error) => tracing::error!(%error, "metrics are not served"),
        }
    });
}

fn routes(host: &Host) -> Router {
    let page = host.clone();
    let health = || {
        let host = host.clone();
        get(async move || shown(Health::of(&host)))
    };
    Router::new()
        .route("/metrics", get(async move || ([(header::CONTENT_TYPE, CONTENT_TYPE)], text(&page))))
        .route("/health", health())
        .route("/health/live", health())
        .route("/health/ready", health())
}

fn shown(health: Health) -> Response {
    let status = match health {
        Health::Running => StatusCode::OK,
        Health::Stuck => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = format!("{{\"status\":\"{}\"}}", health.name());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
