//! Other people's implementations of the public formats read what this crate writes.

use std::fs;

use crate::sample::{build, key, leaf};
use signed_note::{Note, StandardVerifier, VerifierList};
use sluice_evidence::files::prove_leaf;
use tlog_tiles::{Checkpoint, check_record, record_hash, tree_hash};

/// Hashes in the order in which the other implementation stores them.
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes
            .iter()
            .map(|index| self.0[*index as usize])
            .collect())
    }
}

#[test]
fn checkpoints_tree_and_proofs_are_those_of_another_implementation() {
    let dir = tempfile::tempdir().unwrap();
    let size = 777;
    build(dir.path(), size, 100, 1024 * 1024);
    let verifier_key = key().verifier().to_string();
    let bytes = fs::read(dir.path().join("log/checkpoint")).unwrap();

    let note = Note::from_bytes(&bytes).unwrap();
    let known = VerifierList::new(vec![Box::new(
        StandardVerifier::new(&verifier_key).unwrap(),
    )]);
    let (verified, unverified) = note.verify(&known).unwrap();
    // The line that carries the time is of a type that this implementation passes over.
    assert_eq!((verified.len(), unverified.len()), (1, 1));
    let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(
        (checkpoint.origin(), checkpoint.size()),
        (crate::sample::ORIGIN, size)
    );

    let mut stored = Stored(Vec::new());
    for index in 0..size {
        let hashes = tlog_tiles::stored_hashes(index, &leaf(index), &stored).unwrap();
        stored.0.extend(hashes);
    }
    let root = tree_hash(size, &stored).unwrap();
    assert!(root == *checkpoint.hash());

    let keys = [key().verifier().clone()];
    for index in (0..size).step_by(31) {
        let (bytes, proof) = prove_leaf(dir.path(), &keys, index).unwrap();
        let path = proof
            .path
            .iter()
            .map(|hash| tlog_tiles::Hash(hash.0))
            .collect();
        check_record(&path, size, root, index, record_hash(&bytes)).unwrap();
    }
}
