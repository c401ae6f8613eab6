//! A Fetch response, versions 4 to 18, walked as it arrives: what needs no change goes on before its last byte is there.
//!
//! It accepts what [`FetchResponse::parse`] accepts, through the same readers, and shows of the records what
//! [`batches`](crate::record_batch::batches) yields. It keeps where it is and nothing of the bytes, and allocates nothing.
//!
//! [`FetchResponse::parse`]: super::FetchResponse::parse

use super::fetch_response::{FetchedPartition, PartitionHead, ResponseHead, clear_session_id};
use super::topics::{CountField, Layout, PartitionView, Topic, TopicKey};
use crate::api::FETCH;
use crate::frame::LENGTH_BYTES;
use crate::limits::{BATCH_HEADER_BYTES, REQUEST_ELEMENTS_MAX};
use crate::reader::Reader;
use crate::record_batch::BatchHeader;
use crate::writer::{fill_uvarint, uvarint_bytes};
use crate::{ErrorCode, Flaw, Malformed};

/// A structure of more bytes than this that is not whole is looked at again only once twice as many have arrived, so that
/// one that arrives in many pieces is not read once for each of them.
const REREAD_BYTES: usize = 4096;

/// What passed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchPart<'a> {
    /// Once, first. `error` is of the whole response.
    Head {
        correlation_id: i32,
        error: ErrorCode,
    },
    /// Before its partitions.
    Topic { key: TopicKey<'a> },
    /// Before its records.
    Partition { index: i32, error: ErrorCode },
    /// A batch of the records of the last partition that is whole within these records; told when its header has arrived.
    Batch { last_offset: i64, record_count: i32 },
}

/// See the module.
#[derive(Debug)]
pub struct FetchStream {
    layout: Layout,
    frame_bytes: usize,
    /// Bytes of the frame that went on.
    passed_bytes: usize,
    next: Unit,
    topics_left: usize,
    partitions_left: usize,
    /// Topics of the response, and partitions of the topics so far.
    elements_count: usize,
    /// `next` was not whole and is not tried again with fewer bytes than this.
    reread_bytes: usize,
}

/// What the next byte belongs to. All but `Skip` is taken as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Everything before the first topic.
    Head,
    /// A topic's key and count.
    Topic,
    /// A partition up to and including the length of its records.
    Partition,
    /// The header of a batch, where `records_bytes` are left of the records.
    Batch { records_bytes: usize },
    /// Records that are not looked at; then the header of a batch.
    Skip { bytes: usize, records_bytes: usize },
    /// A partition's tagged fields.
    PartitionTags,
    /// A topic's tagged fields.
    TopicTags,
    /// The response's tagged fields.
    OwnTags,
    /// The end of the frame.
    Done,
}

impl FetchStream {
    /// For a response of `version` whose frame has `frame_bytes`, its length field included.
    pub fn new(version: i16, frame_bytes: usize) -> Self {
        Self {
            layout: Layout::of(FETCH, version),
            frame_bytes,
            passed_bytes: 0,
            next: Unit::Head,
            topics_left: 0,
            partitions_left: 0,
            elements_count: 0,
            reread_bytes: 0,
        }
    }

