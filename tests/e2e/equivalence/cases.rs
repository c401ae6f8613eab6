//! The cases, as data: who asks what, in which versions. Each is asked once on each side, in each version that both speak,
//! in this order; what a case makes or has been told, later ones use.

pub(crate) mod batch;
mod cluster;
mod configs;
mod groups;
mod looks;
mod offsets;
mod records;
mod topics;
mod transactions;

use std::fmt::Debug;
use std::ops::RangeInclusive;

use kafka_protocol::protocol::{Request, StrBytes};

use super::scene::{Side, Who};
use super::wire::Exchange;

pub(super) use looks::looks;

/// One thing to ask.
pub(crate) struct Case {
    pub(crate) api_key: i16,
    pub(crate) name: &'static str,
    pub(crate) who: Who,
    /// Those in which the request makes sense; cut to what both sides speak.
    pub(crate) versions: RangeInclusive<i16>,
    pub(crate) request: Question,
}

/// Makes the request of one side in one version.
type Question = Box<dyn Fn(&Side, i16) -> Exchange>;

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    // First what tells a client the ids of topics.
    let mut all = topics::cases();
    all.extend(records::cases());
    all.extend(configs::cases());
    all.extend(groups::cases());
    all.extend(offsets::cases());
    all.extend(transactions::cases());
    all.extend(cluster::cases());
    // Last, for they take away what the others use.
    all.extend(topics::deletions());
    all.extend(offsets::deletions());
    all.extend(groups::deletions());
    all
}

const ANY: RangeInclusive<i16> = 0..=i16::MAX;

fn case<R>(
    name: &'static str,
    who: Who,
    versions: RangeInclusive<i16>,
    request: impl Fn(&Side, i16) -> R + 'static,
) -> Case
where
    R: Request,
    R::Response: Debug,
{
    Case {
        api_key: R::KEY,
        name,
        who,
        versions,
        request: Box::new(move |side, version| Exchange::new(version, &request(side, version))),
    }
}

/// A case whose request has no answer.
fn unanswered<R>(
    name: &'static str,
    who: Who,
    versions: RangeInclusive<i16>,
    request: impl Fn(&Side, i16) -> R + 'static,
) -> Case
where
    R: Request,
    R::Response: Debug,
{
    let request =
        move |side: &Side, version| Exchange::new(version, &request(side, version)).unanswered();
    Case {
        api_key: R::KEY,
        name,
        who,
        versions,
        request: Box::new(request),
    }
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Every kind of topic: what may be done to it all, some of it, none of it, and topics that are not there.
const MIXED: [&str; 9] = [
    "full",
    "hidden",
    "readable",
    "writable",
    "describable",
    "absent",
    "made.absent",
    "made.denied",
    "made.veiled",
];
