//! The compression codecs of record batches.
//!
//! Decompression stops at the caller's cap and never allocates for a size that the stream announces. It is stricter than a
//! consumer's: every input byte must belong to the stream, so that nothing hides behind its end.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use crate::CodecError;
use crate::limits::{
    DECOMPRESS_STEP_BYTES, DECOMPRESSED_BYTES_MAX, LZ4_BLOCK_BYTES, SNAPPY_BLOCK_BYTES,
    SNAPPY_RATIO_MAX, ZSTD_LEVEL, ZSTD_WINDOW_LOG_MAX,
};

/// How the records of a batch are compressed: bits 0 to 2 of its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// How much a batch may grow when it is decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecompressLimits {
    /// Bytes of output, inclusive.
    pub output_bytes_max: usize,
    /// zstd window, as a power of two.
    pub zstd_window_log_max: u32,
}

/// Codec state that is kept from batch to batch. Not shared: one belongs to one job at a time.
#[derive(Default)]
pub struct Contexts {
    zstd_decoder: Option<ZstdDecoder<'static>>,
    zstd_compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl Default for DecompressLimits {
    fn default() -> Self {
        Self {
            output_bytes_max: DECOMPRESSED_BYTES_MAX,
            zstd_window_log_max: ZSTD_WINDOW_LOG_MAX,
        }
    }
}

impl Codec {
    /// The codec that a batch's attributes name.
    pub fn from_attributes(attributes: i16) -> Result<Self, CodecError> {
        match attributes & 0x07 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            bits => Err(CodecError::Unknown { bits: bits as u8 }),
        }
    }

    /// Its name as Kafka's `compression.type` writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    fn corrupt(self) -> CodecError {
        CodecError::Corrupt { codec: self.name() }
    }

    fn oversized(self, limits: &DecompressLimits) -> CodecError {
        CodecError::OutputOversized {
            codec: self.name(),
            output_bytes_max: limits.output_bytes_max,
        }
    }

    fn failed(self) -> CodecError {
        CodecError::CompressFailed { codec: self.name() }
    }

    /// Makes `out` the decompressed form of `input`. After an error its content means nothing.
    pub fn decompress(
        self,
        input: &[u8],
        limits: &DecompressLimits,
        contexts: &mut Contexts,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        out.clear();
        match self {
            Self::None => {
                if input.len() > limits.output_bytes_max {
                    return Err(self.oversized(limits));
                }
                out.extend_from_slice(input);
                Ok(())
            }
            Self::Gzip => ungzip(input, limits, out),
            Self::Snappy => unsnappy(input, limits, out),
            Self::Lz4 => unlz4(input, limits, out),
            Self::Zstd => unzstd(input, limits, contexts, out),
        }
    }

    /// Appends the compressed form of `input` to `out`, as Kafka's clients write it.
    pub fn compress(
        self,
        input: &[u8],
        contexts: &mut Contexts,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        match self {
            Self::None => {
                out.extend_from_slice(input);
                Ok(())
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder
                    .write_all(input)
                    .and_then(|()| encoder.try_finish())
                    .map_err(|_| self.failed())
            }
            Self::Snappy => snappy(input, out),
            Self::Lz4 => lz4(input, out),
            Self::Zstd => zstd(input, contexts, out),
        }
    }
}

/// RFC 1952, any number of members.
fn ungzip(input: &[u8], limits: &DecompressLimits, out: &mut Vec<u8>) -> Result<(), CodecError> {
    // One byte more than allowed shows that there is more than allowed.
    let cap = limits.output_bytes_max.saturating_add(1);
    MultiGzDecoder::new(input)
        .take(cap as u64)
        .read_to_end(out)
        .map_err(|_| Codec::Gzip.corrupt())?;
    if out.len() > limits.output_bytes_max {
        Err(Codec::Gzip.oversized(limits))
    } else {
        Ok(())
    }
}

/// Start of snappy-java's stream format: magic, version 1, compatible from version 1.
const XERIAL_HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
const XERIAL_MAGIC_BYTES: usize = 8;

