//! Turns what a session decided and saw into evidence records.

use std::fmt;
use std::sync::Arc;

use sluice_evidence::{Api, Item, ItemFlags, Kind, RecordHead, RecordWriter, Revision, SessionId};

use sluice_kafka::record_batch::BatchHeader;
use sluice_policy::{Durability, Operation, ResourceKind, ResourceRef};

use crate::decide::APPROVAL_AWAITED;
use crate::outbox::Outbox;

/// One resource that a request was permitted to touch.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    operation: Operation,
    kind: ResourceKind,
    pub(crate) name: Arc<str>,
    /// By which the request named the topic, if it did so by id.
    pub(crate) topic_id: Option<[u8; 16]>,
    /// -1 until one is named; a client may name any number.
    pub(crate) partition: i32,
    pub(crate) names_partition: bool,
    pub(crate) first_offset: i64,
    pub(crate) masked: bool,
    pub(crate) grant: String,
    batch: Option<BatchHeader>,
}

impl Asked {
    pub(crate) fn new(operation: Operation, resource: ResourceRef<'_>) -> Self {
        Self::named(operation, resource.kind(), resource.name().into())
    }

    pub(crate) fn topic(operation: Operation, name: &Arc<str>) -> Self {
        Self::named(operation, ResourceKind::Topic, name.clone())
    }

    fn named(operation: Operation, kind: ResourceKind, name: Arc<str>) -> Self {
        Self {
            operation,
            kind,
            name,
            topic_id: None,
            partition: -1,
            names_partition: false,
            first_offset: -1,
            masked: false,
            grant: String::new(),
            batch: None,
        }
    }

    pub(crate) fn is_for(&self, operation: Operation, resource: ResourceRef<'_>) -> bool {
        self.operation == operation
            && self.kind == resource.kind()
            && *self.name == *resource.name()
    }

    pub(crate) fn set_batch(&mut self, batch: &BatchHeader) {
        self.batch = Some(*batch);
    }

    fn item(&self, unacknowledged: bool) -> Item<'_> {
        let mut item = Item {
            operation: self.operation.code(),
            resource_kind: kind_code(self.kind),
            resource: &self.name,
            topic_id: self.topic_id,
            partition: self.partition,
            first_offset: self.first_offset,
            mask_plan: if self.masked { "masked" } else { "" },
            ..Item::default()
        };
        if let Some(batch) = &self.batch {
            item.producer_id = batch.producer_id;
            item.producer_epoch = batch.producer_epoch;
            item.base_sequence = batch.base_sequence;
            item.batch_crc = Some(batch.crc);
            item.records_count = u32::try_from(batch.record_count).unwrap_or(0);
            if batch.is_transactional() {
                item.flags = item.flags.with(ItemFlags::TRANSACTIONAL);
            }
        }
        if !self.grant.is_empty() {
            item.flags = item.flags.with(ItemFlags::GRANTED);
        }
        if unacknowledged {
            item.flags = item
                .flags
                .with(ItemFlags::UNACKNOWLEDGED)
                .with(ItemFlags::OFFSETS_UNKNOWN);
        }
        item
    }
}

/// One resource that was denied.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    operation: Operation,
    kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) partition: i32,
    code: &'static str,
    text: String,
}

impl Refusal {
    pub(crate) fn new(
        operation: Operation,
        resource: ResourceRef<'_>,
        code: &'static str,
        text: &str,
    ) -> Self {
        Self {
            operation,
            kind: resource.kind(),
            name: resource.name().to_owned(),
            partition: -1,
            code,
            text: text.to_owned(),
        }
    }

    fn item(&self) -> Item<'_> {
        Item {
            operation: self.operation.code(),
            resource_kind: kind_code(self.kind),
            resource: &self.name,
            partition: self.partition,
            reason_code: self.code,
            flags: ItemFlags::DENIED,
            ..Item::default()
        }
    }
}

/// What a broker answered for one topic-partition, and what of it goes to the client.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    pub(crate) kind: ResourceKind,
    /// The name of whatever `kind` says.
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: Option<[u8; 16]>,
    pub(crate) partition: i32,
    pub(crate) first_offset: i64,
    /// -1 where nothing is delivered, or an offset is unknown.
    pub(crate) last_offset: i64,
    pub(crate) records_count: i32,
    pub(crate) error: i16,
    pub(crate) masked: bool,
    pub(crate) masked_fields: u32,
}

impl Default for Delivered {
    fn default() -> Self {
        Self {
            kind: ResourceKind::Topic,
            topic: Arc::default(),
            topic_id: None,
            partition: -1,
            first_offset: -1,
            last_offset: -1,
            records_count: 0,
            error: 0,
            masked: false,
            masked_fields: 0,
        }
    }
}

impl Delivered {
    fn item(&self, operation: Operation) -> Item<'_> {
        let delivered = operation == Operation::Read && self.records_count > 0 && self.error == 0;
        Item {
            operation: operation.code(),
            resource_kind: kind_code(self.kind),
            resource: &self.topic,
            topic_id: self.topic_id,
            partition: self.partition,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            records_count: u32::try_from(self.records_count).unwrap_or(0),
            error_code: self.error,
            mask_plan: if self.masked { "masked" } else { "" },
            masked_fields_count: self.masked_fields,
            flags: if delivered {
                ItemFlags::DELIVERED
            } else {
                ItemFlags::EMPTY
            },
            ..Item::default()
        }
    }
}

