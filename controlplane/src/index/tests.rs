use sluice_evidence::{Item, RecordHead, RecordWriter};

use super::*;
use crate::archive::Batch;

fn leaf(
    kind: Kind,
    time: u64,
    session: u128,
    principal: &str,
    reason: &str,
    topics: &[&str],
) -> bytes::Bytes {
    let mut out = Vec::new();
    let head = RecordHead {
        kind,
        time_unix_ns: time,
        session: SessionId(session),
        principal,
        reason,
        ..RecordHead::default()
    };
    let mut writer = RecordWriter::begin(&mut out, &head).unwrap();
    for resource in topics {
        writer
            .item(&Item {
                operation: 4,
                resource_kind: 2,
                resource,
                ..Item::default()
            })
            .unwrap();
    }
    writer.finish();
    out.into()
}

fn archive_with(directory: &Path, leaves: Vec<bytes::Bytes>) -> Archive {
    let archive = Archive::open(&directory.join("archive.sqlite")).unwrap();
    let batch = Batch {
        gateway: "gateway-1".to_owned(),
        log: "sluice.example/gateway-1/shard-0".to_owned(),
        leaves,
        ..Batch::default()
    };
    archive.keep(&batch, 1).unwrap();
    archive
}

fn some_evidence() -> Vec<bytes::Bytes> {
    vec![
        leaf(Kind::SessionOpened, 1_000_000, 7, "", "", &[]),
        leaf(
            Kind::Intent,
            2_000_000,
            7,
            "User:svc-orders",
            "",
            &["orders"],
        ),
        leaf(
            Kind::Denied,
            3_000_000,
            7,
            "User:svc-orders",
            "no role of this \"principal\" permits it",
            &["payments"],
        ),
        leaf(
            Kind::Intent,
            4_000_000,
            8,
            "User:analytics",
            "",
            &["orders", "payments"],
        ),
        bytes::Bytes::from_static(&[0xff; 9]),
    ]
}

#[test]
fn finds_by_principal_topic_kind_session_time_and_text() {
    let directory = tempfile::tempdir().unwrap();
    let archive = archive_with(directory.path(), some_evidence());
    let index = Index::open(&directory.path().join("index.sqlite")).unwrap();
    assert_eq!(index.catch_up(&archive).unwrap(), 5);
    assert_eq!(index.catch_up(&archive).unwrap(), 0);
    let leaves = |request: v1::SearchEvidenceRequest| -> Vec<u64> {
        index
            .search(&request)
            .unwrap()
            .iter()
            .map(|row| row.leaf)
            .collect()
    };
    let any = v1::SearchEvidenceRequest::default();
    assert_eq!(leaves(any.clone()), [3, 2, 1, 0, 4]);
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            limit: 2,
            ..any.clone()
        }),
        [3, 2]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            principal: "User:svc-orders".into(),
            ..any.clone()
        }),
        [2, 1]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            topic: "payments".into(),
            ..any.clone()
        }),
        [3, 2]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            kind: "Denied".into(),
            ..any.clone()
        }),
        [2]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            kind: UNREADABLE.into(),
            ..any.clone()
        }),
        [4]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            session: SessionId(8).to_string(),
            ..any.clone()
        }),
        [3]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            from_unix_ms: 2,
            to_unix_ms: 4,
            ..any.clone()
        }),
        [2, 1]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            text: "permits ROLE".into(),
            ..any.clone()
        }),
        [2]
    );
    assert_eq!(
        leaves(v1::SearchEvidenceRequest {
            text: "permits absent".into(),
            ..any.clone()
        }),
        [0; 0]
    );
    // What looks like search syntax, or like SQL, is words.
    for text in ["permits OR x", "\"", "text:permits NOT", "' OR 1=1 --", "*"] {
        index
            .search(&v1::SearchEvidenceRequest {
                text: text.into(),
                ..any.clone()
            })
            .unwrap();
    }
}

#[test]
fn a_session_is_summed_up_and_replayed_oldest_first() {
    let directory = tempfile::tempdir().unwrap();
    let archive = archive_with(directory.path(), some_evidence());
    let index = Index::open(&directory.path().join("index.sqlite")).unwrap();
    index.catch_up(&archive).unwrap();
    let sessions = index.sessions(0).unwrap();
    assert_eq!(sessions.len(), 2);
    let seven = &sessions[1];
    assert_eq!(
        (
            seven.principal.as_str(),
            seven.records_count,
            seven.denied_count
        ),
        ("User:svc-orders", 3, 1)
    );
    let rows = index.session(&seven.session, 0).unwrap();
    assert_eq!(
        rows.iter().map(|row| row.leaf).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(index.session(&seven.session, 2).unwrap().len(), 1);
}

#[test]
fn an_index_of_another_shape_is_built_again_from_the_archive() {
    let directory = tempfile::tempdir().unwrap();
    let archive = archive_with(directory.path(), some_evidence());
    let path = directory.path().join("index.sqlite");
    Index::open(&path).unwrap().catch_up(&archive).unwrap();
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let index = Index::open(&path).unwrap();
    assert!(
        index
            .search(&v1::SearchEvidenceRequest::default())
            .unwrap()
            .is_empty()
    );
    assert_eq!(index.catch_up(&archive).unwrap(), 5);
    assert_eq!(index.counts(0).unwrap()[0], ("Intent".to_owned(), 2));
}
