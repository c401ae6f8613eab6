//! What one shard owns: its copies of what the other threads publish, its journal and its buffers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use sluice_identity::jwt::TrustedIssuer;
use sluice_identity::scram::Keys;
use sluice_session::MaskScratch;
use sluice_session::environment::{Environment, Grants, Now, Shared, Snapshot, Standing, Topology};
use sluice_session::order_gate::OrderGate;
use sluice_session::producer_ids::ProducerIds;
use sluice_session::registry::{TopicIds, TopicNames};

use crate::buffers::BufferPool;
use crate::clock;
use crate::config::GatewayConfig;
use crate::control::asks::Asks;
use crate::control::keys::UnknownKey;
use crate::journal::Journal;
use crate::ledger::ShardLedger;
use crate::mailbox::{Mailbox, Reader};
use crate::metrics::Metrics;
use crate::net::Driver;

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
    producer_ids_generation: AtomicU64,
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
        let mut ids = self
            .producer_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ask(&mut ids);
        self.producer_ids_generation
            .store(ids.generation(), Ordering::Release);
    }

    fn producer_ids_generation(&self) -> u64 {
        self.producer_ids_generation.load(Ordering::Acquire)
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
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) ledger: Rc<ShardLedger>,
    pub(crate) metrics: Arc<Metrics>,
    /// Keys of the last SCRAM login, which spare the next one the derivation.
    pub(crate) scram_keys: RefCell<Option<Keys>>,
    readers: RefCell<Readers>,
    /// What `environment` gave out last.
    held: RefCell<Rc<Held>>,
    /// Codec contexts and buffers of masking: a step never spans a wait, so all connections share them.
    pub(crate) mask_scratch: RefCell<MaskScratch>,
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
        let mut readers = Readers {
            snapshot: published.snapshot.reader(),
            issuers: published.issuers.reader(),
            cluster: published.cluster.reader(),
            grants: published.grants.reader(),
        };
        let epochs = readers.epochs();
        Rc::new(Self {
            held: RefCell::new(Rc::new(readers.held(epochs, &published.tables))),
            mask_scratch: RefCell::default(),
            ledger: ShardLedger::new(connections_bytes_max),
            config,
            driver,
            journal,
            buffers: Rc::default(),
            metrics,
            scram_keys: RefCell::new(None),
            readers: RefCell::new(readers),
            tables: published.tables.clone(),
        })
    }

    /// What a session may look at now. Asked for each step, so it costs four atomic reads and a clock where nothing changed:
    /// counts of references are the shard's own, and no other core writes to them.
    pub(crate) fn environment(&self) -> HeldEnvironment {
        let mut readers = self.readers.borrow_mut();
        let mut held = self.held.borrow_mut();
        let epochs = readers.epochs();
        if held.epochs != epochs {
            *held = Rc::new(readers.held(epochs, &self.tables));
        }
        HeldEnvironment {
            now: Now {
                unix_ns: clock::now_unix_ns(),
            },
            held: held.clone(),
        }
    }
}

impl Readers {
    fn epochs(&mut self) -> [u64; 4] {
        [
            self.snapshot.newest().0,
            self.issuers.newest().0,
            self.cluster.newest().0,
            self.grants.newest().0,
        ]
    }

    fn held(&self, epochs: [u64; 4], tables: &Arc<SharedTables>) -> Held {
        Held {
            epochs,
            snapshot: self.snapshot.seen().clone(),
            issuers: self.issuers.seen().clone(),
            cluster: self.cluster.seen().clone(),
            grants: self.grants.seen().clone(),
            shared: tables.clone(),
        }
    }
}

/// What was newest when a shard looked.
struct Held {
    epochs: [u64; 4],
    snapshot: Arc<Option<Arc<Snapshot>>>,
    issuers: Arc<Vec<TrustedIssuer>>,
    cluster: Arc<Cluster>,
    grants: Arc<Grants>,
    shared: Arc<SharedTables>,
}

/// Holds what an [`Environment`] borrows, for one step.
pub(crate) struct HeldEnvironment {
    now: Now,
    held: Rc<Held>,
}

impl HeldEnvironment {
    pub(crate) fn view(&self) -> Environment<'_> {
        Environment {
            now: self.now,
            snapshot: (*self.held.snapshot).as_ref(),
            issuers: &self.held.issuers,
            topology: &self.held.cluster.topology,
            grants: &self.held.grants,
            shared: &*self.held.shared,
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.held.cluster
    }
}
