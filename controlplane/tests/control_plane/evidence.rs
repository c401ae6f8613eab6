//! Ship, hold, search, replay.

use sluice_controlplane::archive::Archive;
use sluice_evidence::{
    Frontier, Item, Kind, RecordHead, RecordWriter, SessionId, SignedCheckpoint, SigningKey,
    VerifierKey, leaf_hash,
};
use sluice_proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::support::{World, within};

const LOG: &str = "sluice.example/gateway-1/shard-0";

struct Shipping {
    batches: tokio::sync::mpsc::Sender<v1::EvidenceBatch>,
    answers: Streaming<v1::EvidenceHeld>,
}

impl Shipping {
    async fn start(world: &World) -> Self {
        let (batches, outgoing) = tokio::sync::mpsc::channel(4);
        let answers = world
            .link()
            .await
            .ship_evidence(ReceiverStream::new(outgoing))
            .await
            .unwrap()
            .into_inner();
        Self { batches, answers }
    }

    async fn ship(&mut self, first_leaf: u64, leaves: &[bytes::Bytes]) -> v1::EvidenceHeld {
        let batch = v1::EvidenceBatch {
            gateway: "gateway-1".to_owned(),
            log: LOG.to_owned(),
            first_leaf,
            leaves: leaves.to_vec(),
            ..v1::EvidenceBatch::default()
        };
        self.batches.send(batch).await.unwrap();
        within(self.answers.message()).await.unwrap().unwrap()
    }
}

fn leaf(kind: Kind, sequence: u64, reason: &str) -> bytes::Bytes {
    let mut out = Vec::new();
    let head = RecordHead {
        kind,
        time_unix_ns: 1_700_000_000_000_000_000 + sequence,
        session: SessionId(7),
        sequence,
        principal: "User:svc-orders",
        client_id: "producer-1",
        reason,
        ..RecordHead::default()
    };
    let mut writer = RecordWriter::begin(&mut out, &head).unwrap();
    writer
        .item(&Item {
            operation: 4,
            resource_kind: 2,
            resource: "orders",
            ..Item::default()
        })
        .unwrap();
    writer.finish();
    out.into()
}

