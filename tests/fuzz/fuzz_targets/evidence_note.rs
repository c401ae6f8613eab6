//! Notes, checkpoints, keys and proofs: what is accepted prints as it was read; a checkpoint opens only if its log signed
//! it as it stands, and a proof that holds for one leaf holds for no other.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice_evidence::{
    Checkpoint, Hash, Note, Proof, SignedCheckpoint, SigningKey, VerifierKey, leaf_hash,
};
use sluice_fuzz::choice;

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_seed("sluice.example/log", &[42; 32]).expect("a good name"));

// What it is, then its bytes.
fuzz_target!(|input: &[u8]| {
    let Some((what, bytes)) = choice(input, 5) else {
        return;
    };
    let text = std::str::from_utf8(bytes);
    match (what, text) {
        (0, _) => read_note(bytes),
        (1, Ok(text)) => read_checkpoint(text),
        (2, Ok(text)) => read_key(text),
        (3, Ok(text)) => read_proof(text),
        (4, _) => walk_path(bytes),
        _ => {}
    }
});

fn keys() -> &'static [VerifierKey] {
    std::slice::from_ref(KEY.verifier())
}

fn read_note(bytes: &[u8]) {
    let parsed = Note::parse(bytes);
    if let Ok(note) = &parsed {
        assert!(bytes.starts_with(note.text().as_bytes()) && note.text().ends_with('\n'));
    }
    let Ok(signed) = SignedCheckpoint::open(bytes, keys()) else {
        return;
    };
    let note = parsed.expect("what opens is a note");
    assert_eq!(signed.checkpoint.to_text(), note.text());
    assert_eq!(
        (signed.checkpoint.origin.as_str(), &signed.note[..]),
        (KEY.origin(), bytes)
    );
    let mut changed = bytes.to_vec();
    changed[KEY.origin().len() + 1] ^= 1;
    assert!(SignedCheckpoint::open(&changed, keys()).is_err());
}

fn read_checkpoint(text: &str) {
    let Ok(checkpoint) = Checkpoint::parse(text) else {
        return;
    };
    assert_eq!(checkpoint.to_text(), text);
    let signed = SignedCheckpoint::sign(&KEY, checkpoint.size, checkpoint.root, 5);
    let opened = SignedCheckpoint::open(&signed.note, keys()).expect("its own checkpoint");
    assert_eq!(opened, signed);
}

fn read_key(text: &str) {
    if let Ok(key) = VerifierKey::parse(text) {
        let printed = key.to_string();
        assert_eq!(
            printed,
            text.trim_end_matches('\n')
                .to_owned()
                .replace(id(text), id(&printed))
        );
        assert!(VerifierKey::parse(&printed).is_ok_and(|again| again == key));
    }
}

/// The part between the pluses, which may be in capitals.
fn id(text: &str) -> &str {
    text.split('+').nth(1).unwrap_or_default()
}

fn read_proof(text: &str) {
    let Ok(proof) = Proof::parse(text) else {
        return;
    };
    assert!(Proof::parse(&proof.to_text()).is_ok_and(|again| again == proof));
    let found: Vec<bool> = [&b"leaf 0"[..], b"leaf 1", b"leaf 2"]
        .iter()
        .map(|leaf| proof.verify(leaf, keys()).is_ok())
        .collect();
    assert!(found.iter().filter(|found| **found).count() <= 1);
}

/// Index, size, root, then the hashes of a path: under a good signature.
fn walk_path(bytes: &[u8]) {
    let Some((index, rest)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let Some((size, rest)) = rest.split_first_chunk::<8>() else {
        return;
    };
    let (hashes, _) = rest.as_chunks::<32>();
    let Some((root, path)) = hashes.split_first() else {
        return;
    };
    let mut proof = Proof {
        index: u64::from_be_bytes(*index),
        path: path.iter().copied().map(Hash).collect(),
        checkpoint: SignedCheckpoint::sign(&KEY, u64::from_be_bytes(*size), Hash(*root), 5).note,
    };
    assert!(proof.verify(b"leaf", keys()).is_err(), "a root was guessed");
    // The tree of one leaf has a path of no hash.
    let one = SignedCheckpoint::sign(&KEY, 1, leaf_hash(b"leaf"), 5);
    proof.checkpoint = one.note;
    assert_eq!(
        proof.verify(b"leaf", keys()).is_ok(),
        proof.index == 0 && proof.path.is_empty()
    );
}
