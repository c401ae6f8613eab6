//! Evidence records, owned.

use sluice_evidence::segment::{SegmentEnd, segment_leaves};
use sluice_evidence::{ItemFlags, Kind, Record};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub kind: Kind,
    pub part: u32,
    pub sequence: u64,
    pub answers: Option<u64>,
    pub principal: String,
    pub client_id: String,
    pub api: Option<(i16, i16)>,
    pub revision: u64,
    pub reason_code: String,
    pub reason: String,
    pub denial_id: String,
    pub items: Vec<FactItem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactItem {
    pub operation: u8,
    pub resource_kind: u8,
    pub resource: String,
    pub topic_id: Option<[u8; 16]>,
    pub partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
    pub records_count: u32,
    pub error_code: i16,
    pub producer_id: i64,
    pub base_sequence: i32,
    pub batch_crc: Option<u32>,
    pub masked: bool,
    pub masked_fields_count: u32,
    pub reason_code: String,
    pub flags: ItemFlags,
}

pub const WRITE: u8 = 4;
pub const READ: u8 = 3;
pub const TOPIC: u8 = 2;
pub const CLUSTER: u8 = 4;
pub const TRANSACTIONAL_ID: u8 = 5;

impl Fact {
    /// The item of one topic-partition.
    #[track_caller]
    pub fn partition(&self, topic: &str, partition: i32) -> &FactItem {
        let found: Vec<_> = self
            .items
            .iter()
            .filter(|item| item.resource == topic && item.partition == partition)
            .collect();
        assert_eq!(
            found.len(),
            1,
            "items of {topic}-{partition}: {:?}",
            self.items
        );
        found[0]
    }

    /// Resource and partition of each item.
    pub fn named(&self) -> Vec<(&str, i32)> {
        self.items
            .iter()
            .map(|item| (item.resource.as_str(), item.partition))
            .collect()
    }
}

/// Every record of a step; the evidence must be whole frames.
#[track_caller]
pub fn decode(evidence: &[u8]) -> Vec<Fact> {
    let mut leaves = segment_leaves(evidence);
    let facts: Vec<Fact> = leaves.by_ref().map(fact).collect();
    assert_eq!(
        leaves.end(),
        Some(SegmentEnd::Clean),
        "the evidence of a step is whole frames"
    );
    facts
}

fn fact(leaf: &[u8]) -> Fact {
    let record = Record::decode(leaf).expect("an evidence record decodes");
    let head = record.head;
    Fact {
        kind: head.kind,
        part: head.part,
        sequence: head.sequence,
        answers: head.answers,
        principal: head.principal.to_owned(),
        client_id: head.client_id.to_owned(),
        api: head.api.map(|api| (api.key, api.version)),
        revision: head.revision.number,
        reason_code: head.reason_code.to_owned(),
        reason: head.reason.to_owned(),
        denial_id: head.denial_id.to_owned(),
        items: record
            .items()
            .map(|item| FactItem {
                operation: item.operation,
                resource_kind: item.resource_kind,
                resource: item.resource.to_owned(),
                topic_id: item.topic_id,
                partition: item.partition,
                first_offset: item.first_offset,
                last_offset: item.last_offset,
                records_count: item.records_count,
                error_code: item.error_code,
                producer_id: item.producer_id,
                base_sequence: item.base_sequence,
                batch_crc: item.batch_crc,
                masked: !item.mask_plan.is_empty(),
                masked_fields_count: item.masked_fields_count,
                reason_code: item.reason_code.to_owned(),
                flags: item.flags,
            })
            .collect(),
    }
}
