//! The dashboard: pages made here, one style sheet, no script, nothing from elsewhere.

mod html;
mod login;
mod pages;
mod time;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use self::login::Logins;
use crate::control::Control;
use crate::error::Error;
use crate::limits::WEB_FORM_BYTES_MAX;

/// What every page needs.
#[derive(Debug)]
pub(crate) struct Web {
    control: Arc<Control>,
    logins: Logins,
}

/// All pages.
pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/", get(pages::overview::show))
        .route("/evidence", get(pages::evidence::show))
        .route("/evidence.jsonl", get(pages::evidence::json_lines))
        .route("/evidence.csv", get(pages::evidence::csv))
        .route("/sessions", get(pages::sessions::list))
        .route("/sessions/{session}", get(pages::sessions::timeline))
        .route("/approvals", get(pages::approvals::show))
        .route("/approvals/{id}", post(pages::approvals::decide))
        .route("/policy", get(pages::policy::show))
        .route("/login", get(login::show).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/style.css", get(style))
        .layer(DefaultBodyLimit::max(WEB_FORM_BYTES_MAX))
        .layer(middleware::from_fn(protect))
        .with_state(Arc::new(Web {
            control,
            logins: Logins::default(),
        }))
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("style.css"),
    )
}

/// Headers that no page goes without.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An error as a page.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = tonic::Status::from(self.0);
        let code = match status.code() {
            tonic::Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            tonic::Code::PermissionDenied => StatusCode::FORBIDDEN,
            tonic::Code::NotFound => StatusCode::NOT_FOUND,
            tonic::Code::InvalidArgument => StatusCode::BAD_REQUEST,
            tonic::Code::FailedPrecondition | tonic::Code::Aborted => StatusCode::CONFLICT,
            tonic::Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            tonic::Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut content = html::Html::default();
        content
            .raw("<p class=\"card bad\" role=\"alert\">")
            .text(status.message())
            .raw("</p><p><a href=\"/\">Overview</a> · <a href=\"/login\">Log in as somebody else</a></p>");
        (
            code,
            axum::response::Html(html::page("That did not work", None, &content)),
        )
            .into_response()
    }
}
