//! Broker side: one connection per client connection, logged in with the gateway's own credential.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;
use sluice_kafka::frame::frame_length;
use sluice_session::Close;
use sluice_session::login::{Login, LoginStep, Offer};

use crate::clock;
use crate::net::{Sock, Stream, TlsRole};
use crate::shard_state::{BrokerNode, ShardState};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A login's answers are small; ApiVersions is the longest.
pub(crate) const LOGIN_FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Connects to the broker that a listener stands for and logs in.
pub(crate) async fn open(
    shard: &Rc<ShardState>,
    node: Option<i32>,
) -> Result<(Stream, Offer), Close> {
    let environment = shard.environment();
    let cluster = environment.cluster();
    let nodes: Vec<BrokerNode> = match node {
        Some(node) => cluster.nodes.get(&node).cloned().into_iter().collect(),
        // Another bootstrap broker first each time, so that one that is down is not tried first for ever.
        None => rotated(&cluster.bootstrap),
    };
    let mut last = format!(
        "no address is known for {}",
        node.map_or("bootstrap".into(), |node| format!("node {node}"))
    );
    for node in nodes {
        let address = node.address;
        let attempt = async {
            log_in(shard, &node)
                .await
                .map_err(|error| format!("{address}: {error}"))
        };
        let late = async {
            clock::sleep(LOGIN_TIMEOUT).await;
            Err(format!(
                "{address}: no login within {} s",
                LOGIN_TIMEOUT.as_secs()
            ))
        };
        match future::or(attempt, late).await {
            Ok(opened) => return Ok(opened),
            Err(error) => last = error,
        }
    }
    tracing::warn!("broker unreachable: {last}");
    Err(Close::BrokerUnreachable(last))
}

async fn log_in(shard: &ShardState, node: &BrokerNode) -> Result<(Stream, Offer), String> {
    let text = |error: std::io::Error| error.to_string();
    let sock = Sock::connect(&shard.driver, node.address, CONNECT_TIMEOUT)
        .await
        .map_err(text)?;
    let role = shard
        .config
        .broker_tls
        .clone()
        .map(|config| TlsRole::Client(config, node.server_name()));
    let stream = Stream::open(sock, role).await.map_err(text)?;
    let known = shard.scram_keys.borrow().clone();
    let (mut login, mut next) =
        Login::start(shard.config.broker_credential.clone(), nonce(), known);
    let mut answer = Vec::new();
    loop {
        stream.write_all(&next).await.map_err(text)?;
        read_frame(&stream, &mut answer).await?;
        match login.received(&answer).map_err(|error| error.to_string())? {
            LoginStep::Send(frame) => next = frame,
            LoginStep::Ready(offer) => {
                *shard.scram_keys.borrow_mut() = login.into_keys();
                return Ok((stream, offer));
            }
        }
    }
}

async fn read_frame(stream: &Stream, frame: &mut Vec<u8>) -> Result<(), String> {
    frame.clear();
    let mut chunk = [0; 4096];
    loop {
        let length =
            frame_length(frame, LOGIN_FRAME_BYTES_MAX).map_err(|error| error.to_string())?;
        let wanted = match length {
            Some(length) if length <= frame.len() => return Ok(()),
            Some(length) => length.saturating_sub(frame.len()),
            None => 4_usize.saturating_sub(frame.len()),
        };
        let room = chunk.len().min(wanted);
        let read = stream
            .read(chunk.get_mut(..room).unwrap_or_default())
            .await
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the broker closed the connection during login".into());
        }
        frame.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

fn rotated(nodes: &[BrokerNode]) -> Vec<BrokerNode> {
    let mut rotated = nodes.to_vec();
    let by = usize::try_from(clock::monotonic_ns())
        .unwrap_or(0)
        .checked_rem(rotated.len())
        .unwrap_or(0);
    rotated.rotate_left(by);
    rotated
}

/// A SCRAM nonce, unpredictable.
pub(crate) fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
