//! Puts the parts together, listens, and stops gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity as TlsIdentity, Server, ServerTlsConfig};

use crate::admin::AdminService;
use crate::administer::Administration;
use crate::approve::{Approvals, Webhook};
use crate::archive::Archive;
use crate::changes::ChangeLog;
use crate::config::{ControlConfig, LinkTrust};
use crate::control::{Control, blocking};
use crate::error::Error;
use crate::identity::Identity;
use crate::in_force::Follower;
use crate::index::Index;
use crate::keys::MaskKeys;
use crate::limits::APPROVALS_SWEEP;
use crate::link::LinkService;
use crate::publish::Publisher;
use crate::rpc::admin_server::AdminServer;
use crate::rpc::gateway_link_server::GatewayLinkServer;
use crate::store::{self, Space, Store};

/// What is still under way when a stop was asked for gets this long.
const DRAIN: Duration = Duration::from_secs(5);
const INDEX_EVERY: Duration = Duration::from_secs(1);

/// A running control plane. Dropped without [`Running::stop`], it goes on until its runtime ends.
#[derive(Debug)]
pub struct Running {
    grpc: SocketAddr,
    dashboard: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    publisher: Arc<Publisher>,
    tasks: Vec<JoinHandle<()>>,
}

/// Opens the store and the archive, takes the stored policy into force, and listens.
///
/// # Errors
/// Any [`Error`] about the configuration, the store or the state directory.
pub async fn serve(config: ControlConfig) -> Result<Running, Error> {
    check(&config)?;
    std::fs::create_dir_all(&config.state_dir)?;
    let clock = config.clock.clone();
    let archive = Archive::open(&config.state_dir.join("archive.sqlite"))?;
    let index = Index::open(&config.state_dir.join("index.sqlite"))?;
    let changes = Arc::new(ChangeLog::open(
        archive.clone(),
        &config.evidence_origin,
        &config.state_dir.join("evidence.key"),
        clock.clone(),
    )?);
    let store = store::open(&config.store, &config.state_dir, clock.unix_ms()).await?;
    let publisher = Arc::new(Publisher::new(clock.clone()));
    let mask_keys = MaskKeys::open(&*store).await?;
    let follower =
        Arc::new(Follower::start(Arc::clone(&store), Arc::clone(&publisher), mask_keys).await?);
    let webhook = config
        .webhook_url
        .as_deref()
        .map(Webhook::start)
        .transpose()?;
    let approvals = Approvals::start(
        Arc::clone(&store),
        Arc::clone(&publisher),
        Arc::clone(&changes),
        webhook,
        clock.clone(),
    )
    .await?;
    let identity = Identity::new(
        &config.issuers,
        config.development_issuers,
        config.first_author.clone(),
        clock.clone(),
    )?;
    let administration = Administration {
        store: Arc::clone(&store),
        follower: Arc::clone(&follower),
        changes,
    };
    let control = Arc::new(Control {
        clock,
        identity,
        follower,
        administration,
        publisher,
        approvals,
        archive,
        index,
    });

    let publisher = Arc::clone(&control.publisher);
    let (stop, stopping) = watch::channel(false);
    let listener = TcpListener::bind(config.grpc_listen).await?;
    let grpc = listener.local_addr()?;
    let mut tasks = vec![
        tokio::spawn(until(
            stopping.clone(),
            follow(Arc::clone(&control), Arc::clone(&store)),
        )),
        tokio::spawn(until(stopping.clone(), sweep(Arc::clone(&control)))),
        tokio::spawn(until(stopping.clone(), keep_indexing(Arc::clone(&control)))),
    ];
    let router = grpc_server(&config.link)?
        .add_service(AdminServer::new(AdminService(Arc::clone(&control))))
        .add_service(GatewayLinkServer::new(LinkService {
            control: Arc::clone(&control),
            trust: config.link.clone(),
        }));
    let grpc_stopping = stopped(stopping.clone());
    tasks.push(tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        if let Err(error) = router
            .serve_with_incoming_shutdown(incoming, grpc_stopping)
            .await
        {
            tracing::error!("gRPC listener: {error}");
        }
    }));
    let mut dashboard = None;
    if let Some(address) = config.dashboard_listen {
        let listener = TcpListener::bind(address).await?;
        dashboard = Some(listener.local_addr()?);
        let pages = crate::web::router(control);
        let web_stopping = stopped(stopping);
        tasks.push(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, pages)
                .with_graceful_shutdown(web_stopping)
                .await
            {
                tracing::error!("dashboard listener: {error}");
            }
        }));
    }
    tracing::info!("control plane: gRPC on {grpc}, dashboard on {dashboard:?}");
    Ok(Running {
        grpc,
        dashboard,
        stop,
        publisher,
        tasks,
    })
}

