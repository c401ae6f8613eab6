//! ApiVersions (KIP-35, KIP-511, KIP-584), versions 0 to 4.

use super::begin_request;
use crate::api::{API_VERSIONS, ApiRange, api, shows_feature};
use crate::header::RESPONSE_CORRELATION_ID_AT;
use crate::reader::{Encoding, Reader};
use crate::writer::{
    begin_frame, end_frame, put_count, put_i16, put_i32, put_i64, put_no_tags, put_string,
    put_uvarint,
};
use crate::{ErrorCode, Flaw, Malformed, RequestHeader};

/// What a client says of its software; empty before version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiVersionsRequest<'a> {
    pub software_name: &'a str,
    pub software_version: &'a str,
}

/// Levels of one feature, inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureRange {
    pub name: String,
    pub level_min: i16,
    pub level_max: i16,
}

/// Features that a cluster has turned on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalizedFeatures {
    /// Grows with every change; -1 if unknown.
    pub epoch: i64,
    pub features: Vec<FeatureRange>,
}

/// Features of a broker: those that it could speak, and those in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    pub supported: Vec<FeatureRange>,
    pub finalized: Option<FinalizedFeatures>,
}

/// A broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersionsAnswer {
    pub correlation_id: i32,
    pub error: ErrorCode,
    pub ranges: Vec<ApiRange>,
    pub features: Features,
}

impl Features {
    /// Leaves out what belongs to withheld APIs.
    pub fn narrow(&mut self) {
        self.supported
            .retain(|feature| shows_feature(&feature.name));
        if let Some(finalized) = &mut self.finalized {
            finalized
                .features
                .retain(|feature| shows_feature(&feature.name));
        }
    }
}

impl<'a> ApiVersionsRequest<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Flaw::TextInvalid`] if the software's name or version does not follow KIP-511's grammar: answered with
    /// INVALID_REQUEST. Anything else closes the connection.
    pub fn parse(frame: &'a [u8], header: &RequestHeader<'a>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame, header.body_at);
        let mut request = Self {
            software_name: "",
            software_version: "",
        };
        if header.api_version >= 3 {
            let at = reader.position();
            request.software_name = reader.string(Encoding::Flexible)?;
            request.software_version = reader.string(Encoding::Flexible)?;
            reader.tags_skipped(Encoding::Flexible)?;
            reader.finish()?;
            if !is_software_label(request.software_name)
                || !is_software_label(request.software_version)
            {
                return Err(Malformed {
                    flaw: Flaw::TextInvalid,
                    at,
                });
            }
        }
        reader.finish()?;
        Ok(request)
    }
}

/// Appends a response frame. Its header has no tagged section in any version.
pub fn encode_response(
    version: i16,
    correlation_id: i32,
    error: ErrorCode,
    throttle_time_ms: i32,
    ranges: &[ApiRange],
    features: &Features,
    out: &mut Vec<u8>,
) {
    let encoding = encoding(version);
    let start = begin_frame(out);
    put_i32(out, correlation_id);
    put_i16(out, error.0);
    put_count(out, encoding, ranges.len());
    for range in ranges {
        put_i16(out, range.key);
        put_i16(out, range.version_min);
        put_i16(out, range.version_max);
        put_no_tags(out, encoding);
    }
    if version >= 1 {
        put_i32(out, throttle_time_ms);
    }
    if encoding == Encoding::Flexible {
        put_features(version, features, out);
    }
    end_frame(out, start);
}

/// Appends the answer to ApiVersions in a version that is not spoken: version 0, with the versions that are (KIP-511).
pub fn encode_unsupported_version(correlation_id: i32, out: &mut Vec<u8>) {
    let (version_min, version_max) = api(API_VERSIONS).map_or((0, 0), |api| api.versions);
    let spoken = ApiRange {
        key: API_VERSIONS,
        version_min,
        version_max,
    };
    encode_response(
        0,
        correlation_id,
        ErrorCode::UNSUPPORTED_VERSION,
        0,
        &[spoken],
        &Features::default(),
        out,
    );
}

/// Appends the gateway's own request to a broker, in a version from 0 to 4.
pub fn encode_request(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    software_name: &str,
    software_version: &str,
    out: &mut Vec<u8>,
) {
    let encoding = encoding(version);
    let start = begin_request(
        API_VERSIONS,
        version,
        correlation_id,
        client_id,
        encoding,
        out,
    );
    if version >= 3 {
        put_string(out, encoding, Some(software_name));
        put_string(out, encoding, Some(software_version));
        put_no_tags(out, encoding);
    }
    end_frame(out, start);
}