/// What every record of a session carries.
#[derive(Debug)]
pub(crate) struct Scribe<'a> {
    pub(crate) time_unix_ns: u64,
    pub(crate) session: SessionId,
    pub(crate) principal: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) peer: &'a str,
    pub(crate) revision: Revision,
}

/// What a client can quote when it asks why: tells the denials of one gateway apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenialId {
    session: SessionId,
    sequence: u64,
}

impl DenialId {
    pub(crate) fn new(session: SessionId, sequence: u64) -> Self {
        Self { session, sequence }
    }
}

impl fmt::Display for DenialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.session.0 >> 96, self.sequence)
    }
}

/// Which request a record speaks of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestRef {
    pub(crate) sequence: u64,
    pub(crate) api_key: i16,
    pub(crate) api_version: i16,
}

impl Scribe<'_> {
    /// A fact about the session itself.
    pub(crate) fn fact(&self, out: &mut Outbox, kind: Kind, code: &str, text: &str) {
        let head = RecordHead {
            reason_code: code,
            reason: cut(text),
            ..self.head(kind)
        };
        write(out, head, std::iter::empty());
        out.require(Durability::Written);
    }

    pub(crate) fn intent(
        &self,
        out: &mut Outbox,
        request: RequestRef,
        asked: &[Asked],
        unacknowledged: bool,
        durability: Durability,
    ) {
        write(
            out,
            self.about(Kind::Intent, request),
            asked.iter().map(|asked| asked.item(unacknowledged)),
        );
        out.require(durability);
    }

    pub(crate) fn denied(&self, out: &mut Outbox, request: RequestRef, refusals: &[Refusal]) {
        let Some(first) = refusals.first() else {
            return;
        };
        let denial_id = DenialId::new(self.session, request.sequence).to_string();
        let kind = if first.code == APPROVAL_AWAITED {
            Kind::ApprovalAsked
        } else {
            Kind::Denied
        };
        let head = RecordHead {
            reason_code: first.code,
            reason: cut(&first.text),
            denial_id: &denial_id,
            ..self.about(kind, request)
        };
        write(out, head, refusals.iter().map(Refusal::item));
        out.counts.denied = out.counts.denied.saturating_add(refusals.len() as u64);
        out.require(Durability::Written);
    }

    pub(crate) fn outcome(
        &self,
        out: &mut Outbox,
        request: RequestRef,
        delivered: &[Delivered],
        durability: Durability,
    ) {
        let operation = match request.api_key {
            0 => Operation::Write,
            1 => Operation::Read,
            _ => Operation::Alter,
        };
        let head = RecordHead {
            answers: Some(request.sequence),
            ..self.about(Kind::Outcome, request)
        };
        write(
            out,
            head,
            delivered.iter().map(|delivered| delivered.item(operation)),
        );
        out.require(durability);
    }

    fn about(&self, kind: Kind, request: RequestRef) -> RecordHead<'_> {
        RecordHead {
            sequence: request.sequence,
            api: Some(Api {
                key: request.api_key,
                version: request.api_version,
            }),
            ..self.head(kind)
        }
    }

    fn head(&self, kind: Kind) -> RecordHead<'_> {
        RecordHead {
            kind,
            time_unix_ns: self.time_unix_ns,
            session: self.session,
            principal: cut(self.principal),
            client_id: cut(self.client_id),
            peer: self.peer,
            revision: self.revision,
            ..RecordHead::default()
        }
    }
}

/// Writes one fact as one record, or as several parts if its items do not fit one.
fn write<'a>(out: &mut Outbox, head: RecordHead<'_>, items: impl Iterator<Item = Item<'a>>) {
    let mut head = head;
    let mut items = items.peekable();
    loop {
        // Every text was cut to its limit, so a record always begins, and takes at least one item.
        let Ok(mut writer) = RecordWriter::begin_framed(&mut out.evidence, &head) else {
            out.unrecorded = true;
            return;
        };
        let mut written = 0_usize;
        while let Some(item) = items.peek() {
            if writer.item(item).is_err() {
                break;
            }
            written = written.saturating_add(1);
            items.next();
        }
        writer.finish();
        out.counts.records = out.counts.records.saturating_add(1);
        if items.peek().is_none() {
            return;
        }
        if written == 0 {
            out.unrecorded = true;
            return;
        }
        head.part = head.part.saturating_add(1);
    }
}

/// Kafka's `ResourceType` code.
fn kind_code(kind: ResourceKind) -> u8 {
    match kind {
        ResourceKind::Topic => 2,
        ResourceKind::Group => 3,
        ResourceKind::Cluster => 4,
        ResourceKind::TransactionalId => 5,
    }
}

/// Texts that a client chose are kept up to a limit.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(crate::limits::EVIDENCE_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}
