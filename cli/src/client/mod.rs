//! Calls to the control plane: a channel, a token, and one file per group of verbs.

mod approvals;
mod evidence;
mod policy;
mod sessions;
mod timeline;

pub(crate) use evidence::held_logs;
use sluice_controlplane::rpc::admin_client::AdminClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::args::{ControlPlane, EvidenceVerb, Verb};
use crate::config::material;
use crate::failure::Failure;
use crate::limits::{ANSWER_BYTES_MAX, CALL_TIMEOUT, CONNECT_TIMEOUT};
use crate::table::clean;

/// Makes the call that the verb stands for.
///
/// # Errors
/// What the control plane refused, and what to do next.
pub(crate) async fn call(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Apply(args) => policy::apply(&args.plan, args.dry_run).await,
        Verb::Plan(args) => policy::apply(&args, true).await,
        Verb::Get(args) => policy::get(&args).await,
        Verb::Explain(args) => policy::explain(&args).await,
        Verb::Request(args) => approvals::request(&args).await,
        Verb::Approvals(verb) => approvals::approvals(&verb).await,
        Verb::Sessions(verb) => sessions::sessions(&verb).await,
        Verb::Evidence(EvidenceVerb::Search(args)) => evidence::search(&args).await,
        Verb::Evidence(EvidenceVerb::Logs(args)) => evidence::logs(&args).await,
        Verb::Gateways(control) => sessions::gateways(&control).await,
        other => Err(Failure::usage(format!(
            "{other:?} is no call to the control plane"
        ))),
    }
}

type Admin = AdminClient<InterceptedService<Channel, Bearer>>;

/// Puts the token on every call.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Reads token and roots. Connects with the first call.
async fn connect(control: &ControlPlane) -> Result<Admin, Failure> {
    let bearer = Bearer(bearer(control)?);
    let url = url(control);
    let wrong = |error: tonic::transport::Error| {
        Failure::usage(format!(
            "{url}: {error}; write http://host:port or https://host:port"
        ))
    };
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(wrong)?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT);
    if url.starts_with("https://") {
        let mut tls = ClientTlsConfig::new();
        let Some(roots) = &control.control_roots else {
            let message = format!(
                "{url} needs --control-roots FILE (or SLUICE_CONTROL_ROOTS): `sluice up` writes it to STATE_DIR/control/ca.pem"
            );
            return Err(Failure::usage(message));
        };
        tls = tls.ca_certificate(Certificate::from_pem(material::read_secret(roots)?));
        endpoint = endpoint.tls_config(tls).map_err(wrong)?;
    } else if !is_loopback(&endpoint) {
        let message = format!(
            "{url} would send the token in plain text beyond loopback; use https:// and --control-roots FILE"
        );
        return Err(Failure::usage(message));
    }
    let channel = endpoint.connect().await.map_err(|error| {
        let message = format!("{url} does not answer: {}. Is `sluice up` or `sluice control` running there? --control names another address", chain(&error));
        Failure::refused(message)
    })?;
    Ok(AdminClient::with_interceptor(channel, bearer).max_decoding_message_size(ANSWER_BYTES_MAX))
}

fn url(control: &ControlPlane) -> String {
    match (&control.control, &control.control_roots) {
        (Some(url), _) => url.clone(),
        (None, Some(_)) => "https://127.0.0.1:7443".to_owned(),
        (None, None) => "http://127.0.0.1:7443".to_owned(),
    }
}

fn bearer(control: &ControlPlane) -> Result<MetadataValue<Ascii>, Failure> {
    let token = match (&control.token, &control.token_file) {
        (_, Some(file)) => material::read_secret(file)?,
        (Some(token), None) => token.clone(),
        (None, None) => {
            let message = "there is no token; give --token-file FILE or SLUICE_TOKEN. `sluice token --issuer URL --client-id ID` gets one";
            return Err(Failure::usage(message));
        }
    };
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
        .parse()
        .map_err(|_| Failure::usage("the token holds characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(endpoint: &Endpoint) -> bool {
    let host = endpoint.uri().host().unwrap_or_default();
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// What the control plane refused, and what to do next.
fn refused(status: Status) -> Failure {
    let next = match status.code() {
        Code::Unauthenticated => {
            "; get a fresh token (`sluice token`) from an issuer that the control plane knows"
        }
        Code::PermissionDenied if status.message().contains("no binding") => {
            "; an author can give you a role by a Binding"
        }
        Code::Unavailable | Code::DeadlineExceeded => {
            "; try again, and look at the control plane's log"
        }
        Code::Unimplemented => "; is this port the control plane's gRPC port?",
        Code::Aborted => {
            "; somebody else changed policy at the same time: look with `sluice get`, then try again"
        }
        _ => "",
    };
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    Failure::refused(format!("{}{next}", clean(message)))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(url: Option<&str>) -> ControlPlane {
        ControlPlane {
            control: url.map(str::to_owned),
            control_roots: None,
            token: Some("secret-token".into()),
            token_file: None,
        }
    }

    async fn failure(control: &ControlPlane) -> String {
        match connect(control).await {
            Ok(_) => panic!("connected"),
            Err(failure) => failure.to_string(),
        }
    }

    #[tokio::test]
    async fn a_token_is_not_sent_in_plain_text_beyond_loopback() {
        assert!(
            failure(&control(Some("http://192.0.2.1:7443")))
                .await
                .contains("plain text beyond loopback")
        );
    }

    #[tokio::test]
    async fn failures_to_connect_say_what_to_do_next() {
        // Port 1 of loopback: nobody listens there.
        let said = failure(&control(Some("http://127.0.0.1:1"))).await;
        assert!(
            said.contains("Is `sluice up` or `sluice control` running"),
            "{said}"
        );
        assert!(
            failure(&control(Some("https://127.0.0.1:1")))
                .await
                .contains("--control-roots")
        );
        let mut nobody = control(None);
        nobody.token = None;
        assert!(failure(&nobody).await.contains("sluice token"));
    }

    #[test]
    fn the_token_does_not_show_in_debug_output() {
        let bearer = bearer(&control(None)).unwrap();
        assert!(!format!("{bearer:?}").contains("secret-token"));
    }
}
