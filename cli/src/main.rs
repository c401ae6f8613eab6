//! `sluice`, the one binary: both planes, their operator's checks, and what authors, approvers and auditors type.
//!
//! ```text
//! args ──► run      up, gateway, control: config ──► planes, until a signal drains them
//!      ├─► doctor   ways around the gateway
//!      ├─► client   everything that is a call to the control plane
//!      ├─► verify   evidence: offline, or against what the control plane holds
//!      └─► dev_provider   tokens for the demonstration
//! ```
#![forbid(unsafe_code)]

mod args;
mod client;
mod config;
mod dev_provider;
mod doctor;
mod failure;
mod limits;
mod run;
mod table;
mod time;
mod token;
mod verify;

#[cfg(test)]
mod demo_tests;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, EvidenceVerb, Verb};
use crate::config::Planes;
use crate::failure::Failure;

const _: () = assert!(
    !sluice_dataplane::FORWARDS_WITHOUT_EVIDENCE,
    "the feature `stages` is for benchmarks: build `sluice` without it"
);

fn main() -> ExitCode {
    // Two TLS users of this process may each bring a provider; this is the one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match dispatch(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sluice: {failure}");
            failure.exit.into()
        }
    }
}

fn dispatch(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Up(file) => run::run(&config::load(&file.config, Planes::Both)?),
        Verb::Gateway(file) => run::run(&config::load(&file.config, Planes::Gateway)?),
        Verb::Control(file) => run::run(&config::load(&file.config, Planes::Control)?),
        Verb::Doctor(file) => doctor::doctor(&file.config),
        Verb::DevProvider(args) => dev_provider::run_alone(&args),
        Verb::Evidence(EvidenceVerb::Verify(args)) => verify::verify(&args),
        Verb::Token(args) => block_on(token::token(&args)),
        Verb::Apply(_)
        | Verb::Plan(_)
        | Verb::Get(_)
        | Verb::Explain(_)
        | Verb::Request(_)
        | Verb::Approvals(_)
        | Verb::Sessions(_)
        | Verb::Evidence(EvidenceVerb::Search(_) | EvidenceVerb::Logs(_))
        | Verb::Gateways(_) => block_on(client::call(verb)),
    }
}

/// Runs one call on a small runtime of its own.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on_value(work)?
}

fn block_on_value<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(runtime
        .map_err(|error| Failure::refused(format!("no runtime: {error}")))?
        .block_on(work))
}
