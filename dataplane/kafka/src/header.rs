//! What every request and response starts with (the protocol guide's request header v1 and v2, response header v0 and v1).

use crate::api::{API_VERSIONS, Api, Treatment, api};
use crate::reader::{Encoding, Reader};
use crate::writer::set_i32;
use crate::{HeaderError, Malformed};

/// The header of a request, borrowed from its frame. All offsets count from the start of the frame, its length field included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    pub api_key: i16,
    pub api_version: i16,
    /// Chosen by the client and free to repeat.
    pub correlation_id: i32,
    /// A label that the client gives itself; null and absent are the same.
    pub client_id: Option<&'a str>,
    /// Where the client id ends, and with it the part of the header that is forwarded.
    pub client_id_end: usize,
    /// Tagged fields in the header. None is defined.
    pub tags_count: u32,
    /// Where the body starts.
    pub body_at: usize,
    /// How the body is written.
    pub encoding: Encoding,
}

/// Offset of the correlation id in a request frame.
pub const REQUEST_CORRELATION_ID_AT: usize = 8;

/// Offset of the correlation id in a response frame.
pub const RESPONSE_CORRELATION_ID_AT: usize = 4;

impl<'a> RequestHeader<'a> {
    /// Reads the header of a complete frame, its length field included.
    ///
    /// # Errors
    /// An API that does not exist, is withheld, or is not spoken in this version is an error that still names the correlation
    /// id, as far as it was there; anything else is malformed. ApiVersions in an unknown version is the one case that has an
    /// answer (see [`crate::local`]); after every other error the connection is closed.
    pub fn parse(frame: &'a [u8]) -> Result<Self, HeaderError> {
        let mut reader = Reader::new(frame, crate::frame::LENGTH_BYTES);
        let api_key = reader.i16()?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let Some(row) = api(api_key) else {
            return Err(HeaderError::ClientApiUnknown {
                api_key,
                api_version,
                correlation_id,
            });
        };
        if row.treatment == Treatment::Withheld {
            return Err(HeaderError::ClientApiWithheld {
                api_key,
                api_version,
                correlation_id,
            });
        }
        if !row.speaks(api_version) {
            return Err(HeaderError::ClientVersionUnsupported {
                api_key,
                api_version,
                correlation_id,
            });
        }
        // The client id keeps its 16-bit length in header v2.
        let client_id = reader.string_nullable(Encoding::Classic)?;
        let client_id_end = reader.position();
        let encoding = row.encoding(api_version);
        let tags_count = reader.tags_skipped(encoding)?;
        Ok(Self {
            api_key,
            api_version,
            correlation_id,
            client_id,
            client_id_end,
            tags_count,
            body_at: reader.position(),
            encoding,
        })
    }

    /// The API's row in the table.
    pub fn api(&self) -> Option<&'static Api> {
        api(self.api_key)
    }
}

/// 0 or 1: whether a response's header ends with a tagged section. ApiVersions never has one, so that a client that guessed
/// the version wrong can read the answer (KIP-511).
pub fn response_header_version(api_key: i16, api_version: i16) -> i16 {
    if api_key == API_VERSIONS {
        return 0;
    }
    match api(api_key).map(|row| row.encoding(api_version)) {
        Some(Encoding::Flexible) => 1,
        _ => 0,
    }
}

/// The correlation id of a response frame and the offset of its body.
pub fn parse_response_header(
    frame: &[u8],
    api_key: i16,
    api_version: i16,
) -> Result<(i32, usize), Malformed> {
    let mut reader = Reader::new(frame, RESPONSE_CORRELATION_ID_AT);
    let correlation_id = read_response_header(&mut reader, api_key, api_version)?;
    Ok((correlation_id, reader.position()))
}

/// The same from a reader that stands behind the length field.
pub(crate) fn read_response_header(
    reader: &mut Reader<'_>,
    api_key: i16,
    api_version: i16,
) -> Result<i32, Malformed> {
    let correlation_id = reader.i32()?;
    if response_header_version(api_key, api_version) == 1 {
        reader.tags_skipped(Encoding::Flexible)?;
    }
    Ok(correlation_id)
}

/// The correlation id of a response frame, without knowing what it answers.
pub fn response_correlation_id(frame: &[u8]) -> Result<i32, Malformed> {
    Reader::new(frame, RESPONSE_CORRELATION_ID_AT).i32()
}

/// Overwrites the correlation id of a request frame.
pub fn set_request_correlation_id(frame: &mut [u8], correlation_id: i32) {
    set_i32(frame, REQUEST_CORRELATION_ID_AT, correlation_id);
}

/// Overwrites the correlation id of a response frame.
pub fn set_response_correlation_id(frame: &mut [u8], correlation_id: i32) {
    set_i32(frame, RESPONSE_CORRELATION_ID_AT, correlation_id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flaw;
    use crate::api::{FETCH, PRODUCE};

    fn frame(key: i16, version: i16, rest: &[u8]) -> Vec<u8> {
        let mut frame = ((8 + rest.len()) as i32).to_be_bytes().to_vec();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(7_i32.to_be_bytes());
        frame.extend(rest);
        frame
    }

    #[test]
    fn reads_both_header_versions() {
        let classic = frame(FETCH, 11, &[0, 2, b'm', b'e', 9]);
        let header = RequestHeader::parse(&classic).unwrap();
        assert_eq!(
            (header.client_id, header.client_id_end, header.body_at),
            (Some("me"), 16, 16)
        );
        let flexible = frame(FETCH, 12, &[0xff, 0xff, 1, 5, 2, 8, 8, 9]);
        let header = RequestHeader::parse(&flexible).unwrap();
        assert_eq!(
            (header.client_id, header.client_id_end, header.body_at),
            (None, 14, 19)
        );
        assert_eq!(header.tags_count, 1);
    }

    #[test]
    fn names_the_correlation_id_of_what_it_does_not_offer() {
        assert_eq!(
            RequestHeader::parse(&frame(PRODUCE, 14, &[])),
            Err(HeaderError::ClientVersionUnsupported {
                api_key: 0,
                api_version: 14,
                correlation_id: 7
            })
        );
        assert_eq!(
            RequestHeader::parse(&frame(78, 1, &[])),
            Err(HeaderError::ClientApiWithheld {
                api_key: 78,
                api_version: 1,
                correlation_id: 7
            })
        );
        assert_eq!(
            RequestHeader::parse(&frame(-5, 1, &[])),
            Err(HeaderError::ClientApiUnknown {
                api_key: -5,
                api_version: 1,
                correlation_id: 7
            })
        );
    }

    #[test]
    fn rejects_every_truncation() {
        let whole = frame(FETCH, 12, &[0, 2, b'm', b'e', 1, 5, 2, 8, 8]);
        assert!(RequestHeader::parse(&whole).is_ok());
        for end in 0..whole.len() {
            match RequestHeader::parse(&whole[..end]) {
                Err(HeaderError::Malformed(malformed)) => {
                    assert!(matches!(
                        malformed.flaw,
                        Flaw::Truncated | Flaw::CountOversized
                    ));
                }
                other => panic!("{other:?} at {end}"),
            }
        }
    }
}
