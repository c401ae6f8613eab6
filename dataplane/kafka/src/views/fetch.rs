//! Fetch requests, versions 4 to 18.
//!
//! Every Fetch that leaves the gateway is a consumer's (replica id -1) and a full one (session 0, epoch -1): a fetch session
//! (KIP-227) would deliver partitions that the request does not name. Whatever else a request asks for in these fields is
//! overwritten in place or left out.

use std::ops::Range;

use super::topics::{CountField, Kept, Layout, PartitionView, Topic, TopicKey, Topics, copy};
use crate::api::FETCH;
use crate::reader::Reader;
use crate::writer::{begin_frame, end_frame, put_count, put_i32, put_no_tags, set_i32};
use crate::{Malformed, RequestHeader};

/// A Fetch request, borrowed from its frame.
#[derive(Debug, Clone)]
pub struct FetchRequest<'a> {
    frame: &'a [u8],
    header: RequestHeader<'a>,
    /// Where the fields stand that are patched.
    pub layout: FetchLayout,
    /// A broker's id, or -1 for a consumer; -2 is a debugging consumer that reads past the high watermark. -1 from version 15
    /// on.
    pub replica_id: i32,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    /// Asked size of the whole response.
    pub max_bytes: i32,
    /// 0 read uncommitted, 1 read committed.
    pub isolation_level: i8,
    /// 0 before version 7.
    pub session_id: i32,
    /// -1 before version 7.
    pub session_epoch: i32,
    /// Where the number of topics is written.
    pub topics_count: CountField,
    /// Topics to leave out of a fetch session, with everything about them; empty before version 7.
    pub forgotten: Range<usize>,
    /// How many those are.
    pub forgotten_count: usize,
    /// The client's rack; empty before version 11.
    pub rack_id: &'a str,
    /// Rack id field, its length included; empty before version 11.
    rack_field: Range<usize>,
    tags_count: u32,
}

/// Offsets, from the start of the frame, of the fixed-width fields that [`patch_in_place`] overwrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLayout {
    /// Absent from version 15 on, where only brokers say who they are, in a tagged field.
    pub replica_id_at: Option<usize>,
    pub max_bytes_at: usize,
    /// Absent before version 7. The epoch follows directly.
    pub session_id_at: Option<usize>,
}

/// The byte limits that a Fetch may leave with. A request that asks for less keeps what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPatch {
    pub response_bytes_max: i32,
    /// Applied only by [`FetchRequest::keep_topics`] and [`patch_partition_in_place`].
    pub partition_bytes_max: i32,
}

/// One partition of a Fetch request. Offsets count from the start of the frame.
#[derive(Debug, Clone)]
pub struct FetchPartition {
    pub index: i32,
    /// -1 before version 9 or if the client does not know it.
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    /// -1 before version 12.
    pub last_fetched_epoch: i32,
    pub partition_max_bytes: i32,
    /// Where `partition_max_bytes` is written; always the last four bytes of the content.
    pub partition_max_bytes_at: usize,
    content: Range<usize>,
    span: Range<usize>,
    tags_count: u32,
}

/// A topic of a Fetch request.
pub type FetchTopic<'a> = Topic<'a, FetchPartition>;

const REPLICA_ID_CONSUMER: i32 = -1;
const SESSION_ID_NONE: i32 = 0;
const SESSION_EPOCH_FULL: i32 = -1;

impl FetchPatch {
    /// Leaves the limits as they were asked for.
    pub const UNLIMITED: Self = Self {
        response_bytes_max: i32::MAX,
        partition_bytes_max: i32::MAX,
    };
}

impl<'a> FetchRequest<'a> {
    /// Reads a complete frame, its length field included, whose header has been read. Succeeds only if every byte of it is
    /// accounted for.
    pub fn parse(frame: &'a [u8], header: &RequestHeader<'a>) -> Result<Self, Malformed> {
        let encoding = header.encoding;
        let version = header.api_version;
        let mut reader = Reader::new(frame, header.body_at);
        let (mut replica_id, mut replica_id_at) = (REPLICA_ID_CONSUMER, None);
        if version <= 14 {
            replica_id_at = Some(reader.position());
            replica_id = reader.i32()?;
        }
        let max_wait_ms = reader.i32()?;
        let min_bytes = reader.i32()?;
        let max_bytes_at = reader.position();
        let max_bytes = reader.i32()?;
        let isolation_level = reader.i8()?;
        let (mut session_id, mut session_epoch) = (SESSION_ID_NONE, SESSION_EPOCH_FULL);
        let mut session_id_at = None;
        if version >= 7 {
            session_id_at = Some(reader.position());
            session_id = reader.i32()?;
            session_epoch = reader.i32()?;
        }
        let layout = Layout::of(FETCH, version);
        let (topics_count, mut tags_count) =
            Topics::<FetchPartition>::validate(&mut reader, layout)?;
        let forgotten_at = reader.position();
        let mut forgotten_count = 0;
        if version >= 7 {
            forgotten_count = reader.count(encoding, 2)?;
            for _ in 0..forgotten_count {
                TopicKey::read(&mut reader, layout)?;
                let partitions_count = reader.count(encoding, 4)?;
                reader.skip(partitions_count.saturating_mul(4))?;
                tags_count = tags_count.saturating_add(reader.tags_skipped(encoding)?);
            }
        }
        let forgotten = forgotten_at..reader.position();
        let rack_id = if version >= 11 {
            reader.string(encoding)?
        } else {
            ""
        };
        let rack_field = forgotten.end..reader.position();
        tags_count = tags_count
            .saturating_add(reader.tags_skipped(encoding)?)
            .saturating_add(header.tags_count);
        reader.finish()?;
        Ok(Self {
            frame,
            header: *header,
            layout: FetchLayout {
                replica_id_at,
                max_bytes_at,
                session_id_at,
            },
            replica_id,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            session_id,
            session_epoch,
            topics_count,
            forgotten,
            forgotten_count,
            rack_id,
            rack_field,
            tags_count,
        })
    }

