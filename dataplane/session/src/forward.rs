//! The last gate before the broker: takes the permits and the receipt by value.

use sluice_policy::Permit;

use crate::outbox::Piece;

/// The journal's word that the evidence of a step is as durable as policy asks. Only `Session::release` makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt(());

impl Receipt {
    pub(crate) fn mint() -> Self {
        Self(())
    }
}

/// What a request was allowed by: permits for each resource that it names, or the knowledge that it names none.
#[derive(Debug)]
pub(crate) enum Permits {
    /// One permit per resource that the forwarded bytes name.
    Named(Vec<Permit>),
    /// The request names no resource: its answer is filtered by what the role may describe.
    Listing,
    /// A broker's answer on its way back; it was permitted when its request was, and again when it came.
    Answer,
}

/// Bytes that wait for their receipt.
#[derive(Debug)]
pub(crate) struct Unreceipted {
    /// The API of the request, or of the one that is answered.
    pub(crate) api_key: i16,
    pub(crate) permits: Permits,
    pub(crate) piece: Piece,
}

/// Lets bytes go on, and gives back the permits that are spent. A request that names resources does not pass without
/// permits, nor with those of another API or of several revisions, whatever decided before.
pub(crate) fn forward(unreceipted: Unreceipted, _receipt: Receipt) -> Option<(Piece, Vec<Permit>)> {
    let Unreceipted {
        api_key,
        permits,
        piece,
    } = unreceipted;
    let Permits::Named(permits) = permits else {
        return Some((piece, Vec::new()));
    };
    let revision = permits.first()?.revision();
    let match_bytes = permits
        .iter()
        .all(|permit| permit.api() == api_key && permit.revision() == revision);
    match_bytes.then_some((piece, permits))
}
