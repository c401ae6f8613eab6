//! The gateway itself, as its users run it.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Client, Login};
use crate::daemon::Daemon;
use crate::place;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// `up`, `gateway` or `control`.
    pub verb: String,
    /// The text of sluice.yaml.
    pub config: String,
    /// The port that it opens last: accepting there means ready.
    pub ready_port: u16,
}

/// A running `sluice`.
#[derive(Debug)]
pub struct Gateway {
    daemon: Daemon,
    dir: PathBuf,
    ready_port: u16,
}

impl Gateway {
    /// Starts the binary that `SLUICE_BIN` names, or the one that cargo built beside these tests.
    pub fn start(options: &GatewayOptions) -> Self {
        let dir = place::run_dir("sluice");
        let config = dir.join("sluice.yaml");
        fs::write(&config, &options.config).expect("a configuration can be written");
        let mut daemon = Daemon::start("sluice", binary(), &dir.join("log"), |command| {
            command
                .arg(&options.verb)
                .arg("--config")
                .arg(&config)
                .current_dir(&dir);
        });
        let ready_port = options.ready_port;
        daemon.wait_until_ready(READY_WITHIN, |_| {
            TcpStream::connect(("127.0.0.1", ready_port)).is_ok()
        });
        Self {
            daemon,
            dir,
            ready_port,
        }
    }

    /// A client that goes through the gateway.
    pub fn client(&self, login: Login) -> Client {
        Client::new(format!("127.0.0.1:{}", self.ready_port), login)
    }

    /// Its working folder, with sluice.yaml and the log.
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// Its process, to stop, kill or pause it.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

fn binary() -> PathBuf {
    if let Some(named) = env::var_os("SLUICE_BIN") {
        return named.into();
    }
    // target/debug/deps/e2e-0123 -> target/debug/sluice
    let tests = env::current_exe().expect("a process knows its file");
    let beside = tests
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two folders deep")
        .join("sluice");
    assert!(
        beside.exists(),
        "{} is not there: cargo build -p sluice",
        beside.display()
    );
    beside
}
