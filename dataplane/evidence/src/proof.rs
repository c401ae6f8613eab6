//! Proof that one record is in a log (C2SP tlog-proof): an audit path and the checkpoint that it leads to.

use crate::checkpoint::SignedCheckpoint;
use crate::error::Error;
use crate::keys::VerifierKey;
use crate::limits::{NOTE_BYTES_MAX, PROOF_HASHES_MAX, TILE_HEIGHT, TILE_WIDTH};
use crate::tile::{TileId, TileKind, TileSource, tile_hashes};
use crate::tree::{Frontier, Hash, leaf_hash, root_of_path};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof in parts. As text it stands alone: whoever has the leaf and the log's key can check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Place of the leaf in the log.
    pub index: u64,
    /// Audit path, from the leaf's sibling upwards.
    pub path: Vec<Hash>,
    /// The signed checkpoint, byte for byte.
    pub checkpoint: Vec<u8>,
}

/// Proves that leaf `index` is in the tree of a checkpoint, from the tiles of its log.
///
/// # Errors
/// [`Error::StoredLeafAbsent`], and those of the tiles.
pub fn prove(
    index: u64,
    checkpoint: &SignedCheckpoint,
    tiles: &impl TileSource,
) -> Result<Proof, Error> {
    let size = checkpoint.checkpoint.size;
    if index >= size {
        return Err(Error::StoredLeafAbsent { index, size });
    }
    let mut path = Vec::new();
    let (mut node, mut last, mut level) = (index, size.saturating_sub(1), 0_u8);
    while last > 0 {
        let sibling = node ^ 1;
        if sibling <= last {
            path.push(subtree_root(level, sibling, size, tiles)?);
        }
        node >>= 1;
        last >>= 1;
        level = level.saturating_add(1);
    }
    Ok(Proof {
        index,
        path,
        checkpoint: checkpoint.note.clone(),
    })
}

impl Proof {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::StoredMalformed`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = |flaw| Error::StoredMalformed {
            what: "proof",
            flaw,
        };
        if text.len() > 2 * NOTE_BYTES_MAX {
            return Err(malformed("longer than the limit"));
        }
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(malformed("no blank line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(malformed("first line is not c2sp.org/tlog-proof@v1"));
        }
        // Nothing here needs it, and nobody signed it.
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .ok_or(malformed("no index"))?;
        let number: u64 = index
            .parse()
            .map_err(|_| malformed("index is not a number"))?;
        if number.to_string() != index {
            return Err(malformed("index is not in its shortest form"));
        }
        let path = lines
            .take(PROOF_HASHES_MAX.saturating_add(1))
            .map(Hash::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if path.len() > PROOF_HASHES_MAX {
            return Err(malformed("more hashes than a tree has levels"));
        }
        Ok(Self {
            index: number,
            path,
            checkpoint: checkpoint.as_bytes().to_vec(),
        })
    }

    /// The text form, for a file named `.tlog-proof`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nindex {}\n", self.index);
        for hash in &self.path {
            text.push_str(&hash.to_string());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&self.checkpoint));
        text
    }

    /// Checks the checkpoint's signatures and that the path leads from this leaf to its root.
    ///
    /// # Errors
    /// Those of [`SignedCheckpoint::open`], [`Error::StoredLeafAbsent`], [`Error::StoredProofWrong`].
    pub fn verify(&self, leaf: &[u8], keys: &[VerifierKey]) -> Result<SignedCheckpoint, Error> {
        let signed = SignedCheckpoint::open(&self.checkpoint, keys)?;
        let root = root_of_path(
            self.index,
            signed.checkpoint.size,
            leaf_hash(leaf),
            &self.path,
        )?;
        if root != signed.checkpoint.root {
            return Err(Error::StoredProofWrong);
        }
        Ok(signed)
    }
}

/// Root of the node at `level` and `index`, cut off at the end of the tree.
fn subtree_root(level: u8, index: u64, size: u64, tiles: &impl TileSource) -> Result<Hash, Error> {
    let start = index << level;
    let end = start
        .saturating_add(1_u64.checked_shl(level.into()).unwrap_or(u64::MAX))
        .min(size);
    let mut frontier = Frontier::default();
    let mut bytes = Vec::new();
    // From the tile level just below the node down to the leaves: what a level cannot say whole, the next one does.
    let mut at = start;
    for tile_level in (0..=level / TILE_HEIGHT).rev() {
        let height = tile_level.saturating_mul(TILE_HEIGHT);
        while end.saturating_sub(at) >> height > 0 {
            let first = at >> height;
            let tile = first / TILE_WIDTH as u64;
            let width =
                ((size >> height).saturating_sub(tile * TILE_WIDTH as u64)).min(TILE_WIDTH as u64);
            tiles.get(
                TileId::new(TileKind::Hashes(tile_level), tile, width as u16),
                &mut bytes,
            )?;
            let skip = (first % TILE_WIDTH as u64) as usize;
            for hash in tile_hashes(&bytes, width as usize)?.skip(skip) {
                if end.saturating_sub(at) >> height == 0 {
                    break;
                }
                frontier.append_subtree(height, hash, |_, _| {});
                at = at.saturating_add(1 << height);
            }
        }
    }
    Ok(frontier.root())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::log::LogBuilder;
    use crate::tile::Tiles;
    use crate::tree::slow;

    #[test]
    fn proves_every_leaf_with_the_path_of_the_definition() {
        let key = SigningKey::from_seed("sluice.example/log", &[1; 32]).unwrap();
        let keys = std::slice::from_ref(key.verifier());
        for size in [1, 2, 3, 255, 256, 257, 511, 777] {
            let leaves: Vec<_> = (0..size)
                .map(|i| format!("leaf {i}").into_bytes())
                .collect();
            let (mut builder, mut tiles) = (LogBuilder::new(), Tiles::default());
            leaves
                .iter()
                .for_each(|leaf| builder.append(leaf, &mut tiles).unwrap());
            builder.flush(&mut tiles).unwrap();
            let checkpoint = builder.checkpoint(&key, 5);
            for index in (0..size).step_by(7).chain([size - 1]) {
                let proof = prove(index as u64, &checkpoint, &tiles).unwrap();
                if index % 49 == 0 {
                    assert_eq!(proof.path, slow::path(index, &leaves));
                }
                let read = Proof::parse(&proof.to_text()).unwrap();
                assert_eq!(read, proof);
                read.verify(&leaves[index], keys).unwrap();
                assert!(read.verify(b"another leaf", keys).is_err());
            }
            assert!(matches!(
                prove(size as u64, &checkpoint, &tiles),
                Err(Error::StoredLeafAbsent { .. })
            ));
        }
    }
}
