//! Metrics and readiness over HTTP, for operators.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Ready;
use crate::metrics::Metrics;

/// Serves `/metrics` (OpenMetrics) and `/readyz`.
pub(crate) async fn serve(address: SocketAddr, metrics: Arc<Metrics>, ready: Arc<Ready>) {
    let render = move || async move {
        (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            metrics.render(),
        )
            .into_response()
    };
    let readiness = move || async move {
        if ready.is_ready() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    };
    let routes = Router::new()
        .route("/metrics", get(render))
        .route("/readyz", get(readiness));
    match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!("metrics are not served any more: {error}");
            }
        }
        Err(error) => tracing::error!(%address, "metrics are not served: {error}"),
    }
}
