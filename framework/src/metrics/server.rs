//! Server: a thread that answers HTTP with what the workers have published.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::thread::JoinHandle;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::page::{CONTENT_TYPE, text};
use super::{Health, Source};
use crate::error::{Error, Reaction, Result};

/// A server of metrics. Dropping it ends it; connections that are open are cut.
pub(crate) struct MetricsServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Answers at `address`.
    pub(crate) fn start(address: impl ToSocketAddrs, source: &Source) -> Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| {
            failed(error).hint("the address may be in use, or not be one of this machine's")
        })?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // One thread, which sleeps but for the moment of an answer.
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let routes = routes(source);
        let thread = std::thread::Builder::new()
            .name("headwater-metrics".to_owned())
            .spawn(move || serve(&runtime, listener, routes, stopped))
            .map_err(failed)?;
        tracing::info!(%address, "metrics are served");
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it answers, with the port that the system has chosen where it was asked for any.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!(address = %self.address, "the thread that served metrics has panicked");
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(Reaction::Stop, "metrics cannot be served").because(error)
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

fn routes(source: &Source) -> Router {
    let health = |answer: fn(&Health) -> bool| {
        let source = source.clone();
        get(async move || {
            let health = Health::of(&source());
            shown(&health, answer(&health))
        })
    };
    let page = source.clone();
    Router::new()
        .route("/metrics", get(async move || ([(header::CONTENT_TYPE, CONTENT_TYPE)], text(&page()))))
        .route("/health", health(Health::is_live))
        .route("/health/live", health(Health::is_live))
        .route("/health/ready", health(Health::is_ready))
}

fn shown(health: &Health, well: bool) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(health).expect("names and numbers have a form in JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