/// Reads a broker's answer to a request of this version, a complete frame. A broker that does not speak the version answers
/// in version 0 with UNSUPPORTED_VERSION and the range that it does speak.
pub fn decode_response(frame: &[u8], version: i16) -> Result<ApiVersionsAnswer, Malformed> {
    let mut reader = Reader::new(frame, RESPONSE_CORRELATION_ID_AT);
    let correlation_id = reader.i32()?;
    let error = ErrorCode(reader.i16()?);
    let version = if error == ErrorCode::UNSUPPORTED_VERSION {
        0
    } else {
        version
    };
    let encoding = encoding(version);
    let count = reader.count(encoding, 6)?;
    let mut ranges = Vec::with_capacity(count);
    for _ in 0..count {
        ranges.push(ApiRange {
            key: reader.i16()?,
            version_min: reader.i16()?,
            version_max: reader.i16()?,
        });
        reader.tags_skipped(encoding)?;
    }
    if version >= 1 {
        reader.i32()?; // throttle time
    }
    let features = if encoding == Encoding::Flexible {
        read_features(&mut reader)?
    } else {
        Features::default()
    };
    reader.finish()?;
    Ok(ApiVersionsAnswer {
        correlation_id,
        error,
        ranges,
        features,
    })
}

const TAG_SUPPORTED: u32 = 0;
const TAG_FINALIZED_EPOCH: u32 = 1;
const TAG_FINALIZED: u32 = 2;

fn put_features(version: i16, features: &Features, out: &mut Vec<u8>) {
    // Before version 4 a feature whose lowest level is 0 cannot be said.
    let supported: Vec<&FeatureRange> = features
        .supported
        .iter()
        .filter(|feature| version >= 4 || feature.level_min > 0)
        .collect();
    let tags_count = u32::from(!supported.is_empty())
        .saturating_add(if features.finalized.is_some() { 2 } else { 0 });
    put_uvarint(out, tags_count);
    if !supported.is_empty() {
        put_tag(TAG_SUPPORTED, out, |body| {
            put_count(body, Encoding::Flexible, supported.len());
            for feature in &supported {
                put_string(body, Encoding::Flexible, Some(&feature.name));
                put_i16(body, feature.level_min);
                put_i16(body, feature.level_max);
                put_no_tags(body, Encoding::Flexible);
            }
        });
    }
    if let Some(finalized) = &features.finalized {
        put_tag(TAG_FINALIZED_EPOCH, out, |body| {
            put_i64(body, finalized.epoch)
        });
        put_tag(TAG_FINALIZED, out, |body| {
            put_count(body, Encoding::Flexible, finalized.features.len());
            for feature in &finalized.features {
                put_string(body, Encoding::Flexible, Some(&feature.name));
                put_i16(body, feature.level_max);
                put_i16(body, feature.level_min);
                put_no_tags(body, Encoding::Flexible);
            }
        });
    }
}

