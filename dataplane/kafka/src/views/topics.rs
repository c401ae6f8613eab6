//! The skeleton that the four hot messages share: an array of topics, each a name or an id and an array of partitions.

use std::marker::PhantomData;
use std::ops::Range;

use crate::limits::REQUEST_ELEMENTS_MAX;
use crate::reader::{Encoding, Reader};
use crate::{Flaw, Malformed};

/// What decides which fields are present and how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub version: i16,
    pub encoding: Encoding,
    topics_by: TopicsBy,
}

/// What names a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TopicsBy {
    Name,
    Id,
}

impl Layout {
    /// As the table of APIs says it.
    pub(crate) fn of(api_key: i16, version: i16) -> Self {
        let api = crate::api::api(api_key);
        let ids_from = api.and_then(|api| api.topic_ids_from);
        Self {
            version,
            encoding: api.map_or(Encoding::Flexible, |api| api.encoding(version)),
            topics_by: match ids_from {
                Some(first) if version >= first => TopicsBy::Id,
                _ => TopicsBy::Name,
            },
        }
    }
}

/// How a hot message names a topic: by name, or from version 13 on by id (KIP-516).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKey<'a> {
    Name(&'a str),
    Id([u8; 16]),
}

impl<'a> TopicKey<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>, layout: Layout) -> Result<Self, Malformed> {
        match layout.topics_by {
            TopicsBy::Name => reader.string(layout.encoding).map(Self::Name),
            TopicsBy::Id => reader.uuid().map(Self::Id),
        }
    }

    pub(crate) fn put(self, out: &mut Vec<u8>, encoding: Encoding) {
        match self {
            Self::Name(name) => crate::writer::put_string(out, encoding, Some(name)),
            Self::Id(id) => out.extend_from_slice(&id),
        }
    }
}

/// One partition of a hot message.
pub trait PartitionView<'a>: Sized {
    /// The least that one takes, in bytes, in any version.
    const BYTES_MIN: usize;

    /// Reads one, its tagged section included.
    fn read(reader: &mut Reader<'a>, layout: Layout) -> Result<Self, Malformed>;

    /// Partition index.
    fn index(&self) -> i32;

    /// Its bytes in the frame without the tagged section.
    fn content(&self) -> Range<usize>;

    /// Its bytes in the frame.
    fn span(&self) -> Range<usize>;

    /// Tagged fields that it carries.
    fn tags_count(&self) -> u32;
}

/// An array count in a frame, for whoever patches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountField {
    /// Offset of the field.
    pub at: usize,
    /// Its width in bytes: 4 in classic versions, 1 to 5 in flexible ones.
    pub width_bytes: usize,
    /// Its value.
    pub count: usize,
}

impl CountField {
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        encoding: Encoding,
        element_bytes_min: usize,
    ) -> Result<Self, Malformed> {
        let at = reader.position();
        let count = reader.count(encoding, element_bytes_min)?;
        Ok(Self {
            at,
            width_bytes: reader.position().saturating_sub(at),
            count,
        })
    }

    /// Offset of the first element.
    pub fn end(&self) -> usize {
        self.at.saturating_add(self.width_bytes)
    }
}

/// One topic of a hot message.
#[derive(Debug, Clone)]
pub struct Topic<'a, P> {
    pub key: TopicKey<'a>,
    /// The key's field in the frame, its length included.
    pub key_field: Range<usize>,
    /// The whole topic in the frame.
    pub span: Range<usize>,
    /// How many partitions it has, and where that is written.
    pub partitions_count: CountField,
    /// Tagged fields of the topic itself. None is defined.
    pub own_tags_count: u32,
    /// Tagged fields of the topic and its partitions.
    pub tags_count: u32,
    reader: Reader<'a>,
    layout: Layout,
    partition: PhantomData<P>,
}

impl<'a, P: PartitionView<'a>> Topic<'a, P> {
    /// A name of no character and an empty count: what a topic takes at least.
    pub(crate) const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>, layout: Layout) -> Result<Self, Malformed> {
        let start = reader.position();
        let key = TopicKey::read(reader, layout)?;
        let key_field = start..reader.position();
        let partitions_count = CountField::read(reader, layout.encoding, P::BYTES_MIN)?;
        let partitions = reader.clone();
        let mut tags_count: u32 = 0;
        for _ in 0..partitions_count.count {
            tags_count = tags_count.saturating_add(P::read(reader, layout)?.tags_count());
        }
        let own_tags_count = reader.tags_skipped(layout.encoding)?;
        tags_count = tags_count.saturating_add(own_tags_count);
        let span = start..reader.position();
        Ok(Self {
            key,
            key_field,
            span,
            partitions_count,
            own_tags_count,
            tags_count,
            reader: partitions,
            layout,
            partition: PhantomData,
        })
    }

    /// Its partitions, in the frame's order.
    pub fn partitions(&self) -> Partitions<'a, P> {
        Partitions {
            reader: self.reader.clone(),
            left: self.partitions_count.count,
            layout: self.layout,
            partition: PhantomData,
        }
    }
}

