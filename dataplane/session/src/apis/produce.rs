//! Produce (key 0): decided per topic, forwarded from where it lies if everything in it may go.

use sluice_kafka::record_batch::BatchHeader;
use sluice_kafka::views::{
    Denial as WireDenial, MergeEntry, ProduceRequest, ProduceResponse, TopicKey, produce_response,
};
use sluice_kafka::{ErrorCode, RequestHeader};
use sluice_policy::Operation;

use super::{Asker, HotStep, Places};
use crate::decide::{
    APPROVAL_AWAITED, APPROVAL_REFUSED, ORDER_GATE_FULL, PRODUCER_ID_NOT_OWNED, PRODUCER_IDS_FULL,
    Rule,
};
use crate::environment::Standing;
use crate::error::Close;
use crate::limits::APPROVAL_THROTTLE_MS_MAX;
use crate::memory::{AskedTopic, names_bytes};
use crate::order_gate::Turn;
use crate::producer_ids::Claim;
use crate::record::Delivered;

const UNKNOWN_TOPIC_ID: &str = "Sluice: this topic id is not known here; ask for metadata";

/// What the answer to a Produce is merged with.
#[derive(Debug)]
pub(crate) struct PendingProduce {
    version: i16,
    /// Every topic-partition in the request's order.
    entries: Vec<Entry>,
    throttle_ms: i32,
}

#[derive(Debug)]
pub(crate) struct Entry {
    topic: AskedTopic,
    partition: i32,
    records_count: i32,
    denial: Option<(ErrorCode, String)>,
}

impl PendingProduce {
    /// Memory that it takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.capacity().saturating_mul(size_of::<Entry>());
        let denials = self
            .entries
            .iter()
            .filter_map(|entry| entry.denial.as_ref());
        let messages: usize = denials.map(|(_, message)| message.capacity()).sum();
        let names = names_bytes(self.entries.iter().map(|entry| &entry.topic));
        entries.saturating_add(messages).saturating_add(names)
    }
}

/// Decides one Produce.
pub(crate) fn decide(
    ask: &mut Asker<'_>,
    header: &RequestHeader<'_>,
    frame: &[u8],
) -> Result<HotStep<PendingProduce>, Close> {
    let request = ProduceRequest::parse(frame, header).map_err(Close::malformed)?;
    let id_denial = request
        .transactional_id
        .and_then(|id| ask.transactional_id(Operation::Write, id).err())
        .map(|denial| {
            (
                ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                denial.message(),
            )
        });
    let mut pending = PendingProduce {
        version: header.api_version,
        entries: ask.pools().produced.take(),
        throttle_ms: 0,
    };
    let repeated = repeated(&request);
    // Also a topic without partitions: its name does not go on either.
    let mut refused = id_denial.is_some();
    for topic in request.topics() {
        let Some(named) = ask.resolve(topic.key) else {
            refused = true;
            let unknown = AskedTopic::new(topic.key, "".into());
            pending
                .entries
                .extend(topic.partitions().map(|partition| Entry {
                    topic: unknown.clone(),
                    partition: partition.index,
                    records_count: 0,
                    denial: Some((ErrorCode::UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_ID.to_owned())),
                }));
            continue;
        };
        let mark = ask.mark();
        let access = ask.asked_topic(Operation::Write, &named);
        refused |= access.is_err();
        let mut goes_on = false;
        for partition in topic.partitions() {
            let mut records_count = 0;
            let batch = match repeated
                .binary_search(&(topic.key, partition.index))
                .is_ok()
            {
                true => Err(ErrorCode::INVALID_RECORD),
                false => sole_batch(partition.records),
            };
            let denial = match (&id_denial, &access, batch) {
                (Some(denial), _, _) => Some(denial.clone()),
                (None, Err(denial), _) => {
                    Some((ErrorCode::TOPIC_AUTHORIZATION_FAILED, denial.message()))
                }
                (None, Ok(()), Err(error)) => {
                    let text = "a partition is named once, with one record batch of format 2";
                    ask.rejected(&named, partition.index, text);
                    Some((error, format!("Sluice: {text}")))
                }
                (None, Ok(()), Ok(batch)) => {
                    records_count = batch.record_count;
                    let throttle_ms = &mut pending.throttle_ms;
                    write(ask, &named, partition.index, &batch, throttle_ms).err()
                }
            };
            goes_on |= denial.is_none();
            refused |= denial.is_some();
            pending.entries.push(Entry {
                topic: named.clone(),
                partition: partition.index,
                records_count,
                denial,
            });
        }
        if access.is_ok() && !goes_on {
            ask.withdraw(&mark);
        }
    }
    if request.acks == 0 {
        // There is no answer that could carry a denial, and none that could say where records went.
        let protected = pending
            .entries
            .iter()
            .find(|entry| entry.denial.is_none() && ask.approval_rule(&entry.topic).is_some());
        if let Some(entry) = protected {
            ask.unanswerable(&entry.topic);
        }
        if refused || protected.is_some() {
            return Err(Close::ClientDeniedUnanswerable);
        }
        ask.unacknowledged();
    }
    let nothing_left = pending.entries.iter().all(|entry| entry.denial.is_some());
    if refused && nothing_left {
        let mut answer = Vec::new();
        merge(&pending, header.correlation_id, None, &mut answer);
        return Ok(HotStep::Answer(answer));
    }
    if !refused && !request.has_unknown_tags() && !super::is_admin_client(header) {
        return Ok(HotStep::forward_in_place(request.acks != 0, pending));
    }
    let mut kept = Vec::with_capacity(frame.len());
    let mut entries = pending.entries.iter();
    request.keep_topics(
        |_, _| entries.next().is_some_and(|entry| entry.denial.is_none()),
        &mut kept,
    );
    super::drop_admin_client(header, &mut kept);
    Ok(HotStep::forward_owned(request.acks != 0, kept, pending))
}

