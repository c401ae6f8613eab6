//! Produce and Fetch: read in place by the gateway's views, answered field by field.
//!
//! The layouts are those of Kafka 4.4's message specs: Produce 3 to 13, Fetch 4 to 18.

use sluice_kafka::reader::Encoding;
use sluice_kafka::record_batch::batches;
use sluice_kafka::views::{FetchRequest, ProduceRequest, TopicKey};
use sluice_kafka::{ErrorCode, Malformed, RequestHeader};

use super::log::{Log, Topic};
use super::outgoing::Outgoing;

const NO_OFFSET: i64 = -1;
const NO_TIMESTAMP: i64 = -1;

/// Acknowledges, unless nobody waits for it (acks=0).
pub(super) fn produce(
    frame: &[u8],
    header: &RequestHeader<'_>,
    log: &Log,
    outgoing: &mut Outgoing,
) -> Result<(), Malformed> {
    let request = ProduceRequest::parse(frame, header)?;
    let (version, encoding) = (header.api_version, header.encoding);
    let start = outgoing.begin_frame();
    let out = outgoing.own();
    put_header(out, header);
    put_count(out, encoding, request.topics_count.count);
    for topic in request.topics() {
        let found = log.topic(topic.key);
        put_key(out, encoding, topic.key);
        put_count(out, encoding, topic.partitions_count.count);
        for partition in topic.partitions() {
            let (error, base_offset) = match appended(
                found,
                partition.index,
                partition.records.unwrap_or_default(),
                topic.key,
            ) {
                Ok(offset) => (ErrorCode::NONE, offset),
                Err(error) => (error, NO_OFFSET),
            };
            out.extend_from_slice(&partition.index.to_be_bytes());
            out.extend_from_slice(&error.0.to_be_bytes());
            out.extend_from_slice(&base_offset.to_be_bytes());
            out.extend_from_slice(&NO_TIMESTAMP.to_be_bytes()); // log append time: the records' own time holds
            if version >= 5 {
                out.extend_from_slice(&0_i64.to_be_bytes()); // log start offset
            }
            if version >= 8 {
                put_count(out, encoding, 0); // errors of single records
                put_null(out, encoding); // error message
            }
            put_no_tags(out, encoding);
        }
        put_no_tags(out, encoding);
    }
    out.extend_from_slice(&0_i32.to_be_bytes()); // throttle time
    put_no_tags(out, encoding);
    if request.acks == 0 {
        outgoing.own().truncate(start.own_at());
    } else {
        outgoing.end_frame(start);
    }
    Ok(())
}

fn appended(
    topic: Option<&Topic>,
    partition: i32,
    records: &[u8],
    key: TopicKey<'_>,
) -> Result<i64, ErrorCode> {
    let topic = topic.ok_or(unknown(key))?;
    let mut records_count = 0_i64;
    // Headers only: verifying a checksum would cost more than everything else here.
    for batch in batches(records) {
        let batch = batch.map_err(|_| ErrorCode::CORRUPT_MESSAGE)?;
        records_count += i64::from(batch.header.record_count.max(0));
    }
    match records_count {
        0 => Err(ErrorCode::CORRUPT_MESSAGE),
        _ => topic
            .append(partition, records_count)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    }
}

