//! Finds the cluster: its nodes, what each of them speaks, and the names of its topics and their ids.
//!
//! Runs on the control thread at start and every few seconds; sessions only read what it published.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::Request;
use sluice_kafka::frame::frame_length;
use sluice_kafka::messages;
use sluice_session::environment::{Node, Shared, Topology};
use sluice_session::limits::{FRAME_BYTES_MAX, TOPIC_NAMES_MAX};
use sluice_session::login::{Login, LoginStep, Offer};
use sluice_session::registry::TopicNames;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Ready;
use super::drift::Watch;
use crate::broker::{LOGIN_FRAME_BYTES_MAX, nonce};
use crate::clock;
use crate::config::GatewayConfig;
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::shard_state::{BrokerNode, Cluster, Published, SharedTables};

/// How long the order gate remembers a refused sequence that is not tried again: longer than any client retries.
const ORDER_GATE_MEMORY_MS: u64 = 15 * 60 * 1000;
const PROBE_EVERY: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_VERSION: i16 = 12;
/// Topic ids that are learned under one lock.
const LEARNED_AT_ONCE: usize = 256;

#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Tls(String),
    #[error("frame: {0}")]
    Frame(sluice_kafka::FrameError),
    #[error("{0}")]
    Login(#[from] sluice_session::login::LoginError),
    #[error("a request of the gateway's own: {0}")]
    Request(#[from] sluice_kafka::MessageError),
    #[error("an answer to the gateway: {0}")]
    Answer(#[from] sluice_kafka::Malformed),
    #[error("no answer within {} s", PROBE_TIMEOUT.as_secs())]
    TimedOut,
}

/// Probes for the life of the process.
pub(crate) async fn keep(
    config: Arc<GatewayConfig>,
    published: Arc<Published>,
    listeners: Arc<Listeners>,
    ready: Arc<Ready>,
    metrics: Arc<Metrics>,
) {
    let mut last = Cluster::default();
    let mut watch = Watch::default();
    loop {
        // A refusal that nobody retries any more holds nothing up.
        let abandoned_ms = clock::now_unix_ms().saturating_sub(ORDER_GATE_MEMORY_MS);
        published
            .tables
            .order_gate(&mut |gate| gate.expire(i64::try_from(abandoned_ms).unwrap_or(0)));
        match probe(&config, &published, &listeners).await {
            Some((cluster, topics)) => {
                // Not the topology alone: a broker may have moved, which clients are not told.
                if cluster != last {
                    if cluster.nodes.keys().ne(last.nodes.keys()) {
                        tracing::info!(nodes = ?cluster.topology.nodes.keys(), "the cluster's brokers");
                    }
                    last = cluster.clone();
                    published.cluster.publish(Arc::new(cluster));
                    published.cluster.reclaim();
                    ready.cluster();
                }
                watch
                    .look(&config, &published, &last, &topics, &metrics)
                    .await;
                tokio::time::sleep(PROBE_EVERY).await;
            }
            None => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Shards wait for these tables, so they are locked for some topics at a time only.
fn learn_topics(metadata: &MetadataResponse, tables: &SharedTables) {
    for topics in metadata.topics.chunks(LEARNED_AT_ONCE) {
        tables.topic_ids(&mut |ids| {
            for topic in topics {
                if let Some(name) = &topic.name {
                    ids.learn(*topic.topic_id.as_bytes(), name);
                }
            }
        });
    }
    // Nobody else writes them.
    let mut names = TopicNames::default();
    tables.topic_names(&mut |known| names = known.clone());
    let before = names.generation();
    names.learn(
        metadata
            .topics
            .iter()
            .filter_map(|topic| topic.name.as_ref().map(|name| &***name)),
    );
    if names.generation() == before {
        return;
    }
    if names.names().is_none() {
        tracing::warn!(
            topics = metadata.topics.len(),
            most = TOPIC_NAMES_MAX,
            "the cluster has more topics than patterns of subscriptions are resolved against"
        );
    }
    // The old names are freed here, after the lock.
    tables.topic_names(&mut |known| std::mem::swap(known, &mut names));
}

/// One look at the cluster through the first bootstrap broker that answers, and then at each node.
async fn probe(
    config: &GatewayConfig,
    published: &Published,
    listeners: &Listeners,
) -> Option<(Cluster, Vec<String>)> {
    let mut bootstrap = Vec::new();
    for broker in &config.brokers {
        match tokio::net::lookup_host(broker.as_str()).await {
            Ok(found) => bootstrap.extend(found.map(|address| BrokerNode {
                address,
                host: host_of(broker).to_owned(),
            })),
            Err(error) => tracing::warn!(broker, "bootstrap address not resolved: {error}"),
        }
    }
    let mut metadata = None;
    for node in &bootstrap {
        let address = node.address;
        match within(look(config, node, true)).await {
            Ok((offer, found)) => {
                metadata = found.map(|found| (offer, found));
                break;
            }
            Err(error) => tracing::warn!(%address, "bootstrap broker not usable: {error}"),
        }
    }
    let (mut common, metadata) = metadata?;
    common = common.narrowed();
    learn_topics(&metadata, &published.tables);
    let mut cluster = Cluster {
        bootstrap,
        ..Cluster::default()
    };
    let mut nodes = BTreeMap::new();
    for broker in &metadata.brokers {
        let node = broker.node_id.0;
        let Some(address) = resolve(&broker.host, broker.port).await else {
            continue;
        };
        let (advertised_host, advertised_port) = match listeners.open_node(node) {
            Ok(advertised) => advertised,
            Err(error) => {
                tracing::error!(
                    node,
                    "no address for this broker, clients are not told of it: {error}"
                );
                continue;
            }
        };
        let reached = BrokerNode {
            address,
            host: broker.host.to_string(),
        };
        match within(look(config, &reached, false)).await {
            Ok((offer, _)) => {
                let offer = offer.narrowed();
                common = common.common(&offer);
                nodes.insert(
                    node,
                    Node {
                        advertised_host,
                        advertised_port,
                        offer,
                    },
                );
                cluster.nodes.insert(node, reached);
            }
            Err(error) => tracing::warn!(node, %address, "broker not usable: {error}"),
        }
    }
    if nodes.is_empty() {
        return None;
    }
    cluster.topology = Topology {
        nodes,
        common_offer: common,
        broker_user: config.broker_credential.user().to_owned(),
    };
    let names = metadata.topics.into_iter().filter_map(|topic| topic.name);
    Some((cluster, names.map(|name| name.to_string()).collect()))
}

pub(super) async fn within<T>(
    probe: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    tokio::time::timeout(PROBE_TIMEOUT, probe)
        .await
        .unwrap_or(Err(ProbeError::TimedOut))
}

/// The host of `host:port`, brackets of an IPv6 address left out.
fn host_of(broker: &str) -> &str {
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

async fn resolve(host: &str, port: i32) -> Option<SocketAddr> {
    let port = u16::try_from(port).ok()?;
    tokio::net::lookup_host((host, port)).await.ok()?.next()
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection to one broker, after the login.
pub(super) struct LoggedIn {
    stream: Box<dyn Duplex>,
    offer: Offer,
}

impl LoggedIn {
    pub(super) async fn connect(
        config: &GatewayConfig,
        node: &BrokerNode,
    ) -> Result<Self, ProbeError> {
        let mut stream = connect(config, node).await?;
        let (mut login, mut next) = Login::start(config.broker_credential.clone(), nonce(), None);
        let offer = loop {
            let answer = exchange(&mut *stream, &next, LOGIN_FRAME_BYTES_MAX).await?;
            match login.received(&answer)? {
                LoginStep::Send(frame) => next = frame,
                LoginStep::Ready(offer) => break offer,
            }
        };
        Ok(Self { stream, offer })
    }

    pub(super) async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, ProbeError> {
        let mut frame = Vec::new();
        messages::encode_request_frame(version, 1, Some("sluice-gateway"), request, &mut frame)?;
        let answer = Bytes::from(exchange(&mut *self.stream, &frame, FRAME_BYTES_MAX).await?);
        let (_, response) = messages::decode_response_frame::<R>(&answer, version)?;
        Ok(response)
    }
}

async fn connect(config: &GatewayConfig, node: &BrokerNode) -> Result<Box<dyn Duplex>, ProbeError> {
    let tcp = TcpStream::connect(node.address).await?;
    tcp.set_nodelay(true)?;
    Ok(match &config.broker_tls {
        None => Box::new(tcp),
        Some(tls) => {
            let name = node.server_name();
            let connector = tokio_rustls::TlsConnector::from(tls.clone());
            Box::new(
                connector
                    .connect(name, tcp)
                    .await
                    .map_err(|error| ProbeError::Tls(error.to_string()))?,
            )
        }
    })
}

/// Logs in at one broker; with `describe` also asks for the cluster and all topics.
async fn look(
    config: &GatewayConfig,
    node: &BrokerNode,
    describe: bool,
) -> Result<(Offer, Option<MetadataResponse>), ProbeError> {
    let mut broker = LoggedIn::connect(config, node).await?;
    let metadata = if describe {
        let request = MetadataRequest::default()
            .with_topics(None)
            .with_allow_auto_topic_creation(false);
        Some(broker.ask(METADATA_VERSION, &request).await?)
    } else {
        None
    };
    Ok((broker.offer, metadata))
}

/// Sends one frame and reads one.
async fn exchange(
    stream: &mut dyn Duplex,
    frame: &[u8],
    frame_bytes_max: usize,
) -> Result<Vec<u8>, ProbeError> {
    stream.write_all(frame).await?;
    let mut answer = vec![0; 4];
    stream.read_exact(&mut answer).await?;
    let length = frame_length(&answer, frame_bytes_max)
        .map_err(ProbeError::Frame)?
        .unwrap_or(4);
    let rest = (length as u64).saturating_sub(4);
    let read = stream.take(rest).read_to_end(&mut answer).await?;
    if (read as u64) < rest {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(answer)
}
