//! Who calls: from a bearer token to a person with roles.

mod keys;

use sluice_identity::jwt::{self, Token, TokenError, TrustedIssuer};
use sluice_policy::ControlRole;

use self::keys::{IssuerKeys, Want};
use crate::clock::Clock;
use crate::config::{DevelopmentIssuers, FirstAuthor, IssuerConfig};
use crate::error::Error;
use crate::in_force::PolicyInForce;
use crate::limits::ISSUER_TIMEOUT;

/// Who calls, as bindings say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// The person behind the token: a service's owner, or the human. Segregation of duties counts these.
    pub person: String,
    /// As Kafka writes it, such as `User:alice`.
    pub principal: String,
    pub roles: Vec<ControlRole>,
    /// Approver groups.
    pub groups: Vec<String>,
    /// When the token ends.
    pub expires_unix_s: i64,
}

/// Authenticates callers against the configured issuers and the bindings in force.
#[derive(Debug)]
pub struct Identity {
    issuers: Vec<IssuerKeys>,
    first_author: Option<FirstAuthor>,
    clock: Clock,
}

impl Caller {
    /// Whether the caller holds one of these roles.
    pub fn require(&self, any_of: &[ControlRole]) -> Result<(), Error> {
        if any_of.iter().any(|role| self.roles.contains(role)) {
            return Ok(());
        }
        let role = any_of.first().map_or("any", |role| role.name());
        Err(Error::CallerLacksRole {
            person: self.person.clone(),
            role,
        })
    }

    /// Whether the caller belongs to a group of approvers, or holds the role of that name.
    pub fn is_in(&self, group_or_role: &str) -> bool {
        self.groups.iter().any(|group| group == group_or_role)
            || self.roles.iter().any(|role| role.name() == group_or_role)
    }
}

impl Identity {
    /// Refuses issuers without TLS beyond loopback. Which of the others is the development provider shows when keys are fetched.
    pub fn new(
        issuers: &[IssuerConfig],
        development: DevelopmentIssuers,
        first_author: Option<FirstAuthor>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .timeout(ISSUER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::OperatorConfig(format!("HTTP client: {error}")))?;
        for issuer in issuers {
            let name = &issuer.name;
            // This also refuses plain HTTP beyond loopback.
            sluice_identity::discovery::document_url(&issuer.url)
                .map_err(|error| Error::OperatorConfig(format!("issuer {name}: {error}")))?;
            // Without discovery nothing would say whose keys these are.
            if let Some(url) = &issuer.jwks_url
                && !url.starts_with("https://")
                && development == DevelopmentIssuers::Refuse
            {
                return Err(Error::OperatorConfig(format!(
                    "issuer {name}: keys at {url} are without TLS; leave them to discovery, or write an https:// URL"
                )));
            }
        }
        if let Some(first) = &first_author
            && !issuers.iter().any(|issuer| issuer.name == first.issuer)
        {
            return Err(Error::OperatorConfig(format!(
                "the first author's issuer {} is not configured",
                first.issuer
            )));
        }
        let issuers = issuers
            .iter()
            .map(|issuer| IssuerKeys::new(issuer.clone(), development, client.clone()))
            .collect();
        Ok(Self {
            issuers,
            first_author,
            clock,
        })
    }

    /// Validates a bearer token and finds its person and roles under the policy in force.
    pub async fn authenticate(&self, token: &str, policy: &PolicyInForce) -> Result<Caller, Error> {
        let token = match self.validate(token, None).await {
            Err(TokenError::ClientKeyUnknown { issuer_name }) => {
                self.validate(token, Some(&issuer_name)).await
            }
            validated => validated,
        };
        let token = token.map_err(|error| {
            tracing::info!("a caller is not authenticated: {error}");
            Error::CallerUnauthenticated(error.client_message().to_owned())
        })?;
        let bound = policy
            .bind(&token.issuer_name, &|name: &str, value: &str| {
                token.claim_matches(name, value)
            })
            .map_err(Error::CallerDenied)?;
        let caller = bound.map(|bound| Caller {
            person: bound.owner,
            principal: bound.principal,
            roles: bound.control_roles,
            groups: bound.groups,
            expires_unix_s: token.expires_unix_s,
        });
        match (caller, self.first_author(&token, policy)) {
            (Some(mut caller), Some(_)) => {
                if !caller.roles.contains(&ControlRole::Author) {
                    caller.roles.push(ControlRole::Author);
                }
                Ok(caller)
            }
            (Some(caller), None) | (None, Some(caller)) => Ok(caller),
            (None, None) => Err(Error::CallerDenied(format!(
                "{} of issuer {} has no binding",
                token.principal_name, token.issuer_name
            ))),
        }
    }

    /// `newer`: the issuer whose keys are to be fetched again.
    async fn validate(&self, token: &str, newer: Option<&str>) -> Result<Token, TokenError> {
        let now_unix_ms = self.clock.unix_ms();
        let mut trusted = Vec::with_capacity(self.issuers.len());
        for issuer in &self.issuers {
            let config = &issuer.config;
            let want = if newer == Some(config.name.as_str()) {
                Want::Newer
            } else {
                Want::Cached
            };
            // An issuer without keys is no issuer; the tokens of the others stay good.
            let Ok(keys) = issuer.keys(want, now_unix_ms).await else {
                continue;
            };
            let mut issuer = TrustedIssuer::new(
                config.name.clone(),
                config.url.clone(),
                config.audience.clone(),
                keys,
            );
            issuer.principal_claim.clone_from(&config.principal_claim);
            trusted.push(issuer);
        }
        jwt::validate(token, &trusted, self.clock.unix_s())
    }

    /// The configured person may author only while nobody is bound to do so.
    fn first_author(&self, token: &Token, policy: &PolicyInForce) -> Option<Caller> {
        let first = self.first_author.as_ref()?;
        let is_first =
            token.issuer_name == first.issuer && token.claim_matches(&first.claim, &first.value);
        (is_first && !policy.has_author()).then(|| Caller {
            person: first.value.clone(),
            principal: format!("User:{}", first.value),
            roles: vec![ControlRole::Author],
            groups: Vec::new(),
            expires_unix_s: token.expires_unix_s,
        })
    }
}