fn unsnappy(input: &[u8], limits: &DecompressLimits, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let corrupt = || Codec::Snappy.corrupt();
    if input.first_chunk::<XERIAL_MAGIC_BYTES>() != XERIAL_HEADER.first_chunk() {
        return unsnappy_block(input, limits, out);
    }
    let mut rest = input.get(XERIAL_HEADER.len()..).ok_or_else(corrupt)?;
    while !rest.is_empty() {
        let (prefix, after) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let block_bytes = usize::try_from(i32::from_be_bytes(*prefix)).map_err(|_| corrupt())?;
        let (block, after) = after.split_at_checked(block_bytes).ok_or_else(corrupt)?;
        unsnappy_block(block, limits, out)?;
        rest = after;
    }
    Ok(())
}

fn unsnappy_block(
    block: &[u8],
    limits: &DecompressLimits,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let announced = snap::raw::decompress_len(block).map_err(|_| Codec::Snappy.corrupt())?;
    if announced > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(Codec::Snappy.corrupt());
    }
    let start = out.len();
    let end = start.saturating_add(announced);
    if end > limits.output_bytes_max {
        return Err(Codec::Snappy.oversized(limits));
    }
    out.resize(end, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, out.get_mut(start..).unwrap_or_default())
        .map_err(|_| Codec::Snappy.corrupt())?;
    out.truncate(start.saturating_add(written));
    Ok(())
}

fn snappy(input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.extend_from_slice(&XERIAL_HEADER);
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(SNAPPY_BLOCK_BYTES) {
        let length_at = out.len();
        let block_at = length_at.saturating_add(4);
        out.resize(
            block_at.saturating_add(snap::raw::max_compress_len(block.len())),
            0,
        );
        let written = encoder
            .compress(block, out.get_mut(block_at..).unwrap_or_default())
            .map_err(|_| Codec::Snappy.failed())?;
        out.truncate(block_at.saturating_add(written));
        crate::writer::set_i32(
            out,
            length_at,
            i32::try_from(written).map_err(|_| Codec::Snappy.failed())?,
        );
    }
    Ok(())
}

const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Frame descriptor written here: version 1, independent blocks, no checksums, no content size, blocks of 64 KiB at the most;
/// the third byte is the descriptor's checksum.
const LZ4_DESCRIPTOR: [u8; 3] = [0x60, 0x40, 0x82];
const LZ4_BLOCK_RAW: u32 = 1 << 31;

/// One LZ4 frame with independent blocks, the only kind that Kafka allows. Checksums are stepped over: the batch has its own.
fn unlz4(input: &[u8], limits: &DecompressLimits, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let corrupt = || Codec::Lz4.corrupt();
    let (magic, rest) = input.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let (&[flags, block_descriptor], rest) = rest.split_first_chunk::<2>().ok_or_else(corrupt)?;
    let (version, independent, reserved_or_dictionary) =
        (flags >> 6, flags & 0x20 != 0, flags & 0x03);
    if *magic != LZ4_MAGIC || version != 1 || !independent || reserved_or_dictionary != 0 {
        return Err(corrupt());
    }
    let block_bytes_max = match block_descriptor {
        0x40 => 64 * 1024,
        0x50 => 256 * 1024,
        0x60 => 1024 * 1024,
        0x70 => 4 * 1024 * 1024,
        _ => return Err(corrupt()),
    };
    let block_checksum_bytes = if flags & 0x10 != 0 { 4 } else { 0 };
    let content_size_bytes: usize = if flags & 0x08 != 0 { 8 } else { 0 };
    let content_checksum_bytes = if flags & 0x04 != 0 { 4 } else { 0 };
    let mut rest = rest
        .get(content_size_bytes.saturating_add(1)..)
        .ok_or_else(corrupt)?;
    loop {
        let (prefix, after) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let word = u32::from_le_bytes(*prefix);
        if word == 0 {
            return if after.len() == content_checksum_bytes {
                Ok(())
            } else {
                Err(corrupt())
            };
        }
        let (block, after) = after
            .split_at_checked((word & !LZ4_BLOCK_RAW) as usize)
            .ok_or_else(corrupt)?;
        if word & LZ4_BLOCK_RAW != 0 {
            if block.len() > block_bytes_max {
                return Err(corrupt());
            }
            out.extend_from_slice(block);
        } else {
            let start = out.len();
            out.resize(start.saturating_add(block_bytes_max), 0);
            let written =
                lz4_flex::block::decompress_into(block, out.get_mut(start..).unwrap_or_default())
                    .map_err(|_| corrupt())?;
            out.truncate(start.saturating_add(written));
        }
        if out.len() > limits.output_bytes_max {
            return Err(Codec::Lz4.oversized(limits));
        }
        rest = after.get(block_checksum_bytes..).ok_or_else(corrupt)?;
    }
}

