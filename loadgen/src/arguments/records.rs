//! What produced records look like.

use clap::Args;

use super::load::Compression;
use super::{argument, within};
use crate::Error;
use crate::limits::{
    HEADER_BYTES_MAX, HEADERS_MAX, KEY_BYTES_MAX, POOL_RECORDS, RECORD_BYTES_MAX, SIZE_SHARE_MIN,
    UNIQUE_KEY_BYTES_MIN,
};
use crate::plan::Payload;
use crate::records::{Headers, Keys, Shape};
use crate::sizes::Sizes;

/// Bytes of keys of digits, and of values of headers, unless stated.
const KEY_BYTES: usize = 16;
const HEADER_BYTES: usize = 16;

#[derive(Debug, Clone, Args)]
pub struct RecordsArguments {
    /// Bytes of each record's value: one size (1024), any of a range (100..10000), or sizes with weights (100:90,10000:10).
    /// JSON values are never shorter than their fields, some 500 bytes.
    #[arg(long, value_name = "SIZE", default_value = "1024")]
    pub record_bytes: String,
    /// JSON orders as values, instead of letters, with names, e-mail addresses, card and social security numbers that
    /// differ from order to order and are valid in form.
    #[arg(long)]
    pub json_records: bool,
    /// Keys of records: none; letters, drawn once for each prepared record; unique: digits that come once in a run; or a
    /// number: digits, so many different ones. letters if only --key-bytes is given, else none. Keys choose no
    /// partition: each connection has its own.
    #[arg(long, value_name = "none|letters|unique|COUNT")]
    pub keys: Option<String>,
    /// Bytes of each record's key; 0 for none, 16 unless stated where there are keys.
    #[arg(long, value_name = "BYTES")]
    pub key_bytes: Option<usize>,
    /// Headers of each record.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub headers: usize,
    /// Bytes of each header's value; 16 unless stated.
    #[arg(long, value_name = "BYTES")]
    pub header_bytes: Option<usize>,
    /// How batches are compressed.
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub compression: Compression,
    /// Decides what is drawn for records: sizes, values, keys and headers are the same for the same seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl RecordsArguments {
    pub(crate) fn shape(&self) -> Result<Shape, Error> {
        let Some(sizes) = Sizes::parse(&self.record_bytes) else {
            return argument(format!(
                "--record-bytes {}: write a size (1024), a range (100..10000) or sizes with weights (100:90,10000:10), from 1 to \
                 {RECORD_BYTES_MAX} bytes and none rarer than one in {SIZE_SHARE_MIN}",
                self.record_bytes
            ));
        };
        within("--headers", self.headers, 0, HEADERS_MAX)?;
        let header_bytes = self.header_bytes.unwrap_or(HEADER_BYTES);
        within("--header-bytes", header_bytes, 0, HEADER_BYTES_MAX)?;
        if self.headers == 0 && self.header_bytes.is_some() {
            return argument("--header-bytes: say with --headers how many there are".to_owned());
        }
        Ok(Shape {
            payload: match self.json_records {
                true => Payload::Json,
                false => Payload::Text,
            },
            sizes,
            keys: self.keys()?,
            headers: Headers {
                count: self.headers,
                bytes: header_bytes,
            },
            codec: self.compression.into(),
        })
    }

    fn keys(&self) -> Result<Keys, Error> {
        let bytes = self.key_bytes.unwrap_or(KEY_BYTES);
        within("--key-bytes", bytes, 0, KEY_BYTES_MAX)?;
        let keys = match (self.keys.as_deref(), self.key_bytes) {
            (None, None | Some(0)) | (Some("none"), None | Some(0)) => return Ok(Keys::None),
            (Some("none"), Some(_)) => {
                return argument("--keys none with --key-bytes: leave one of them out".to_owned());
            }
            (None, Some(_)) | (Some("letters"), _) => Keys::Letters { bytes },
            (Some("unique"), _) => Keys::Digits {
                bytes,
                different: None,
            },
            (Some(count), _) => match count.parse::<u64>() {
                Ok(different) if different > 0 => Keys::Digits {
                    bytes,
                    different: Some(different),
                },
                _ => {
                    return argument(format!(
                        "--keys {count}: write none, letters, unique, or how many different ones there are"
                    ));
                }
            },
        };
        let (what, needed) = match keys {
            Keys::Digits {
                different: Some(different),
                ..
            } => {
                if self.compression != Compression::None && different > POOL_RECORDS as u64 {
                    return argument(format!(
                        "--keys {different}: batches are compressed once and then repeated, and have no more than {POOL_RECORDS} \
                         different keys; give no more, or leave --compression out"
                    ));
                }
                (different.to_string(), (different - 1).to_string().len())
            }
            Keys::Digits {
                different: None, ..
            } => {
                if self.compression != Compression::None {
                    return argument(format!(
                        "--keys unique: batches are compressed once and then repeated; leave --compression out, or give a number of \
                             keys up to {POOL_RECORDS}"
                    ));
                }
                ("unique".to_owned(), UNIQUE_KEY_BYTES_MIN)
            }
            _ => ("letters".to_owned(), 1),
        };
        match bytes >= needed {
            true => Ok(keys),
            false => argument(format!(
                "--keys {what}: --key-bytes {bytes} has no room for them; give at least {needed}"
            )),
        }
    }
}
