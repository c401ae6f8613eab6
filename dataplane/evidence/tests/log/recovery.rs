//! What was written survives every kind of end, and what was signed is never contradicted.

use std::fs;

use crate::sample::{ORIGIN, append, build, copy, key, leaf, open, report};
use sluice_evidence::files::{LogDirectory, LogWriter, SegmentFile};
use sluice_evidence::segment::frame_leaf;
use sluice_evidence::verify::LogSource as _;
use sluice_evidence::{Error, SigningKey};

#[test]
fn leaves_that_were_written_and_not_signed_are_in_the_next_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, recovery) = open(dir.path());
    assert_eq!((recovery.checkpoint, recovery.replayed_count), (None, 0));
    append(&mut writer, 0..300);
    writer.sign_checkpoint(1).unwrap();
    append(&mut writer, 300..777);
    drop(writer);

    let (mut writer, recovery) = open(dir.path());
    assert_eq!(recovery.replayed_count, 477);
    assert_eq!(recovery.checkpoint.unwrap().checkpoint.size, 300);
    assert_eq!(writer.next_leaf(), 777);
    assert_eq!(writer.append(&leaf(777)).unwrap(), 777);
    writer.sign_checkpoint(2).unwrap();
    drop(writer);
    let report = report(dir.path());
    assert_eq!((report.problems, report.size), (vec![], 778));
}

#[test]
fn a_segment_cut_anywhere_keeps_its_whole_leaves_and_the_log_goes_on() {
    let (original, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut writer, _) = open(original.path());
    append(&mut writer, 0..20);
    drop(writer);
    let path = LogDirectory::new(original.path()).segment_path(0);
    let bytes = fs::read(&path).unwrap();
    let mut ends = vec![0];
    for index in 0..20 {
        let mut frame = Vec::new();
        frame_leaf(&leaf(index), &mut frame).unwrap();
        ends.push(ends.last().unwrap() + frame.len());
    }
    let mut cuts: Vec<_> = (0..ends[20]).step_by(29).chain(ends.clone()).collect();
    cuts.sort_unstable();
    cuts.dedup();
    for cut in cuts {
        let dir = dir.path().join(cut.to_string());
        copy(original.path(), &dir);
        // A torn write: the length of the file stays, its end is zeros.
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        fs::write(LogDirectory::new(&dir).segment_path(0), &torn).unwrap();
        let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count() as u64;

        let (mut writer, recovery) = open(&dir);
        assert_eq!(
            (writer.next_leaf(), recovery.replayed_count),
            (whole, whole),
            "cut at {cut}"
        );
        writer.append(&leaf(whole)).unwrap();
        writer.sign_checkpoint(3).unwrap();
        drop(writer);
        let report = report(&dir);
        assert_eq!(
            (report.problems, report.size),
            (vec![], whole + 1),
            "cut at {cut}"
        );
        // And once more, over the segment that was left as it was.
        assert_eq!(open(&dir).0.next_leaf(), whole + 1);
    }
}

#[test]
fn a_shard_writes_segments_and_another_thread_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    let mut next = 0;
    let mut segment = SegmentFile::create(dir.path(), 0, 8 * 1024).unwrap();
    for round in 0..100_u64 {
        let mut frames = Vec::new();
        let count = round % 7;
        (next..next + count).for_each(|index| frame_leaf(&leaf(index), &mut frames).unwrap());
        match segment.append(&frames) {
            Ok(()) => {}
            Err(Error::SegmentFull) => {
                segment.seal().unwrap();
                segment = SegmentFile::create(dir.path(), next, 8 * 1024).unwrap();
                segment.append(&frames).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        next += count;
        // The tree lags behind: the frames of every third round are lost with the process.
        if round < 97 {
            assert_eq!(writer.ingest_frames(&frames).unwrap(), next);
        }
        if round % 10 == 0 {
            writer.sign_checkpoint(round).unwrap();
        }
    }
    drop((writer, segment));
    let (mut writer, _) = open(dir.path());
    assert_eq!(writer.next_leaf(), next);
    writer.sign_checkpoint(1_000).unwrap();
    assert_eq!(report(dir.path()).problems, []);
}

#[test]
fn refuses_frames_that_are_not_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    let mut frames = Vec::new();
    frame_leaf(&leaf(0), &mut frames).unwrap();
    let whole = frames.len();
    frame_leaf(&leaf(1), &mut frames).unwrap();
    frames.pop();
    assert!(
        matches!(writer.ingest_frames(&frames), Err(Error::RecordFramesMalformed { at }) if at == whole)
    );
    assert_eq!(writer.next_leaf(), 1);
}

