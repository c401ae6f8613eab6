//! Client-side listeners: bootstrap, and one per broker at a port that its node id fixes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::accept::{AcceptError, AcceptRoom, ListenerId};
use crate::config::Listen;

/// Why a broker got no port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// `broker_port_base + node` is no port.
    #[error("node id {node} puts its port past 65535: choose a lower broker_port_base")]
    OperatorPortOutOfRange {
        /// The node's id.
        node: i32,
    },
}

/// The listeners of one gateway, and the node that each stands for.
#[derive(Debug)]
pub(crate) struct Listeners {
    listen: Listen,
    room: Arc<AcceptRoom>,
    open: Mutex<BTreeMap<ListenerId, Option<(i32, u16)>>>,
}

impl Listeners {
    /// Opens the bootstrap listener; brokers' ports open as the probe finds them.
    pub(crate) fn open(
        listen: Listen,
        room: Arc<AcceptRoom>,
    ) -> Result<(Self, SocketAddr), AcceptError> {
        let (id, address) = room.open(SocketAddr::new(listen.host, listen.bootstrap_port))?;
        let open = Mutex::new(BTreeMap::from([(id, None)]));
        Ok((Self { listen, room, open }, address))
    }

    /// The port of a node, opened at the first call.
    pub(crate) fn open_node(&self, node: i32) -> Result<u16, ListenError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, port)) = open.values().flatten().find(|(opened, _)| *opened == node) {
            return Ok(*port);
        }
        let port = i32::from(self.listen.broker_port_base)
            .checked_add(node)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or(ListenError::OperatorPortOutOfRange { node })?;
        let (id, address) = self.room.open(SocketAddr::new(self.listen.host, port))?;
        open.insert(id, Some((node, address.port())));
        Ok(address.port())
    }

    /// The node that a listener stands for; `None` for bootstrap.
    pub(crate) fn node(&self, listener: ListenerId) -> Option<i32> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&listener).copied().flatten().map(|(node, _)| node)
    }
}
