//! What one connection sends, and what its answers come to.

use bytes::Bytes;
use sluice_kafka::header::set_request_correlation_id;
use sluice_kafka::messages::encode_request_frame;
use sluice_kafka::messages::structs::fetch_request::{FetchPartition, FetchTopic};
use sluice_kafka::messages::structs::produce_request::{PartitionProduceData, TopicProduceData};
use sluice_kafka::messages::structs::{FetchRequest, ProduceRequest};
use sluice_kafka::record_batch::batches;
use sluice_kafka::views::{FetchResponse, ProduceResponse};
use sluice_kafka::{ErrorCode, Malformed, api};

use crate::pool::Pool;
use crate::session::{CLIENT_ID, OffsetAt, Session, name};
use crate::{Acks, Error, Plan};

const PRODUCE_TIMEOUT_MS: i32 = 30_000;
/// How long a consumer's Fetch may wait at the end of the log.
pub(crate) const FETCH_WAIT_MS: i32 = 100;

/// The requests of one connection, for one partition.
pub(crate) enum Workload {
    /// The same batches in turn.
    Produce {
        pool: Pool,
        version: i16,
        /// Without acks: a question that is answered.
        confirm_frame: Option<Vec<u8>>,
    },
    Consume(Consume),
    /// The same empty Fetch over and over.
    Ping {
        frame: Vec<u8>,
        version: i16,
    },
}

pub(crate) struct Consume {
    version: i16,
    topic: String,
    partition: i32,
    fetch_bytes: i32,
    first_offset: i64,
    next_offset: i64,
    at_end: AtEnd,
}

/// What a consumer does that has read everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    BeginAnew,
    Wait,
}

/// What a connection is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Produce,
    /// Reads from the start, over and over.
    Consume,
    /// Reads what is written from now on.
    Follow,
    Ping,
}

/// What an answer brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) outcome: Result<(), ErrorCode>,
    /// What the broker said beside an error.
    pub(crate) error_message: Option<String>,
    pub(crate) records: u64,
    /// Bytes of record batches, written or delivered.
    pub(crate) record_bytes: u64,
}

impl Workload {
    /// Prepares the requests of one connection; asks for offsets where they are needed.
    pub(crate) fn prepare(
        job: Job,
        plan: &Plan,
        session: &mut Session<'_>,
        partition: i32,
        timestamp_ms: i64,
        connection: usize,
    ) -> Result<Self, Error> {
        if job == Job::Produce {
            let version = session.version("Produce", api::PRODUCE, 9, 12)?;
            let frame = |batch| produce_frame(plan, partition, version, batch);
            return Ok(Self::Produce {
                pool: Pool::prepare(plan, connection, timestamp_ms, frame)?,
                version,
                confirm_frame: match plan.acks {
                    Acks::None => Some(session.metadata_frame(&plan.topic)?),
                    Acks::Leader | Acks::All => None,
                },
            });
        }
        let version = session.version("Fetch", api::FETCH, 11, 12)?;
        let end = session.offset(&plan.topic, partition, OffsetAt::Latest)?;
        let mut consume = Consume {
            version,
            topic: plan.topic.clone(),
            partition,
            fetch_bytes: plan.fetch_bytes,
            first_offset: end,
            next_offset: end,
            at_end: AtEnd::BeginAnew,
        };
        if job == Job::Follow {
            consume.at_end = AtEnd::Wait;
            return Ok(Self::Consume(consume));
        }
        if job == Job::Ping {
            let mut frame = Vec::new();
            consume.encode(0, 0, &mut frame)?;
            return Ok(Self::Ping { frame, version });
        }
        consume.first_offset = session.offset(&plan.topic, partition, OffsetAt::Earliest)?;
        consume.next_offset = consume.first_offset;
        if consume.first_offset >= end {
            let (target, topic) = (session.target_name(), plan.topic.clone());
            return Err(Error::OperatorTopicEmpty { target, topic });
        }
        Ok(Self::Consume(consume))
    }

    /// How many requests may be in flight, whatever the plan allows: a consumer must know where the last answer ended.
    pub(crate) fn in_flight_max(&self, planned: usize) -> usize {
        match self {
            Self::Consume(_) => 1,
            Self::Produce { .. } | Self::Ping { .. } => planned,
        }
    }

