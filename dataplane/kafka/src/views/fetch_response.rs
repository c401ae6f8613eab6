//! Fetch responses, versions 4 to 18.

use std::iter::repeat_n;
use std::ops::Range;

use super::merge::{Answer, MergeEntry, Plan, PlannedTopic};
use super::topics::{CountField, Layout, PartitionView, TopicKey, Topics, copy};
use crate::api::FETCH;
use crate::header::{RESPONSE_CORRELATION_ID_AT, read_response_header};
use crate::reader::{Encoding, Reader};
use crate::writer::{
    begin_frame, end_frame, fill_uvarint, put_count, put_i16, put_i32, put_i64, put_no_tags,
    set_i32, uvarint_bytes,
};
use crate::{ErrorCode, Malformed};

/// A Fetch response, borrowed from its frame.
#[derive(Debug, Clone)]
pub struct FetchResponse<'a> {
    frame: &'a [u8],
    layout: Layout,
    pub correlation_id: i32,
    pub throttle_time_ms: i32,
    /// An error of the whole response; NONE before version 7.
    pub error: ErrorCode,
    /// Where the fetch session's id is written; absent before version 7.
    pub session_id_at: Option<usize>,
    /// 0 before version 7.
    pub session_id: i32,
    topics_count: CountField,
    own_tags_count: u32,
}

/// One partition of a Fetch response. Offsets count from the start of the frame.
#[derive(Debug, Clone)]
pub struct FetchedPartition {
    pub index: i32,
    pub error: ErrorCode,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    /// Aborted transactions: pairs of producer id and first offset, 16 bytes each (17 from version 12 on). `None` for null.
    pub aborted_count: Option<usize>,
    /// Where the array of aborted transactions is written, its count included.
    pub aborted: Range<usize>,
    /// Node to fetch from instead, or -1; -1 before version 11.
    pub preferred_read_replica: i32,
    /// Where the record batches are. `None` for null.
    pub records: Option<Range<usize>>,
    /// Everything before the records' length.
    head: Range<usize>,
    content: Range<usize>,
    span: Range<usize>,
    tags_count: u32,
}

impl FetchedPartition {
    /// Where the length of its records is written, if there are records and not null.
    pub fn records_length_field(&self) -> Option<Range<usize>> {
        let records = self.records.as_ref()?;
        Some(self.head.end..records.start)
    }
}

/// What becomes of one partition's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordsVerdict {
    /// They go as they are; nothing may have been appended.
    Keep,
    /// What was appended goes instead.
    Replaced,
    /// Nothing goes, and the partition carries this error; what was appended is dropped.
    Error(ErrorCode),
}

impl<'a> FetchResponse<'a> {
    /// Reads a complete frame, its length field included. Succeeds only if every byte of it is accounted for; the records
    /// themselves are not looked into.
    pub fn parse(frame: &'a [u8], version: i16) -> Result<Self, Malformed> {
        let layout = Layout::of(FETCH, version);
        let mut reader = Reader::new(frame, RESPONSE_CORRELATION_ID_AT);
        let ResponseHead {
            correlation_id,
            throttle_time_ms,
            error,
            session_id_at,
            session_id,
        } = ResponseHead::read(&mut reader, version)?;
        let (topics_count, _) = Topics::<FetchedPartition>::validate(&mut reader, layout)?;
        let own_tags_count = reader.tags_skipped(layout.encoding)?;
        reader.finish()?;
        Ok(Self {
            frame,
            layout,
            correlation_id,
            throttle_time_ms,
            error,
            session_id_at,
            session_id,
            topics_count,
            own_tags_count,
        })
    }

