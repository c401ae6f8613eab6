use super::*;

fn batch(first_leaf: u64, leaves: &[&str]) -> Batch {
    Batch {
        gateway: "gateway-1".to_owned(),
        log: "sluice.example/gateway-1/shard-0".to_owned(),
        first_leaf,
        leaves: leaves
            .iter()
            .map(|leaf| bytes::Bytes::copy_from_slice(leaf.as_bytes()))
            .collect(),
        ..Batch::default()
    }
}

#[test]
fn keeps_each_leaf_once_and_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive.sqlite");
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.keep(&batch(0, &["a", "b"]), 1).unwrap(), 2);
    assert_eq!(archive.keep(&batch(0, &["a", "b"]), 1).unwrap(), 2);
    assert_eq!(archive.keep(&batch(1, &["b", "c"]), 1).unwrap(), 3);
    drop(archive);
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.keep(&batch(3, &[]), 1).unwrap(), 3);
    let log = archive.logs().unwrap().remove(0);
    let leaves: Vec<_> = archive
        .leaves(log.id, 0, 10)
        .unwrap()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(leaves, [b"a", b"b", b"c"]);
}

#[test]
fn refuses_a_gap_and_a_rewrite_whole_and_alarms() {
    let directory = tempfile::tempdir().unwrap();
    let archive = Archive::open(&directory.path().join("archive.sqlite")).unwrap();
    archive.keep(&batch(0, &["a", "b"]), 1).unwrap();
    assert!(matches!(
        archive.keep(&batch(3, &["d"]), 2),
        Err(Error::GatewayLeftGap {
            held: 2,
            sent: 3,
            ..
        })
    ));
    let rewrite = archive.keep(&batch(1, &["B", "c"]), 3);
    assert!(matches!(
        rewrite,
        Err(Error::GatewayRewroteLeaf { leaf: 1, .. })
    ));
    assert_eq!(archive.logs().unwrap()[0].next_leaf, 2);
    assert_eq!(archive.alarms(10).unwrap().len(), 2);
}

#[test]
fn refuses_a_log_of_another_gateway_and_a_changed_key() {
    let directory = tempfile::tempdir().unwrap();
    let archive = Archive::open(&directory.path().join("archive.sqlite")).unwrap();
    let keyed = |gateway: &str, key: &str| Batch {
        gateway: gateway.to_owned(),
        verifier_key: key.to_owned(),
        ..batch(0, &["a"])
    };
    archive.keep(&keyed("gateway-1", "one"), 1).unwrap();
    assert!(archive.keep(&keyed("gateway-2", "one"), 1).is_err());
    assert!(archive.keep(&keyed("gateway-1", "two"), 1).is_err());
    assert!(archive.keep(&keyed("gateway-1", ""), 1).is_ok());
}

#[test]
fn a_checkpoint_is_checked_against_its_leaves_whenever_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive.sqlite");
    let origin = batch(0, &[]).log;
    let key = sluice_evidence::SigningKey::from_seed(&origin, &[7; 32]).unwrap();
    let root_of = |leaves: &[&str]| {
        let mut tree = Frontier::default();
        leaves
            .iter()
            .for_each(|leaf| tree.append(leaf_hash(leaf.as_bytes()), |_, _| {}));
        tree.root()
    };
    let signed = |first_leaf, sent: &[&str], covered: &[&str]| Batch {
        checkpoint: SignedCheckpoint::sign(&key, covered.len() as u64, root_of(covered), 9)
            .note
            .into(),
        verifier_key: key.verifier().to_string(),
        ..batch(first_leaf, sent)
    };
    let archive = Archive::open(&path).unwrap();
    archive
        .keep(&signed(0, &["a", "b"], &["a", "b"]), 1)
        .unwrap();
    assert_eq!(archive.logs().unwrap()[0].checkpoints_count, 1);
    // Ahead of its leaves: it waits, over a restart.
    archive
        .keep(&signed(2, &["c"], &["a", "b", "c", "d"]), 1)
        .unwrap();
    assert_eq!(archive.logs().unwrap()[0].checkpoints_count, 1);
    drop(archive);
    let archive = Archive::open(&path).unwrap();
    archive.keep(&batch(3, &["d"]), 1).unwrap();
    assert_eq!(archive.logs().unwrap()[0].checkpoints_count, 2);
    // Late, and of a smaller tree.
    archive.keep(&signed(4, &[], &["a"]), 1).unwrap();
    assert_eq!(archive.logs().unwrap()[0].checkpoints_count, 3);
    assert!(archive.alarms(9).unwrap().is_empty());

    // What the log signed is not what it shipped: an alarm, and the leaves stay.
    assert_eq!(
        archive
            .keep(&signed(4, &["e"], &["a", "b", "c", "d", "E"]), 1)
            .unwrap(),
        5
    );
    assert_eq!(archive.logs().unwrap()[0].checkpoints_count, 3);
    assert!(archive.alarms(9).unwrap()[0].text.contains("contradicts"));
    // Neither the late one nor the contradicting one is what the log is held to.
    let newest = archive.newest_checkpoint(archive.logs().unwrap()[0].id);
    let newest = SignedCheckpoint::open(&newest.unwrap().unwrap(), &[key.verifier().clone()]);
    assert_eq!(newest.unwrap().checkpoint.size, 4);
    assert_eq!(archive.newest_checkpoint(99).unwrap(), None);
    let mut forged = signed(5, &["f"], &["a", "b", "c", "d", "e", "f"]);
    let mut note = forged.checkpoint.to_vec();
    let digit = note.iter().position(|byte| *byte == b'6').unwrap();
    note[digit] = b'5';
    forged.checkpoint = note.into();
    assert!(matches!(
        archive.keep(&forged, 1),
        Err(Error::GatewayEvidenceInvalid { .. })
    ));
    assert_eq!(archive.logs().unwrap()[0].next_leaf, 5);
}