    /// Appends the next request.
    pub(crate) fn encode(&mut self, correlation_id: i32, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Produce { pool, .. } => {
                pool.encode(correlation_id, out);
                Ok(())
            }
            Self::Ping { frame, .. } => {
                append_request(frame, correlation_id, out);
                Ok(())
            }
            Self::Consume(consume) => consume.encode(correlation_id, FETCH_WAIT_MS, out),
        }
    }

    /// A question that the target answers once it has read every write before it; `None` where writes are answered.
    pub(crate) fn confirm_frame(&self) -> Option<&[u8]> {
        match self {
            Self::Produce { confirm_frame, .. } => confirm_frame.as_deref(),
            Self::Consume(_) | Self::Ping { .. } => None,
        }
    }

    /// What a write comes to that nobody answers, once it has left.
    pub(crate) fn left(&mut self) -> Answer {
        match self {
            Self::Produce { pool, .. } => pool.answered(),
            Self::Consume(_) | Self::Ping { .. } => Answer::delivered(0, 0),
        }
    }

    /// Reads an answer, a complete frame, and moves on. `batch_at` gets the offset of each batch that was written or delivered.
    pub(crate) fn answered(
        &mut self,
        frame: &[u8],
        mut batch_at: impl FnMut(i64),
    ) -> Result<Answer, Malformed> {
        match self {
            Self::Produce { pool, version, .. } => {
                let delivered = pool.answered();
                let response = ProduceResponse::parse(frame, *version)?;
                let partition = response
                    .topics()
                    .flat_map(|topic| topic.partitions())
                    .next();
                let Some(partition) = partition else {
                    return Ok(Answer::failed(ErrorCode::UNKNOWN_SERVER_ERROR));
                };
                match partition.error {
                    ErrorCode::NONE => {
                        batch_at(partition.base_offset);
                        Ok(delivered)
                    }
                    error => Ok(Answer {
                        error_message: partition.error_message.map(str::to_owned),
                        ..Answer::failed(error)
                    }),
                }
            }
            Self::Ping { version, .. } => fetched(frame, *version, batch_at, |_, _, _| ()),
            Self::Consume(consume) => {
                let version = consume.version;
                fetched(
                    frame,
                    version,
                    batch_at,
                    |next_offset, high_watermark, error| {
                        consume.move_on(next_offset, high_watermark, error);
                    },
                )
            }
        }
    }
}

impl Consume {
    fn encode(&self, correlation_id: i32, wait_ms: i32, out: &mut Vec<u8>) -> Result<(), Error> {
        let partition = FetchPartition::default()
            .with_partition(self.partition)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_fetch_offset(self.next_offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(self.fetch_bytes);
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(i32::from(wait_ms > 0))
            .with_max_bytes(self.fetch_bytes)
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_topics(vec![
                FetchTopic::default()
                    .with_topic(name(&self.topic))
                    .with_partitions(vec![partition]),
            ]);
        encode_request_frame(self.version, correlation_id, Some(CLIENT_ID), &request, out)
            .map_err(|_| Error::GeneratorBroken)
    }

    fn move_on(&mut self, next_offset: Option<i64>, high_watermark: i64, error: ErrorCode) {
        self.next_offset = match next_offset {
            Some(next_offset) if next_offset < high_watermark => next_offset,
            // The watermark of the answer may be older than its records.
            Some(next_offset) if self.at_end == AtEnd::Wait => next_offset,
            _ if error == ErrorCode::NONE && self.at_end == AtEnd::BeginAnew => self.first_offset,
            _ => self.next_offset,
        };
    }
}

impl Answer {
    pub(crate) fn delivered(records: u64, record_bytes: u64) -> Self {
        Self {
            outcome: Ok(()),
            error_message: None,
            records,
            record_bytes,
        }
    }

    fn failed(error: ErrorCode) -> Self {
        Self {
            outcome: Err(error),
            ..Self::delivered(0, 0)
        }
    }
}

/// Reads a Fetch answer. `moved` gets the offset after the last whole batch, the high watermark and the error.
fn fetched(
    frame: &[u8],
    version: i16,
    mut batch_at: impl FnMut(i64),
    mut moved: impl FnMut(Option<i64>, i64, ErrorCode),
) -> Result<Answer, Malformed> {
    let response = FetchResponse::parse(frame, version)?;
    if response.error != ErrorCode::NONE {
        return Ok(Answer::failed(response.error));
    }
    let partition = response
        .topics()
        .flat_map(|topic| topic.partitions())
        .next();
    let Some(partition) = partition else {
        return Ok(Answer::failed(ErrorCode::UNKNOWN_SERVER_ERROR));
    };
    let (mut next_offset, mut records_count, mut record_bytes) = (None, 0, 0);
    for batch in batches(response.records(&partition).unwrap_or_default()).flatten() {
        batch_at(batch.header.base_offset);
        next_offset = Some(batch.header.last_offset().saturating_add(1));
        records_count += u64::from(batch.header.record_count.unsigned_abs());
        record_bytes += batch.bytes.len() as u64;
    }
    moved(next_offset, partition.high_watermark, partition.error);
    match partition.error {
        ErrorCode::NONE => Ok(Answer::delivered(records_count, record_bytes)),
        error => Ok(Answer::failed(error)),
    }
}

/// Appends a prepared frame under its own correlation id.
pub(crate) fn append_request(frame: &[u8], correlation_id: i32, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(frame);
    if let Some(frame) = out.get_mut(at..) {
        set_request_correlation_id(frame, correlation_id);
    }
}

fn produce_frame(
    plan: &Plan,
    partition: i32,
    version: i16,
    batch: Bytes,
) -> Result<Vec<u8>, Error> {
    let partition = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch));
    let request = ProduceRequest::default()
        .with_acks(plan.acks.wire())
        .with_timeout_ms(PRODUCE_TIMEOUT_MS)
        .with_topic_data(vec![
            TopicProduceData::default()
                .with_name(name(&plan.topic))
                .with_partition_data(vec![partition]),
        ]);
    let mut frame = Vec::new();
    encode_request_frame(version, 0, Some(CLIENT_ID), &request, &mut frame)
        .map_err(|_| Error::GeneratorBroken)?;
    Ok(frame)
}
