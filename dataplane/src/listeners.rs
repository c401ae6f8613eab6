//! Client-side listeners: bootstrap, and one per broker at a port that its node id fixes, unless brokers go by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::accept::{AcceptError, AcceptRoom, ListenerId};
use crate::config::{BrokerAddresses, Listen};

/// Why a broker got no address.
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

/// A client came for a name that is neither the gateway's nor a broker's.
#[derive(Debug)]
pub(crate) struct NameUnknown;

/// The listeners of one gateway, and the node that each stands for.
#[derive(Debug)]
pub(crate) struct Listeners {
    listen: Listen,
    bootstrap_port: u16,
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
        let listeners = Self {
            listen,
            bootstrap_port: address.port(),
            room,
            open,
        };
        Ok((listeners, address))
    }

    /// Host and port of a node, as clients are told; the port is opened at the first call.
    pub(crate) fn open_node(&self, node: i32) -> Result<(String, u16), ListenError> {
        match &self.listen.brokers {
            BrokerAddresses::Names(names) => Ok((names.name(node), self.bootstrap_port)),
            BrokerAddresses::Ports { base } => {
                let port = self.open_port(node, *base)?;
                Ok((self.listen.advertised_host.clone(), port))
            }
        }
    }

    fn open_port(&self, node: i32, base: u16) -> Result<u16, ListenError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, port)) = open.values().flatten().find(|(opened, _)| *opened == node) {
            return Ok(*port);
        }
        let port = i32::from(base)
            .checked_add(node)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or(ListenError::OperatorPortOutOfRange { node })?;
        let (id, address) = self.room.open(SocketAddr::new(self.listen.host, port))?;
        open.insert(id, Some((node, address.port())));
        Ok(address.port())
    }

    /// The node that a client came for, by the listener or by the name that it stated in TLS; `None` for bootstrap.
    pub(crate) fn node(
        &self,
        listener: ListenerId,
        server_name: Option<&str>,
    ) -> Result<Option<i32>, NameUnknown> {
        if let BrokerAddresses::Names(names) = &self.listen.brokers {
            // Without a name it is bootstrap: clients that connect to an IP address state none.
            let Some(name) = server_name else {
                return Ok(None);
            };
            if name.eq_ignore_ascii_case(&self.listen.advertised_host) {
                return Ok(None);
            }
            return names.node(name).map(Some).ok_or(NameUnknown);
        }
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(open.get(&listener).copied().flatten().map(|(node, _)| node))
    }
}