/// Walks the topics of a validated frame.
#[derive(Debug, Clone)]
pub struct Topics<'a, P> {
    reader: Reader<'a>,
    left: usize,
    layout: Layout,
    partition: PhantomData<P>,
}

impl<'a, P: PartitionView<'a>> Topics<'a, P> {
    pub(crate) fn new(frame: &'a [u8], count: CountField, layout: Layout) -> Self {
        Self {
            reader: Reader::new(frame, count.end()),
            left: count.count,
            layout,
            partition: PhantomData,
        }
    }

    /// Reads the whole array where `reader` stands and returns its count and how many tagged fields it holds.
    pub(crate) fn validate(
        reader: &mut Reader<'a>,
        layout: Layout,
    ) -> Result<(CountField, u32), Malformed> {
        let count = CountField::read(reader, layout.encoding, Topic::<P>::BYTES_MIN)?;
        let mut tags_count: u32 = 0;
        let mut elements_count = count.count;
        for _ in 0..count.count {
            let topic = Topic::<P>::read(reader, layout)?;
            tags_count = tags_count.saturating_add(topic.tags_count);
            elements_count = elements_count.saturating_add(topic.partitions_count.count);
            // What is decided, recorded and awaited is kept for each of them.
            if elements_count > REQUEST_ELEMENTS_MAX {
                return Err(reader.flaw(Flaw::ElementsOversized));
            }
        }
        Ok((count, tags_count))
    }
}

impl<'a, P: PartitionView<'a>> Iterator for Topics<'a, P> {
    type Item = Topic<'a, P>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // The frame was validated, so this does not fail; if it did, nothing more is shown.
        Topic::read(&mut self.reader, self.layout).ok()
    }
}

/// Walks the partitions of one topic of a validated frame.
#[derive(Debug, Clone)]
pub struct Partitions<'a, P> {
    reader: Reader<'a>,
    left: usize,
    layout: Layout,
    partition: PhantomData<P>,
}

impl<'a, P: PartitionView<'a>> Iterator for Partitions<'a, P> {
    type Item = P;

    fn next(&mut self) -> Option<P> {
        self.left = self.left.checked_sub(1)?;
        P::read(&mut self.reader, self.layout).ok()
    }
}

/// Copies a span of `frame` to `out`.
pub(crate) fn copy(out: &mut Vec<u8>, frame: &[u8], span: Range<usize>) {
    out.extend_from_slice(frame.get(span).unwrap_or_default());
}

/// Which partitions of a request stay: decided once each, in order, then asked by ordinal.
pub(crate) struct Kept {
    partitions: Vec<bool>,
    /// Kept partitions of each topic.
    topics: Vec<usize>,
}

impl Kept {
    pub(crate) fn decide<'a, P: PartitionView<'a>>(
        topics: Topics<'a, P>,
        mut keep: impl FnMut(&Topic<'a, P>, &P) -> bool,
    ) -> Self {
        let mut kept = Self {
            partitions: Vec::new(),
            topics: Vec::new(),
        };
        for topic in topics {
            let mut count: usize = 0;
            for partition in topic.partitions() {
                let keep = keep(&topic, &partition);
                count = count.saturating_add(usize::from(keep));
                kept.partitions.push(keep);
            }
            kept.topics.push(count);
        }
        kept
    }

    /// Topics with at least one partition left.
    pub(crate) fn topics_count(&self) -> usize {
        self.topics.iter().filter(|&&count| count > 0).count()
    }

    /// Partitions left in all.
    pub(crate) fn partitions_count(&self) -> usize {
        self.partitions.iter().filter(|&&kept| kept).count()
    }

    /// Writes the topics that stay, tagged fields left out; `partition` writes the content of one partition.
    pub(crate) fn write<'a, P: PartitionView<'a>>(
        &self,
        frame: &[u8],
        topics: Topics<'a, P>,
        encoding: Encoding,
        out: &mut Vec<u8>,
        mut partition: impl FnMut(&P, &mut Vec<u8>),
    ) {
        use crate::writer::{put_count, put_no_tags};
        put_count(out, encoding, self.topics_count());
        let mut kept = self.partitions.iter();
        for (topic, &count) in topics.zip(&self.topics) {
            if count > 0 {
                copy(out, frame, topic.key_field.clone());
                put_count(out, encoding, count);
            }
            for item in topic.partitions() {
                if kept.next() == Some(&true) {
                    partition(&item, out);
                    put_no_tags(out, encoding);
                }
            }
            if count > 0 {
                put_no_tags(out, encoding);
            }
        }
    }
}
