//! Logging in with a token; the browser gets a random id, never the token back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Form, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{Html as HtmlResponse, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::html::{self, Html, Nav};
use super::{Failure, Web};
use crate::error::Error;
use crate::identity::Caller;
use crate::limits::WEB_LOGINS_MAX;
use crate::random;

const COOKIE: &str = "sluice_login";

/// Who is logged in, by the id in the cookie.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_id: BTreeMap<String, Login>,
    next_number: u64,
}

#[derive(Clone)]
struct Login {
    token: String,
    csrf: String,
    number: u64,
}

/// Whoever opened a page, authenticated anew for it: a binding that was taken away counts at once.
pub(super) struct Visitor {
    pub(super) caller: Caller,
    pub(super) csrf: String,
}

#[derive(Deserialize)]
pub(super) struct TokenForm {
    token: String,
}

/// The form fields of a change that has no others.
#[derive(Deserialize)]
pub(super) struct CsrfForm {
    csrf: String,
}

pub(super) async fn show() -> HtmlResponse<String> {
    let mut content = Html::default();
    content
        .raw("<form class=\"card\" method=\"post\" action=\"/login\">")
        .raw("<p><label for=\"token\">Token of your identity provider (for the demonstration: <code>sluice token NAME</code>)</label>")
        .raw("<textarea id=\"token\" name=\"token\" required autocomplete=\"off\" spellcheck=\"false\"></textarea></p>")
        .raw("<button>Log in</button></form>");
    HtmlResponse(html::page("Log in", None, &content))
}

pub(super) async fn enter(
    State(web): State<Arc<Web>>,
    Form(form): Form<TokenForm>,
) -> Result<Response, Failure> {
    let token = form.token.trim();
    let caller = web.control.authenticate(token).await?;
    tracing::info!(person = caller.person, "logged in to the dashboard");
    let id = web.logins.insert(token)?;
    let cookie = format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

pub(super) async fn leave(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    visitor: Visitor,
    Form(form): Form<CsrfForm>,
) -> Result<Response, Failure> {
    visitor.check(&form.csrf)?;
    if let Some(id) = cookie(&headers) {
        web.logins.remove(&id);
    }
    let cookie = format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

impl Visitor {
    pub(super) fn nav<'a>(&'a self, here: &'a str) -> Nav<'a> {
        Nav {
            here,
            person: &self.caller.person,
            csrf: &self.csrf,
        }
    }

    /// A form must come from a page that this login was shown.
    pub(super) fn check(&self, csrf: &str) -> Result<(), Error> {
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            self.csrf.as_bytes(),
            csrf.as_bytes(),
        );
        same.map_err(|_| {
            Error::CallerDenied("this form is not of your login; open the page again".to_owned())
        })
    }
}

impl FromRequestParts<Arc<Web>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let to_login = || Redirect::to("/login").into_response();
        let login = cookie(&parts.headers)
            .and_then(|id| web.logins.get(&id))
            .ok_or_else(to_login)?;
        match web.control.authenticate(&login.token).await {
            Ok(caller) => Ok(Self {
                caller,
                csrf: login.csrf,
            }),
            Err(Error::CallerUnauthenticated(_)) => Err(to_login()),
            Err(error) => Err(Failure(error).into_response()),
        }
    }
}

impl Logins {
    fn insert(&self, token: &str) -> Result<String, Error> {
        let id = random::hexadecimal(32)?;
        let csrf = random::hexadecimal(32)?;
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.by_id.len() >= WEB_LOGINS_MAX {
            let oldest = entries
                .by_id
                .iter()
                .min_by_key(|(_, login)| login.number)
                .map(|(id, _)| id.clone());
            oldest.and_then(|id| entries.by_id.remove(&id));
        }
        let number = entries.next_number;
        entries.next_number += 1;
        entries.by_id.insert(
            id.clone(),
            Login {
                token: token.to_owned(),
                csrf,
                number,
            },
        );
        Ok(id)
    }

    fn get(&self, id: &str) -> Option<Login> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .get(id)
            .cloned()
    }

    fn remove(&self, id: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .remove(id);
    }
}

/// Tokens are not for logs.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, id)| id.to_owned())
}
