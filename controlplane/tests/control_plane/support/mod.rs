//! A control plane on free ports, its issuer, and clients that carry tokens.

pub(crate) mod etcd;
pub(crate) mod issuer;

use std::time::Duration;

use sluice_controlplane::clock::Clock;
use sluice_controlplane::config::{
    ControlConfig, DevelopmentIssuers, FirstAuthor, IssuerConfig, LinkTrust, StoreConfig,
};
use sluice_controlplane::rpc::admin_client::AdminClient;
use sluice_controlplane::rpc::gateway_link_client::GatewayLinkClient;
use sluice_controlplane::{Running, serve};
use sluice_proto::v1;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use self::issuer::Issuer;

/// The story's policy; carol approves payments, dave audits, erin operates.
pub(crate) const POLICY: &str = "
kind: Role
metadata: {name: orders-writer}
spec: {permissions: [{operations: [Write, Describe], topics: [orders]}]}
---
kind: Role
metadata: {name: payments-writer}
spec: {permissions: [{operations: [Write, Describe], topics: [payments]}]}
---
kind: Role
metadata: {name: topic-admin}
spec: {permissions: [{operations: [Create, Delete, AlterConfigs, Describe], topics: [{prefix: \"\"}]}]}
---
kind: Mask
metadata: {name: personal-data}
spec: {topics: [orders, payments], fields: [\"$.customer.email\"], token: {shape: opaque, domain: customers}}
---
kind: TopicClass
metadata: {name: high-value}
spec: {topics: [payments], approval: one-owner}
---
kind: ApprovalRule
metadata: {name: one-owner}
spec: {quorum: {count: 1, of: payments-owners}, hold: 1s, timeout: 60s, grant: {lasts: 10m}}
---
kind: Conflict
metadata: {name: no-one-writes-and-deletes}
spec: {duties: [produce, administer], over: same-topic, scope: person, when: static}
---
kind: Issuer
metadata: {name: demo}
spec: {url: \"https://idp.example\", audience: sluice}
---
kind: Binding
metadata: {name: svc-orders}
spec: {match: {issuer: demo, claims: {sub: svc-orders}}, owner: alice, roles: [orders-writer]}
---
kind: Binding
metadata: {name: svc-payments}
spec: {match: {issuer: demo, claims: {sub: svc-payments}}, owner: alice, roles: [payments-writer]}
---
kind: Binding
metadata: {name: alice}
spec: {match: {issuer: demo, claims: {sub: alice}}, groups: [payments-owners]}
---
kind: Binding
metadata: {name: carol}
spec: {match: {issuer: demo, claims: {sub: carol}}, groups: [payments-owners]}
---
kind: Binding
metadata: {name: dave}
spec: {match: {issuer: demo, claims: {sub: dave}}, roles: [auditor]}
---
kind: Binding
metadata: {name: erin}
spec: {match: {issuer: demo, claims: {sub: erin}}, roles: [operator]}
---
kind: Binding
metadata: {name: peggy}
spec: {match: {issuer: demo, claims: {sub: peggy}}, roles: [author]}
";

pub(crate) struct World {
    pub(crate) issuer: Issuer,
    pub(crate) clock: Clock,
    pub(crate) running: Option<Running>,
    config: ControlConfig,
    _directory: tempfile::TempDir,
}

pub(crate) type Admin = AdminClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
pub(crate) struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(
            "authorization",
            format!("Bearer {}", self.0).parse().unwrap(),
        );
        Ok(request)
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(StoreConfig::Embedded, |_| {}).await
    }

    pub(crate) async fn start_with(
        store: StoreConfig,
        change: impl FnOnce(&mut ControlConfig),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let issuer = Issuer::start().await;
        let clock = Clock::system();
        let mut config = ControlConfig {
            grpc_listen: "127.0.0.1:0".parse().unwrap(),
            dashboard_listen: Some("127.0.0.1:0".parse().unwrap()),
            link: LinkTrust::DangerPlainLoopback,
            store,
            state_dir: directory.path().join("state"),
            issuers: vec![IssuerConfig {
                name: "demo".to_owned(),
                url: issuer.url.clone(),
                audience: "sluice".to_owned(),
                jwks_url: None,
                principal_claim: "sub".to_owned(),
            }],
            development_issuers: DevelopmentIssuers::Allow,
            first_author: Some(FirstAuthor {
                issuer: "demo".to_owned(),
                claim: "sub".to_owned(),
                value: "root".to_owned(),
            }),
            webhook_url: None,
            evidence_origin: "sluice.example".to_owned(),
            clock: clock.clone(),
        };
        change(&mut config);
        let running = Some(serve(config.clone()).await.unwrap());
        Self {
            issuer,
            clock,
            running,
            config,
            _directory: directory,
        }
    }

    /// A world in which the story's policy is in force.
    pub(crate) async fn with_policy() -> Self {
        let world = Self::start().await;
        world.apply("root", POLICY).await.revision.unwrap();
        world
    }

    pub(crate) async fn restart(&mut self) {
        self.running.take().unwrap().stop().await;
        self.running = Some(serve(self.config.clone()).await.unwrap());
    }

    pub(crate) fn config(&self) -> &ControlConfig {
        &self.config
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.running().grpc_address()))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn admin(&self, subject: &str) -> Admin {
        AdminClient::with_interceptor(self.channel().await, Bearer(self.issuer.token(subject)))
    }

    pub(crate) async fn admin_with_token(&self, token: &str) -> Admin {
        AdminClient::with_interceptor(self.channel().await, Bearer(token.to_owned()))
    }

    pub(crate) async fn link(&self) -> GatewayLinkClient<Channel> {
        GatewayLinkClient::new(self.channel().await)
    }

    pub(crate) async fn apply(&self, subject: &str, text: &str) -> v1::ApplyResponse {
        self.admin(subject)
            .await
            .apply(apply(text))
            .await
            .unwrap()
            .into_inner()
    }
}

pub(crate) fn apply(text: &str) -> v1::ApplyRequest {
    let documents = vec![v1::Document {
        file: "policy.yaml".to_owned(),
        text: text.to_owned(),
    }];
    v1::ApplyRequest {
        documents,
        prune: false,
        dry_run: false,
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("nothing within 20 s")
}