    /// Takes what has arrived: `bytes` begin where the last call stopped and hold nothing beyond the frame. Returns how many of
    /// them may go on; what is left comes again, with more behind it. Until the last byte of the frame is there, the tail of a
    /// structure that is not whole stays; a long one until up to twice its bytes are there. After an error nothing more goes on.
    ///
    /// Patched in place: the fetch session's id becomes 0, and the tagged fields of the response itself, which may hold broker
    /// addresses (KIP-951), become one field of the same length that nobody knows, with zeros in it.
    pub fn advance<E: From<Malformed>>(
        &mut self,
        bytes: &mut [u8],
        mut seen: impl FnMut(FetchPart<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let arrived = bytes.len().min(self.bytes_left());
        let bytes = bytes.get_mut(..arrived).unwrap_or_default();
        let mut at: usize = 0;
        while let Some(taken) = self.step(bytes.get_mut(at..).unwrap_or_default(), &mut seen)? {
            at = at.saturating_add(taken);
            self.passed_bytes = self.passed_bytes.saturating_add(taken);
            self.reread_bytes = 0;
        }
        Ok(at)
    }

    /// Whether the whole frame passed.
    pub fn is_done(&self) -> bool {
        self.next == Unit::Done
    }

    fn bytes_left(&self) -> usize {
        self.frame_bytes.saturating_sub(self.passed_bytes)
    }

    /// Takes one unit from the front of `bytes` and returns its length, or `None` if nothing can be taken yet.
    fn step<E: From<Malformed>>(
        &mut self,
        bytes: &mut [u8],
        seen: &mut impl FnMut(FetchPart<'_>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        let Layout {
            version, encoding, ..
        } = self.layout;
        match self.next {
            Unit::Head => {
                let read = self.read(bytes, |reader| {
                    reader.skip(LENGTH_BYTES)?;
                    let head = ResponseHead::read(reader, version)?;
                    let topics =
                        CountField::read(reader, encoding, Topic::<FetchedPartition>::BYTES_MIN)?;
                    Ok((head, topics.count))
                })?;
                let Some(((head, topics_count), taken)) = read else {
                    return Ok(None);
                };
                if let Some(at) = head.session_id_at {
                    clear_session_id(bytes, at);
                }
                seen(FetchPart::Head {
                    correlation_id: head.correlation_id,
                    error: head.error,
                })?;
                self.topics_left = topics_count;
                self.elements_count = topics_count;
                self.next_topic();
                Ok(Some(taken))
            }
            Unit::Topic => {
                let layout = self.layout;
                let elements_count = self.elements_count;
                let read = self.read(bytes, |reader| {
                    let key = TopicKey::read(reader, layout)?;
                    let partitions =
                        CountField::read(reader, encoding, FetchedPartition::BYTES_MIN)?;
                    if elements_count.saturating_add(partitions.count) > REQUEST_ELEMENTS_MAX {
                        return Err(reader.flaw(Flaw::ElementsOversized));
                    }
                    Ok((key, partitions.count))
                })?;
                let Some(((key, partitions_count), taken)) = read else {
                    return Ok(None);
                };
                seen(FetchPart::Topic { key })?;
                self.elements_count = elements_count.saturating_add(partitions_count);
                self.partitions_left = partitions_count;
                self.next_partition();
                Ok(Some(taken))
            }
            Unit::Partition => {
                let layout = self.layout;
                let read = self.read(bytes, |reader| {
                    let head = PartitionHead::read(reader, layout)?;
                    let records_bytes = reader.bytes_length_nullable(encoding)?;
                    Ok((head, records_bytes.unwrap_or(0)))
                })?;
                let Some(((head, records_bytes), taken)) = read else {
                    return Ok(None);
                };
                seen(FetchPart::Partition {
                    index: head.index,
                    error: head.error,
                })?;
                self.next_batch(records_bytes);
                Ok(Some(taken))
            }
            Unit::Batch { records_bytes } => {
                let Some(header) = bytes.get(..BATCH_HEADER_BYTES) else {
                    return Ok(None);
                };
                // As in the walk of whole records, nothing is seen behind what is cut off or cannot be read.
                let whole = BatchHeader::parse(header).ok().and_then(|header| {
                    let behind = records_bytes.checked_sub(header.batch_bytes())?;
                    Some((header, behind))
                });
                match whole {
                    Some((header, records_bytes)) => {
                        seen(FetchPart::Batch {
                            last_offset: header.last_offset(),
                            record_count: header.record_count,
                        })?;
                        self.next = Unit::Skip {
                            bytes: header.batch_bytes(),
                            records_bytes,
                        };
                    }
                    None => {
                        self.next = Unit::Skip {
                            bytes: records_bytes,
                            records_bytes: 0,
                        };
                    }
                }
                Ok(Some(0))
            }
            Unit::Skip {
                bytes: skipped,
                records_bytes,
            } => {
                let taken = skipped.min(bytes.len());
                match skipped.saturating_sub(taken) {
                    0 => self.next_batch(records_bytes),
                    _ if taken == 0 => return Ok(None),
                    bytes => {
                        self.next = Unit::Skip {
                            bytes,
                            records_bytes,
                        }
                    }
                }
                Ok(Some(taken))
            }
            Unit::PartitionTags | Unit::TopicTags => {
                let Some((_, taken)) =
                    self.read(bytes, |reader| reader.tags_skipped(encoding).map(drop))?
                else {
                    return Ok(None);
                };
                match self.next {
                    Unit::PartitionTags => self.next_partition(),
                    _ => self.next_topic(),
                }
                Ok(Some(taken))
            }
            Unit::OwnTags => {
                // They reach to the end of the frame, and are wanted whole.
                if bytes.len() < self.bytes_left() {
                    return Ok(None);
                }
                let read = self.read(bytes, |reader| {
                    let count = reader.tags_skipped(encoding)?;
                    reader.finish()?;
                    Ok(count)
                })?;
                let Some((count, taken)) = read else {
                    return Ok(None);
                };
                if count > 0 {
                    blank_tags(bytes);
                }
                self.next = Unit::Done;
                Ok(Some(taken))
            }
            Unit::Done => Ok(None),
        }
    }

    /// Reads a unit at the front of `bytes`: its value and length, or `None` while it may still become whole.
    fn read<'a, T>(
        &mut self,
        bytes: &'a [u8],
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<(T, usize)>, Malformed> {
        let to_come = self.bytes_left().saturating_sub(bytes.len());
        if to_come > 0 && bytes.len() < self.reread_bytes {
            return Ok(None);
        }
        let mut reader = Reader::arriving(bytes, 0, to_come);
        match read(&mut reader) {
            Ok(value) => Ok(Some((value, reader.position()))),
            Err(malformed) if malformed.flaw == Flaw::Truncated && to_come > 0 => {
                if bytes.len() > REREAD_BYTES {
                    self.reread_bytes = bytes.len().saturating_mul(2);
                }
                Ok(None)
            }
            Err(malformed) => Err(Malformed {
                flaw: malformed.flaw,
                at: malformed.at.saturating_add(self.passed_bytes),
            }),
        }
    }

    fn next_topic(&mut self) {
        self.next = match self.topics_left.checked_sub(1) {
            Some(left) => {
                self.topics_left = left;
                Unit::Topic
            }
            None => Unit::OwnTags,
        };
    }

    fn next_partition(&mut self) {
        self.next = match self.partitions_left.checked_sub(1) {
            Some(left) => {
                self.partitions_left = left;
                Unit::Partition
            }
            None => Unit::TopicTags,
        };
    }

    fn next_batch(&mut self, records_bytes: usize) {
        self.next = match records_bytes {
            0 => Unit::PartitionTags,
            // Too little for a batch: the cut off end.
            1..BATCH_HEADER_BYTES => Unit::Skip {
                bytes: records_bytes,
                records_bytes: 0,
            },
            _ => Unit::Batch { records_bytes },
        };
    }
}

/// Turns a tagged section that has fields into one field of the same length that no version knows, and that holds zeros.
/// One, because fields must ascend, and for many there may be no new numbers that do and have the old lengths.
fn blank_tags(section: &mut [u8]) {
    let mut reader = Reader::new(section, 0);
    if reader.uvarint().is_err() {
        return;
    }
    let count_bytes = reader.position();
    let Some((count, fields)) = section.split_at_mut_checked(count_bytes) else {
        return;
    };
    fill_uvarint(count, 1);
    fields.fill(0);
    // With the other length of the number where the size would not fit its own field exactly.
    let lengths = [(1, 0x7f), (2, 0x3fff)]
        .into_iter()
        .flat_map(|number| (1..=5_usize).map(move |size_bytes| (number, size_bytes)));
    for ((number_bytes, number), size_bytes) in lengths {
        let value_bytes = fields
            .len()
            .checked_sub(size_bytes.saturating_add(number_bytes))
            .and_then(|bytes| u32::try_from(bytes).ok());
        let Some(value_bytes) = value_bytes.filter(|&it| uvarint_bytes(it) == size_bytes) else {
            continue;
        };
        let (number_field, behind) = fields.split_at_mut(number_bytes);
        fill_uvarint(number_field, number);
        fill_uvarint(
            behind.get_mut(..size_bytes).unwrap_or_default(),
            value_bytes,
        );
        return;
    }
}
