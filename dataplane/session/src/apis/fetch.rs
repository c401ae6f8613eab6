//! Fetch (key 1): decided per topic when it is asked and again when it is answered; masked where policy says so.

use sluice_kafka::record_batch::batches;
use sluice_kafka::views::fetch::patch_in_place;
use sluice_kafka::views::fetch_response::{self, clear_session_id};
use sluice_kafka::views::{
    Denial as WireDenial, FetchLayout, FetchPatch, FetchRequest, FetchResponse, MergeEntry,
    RecordsVerdict,
};
use sluice_kafka::{ErrorCode, RequestHeader};
use sluice_policy::{MaskPlanId, Operation};

use super::{Asker, HotStep};
use crate::error::Close;
use crate::limits::{FETCH_BYTES_MAX, MASKED_FETCH_BYTES_MAX};
use crate::record::Delivered;
use crate::transform::MaskJob;

/// What the answer to a Fetch is merged with.
#[derive(Debug, Default)]
pub(crate) struct PendingFetch {
    version: i16,
    /// Every topic-partition in the request's order.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    topic: String,
    partition: i32,
    fetch_offset: i64,
    denied: bool,
}

/// What makes a Fetch frame an ordinary consumer's, sessionless and within the gateway's limits, where it lies.
pub(crate) struct InPlacePatch {
    layout: FetchLayout,
    max_bytes: i32,
    patch: FetchPatch,
}

impl InPlacePatch {
    pub(crate) fn apply(&self, frame: &mut [u8]) {
        patch_in_place(frame, &self.layout, self.max_bytes, &self.patch);
    }
}

/// Decides one Fetch; the patch is to be applied before the frame goes on in place.
pub(crate) fn decide(
    ask: &mut Asker<'_>,
    header: &RequestHeader<'_>,
    frame: &[u8],
) -> Result<(HotStep<PendingFetch>, Option<InPlacePatch>), Close> {
    let request = FetchRequest::parse(frame, header).map_err(Close::malformed)?;
    if request.continues_session() {
        let mut answer = Vec::new();
        let error = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
        fetch_response::encode_error(
            header.api_version,
            header.correlation_id,
            0,
            error,
            &mut answer,
        );
        return Ok((HotStep::Answer(answer), None));
    }
    let mut pending = PendingFetch {
        version: header.api_version,
        entries: Vec::new(),
    };
    let mut masked = false;
    for topic in request.topics() {
        let denied = ask.topic(Operation::Read, topic.name).is_err();
        masked |= !denied && ask.mask_plan(topic.name).is_some();
        for partition in topic.partitions() {
            if !denied {
                ask.reads(topic.name, partition.index, partition.fetch_offset);
            }
            pending.entries.push(Entry {
                topic: topic.name.to_owned(),
                partition: partition.index,
                fetch_offset: partition.fetch_offset,
                denied,
            });
        }
    }
    let bytes_max = if masked {
        MASKED_FETCH_BYTES_MAX
    } else {
        FETCH_BYTES_MAX
    };
    let patch = FetchPatch {
        response_bytes_max: bytes_max,
        partition_bytes_max: bytes_max,
    };
    let denied = pending.entries.iter().filter(|entry| entry.denied).count();
    if denied > 0 && denied == pending.entries.len() {
        let mut answer = Vec::new();
        let entries = pending.merge_entries();
        fetch_response::merge(
            header.api_version,
            header.correlation_id,
            0,
            None,
            &entries,
            fetch_response::keep_records,
            &mut answer,
        );
        return Ok((HotStep::Answer(answer), None));
    }
    let mut kept = Vec::new();
    if denied > 0 || request.needs_rewrite() || super::is_admin_client(header) {
        let mut entries = pending.entries.iter();
        request.keep_topics(
            &patch,
            |_, _| entries.next().is_some_and(|entry| !entry.denied),
            &mut kept,
        );
        super::drop_admin_client(header, &mut kept);
    }
    if kept.is_empty() {
        let in_place = InPlacePatch {
            layout: request.layout,
            max_bytes: request.max_bytes,
            patch,
        };
        return Ok((HotStep::forward_in_place(true, pending), Some(in_place)));
    }
    Ok((HotStep::forward_owned(true, kept, pending), None))
}

/// How the broker's answer goes on.
pub(crate) enum FetchStep {
    /// From where it lies.
    AsItIs,
    /// As these bytes.
    Rewritten(Vec<u8>),
    /// After its values are masked.
    Mask(Box<MaskJob>),
}