/// Answers at once, also at the end of a log: a Fetch there is a ping.
pub(super) fn fetch(
    frame: &[u8],
    header: &RequestHeader<'_>,
    log: &Log,
    outgoing: &mut Outgoing,
) -> Result<(), Malformed> {
    let request = FetchRequest::parse(frame, header)?;
    let (version, encoding) = (header.api_version, header.encoding);
    let mut bytes_left = usize::try_from(request.max_bytes).unwrap_or(0);
    let mut at_least_one = true;
    let start = outgoing.begin_frame();
    let out = outgoing.own();
    put_header(out, header);
    out.extend_from_slice(&0_i32.to_be_bytes()); // throttle time
    if version >= 7 {
        out.extend_from_slice(&ErrorCode::NONE.0.to_be_bytes());
        out.extend_from_slice(&0_i32.to_be_bytes()); // fetch session: none is offered
    }
    put_count(out, encoding, request.topics_count.count);
    for topic in request.topics() {
        let found = log.topic(topic.key);
        let out = outgoing.own();
        put_key(out, encoding, topic.key);
        put_count(out, encoding, topic.partitions_count.count);
        for partition in topic.partitions() {
            let known = found.filter(|topic| topic.has(partition.index));
            let room = bytes_left.min(usize::try_from(partition.partition_max_bytes).unwrap_or(0));
            let slice = known.and_then(|_| log.slice(partition.fetch_offset, room, at_least_one));
            let error = match (known, slice) {
                (None, _) => unknown(topic.key),
                (Some(_), None) => ErrorCode::OFFSET_OUT_OF_RANGE,
                (Some(_), Some(_)) => ErrorCode::NONE,
            };
            let end = known.map_or(NO_OFFSET, |_| log.end_offset());
            let records_bytes = slice.map_or(0, |slice| slice.batches_count * log.batch_bytes());
            let out = outgoing.own();
            out.extend_from_slice(&partition.index.to_be_bytes());
            out.extend_from_slice(&error.0.to_be_bytes());
            out.extend_from_slice(&end.to_be_bytes()); // high watermark
            out.extend_from_slice(&end.to_be_bytes()); // last stable offset
            if version >= 5 {
                out.extend_from_slice(&0_i64.to_be_bytes()); // log start offset
            }
            put_count(out, encoding, 0); // aborted transactions
            if version >= 11 {
                out.extend_from_slice(&(-1_i32).to_be_bytes()); // preferred read replica
            }
            put_count(out, encoding, records_bytes);
            let (base_offset, batches_count) =
                slice.map_or((0, 0), |slice| (slice.base_offset, slice.batches_count));
            for number in 0..batches_count {
                let offset = base_offset + number as i64 * log.records_per_batch();
                outgoing.own().extend_from_slice(&offset.to_be_bytes());
                outgoing.push_tail();
            }
            put_no_tags(outgoing.own(), encoding);
            at_least_one &= records_bytes == 0;
            bytes_left = bytes_left.saturating_sub(records_bytes);
        }
        put_no_tags(outgoing.own(), encoding);
    }
    put_no_tags(outgoing.own(), encoding);
    outgoing.end_frame(start);
    Ok(())
}

fn unknown(key: TopicKey<'_>) -> ErrorCode {
    match key {
        TopicKey::Name(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        TopicKey::Id(_) => ErrorCode::UNKNOWN_TOPIC_ID,
    }
}

fn put_header(out: &mut Vec<u8>, header: &RequestHeader<'_>) {
    out.extend_from_slice(&header.correlation_id.to_be_bytes());
    put_no_tags(out, header.encoding);
}

fn put_key(out: &mut Vec<u8>, encoding: Encoding, key: TopicKey<'_>) {
    match key {
        TopicKey::Id(id) => out.extend_from_slice(&id),
        TopicKey::Name(name) => {
            match encoding {
                // A name that was read from a frame with this field fits into it again.
                Encoding::Classic => out.extend_from_slice(&(name.len() as i16).to_be_bytes()),
                Encoding::Flexible => put_count(out, encoding, name.len()),
            }
            out.extend_from_slice(name.as_bytes());
        }
    }
}

/// The count of an array, or the length of bytes: both are written alike.
fn put_count(out: &mut Vec<u8>, encoding: Encoding, count: usize) {
    match encoding {
        Encoding::Classic => out.extend_from_slice(&(count as i32).to_be_bytes()),
        Encoding::Flexible => {
            let mut left = count as u64 + 1;
            while left >= 0x80 {
                out.push(left as u8 | 0x80);
                left >>= 7;
            }
            out.push(left as u8);
        }
    }
}

/// A string that is null.
fn put_null(out: &mut Vec<u8>, encoding: Encoding) {
    match encoding {
        Encoding::Classic => out.extend_from_slice(&(-1_i16).to_be_bytes()),
        Encoding::Flexible => out.push(0),
    }
}

fn put_no_tags(out: &mut Vec<u8>, encoding: Encoding) {
    if encoding == Encoding::Flexible {
        out.push(0);
    }
}
