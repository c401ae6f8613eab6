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
    pub(crate) permits: Permits,
    pub(crate) piece: Piece,
}

/// Lets bytes go on. A request that names resources and has no permit does not pass, whatever decided before.
pub(crate) fn forward(permits: Permits, _receipt: Receipt, piece: Piece) -> Option<Piece> {
    match permits {
        Permits::Named(permits) if permits.is_empty() => None,
        Permits::Named(_) | Permits::Listing | Permits::Answer => Some(piece),
    }
}
