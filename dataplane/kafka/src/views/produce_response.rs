//! Produce responses, versions 3 to 13.

use std::ops::Range;

use super::merge::{Answer, Denial, MergeEntry, Plan, PlannedTopic};
use super::topics::{CountField, Layout, PartitionView, Topics, copy};
use crate::api::PRODUCE;
use crate::header::parse_response_header;
use crate::reader::{Encoding, Reader};
use crate::writer::{
    begin_frame, end_frame, put_count, put_i16, put_i32, put_i64, put_no_tags, put_string,
};
use crate::{ErrorCode, Malformed};

/// A Produce response, borrowed from its frame.
#[derive(Debug, Clone)]
pub struct ProduceResponse<'a> {
    frame: &'a [u8],
    layout: Layout,
    pub correlation_id: i32,
    topics_count: CountField,
    pub throttle_time_ms: i32,
    /// Tagged section at the end; from version 10 it may hold broker addresses (KIP-951). Empty in classic versions.
    own_tags: Range<usize>,
    own_tags_count: u32,
}

/// What became of one partition. Offsets count from the start of the frame.
#[derive(Debug, Clone)]
pub struct ProducedPartition<'a> {
    pub index: i32,
    pub error: ErrorCode,
    /// Offset of the first record appended; -1 on error, and for a duplicate whose offset is forgotten.
    pub base_offset: i64,
    /// -1 unless the topic uses LogAppendTime.
    pub log_append_time_ms: i64,
    /// The broker's words, from version 8.
    pub error_message: Option<&'a str>,
    content: Range<usize>,
    span: Range<usize>,
    tags_count: u32,
}

impl<'a> ProduceResponse<'a> {
    /// Reads a complete frame, its length field included. Succeeds only if every byte of it is accounted for.
    pub fn parse(frame: &'a [u8], version: i16) -> Result<Self, Malformed> {
        let layout = Layout::of(PRODUCE, version);
        let (correlation_id, body_at) = parse_response_header(frame, PRODUCE, version)?;
        let mut reader = Reader::new(frame, body_at);
        let (topics_count, _) = Topics::<ProducedPartition<'_>>::validate(&mut reader, layout)?;
        let throttle_time_ms = reader.i32()?;
        let own_tags_at = reader.position();
        let own_tags_count = reader.tags_skipped(layout.encoding)?;
        let own_tags = own_tags_at..reader.position();
        reader.finish()?;
        Ok(Self {
            frame,
            layout,
            correlation_id,
            topics_count,
            throttle_time_ms,
            own_tags,
            own_tags_count,
        })
    }

    /// Its topics, in the frame's order.
    pub fn topics(&self) -> Topics<'a, ProducedPartition<'a>> {
        Topics::new(self.frame, self.topics_count, self.layout)
    }

    /// Whether the frame may carry broker addresses, so that it may not pass as it is.
    pub fn may_carry_addresses(&self) -> bool {
        self.own_tags_count > 0
    }

    /// Appends the same response without the tagged section that may carry broker addresses. The client then finds a moved
    /// leader through Metadata, as it did before KIP-951.
    pub fn without_addresses(&self, out: &mut Vec<u8>) {
        let start = begin_frame(out);
        copy(
            out,
            self.frame,
            crate::frame::LENGTH_BYTES..self.own_tags.start,
        );
        put_no_tags(out, self.layout.encoding);
        end_frame(out, start);
    }
}

/// Appends one complete response that answers every entry once, in order: from `broker`'s response where the entry has no
/// denial, else with the denial. What the broker left out is answered with UNKNOWN_SERVER_ERROR. Broker addresses are left out.
/// The larger of both throttle times is used.
pub fn merge(
    version: i16,
    correlation_id: i32,
    throttle_time_ms: i32,
    broker: Option<&ProduceResponse<'_>>,
    entries: &[MergeEntry<'_>],
    out: &mut Vec<u8>,
) {
    let encoding = Layout::of(PRODUCE, version).encoding;
    let plan = Plan::new(entries, broker.map(ProduceResponse::topics));
    let frame = broker.map(|broker| broker.frame).unwrap_or_default();
    let start = begin_frame(out);
    put_i32(out, correlation_id);
    put_no_tags(out, encoding);
    put_count(out, encoding, plan.topics.len());
    for PlannedTopic {
        key: topic,
        partitions,
    } in &plan.topics
    {
        topic.put(out, encoding);
        put_count(out, encoding, partitions.len());
        for (index, answer) in partitions {
            match answer {
                Answer::Broker(partition) => copy(out, frame, partition.span()),
                Answer::Denied(denial) => put_denied(version, encoding, *index, denial, out),
                Answer::Missing => {
                    let missing = Denial {
                        error: ErrorCode::UNKNOWN_SERVER_ERROR,
                        message: None,
                    };
                    put_denied(version, encoding, *index, &missing, out);
                }
            }
        }
        put_no_tags(out, encoding);
    }
    put_i32(
        out,
        broker
            .map_or(0, |broker| broker.throttle_time_ms)
            .max(throttle_time_ms),
    );
    put_no_tags(out, encoding);
    end_frame(out, start);
}

fn put_denied(
    version: i16,
    encoding: Encoding,
    index: i32,
    denial: &Denial<'_>,
    out: &mut Vec<u8>,
) {
    put_i32(out, index);
    put_i16(out, denial.error.0);
    put_i64(out, -1); // base offset
    put_i64(out, -1); // log append time
    if version >= 5 {
        put_i64(out, -1); // log start offset
    }
    if version >= 8 {
        put_count(out, encoding, 0); // record errors
        put_string(out, encoding, denial.message);
    }
    put_no_tags(out, encoding);
}

impl<'a> PartitionView<'a> for ProducedPartition<'a> {
    /// Index, error, base offset, append time.
    const BYTES_MIN: usize = 22;

    fn read(reader: &mut Reader<'a>, layout: Layout) -> Result<Self, Malformed> {
        let Layout {
            version, encoding, ..
        } = layout;
        let start = reader.position();
        let index = reader.i32()?;
        let error = ErrorCode(reader.i16()?);
        let base_offset = reader.i64()?;
        let log_append_time_ms = reader.i64()?;
        if version >= 5 {
            reader.i64()?; // log start offset
        }
        let mut error_message = None;
        let mut tags_count: u32 = 0;
        if version >= 8 {
            for _ in 0..reader.count(encoding, 5)? {
                reader.i32()?; // batch index
                reader.string_nullable(encoding)?;
                tags_count = tags_count.saturating_add(reader.tags_skipped(encoding)?);
            }
            error_message = reader.string_nullable(encoding)?;
        }
        let content = start..reader.position();
        tags_count = tags_count.saturating_add(reader.tags_skipped(encoding)?);
        let span = start..reader.position();
        Ok(Self {
            index,
            error,
            base_offset,
            log_append_time_ms,
            error_message,
            content,
            span,
            tags_count,
        })
    }

    fn index(&self) -> i32 {
        self.index
    }

    fn content(&self) -> Range<usize> {
        self.content.clone()
    }

    fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn tags_count(&self) -> u32 {
        self.tags_count
    }
}
