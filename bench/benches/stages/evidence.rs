//! Writing down an intent, as it goes into a segment.

use sluice_bench::Table;
use sluice_evidence::{Api, Item, Kind, Record, RecordHead, RecordWriter, Revision, SessionId};

const HEAD: RecordHead<'static> = RecordHead {
    kind: Kind::Intent,
    part: 0,
    time_unix_ns: 1_767_225_600_123_456_789,
    session: SessionId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
    sequence: 42,
    answers: None,
    principal: "User:svc-orders",
    client_id: "orders-1",
    peer: "10.0.0.7:41822",
    api: Some(Api { key: 0, version: 9 }),
    revision: Revision {
        incarnation: 1,
        number: 1204,
    },
    reason_code: "",
    reason: "",
    denial_id: "",
};

pub(crate) fn intent(table: Table<'static>) -> Table<'static> {
    let item = Item {
        operation: 4,
        resource_kind: 2,
        resource: "orders",
        partition: 3,
        records_count: 10,
        producer_id: 9001,
        producer_epoch: 0,
        base_sequence: 120,
        batch_crc: Some(0xdead_beef),
        ..Item::default()
    };
    let (mut framed, mut bare, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let mut writer = RecordWriter::begin(&mut bare, &HEAD).unwrap();
    writer.item(&item).unwrap();
    writer.finish();
    table
        .ours("record and frame with checksum", move || {
            framed.clear();
            let mut writer = RecordWriter::begin_framed(&mut framed, &HEAD).unwrap();
            writer.item(&item).unwrap();
            writer.finish() as u64
        })
        .with("the same as JSON", move || {
            text.clear();
            let record = Record::decode(&bare).unwrap();
            serde_json::to_writer(&mut text, &record.to_json()).unwrap();
            text.len() as u64
        })
}
