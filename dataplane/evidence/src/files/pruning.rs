//! Removing segments that the tree has made superfluous.

use std::fs;
use std::path::PathBuf;

use super::directory::LogDirectory;
use super::{failed, sync_path};
use crate::error::Error;
use crate::limits::{TILE_HEIGHT, TILE_WIDTH};
use crate::tile::{TileId, TileKind};

/// Segments on their way out: before they go, every tile that holds something of them is made to survive power loss, which
/// for hundreds of tiles takes the disk a second. So it goes by steps, between which the log goes on.
#[derive(Debug)]
pub struct Pruning {
    directory: LogDirectory,
    tiles: std::vec::IntoIter<TileId>,
    segments: Vec<u64>,
}

impl Pruning {
    /// How many segments are to go.
    #[must_use]
    pub fn segments_count(&self) -> usize {
        self.segments.len()
    }

    /// Of these segments, which end before leaf `signed`; a checkpoint of that size is published.
    pub(super) fn new(directory: &LogDirectory, segments: Vec<u64>, signed: u64) -> Self {
        let first = segments.first().copied().unwrap_or(signed);
        let tiles: Vec<TileId> = tiles_between(first, signed).collect();
        Self {
            directory: directory.clone(),
            tiles: tiles.into_iter(),
            segments,
        }
    }

    /// Makes up to `tiles_max` tiles survive power loss. With none left, removes the segments and returns how many those were.
    ///
    /// # Errors
    /// [`Error::OperatorFile`]; [`Error::StoredTileMissing`], and the segments stay.
    pub fn step(&mut self, tiles_max: usize) -> Result<Option<usize>, Error> {
        let mut parents: Vec<PathBuf> = Vec::new();
        for id in self.tiles.by_ref().take(tiles_max) {
            match self.directory.sync_tile(id)? {
                Some(parent) if !parents.contains(&parent) => parents.push(parent),
                Some(_) => {}
                // The full one has taken its place, and survives (see `LogDirectory::put`).
                None if !id.is_full() => {}
                None => {
                    let path = id.to_string();
                    return Err(Error::StoredTileMissing { path });
                }
            }
        }
        for parent in parents {
            sync_path(&parent)?;
        }
        if self.tiles.len() > 0 {
            return Ok(None);
        }
        let segments = std::mem::take(&mut self.segments);
        for first in &segments {
            let path = self.directory.segment_path(*first);
            fs::remove_file(&path).map_err(|source| failed("remove", &path, source))?;
        }
        Ok(Some(segments.len()))
    }
}

/// Every tile that holds something of these leaves, or of nodes above them.
fn tiles_between(first: u64, end: u64) -> impl Iterator<Item = TileId> {
    (0..8_u8).flat_map(move |level| {
        let height = u32::from(level) * u32::from(TILE_HEIGHT);
        let width_full = TILE_WIDTH as u64;
        let hashes = end >> height;
        ((first >> height) / width_full..hashes.div_ceil(width_full)).flat_map(move |index| {
            let width = hashes
                .saturating_sub(index.saturating_mul(width_full))
                .min(width_full) as u16;
            let hash_tile = TileId::new(TileKind::Hashes(level), index, width);
            let bundle = (level == 0).then_some(TileId {
                kind: TileKind::Entries,
                ..hash_tile
            });
            bundle.into_iter().chain([hash_tile])
        })
    })
}
