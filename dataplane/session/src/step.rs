//! Decides one request by its API.

use sluice_kafka::RequestHeader;

use crate::apis::{self, ColdStep, HotStep, fetch, produce};
use crate::decide::Asker;
use crate::error::Close;
use crate::in_flight::InFlightState;
use crate::outbox::Piece;

/// A decided request.
pub(crate) enum Step {
    Forward(Piece, Option<InFlightState>),
    Answer(Vec<u8>),
    /// Denied, and nothing can carry the denial.
    Close(Close),
}

/// Decides one request by its API. A denial that no answer can carry is a step, so that it is recorded like the others.
pub(crate) fn step(
    ask: &mut Asker<'_>,
    in_place: Piece,
    frame: &mut [u8],
) -> Result<(i32, Step), Close> {
    let bytes: &[u8] = frame;
    let header = RequestHeader::parse(bytes).map_err(Close::header)?;
    let correlation_id = header.correlation_id;
    let step = match header.api_key {
        0 => match produce::decide(ask, &header, bytes) {
            Ok(step) => hot(step, in_place, InFlightState::Produce),
            Err(close @ Close::ClientDeniedUnanswerable) => Step::Close(close),
            Err(close) => return Err(close),
        },
        1 => {
            let decided = fetch::decide(ask, &header, bytes)?;
            let patch = decided.1;
            let step = hot(decided.0, in_place, InFlightState::Fetch);
            if let Some(patch) = patch {
                patch.apply(frame);
            }
            step
        }
        api_key => match apis::table::cold(ask, &header, bytes) {
            Some(step) => match step? {
                ColdStep::Forward(frame, pending, bytes) => Step::Forward(
                    Piece::Owned(frame),
                    Some(InFlightState::Cold { pending, bytes }),
                ),
                ColdStep::Answer(bytes) => Step::Answer(bytes),
            },
            None => {
                return Err(Close::ClientUnsupported {
                    api_key,
                    api_version: header.api_version,
                });
            }
        },
    };
    Ok((correlation_id, step))
}

fn hot<P>(step: HotStep<P>, in_place: Piece, state: impl FnOnce(P) -> InFlightState) -> Step {
    match step {
        HotStep::InPlace(pending) => Step::Forward(in_place, pending.map(state)),
        HotStep::Owned(bytes, pending) => Step::Forward(Piece::Owned(bytes), pending.map(state)),
        HotStep::Answer(bytes) => Step::Answer(bytes),
    }
}