impl Running {
    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc
    }

    /// Where the dashboard is served.
    pub fn dashboard_address(&self) -> Option<SocketAddr> {
        self.dashboard
    }

    /// Stops listening, gives what is under way some seconds, and returns when all is closed. Streams to gateways end;
    /// the gateways go on with their last good snapshot.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.publisher.close();
        let deadline = tokio::time::Instant::now() + DRAIN;
        for mut task in self.tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
                let _ = task.await;
            }
        }
    }
}

/// Refuses to send tokens or mask keys in plain text beyond loopback.
fn check(config: &ControlConfig) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::OperatorConfig(why));
    if let LinkTrust::DangerPlainLoopback = config.link
        && !config.grpc_listen.ip().is_loopback()
    {
        return refuse(format!(
            "gRPC without TLS beyond loopback: {}",
            config.grpc_listen
        ));
    }
    if let Some(address) = config.dashboard_listen
        && !address.ip().is_loopback()
    {
        return refuse(format!(
            "the dashboard speaks plain HTTP, so it listens on loopback only, not on {address}"
        ));
    }
    if config.issuers.is_empty() {
        return refuse("without an issuer nobody can log in".to_owned());
    }
    Ok(())
}

fn grpc_server(link: &LinkTrust) -> Result<Server, Error> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(Some(256))
        .timeout(Duration::from_secs(60));
    let LinkTrust::MutualTls(material) = link else {
        return Ok(server);
    };
    let tls = ServerTlsConfig::new()
        .identity(TlsIdentity::from_pem(
            &material.certificate_chain_pem,
            &material.private_key_pem,
        ))
        .client_ca_root(Certificate::from_pem(&material.gateway_ca_pem))
        // People come without a certificate and with a token; the link refuses who has none.
        .client_auth_optional(true);
    server
        .tls_config(tls)
        .map_err(|error| Error::OperatorConfig(format!("TLS material: {error}")))
}

/// Takes over what other control planes on the same store change.
async fn follow(control: Arc<Control>, store: Arc<dyn Store>) {
    let mut policy = store.watch(Space::Policy);
    let mut approvals = store.watch(Space::Approvals);
    loop {
        let refreshed = tokio::select! {
            changed = policy.changed() => match changed {
                Ok(()) => control.follower.refresh().await,
                Err(_) => return,
            },
            changed = approvals.changed() => match changed {
                Ok(()) => control.approvals.refresh().await,
                Err(_) => return,
            },
        };
        if let Err(error) = refreshed {
            tracing::error!("the store changed and cannot be read: {error}");
        }
    }
}

async fn sweep(control: Arc<Control>) {
    let mut ticks = tokio::time::interval(APPROVALS_SWEEP);
    loop {
        ticks.tick().await;
        if let Err(error) = control.approvals.sweep().await {
            tracing::warn!("time-outs of approvals are not stored yet: {error}");
        }
    }
}

/// Searches catch up by themselves; this keeps what they have to catch up with short.
async fn keep_indexing(control: Arc<Control>) {
    let mut ticks = tokio::time::interval(INDEX_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (archive, index) = (control.archive.clone(), control.index.clone());
        if let Err(error) = blocking(move || index.catch_up(&archive)).await {
            tracing::error!("the index falls behind the archive: {error}");
        }
    }
}

async fn until(stopping: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stopped(stopping) => {}
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that nobody is left who could ask for a stop: go on.
    if stopping.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
