//! A real etcd of one member.

use std::process::Command;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::http::http_get;
use crate::{place, ports};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// etcd 3.4 as Debian packages it, on loopback without TLS.
#[derive(Debug)]
pub struct Etcd {
    daemon: Daemon,
    endpoint: String,
}

impl Etcd {
    /// An empty store of one's own.
    pub fn start() -> Self {
        let dir = place::run_dir("etcd");
        let endpoint = format!("http://127.0.0.1:{}", ports::free_port());
        let peers = format!("http://127.0.0.1:{}", ports::free_port());
        let mut daemon = Daemon::start("etcd", "etcd", &dir.join("log"), |command| {
            command
                .args([
                    "--name",
                    "tests",
                    "--logger",
                    "zap",
                    "--log-level",
                    "warn",
                    "--data-dir",
                ])
                .arg(dir.join("data"))
                .args([
                    "--listen-client-urls",
                    &endpoint,
                    "--advertise-client-urls",
                    &endpoint,
                ])
                .args([
                    "--listen-peer-urls",
                    &peers,
                    "--initial-advertise-peer-urls",
                    &peers,
                ])
                .args(["--initial-cluster", &format!("tests={peers}")]);
        });
        let health = format!("{endpoint}/health");
        // Healthy means that it has elected itself and would accept a write.
        daemon.wait_until_ready(READY_WITHIN, |_| {
            http_get(&health).is_ok_and(|answer| answer.status == 200)
        });
        Self { daemon, endpoint }
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its process, to pause or to kill it.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Runs `etcdctl` against it and returns what it printed.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoint])
            .args(arguments)
            .output()
            .unwrap_or_else(|error| {
                panic!("etcdctl does not run ({error}): run scripts/test once, it installs it")
            });
        assert!(
            output.status.success(),
            "etcdctl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
