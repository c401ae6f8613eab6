//! Builds the tree of one log, tile by tile, off the hot path.

use crate::checkpoint::SignedCheckpoint;
use crate::error::Error;
use crate::keys::SigningKey;
use crate::limits::{HASH_BYTES, TILE_HEIGHT, TILE_WIDTH};
use crate::tile::{
    TileId, TileKind, TileSink, TileSource, bundle_entries, partial_tiles, put_entry, tile_hashes,
};
use crate::tree::{Frontier, Hash, leaf_hash};

/// The right edge of one log: what is needed to go on. Everything to the left is in full tiles already.
///
/// Feed it with [`Self::append`]; before each [`Self::checkpoint`], [`Self::flush`] writes the partial tiles of that size.
#[derive(Debug, Clone, Default)]
pub struct LogBuilder {
    frontier: Frontier,
    /// Hashes of the partial tile of each level, as bytes of the tile.
    levels: Vec<Vec<u8>>,
    /// Entries of the partial bundle.
    bundle: Vec<u8>,
    /// The size at which partial tiles were last written.
    flushed: u64,
}

impl LogBuilder {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a log of this size from its tiles.
    ///
    /// # Errors
    /// [`Error::StoredTileMissing`], [`Error::StoredMalformed`], or [`Error::StoredRootMismatch`] if the tiles on the right edge
    /// do not hash to `root`.
    pub fn resume(size: u64, root: &Hash, tiles: &impl TileSource) -> Result<Self, Error> {
        let mut builder = Self {
            flushed: size,
            ..Self::default()
        };
        let mut bytes = Vec::new();
        let mut partial: Vec<TileId> = partial_tiles(size).collect();
        let levels = partial
            .iter()
            .map(level_of)
            .max()
            .map_or(0, |level| level.saturating_add(1));
        builder.levels.resize_with(levels, Vec::new);
        // From the top, so that subtrees come largest first.
        partial.reverse();
        for id in &partial {
            tiles.get(*id, &mut bytes)?;
            let width = usize::from(id.width);
            let level = level_of(id);
            for hash in tile_hashes(&bytes, width)? {
                let height = (level as u8).saturating_mul(TILE_HEIGHT);
                builder.frontier.append_subtree(height, hash, |_, _| {});
                if let Some(tile) = builder.levels.get_mut(level) {
                    tile.extend_from_slice(&hash.0);
                }
            }
        }
        if builder.frontier.size() != size || builder.frontier.root() != *root {
            return Err(Error::StoredRootMismatch { size });
        }
        builder.resume_bundle(size, tiles, bytes)?;
        Ok(builder)
    }

    /// The open bundle, each entry checked against its hash.
    fn resume_bundle(
        &mut self,
        size: u64,
        tiles: &impl TileSource,
        mut bytes: Vec<u8>,
    ) -> Result<(), Error> {
        let width = (size % TILE_WIDTH as u64) as u16;
        if width == 0 {
            return Ok(());
        }
        tiles.get(
            TileId::new(TileKind::Entries, size / TILE_WIDTH as u64, width),
            &mut bytes,
        )?;
        let mut entries = bundle_entries(&bytes);
        let hashes = self.levels.first().map(Vec::as_slice).unwrap_or_default();
        for hash in tile_hashes(hashes, usize::from(width))? {
            let leaf = entries.next().ok_or(Error::StoredMalformed {
                what: "entry bundle",
                flaw: "entries are missing",
            })??;
            if leaf_hash(leaf) != hash {
                return Err(Error::StoredRootMismatch { size });
            }
            put_entry(leaf, &mut self.bundle)?;
        }
        Ok(())
    }

    /// Adds one leaf and hands over the tiles that it fills.
    ///
    /// # Errors
    /// [`Error::RecordLeafLength`], and then the log is as before. Errors of the sink: the tree has the leaf, but not all its
    /// tiles; take the log up again from its last checkpoint.
    pub fn append(&mut self, leaf: &[u8], sink: &mut impl TileSink) -> Result<(), Error> {
        put_entry(leaf, &mut self.bundle)?;
        self.append_hash(leaf_hash(leaf), sink)
    }

    /// As [`Self::append`], for a verifier whose leaf is not there to be bundled.
    pub(crate) fn append_hash(
        &mut self,
        leaf: Hash,
        sink: &mut impl TileSink,
    ) -> Result<(), Error> {
        let index = self.size();
        let levels = &mut self.levels;
        self.frontier.append(leaf, |height, hash| {
            if !height.is_multiple_of(TILE_HEIGHT) {
                return;
            }
            let level = usize::from(height / TILE_HEIGHT);
            if levels.len() <= level {
                levels.resize_with(level.saturating_add(1), Vec::new);
            }
            if let Some(tile) = levels.get_mut(level) {
                tile.extend_from_slice(&hash.0);
            }
        });
        self.hand_over_full(index, sink)
    }

    fn hand_over_full(&mut self, index: u64, sink: &mut impl TileSink) -> Result<(), Error> {
        let mut place = index;
        for (level, tile) in self.levels.iter_mut().enumerate() {
            if tile.len() < TILE_WIDTH * HASH_BYTES {
                break;
            }
            place /= TILE_WIDTH as u64;
            if level == 0 {
                sink.put(
                    TileId::new(TileKind::Entries, place, TILE_WIDTH as u16),
                    &self.bundle,
                )?;
                self.bundle.clear();
            }
            sink.put(
                TileId::new(TileKind::Hashes(level as u8), place, TILE_WIDTH as u16),
                tile,
            )?;
            tile.clear();
        }
        Ok(())
    }

