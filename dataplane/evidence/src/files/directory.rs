//! Where the parts of a log lie, and reading them.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::history::HistoryNotes;
use super::{Durability, failed, replace, sync_path};
use crate::error::Error;
use crate::limits::{BUNDLE_BYTES_MAX, NOTE_BYTES_MAX, SEGMENT_BYTES_MAX, TILE_WIDTH};
use crate::tile::{TileId, TileKind, TileSink, TileSource, tiles_between};
use crate::verify::{HistoryNote, LogSource};

/// The directory of one log.
#[derive(Debug, Clone)]
pub struct LogDirectory {
    root: PathBuf,
}

impl LogDirectory {
    /// Names the directory; nothing is touched yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            root: dir.to_owned(),
        }
    }

    /// File of the segment whose first leaf has this index.
    #[must_use]
    pub fn segment_path(&self, first_leaf: u64) -> PathBuf {
        self.segments_path().join(format!("{first_leaf:020}.seg"))
    }

    /// File of the published checkpoint.
    #[must_use]
    pub fn checkpoint_path(&self) -> PathBuf {
        self.root.join("log/checkpoint")
    }

    pub(super) fn segments_path(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(super) fn history_path(&self) -> PathBuf {
        self.root.join("checkpoints.log")
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Makes the directories that a log needs.
    pub(super) fn create(&self) -> Result<(), Error> {
        for path in [self.segments_path(), self.root.join("log/tile/entries")] {
            fs::create_dir_all(&path).map_err(|source| failed("create", &path, source))?;
        }
        sync_path(&self.root)
    }

    /// Makes a tile's bytes survive power loss, if it is there, and says which directory has its name.
    ///
    /// # Errors
    /// [`Error::StoredTileMissing`] also if it is shorter than what it is to hold, as after power loss; [`Error::OperatorFile`].
    pub(super) fn sync_tile(&self, id: TileId) -> Result<Option<PathBuf>, Error> {
        let path = self.tile_path(id);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("open", &path, source)),
        };
        let bytes = file
            .metadata()
            .map_err(|source| failed("look at", &path, source))?
            .len();
        if bytes < id.bytes_min() as u64 {
            return Err(Error::StoredTileMissing {
                path: id.to_string(),
            });
        }
        file.sync_all()
            .map_err(|source| failed("sync", &path, source))?;
        Ok(path.parent().map(Path::to_owned))
    }

    /// Whether all tiles of these leaves, and of the nodes above them, are there with all that they hold. After power loss a file
    /// may be empty, cut, or zeros.
    pub(super) fn has_tiles(&self, first: u64, end: u64) -> Result<bool, Error> {
        let mut bytes = Vec::new();
        for id in tiles_between(first, end) {
            match self.get(id, &mut bytes) {
                Ok(()) if id.is_filled_by(&bytes) => {}
                Ok(()) | Err(Error::StoredTileMissing { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn tile_path(&self, id: TileId) -> PathBuf {
        self.root.join("log").join(id.to_string())
    }

    fn partials_path(&self, id: TileId) -> PathBuf {
        self.root.join("log").join(id.path_full() + ".p")
    }
}

impl TileSink for LogDirectory {
    /// Survives the death of the process. Power loss is what segments are for, until they are pruned.
    fn put(&mut self, id: TileId, bytes: &[u8]) -> Result<(), Error> {
        let path = self.tile_path(id);
        // What is there already stays: it may survive power loss, which another copy of it does not yet.
        let mut there = Vec::new();
        if !(read_bounded(&path, bytes.len() as u64, &mut there)? && there == bytes) {
            // Looked for first: to make what is there already is much dearer, and 256 tiles share a directory.
            if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
                fs::create_dir_all(parent).map_err(|source| failed("create", parent, source))?;
            }
            replace(&path, bytes, Durability::Written)?;
        }
        let partials = self.partials_path(id);
        if id.is_full() && partials.is_dir() {
            // They may be all that is left of leaves whose segment is gone.
            let parent = self.sync_tile(id)?;
            parent.map_or(Ok(()), |parent| sync_path(&parent))?;
            fs::remove_dir_all(&partials).map_err(|source| failed("remove", &partials, source))?;
        }
        Ok(())
    }
}

impl TileSource for LogDirectory {
    fn get(&self, id: TileId, into: &mut Vec<u8>) -> Result<(), Error> {
        match self.get_exact(id, into) {
            Err(Error::StoredTileMissing { path }) => {
                // Partial tiles go when the full one comes.
                let wider = self
                    .widths(id.kind, id.index)?
                    .into_iter()
                    .filter(|width| *width > id.width)
                    .max();
                let width = wider.ok_or(Error::StoredTileMissing { path })?;
                self.get_exact(TileId { width, ..id }, into)
            }
            read => read,
        }
    }
}

impl LogSource for LogDirectory {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        Ok(
            read_bounded(&self.checkpoint_path(), NOTE_BYTES_MAX as u64, &mut bytes)?
                .then_some(bytes),
        )
    }

    fn history(&self) -> Result<Box<dyn Iterator<Item = Result<HistoryNote, Error>> + '_>, Error> {
        let path = self.history_path();
        match File::open(&path) {
            Ok(file) => Ok(Box::new(HistoryNotes::new(BufReader::new(file), path))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
            Err(source) => Err(failed("open", &path, source)),
        }
    }

    fn widths(&self, kind: TileKind, index: u64) -> Result<Vec<u16>, Error> {
        let full = TileId::new(kind, index, TILE_WIDTH as u16);
        let mut widths = Vec::new();
        if self.tile_path(full).is_file() {
            widths.push(TILE_WIDTH as u16);
        }
        for name in names(&self.partials_path(full))? {
            match name.parse::<u16>() {
                Ok(width)
                    if width > 0
                        && usize::from(width) < TILE_WIDTH
                        && width.to_string() == name =>
                {
                    widths.push(width);
                }
                // A temporary file that a crash left behind.
                _ => {}
            }
        }
        widths.sort_unstable();
        Ok(widths)
    }

    fn get_exact(&self, id: TileId, into: &mut Vec<u8>) -> Result<(), Error> {
        match read_bounded(&self.tile_path(id), BUNDLE_BYTES_MAX as u64, into)? {
            true => Ok(()),
            false => Err(Error::StoredTileMissing {
                path: id.to_string(),
            }),
        }
    }

    fn segments(&self) -> Result<Vec<u64>, Error> {
        let mut firsts: Vec<u64> = names(&self.segments_path())?
            .iter()
            .filter_map(|name| name.strip_suffix(".seg"))
            .filter(|digits| digits.len() == 20)
            .filter_map(|digits| digits.parse().ok())
            .collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    fn segment(&self, first_leaf: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        read_bounded(
            &self.segment_path(first_leaf),
            SEGMENT_BYTES_MAX,
            &mut bytes,
        )?;
        Ok(bytes)
    }

    fn segment_name(&self, first_leaf: u64) -> String {
        format!("segments/{first_leaf:020}.seg")
    }
}

/// Replaces `into` by a file's bytes; false when there is no such file. Of a longer one only one byte past the bound is
/// read, which no format survives.
fn read_bounded(path: &Path, bytes_max: u64, into: &mut Vec<u8>) -> Result<bool, Error> {
    into.clear();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(failed("open", path, source)),
    };
    file.take(bytes_max.saturating_add(1))
        .read_to_end(into)
        .map_err(|source| failed("read", path, source))?;
    Ok(true)
}

/// Names in a directory; none when it does not exist.
fn names(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("list", path, source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| failed("list", path, source))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}
