//! One suite, run on both stores.

use std::sync::Arc;

use sluice_controlplane::config::StoreConfig;
use sluice_controlplane::error::Error;
use sluice_controlplane::store::{self, Change, Space, Store};

use crate::support::etcd::Etcd;
use crate::support::within;

#[tokio::test]
async fn embedded_store_keeps_its_promises() {
    let directory = tempfile::tempdir().unwrap();
    let open = async || {
        store::open(&StoreConfig::Embedded, directory.path(), 5)
            .await
            .unwrap()
    };
    suite(open).await;
}

#[tokio::test]
async fn etcd_store_keeps_its_promises() {
    let etcd = Etcd::start().await;
    let config = StoreConfig::Etcd {
        endpoints: vec![etcd.endpoint.clone()],
        prefix: "/sluice/".to_owned(),
    };
    let directory = tempfile::tempdir().unwrap();
    let open = async || store::open(&config, directory.path(), 5).await.unwrap();
    suite(open).await;
}

#[tokio::test]
async fn etcd_watch_tells_another_control_plane() {
    let etcd = Etcd::start().await;
    let config = StoreConfig::Etcd {
        endpoints: vec![etcd.endpoint.clone()],
        prefix: "/sluice".to_owned(),
    };
    let directory = tempfile::tempdir().unwrap();
    let one = store::open(&config, directory.path(), 5).await.unwrap();
    let other = store::open(&config, directory.path(), 9).await.unwrap();
    assert_eq!(one.incarnation(), other.incarnation());
    let mut watch = other.watch(Space::Policy);
    let revision = one
        .transact(Space::Policy, 0, &[put("Role/a", "1")])
        .await
        .unwrap();
    within(watch.wait_for(|seen| *seen == revision))
        .await
        .unwrap();
    assert_eq!(
        other.load_all(Space::Policy).await.unwrap().revision,
        revision
    );
}

#[tokio::test]
async fn etcd_store_reads_more_keys_than_one_page() {
    let etcd = Etcd::start().await;
    let config = StoreConfig::Etcd {
        endpoints: vec![etcd.endpoint.clone()],
        prefix: "/sluice".to_owned(),
    };
    let directory = tempfile::tempdir().unwrap();
    let store = store::open(&config, directory.path(), 5).await.unwrap();
    let mut revision = 0;
    for part in 0..5 {
        let changes: Vec<_> = (0..100)
            .map(|n| put(&format!("Role/{part}-{n}"), "x"))
            .collect();
        revision = store
            .transact(Space::Policy, revision, &changes)
            .await
            .unwrap();
    }
    assert_eq!(
        store.load_all(Space::Policy).await.unwrap().entries.len(),
        500
    );
    let many: Vec<_> = (0..1000).map(|n| put(&format!("Role/{n}"), "x")).collect();
    let refused = store.transact(Space::Policy, revision, &many).await;
    assert!(
        matches!(refused, Err(Error::OperatorStoreTransactionTooLarge(_))),
        "{refused:?}"
    );
    assert_eq!(
        store.load_all(Space::Policy).await.unwrap().revision,
        revision
    );
}

async fn suite(open: impl AsyncFn() -> Arc<dyn Store>) {
    let store = open().await;
    let incarnation = store.incarnation();
    assert_eq!(incarnation, 5);
    assert_eq!(store.load_all(Space::Policy).await.unwrap().revision, 0);
    let mut watch = store.watch(Space::Policy);

    let first = store
        .transact(Space::Policy, 0, &[put("Role/a", "1"), put("Role/b", "2")])
        .await
        .unwrap();
    assert!(first > 0);
    within(watch.wait_for(|seen| *seen == first)).await.unwrap();

    let stale = store
        .transact(Space::Policy, 0, &[put("Role/a", "late")])
        .await;
    assert!(matches!(stale, Err(Error::StoreMoved)), "{stale:?}");

    // Another space moves without moving this one.
    let other = store
        .transact(Space::Approvals, 0, &[put("1", "x")])
        .await
        .unwrap();
    assert!(other > first);
    let delete = Change::Delete {
        key: "Role/b".to_owned(),
    };
    let second = store
        .transact(Space::Policy, first, &[put("Role/a", "3"), delete])
        .await
        .unwrap();
    assert!(second > other);

    let huge = "x".repeat(2_000_000);
    let oversized = store
        .transact(Space::Policy, second, &[put("Role/c", &huge)])
        .await;
    assert!(
        matches!(oversized, Err(Error::CallerOverLimit { .. })),
        "{oversized:?}"
    );

    // Of many that saw the same revision, one wins.
    let (first_put, second_put) = ([put("Role/d", "1")], [put("Role/d", "2")]);
    let (one, two) = tokio::join!(
        store.transact(Space::Policy, second, &first_put),
        store.transact(Space::Policy, second, &second_put),
    );
    assert_eq!(
        u8::from(one.is_ok()) + u8::from(two.is_ok()),
        1,
        "{one:?} {two:?}"
    );
    let winner = if one.is_ok() { "1" } else { "2" };
    drop(store);

    let store = open().await;
    assert_eq!(store.incarnation(), incarnation);
    let contents = store.load_all(Space::Policy).await.unwrap();
    assert_eq!(contents.revision, one.or(two).unwrap());
    assert_eq!(*store.watch(Space::Policy).borrow(), contents.revision);
    let entries: Vec<_> = contents
        .entries
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_slice()))
        .collect();
    assert_eq!(
        entries,
        [("Role/a", "3".as_bytes()), ("Role/d", winner.as_bytes())]
    );
}

fn put(key: &str, value: &str) -> Change {
    Change::Put {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
    }
}
