//! The shape that all cold APIs share: check, decode, decide each resource, re-encode what is left, merge on the way back.
//!
//! What is forwarded is the re-encoding of what was decided, never the client's bytes, so the broker and the gateway
//! cannot read one request in two ways.

use bytes::Bytes;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, Request};
use sluice_kafka::{MessageError, RequestHeader, messages};

use super::Asker;
use crate::error::Close;

/// One cold API: how its request is decided and how its answer is filtered.
pub(crate) trait ColdApi: 'static {
    /// The request.
    type Request: Request<Response = Self::Response>;
    /// The answer.
    type Response: Message + Encodable + HeaderVersion;
    /// What the answer must be merged with: denials, and which filters it needs.
    type Pending: 'static;

    /// Decides every resource that `request` names, and takes the denied ones out of it.
    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut Self::Request,
    ) -> Verdict<Self::Pending, Self::Response>;

    /// Joins the broker's answer with the denials, and takes out what may not be seen.
    fn answer(
        ask: &mut Asker<'_>,
        version: i16,
        pending: Self::Pending,
        response: &mut Self::Response,
    );
}

/// What becomes of a request.
pub(crate) enum Verdict<P, R> {
    /// What is left of it goes on.
    Forward(P),
    /// Nothing is left, or nothing may pass: this is the answer.
    Answer(R),
}

/// A decided request, in bytes.
pub(crate) enum ColdStep {
    /// The frame to forward, what to do with the answer, and the bytes that this waits with at most.
    Forward(Vec<u8>, Box<dyn ColdAnswer>, usize),
    /// The frame to answer with.
    Answer(Vec<u8>),
}

/// An answer that is awaited.
pub(crate) trait ColdAnswer {
    /// Takes the broker's frame and returns the client's.
    fn answer(self: Box<Self>, ask: &mut Asker<'_>, frame: &[u8]) -> Result<Vec<u8>, Close>;
}

/// Runs one request of the API `A`.
pub(crate) fn run<A: ColdApi>(
    ask: &mut Asker<'_>,
    header: &RequestHeader<'_>,
    frame: &[u8],
) -> Result<ColdStep, Close> {
    let (mut request, weight_bytes): (A::Request, usize) =
        messages::decode_request_weighed(frame, header).map_err(Close::malformed)?;
    let RequestHeader {
        api_key,
        api_version,
        correlation_id,
        ..
    } = *header;
    let mut bytes = Vec::new();
    match A::decide(ask, api_version, &mut request) {
        Verdict::Forward(pending) => {
            let client_id = client_id(header);
            messages::encode_request_frame(
                api_version,
                correlation_id,
                client_id,
                &request,
                &mut bytes,
            )
            .map_err(encode_failed)?;
            Ok(ColdStep::Forward(
                bytes,
                Box::new(Awaited::<A> {
                    pending,
                    api_version,
                }),
                weight_bytes,
            ))
        }
        Verdict::Answer(response) => {
            messages::encode_response_frame(
                api_key,
                api_version,
                correlation_id,
                &response,
                &mut bytes,
            )
            .map_err(encode_failed)?;
            Ok(ColdStep::Answer(bytes))
        }
    }
}

/// The client id to forward: the client's own label, unless brokers would give it powers.
fn client_id<'a>(header: &RequestHeader<'a>) -> Option<&'a str> {
    header.client_id.filter(|_| !super::is_admin_client(header))
}

struct Awaited<A: ColdApi> {
    pending: A::Pending,
    api_version: i16,
}

impl<A: ColdApi> ColdAnswer for Awaited<A> {
    fn answer(self: Box<Self>, ask: &mut Asker<'_>, frame: &[u8]) -> Result<Vec<u8>, Close> {
        let Self {
            pending,
            api_version,
        } = *self;
        let frame = Bytes::copy_from_slice(frame);
        let (correlation_id, mut response) =
            messages::decode_response_frame::<A::Request>(&frame, api_version)
                .map_err(Close::broker_malformed)?;
        A::answer(ask, api_version, pending, &mut response);
        let mut bytes = Vec::with_capacity(frame.len());
        messages::encode_response_frame(
            A::Request::KEY,
            api_version,
            correlation_id,
            &response,
            &mut bytes,
        )
        .map_err(encode_failed)?;
        Ok(bytes)
    }
}

fn encode_failed(_: MessageError) -> Close {
    Close::Internal("a message could not be encoded")
}