/// Joins the broker's answer with the denials. `None`: the answer passes as it is.
pub(crate) fn answer(
    ask: &mut Asker<'_>,
    correlation_id: i32,
    pending: PendingProduce,
    frame: &[u8],
) -> Result<Option<Vec<u8>>, Close> {
    let response =
        ProduceResponse::parse(frame, pending.version).map_err(Close::broker_malformed)?;
    let mut places = Places::default();
    for topic in response.topics() {
        for partition in topic.partitions() {
            let wanted = (topic.key, partition.index);
            let at = places.find(&pending.entries, wanted, |entry| {
                (entry.topic.key(), entry.partition)
            });
            let asked = at.and_then(|at| pending.entries.get(at)).ok_or_else(|| {
                Close::BrokerMalformed("an answer for a partition that was not asked for".into())
            })?;
            let counts = asked.records_count;
            ask.delivered(Delivered {
                topic: asked.topic.name().clone(),
                topic_id: asked.topic.id(),
                partition: partition.index,
                first_offset: partition.base_offset,
                last_offset: last_offset(partition.base_offset, counts),
                records_count: counts,
                error: partition.error.0,
                ..Delivered::default()
            });
        }
    }
    let mut out = Vec::new();
    let rewritten = if pending.entries.iter().any(|entry| entry.denial.is_some()) {
        merge(&pending, correlation_id, Some(&response), &mut out);
        true
    } else if response.may_carry_addresses() {
        response.without_addresses(&mut out);
        true
    } else {
        false
    };
    ask.pools().produced.give_back(pending.entries);
    Ok(rewritten.then_some(out))
}

fn merge(
    pending: &PendingProduce,
    correlation_id: i32,
    broker: Option<&ProduceResponse<'_>>,
    out: &mut Vec<u8>,
) {
    let entries: Vec<MergeEntry<'_>> = pending
        .entries
        .iter()
        .map(|entry| MergeEntry {
            topic: entry.topic.key(),
            partition: entry.partition,
            denial: entry.denial.as_ref().map(|(error, message)| WireDenial {
                error: *error,
                message: Some(message.as_str()),
            }),
        })
        .collect();
    produce_response::merge(
        pending.version,
        correlation_id,
        pending.throttle_ms,
        broker,
        &entries,
        out,
    );
}

/// -1 where the base offset is not known: an error, or a duplicate that the broker has forgotten.
fn last_offset(base_offset: i64, records_count: i32) -> i64 {
    match base_offset {
        0.. => base_offset.saturating_add(i64::from(records_count).saturating_sub(1)),
        _ => -1,
    }
}

/// Partitions that a request names more than once, sorted: which of their batches would count is anybody's guess.
fn repeated<'a>(request: &ProduceRequest<'a>) -> Vec<(TopicKey<'a>, i32)> {
    let named = || {
        request.topics().flat_map(|topic| {
            let key = topic.key;
            topic
                .partitions()
                .map(move |partition| (key, partition.index))
        })
    };
    // While partitions come in the order of their names and numbers, none comes twice.
    if named().is_sorted_by(|before, after| before < after) || super::surely_distinct(named()) {
        return Vec::new();
    }
    let mut named: Vec<_> = named().collect();
    named.sort_unstable();
    let repeats = named.windows(2).filter_map(|pair| match pair {
        [first, second] if first == second => Some(*first),
        _ => None,
    });
    repeats.collect()
}