    /// Its topics, in the frame's order, which the broker fills in that order.
    pub fn topics(&self) -> Topics<'a, FetchPartition> {
        let layout = Layout::of(FETCH, self.header.api_version);
        Topics::new(self.frame, self.topics_count, layout)
    }

    /// Whether something must be left out, so that [`patch_in_place`] is not enough: forgotten topics, or tagged fields (those
    /// that are defined, such as the cluster id and a replica's state, are for brokers).
    pub fn needs_rewrite(&self) -> bool {
        self.forgotten_count > 0 || self.tags_count > 0
    }

    /// Whether the client goes on with a fetch session. The gateway never opens one, so this is answered with
    /// FETCH_SESSION_ID_NOT_FOUND.
    pub fn continues_session(&self) -> bool {
        self.session_id != SESSION_ID_NONE
    }

    /// The whole frame.
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Appends to `out` a complete frame that holds only the partitions for which `keep` says so, in the same order: a
    /// consumer's, sessionless, within the limits of `patch`, without forgotten topics and tagged fields. Returns how many
    /// partitions it holds. `keep` is asked once per partition.
    pub fn keep_topics(
        &self,
        patch: &FetchPatch,
        keep: impl FnMut(&FetchTopic<'a>, &FetchPartition) -> bool,
        out: &mut Vec<u8>,
    ) -> usize {
        let encoding = self.header.encoding;
        let kept = Kept::decide(self.topics(), keep);
        let start = begin_frame(out);
        copy(
            out,
            self.frame,
            crate::frame::LENGTH_BYTES..self.header.client_id_end,
        );
        put_no_tags(out, encoding);
        if self.layout.replica_id_at.is_some() {
            put_i32(out, REPLICA_ID_CONSUMER);
        }
        put_i32(out, self.max_wait_ms);
        put_i32(out, self.min_bytes);
        put_i32(out, self.max_bytes.min(patch.response_bytes_max));
        out.extend_from_slice(&self.isolation_level.to_be_bytes());
        if self.layout.session_id_at.is_some() {
            put_i32(out, SESSION_ID_NONE);
            put_i32(out, SESSION_EPOCH_FULL);
        }
        kept.write(
            self.frame,
            self.topics(),
            encoding,
            out,
            |partition, out| {
                copy(
                    out,
                    self.frame,
                    partition.content.start..partition.partition_max_bytes_at,
                );
                put_i32(
                    out,
                    partition.partition_max_bytes.min(patch.partition_bytes_max),
                );
            },
        );
        if self.layout.session_id_at.is_some() {
            put_count(out, encoding, 0);
        }
        copy(out, self.frame, self.rack_field.clone());
        put_no_tags(out, encoding);
        end_frame(out, start);
        kept.partitions_count()
    }
}

/// Makes a Fetch frame a consumer's, sessionless, and limits the size of its response, without moving a byte. Enough only if
/// nothing [`needs_rewrite`](FetchRequest::needs_rewrite) and every topic may be read.
pub fn patch_in_place(
    frame: &mut [u8],
    layout: &FetchLayout,
    max_bytes_asked: i32,
    patch: &FetchPatch,
) {
    if let Some(at) = layout.replica_id_at {
        set_i32(frame, at, REPLICA_ID_CONSUMER);
    }
    set_i32(
        frame,
        layout.max_bytes_at,
        max_bytes_asked.min(patch.response_bytes_max),
    );
    if let Some(at) = layout.session_id_at {
        set_i32(frame, at, SESSION_ID_NONE);
        set_i32(frame, at.saturating_add(4), SESSION_EPOCH_FULL);
    }
}

/// Limits what one partition may return, without moving a byte. `partition_max_bytes_at` is [`FetchPartition`]'s.
pub fn patch_partition_in_place(
    frame: &mut [u8],
    partition_max_bytes_at: usize,
    partition_max_bytes: i32,
) {
    set_i32(frame, partition_max_bytes_at, partition_max_bytes);
}

impl<'a> PartitionView<'a> for FetchPartition {
    /// Index, offset, byte limit.
    const BYTES_MIN: usize = 16;

    fn read(reader: &mut Reader<'a>, layout: Layout) -> Result<Self, Malformed> {
        let start = reader.position();
        let index = reader.i32()?;
        let current_leader_epoch = if layout.version >= 9 {
            reader.i32()?
        } else {
            -1
        };
        let fetch_offset = reader.i64()?;
        let last_fetched_epoch = if layout.version >= 12 {
            reader.i32()?
        } else {
            -1
        };
        if layout.version >= 5 {
            reader.i64()?; // log start offset, a follower's
        }
        let partition_max_bytes_at = reader.position();
        let partition_max_bytes = reader.i32()?;
        let content = start..reader.position();
        let tags_count = reader.tags_skipped(layout.encoding)?;
        Ok(Self {
            index,
            current_leader_epoch,
            fetch_offset,
            last_fetched_epoch,
            partition_max_bytes,
            partition_max_bytes_at,
            content,
            span: start..reader.position(),
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