#[test]
fn tiles_lost_in_a_power_cut_are_rebuilt_from_segments() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 1_000, 100, 8 * 1024);
    let before = report(dir.path());
    fs::remove_dir_all(dir.path().join("log/tile")).unwrap();
    assert!(!report(dir.path()).is_intact());
    let (writer, recovery) = open(dir.path());
    assert!(recovery.tiles_rebuilt);
    assert_eq!(writer.next_leaf(), 1_000);
    drop(writer);
    // The partial tiles come with the next checkpoint.
    let (mut writer, _) = open(dir.path());
    writer.sign_checkpoint(1_700_001_001).unwrap();
    drop(writer);
    let after = report(dir.path());
    assert_eq!((after.problems, after.root), (vec![], before.root));
}

#[test]
fn will_not_go_on_when_signed_leaves_are_gone_or_others() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 300, 100, 64 * 1024);
    fs::remove_dir_all(dir.path().join("log/tile")).unwrap();
    let path = LogDirectory::new(dir.path()).segment_path(0);
    let bytes = fs::read(&path).unwrap();

    fs::write(&path, &bytes[..bytes.len() / 100]).unwrap();
    assert!(matches!(
        LogWriter::open(dir.path(), key()),
        Err(Error::StoredEvidenceLost { signed: 300, .. })
    ));

    let mut frames = Vec::new();
    (1..=300).for_each(|index| frame_leaf(&leaf(index), &mut frames).unwrap());
    fs::write(&path, &frames).unwrap();
    assert!(matches!(
        LogWriter::open(dir.path(), key()),
        Err(Error::StoredRootMismatch { size: 300 })
    ));

    fs::remove_file(&path).unwrap();
    assert!(LogWriter::open(dir.path(), key()).is_err());
}

#[test]
fn pruned_segments_are_not_missed_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    let mut writer = writer.with_segment_bytes(4 * 1024);
    for index in 0..1_000 {
        writer.append(&leaf(index)).unwrap();
        if index == 699 {
            writer.sign_checkpoint(5).unwrap();
        }
    }
    let mut pruning = writer.prune_segments().unwrap().unwrap();
    let mut pruned = None;
    // Meanwhile tiles that were partial become full.
    let mut index = 1_000;
    while pruned.is_none() {
        let segments = || LogDirectory::new(dir.path()).segments().unwrap().len();
        let before = segments();
        pruned = pruning.step(1).unwrap();
        assert_eq!(segments(), before - pruned.unwrap_or(0));
        index += 200;
        append(&mut writer, index - 200..index);
    }
    assert!(pruned.unwrap() > 5);
    assert!(index > 2_000 && writer.prune_segments().unwrap().is_none());
    drop(writer);
    let (mut writer, _) = open(dir.path());
    assert_eq!(writer.next_leaf(), index);
    writer.sign_checkpoint(6).unwrap();
    assert_eq!(report(dir.path()).problems, []);
}

#[test]
fn a_pruning_goes_on_when_a_partial_tile_that_it_has_seen_becomes_full() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    let mut writer = writer.with_segment_bytes(4 * 1024);
    append(&mut writer, 0..700);
    writer.sign_checkpoint(5).unwrap();
    let mut pruning = writer.prune_segments().unwrap().unwrap();
    // All but the last: that is of level 1.
    for _ in 0..2 * 700_usize.div_ceil(256) {
        assert_eq!(pruning.step(1).unwrap(), None);
    }
    let partials = dir.path().join("log/tile/0/002.p");
    assert!(partials.is_dir());
    append(&mut writer, 700..800);
    assert!(!partials.exists());
    assert!(pruning.step(1).unwrap().is_some());
}

#[test]
fn a_segment_stays_when_a_tile_of_it_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    let mut writer = writer.with_segment_bytes(4 * 1024);
    append(&mut writer, 0..700);
    writer.sign_checkpoint(5).unwrap();
    let segments = || LogDirectory::new(dir.path()).segments().unwrap();
    let before = segments();
    fs::remove_file(dir.path().join("log/tile/entries/000")).unwrap();
    let mut pruning = writer.prune_segments().unwrap().unwrap();
    assert!(matches!(
        pruning.step(1_000),
        Err(Error::StoredTileMissing { .. })
    ));
    assert_eq!(segments(), before);
}

