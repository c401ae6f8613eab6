//! One stage of the gateway more with each `--stage`, from passing bytes on to deciding, between clients and a broker: see
//! `sluice_dataplane::stages`. `scripts/stages` starts it; the stages after these are the gateway itself.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sluice_dataplane::config::{
    BrokerAddresses, DevelopmentIssuers, GatewayConfig, IssuerConfig, Listen,
};
use sluice_dataplane::shard::ShardOptions;
use sluice_dataplane::stages::{Relay, Stage, gateway_without_evidence};
use sluice_session::login::Credential;

const USAGE: &str = "\
stage-relay --stage pass-through|frame --cpu CPU --listen HOST:PORT --broker HOST:PORT
stage-relay --stage decide --cpu CPU --listen HOST:PORT --broker HOST:PORT
            --broker-port-base PORT    broker n is listened for at PORT + n
            --state-dir DIR            holds the snapshot of policy that a gateway kept there
            --issuer NAME=URL          whose tokens are accepted, of audience `sluice`; may be a development provider

Relays on one shard, pinned to CPU, until it is ended. decide is the gateway in all but evidence, which it throws away.";

const READY_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("stage-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<std::convert::Infallible, String> {
    let options = Options::read()?;
    let listen: SocketAddr = options.parsed("listen")?;
    let broker: SocketAddr = options.parsed("broker")?;
    let cpu: usize = options.parsed("cpu")?;
    let stage = match options.text("stage")? {
        "pass-through" => Stage::PassThrough,
        "frame" => Stage::Frame,
        "decide" => return decide(&options, listen, broker, cpu),
        _ => return Err(USAGE.to_owned()),
    };
    let relay = Relay::start(stage, listen, broker, &ShardOptions::on_cpus([cpu]))
        .map_err(|error| error.to_string())?;
    say_ready(relay.address());
    until_it_ends(|timeout| relay.failed_shard(timeout))
}

fn decide(
    options: &Options,
    listen: SocketAddr,
    broker: SocketAddr,
    cpu: usize,
) -> Result<std::convert::Infallible, String> {
    let (name, url) = options.text("issuer")?.split_once('=').ok_or(USAGE)?;
    let gateway = gateway_without_evidence(GatewayConfig {
        name: "stage-relay".to_owned(),
        state_dir: PathBuf::from(options.text("state-dir")?),
        listen: Listen {
            host: listen.ip(),
            advertised_host: listen.ip().to_string(),
            bootstrap_port: listen.port(),
            brokers: BrokerAddresses::Ports {
                base: options.parsed("broker-port-base")?,
            },
        },
        client_tls: None,
        brokers: vec![broker.to_string()],
        broker_credential: Credential::DangerNone,
        broker_tls: None,
        issuers: vec![IssuerConfig {
            name: name.to_owned(),
            url: url.to_owned(),
            audience: "sluice".to_owned(),
            roots: None,
            development: DevelopmentIssuers::Allow,
        }],
        link: None,
        shard_cpus: vec![cpu],
        hot_us: 0,
        connections_bytes_max: 1 << 30,
        metrics: None,
    })
    .map_err(|error| error.to_string())?;
    if !gateway.wait_ready(READY_WITHIN) {
        return Err("no broker, no issuer, or no whole snapshot in --state-dir".to_owned());
    }
    say_ready(gateway.bootstrap());
    until_it_ends(|timeout| gateway.failed_shard(timeout))
}

fn until_it_ends(
    failed: impl Fn(Duration) -> Option<String>,
) -> Result<std::convert::Infallible, String> {
    loop {
        if let Some(why) = failed(LOOK_EVERY) {
            return Err(why);
        }
    }
}

fn say_ready(address: SocketAddr) {
    let mut out = std::io::stdout();
    // Whoever started it may not read on; that is no reason to stop.
    let _ = writeln!(out, "stage-relay is ready on {address}").and_then(|()| out.flush());
}

struct Options(HashMap<String, String>);

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = HashMap::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let name = name.strip_prefix("--").ok_or(USAGE)?;
            let value = arguments.next().ok_or(USAGE)?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    fn text(&self, name: &str) -> Result<&str, String> {
        let value = self.0.get(name).map(String::as_str);
        value.ok_or_else(|| format!("--{name} is missing\n{USAGE}"))
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        let parsed = self.text(name)?.parse();
        parsed.map_err(|_| format!("--{name} is not understood\n{USAGE}"))
    }
}
