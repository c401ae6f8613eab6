//! The GatewayLink service: snapshots and grants go down; acknowledgements, evidence and approval requests come up.

use std::pin::Pin;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sluice_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::archive::Batch;
use crate::config::LinkTrust;
use crate::control::Control;
use crate::error::Error;
use crate::limits::LINK_NAME_BYTES_MAX;
use crate::rpc::gateway_link_server::GatewayLink;

/// Published messages and evidence answers that wait for a slow gateway.
const QUEUE_MESSAGES: usize = 4;

/// Names the gateway from its certificate, then asks [`Control`].
#[derive(Debug)]
pub(crate) struct LinkService {
    pub(crate) control: Arc<Control>,
    pub(crate) trust: LinkTrust,
}

impl LinkService {
    /// The gateway's name: from its certificate; what its messages say must not differ.
    fn gateway<T>(&self, request: &Request<T>, stated: Option<&str>) -> Result<String, Error> {
        let certified = match self.trust {
            LinkTrust::DangerPlainLoopback => stated.unwrap_or("unnamed").to_owned(),
            LinkTrust::MutualTls(_) => {
                let chain = request.peer_certs().ok_or(Error::GatewayUnauthenticated)?;
                chain
                    .first()
                    .and_then(dns_name)
                    .ok_or(Error::GatewayUnauthenticated)?
            }
        };
        if certified.is_empty() || certified.len() > LINK_NAME_BYTES_MAX {
            return Err(Error::GatewayUnauthenticated);
        }
        match stated {
            Some(stated) if stated != certified => Err(Error::GatewayNameDiffers {
                certificate: certified,
                message: stated.chars().take(80).collect(),
            }),
            _ => Ok(certified),
        }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl GatewayLink for LinkService {
    type SubscribeStream = Answers<v1::Published>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let gateway = self.gateway(&request, Some(&request.get_ref().gateway))?;
        let in_force = request.get_ref().in_force;
        let (out, published) = mpsc::channel(QUEUE_MESSAGES);
        let publisher = Arc::clone(&self.control.publisher);
        tokio::spawn(async move { publisher.feed(&gateway, in_force, out).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(published))))
    }

    async fn acknowledge(
        &self,
        request: Request<v1::AcknowledgeRequest>,
    ) -> Result<Response<v1::AcknowledgeResponse>, Status> {
        let gateway = self.gateway(&request, Some(&request.get_ref().gateway))?;
        let said = request.into_inner();
        let error = said.error.chars().take(1_000).collect();
        self.control
            .publisher
            .acknowledged(&gateway, said.revision, error);
        Ok(Response::new(v1::AcknowledgeResponse {}))
    }

    type ShipEvidenceStream = Answers<v1::EvidenceHeld>;

    async fn ship_evidence(
        &self,
        request: Request<Streaming<v1::EvidenceBatch>>,
    ) -> Result<Response<Self::ShipEvidenceStream>, Status> {
        let certified = match self.trust {
            LinkTrust::MutualTls(_) => Some(self.gateway(&request, None)?),
            LinkTrust::DangerPlainLoopback => None,
        };
        let (out, answers) = mpsc::channel(QUEUE_MESSAGES);
        let control = Arc::clone(&self.control);
        tokio::spawn(hold_evidence(control, certified, request.into_inner(), out));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn ask_approval(
        &self,
        request: Request<v1::AskApprovalRequest>,
    ) -> Result<Response<v1::AskApprovalResponse>, Status> {
        let gateway = self.gateway(&request, Some(&request.get_ref().gateway))?;
        Ok(Response::new(
            self.control
                .ask_approval(&gateway, request.get_ref())
                .await?,
        ))
    }
}

/// Answers each batch after it is durable. What is refused is answered with an error, and the stream goes on: one bad log
/// does not keep the others from being shipped.
async fn hold_evidence(
    control: Arc<Control>,
    certified: Option<String>,
    mut batches: Streaming<v1::EvidenceBatch>,
    out: mpsc::Sender<Result<v1::EvidenceHeld, Status>>,
) {
    loop {
        let next = tokio::select! {
            next = batches.message() => next,
            () = control.publisher.closed() => return,
        };
        let batch = match next {
            Ok(Some(batch)) => batch,
            Ok(None) => return,
            Err(status) => {
                tracing::info!("an evidence stream broke; it goes on where it was: {status}");
                return;
            }
        };
        let log = batch.log.clone();
        let held = match certified.as_deref() {
            Some(certified) if certified != batch.gateway => Err(Error::GatewayNameDiffers {
                certificate: certified.to_owned(),
                message: batch.gateway.chars().take(80).collect(),
            }),
            _ => {
                control.publisher.seen(&batch.gateway, |_| {});
                control.keep_evidence(to_batch(batch)).await
            }
        };
        let answer = match held {
            Ok(next_leaf) => v1::EvidenceHeld {
                log,
                next_leaf,
                error: String::new(),
            },
            Err(error) => {
                let next_leaf = match &error {
                    Error::GatewayLeftGap { held, .. } => *held,
                    _ => 0,
                };
                tracing::error!("evidence of {log} is refused: {error}");
                v1::EvidenceHeld {
                    log,
                    next_leaf,
                    error: error.caller_message(),
                }
            }
        };
        if out.send(Ok(answer)).await.is_err() {
            return;
        }
    }
}

fn to_batch(message: v1::EvidenceBatch) -> Batch {
    Batch {
        gateway: message.gateway,
        log: message.log,
        first_leaf: message.first_leaf,
        leaves: message.leaves,
        checkpoint: message.checkpoint,
        verifier_key: message.verifier_key,
    }
}

/// The first DNS name among the subject alternative names; the common name is for people (RFC 9525 section 2).
fn dns_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    parsed.valid_dns_names().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_the_first_dns_name_of_its_certificate() {
        let made = rcgen::generate_simple_self_signed(["gateway-1".to_owned(), "other".to_owned()])
            .unwrap();
        assert_eq!(dns_name(made.cert.der()).as_deref(), Some("gateway-1"));
        assert_eq!(dns_name(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