#[test]
fn a_full_tile_that_a_power_cut_left_without_its_bytes_is_rebuilt_from_segments() {
    let tiles = ["entries/001", "0/001", "0/000"];
    let lost: [fn(&mut Vec<u8>); 3] = [
        Vec::clear,
        |bytes| bytes.truncate(bytes.len() * 2 / 3),
        |bytes| bytes.fill(0),
    ];
    for (tile, lose) in tiles
        .into_iter()
        .flat_map(|tile| lost.map(|lose| (tile, lose)))
    {
        let dir = tempfile::tempdir().unwrap();
        build(dir.path(), 1_000, 100, 8 * 1024);
        let before = report(dir.path());
        let path = dir.path().join("log/tile").join(tile);
        let mut bytes = fs::read(&path).unwrap();
        lose(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let (writer, recovery) = open(dir.path());
        assert!(recovery.tiles_rebuilt, "{tile}");
        assert_eq!(writer.next_leaf(), 1_000);
        drop(writer);
        let (mut writer, _) = open(dir.path());
        writer.sign_checkpoint(1_700_001_001).unwrap();
        assert!(
            writer
                .prune_segments()
                .unwrap()
                .unwrap()
                .step(1_000)
                .is_ok()
        );
        drop(writer);
        let after = report(dir.path());
        assert_eq!((after.problems, after.root), (vec![], before.root));
    }
}

#[test]
fn a_segment_stays_when_a_tile_of_it_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    let mut writer = writer.with_segment_bytes(4 * 1024);
    append(&mut writer, 0..700);
    writer.sign_checkpoint(5).unwrap();
    fs::write(dir.path().join("log/tile/0/001"), []).unwrap();
    let segments = || LogDirectory::new(dir.path()).segments().unwrap();
    let before = segments();
    let mut pruning = writer.prune_segments().unwrap().unwrap();
    assert!(matches!(
        pruning.step(1_000),
        Err(Error::StoredTileMissing { .. })
    ));
    assert_eq!(segments(), before);
}

#[test]
fn a_tile_that_is_there_already_is_not_written_again() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    append(&mut writer, 0..600);
    writer.sign_checkpoint(5).unwrap();
    let inode = |path: &str| {
        fs::metadata(dir.path().join("log/tile").join(path))
            .unwrap()
            .ino()
    };
    let paths = ["0/000", "entries/001", "1/000.p/2"];
    let before = paths.map(inode);
    append(&mut writer, 600..610);
    writer.sign_checkpoint(6).unwrap();
    assert_eq!(paths.map(inode), before);
    drop(writer);
    // Another run takes up what was not signed, and comes to the same tiles.
    let (mut writer, _) = open(dir.path());
    append(&mut writer, 610..620);
    drop(writer);
    let (mut writer, recovery) = open(dir.path());
    assert_eq!(recovery.replayed_count, 10);
    writer.sign_checkpoint(7).unwrap();
    assert_eq!(paths.map(inode), before);
}

#[test]
fn a_crash_between_history_and_checkpoint_is_healed() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 300, 100, 64 * 1024);
    let checkpoint = fs::read(dir.path().join("log/checkpoint")).unwrap();
    let (mut writer, _) = open(dir.path());
    append(&mut writer, 300..310);
    writer.sign_checkpoint(1_700_000_310).unwrap();
    drop(writer);
    fs::write(dir.path().join("log/checkpoint"), checkpoint).unwrap();
    let (writer, recovery) = open(dir.path());
    assert_eq!(recovery.checkpoint.unwrap().checkpoint.size, 310);
    drop(writer);
    let report = report(dir.path());
    assert_eq!(
        (report.problems, report.notices, report.size),
        (vec![], vec![], 310)
    );
}

#[test]
fn half_a_note_at_the_end_of_the_history_is_cut_off_when_the_log_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 30, 10, 64 * 1024);
    let path = dir.path().join("checkpoints.log");
    let whole = fs::read(&path).unwrap();
    let note = fs::read(dir.path().join("log/checkpoint")).unwrap();
    for cut in 1..note.len() {
        fs::write(&path, [&whole[..], &note[..cut]].concat()).unwrap();
        drop(open(dir.path()));
        assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
    assert!(report(dir.path()).is_intact());
}

#[test]
fn one_directory_has_one_writer_and_one_key() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 10, 10, 64 * 1024);
    let (writer, _) = open(dir.path());
    assert!(matches!(
        LogWriter::open(dir.path(), key()),
        Err(Error::OperatorLogInUse { .. })
    ));
    drop(writer);
    for other in [
        SigningKey::from_seed(ORIGIN, &[1; 32]),
        SigningKey::from_seed("sluice.example/other", &[42; 32]),
    ] {
        assert!(matches!(
            LogWriter::open(dir.path(), other.unwrap()),
            Err(Error::OperatorLogForeign { .. })
        ));
    }
    assert!(matches!(
        SegmentFile::create(dir.path(), 0, 10),
        Err(Error::OperatorLogInUse { .. })
    ));
    open(dir.path());
}
