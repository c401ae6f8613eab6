//! Removing segments that the tree has made superfluous.

use std::fs;
use std::path::PathBuf;

use super::directory::LogDirectory;
use super::{failed, sync_path};
use crate::error::Error;
use crate::tile::{TileId, tiles_between};

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
            // In the place of a partial one the full one may have come.
            let parent = match self.directory.sync_tile(id)? {
                None => self.directory.sync_tile(id.full())?,
                parent => parent,
            };
            let path = || id.to_string();
            let parent = parent.ok_or_else(|| Error::StoredTileMissing { path: path() })?;
            if !parents.contains(&parent) {
                parents.push(parent);
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
