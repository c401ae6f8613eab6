//! Produce requests, versions 3 to 13.

use std::ops::Range;

use super::topics::{CountField, Kept, Layout, PartitionView, Topic, Topics, copy};
use crate::api::PRODUCE;
use crate::reader::Reader;
use crate::writer::{begin_frame, end_frame, put_no_tags};
use crate::{Malformed, RequestHeader};

/// A Produce request, borrowed from its frame.
#[derive(Debug, Clone)]
pub struct ProduceRequest<'a> {
    frame: &'a [u8],
    header: RequestHeader<'a>,
    /// Null for a producer that is not transactional.
    pub transactional_id: Option<&'a str>,
    /// 0 none (and no response), 1 leader, -1 all in-sync replicas.
    pub acks: i16,
    /// How long the broker may wait for replicas, in milliseconds.
    pub timeout_ms: i32,
    /// Where the number of topics is written.
    pub topics_count: CountField,
    tags_count: u32,
}

/// One partition of a Produce request. Offsets count from the start of the frame.
#[derive(Debug, Clone)]
pub struct ProducePartition<'a> {
    pub index: i32,
    /// The record batches, as they were sent.
    pub records: Option<&'a [u8]>,
    /// Where the records start.
    pub records_at: usize,
    content: Range<usize>,
    span: Range<usize>,
    tags_count: u32,
}

/// A topic of a Produce request.
pub type ProduceTopic<'a> = Topic<'a, ProducePartition<'a>>;

impl<'a> ProduceRequest<'a> {
    /// Reads a complete frame, its length field included, whose header has been read. Succeeds only if every byte of it is
    /// accounted for.
    pub fn parse(frame: &'a [u8], header: &RequestHeader<'a>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame, header.body_at);
        let transactional_id = reader.string_nullable(header.encoding)?;
        let acks = reader.i16()?;
        let timeout_ms = reader.i32()?;
        let layout = Layout::of(PRODUCE, header.api_version);
        let (topics_count, topic_tags) =
            Topics::<ProducePartition<'_>>::validate(&mut reader, layout)?;
        let own_tags = reader.tags_skipped(header.encoding)?;
        reader.finish()?;
        Ok(Self {
            frame,
            header: *header,
            transactional_id,
            acks,
            timeout_ms,
            topics_count,
            tags_count: header
                .tags_count
                .saturating_add(topic_tags)
                .saturating_add(own_tags),
        })
    }

    /// Its topics, in the frame's order. A topic, and a partition, may occur more than once.
    pub fn topics(&self) -> Topics<'a, ProducePartition<'a>> {
        let layout = Layout::of(PRODUCE, self.header.api_version);
        Topics::new(self.frame, self.topics_count, layout)
    }

    /// Whether tagged fields are present anywhere. No version spoken here defines one, so such a frame is written anew.
    pub fn has_unknown_tags(&self) -> bool {
        self.tags_count > 0
    }

    /// The whole frame.
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Appends to `out` a complete frame that holds only the partitions for which `keep` says so, in the same order, without
    /// tagged fields, and returns how many partitions it holds. `keep` is asked once per partition.
    pub fn keep_topics(
        &self,
        keep: impl FnMut(&ProduceTopic<'a>, &ProducePartition<'a>) -> bool,
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
        copy(out, self.frame, self.header.body_at..self.topics_count.at);
        kept.write(
            self.frame,
            self.topics(),
            encoding,
            out,
            |partition, out| {
                copy(out, self.frame, partition.content());
            },
        );
        put_no_tags(out, encoding);
        end_frame(out, start);
        kept.partitions_count()
    }
}

impl<'a> PartitionView<'a> for ProducePartition<'a> {
    /// Index and an empty compact length.
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>, layout: Layout) -> Result<Self, Malformed> {
        let start = reader.position();
        let index = reader.i32()?;
        let records = reader.bytes_nullable(layout.encoding)?;
        let content = start..reader.position();
        let records_at = content.end.saturating_sub(records.map_or(0, <[u8]>::len));
        let tags_count = reader.tags_skipped(layout.encoding)?;
        Ok(Self {
            index,
            records,
            records_at,
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
