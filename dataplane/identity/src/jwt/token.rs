use std::fmt;

use serde_json::{Map, Value};

/// A token that was valid when it was validated.
#[derive(Clone, PartialEq)]
pub struct Token {
    /// What the operator calls its issuer; bindings match this.
    pub issuer_name: String,
    /// Its `iss`.
    pub issuer: String,
    /// The value of the claim by which this issuer names principals.
    pub principal_name: String,
    /// Its `sub`.
    pub subject: String,
    /// Its `exp`, in seconds since 1970-01-01 UTC, without skew: up to the skew it may lie in the past.
    pub expires_unix_s: i64,
    /// Its `jti`.
    pub id: Option<String>,
    /// All claims, those above included.
    pub claims: Map<String, Value>,
}

impl Token {
    /// Whether the claim is the string `value`, or an array that contains it.
    ///
    /// `name` is the claim of exactly this name; if there is none, its dots lead into nested objects (`realm_access.roles`).
    #[must_use]
    pub fn claim_matches(&self, name: &str, value: &str) -> bool {
        match self.claim(name) {
            Some(Value::String(text)) => text == value,
            Some(Value::Array(elements)) => elements.iter().any(|element| element == value),
            _ => false,
        }
    }

    /// The claim that `name` leads to, as for [`Token::claim_matches`].
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        // Exact names first and alone: claims named by URL hold dots (`https://idp.example/roles`).
        if let Some(value) = self.claims.get(name) {
            return Some(value);
        }
        let mut steps = name.split('.');
        let first = self.claims.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.as_object()?.get(step))
    }
}

/// Claims may hold personal data, and all of them together are most of a credential: they are not printed.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("issuer_name", &self.issuer_name)
            .field("principal_name", &self.principal_name)
            .field("expires_unix_s", &self.expires_unix_s)
            .finish_non_exhaustive()
    }
}
