//! Records for export.

use serde_json::{Map, Value, json};

use super::Record;
use crate::record::{
    Item, ItemFlags, NONE, Revision, SessionId, operation_name, resource_kind_name,
};

impl Record<'_> {
    /// The record for export: one object; what was not set is left out; 64-bit numbers stay numbers.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let head = &self.head;
        let mut object = Map::new();
        object.insert("kind".into(), json!(head.kind.name()));
        object.insert("time_unix_ns".into(), json!(head.time_unix_ns));
        if head.session != SessionId::default() {
            object.insert("session".into(), json!(head.session.to_string()));
        }
        put_json_number(&mut object, "part", head.part.into());
        put_json_number(&mut object, "sequence", head.sequence);
        if let Some(answers) = head.answers {
            object.insert("answers".into(), json!(answers));
        }
        put_json_text(&mut object, "principal", head.principal);
        put_json_text(&mut object, "client_id", head.client_id);
        put_json_text(&mut object, "peer", head.peer);
        if let Some(api) = head.api {
            object.insert("api_key".into(), json!(api.key));
            object.insert("api_version".into(), json!(api.version));
        }
        if head.revision != Revision::default() {
            object.insert(
                "revision".into(),
                json!({"incarnation": head.revision.incarnation, "number": head.revision.number}),
            );
        }
        put_json_text(&mut object, "reason_code", head.reason_code);
        put_json_text(&mut object, "reason", head.reason);
        put_json_text(&mut object, "denial_id", head.denial_id);
        let items: Vec<Value> = self.items().map(|item| item_json(&item)).collect();
        if !items.is_empty() {
            object.insert("items".into(), Value::Array(items));
        }
        Value::Object(object)
    }
}

fn put_json_number(object: &mut Map<String, Value>, name: &str, value: u64) {
    if value != 0 {
        object.insert(name.into(), json!(value));
    }
}

fn put_json_text(object: &mut Map<String, Value>, name: &str, value: &str) {
    if !value.is_empty() {
        object.insert(name.into(), json!(value));
    }
}

fn put_json_signed(object: &mut Map<String, Value>, name: &str, value: i64) {
    if value != NONE {
        object.insert(name.into(), json!(value));
    }
}

fn item_json(item: &Item<'_>) -> Value {
    let mut object = Map::new();
    if item.operation != 0 {
        object.insert("operation".into(), json!(operation_name(item.operation)));
    }
    if item.resource_kind != 0 {
        object.insert(
            "resource_kind".into(),
            json!(resource_kind_name(item.resource_kind)),
        );
    }
    put_json_text(&mut object, "resource", item.resource);
    if let Some(id) = item.topic_id {
        object.insert(
            "topic_id".into(),
            json!(format!("{:032x}", u128::from_be_bytes(id))),
        );
    }
    put_json_signed(&mut object, "partition", item.partition.into());
    put_json_signed(&mut object, "first_offset", item.first_offset);
    put_json_signed(&mut object, "last_offset", item.last_offset);
    put_json_number(&mut object, "records_count", item.records_count.into());
    if item.error_code != 0 {
        object.insert("error_code".into(), json!(item.error_code));
    }
    put_json_signed(&mut object, "producer_id", item.producer_id);
    put_json_signed(&mut object, "producer_epoch", item.producer_epoch.into());
    put_json_signed(&mut object, "base_sequence", item.base_sequence.into());
    if let Some(crc) = item.batch_crc {
        object.insert("batch_crc".into(), json!(crc));
    }
    put_json_text(&mut object, "mask_plan", item.mask_plan);
    put_json_number(
        &mut object,
        "masked_fields_count",
        item.masked_fields_count.into(),
    );
    put_json_text(&mut object, "reason_code", item.reason_code);
    if item.flags != ItemFlags::EMPTY {
        object.insert("flags".into(), item.flags.names().collect());
    }
    Value::Object(object)
}
