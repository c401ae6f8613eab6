//! Records inside a batch's plain record area.

use std::ops::Range;

use crate::limits::RECORD_BYTES_MIN;
use crate::reader::Reader;
use crate::{BatchError, Flaw, Malformed};

/// Where one record's parts are, as offsets into the record area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Bits without a meaning so far; kept as they are.
    pub attributes: i8,
    /// Milliseconds from the batch's base timestamp.
    pub timestamp_delta: i64,
    /// From the batch's base offset.
    pub offset_delta: i32,
    /// `None` for null.
    pub key: Option<Range<usize>>,
    /// `None` for null: a tombstone.
    pub value: Option<Range<usize>>,
    /// The headers, their count included.
    pub headers: Range<usize>,
    /// The whole record, its length included.
    pub span: Range<usize>,
    /// Everything after the length and before the key's length.
    pub(crate) before_key: Range<usize>,
    /// Where the value's length starts, and the key has ended.
    pub(crate) value_at: usize,
}

/// Walks the records of a plain record area, strictly: see the module. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    reader: Reader<'a>,
    plain: &'a [u8],
    announced: i32,
    seen: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Walking,
    Ended,
}

impl<'a> Records<'a> {
    /// A walk over `plain`, in which the batch announces `record_count` records.
    pub fn new(plain: &'a [u8], record_count: i32) -> Self {
        Self {
            reader: Reader::new(plain, 0),
            plain,
            announced: record_count,
            seen: 0,
            state: State::Walking,
        }
    }

    /// The same walk from where it was left: `seen` records end at `at`.
    pub(super) fn resume(plain: &'a [u8], record_count: i32, at: usize, seen: usize) -> Self {
        Self {
            reader: Reader::new(plain, at),
            seen,
            ..Self::new(plain, record_count)
        }
    }

    fn end(&mut self) -> Option<Result<Record, BatchError>> {
        self.state = State::Ended;
        if usize::try_from(self.announced) == Ok(self.seen) && self.reader.remaining() == 0 {
            return None;
        }
        // Either bytes are left after the last record, or they ended before it.
        let left = self.reader.remaining() / RECORD_BYTES_MIN;
        let found = self
            .seen
            .saturating_add(left.max(usize::from(self.reader.remaining() > 0)));
        Some(Err(BatchError::RecordCountWrong {
            announced: self.announced,
            found,
        }))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        if self.reader.remaining() == 0
            || usize::try_from(self.announced).is_ok_and(|announced| announced == self.seen)
        {
            return self.end();
        }
        let record = read_record(&mut self.reader, self.plain);
        match record {
            Ok(record) => {
                self.seen = self.seen.saturating_add(1);
                Some(Ok(record))
            }
            Err(malformed) => {
                self.state = State::Ended;
                Some(Err(BatchError::RecordMalformed {
                    ordinal: self.seen,
                    malformed,
                }))
            }
        }
    }
}

fn read_record(reader: &mut Reader<'_>, plain: &[u8]) -> Result<Record, Malformed> {
    let start = reader.position();
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed {
        flaw: Flaw::LengthNegative,
        at: start,
    })?;
    let content = reader.skip(length)?;
    // Bounded to the record, so that no field reaches into the next one.
    let mut fields = Reader::new(plain.get(..content.end).unwrap_or_default(), content.start);
    let attributes = fields.i8()?;
    let timestamp_delta = fields.varlong()?;
    let offset_delta = fields.varint()?;
    let before_key = content.start..fields.position();
    let key = read_blob(&mut fields)?;
    let value_at = fields.position();
    let value = read_blob(&mut fields)?;
    let headers_at = fields.position();
    for _ in 0..header_count(&mut fields)? {
        read_header(&mut fields)?;
    }
    let headers = headers_at..fields.position();
    fields.finish()?;
    Ok(Record {
        attributes,
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers,
        span: start..content.end,
        before_key,
        value_at,
    })
}

/// Length and bytes. Any negative length is null to Java and only -1 to others: only -1 is read.
fn read_blob(reader: &mut Reader<'_>) -> Result<Option<Range<usize>>, Malformed> {
    let at = reader.position();
    match reader.varint()? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| Malformed {
                flaw: Flaw::LengthNegative,
                at,
            })?;
            reader.skip(length).map(Some)
        }
    }
}

/// One header of a record, borrowed from the record area. Keys may repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub key: &'a str,
    pub value: Option<&'a [u8]>,
}

/// Walks the headers of one record.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Headers<'a> {
    /// The headers that stand at `record.headers` of `plain`.
    pub fn new(plain: &'a [u8], record: &Record) -> Self {
        let bytes = plain.get(..record.headers.end).unwrap_or_default();
        let mut reader = Reader::new(bytes, record.headers.start);
        let left = header_count(&mut reader).unwrap_or(0);
        Self { reader, left }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_header(&mut self.reader).ok()
    }
}

fn header_count(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    let at = reader.position();
    let count = usize::try_from(reader.varint()?).map_err(|_| Malformed {
        flaw: Flaw::LengthNegative,
        at,
    })?;
    // A header takes two bytes: two lengths.
    if count.saturating_mul(2) > reader.remaining() {
        return Err(Malformed {
            flaw: Flaw::CountOversized,
            at,
        });
    }
    Ok(count)
}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, Malformed> {
    let at = reader.position();
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed {
        flaw: Flaw::LengthNegative,
        at,
    })?;
    let key = std::str::from_utf8(reader.take(length)?).map_err(|_| Malformed {
        flaw: Flaw::NotUtf8,
        at,
    })?;
    let at = reader.position();
    let value = match reader.varint()? {
        -1 => None,
        length => {
            let length = usize::try_from(length).map_err(|_| Malformed {
                flaw: Flaw::LengthNegative,
                at,
            })?;
            Some(reader.take(length)?)
        }
    };
    Ok(Header { key, value })
}
