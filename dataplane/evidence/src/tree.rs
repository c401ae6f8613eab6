//! The Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1.1): hashes, the right edge of a growing tree, audit paths.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::limits::{HASH_BYTES, PROOF_HASHES_MAX};

/// SHA-256 of a leaf, an inner node or a whole tree. As text: base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// Root of the tree without leaves: the hash of nothing.
    #[must_use]
    pub fn empty_tree() -> Self {
        Self(Sha256::digest(b"").into())
    }

    /// Reads base64 with padding, as checkpoints and proofs write it.
    ///
    /// # Errors
    /// [`Error::StoredMalformed`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = Error::StoredMalformed {
            what: "hash",
            flaw: "not base64 of 32 bytes",
        };
        let Ok(bytes) = STANDARD.decode(text) else {
            return Err(malformed);
        };
        bytes.try_into().map(Self).map_err(|_| malformed)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Hash of one leaf. The prefix keeps leaves and inner nodes apart.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash(
        Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into(),
    )
}

/// Hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// The right edge of a tree: the roots of its perfect subtrees, largest first. Enough to grow it and to name its root.
///
/// Levels fall strictly from first to last; the sum of `2^level` is the size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    subtrees: Vec<(u8, Hash)>,
    size: u64,
}

impl Frontier {
    /// Leaves so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf and tells `completed` of every node that this completes, from the leaf (level 0) upwards.
    pub fn append(&mut self, leaf: Hash, completed: impl FnMut(u8, Hash)) {
        self.append_subtree(0, leaf, completed);
    }

    /// Adds a perfect subtree of `2^level` leaves. The size so far must be a multiple of that; if it is not, nothing happens
    /// and the answer is false.
    pub(crate) fn append_subtree(
        &mut self,
        level: u8,
        root: Hash,
        mut completed: impl FnMut(u8, Hash),
    ) -> bool {
        let Some(leaves) = 1_u64.checked_shl(level.into()) else {
            return false;
        };
        let (true, Some(size)) = (
            self.size.is_multiple_of(leaves),
            self.size.checked_add(leaves),
        ) else {
            return false;
        };
        self.size = size;
        let (mut level, mut node) = (level, root);
        completed(level, node);
        while let Some((last_level, last)) = self.subtrees.last()
            && *last_level == level
        {
            node = node_hash(last, &node);
            self.subtrees.pop();
            level = level.saturating_add(1);
            completed(level, node);
        }
        self.subtrees.push((level, node));
        true
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = subtrees.next() else {
            return Hash::empty_tree();
        };
        subtrees.fold(last, |right, left| node_hash(&left, &right))
    }
}

/// Root that an audit path leads to from one leaf (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`Error::StoredLeafAbsent`], or [`Error::StoredProofWrong`] when the path has not the length that index and size ask for.
pub(crate) fn root_of_path(
    index: u64,
    size: u64,
    leaf: Hash,
    path: &[Hash],
) -> Result<Hash, Error> {
    if index >= size {
        return Err(Error::StoredLeafAbsent { index, size });
    }
    if path.len() > PROOF_HASHES_MAX {
        return Err(Error::StoredProofWrong);
    }
    let (mut node, mut last) = (index, size.saturating_sub(1));
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return Err(Error::StoredProofWrong);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // On the right edge: levels without a sibling are passed over.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 {
        Ok(hash)
    } else {
        Err(Error::StoredProofWrong)
    }
}

#[cfg(test)]
pub(crate) mod slow {
    //! The definition of RFC 6962 section 2.1, word for word: the twin of everything that is fast.

    use super::{Hash, leaf_hash, node_hash};

    pub(crate) fn root(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Hash::empty_tree(),
            [leaf] => leaf_hash(leaf),
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node_hash(&root(left), &root(right))
            }
        }
    }

    pub(crate) fn path(index: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
        if leaves.len() < 2 {
            return Vec::new();
        }
        let at = split(leaves.len());
        let (left, right) = leaves.split_at(at);
        if index < at {
            let mut path = path(index, left);
            path.push(root(right));
            path
        } else {
            let mut path = path(index - at, right);
            path.push(root(left));
            path
        }
    }

    /// Largest power of two smaller than `n`.
    fn split(n: usize) -> usize {
        n.next_power_of_two() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|i| format!("leaf {i}").into_bytes())
            .collect()
    }

    #[test]
    fn frontier_names_the_root_that_the_definition_names() {
        let leaves = leaves(300);
        let mut frontier = Frontier::default();
        for size in 0..=leaves.len() {
            assert_eq!(frontier.root(), slow::root(&leaves[..size]), "size {size}");
            assert_eq!(frontier.size(), size as u64);
            if let Some(leaf) = leaves.get(size) {
                frontier.append(leaf_hash(leaf), |_, _| {});
            }
        }
    }

    #[test]
    fn a_subtree_fits_only_at_a_multiple_of_its_size() {
        let mut frontier = Frontier::default();
        let hash = leaf_hash(b"x");
        assert!(frontier.append_subtree(8, hash, |_, _| {}));
        frontier.append(hash, |_, _| {});
        assert!(!frontier.append_subtree(8, hash, |_, _| {}));
        assert!(!frontier.append_subtree(64, hash, |_, _| {}));
        assert_eq!(frontier.size(), 257);
    }

    #[test]
    fn audit_paths_of_the_definition_lead_to_the_root() {
        for size in 1..=70 {
            let leaves = leaves(size);
            let root = slow::root(&leaves);
            for index in 0..size {
                let path = slow::path(index, &leaves);
                let leaf = leaf_hash(&leaves[index]);
                assert_eq!(
                    root_of_path(index as u64, size as u64, leaf, &path).unwrap(),
                    root
                );
                // Another place, or another length, does not.
                let elsewhere =
                    root_of_path((index as u64 + 1) % size as u64, size as u64, leaf, &path);
                assert!(size == 1 || elsewhere.ok() != Some(root));
                let longer = [&path[..], &[leaf]].concat();
                assert!(root_of_path(index as u64, size as u64, leaf, &longer).is_err());
                if let Some((_, shorter)) = path.split_last() {
                    assert!(root_of_path(index as u64, size as u64, leaf, shorter).is_err());
                }
            }
            assert!(root_of_path(size as u64, size as u64, root, &[]).is_err());
        }
    }

    #[test]
    fn the_empty_tree_has_the_root_of_rfc_6962() {
        assert_eq!(
            Hash::empty_tree().to_string(),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
    }
}
