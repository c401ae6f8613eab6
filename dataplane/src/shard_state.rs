//! What one shard owns: its copies of what the other threads publish, its journal and its buffers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use sluice_identity::jwt::TrustedIssuer;
use sluice_identity::scram::Keys;
use sluice_session::environment::{Environment, Grants, Now, Shared, Snapshot, Standing, Topology};
use sluice_session::order_gate::OrderGate;
use sluice_session::registry::{ProducerIds, TopicIds, TopicNames};

use crate::clock;
use crate::config::GatewayConfig;
use crate::control::asks::Asks;
use crate::control::keys::UnknownKey;
use crate::journal::Journal;
use crate::ledger::ShardLedger;
use crate::mailbox::{Mailbox, Reader};
use crate::metrics::Metrics;
use crate::net::Driver;

/// Bytes read at once from an active connection.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;
/// Buffers that a shard keeps for the next active connection.
const BUFFERS_KEPT_MAX: usize = 64;

/// What the control thread publishes to every shard.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) snapshot: Arc<Mailbox<Option<Arc<Snapshot>>>>,
    pub(crate) issuers: Arc<Mailbox<Vec<TrustedIssuer>>>,
    pub(crate) cluster: Arc<Mailbox<Cluster>>,
    pub(crate) grants: Arc<Mailbox<Grants>>,
    pub(crate) tables: Arc<SharedTables>,
}

/// The cluster as the last probe found it, with the addresses that only the shell knows.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) topology: Topology,
    pub(crate) bootstrap: Vec<BrokerNode>,
    pub(crate) nodes: BTreeMap<i32, BrokerNode>,
}

/// Where a broker is, and the name that its certificate must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerNode {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
}

impl BrokerNode {
    /// The host as it was configured or advertised: a DNS name, or the address itself.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone())
            .unwrap_or_else(|_| ServerName::IpAddress(self.address.ip().into()))
    }
}

/// The process-wide tables of the slow path.
#[derive(Debug, Default)]
pub(crate) struct SharedTables {
    order_gate: Mutex<OrderGate>,
    producer_ids: Mutex<ProducerIds>,
    topic_ids: Mutex<TopicIds>,
    topic_names: Mutex<TopicNames>,
    pub(crate) asks: Asks,
    pub(crate) unknown_key: UnknownKey,
}

impl Shared for SharedTables {
    fn order_gate(&self, ask: &mut dyn FnMut(&mut OrderGate)) {
        ask(&mut self
            .order_gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner));
    }

    fn producer_ids(&self, ask: &mut dyn FnMut(&mut ProducerIds)) {
        ask(&mut self
            .producer_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner));
    }

    fn topic_ids(&self, ask: &mut dyn FnMut(&mut TopicIds)) {
        ask(&mut self
            .topic_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner));
    }

    fn topic_names(&self, ask: &mut dyn FnMut(&mut TopicNames)) {
        ask(&mut self
            .topic_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner));
    }

    fn approval(&self, principal: &str, topic: &str, rule: &str) -> Standing {
        self.asks.standing(principal, topic, rule)
    }

    fn unknown_key(&self) {
        self.unknown_key.raise();
    }
}

/// One shard's state, shared by its tasks.
pub(crate) struct ShardState {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) driver: Rc<Driver>,
    pub(crate) journal: Journal,
    pub(crate) buffers: BufferPool,
    pub(crate) ledger: Rc<ShardLedger>,
    pub(crate) metrics: Arc<Metrics>,
    /// Keys of the last SCRAM login, which spare the next one the derivation.
    pub(crate) scram_keys: RefCell<Option<Keys>>,
    readers: RefCell<Readers>,
    tables: Arc<SharedTables>,
}

struct Readers {
    snapshot: Reader<Option<Arc<Snapshot>>>,
    issuers: Reader<Vec<TrustedIssuer>>,
    cluster: Reader<Cluster>,
    grants: Reader<Grants>,
}

impl ShardState {
    pub(crate) fn new(
        config: Arc<GatewayConfig>,
        driver: Rc<Driver>,
        journal: Journal,
        metrics: Arc<Metrics>,
        published: &Published,
        connections_bytes_max: usize,
    ) -> Rc<Self> {
        let readers = Readers {
            snapshot: published.snapshot.reader(),
            issuers: published.issuers.reader(),
            cluster: published.cluster.reader(),
            grants: published.grants.reader(),
        };
        Rc::new(Self {
            ledger: ShardLedger::new(connections_bytes_max),
            config,
            driver,
            journal,
            buffers: BufferPool::default(),
            metrics,
            scram_keys: RefCell::new(None),
            readers: RefCell::new(readers),
            tables: published.tables.clone(),
        })
    }

    /// What a session may look at now.
    pub(crate) fn environment(&self) -> HeldEnvironment {
        let mut readers = self.readers.borrow_mut();
        HeldEnvironment {
            now: Now {
                unix_ns: clock::now_unix_ns(),
            },
            snapshot: readers.snapshot.newest().1.clone(),
            issuers: readers.issuers.newest().1.clone(),
            cluster: readers.cluster.newest().1.clone(),
            grants: readers.grants.newest().1.clone(),
            shared: self.tables.clone(),
        }
    }
}

/// Holds what an [`Environment`] borrows, for one step.
pub(crate) struct HeldEnvironment {
    now: Now,
    snapshot: Arc<Option<Arc<Snapshot>>>,
    issuers: Arc<Vec<TrustedIssuer>>,
    pub(crate) cluster: Arc<Cluster>,
    grants: Arc<Grants>,
    shared: Arc<SharedTables>,
}

impl HeldEnvironment {
    pub(crate) fn view(&self) -> Environment<'_> {
        Environment {
            now: self.now,
            snapshot: (*self.snapshot).as_ref(),
            issuers: &self.issuers,
            topology: &self.cluster.topology,
            grants: &self.grants,
            shared: &*self.shared,
        }
    }
}

/// Read buffers of idle connections, for the next active one.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    free: RefCell<Vec<Vec<u8>>>,
    taken_count: Cell<usize>,
}

impl BufferPool {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.taken_count.set(self.taken_count.get() + 1);
        self.free
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; BUFFER_BYTES])
    }

    /// Keeps ordinary buffers; one that grew for a long frame is freed.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        if buffer.is_empty() {
            return;
        }
        self.taken_count
            .set(self.taken_count.get().saturating_sub(1));
        let mut free = self.free.borrow_mut();
        if buffer.len() == BUFFER_BYTES && free.len() < BUFFERS_KEPT_MAX {
            free.push(buffer);
        }
    }
}
