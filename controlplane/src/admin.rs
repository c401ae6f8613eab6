//! The Admin service: what people's tools call.

use std::pin::Pin;
use std::sync::Arc;

use sluice_proto::v1;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::approve::Answer;
use crate::control::Control;
use crate::error::Error;
use crate::identity::Caller;
use crate::limits::SEARCH_ROWS_MAX;
use crate::rpc::admin_server::Admin;

/// Authenticates, then asks [`Control`].
#[derive(Debug)]
pub(crate) struct AdminService(pub(crate) Arc<Control>);

impl AdminService {
    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let header = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| {
                Error::CallerUnauthenticated("send `authorization: Bearer <token>`".to_owned())
            })?;
        Ok(self.0.authenticate(token).await?)
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let caller = self.caller(&request).await?;
        Ok(Response::new(
            self.0.apply(&caller, request.get_ref()).await?,
        ))
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        let caller = self.caller(&request).await?;
        let wanted = request.get_ref();
        Ok(Response::new(self.0.get(
            &caller,
            &wanted.kind,
            &wanted.name,
        )?))
    }

    async fn search_evidence(
        &self,
        request: Request<v1::SearchEvidenceRequest>,
    ) -> Result<Response<v1::SearchEvidenceResponse>, Status> {
        let caller = self.caller(&request).await?;
        let rows = self.0.search(&caller, request.into_inner()).await?;
        Ok(Response::new(v1::SearchEvidenceResponse { rows }))
    }

    type ReplaySessionStream = Pin<Box<dyn Stream<Item = Result<v1::EvidenceRow, Status>> + Send>>;

    async fn replay_session(
        &self,
        request: Request<v1::ReplaySessionRequest>,
    ) -> Result<Response<Self::ReplaySessionStream>, Status> {
        let caller = self.caller(&request).await?;
        let session = request.into_inner().session;
        let first = self.0.replay(&caller, session.clone(), 0).await?;
        let (out, rows) = tokio::sync::mpsc::channel(64);
        let control = Arc::clone(&self.0);
        tokio::spawn(async move {
            let (mut page, mut after) = (first, 0_u64);
            loop {
                let full = page.len() == SEARCH_ROWS_MAX as usize;
                after += page.len() as u64;
                for row in page {
                    if out.send(Ok(row)).await.is_err() {
                        return;
                    }
                }
                if !full {
                    return;
                }
                page = match control.replay(&caller, session.clone(), after).await {
                    Ok(page) => page,
                    Err(error) => {
                        let _ = out.send(Err(error.into())).await;
                        return;
                    }
                };
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(rows))))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let caller = self.caller(&request).await?;
        let sessions = self.0.sessions(&caller, request.get_ref().limit).await?;
        Ok(Response::new(v1::ListSessionsResponse { sessions }))
    }

    async fn list_evidence_logs(
        &self,
        request: Request<v1::ListEvidenceLogsRequest>,
    ) -> Result<Response<v1::ListEvidenceLogsResponse>, Status> {
        let caller = self.caller(&request).await?;
        let logs = self.0.evidence_logs(&caller).await?;
        Ok(Response::new(v1::ListEvidenceLogsResponse { logs }))
    }

    async fn request_approval(
        &self,
        request: Request<v1::RequestApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let caller = self.caller(&request).await?;
        Ok(Response::new(
            self.0.request_approval(&caller, request.get_ref()).await?,
        ))
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let caller = self.caller(&request).await?;
        let approvals = self.0.list_approvals(&caller, request.get_ref().open_only);
        Ok(Response::new(v1::ListApprovalsResponse { approvals }))
    }

    async fn decide_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let caller = self.caller(&request).await?;
        let wanted = request.get_ref();
        let answer = if wanted.approve {
            Answer::Approve
        } else {
            Answer::Refuse
        };
        Ok(Response::new(
            self.0
                .decide_approval(&caller, &wanted.id, answer, &wanted.reason)
                .await?,
        ))
    }

    async fn list_gateways(
        &self,
        request: Request<v1::ListGatewaysRequest>,
    ) -> Result<Response<v1::ListGatewaysResponse>, Status> {
        let caller = self.caller(&request).await?;
        Ok(Response::new(v1::ListGatewaysResponse {
            gateways: self.0.gateways(&caller)?,
        }))
    }
}
