//! The history of checkpoints: notes one after the other, each followed by a blank line. People can read it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::failed;
use crate::error::Error;
use crate::limits::NOTE_BYTES_MAX;
use crate::verify::HistoryNote;

/// Reads notes. One ends at the blank line after its signatures, so that after a damaged note the next one is found.
#[derive(Debug)]
pub(super) struct HistoryNotes<R> {
    reader: R,
    path: PathBuf,
    ended: bool,
}

impl<R: BufRead> HistoryNotes<R> {
    pub(super) fn new(reader: R, path: PathBuf) -> Self {
        Self {
            reader,
            path,
            ended: false,
        }
    }

    fn read(&mut self) -> std::io::Result<Option<HistoryNote>> {
        let mut note = Vec::new();
        let mut line = Vec::new();
        let mut after_signature = false;
        loop {
            line.clear();
            (&mut self.reader)
                .take(NOTE_BYTES_MAX as u64)
                .read_until(b'\n', &mut line)?;
            if line.is_empty() {
                self.ended = true;
                return Ok((!note.is_empty()).then_some(HistoryNote::Torn));
            }
            if line == b"\n" && after_signature {
                return Ok(Some(HistoryNote::Whole(note)));
            }
            after_signature = line.starts_with("— ".as_bytes()) && line.ends_with(b"\n");
            note.extend_from_slice(&line);
            if note.len() > NOTE_BYTES_MAX {
                // No checkpoint is as long as that: hand it over to be found malformed.
                return Ok(Some(HistoryNote::Whole(note)));
            }
        }
    }
}

impl<R: BufRead> Iterator for HistoryNotes<R> {
    type Item = Result<HistoryNote, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.read() {
            Ok(note) => note.map(Ok),
            Err(source) => {
                self.ended = true;
                Some(Err(failed("read", &self.path, source)))
            }
        }
    }
}

/// The history as the writer holds it.
#[derive(Debug)]
pub(super) struct HistoryFile {
    file: File,
    path: PathBuf,
}

impl HistoryFile {
    /// Opens it for appending, without the unfinished note that a crash may have left: nobody has seen that one.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let mut file = opened.map_err(|source| failed("open", path, source))?;
        cut_torn_end(&mut file).map_err(|source| failed("repair", path, source))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Adds a note; it survives power loss afterwards.
    pub(super) fn append(&mut self, note: &[u8]) -> Result<(), Error> {
        let mut block = note.to_vec();
        block.push(b'\n');
        let written = self
            .file
            .write_all(&block)
            .and_then(|()| self.file.sync_data());
        written.map_err(|source| failed("write", &self.path, source))
    }
}

/// Leaves the file at its end, which is the end of a whole note.
fn cut_torn_end(file: &mut File) -> std::io::Result<()> {
    let bytes = file.seek(SeekFrom::End(0))?;
    let tail_start = bytes.saturating_sub(2 * NOTE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    // A whole note ends with "\n\n" that no signature line follows.
    let mut end = tail.len();
    while end > 0 && !ends_note(&tail, end) {
        end = end.saturating_sub(1);
    }
    let end = tail_start.saturating_add(end as u64);
    if end < bytes {
        file.set_len(end)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::Start(end))?;
    Ok(())
}

fn ends_note(tail: &[u8], end: usize) -> bool {
    let Some(before) = tail
        .get(..end)
        .and_then(|before| before.strip_suffix(b"\n\n"))
    else {
        return false;
    };
    let line = before
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    line.starts_with("— ".as_bytes())
}
