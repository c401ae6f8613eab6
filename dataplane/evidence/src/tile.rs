//! Tiles: how a log lies in files (C2SP tlog-tiles). 256 hashes, or 256 entries, to a file.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;
use crate::limits::{HASH_BYTES, LEAF_BYTES_MAX, TILE_HEIGHT, TILE_WIDTH};
use crate::tree::Hash;

/// Names one tile. A wider version of a partial tile starts with the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// What is in it.
    pub kind: TileKind,
    /// Its place among the tiles of its kind.
    pub index: u64,
    /// Hashes or entries in it, 1 to 256; 256 is a full tile.
    pub width: u16,
}

/// Every tile that holds something of these leaves, or of nodes above them.
pub(crate) fn tiles_between(first: u64, end: u64) -> impl Iterator<Item = TileId> {
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

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// Leaves, each behind a 16-bit big-endian length.
    Entries,
    /// Hashes of this tile level: 0 for leaf hashes, each further level eight levels of the tree higher.
    Hashes(u8),
}

impl TileId {
    /// The tile of `kind` that holds place `index * 256 + width - 1` as its last.
    #[must_use]
    pub fn new(kind: TileKind, index: u64, width: u16) -> Self {
        Self { kind, index, width }
    }

    /// The same tile when it is full.
    #[must_use]
    pub fn full(self) -> Self {
        Self {
            width: TILE_WIDTH as u16,
            ..self
        }
    }

    /// Whether it is a full tile.
    #[must_use]
    pub fn is_full(&self) -> bool {
        usize::from(self.width) >= TILE_WIDTH
    }

    /// Bytes that it has at least: its hashes, or entries of one byte.
    #[must_use]
    pub(crate) fn bytes_min(&self) -> usize {
        let each = match self.kind {
            TileKind::Hashes(_) => HASH_BYTES,
            TileKind::Entries => 3,
        };
        usize::from(self.width).saturating_mul(each)
    }

    /// Whether bytes are as many hashes or entries, and none of them is what was never written.
    pub(crate) fn is_filled_by(&self, bytes: &[u8]) -> bool {
        let width = usize::from(self.width);
        let filled = match self.kind {
            TileKind::Hashes(_) => {
                let hashes = bytes.as_chunks::<HASH_BYTES>().0.iter();
                hashes.filter(|hash| **hash != [0; HASH_BYTES]).count()
            }
            TileKind::Entries => {
                let entries = bundle_entries(bytes).map_while(Result::ok);
                entries.filter(|entry| !entry.is_empty()).count()
            }
        };
        filled >= width
    }

    /// Path of the full tile, without `.p/<W>`.
    #[must_use]
    pub fn path_full(&self) -> String {
        self.full().to_string()
    }
}

/// The path below the log's prefix, such as `tile/0/x001/234.p/17`.
impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = [0_u64; 7];
        let mut rest = self.index;
        for group in groups.iter_mut().rev() {
            *group = rest % 1000;
            rest /= 1000;
        }
        let leading = groups
            .iter()
            .take_while(|group| **group == 0)
            .count()
            .min(6);
        for (i, group) in groups.iter().enumerate().skip(leading) {
            if i < 6 {
                write!(f, "x{group:03}/")?;
            } else {
                write!(f, "{group:03}")?;
            }
        }
        if !self.is_full() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// Where finished tiles go.
pub trait TileSink {
    /// Keeps a tile. Equal ids always come with equal bytes.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn put(&mut self, id: TileId, bytes: &[u8]) -> Result<(), Error>;
}

/// Where tiles come from.
pub trait TileSource {
    /// Replaces `into` by the bytes of this tile, or of a wider version of it.
    ///
    /// # Errors
    /// [`Error::StoredTileMissing`], or when it cannot be read.
    fn get(&self, id: TileId, into: &mut Vec<u8>) -> Result<(), Error>;
}

/// Tiles in memory: for tests, and for what is fetched before it is verified.
#[derive(Debug, Clone, Default)]
pub struct Tiles(pub BTreeMap<TileId, Vec<u8>>);

impl TileSink for Tiles {
    fn put(&mut self, id: TileId, bytes: &[u8]) -> Result<(), Error> {
        self.0.insert(id, bytes.to_vec());
        Ok(())
    }
}

impl TileSource for Tiles {
    fn get(&self, id: TileId, into: &mut Vec<u8>) -> Result<(), Error> {
        let found = self.0.range(id..=id.full()).next_back();
        let (_, bytes) = found.ok_or_else(|| Error::StoredTileMissing {
            path: id.to_string(),
        })?;
        into.clear();
        into.extend_from_slice(bytes);
        Ok(())
    }
}

