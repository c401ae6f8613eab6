//! A log in a directory: the only module of this crate that touches files. It still reads no clock: times are arguments.
//!
//! ```text
//! <dir>/segments/<first leaf, 20 digits>.seg   write-ahead, one file after the other
//! <dir>/log/checkpoint, <dir>/log/tile/...     the prefix of C2SP tlog-tiles, ready to be served or copied
//! <dir>/checkpoints.log                        every signed checkpoint, oldest first, each followed by a blank line
//! <dir>/lock                                   held by the one writer
//! ```

mod directory;
mod history;
mod pruning;
mod segment_file;
mod writer;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

pub use directory::LogDirectory;
pub use pruning::Pruning;
pub use segment_file::{SegmentFile, SpareSegment};
pub use writer::{LogWriter, Recovery};

use crate::checkpoint::SignedCheckpoint;
use crate::error::Error;
use crate::keys::VerifierKey;
use crate::proof::{Proof, prove};
use crate::tile::{TileId, TileKind, TileSource as _, bundle_entries};
use crate::verify::{LogSource as _, Options, Report, verify};

/// Verifies the log in a directory, or in a copy of one.
///
/// # Errors
/// Only when files cannot be read; what is wrong with the log is in the report.
pub fn verify_log(dir: &Path, keys: &[VerifierKey], options: &Options) -> Result<Report, Error> {
    verify(&LogDirectory::new(dir), keys, options)
}

/// Proves that a leaf is in the log, by its published checkpoint. Returns the leaf and the proof.
///
/// # Errors
/// [`Error::StoredLeafAbsent`]; those of reading and verifying the checkpoint and the tiles.
pub fn prove_leaf(dir: &Path, keys: &[VerifierKey], index: u64) -> Result<(Vec<u8>, Proof), Error> {
    let directory = LogDirectory::new(dir);
    let note = directory.checkpoint()?.ok_or(Error::StoredTileMissing {
        path: "checkpoint".into(),
    })?;
    let signed = SignedCheckpoint::open(&note, keys)?;
    let proof = prove(index, &signed, &directory)?;
    let leaf = read_leaves(dir, index, signed.checkpoint.size)?
        .into_iter()
        .next();
    let leaf = leaf.ok_or(Error::StoredLeafAbsent {
        index,
        size: signed.checkpoint.size,
    })?;
    Ok((leaf, proof))
}

/// Leaves from `first` on, as far as one bundle holds them and not past `size`, the size of a checkpoint: what is shipped.
/// Empty when there is nothing more.
///
/// # Errors
/// [`Error::StoredTileMissing`], [`Error::StoredMalformed`], or when files cannot be read. The leaves are not verified.
pub fn read_leaves(dir: &Path, first: u64, size: u64) -> Result<Vec<Vec<u8>>, Error> {
    if first >= size {
        return Ok(Vec::new());
    }
    let width_full = crate::limits::TILE_WIDTH as u64;
    let index = first / width_full;
    let width = size
        .saturating_sub(index.saturating_mul(width_full))
        .min(width_full);
    let mut bytes = Vec::new();
    LogDirectory::new(dir).get(
        TileId::new(TileKind::Entries, index, width as u16),
        &mut bytes,
    )?;
    let skip = (first % width_full) as usize;
    bundle_entries(&bytes)
        .take(width as usize)
        .skip(skip)
        .map(|entry| Ok(entry?.to_vec()))
        .collect()
}

/// Replaces a file so that after a crash it is the old one or the new one, and nothing in between.
fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let mut file = File::create(temporary).map_err(|source| failed("create", temporary, source))?;
    file.write_all(bytes)
        .map_err(|source| failed("write", temporary, source))?;
    if durability == Durability::Synced {
        file.sync_all()
            .map_err(|source| failed("sync", temporary, source))?;
    }
    std::fs::rename(temporary, path).map_err(|source| failed("rename to", path, source))?;
    match (durability, path.parent()) {
        (Durability::Synced, Some(parent)) => sync_path(parent),
        _ => Ok(()),
    }
}

/// What a written file must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// The death of the process.
    Written,
    /// Power loss.
    Synced,
}

/// Makes a file's bytes, or a directory's names, survive power loss.
fn sync_path(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| failed("sync", path, source))
}

fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::OperatorFile {
        doing,
        path: path.to_owned(),
        source,
    }
}
