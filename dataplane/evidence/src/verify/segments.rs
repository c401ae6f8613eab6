//! The write-ahead must hold what the tree holds, for as long as it is kept.

use super::LogSource;
use super::finding::{Fact, Report};
use crate::error::Error;
use crate::limits::{HASH_BYTES, TILE_WIDTH};
use crate::segment::{SegmentEnd, segment_leaves};
use crate::tile::{TileId, TileKind};
use crate::tree::leaf_hash;

/// Compares the write-ahead with the tree, and finds leaves that are in the one and should be in the other.
pub(super) fn check_segments(
    source: &impl LogSource,
    size: u64,
    report: &mut Report,
) -> Result<(), Error> {
    let firsts = source.segments()?;
    let mut tile = (u64::MAX, Vec::new());
    for (place, first) in firsts.iter().enumerate() {
        let name = source.segment_name(*first);
        let bytes = source.segment(*first)?;
        let mut leaves = segment_leaves(&bytes);
        let mut index = *first;
        for leaf in leaves.by_ref() {
            if index < size && !same_as_tile(source, index, size, leaf, &mut tile)? {
                report.problem(&name, Some(index), Fact::SegmentDiffers);
            }
            index = index.saturating_add(1);
        }
        let next = firsts.get(place.saturating_add(1)).copied();
        let due = next.unwrap_or(size);
        if index < due {
            report.problem(
                &name,
                Some(index),
                Fact::SegmentCut {
                    missing: index..due,
                },
            );
        } else if next.is_some_and(|next| index > next) {
            report.problem(&name, Some(due), Fact::SegmentsOverlap);
        } else if leaves.end() == Some(SegmentEnd::Torn) {
            report.notice(&name, Some(index), Fact::SegmentTorn);
        }
        if next.is_none() && index > size {
            report.notice(
                &name,
                Some(size),
                Fact::LeavesUnsigned {
                    count: index.saturating_sub(size),
                },
            );
        }
    }
    Ok(())
}

fn same_as_tile(
    source: &impl LogSource,
    index: u64,
    size: u64,
    leaf: &[u8],
    tile: &mut (u64, Vec<u8>),
) -> Result<bool, Error> {
    let tile_index = index / TILE_WIDTH as u64;
    if tile.0 != tile_index {
        let first = tile_index.saturating_mul(TILE_WIDTH as u64);
        let width = size.saturating_sub(first).min(TILE_WIDTH as u64) as u16;
        *tile = (tile_index, Vec::new());
        match source.get(
            TileId::new(TileKind::Hashes(0), tile_index, width),
            &mut tile.1,
        ) {
            Ok(()) | Err(Error::StoredTileMissing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let start = ((index % TILE_WIDTH as u64) as usize).saturating_mul(HASH_BYTES);
    Ok(tile
        .1
        .get(start..start.saturating_add(HASH_BYTES))
        .is_none_or(|kept| kept == leaf_hash(leaf).0))
}