    /// Its topics, in the frame's order.
    pub fn topics(&self) -> Topics<'a, FetchedPartition> {
        Topics::new(self.frame, self.topics_count, self.layout)
    }

    /// The records of a partition of this response.
    pub fn records(&self, partition: &FetchedPartition) -> Option<&'a [u8]> {
        self.frame.get(partition.records.clone()?)
    }

    /// Whether the response itself carries tagged fields: from version 16 on they may hold broker addresses (KIP-951).
    pub fn may_carry_addresses(&self) -> bool {
        self.own_tags_count > 0
    }

    /// Appends the same response with the records of its partitions replaced as `records` says. It gets the topic, the
    /// partition, its records (not called if there are none) and a vector to append to. The fetch session's id becomes 0.
    pub fn rebuild(
        &self,
        mut records: impl FnMut(TopicKey<'_>, &FetchedPartition, &[u8], &mut Vec<u8>) -> RecordsVerdict,
        out: &mut Vec<u8>,
    ) {
        let encoding = self.layout.encoding;
        let start = self.begin(self.correlation_id, self.throttle_time_ms, out);
        put_count(out, encoding, self.topics_count.count);
        for topic in self.topics() {
            copy(out, self.frame, topic.key_field.clone());
            put_count(out, encoding, topic.partitions_count.count);
            for partition in topic.partitions() {
                put_fetched(self, topic.key, &partition, &mut records, out);
            }
            put_no_tags(out, encoding);
        }
        put_no_tags(out, encoding);
        end_frame(out, start);
    }

    fn begin(
        &self,
        correlation_id: i32,
        throttle_time_ms: i32,
        out: &mut Vec<u8>,
    ) -> crate::writer::FrameStart {
        begin_response(
            self.layout,
            correlation_id,
            throttle_time_ms,
            self.error,
            out,
        )
    }
}

/// Overwrites the fetch session's id with 0: no session, whatever the broker says.
pub fn clear_session_id(frame: &mut [u8], session_id_at: usize) {
    set_i32(frame, session_id_at, 0);
}

/// Overwrites the length of a partition's records, if it fits where the old one is written.
#[must_use]
pub fn set_records_length(
    frame: &mut [u8],
    version: i16,
    field: Range<usize>,
    records_bytes: usize,
) -> bool {
    let encoding = Layout::of(FETCH, version).encoding;
    let field = frame.get_mut(field).unwrap_or_default();
    let fits = length_bytes(encoding, records_bytes) <= field.len();
    if fits {
        write_length(field, encoding, records_bytes);
    }
    fits
}

/// Puts the length of a partition's records before what is in `out`.
pub fn put_records_length(version: i16, records_bytes: usize, out: &mut Vec<u8>) {
    put_length(
        out,
        Layout::of(FETCH, version).encoding,
        0..0,
        records_bytes,
    );
}

