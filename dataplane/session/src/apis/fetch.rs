//! Fetch (key 1): decided per topic when it is asked and again when it is answered; masked where policy says so.

use sluice_kafka::record_batch::batches;
use sluice_kafka::views::fetch::patch_in_place;
use sluice_kafka::views::fetch_response::{self, clear_session_id};
use sluice_kafka::views::{
    Denial as WireDenial, FetchLayout, FetchPatch, FetchRequest, FetchResponse, MergeEntry,
    RecordsVerdict, TopicKey,
};
use sluice_kafka::{ErrorCode, RequestHeader};
use sluice_policy::{MaskPlanId, Operation};

use super::{Asker, HotStep, Places};
use crate::error::Close;
use crate::limits::{FETCH_BYTES_MAX, MASKED_FETCH_BYTES_MAX};
use crate::memory::Pools;
use crate::memory::{AskedTopic, names_bytes};
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
pub(crate) struct Entry {
    topic: AskedTopic,
    partition: i32,
    fetch_offset: i64,
    denial: Option<ErrorCode>,
    answered: bool,
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
        entries: ask.pools().fetched.take(),
    };
    let mut masked = false;
    // Also a topic without partitions: its name does not go on either.
    let mut refused = false;
    // While partitions come in the order of their names and numbers, none comes twice.
    let (mut previous, mut ascending) = (None, true);
    for topic in request.topics() {
        let resolved = ask.resolve(topic.key);
        let denial = match &resolved {
            None => Some(ErrorCode::UNKNOWN_TOPIC_ID),
            Some(named) => ask
                .asked_topic(Operation::Read, named)
                .err()
                .map(|_| ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        };
        refused |= denial.is_some();
        let named = resolved.unwrap_or_else(|| AskedTopic::new(topic.key, "".into()));
        masked |= denial.is_none() && ask.mask_plan(&named).is_some();
        for partition in topic.partitions() {
            let this = Some((topic.key, partition.index));
            ascending &= previous < this;
            previous = this;
            if denial.is_none() {
                ask.reads(&named, partition.index, partition.fetch_offset);
            }
            pending.entries.push(Entry {
                topic: named.clone(),
                partition: partition.index,
                fetch_offset: partition.fetch_offset,
                denial,
                answered: false,
            });
        }
    }
    let named = pending.entries.iter();
    let named = named.map(|entry| (entry.topic.key(), entry.partition));
    let repeated = if ascending || super::surely_distinct(named) {
        Vec::new()
    } else {
        pending.leave_repeated(ask)
    };
    let bytes_max = if masked {
        MASKED_FETCH_BYTES_MAX
    } else {
        FETCH_BYTES_MAX
    };
    let patch = FetchPatch {
        response_bytes_max: bytes_max,
        partition_bytes_max: bytes_max,
    };
    if refused && pending.denied_count() == pending.entries.len() {
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
    if refused || !repeated.is_empty() || request.needs_rewrite() || super::is_admin_client(header)
    {
        let mut entries = pending.entries.iter();
        let mut repeated = repeated.into_iter();
        request.keep_topics(
            &patch,
            |_, _| {
                repeated.next() != Some(true)
                    && entries.next().is_some_and(|entry| entry.denial.is_none())
            },
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
    let (session_id_at, rewrite, (masks, masked_count), seen) = {
        let response =
            FetchResponse::parse(frame, pending.version).map_err(Close::broker_malformed)?;
        let mut masks: Vec<(AskedTopic, MaskPlanId)> = ask.pools().masks.take();
        let mut masked_count: usize = 0;
        let mut seen: Vec<Delivered> = ask.pools().delivered.take();
        let mut places = Places::default();
        for topic in response.topics() {
            let mut readable = None;
            for partition in topic.partitions() {
                let at = pending
                    .position(&mut places, topic.key, partition.index)
                    .ok_or_else(|| {
                        Close::BrokerMalformed(
                            "an answer for a partition that was not asked for".into(),
                        )
                    })?;
                let Some(entry) = pending.entries.get_mut(at) else {
                    continue;
                };
                // A denied one was not asked for.
                if entry.denial.is_some() || std::mem::replace(&mut entry.answered, true) {
                    return Err(Close::BrokerMalformed(
                        "an answer for a partition that was not asked for, or a second one".into(),
                    ));
                }
                let plan = match readable {
                    Some(plan) => plan,
                    None => {
                        let plan = still_readable(ask, &entry.topic);
                        if let Some(Some(plan)) = plan {
                            masks.push((entry.topic.clone(), plan));
                        }
                        *readable.insert(plan)
                    }
                };
                match plan {
                    None => entry.denial = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                    Some(Some(_)) => masked_count = masked_count.saturating_add(1),
                    Some(None) => {
                        let records = response.records(&partition).unwrap_or_default();
                        let mut delivered = interval(records, entry.fetch_offset);
                        delivered.topic = entry.topic.name().clone();
                        delivered.topic_id = entry.topic.id();
                        delivered.partition = partition.index;
                        delivered.error = partition.error.0;
                        seen.push(delivered);
                    }
                }
            }
        }
        let rewrite = response.may_carry_addresses() || pending.denied_count() > 0;
        (response.session_id_at, rewrite, (masks, masked_count), seen)
    };
    if !masks.is_empty() {
        if let Some(at) = session_id_at {
            clear_session_id(frame, at);
        }
        let snapshot = ask.snapshot();
        return Ok(FetchStep::Mask(MaskJob::new(
            ask.pools(),
            snapshot,
            pending,
            correlation_id,
            !rewrite,
            (masks, masked_count),
            seen,
        )));
    }
    ask.pools().masks.give_back(masks);
    let mut seen = seen;
    for delivered in seen
        .drain(..)
        .filter(|delivered| delivered.records_count > 0 || delivered.error != 0)
    {
        ask.delivered(delivered);
    }
    ask.pools().delivered.give_back(seen);
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
    ask.pools().fetched.give_back(pending.entries);
    Ok(FetchStep::AsItIs)
}

/// Whether an answer goes on as it is, whatever of what was asked it holds.
pub(crate) fn passes(ask: &mut Asker<'_>, pending: &PendingFetch) -> bool {
    let mut previous = None;
    pending.entries.iter().all(|entry| {
        let key = Some(entry.topic.key());
        let again = previous == key;
        previous = key;
        entry.denial.is_none()
            && (again || (ask.still_reads(&entry.topic) && ask.mask_plan(&entry.topic).is_none()))
    })
}

/// Whether a topic may still be read, and through which mask. Asked in full only where the right went, so that its loss is
/// recorded as a denial.
fn still_readable(ask: &mut Asker<'_>, topic: &AskedTopic) -> Option<Option<MaskPlanId>> {
    let readable = ask.still_reads(topic) || ask.asked_topic(Operation::Read, topic).is_ok();
    readable.then(|| ask.mask_plan(topic))
}

impl PendingFetch {
    /// Memory that it takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.capacity().saturating_mul(size_of::<Entry>());
        entries.saturating_add(names_bytes(self.entries.iter().map(|entry| &entry.topic)))
    }

    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// Topic-partitions that were asked for.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The topic of the entry at this position, and the offset that it asked for.
    pub(crate) fn asked(&self, at: usize) -> Option<(&AskedTopic, i64)> {
        let entry = self.entries.get(at)?;
        Some((&entry.topic, entry.fetch_offset))
    }

    /// Its memory serves the next.
    pub(crate) fn give_back(self, pools: &mut Pools) {
        pools.fetched.give_back(self.entries);
    }

    /// Brokers answer a partition that is named more than once as it is named last. So that neither they nor the
    /// evidence say otherwise, only that mention stays. Says of each of the request's mentions whether it was left out;
    /// nothing if none was.
    fn leave_repeated(&mut self, ask: &mut Asker<'_>) -> Vec<bool> {
        let mut mentions: Vec<_> = self
            .entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.topic.key(), entry.partition, at))
            .collect();
        mentions.sort_unstable();
        let again = mentions.windows(2).filter_map(|pair| match pair {
            [(topic, partition, at), (next_topic, next, _)]
                if (topic, partition) == (next_topic, next) =>
            {
                Some(*at)
            }
            _ => None,
        });
        let again: Vec<usize> = again.collect();
        if again.is_empty() {
            return Vec::new();
        }
        let mut left = vec![false; self.entries.len()];
        for at in again {
            if let Some(left) = left.get_mut(at) {
                *left = true;
            }
        }
        let mentions = self.entries.iter().zip(&left);
        let permitted = mentions.filter(|(entry, _)| entry.denial.is_none());
        ask.keep_partitions(permitted.map(|(_, left)| !left));
        let mut each = left.iter();
        self.entries.retain(|_| each.next() != Some(&true));
        left
    }

    fn denied_count(&self) -> usize {
        let denied = self.entries.iter().filter(|entry| entry.denial.is_some());
        denied.count()
    }

    /// Which entry a partition of the answer belongs to.
    pub(crate) fn position(
        &self,
        places: &mut Places,
        topic: TopicKey<'_>,
        partition: i32,
    ) -> Option<usize> {
        places.find(&self.entries, (topic, partition), |entry| {
            (entry.topic.key(), entry.partition)
        })
    }

    /// Writes the client's answer: the broker's records as `records` says, and the denials in the request's order.
    pub(crate) fn merge(
        &self,
        correlation_id: i32,
        frame: &[u8],
        records: impl FnMut(
            TopicKey<'_>,
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
        self.entries
            .iter()
            .map(|entry| MergeEntry {
                topic: entry.topic.key(),
                partition: entry.partition,
                denial: entry.denial.map(|error| WireDenial {
                    error,
                    message: None,
                }),
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
