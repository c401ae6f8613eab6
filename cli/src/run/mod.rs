//! `up`, `gateway` and `control`: starts the planes, says when they are ready, and drains them on a signal.

mod certificates;
mod signals;

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sluice_controlplane::config::{DevelopmentIssuers, TlsMaterial};
use sluice_controlplane::{Running, serve};
use sluice_dataplane::Gateway;
use sluice_dataplane::config::{GatewayConfig, LinkConfig, LinkTls};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ControlSection, Issuer, material};
use crate::dev_provider;
use crate::failure::Failure;
use certificates::{CONTROL_NAME, Certificates};
use signals::Signals;

/// How often the main thread looks whether somebody wants it to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it says that it is still not ready.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// Runs the planes that the configuration has, until a signal or a failure.
///
/// # Errors
/// What kept them from starting, or made them end.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("planes")
        .enable_all()
        .build()
        .map_err(|error| Failure::refused(format!("no runtime: {error}")))?;
    let signals = Signals::watch(&runtime)?;
    let mut issuers = config.issuers.clone();
    let development = development_issuers(config);
    if let Some(provider) = &config.development_provider {
        let provider = runtime.block_on(dev_provider::start(provider))?;
        tracing::warn!(
            "development identity provider at {}: for demonstrations only",
            provider.issuer
        );
        issuers.push(Issuer {
            name: provider.name,
            url: provider.issuer,
            audience: dev_provider::AUDIENCE.to_owned(),
            roots: None,
        });
    }
    let certificates = match (&config.gateway, &config.control) {
        (Some(_), Some(control)) => Some(Certificates::generate(&config.name, control.grpc.ip())?),
        _ => None,
    };
    let control = match &config.control {
        Some(section) => {
            let tls = control_tls(section, certificates.as_ref())?;
            Some(start_control(
                &runtime,
                config,
                section,
                &issuers,
                development,
                tls,
            )?)
        }
        None => None,
    };
    if let Some(certificates) = &certificates {
        let path = config.state_dir.join("control").join("ca.pem");
        write_authority(&path, &certificates.authority_pem)?;
    }
    let outcome = match &config.gateway {
        Some(section) => {
            let link = match (&control, &certificates) {
                (Some(control), Some(certificates)) => {
                    Some(link(control.grpc_address(), certificates))
                }
                _ => None,
            };
            let gateway = material::gateway(config, section, &issuers, development, link)?;
            run_gateway(gateway, control.as_ref(), &signals)
        }
        None => control.as_ref().map_or(Ok(()), |control| {
            ready_line(&[
                ("gRPC", Some(control.grpc_address().to_string())),
                ("dashboard", dashboard(control)),
            ]);
            signals.wait();
            Ok(())
        }),
    };
    // The gateway is drained by now, so what it recorded last could still be shipped.
    if let Some(control) = control {
        runtime.block_on(control.stop());
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Only `sluice up`, which runs both planes, trusts a development provider.
pub(crate) fn development_issuers(config: &Config) -> DevelopmentIssuers {
    if config.gateway.is_some() && config.control.is_some() {
        DevelopmentIssuers::Allow
    } else {
        DevelopmentIssuers::Refuse
    }
}

fn run_gateway(
    gateway: GatewayConfig,
    control: Option<&Running>,
    signals: &Signals,
) -> Result<(), Failure> {
    let host = gateway.listen.advertised_host.clone();
    let gateway =
        Gateway::start(gateway).map_err(|error| Failure::refused(format!("gateway: {error}")))?;
    let mut outcome = Ok(());
    let mut remind = Instant::now() + REMIND_EVERY;
    let mut announced = false;
    while !signals.stopping() && outcome.is_ok() {
        if !announced && gateway.wait_ready(Duration::ZERO) {
            let bootstrap = Some(format!("{host}:{}", gateway.bootstrap().port()));
            ready_line(&[
                ("bootstrap", bootstrap),
                ("dashboard", control.and_then(dashboard)),
            ]);
            announced = true;
        }
        if !announced && Instant::now() >= remind {
            tracing::warn!(
                "not ready yet: it needs brokers that answer, keys of the issuers, and a snapshot of policy"
            );
            remind = Instant::now() + REMIND_EVERY;
        }
        if let Some(why) = gateway.failed_shard(LOOK_EVERY) {
            outcome = Err(Failure::refused(format!("gateway: {why}")));
        }
    }
    tracing::info!("draining");
    gateway.drain();
    outcome
}

fn start_control(
    runtime: &Runtime,
    config: &Config,
    section: &ControlSection,
    issuers: &[Issuer],
    development: DevelopmentIssuers,
    tls: TlsMaterial,
) -> Result<Running, Failure> {
    let control = material::control(config, section, issuers, development, tls);
    runtime
        .block_on(serve(control))
        .map_err(|error| Failure::refused(format!("control plane: {error}")))
}

fn control_tls(
    section: &ControlSection,
    generated: Option<&Certificates>,
) -> Result<TlsMaterial, Failure> {
    match (generated, &section.tls) {
        (Some(generated), _) => Ok(TlsMaterial {
            certificate_chain_pem: generated.control.certificate_pem.clone(),
            private_key_pem: generated.control.key_pem.clone(),
            gateway_ca_pem: generated.authority_pem.clone(),
        }),
        (None, Some(tls)) => material::control_tls(tls),
        (None, None) => Err(Failure::usage("`control` has no `tls`")),
    }
}

fn link(grpc: SocketAddr, certificates: &Certificates) -> LinkConfig {
    // Bound to every address, it is reachable at loopback.
    let host = match grpc.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => "127.0.0.1".to_owned(),
        ip if ip.is_unspecified() => "[::1]".to_owned(),
        ip => SocketAddr::new(ip, 0)
            .to_string()
            .trim_end_matches(":0")
            .to_owned(),
    };
    LinkConfig {
        endpoint: format!("https://{host}:{}", grpc.port()),
        tls: Some(LinkTls {
            certificate_pem: certificates.gateway.certificate_pem.clone(),
            key_pem: certificates.gateway.key_pem.clone(),
            roots_pem: certificates.authority_pem.clone(),
            server_name: CONTROL_NAME.to_owned(),
        }),
    }
}

fn write_authority(path: &Path, pem: &str) -> Result<(), Failure> {
    std::fs::write(path, pem)
        .map_err(|error| Failure::refused(format!("cannot write {}: {error}", path.display())))?;
    tracing::info!(
        "for the command line: SLUICE_CONTROL_ROOTS={}",
        path.display()
    );
    Ok(())
}

fn dashboard(control: &Running) -> Option<String> {
    control
        .dashboard_address()
        .map(|address| format!("http://{address}"))
}

/// The one line on standard output: scripts wait for it.
fn ready_line(parts: &[(&str, Option<String>)]) {
    let parts: Vec<String> = parts
        .iter()
        .filter_map(|(what, at)| at.as_ref().map(|at| format!("{what} {at}")))
        .collect();
    let mut out = std::io::stdout();
    // A closed standard output is no reason to stop serving.
    let _ = writeln!(out, "sluice is ready: {}", parts.join(", "));
    let _ = out.flush();
}

/// Logs go to standard error; `SLUICE_LOG` filters them.
fn start_log() {
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    let ansi = std::io::stderr().is_terminal();
    let _ = log.with_ansi(ansi).with_writer(std::io::stderr).try_init();
}