#[tokio::test]
async fn evidence_shipped_twice_is_stored_once_and_a_restart_loses_nothing() {
    let mut world = World::with_policy().await;
    let leaves = [
        leaf(Kind::Intent, 1, ""),
        leaf(Kind::Outcome, 2, ""),
        leaf(Kind::Denied, 3, "no role permits it"),
    ];
    let mut shipping = Shipping::start(&world).await;
    assert_eq!(shipping.ship(0, &leaves[..2]).await.next_leaf, 2);
    assert_eq!(shipping.ship(0, &leaves[..2]).await.next_leaf, 2);
    drop(shipping);
    world.restart().await;
    let mut shipping = Shipping::start(&world).await;
    // An empty batch asks how far the log is held.
    assert_eq!(shipping.ship(2, &[]).await.next_leaf, 2);
    assert_eq!(shipping.ship(1, &leaves[1..]).await.next_leaf, 3);

    let mut dave = world.admin("dave").await;
    let search = v1::SearchEvidenceRequest {
        principal: "User:svc-orders".to_owned(),
        ..Default::default()
    };
    let rows = dave
        .search_evidence(search)
        .await
        .unwrap()
        .into_inner()
        .rows;
    assert_eq!(
        rows.iter().map(|row| row.leaf).collect::<Vec<_>>(),
        [2, 1, 0]
    );
    assert_eq!(rows[0].kind, "Denied");

    let sessions = dave
        .list_sessions(v1::ListSessionsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .sessions;
    assert_eq!(
        (sessions[0].records_count, sessions[0].denied_count),
        (3, 1)
    );
    let replay = v1::ReplaySessionRequest {
        session: sessions[0].session.clone(),
    };
    let mut rows = dave.replay_session(replay).await.unwrap().into_inner();
    let mut replayed = Vec::new();
    while let Some(row) = within(rows.message()).await.unwrap() {
        replayed.push(row.leaf);
    }
    assert_eq!(replayed, [0, 1, 2]);
}

#[tokio::test]
async fn a_gap_and_a_rewrite_are_refused_and_the_stream_goes_on() {
    let world = World::with_policy().await;
    let mut shipping = Shipping::start(&world).await;
    assert_eq!(
        shipping
            .ship(0, &[leaf(Kind::Intent, 1, "")])
            .await
            .next_leaf,
        1
    );
    let gap = shipping.ship(5, &[leaf(Kind::Outcome, 9, "")]).await;
    assert!(gap.error.contains("gap"), "{gap:?}");
    assert_eq!(gap.next_leaf, 1);
    let rewrite = shipping.ship(0, &[leaf(Kind::Intent, 2, "")]).await;
    assert!(rewrite.error.contains("rewritten"), "{rewrite:?}");
    let good = shipping.ship(1, &[leaf(Kind::Outcome, 2, "")]).await;
    assert_eq!((good.next_leaf, good.error.as_str()), (2, ""));
}

#[tokio::test]
async fn a_change_of_policy_is_evidence_of_who_changed_what() {
    let world = World::with_policy().await;
    let role = "kind: Role\nmetadata: {name: fresh}\nspec: {permissions: [{operations: [Read], topics: [orders]}]}\n";
    let revision = world.apply("peggy", role).await.revision.unwrap();
    let search = v1::SearchEvidenceRequest {
        kind: "ControlChange".to_owned(),
        principal: "User:peggy".to_owned(),
        text: "Role/fresh created".to_owned(),
        ..Default::default()
    };
    let rows = world
        .admin("dave")
        .await
        .search_evidence(search)
        .await
        .unwrap()
        .into_inner()
        .rows;
    assert_eq!(rows.len(), 2, "an intent and an outcome");
    let outcome: serde_json::Value = serde_json::from_str(&rows[0].json).unwrap();
    assert_eq!(outcome["reason_code"], "apply-stored");
    assert_eq!(outcome["revision"]["number"], revision.number);
}

#[tokio::test]
async fn the_control_planes_own_log_is_signed_and_goes_on_after_a_restart() {
    let mut world = World::with_policy().await;
    let role = "kind: Role\nmetadata: {name: fresh}\nspec: {permissions: [{operations: [Read], topics: [orders]}]}\n";
    world.restart().await;
    world.apply("peggy", role).await.revision.unwrap();
    world.running.take().unwrap().stop().await;
    let archive = Archive::open(&world.config().state_dir.join("archive.sqlite")).unwrap();
    let log = archive
        .logs()
        .unwrap()
        .into_iter()
        .find(|log| log.log == "sluice.example/control-plane")
        .unwrap();
    // Two applies, each an intent and an outcome, each leaf under a checkpoint of its own.
    assert_eq!((log.next_leaf, log.checkpoints_count), (4, 4));
    assert_eq!(archive.alarms(1).unwrap(), []);
}

#[tokio::test]
async fn an_auditor_is_given_every_logs_key_and_newest_checkpoint() {
    let world = World::with_policy().await;
    let mut shipping = Shipping::start(&world).await;
    let leaves = [leaf(Kind::Intent, 1, ""), leaf(Kind::Outcome, 2, "")];
    let key = SigningKey::from_seed(LOG, &[7; 32]).unwrap();
    let mut tree = Frontier::default();
    leaves
        .iter()
        .for_each(|leaf| tree.append(leaf_hash(leaf), |_, _| {}));
    let note = SignedCheckpoint::sign(&key, 2, tree.root(), 1_700_000_000).note;
    let batch = v1::EvidenceBatch {
        gateway: "gateway-1".to_owned(),
        log: LOG.to_owned(),
        leaves: leaves.to_vec(),
        checkpoint: note.clone().into(),
        verifier_key: key.verifier().to_string(),
        ..v1::EvidenceBatch::default()
    };
    shipping.batches.send(batch).await.unwrap();
    within(shipping.answers.message()).await.unwrap().unwrap();

    let listed = world
        .admin("dave")
        .await
        .list_evidence_logs(v1::ListEvidenceLogsRequest {})
        .await
        .unwrap()
        .into_inner()
        .logs;
    let [own, shipped] = listed.as_slice() else {
        panic!("{listed:#?}")
    };
    assert_eq!(
        *shipped,
        v1::EvidenceLogRow {
            log: LOG.to_owned(),
            gateway: "gateway-1".to_owned(),
            verifier_key: key.verifier().to_string(),
            held_leaves: 2,
            checkpoint: String::from_utf8(note).unwrap(),
        }
    );
    assert_eq!(own.log, "sluice.example/control-plane");
    let own_key = VerifierKey::parse(&own.verifier_key).unwrap();
    let signed = SignedCheckpoint::open(own.checkpoint.as_bytes(), &[own_key]).unwrap();
    assert_eq!(signed.checkpoint.size, own.held_leaves);

    for subject in ["peggy", "erin", "carol"] {
        let refused = world
            .admin(subject)
            .await
            .list_evidence_logs(v1::ListEvidenceLogsRequest {})
            .await;
        assert_eq!(
            refused.unwrap_err().code(),
            Code::PermissionDenied,
            "{subject}"
        );
    }
}