/// Appends one complete response that answers every entry once, in order: from `broker`'s response where the entry has no
/// denial, its records passed through `records` as in [`FetchResponse::rebuild`], else with the denial. What the broker left
/// out is answered with UNKNOWN_SERVER_ERROR; if the broker's whole response is an error, that is the answer. The larger of
/// both throttle times is used.
pub fn merge(
    version: i16,
    correlation_id: i32,
    throttle_time_ms: i32,
    broker: Option<&FetchResponse<'_>>,
    entries: &[MergeEntry<'_>],
    mut records: impl FnMut(TopicKey<'_>, &FetchedPartition, &[u8], &mut Vec<u8>) -> RecordsVerdict,
    out: &mut Vec<u8>,
) {
    let layout = Layout::of(FETCH, version);
    let encoding = layout.encoding;
    if let Some(failed) = broker.filter(|broker| broker.error != ErrorCode::NONE) {
        let throttle_time_ms = failed.throttle_time_ms.max(throttle_time_ms);
        encode_error(version, correlation_id, throttle_time_ms, failed.error, out);
        return;
    }
    let plan = Plan::new(entries, broker.map(FetchResponse::topics));
    let throttle_time_ms = broker
        .map_or(0, |broker| broker.throttle_time_ms)
        .max(throttle_time_ms);
    let start = begin_response(
        layout,
        correlation_id,
        throttle_time_ms,
        ErrorCode::NONE,
        out,
    );
    put_count(out, encoding, plan.topics.len());
    for PlannedTopic {
        key: topic,
        partitions,
    } in &plan.topics
    {
        topic.put(out, encoding);
        put_count(out, encoding, partitions.len());
        for (index, answer) in partitions {
            match (answer, broker) {
                (Answer::Broker(partition), Some(broker)) => {
                    put_fetched(broker, *topic, partition, &mut records, out)
                }
                (Answer::Denied(denial), _) => put_denied(layout, *index, denial.error, out),
                _ => put_denied(layout, *index, ErrorCode::UNKNOWN_SERVER_ERROR, out),
            }
        }
        put_no_tags(out, encoding);
    }
    put_no_tags(out, encoding);
    end_frame(out, start);
}

/// For [`merge`] where nothing is masked.
pub fn keep_records(
    _: TopicKey<'_>,
    _: &FetchedPartition,
    _: &[u8],
    _: &mut Vec<u8>,
) -> RecordsVerdict {
    RecordsVerdict::Keep
}

/// Appends a response that is an error as a whole and names no partition. Before version 7 the error cannot be said; the
/// response is then an empty one.
pub fn encode_error(
    version: i16,
    correlation_id: i32,
    throttle_time_ms: i32,
    error: ErrorCode,
    out: &mut Vec<u8>,
) {
    let layout = Layout::of(FETCH, version);
    let start = begin_response(layout, correlation_id, throttle_time_ms, error, out);
    put_count(out, layout.encoding, 0);
    put_no_tags(out, layout.encoding);
    end_frame(out, start);
}

fn begin_response(
    layout: Layout,
    correlation_id: i32,
    throttle_time_ms: i32,
    error: ErrorCode,
    out: &mut Vec<u8>,
) -> crate::writer::FrameStart {
    let start = begin_frame(out);
    put_i32(out, correlation_id);
    put_no_tags(out, layout.encoding);
    put_i32(out, throttle_time_ms);
    if layout.version >= 7 {
        put_i16(out, error.0);
        put_i32(out, 0); // session id
    }
    start
}

fn put_fetched(
    response: &FetchResponse<'_>,
    topic: TopicKey<'_>,
    partition: &FetchedPartition,
    records: &mut impl FnMut(TopicKey<'_>, &FetchedPartition, &[u8], &mut Vec<u8>) -> RecordsVerdict,
    out: &mut Vec<u8>,
) {
    let frame = response.frame;
    let encoding = response.layout.encoding;
    let Some(original) = response
        .records(partition)
        .filter(|records| !records.is_empty())
    else {
        copy(out, frame, partition.span.clone());
        return;
    };
    let partition_at = out.len();
    copy(out, frame, partition.head.clone());
    let length_at = out.len();
    // Room for the length, as wide as it will be if the size stays in its class; closed or opened afterwards if not.
    let width_guess = length_bytes(encoding, original.len());
    out.resize(length_at.saturating_add(width_guess), 0);
    let records_at = out.len();
    match records(topic, partition, original, out) {
        RecordsVerdict::Keep => {
            out.truncate(partition_at);
            copy(out, frame, partition.span.clone());
        }
        RecordsVerdict::Replaced => {
            let records_bytes = out.len().saturating_sub(records_at);
            put_length(out, encoding, length_at..records_at, records_bytes);
            copy(out, frame, partition.content.end..partition.span.end);
        }
        RecordsVerdict::Error(error) => {
            out.truncate(partition_at);
            put_denied(response.layout, partition.index, error, out);
        }
    }
}

/// Writes a length of records into the gap `out[gap]`, moving what is behind it if it does not fit.
fn put_length(out: &mut Vec<u8>, encoding: Encoding, gap: Range<usize>, records_bytes: usize) {
    let field_bytes = length_bytes(encoding, records_bytes);
    let field = gap.start..gap.start.saturating_add(field_bytes);
    if field != gap {
        out.splice(gap, repeat_n(0, field_bytes));
    }
    let field = out.get_mut(field).unwrap_or_default();
    write_length(field, encoding, records_bytes);
}

/// Writes a length of records over all of `field`.
fn write_length(field: &mut [u8], encoding: Encoding, records_bytes: usize) {
    match encoding {
        Encoding::Classic => set_i32(field, 0, i32::try_from(records_bytes).unwrap_or(i32::MAX)),
        Encoding::Flexible => fill_uvarint(field, flexible_length(records_bytes)),
    }
}

fn flexible_length(records_bytes: usize) -> u32 {
    u32::try_from(records_bytes.saturating_add(1)).unwrap_or(u32::MAX)
}

fn length_bytes(encoding: Encoding, records_bytes: usize) -> usize {
    match encoding {
        Encoding::Classic => 4,
        Encoding::Flexible => uvarint_bytes(flexible_length(records_bytes)),
    }
}

/// A partition that carries an error: no watermark, no records (empty, not null: some clients stumble over null).
fn put_denied(layout: Layout, index: i32, error: ErrorCode, out: &mut Vec<u8>) {
    let Layout {
        version, encoding, ..
    } = layout;
    put_i32(out, index);
    put_i16(out, error.0);
    put_i64(out, -1); // high watermark
    put_i64(out, -1); // last stable offset
    if version >= 5 {
        put_i64(out, -1); // log start offset
    }
    put_count(out, encoding, 0); // aborted transactions
    if version >= 11 {
        put_i32(out, -1); // preferred read replica
    }
    put_count(out, encoding, 0); // records
    put_no_tags(out, encoding);
}

/// What a response starts with, up to the count of its topics.
pub(super) struct ResponseHead {
    pub(super) correlation_id: i32,
    pub(super) throttle_time_ms: i32,
    pub(super) error: ErrorCode,
    pub(super) session_id_at: Option<usize>,
    pub(super) session_id: i32,
}

impl ResponseHead {
    /// `reader` stands behind the frame's length field.
    pub(super) fn read(reader: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        let correlation_id = read_response_header(reader, FETCH, version)?;
        let throttle_time_ms = reader.i32()?;
        let (mut error, mut session_id, mut session_id_at) = (ErrorCode::NONE, 0, None);
        if version >= 7 {
            error = ErrorCode(reader.i16()?);
            session_id_at = Some(reader.position());
            session_id = reader.i32()?;
        }
        Ok(Self {
            correlation_id,
            throttle_time_ms,
            error,
            session_id_at,
            session_id,
        })
    }
}

/// What a partition starts with, up to the length of its records.
pub(super) struct PartitionHead {
    pub(super) index: i32,
    pub(super) error: ErrorCode,
    high_watermark: i64,
    last_stable_offset: i64,
    aborted_count: Option<usize>,
    aborted: Range<usize>,
    preferred_read_replica: i32,
    tags_count: u32,
}

impl PartitionHead {
    #[inline]
    pub(super) fn read(reader: &mut Reader<'_>, layout: Layout) -> Result<Self, Malformed> {
        let Layout {
            version, encoding, ..
        } = layout;
        let index = reader.i32()?;
        let error = ErrorCode(reader.i16()?);
        let high_watermark = reader.i64()?;
        let last_stable_offset = reader.i64()?;
        if version >= 5 {
            reader.i64()?; // log start offset
        }
        let aborted_at = reader.position();
        let aborted_count = reader.count_nullable(encoding, 16)?;
        let mut tags_count: u32 = 0;
        for _ in 0..aborted_count.unwrap_or(0) {
            reader.skip(16)?;
            tags_count = tags_count.saturating_add(reader.tags_skipped(encoding)?);
        }
        let aborted = aborted_at..reader.position();
        let preferred_read_replica = if version >= 11 { reader.i32()? } else { -1 };
        Ok(Self {
            index,
            error,
            high_watermark,
            last_stable_offset,
            aborted_count,
            aborted,
            preferred_read_replica,
            tags_count,
        })
    }
}

impl<'a> PartitionView<'a> for FetchedPartition {
    /// Index, error, high watermark, last stable offset, two lengths.
    const BYTES_MIN: usize = 24;

    fn read(reader: &mut Reader<'a>, layout: Layout) -> Result<Self, Malformed> {
        let start = reader.position();
        let PartitionHead {
            index,
            error,
            high_watermark,
            last_stable_offset,
            aborted_count,
            aborted,
            preferred_read_replica,
            mut tags_count,
        } = PartitionHead::read(reader, layout)?;
        let encoding = layout.encoding;
        let head = start..reader.position();
        let length = reader.bytes_nullable(encoding)?.map(<[u8]>::len);
        let content = start..reader.position();
        let records = length.map(|length| content.end.saturating_sub(length)..content.end);
        tags_count = tags_count.saturating_add(reader.tags_skipped(encoding)?);
        let span = start..reader.position();
        Ok(Self {
            index,
            error,
            high_watermark,
            last_stable_offset,
            aborted_count,
            aborted,
            preferred_read_replica,
            records,
            head,
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