fn put_tag(tag: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    put_uvarint(out, tag);
    put_uvarint(out, u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(&body);
}

fn read_features(reader: &mut Reader<'_>) -> Result<Features, Malformed> {
    let mut supported = Vec::new();
    let mut epoch = -1;
    let mut finalized = None;
    reader.tags(|tag, mut value| {
        match tag.number {
            TAG_SUPPORTED => supported = read_feature_ranges(&mut value, LevelOrder::MinFirst)?,
            TAG_FINALIZED_EPOCH => epoch = value.i64()?,
            TAG_FINALIZED => {
                finalized = Some(read_feature_ranges(&mut value, LevelOrder::MaxFirst)?)
            }
            _ => return Ok(()),
        }
        value.finish().map_err(|left| Malformed {
            flaw: Flaw::TagLengthWrong,
            ..left
        })
    })?;
    Ok(Features {
        supported,
        finalized: finalized.map(|features| FinalizedFeatures { epoch, features }),
    })
}

/// Supported features are written lowest level first, finalized ones highest level first.
#[derive(Clone, Copy)]
enum LevelOrder {
    MinFirst,
    MaxFirst,
}

fn read_feature_ranges(
    reader: &mut Reader<'_>,
    order: LevelOrder,
) -> Result<Vec<FeatureRange>, Malformed> {
    let count = reader.count(Encoding::Flexible, 6)?;
    let mut features = Vec::with_capacity(count);
    for _ in 0..count {
        let name = reader.string(Encoding::Flexible)?.to_owned();
        let (first, second) = (reader.i16()?, reader.i16()?);
        reader.tags_skipped(Encoding::Flexible)?;
        let (level_min, level_max) = match order {
            LevelOrder::MinFirst => (first, second),
            LevelOrder::MaxFirst => (second, first),
        };
        features.push(FeatureRange {
            name,
            level_min,
            level_max,
        });
    }
    Ok(features)
}

/// KIP-511: letters and digits, with dots and dashes inside.
fn is_software_label(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(inner)
}

fn encoding(version: i16) -> Encoding {
    api(API_VERSIONS).map_or(Encoding::Flexible, |api| api.encoding(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::narrow;
    use kafka_protocol::messages::{ApiVersionsRequest as TheirRequest, ApiVersionsResponse};
    use kafka_protocol::protocol::Decodable;

    fn features() -> Features {
        let feature = |name: &str, level_min, level_max| FeatureRange {
            name: name.into(),
            level_min,
            level_max,
        };
        Features {
            supported: vec![
                feature("group.version", 0, 1),
                feature("transaction.version", 1, 2),
            ],
            finalized: Some(FinalizedFeatures {
                epoch: 42,
                features: vec![feature("transaction.version", 1, 2)],
            }),
        }
    }

    #[test]
    fn responses_of_every_version_are_read_by_the_reference_decoder_and_by_us() {
        let ranges = narrow(&[ApiRange {
            key: 0,
            version_min: 0,
            version_max: 13,
        }]);
        for version in 0..=4 {
            let mut frame = Vec::new();
            encode_response(
                version,
                9,
                ErrorCode::NONE,
                5,
                &ranges,
                &features(),
                &mut frame,
            );
            let mut body = bytes::Bytes::copy_from_slice(&frame[8..]);
            let theirs = ApiVersionsResponse::decode(&mut body, version).unwrap();
            assert!(body.is_empty());
            assert_eq!(theirs.api_keys.len(), ranges.len());
            assert_eq!(theirs.throttle_time_ms, if version >= 1 { 5 } else { 0 });
            if version >= 3 {
                assert_eq!(
                    theirs.supported_features.len(),
                    if version == 3 { 1 } else { 2 }
                );
                assert_eq!(theirs.finalized_features_epoch, 42);
                assert_eq!(theirs.finalized_features[0].max_version_level, 2);
            }
            let ours = decode_response(&frame, version).unwrap();
            assert_eq!((ours.correlation_id, &ours.ranges), (9, &ranges));
            if version == 4 {
                assert_eq!(ours.features, features());
            }
            for end in 0..frame.len() {
                assert!(decode_response(&frame[..end], version).is_err());
            }
        }
    }

    #[test]
    fn requests_of_every_version_are_read() {
        for version in 0..=4 {
            let mut frame = Vec::new();
            encode_request(version, 3, "me", "sluice", "0.1.0-rc.1", &mut frame);
            let header = RequestHeader::parse(&frame).unwrap();
            let request = ApiVersionsRequest::parse(&frame, &header).unwrap();
            assert_eq!(
                request.software_name,
                if version >= 3 { "sluice" } else { "" }
            );
            let mut body = bytes::Bytes::copy_from_slice(&frame[header.body_at..]);
            TheirRequest::decode(&mut body, version).unwrap();
            assert!(body.is_empty());
        }
    }

    #[test]
    fn rejects_software_labels_outside_the_grammar() {
        for name in ["", "-a", "a.", "a b", "ä"] {
            let mut frame = Vec::new();
            encode_request(3, 3, "me", name, "1", &mut frame);
            let header = RequestHeader::parse(&frame).unwrap();
            assert_eq!(
                ApiVersionsRequest::parse(&frame, &header).unwrap_err().flaw,
                Flaw::TextInvalid
            );
        }
    }

    #[test]
    fn an_unknown_version_is_answered_in_version_zero() {
        let mut frame = Vec::new();
        encode_unsupported_version(7, &mut frame);
        let answer = decode_response(&frame, 3).unwrap();
        assert_eq!(answer.error, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(
            answer.ranges,
            [ApiRange {
                key: 18,
                version_min: 0,
                version_max: 4
            }]
        );
    }

    #[test]
    fn hides_features_of_withheld_apis() {
        let mut features = features();
        features.supported.push(FeatureRange {
            name: "share.version".into(),
            level_min: 0,
            level_max: 1,
        });
        features.narrow();
        assert_eq!(features.supported.len(), 2);
    }
}