/// Decides the answer by the policy of now: a right that went since the request takes its records along.
pub(crate) fn answer(
    ask: &mut Asker<'_>,
    correlation_id: i32,
    pending: PendingFetch,
    frame: &mut [u8],
) -> Result<FetchStep, Close> {
    let mut pending = pending;
    let (session_id_at, rewrite, masks, seen) =
        {
            let response =
                FetchResponse::parse(frame, pending.version).map_err(Close::broker_malformed)?;
            let mut masks: Vec<(String, MaskPlanId)> = Vec::new();
            let mut seen: Vec<Delivered> = Vec::new();
            for topic in response.topics() {
                // Asked in full only where the right went, so that its loss is recorded as a denial.
                let readable =
                    ask.still_reads(topic.name) || ask.topic(Operation::Read, topic.name).is_ok();
                let plan = ask.mask_plan(topic.name).filter(|_| readable);
                for partition in topic.partitions() {
                    let Some(entry) = pending.entries.iter_mut().find(|entry| {
                        entry.partition == partition.index && entry.topic == topic.name
                    }) else {
                        return Err(Close::BrokerMalformed(
                            "an answer for a partition that was not asked for".into(),
                        ));
                    };
                    if !readable {
                        entry.denied = true;
                    } else if plan.is_none() {
                        let records = response.records(&partition).unwrap_or_default();
                        let mut delivered = interval(records, entry.fetch_offset);
                        delivered.topic = topic.name.to_owned();
                        delivered.partition = partition.index;
                        delivered.error = partition.error.0;
                        seen.push(delivered);
                    }
                }
                masks.extend(plan.map(|plan| (topic.name.to_owned(), plan)));
            }
            let rewrite =
                response.has_unknown_tags() || pending.entries.iter().any(|entry| entry.denied);
            (response.session_id_at, rewrite, masks, seen)
        };
    if !masks.is_empty() {
        return Ok(FetchStep::Mask(Box::new(MaskJob::new(
            ask.snapshot(),
            pending,
            correlation_id,
            masks,
            seen,
        ))));
    }
    for delivered in seen
        .into_iter()
        .filter(|delivered| delivered.records_count > 0 || delivered.error != 0)
    {
        ask.delivered(delivered);
    }
    if rewrite {
        let mut out = Vec::new();
        pending.merge(
            correlation_id,
            frame,
            fetch_response::keep_records,
            &mut out,
        )?;
        return Ok(FetchStep::Rewritten(out));
    }
    if let Some(at) = session_id_at {
        clear_session_id(frame, at);
    }
    Ok(FetchStep::AsItIs)
}

impl PendingFetch {
    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    pub(crate) fn fetch_offset(&self, topic: &str, partition: i32) -> i64 {
        let asked = self
            .entries
            .iter()
            .find(|entry| entry.partition == partition && entry.topic == topic);
        asked.map_or(0, |entry| entry.fetch_offset)
    }

    /// Writes the client's answer: the broker's records as `records` says, and the denials in the request's order.
    pub(crate) fn merge(
        &self,
        correlation_id: i32,
        frame: &[u8],
        records: impl FnMut(
            &str,
            &sluice_kafka::views::FetchedPartition,
            &[u8],
            &mut Vec<u8>,
        ) -> RecordsVerdict,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let response =
            FetchResponse::parse(frame, self.version).map_err(Close::broker_malformed)?;
        let entries = self.merge_entries();
        fetch_response::merge(
            self.version,
            correlation_id,
            0,
            Some(&response),
            &entries,
            records,
            out,
        );
        Ok(())
    }

    fn merge_entries(&self) -> Vec<MergeEntry<'_>> {
        let denial = WireDenial {
            error: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            message: None,
        };
        self.entries
            .iter()
            .map(|entry| MergeEntry {
                topic: &entry.topic,
                partition: entry.partition,
                denial: entry.denied.then_some(denial),
            })
            .collect()
    }
}

/// The offsets that these record batches carry from `fetch_offset` on. A last batch that is cut is not delivered.
fn interval(records: &[u8], fetch_offset: i64) -> Delivered {
    let mut delivered = Delivered {
        first_offset: fetch_offset,
        last_offset: -1,
        ..Delivered::default()
    };
    for batch in batches(records) {
        // Batches of an older format stand on disk of old topics; on an unmasked topic they pass, uncounted.
        let Ok(batch) = batch else { break };
        delivered.last_offset = batch.header.last_offset();
        delivered.records_count = delivered
            .records_count
            .saturating_add(batch.header.record_count.max(0));
    }
    delivered
}