    /// Hands over the partial tiles of the present size, unless that was done already.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn flush(&mut self, sink: &mut impl TileSink) -> Result<(), Error> {
        let size = self.size();
        if self.flushed == size {
            return Ok(());
        }
        for id in partial_tiles(size) {
            let Some(tile) = self.levels.get(level_of(&id)) else {
                continue;
            };
            if id.kind == TileKind::Hashes(0) {
                sink.put(
                    TileId {
                        kind: TileKind::Entries,
                        ..id
                    },
                    &self.bundle,
                )?;
            }
            sink.put(id, tile)?;
        }
        self.flushed = size;
        Ok(())
    }

    /// Signs the present tree. The tiles of this size must be kept before anybody sees it.
    #[must_use]
    pub fn checkpoint(&self, key: &SigningKey, time_unix_s: u64) -> SignedCheckpoint {
        SignedCheckpoint::sign(key, self.size(), self.root(), time_unix_s)
    }

    /// Leaves so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the present tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}

fn level_of(id: &TileId) -> usize {
    match id.kind {
        TileKind::Entries => 0,
        TileKind::Hashes(level) => level.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::Tiles;
    use crate::tree::slow;

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|i| format!("leaf {i}").into_bytes())
            .collect()
    }

    #[test]
    fn resumes_at_every_size_and_goes_on_as_if_it_had_never_stopped() {
        let leaves = leaves(700);
        let (mut whole, mut whole_tiles) = (LogBuilder::new(), Tiles::default());
        let (mut broken, mut broken_tiles) = (LogBuilder::new(), Tiles::default());
        for leaf in &leaves {
            whole.append(leaf, &mut whole_tiles).unwrap();
            broken.append(leaf, &mut broken_tiles).unwrap();
            broken.flush(&mut broken_tiles).unwrap();
            broken = LogBuilder::resume(broken.size(), &broken.root(), &broken_tiles).unwrap();
            assert_eq!(broken.root(), whole.root());
        }
        assert_eq!(whole.root(), slow::root(&leaves));
        for (id, bytes) in &whole_tiles.0 {
            assert_eq!(broken_tiles.0.get(id), Some(bytes), "{id}");
        }
    }

    #[test]
    fn writes_full_tiles_once_and_each_as_the_specification_says() {
        let leaves = leaves(256 * 256 + 300);
        let (mut builder, mut tiles) = (LogBuilder::new(), Tiles::default());
        for leaf in &leaves {
            builder.append(leaf, &mut tiles).unwrap();
        }
        builder.flush(&mut tiles).unwrap();
        let level_1 = &tiles.0[&TileId::new(TileKind::Hashes(1), 0, 256)];
        for (i, hash) in tile_hashes(level_1, 256).unwrap().enumerate() {
            assert_eq!(hash, slow::root(&leaves[i * 256..(i + 1) * 256]));
        }
        let level_2 = &tiles.0[&TileId::new(TileKind::Hashes(2), 0, 1)];
        assert_eq!(level_2, &slow::root(&leaves[..65_536]).0);
        assert_eq!(
            tiles
                .0
                .keys()
                .filter(|id| matches!(id.kind, TileKind::Entries))
                .count(),
            258
        );
        let resumed = LogBuilder::resume(builder.size(), &builder.root(), &tiles).unwrap();
        assert_eq!(resumed.root(), builder.root());
    }

    #[test]
    fn does_not_resume_from_tiles_that_another_root_was_signed_for() {
        let (mut builder, mut tiles) = (LogBuilder::new(), Tiles::default());
        for leaf in leaves(300) {
            builder.append(&leaf, &mut tiles).unwrap();
        }
        builder.flush(&mut tiles).unwrap();
        let root = builder.root();
        assert!(LogBuilder::resume(300, &root, &tiles).is_ok());
        assert!(matches!(
            LogBuilder::resume(299, &root, &tiles),
            Err(Error::StoredRootMismatch { .. })
        ));
        for (id, bytes) in tiles.0.clone() {
            // What is full and left of the edge is the verifier's to read.
            if id.is_full() {
                continue;
            }
            for damaged in [
                &bytes[..bytes.len() - 1],
                &[&bytes[..5], &[bytes[5] ^ 1], &bytes[6..]].concat(),
            ] {
                tiles.0.insert(id, damaged.to_vec());
                assert!(LogBuilder::resume(300, &root, &tiles).is_err(), "{id}");
            }
            tiles.0.insert(id, bytes);
        }
    }

    #[test]
    fn refuses_a_leaf_that_does_not_fit_and_stays_as_it_was() {
        let (mut builder, mut tiles) = (LogBuilder::new(), Tiles::default());
        assert!(builder.append(&[], &mut tiles).is_err());
        assert!(builder.append(&[0; 65_536], &mut tiles).is_err());
        builder.append(b"leaf", &mut tiles).unwrap();
        assert_eq!(builder.root(), leaf_hash(b"leaf"));
    }
}
