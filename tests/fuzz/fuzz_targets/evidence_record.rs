//! Leaves and segments of an evidence log: a leaf that is accepted says the same when it is written anew, byte for byte if
//! it holds no field of a later version; the leaves of a segment are its bytes, up to where it says that it ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_evidence::segment::{SegmentEnd, frame_leaf, segment_leaves};
use sluice_evidence::{Item, Record, RecordWriter};
use sluice_fuzz::choice;

// What it is, then its bytes.
fuzz_target!(|input: &[u8]| {
    match choice(input, 3) {
        Some((0, leaf)) => read_leaf(leaf),
        Some((1, leaf)) if !leaf.is_empty() => {
            let mut segment = Vec::new();
            frame_leaf(leaf, &mut segment).expect("inputs are short");
            let whole = segment.len();
            segment.extend_from_slice(&[0; 9]);
            let mut leaves = segment_leaves(&segment);
            assert_eq!(leaves.next(), Some(leaf));
            assert_eq!(
                (leaves.next(), leaves.offset(), leaves.end()),
                (None, whole, Some(SegmentEnd::Clean))
            );
        }
        Some((_, segment)) => read_segment(segment),
        None => {}
    }
});

fn read_leaf(leaf: &[u8]) {
    let Ok(record) = Record::decode(leaf) else {
        return;
    };
    let items: Vec<Item<'_>> = record.items().collect();
    let mut written = Vec::new();
    let mut writer = RecordWriter::begin(&mut written, &record.head).expect("texts that were read");
    for item in &items {
        writer.item(item).expect("an item that was read");
    }
    let bytes = writer.finish();
    assert_eq!(bytes, written.len());
    assert!(bytes <= leaf.len());
    if bytes == leaf.len() {
        assert_eq!(written, leaf);
    }
    let again = Record::decode(&written).expect("its own leaf");
    assert_eq!(
        (again.head, again.items().collect::<Vec<_>>()),
        (record.head, items)
    );
    assert_eq!(again.to_json(), record.to_json());
}

fn read_segment(segment: &[u8]) {
    let mut leaves = segment_leaves(segment);
    let mut written = Vec::new();
    for leaf in leaves.by_ref() {
        frame_leaf(leaf, &mut written).expect("a leaf that was read");
        read_leaf(leaf);
    }
    assert_eq!(leaves.offset(), written.len());
    let (frames, rest) = segment.split_at(written.len());
    assert_eq!(frames, written);
    let clean = rest.iter().all(|byte| *byte == 0);
    assert_eq!(leaves.end() == Some(SegmentEnd::Clean), clean);
}
