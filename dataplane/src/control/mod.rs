//! The control thread: the only place of the data plane with tokio and tonic.
//!
//! It fetches keys, probes the cluster, holds the control link and ships evidence. Shards read what it publishes; nothing
//! here is on the path of a request.

pub(crate) mod asks;
mod drift;
mod http;
pub(crate) mod keys;
pub(crate) mod link;
mod probe;
mod ship;

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sluice_proto::v1;
use sluice_session::environment::Snapshot;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::{GatewayConfig, LinkConfig};
use crate::journal::JournalLog;
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::shard_state::Published;

/// The client stubs of the control link.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
pub(crate) mod rpc {
    tonic::include_proto!("sluice.v1");
}

/// Why the control thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The endpoint or its TLS material.
    #[error("link: {0}")]
    OperatorLink(#[from] tonic::transport::Error),
    /// The control link would cross a network without TLS.
    #[error("link endpoint {0} is not on loopback and has no TLS: give the gateway a certificate")]
    OperatorLinkPlainText(String),
    /// The host.
    #[error("control thread: {0}")]
    Host(#[from] std::io::Error),
}

/// The snapshot in force and what it needs to be put there.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Arc<Metrics>,
    ready: Arc<Ready>,
}

impl InForce {
    fn held(&self) -> Option<sluice_policy::Revision> {
        let newest = self.published.snapshot.reader();
        let snapshot = newest.seen().as_ref().as_ref()?;
        Some(snapshot.tables.revision())
    }

    fn revision(&self) -> Option<v1::Revision> {
        self.held().map(|revision| v1::Revision {
            incarnation: revision.incarnation,
            number: revision.number,
        })
    }

    fn put(&self, snapshot: Snapshot) {
        let revision = snapshot.tables.revision();
        self.published
            .snapshot
            .publish(Arc::new(Some(Arc::new(snapshot))));
        self.published.snapshot.reclaim();
        self.metrics.revision(revision.number);
        self.ready.snapshot();
        tracing::info!(%revision, "snapshot in force");
    }
}

/// What must be there before the first client is served.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    state: Mutex<ReadyState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ReadyState {
    snapshot: bool,
    cluster: bool,
    issuers: bool,
}

impl ReadyState {
    fn all(&self) -> bool {
        self.snapshot && self.cluster && self.issuers
    }
}

impl Ready {
    fn set(&self, change: impl FnOnce(&mut ReadyState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    pub(crate) fn snapshot(&self) {
        self.set(|state| state.snapshot = true);
    }

    pub(crate) fn cluster(&self) {
        self.set(|state| state.cluster = true);
    }

    pub(crate) fn issuers(&self) {
        self.set(|state| state.issuers = true);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .all()
    }

    fn wait(&self, timeout: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(state, timeout, |state| !state.all());
        waited.unwrap_or_else(PoisonError::into_inner).0.all()
    }
}

/// The running control thread.
#[derive(Debug)]
pub(crate) struct ControlThread {
    thread: JoinHandle<()>,
    stop: mpsc::Sender<()>,
    ready: Arc<Ready>,
    linked: bool,
}

impl ControlThread {
    pub(crate) fn start(
        config: Arc<GatewayConfig>,
        published: Arc<Published>,
        listeners: Arc<Listeners>,
        metrics: Arc<Metrics>,
        logs: Vec<Arc<JournalLog>>,
    ) -> Result<Self, ControlError> {
        let channel_of = config.link.clone();
        let linked = channel_of.is_some();
        let ready = Arc::new(Ready::default());
        if published.snapshot.reader().seen().is_some() {
            ready.snapshot();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_name("control")
            .enable_all()
            .build()?;
        let channel = {
            let _entered = runtime.enter();
            channel_of.as_ref().map(connect).transpose()?
        };
        let (stop, stopped) = mpsc::channel();
        let thread_ready = ready.clone();
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                let in_force = Arc::new(InForce {
                    published: published.clone(),
                    metrics: metrics.clone(),
                    ready: thread_ready.clone(),
                });
                runtime.block_on(async move {
                    let tables = published.tables.clone();
                    tokio::spawn(keys::keep(
                        config.issuers.clone(),
                        published.clone(),
                        thread_ready.clone(),
                    ));
                    tokio::spawn(probe::keep(
                        config.clone(),
                        published,
                        listeners,
                        thread_ready.clone(),
                        metrics.clone(),
                    ));
                    if let Some(address) = config.metrics {
                        tokio::spawn(http::serve(address, metrics, thread_ready));
                    }
                    if let Some(channel) = channel {
                        let (name, dir) = (config.name.clone(), config.state_dir.clone());
                        tokio::spawn(link::keep(channel.clone(), name.clone(), dir, in_force));
                        tokio::spawn(ship::keep(channel.clone(), name.clone(), logs));
                        tokio::spawn(async move { tables.asks.keep(channel, name).await });
                    }
                    // The sender is dropped, or says so, when the gateway ends.
                    let _ = tokio::task::spawn_blocking(move || stopped.recv()).await;
                });
                runtime.shutdown_background();
            })?;
        Ok(Self {
            thread,
            stop,
            ready,
            linked,
        })
    }

    /// Whether there is a control plane to ship evidence to.
    pub(crate) fn is_linked(&self) -> bool {
        self.linked
    }

    pub(crate) fn wait_ready(&self, timeout: Duration) -> bool {
        self.ready.wait(timeout)
    }

    pub(crate) fn stop(self) {
        drop(self.stop);
        // The thread's panic was logged where it happened.
        let _ = self.thread.join();
    }
}

fn connect(link: &LinkConfig) -> Result<Channel, ControlError> {
    let endpoint = Endpoint::from_shared(link.endpoint.clone())?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    let Some(tls) = &link.tls else {
        let host = endpoint.uri().host().unwrap_or_default();
        let loopback = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if !loopback {
            return Err(ControlError::OperatorLinkPlainText(link.endpoint.clone()));
        }
        return Ok(endpoint.connect_lazy());
    };
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&tls.roots_pem))
        .identity(Identity::from_pem(&tls.certificate_pem, &tls.key_pem))
        .domain_name(&tls.server_name);
    Ok(endpoint.tls_config(config)?.connect_lazy())
}