/// The first `width` hashes of a tile's bytes; a tile that is shorter, or not made of whole hashes, is malformed.
pub(crate) fn tile_hashes(
    bytes: &[u8],
    width: usize,
) -> Result<impl Iterator<Item = Hash> + '_, Error> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() {
        return Err(Error::StoredMalformed {
            what: "tile",
            flaw: "not made of whole hashes",
        });
    }
    match hashes.get(..width) {
        Some(hashes) if bytes.len() <= TILE_WIDTH * HASH_BYTES => {
            Ok(hashes.iter().copied().map(Hash))
        }
        Some(_) => Err(Error::StoredMalformed {
            what: "tile",
            flaw: "more than 256 hashes",
        }),
        None => Err(Error::StoredMalformed {
            what: "tile",
            flaw: "fewer hashes than its width",
        }),
    }
}

/// The entries of a bundle, in order; ends after an error.
pub(crate) fn bundle_entries(bytes: &[u8]) -> BundleEntries<'_> {
    BundleEntries { rest: bytes }
}

/// Appends one entry to a bundle.
pub(crate) fn put_entry(leaf: &[u8], bundle: &mut Vec<u8>) -> Result<(), Error> {
    let length = match u16::try_from(leaf.len()) {
        Ok(length) if length > 0 => length,
        _ => return Err(Error::RecordLeafLength { bytes: leaf.len() }),
    };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(leaf);
    Ok(())
}

#[derive(Debug)]
pub(crate) struct BundleEntries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for BundleEntries<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self
            .rest
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| {
                let length = usize::from(u16::from_be_bytes(*length));
                rest.split_at_checked(length)
            });
        match entry {
            Some((leaf, rest)) if !leaf.is_empty() => {
                self.rest = rest;
                Some(Ok(leaf))
            }
            _ => {
                self.rest = &[];
                Some(Err(Error::StoredMalformed {
                    what: "entry bundle",
                    flaw: "not made of whole entries",
                }))
            }
        }
    }
}

/// The hash tiles on the right edge of a tree of this size that are partial, from the lowest level up; with them, every
/// full tile exists.
pub(crate) fn partial_tiles(size: u64) -> impl Iterator<Item = TileId> {
    (0..8_u8).filter_map(move |level| {
        let hashes = size >> (u32::from(level) * u32::from(TILE_HEIGHT));
        let width = hashes % TILE_WIDTH as u64;
        (width > 0).then(|| {
            TileId::new(
                TileKind::Hashes(level),
                hashes / TILE_WIDTH as u64,
                width as u16,
            )
        })
    })
}

const _: () = assert!(LEAF_BYTES_MAX == u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |kind, index, width| TileId::new(kind, index, width).to_string();
        assert_eq!(
            path(TileKind::Hashes(0), 1_234_067, 256),
            "tile/0/x001/x234/067"
        );
        assert_eq!(path(TileKind::Hashes(5), 0, 256), "tile/5/000");
        assert_eq!(
            path(TileKind::Entries, 1_000, 17),
            "tile/entries/x001/000.p/17"
        );
        assert_eq!(
            path(TileKind::Entries, u64::MAX, 1),
            "tile/entries/x018/x446/x744/x073/x709/x551/615.p/1"
        );
    }

    #[test]
    fn partial_tiles_are_those_of_the_specifications_example() {
        let tiles: Vec<_> = partial_tiles(70_000).map(|id| id.to_string()).collect();
        assert_eq!(
            tiles,
            ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
        );
        assert_eq!(
            partial_tiles(256)
                .map(|id| id.to_string())
                .collect::<Vec<_>>(),
            ["tile/1/000.p/1"]
        );
        assert_eq!(partial_tiles(0).count(), 0);
        assert!(partial_tiles(u64::MAX).count() == 8);
    }

    #[test]
    fn a_bundle_that_is_cut_inside_an_entry_says_so() {
        let mut bundle = Vec::new();
        put_entry(b"one", &mut bundle).unwrap();
        put_entry(b"two!", &mut bundle).unwrap();
        for cut in 0..bundle.len() {
            let entries: Vec<_> = bundle_entries(&bundle[..cut]).collect();
            let whole = entries.iter().all(Result::is_ok);
            assert_eq!(whole, cut == 0 || cut == 5, "cut at {cut}");
        }
        assert!(put_entry(&[], &mut bundle).is_err());
        assert!(put_entry(&[0; 65_536], &mut bundle).is_err());
    }
}
