//! Compiled policy, read in place. Every offset is checked once, on load; whatever the bytes say, nothing panics.

use std::fmt;

use hashbrown::HashTable;

use crate::check::check;
use crate::decision::{Revision, name_hash};
use crate::error::LoadError;
use crate::format::{CHECKSUM_AT, FORMAT, HEADER_BYTES, MAGIC, SECTIONS_AT, Section, patterns};
use crate::limits::TABLES_BYTES_MAX;

/// Compiled policy under one revision: immutable, shared by reference.
///
/// The bytes are what travelled; beside them stands only an index of literal names.
#[derive(Clone)]
pub struct Tables {
    bytes: Vec<u8>,
    /// Where each section starts, and the end of the last.
    starts: [usize; Section::ALL.len() + 1],
    revision: Revision,
    /// Row numbers of `Names`, by the hash of the name.
    names: HashTable<u32>,
}

impl Tables {
    /// Checks the bytes that [`crate::compile`] made, and keeps them. Linear in their number.
    ///
    /// # Errors
    /// If they are not exactly such bytes.
    pub fn load(bytes: Vec<u8>) -> Result<Self, LoadError> {
        if bytes.len() > TABLES_BYTES_MAX {
            return Err(LoadError::OperatorTablesOversized(bytes.len()));
        }
        let malformed = LoadError::OperatorTablesMalformed;
        if bytes.get(..MAGIC.len()) != Some(MAGIC.as_slice()) {
            return Err(malformed("wrong magic"));
        }
        let cut = || malformed("cut off");
        let format = word_at(&bytes, MAGIC.len()).ok_or_else(cut)?;
        if format != FORMAT {
            return Err(LoadError::OperatorFormatUnsupported {
                found: format,
                supported: FORMAT,
            });
        }
        let checked_from = CHECKSUM_AT.saturating_add(4);
        if long_at(&bytes, checked_from) != Some(bytes.len() as u64) {
            return Err(malformed("wrong length"));
        }
        let checksum = word_at(&bytes, CHECKSUM_AT).ok_or_else(cut)?;
        if checksum != crc32c::crc32c(bytes.get(checked_from..).unwrap_or_default()) {
            return Err(LoadError::OperatorChecksumWrong);
        }
        let revision = Revision {
            incarnation: long_at(&bytes, 24).ok_or_else(cut)?,
            number: long_at(&bytes, 32).ok_or_else(cut)?,
        };
        let mut starts = [SECTIONS_AT; Section::ALL.len() + 1];
        let mut start = SECTIONS_AT;
        for (section, slot) in Section::ALL.into_iter().zip(starts.iter_mut().skip(1)) {
            let entry = (section as usize)
                .saturating_mul(4)
                .saturating_add(HEADER_BYTES);
            let length = word_at(&bytes, entry).ok_or_else(cut)? as usize;
            if !length.is_multiple_of(section.row_bytes()) {
                return Err(malformed("a section ends inside a row"));
            }
            start = start.checked_add(length).ok_or_else(cut)?;
            *slot = start;
        }
        if start != bytes.len() {
            return Err(malformed("sections do not fill the bytes"));
        }
        let mut tables = Self {
            bytes,
            starts,
            revision,
            names: HashTable::new(),
        };
        check(&tables).map_err(malformed)?;
        tables.index_names();
        Ok(tables)
    }

    /// The revision that was compiled.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The bytes, as they were loaded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes held, without the index of names.
    #[must_use]
    pub fn bytes_count(&self) -> usize {
        self.bytes.len()
    }

    fn index_names(&mut self) {
        let count = self.count(Section::Names);
        let mut names = HashTable::with_capacity(count as usize);
        let hash = |row: &u32| name_hash(self.text(Section::Names, *row, 0));
        for row in 0..count {
            names.insert_unique(hash(&row), row, hash);
        }
        self.names = names;
    }

    /// The row of a literal name that policy knows.
    pub(crate) fn name_row(&self, name: &str, hash: u64) -> Option<u32> {
        self.names
            .find(hash, |row| {
                self.text_bytes(Section::Names, *row, 0) == name.as_bytes()
            })
            .copied()
    }

