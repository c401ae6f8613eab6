//! The control link: snapshots arrive, newer ones follow, certificates name gateways.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sluice_controlplane::config::{LinkTrust, StoreConfig, TlsMaterial};
use sluice_controlplane::rpc::gateway_link_client::GatewayLinkClient;
use sluice_proto::v1::{self, published};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Streaming};

use crate::support::{POLICY, World, within};

const FRESH: &str = "kind: Role\nmetadata: {name: fresh}\nspec: {permissions: [{operations: [Read], topics: [orders]}]}\n";

#[tokio::test]
async fn a_gateway_gets_the_snapshot_and_then_the_newer_one_on_the_same_stream() {
    let world = World::with_policy().await;
    let mut stream = subscribe(&world, None).await;
    let (first, snapshot) = next_snapshot(&mut stream).await;
    let tables = sluice_policy::Tables::load(snapshot.tables.to_vec()).unwrap();
    assert_eq!(tables.revision().number, first.number);
    assert_eq!(snapshot.mask_keys.len(), 1);
    assert_eq!(
        (
            snapshot.mask_keys[0].domain.as_str(),
            snapshot.mask_keys[0].key.len()
        ),
        ("customers", 32)
    );

    let applied = world.apply("peggy", FRESH).await.revision.unwrap();
    let (second, newer) = next_snapshot(&mut stream).await;
    assert_eq!(second, applied);
    assert!(second.number > first.number && second.incarnation == first.incarnation);
    assert_eq!(
        newer.mask_keys, snapshot.mask_keys,
        "tokens stay what they were"
    );

    let mut link = world.link().await;
    let acknowledge = |revision, error: &str| v1::AcknowledgeRequest {
        gateway: "gateway-1".to_owned(),
        revision: Some(revision),
        error: error.to_owned(),
    };
    link.acknowledge(acknowledge(first, "")).await.unwrap();
    link.acknowledge(acknowledge(second, "no key"))
        .await
        .unwrap();
    let mut erin = world.admin("erin").await;
    let gateways = erin
        .list_gateways(v1::ListGatewaysRequest {})
        .await
        .unwrap()
        .into_inner()
        .gateways;
    assert_eq!(
        (gateways[0].revision, gateways[0].error.as_str()),
        (Some(first), "no key")
    );
}

#[tokio::test]
async fn a_gateway_that_has_the_newest_snapshot_gets_only_what_is_newer() {
    let world = World::with_policy().await;
    let (in_force, _) = next_snapshot(&mut subscribe(&world, None).await).await;
    let mut stream = subscribe(&world, Some(in_force)).await;
    let grants = within(stream.message()).await.unwrap().unwrap();
    assert!(
        matches!(grants.item, Some(published::Item::Grants(_))),
        "{grants:?}"
    );
    let applied = world.apply("peggy", FRESH).await.revision.unwrap();
    assert_eq!(next_snapshot(&mut stream).await.0, applied);
}

#[tokio::test]
async fn a_stop_ends_the_links_at_once() {
    let mut world = World::with_policy().await;
    let mut stream = subscribe(&world, None).await;
    next_snapshot(&mut stream).await;
    let mut stop = pin!(world.running.take().unwrap().stop());
    // Asked to stop and then left alone: it does not get to end by force what does not end by itself.
    let stopped = poll_fn(|context| Poll::Ready(stop.as_mut().poll(context))).await;
    assert!(stopped.is_pending(), "the link is there to be ended");
    while let Ok(Some(_)) = within(stream.message()).await {}
    within(stop).await;
}

#[tokio::test]
async fn over_tls_a_link_needs_a_certificate_and_the_name_in_it() {
    let authority = Authority::new();
    let (certificate_chain_pem, private_key_pem) = authority.sign("localhost");
    let material = TlsMaterial {
        certificate_chain_pem,
        private_key_pem,
        gateway_ca_pem: authority.pem(),
    };
    let mut world = World::start_with(StoreConfig::Embedded, |config| {
        config.link = LinkTrust::MutualTls(material);
    })
    .await;
    let address = world.running().grpc_address();
    let connect = async |identity: Option<(String, String)>| {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority.pem()))
            .domain_name("localhost");
        if let Some((chain, key)) = identity {
            tls = tls.identity(Identity::from_pem(chain, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}"))
            .unwrap()
            .tls_config(tls)
            .unwrap();
        endpoint.connect().await
    };
    let subscribe = |gateway: &str| v1::SubscribeRequest {
        gateway: gateway.to_owned(),
        in_force: None,
    };

    let mut nobody = GatewayLinkClient::new(connect(None).await.unwrap());
    assert_eq!(
        nobody
            .subscribe(subscribe("gateway-1"))
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );

    let mut gateway =
        GatewayLinkClient::new(connect(Some(authority.sign("gateway-1"))).await.unwrap());
    assert_eq!(
        gateway
            .subscribe(subscribe("gateway-2"))
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    let mut stream = gateway
        .subscribe(subscribe("gateway-1"))
        .await
        .unwrap()
        .into_inner();
    next_snapshot(&mut stream).await;

    // A certificate of another authority ends in the handshake, at connect or at the first call.
    let stranger = connect(Some(Authority::new().sign("gateway-1"))).await;
    if let Ok(channel) = stranger {
        assert!(
            GatewayLinkClient::new(channel)
                .subscribe(subscribe("gateway-1"))
                .await
                .is_err()
        );
    }

    // People come over the same port, with a token and no certificate.
    let mut admin =
        sluice_controlplane::rpc::admin_client::AdminClient::new(connect(None).await.unwrap());
    let mut request = tonic::Request::new(crate::support::apply(POLICY));
    request.metadata_mut().insert(
        "authorization",
        format!("Bearer {}", world.issuer.token("root"))
            .parse()
            .unwrap(),
    );
    assert!(
        admin
            .apply(request)
            .await
            .unwrap()
            .into_inner()
            .revision
            .is_some()
    );
    world.running.take().unwrap().stop().await;
}

async fn subscribe(world: &World, in_force: Option<v1::Revision>) -> Streaming<v1::Published> {
    let request = v1::SubscribeRequest {
        gateway: "gateway-1".to_owned(),
        in_force,
    };
    world
        .link()
        .await
        .subscribe(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next_snapshot(stream: &mut Streaming<v1::Published>) -> (v1::Revision, v1::Snapshot) {
    let (mut begin, mut bytes) = (None::<v1::SnapshotBegin>, Vec::new());
    loop {
        match within(stream.message())
            .await
            .unwrap()
            .expect("the stream goes on")
            .item
            .unwrap()
        {
            published::Item::Begin(announced) => begin = Some(announced),
            published::Item::Chunk(chunk) => bytes.extend_from_slice(&chunk.bytes),
            published::Item::Grants(_) => {}
        }
        if let Some(begin) = &begin
            && begin.length == bytes.len() as u64
        {
            let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
            assert_eq!(begin.sha256, sha256.as_ref());
            return (
                begin.revision.unwrap(),
                v1::Snapshot::decode(&bytes[..]).unwrap(),
            );
        }
    }
}

struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    fn pem(&self) -> String {
        self.1.clone()
    }

    /// Certificate chain and key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (
            params.signed_by(&key, &self.0).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}
