//! `/healthz` and `/metrics` of a process without an API.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Binds an address, with a message that says what to do when it is taken.
pub async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::refused(
            "address-in-use",
            format!("cannot listen on {address}: {error}"),
            format!("another program uses it (another farmhand?); choose another one with {key}"),
        )
    })
}

/// Serves until the stop.
pub async fn serve(listener: TcpListener, prometheus: PrometheusHandle, stop: CancellationToken) {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(move || async move { prometheus.render() }));
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "/healthz and /metrics are gone");
    }
}