    /// What the pattern table `table` says about a name: its own row, else its longest prefix, else any.
    pub(crate) fn lookup(&self, table: u32, name_row: Option<u32>, name: &[u8]) -> u32 {
        let word = |column| self.word(Section::Patterns, table, column);
        if let Some(id) = name_row {
            let (first, count) = (
                word(patterns::EXACT),
                word(patterns::EXACT.saturating_add(1)),
            );
            let found = search(first, count, |row| {
                self.word(Section::Exact, row, 0).cmp(&id)
            });
            if let Some(row) = found {
                return self.word(Section::Exact, row, 1);
            }
        }
        let (first, count) = (
            word(patterns::BUCKETS),
            word(patterns::BUCKETS.saturating_add(1)),
        );
        for bucket in first..first.saturating_add(count) {
            let word = |column| self.word(Section::Buckets, bucket, column);
            let Some(head) = name.get(..word(0) as usize) else {
                continue;
            };
            let found = search(word(1), word(2), |row| {
                self.prefix(row, head.len()).cmp(head)
            });
            if let Some(row) = found {
                return self.word(Section::Prefixes, row, 1);
            }
        }
        word(patterns::ANY)
    }

    pub(crate) fn prefix(&self, row: u32, length: usize) -> &[u8] {
        let offset = self.word(Section::Prefixes, row, 0) as usize;
        offset
            .checked_add(length)
            .and_then(|end| self.section(Section::Text).get(offset..end))
            .unwrap_or_default()
    }

    /// Rows of a section.
    pub(crate) fn count(&self, section: Section) -> u32 {
        let rows = self
            .section(section)
            .len()
            .checked_div(section.row_bytes())
            .unwrap_or(0);
        u32::try_from(rows).unwrap_or(u32::MAX)
    }

    /// One number of a row. 0, which denies, where there is none: checked on load, so never.
    pub(crate) fn word(&self, section: Section, row: u32, column: usize) -> u32 {
        self.at(section, row, column)
            .and_then(|at| word_at(self.section(section), at))
            .unwrap_or(0)
    }

    pub(crate) fn long(&self, section: Section, row: u32, column: usize) -> u64 {
        self.at(section, row, column)
            .and_then(|at| long_at(self.section(section), at))
            .unwrap_or(0)
    }

    fn at(&self, section: Section, row: u32, column: usize) -> Option<usize> {
        #[cfg(test)]
        crate::testing::read();
        (row as usize)
            .checked_mul(section.row_words())?
            .checked_add(column)?
            .checked_mul(4)
    }

    pub(crate) fn text_bytes(&self, section: Section, row: u32, column: usize) -> &[u8] {
        let offset = self.word(section, row, column) as usize;
        let length = self.word(section, row, column.saturating_add(1)) as usize;
        offset
            .checked_add(length)
            .and_then(|end| self.section(Section::Text).get(offset..end))
            .unwrap_or_default()
    }

    pub(crate) fn text(&self, section: Section, row: u32, column: usize) -> &str {
        std::str::from_utf8(self.text_bytes(section, row, column)).unwrap_or_default()
    }

    /// The rows of another section that a range names.
    pub(crate) fn range(&self, section: Section, row: u32, column: usize) -> std::ops::Range<u32> {
        let first = self.word(section, row, column);
        first..first.saturating_add(self.word(section, row, column.saturating_add(1)))
    }

    pub(crate) fn section(&self, section: Section) -> &[u8] {
        let start = self
            .starts
            .get(section as usize)
            .copied()
            .unwrap_or_default();
        let end = self
            .starts
            .get((section as usize).saturating_add(1))
            .copied()
            .unwrap_or_default();
        self.bytes.get(start..end).unwrap_or_default()
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("revision", &self.revision)
            .field("bytes_count", &self.bytes.len())
            .finish()
    }
}

/// Binary search over the rows `first..first + count`.
fn search(first: u32, count: u32, compare: impl Fn(u32) -> std::cmp::Ordering) -> Option<u32> {
    let (mut low, mut high) = (first, first.saturating_add(count));
    while low < high {
        let middle = low.midpoint(high);
        match compare(middle) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle.saturating_add(1),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u32::from_le_bytes(*chunk))
}

fn long_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u64::from_le_bytes(*chunk))
}