fn lz4(input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.extend_from_slice(&LZ4_MAGIC);
    out.extend_from_slice(&LZ4_DESCRIPTOR);
    for block in input.chunks(LZ4_BLOCK_BYTES) {
        let word_at = out.len();
        let block_at = word_at.saturating_add(4);
        out.resize(
            block_at.saturating_add(lz4_flex::block::get_maximum_output_size(block.len())),
            0,
        );
        let written =
            lz4_flex::block::compress_into(block, out.get_mut(block_at..).unwrap_or_default())
                .map_err(|_| Codec::Lz4.failed())?;
        let word = if written < block.len() {
            out.truncate(block_at.saturating_add(written));
            u32::try_from(written).map_err(|_| Codec::Lz4.failed())?
        } else {
            out.truncate(block_at);
            out.extend_from_slice(block);
            u32::try_from(block.len()).map_err(|_| Codec::Lz4.failed())? | LZ4_BLOCK_RAW
        };
        if let Some(slot) = out.get_mut(word_at..block_at) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

/// RFC 8878, any number of frames.
fn unzstd(
    input: &[u8],
    limits: &DecompressLimits,
    contexts: &mut Contexts,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let corrupt = |_| Codec::Zstd.corrupt();
    let decoder = match &mut contexts.zstd_decoder {
        Some(decoder) => decoder,
        empty => empty.insert(ZstdDecoder::new().map_err(corrupt)?),
    };
    decoder.reinit().map_err(corrupt)?;
    decoder
        .set_parameter(DParameter::WindowLogMax(limits.zstd_window_log_max))
        .map_err(corrupt)?;
    let mut source = InBuffer::around(input);
    // What the decoder still expects; 0 exactly at the end of a frame.
    let mut expected = usize::from(!input.is_empty());
    loop {
        let written = out.len();
        let room = written
            .saturating_add(DECOMPRESS_STEP_BYTES)
            .min(limits.output_bytes_max.saturating_add(1));
        out.resize(room, 0);
        let consumed_before = source.pos;
        let mut target = OutBuffer::around_pos(out.as_mut_slice(), written);
        expected = decoder
            .run(&mut source, &mut target)
            .map_err(corrupt)
            .map(|hint| {
                // A call at the end of all input with nothing left to flush reports the next frame's header as expected.
                if consumed_before == input.len() && target.pos() == written {
                    expected
                } else {
                    hint
                }
            })?;
        let produced = target.pos();
        let full = produced == room;
        out.truncate(produced);
        if produced > limits.output_bytes_max {
            return Err(Codec::Zstd.oversized(limits));
        }
        if source.pos == input.len() && !full {
            return if expected == 0 {
                Ok(())
            } else {
                Err(Codec::Zstd.corrupt())
            };
        }
    }
}

fn zstd(input: &[u8], contexts: &mut Contexts, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let failed = |_| Codec::Zstd.failed();
    let compressor = match &mut contexts.zstd_compressor {
        Some(compressor) => compressor,
        empty => empty.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(failed)?),
    };
    let start = out.len();
    out.resize(
        start.saturating_add(zstd::zstd_safe::compress_bound(input.len())),
        0,
    );
    let written = compressor
        .compress_to_buffer(input, out.get_mut(start..).unwrap_or_default())
        .map_err(failed)?;
    out.truncate(start.saturating_add(written));
    Ok(())
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contexts")
    }
}
