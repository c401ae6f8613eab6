//! What a session may look at while it decides: passed in for each call, never kept, never a global.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sluice_identity::jwt::TrustedIssuer;
use sluice_masking::{KeyRing, MaskPlan};
use sluice_policy::{MaskPlanId, Tables};

use crate::login::Offer;
use crate::mask_plans::{PlanRefused, mask_plans};
use crate::order_gate::OrderGate;
use crate::producer_ids::ProducerIds;
use crate::registry::{TopicIds, TopicNames};

/// The time of one call, from the shell's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since 1970-01-01 UTC.
    pub unix_ns: u64,
}

impl Now {
    /// Whole seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn unix_s(self) -> i64 {
        i64::try_from(self.unix_ns / 1_000_000_000).unwrap_or(i64::MAX)
    }

    /// Whole milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        i64::try_from(self.unix_ns / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// Compiled policy with its mask plans, immutable, under one revision.
pub struct Snapshot {
    /// The tables, as they came.
    pub tables: Tables,
    /// In the order of their ids.
    plans: Vec<MaskPlan>,
}

impl Snapshot {
    /// Joins tables with the plans of their mask rules.
    ///
    /// # Errors
    /// [`PlanRefused`] if the rules are none, or a key is missing.
    pub fn compile(tables: Tables, keys: &KeyRing) -> Result<Self, PlanRefused> {
        let plans = mask_plans(&tables, keys)?;
        Ok(Self { tables, plans })
    }

    /// The plan for `id`; `None` means that the snapshot is inconsistent, and the data must not pass.
    #[must_use]
    pub fn plan(&self, id: MaskPlanId) -> Option<&MaskPlan> {
        self.plans.get(usize::from(id.get()))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.tables.revision())
            .finish_non_exhaustive()
    }
}

/// One broker as clients and as the gateway reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The gateway's own address for it, shown to clients.
    pub advertised_host: String,
    /// Port of `advertised_host`.
    pub advertised_port: u16,
    /// What its last probe found, narrowed to what the gateway speaks.
    pub offer: Offer,
}

/// The cluster as the last probe found it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// By node id.
    pub nodes: BTreeMap<i32, Node>,
    /// What every node speaks: the offer on the bootstrap listener.
    pub common_offer: Offer,
    /// The user that brokers know the gateway by, and with it every client.
    pub broker_user: String,
}

impl Topology {
    /// The offer on the listener of `node`, or on the bootstrap listener.
    #[must_use]
    pub fn offer(&self, node: Option<i32>) -> &Offer {
        node.and_then(|id| self.nodes.get(&id))
            .map_or(&self.common_offer, |node| &node.offer)
    }
}

/// Windows in which protected topics may be written.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    windows: HashMap<(String, String), Window>,
}

#[derive(Debug, Clone)]
struct Window {
    id: Arc<str>,
    expires_unix_ms: i64,
}

impl Grants {
    /// Adds one window for writes of `principal` to `topic`.
    pub fn insert(&mut self, principal: String, topic: String, id: &str, expires_unix_ms: i64) {
        let window = Window {
            id: id.into(),
            expires_unix_ms,
        };
        self.windows.insert((principal, topic), window);
    }

    /// The grant that covers a write now, if there is one.
    #[must_use]
    pub fn covering(&self, principal: &str, topic: &str, now: Now) -> Option<&str> {
        // The key type owns its strings; this is the slow path of protected topics only.
        let window = self
            .windows
            .get(&(principal.to_owned(), topic.to_owned()))?;
        (now.unix_ms() < window.expires_unix_ms).then_some(&*window.id)
    }
}

/// How an approval request stands, as far as this gateway knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Asked, or about to be.
    Open,
    /// An approver said no; the reason is theirs.
    Refused(String),
    /// Nobody answered in time.
    TimedOut,
    /// The control plane does not answer.
    Unreachable,
}

/// The process-wide tables. The shell locks; a session only borrows for the length of one closure, on the slow path.
pub trait Shared {
    /// Order of idempotent producers on protected topics.
    fn order_gate(&self, ask: &mut dyn FnMut(&mut OrderGate));
    /// Owners of producer ids.
    fn producer_ids(&self, ask: &mut dyn FnMut(&mut ProducerIds));
    /// [`ProducerIds::generation`], at the cost of a load.
    fn producer_ids_generation(&self) -> u64;
    /// Names of topic ids.
    fn topic_ids(&self, ask: &mut dyn FnMut(&mut TopicIds));
    /// Names of the cluster's topics.
    fn topic_names(&self, ask: &mut dyn FnMut(&mut TopicNames));
    /// How the approval request for this write stands; opens one if there is none.
    fn approval(&self, principal: &str, topic: &str, rule: &str) -> Standing;
    /// A token named a key that no issuer is known to have: the keys may have been rotated.
    fn unknown_key(&self);
}

/// All that a session may look at.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// When this call happens.
    pub now: Now,
    /// The snapshot in force; without one everything is denied.
    pub snapshot: Option<&'a Arc<Snapshot>>,
    /// Issuers whose tokens are accepted, with their present keys.
    pub issuers: &'a [TrustedIssuer],
    /// The cluster.
    pub topology: &'a Topology,
    /// Approved windows.
    pub grants: &'a Grants,
    /// The process-wide tables.
    pub shared: &'a dyn Shared,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("now", &self.now)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}