/// The one batch that a partition of a Produce may hold (Kafka's own rule since request version 3).
fn sole_batch(records: Option<&[u8]>) -> Result<BatchHeader, ErrorCode> {
    let records = records.ok_or(ErrorCode::INVALID_RECORD)?;
    let batch = BatchHeader::parse(records).map_err(|_| ErrorCode::INVALID_RECORD)?;
    let sole = batch.batch_bytes() == records.len();
    if sole && !batch.is_control() {
        Ok(batch)
    } else {
        Err(ErrorCode::INVALID_RECORD)
    }
}

/// What a client is told instead of an offset.
type WriteDenial = (ErrorCode, String);

/// Decides one batch of a topic that may be written: its producer id must be the principal's, and a protected topic needs
/// a grant.
fn write(
    ask: &mut Asker<'_>,
    topic: &AskedTopic,
    partition: i32,
    batch: &BatchHeader,
    throttle_ms: &mut i32,
) -> Result<(), WriteDenial> {
    if batch.producer_id >= 0 {
        own_producer_id(ask, topic, partition, batch.producer_id)?;
    }
    let grant = match ask.approval_rule(topic) {
        None => None,
        Some(rule) => Some(approved(ask, topic, partition, batch, &rule, throttle_ms)?),
    };
    ask.writes(topic, partition, batch, grant);
    Ok(())
}

fn own_producer_id(
    ask: &mut Asker<'_>,
    topic: &AskedTopic,
    partition: i32,
    producer_id: i64,
) -> Result<(), WriteDenial> {
    let (code, text) = match ask.claim_producer_id(producer_id) {
        Claim::Owned => return Ok(()),
        Claim::Foreign => (
            PRODUCER_ID_NOT_OWNED,
            "the producer id belongs to another principal",
        ),
        Claim::NoRoom => (
            PRODUCER_IDS_FULL,
            "no broker was seen to give out the producer id, and there is no room for another such id",
        ),
    };
    ask.denied_producer(topic, partition, code, text);
    Err((
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        format!("Sluice: {text}"),
    ))
}

/// A protected topic is written inside a grant's window, and in the producer's order; else the client tries again.
fn approved(
    ask: &mut Asker<'_>,
    topic: &AskedTopic,
    partition: i32,
    batch: &BatchHeader,
    rule: &Rule,
    throttle_ms: &mut i32,
) -> Result<String, WriteDenial> {
    let stream = ask.stream(batch.producer_id, topic, partition);
    let idempotent = batch.producer_id >= 0;
    let behind =
        idempotent && ask.turn(&stream, batch.producer_epoch, batch.base_sequence) != Turn::Free;
    let granted = ask.grant(topic);
    let (mut error, mut message) = match granted {
        Some(grant) if !behind => {
            if idempotent {
                ask.passes_gate(stream, batch.producer_epoch, batch.base_sequence);
            }
            return Ok(grant);
        }
        Some(_) => (
            ErrorCode::NOT_ENOUGH_REPLICAS,
            "an earlier batch of this producer goes first".to_owned(),
        ),
        None => standing(ask.standing(topic, &rule.name), &rule.name),
    };
    let mut code = APPROVAL_REFUSED;
    if error == ErrorCode::NOT_ENOUGH_REPLICAS {
        let kept =
            !idempotent || ask.gate_refused(stream, batch.producer_epoch, batch.base_sequence);
        if kept {
            code = APPROVAL_AWAITED;
            let pause = rule.hold_ms.min(u64::from(APPROVAL_THROTTLE_MS_MAX));
            *throttle_ms = (*throttle_ms).max(i32::try_from(pause).unwrap_or(i32::MAX));
        } else {
            code = ORDER_GATE_FULL;
            error = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
            message = format!(
                "the write needs an approval ({}), and there is no room to keep its place until then",
                rule.name
            );
        }
    }
    let message = format!("Sluice: {message}");
    ask.held(topic, partition, code, &message);
    Err((error, message))
}

/// The one code that every client retries calmly means "not yet"; the authorization error is final.
fn standing(standing: Standing, rule: &str) -> WriteDenial {
    let (again, never) = (
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
    );
    match standing {
        Standing::Open => (
            again,
            format!("the write waits for an approval ({rule}); an approver has been notified"),
        ),
        Standing::Unreachable => (
            again,
            format!("the write needs an approval ({rule}) and the approver is unreachable"),
        ),
        Standing::Refused(reason) => (never, format!("an approver refused the write: {reason}")),
        Standing::TimedOut => (never, format!("nobody approved the write in time ({rule})")),
    }
}
