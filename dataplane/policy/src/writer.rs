//! Rows and texts into the sections of compiled policy.

use std::collections::HashMap;

use crate::compile::Set;
use crate::decision::Revision;
use crate::error::CompileError;
use crate::format::{FORMAT, MAGIC, SECTIONS_AT, Section};
use crate::limits::TABLES_BYTES_MAX;

#[derive(Default)]
pub(crate) struct Writer<'a> {
    pub(crate) sections: [Vec<u8>; Section::ALL.len()],
    pub(crate) texts: HashMap<&'a str, u32>,
    pub(crate) names: HashMap<&'a str, u32>,
    /// Equal tables are stored once.
    pub(crate) pattern_rows: HashMap<Rows, u32>,
    pub(crate) clear_sets: Vec<Set>,
    pub(crate) clear_ids: HashMap<Set, u32>,
}

/// One pattern table: name rows, prefix rows by length and bytes, any.
pub(crate) type Rows = (Vec<(u32, u32)>, Vec<(usize, u32, u32)>, u32);

impl<'a> Writer<'a> {
    pub(crate) fn finish(self, revision: Revision) -> Result<Vec<u8>, CompileError> {
        let length = self
            .sections
            .iter()
            .map(Vec::len)
            .fold(SECTIONS_AT, usize::saturating_add);
        // Every count and offset is below this, so that `word` never cut one.
        if length > TABLES_BYTES_MAX {
            return Err(CompileError::OperatorTablesOversized);
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
        bytes.extend_from_slice(&revision.incarnation.to_le_bytes());
        bytes.extend_from_slice(&revision.number.to_le_bytes());
        for section in &self.sections {
            bytes.extend_from_slice(&word(section.len()).to_le_bytes());
        }
        for section in &self.sections {
            bytes.extend_from_slice(section);
        }
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        out.extend_from_slice(&bytes);
        debug_assert_eq!(out.len(), length);
        Ok(out)
    }

    pub(crate) fn ids(&mut self, section: Section, ids: impl Iterator<Item = u32>) {
        let first = self.count(Section::Ids);
        for id in ids {
            self.words(Section::Ids, &[id]);
        }
        let count = self.count(Section::Ids).saturating_sub(first);
        self.words(section, &[first, count]);
    }

    pub(crate) fn strings(&mut self, section: Section, texts: impl Iterator<Item = &'a str>) {
        let first = self.count(Section::Strings);
        for text in texts {
            self.text(Section::Strings, text);
        }
        let count = self.count(Section::Strings).saturating_sub(first);
        self.words(section, &[first, count]);
    }

    pub(crate) fn text(&mut self, section: Section, text: &'a str) {
        let offset = self.intern(text);
        self.words(section, &[offset, word(text.len())]);
    }

    pub(crate) fn intern(&mut self, text: &'a str) -> u32 {
        if let Some(offset) = self.texts.get(text) {
            return *offset;
        }
        let offset = self.append_text(text);
        self.texts.insert(text, offset);
        offset
    }

    pub(crate) fn append_text(&mut self, text: &str) -> u32 {
        let offset = self.count(Section::Text);
        self.bytes(Section::Text, text.as_bytes());
        offset
    }

    pub(crate) fn words(&mut self, section: Section, words: &[u32]) {
        for word in words {
            self.bytes(section, &word.to_le_bytes());
        }
    }

    pub(crate) fn long(&mut self, section: Section, value: u64) {
        self.bytes(section, &value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, section: Section, bytes: &[u8]) {
        if let Some(section) = self.sections.get_mut(section as usize) {
            section.extend_from_slice(bytes);
        }
    }

    /// Rows that the section has so far.
    pub(crate) fn count(&self, section: Section) -> u32 {
        word(self.sections.get(section as usize).map_or(0, Vec::len) / section.row_bytes())
    }
}

/// A count or offset as the tables store it. What does not fit is refused by the bound on the whole.
pub(crate) fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
