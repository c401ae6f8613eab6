//! Answers as trees: read from their `Debug` text, normalised, and compared field by field.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value};

/// Any message of the kafka-protocol crate: structs and lists as they are, all else as its text.
pub(super) fn of(message: &impl Debug) -> Value {
    let text = format!("{message:?}");
    let mut reader = Reader {
        rest: text.chars().peekable(),
    };
    reader.value()
}

/// Reads what `#[derive(Debug)]` writes.
struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
}

impl Reader<'_> {
    fn value(&mut self) -> Value {
        self.blanks();
        match self.rest.peek() {
            Some('[') => self.list(']'),
            Some('"') => Value::String(self.quoted()),
            // A map: tagged fields that nobody knows.
            Some('{') => self.map(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Value {
        let mut word = String::new();
        while let Some(&next) = self.rest.peek() {
            match next {
                '"' if word == "b" => return Value::String(format!("b{:?}", self.quoted())),
                '(' => {
                    // Some(..) and the crate's newtypes: what is inside is what counts.
                    let Value::Array(mut inside) = self.list(')') else {
                        unreachable!("a list is an array")
                    };
                    assert_eq!(inside.len(), 1, "{word}(..) holds one value");
                    return inside.remove(0);
                }
                ' ' | ',' | ')' | ']' | '}' => break,
                _ => word.push(next),
            }
            self.rest.next();
        }
        self.blanks();
        if self.rest.peek() == Some(&'{') {
            return self.map();
        }
        match (word.as_str(), word.parse::<i64>()) {
            ("None", _) => Value::Null,
            ("true" | "false", _) => Value::Bool(word == "true"),
            (_, Ok(number)) => number.into(),
            _ => Value::String(word),
        }
    }

    fn list(&mut self, end: char) -> Value {
        self.rest.next();
        let mut items = Vec::new();
        loop {
            self.blanks();
            if self.rest.next_if_eq(&end).is_some() {
                return Value::Array(items);
            }
            items.push(self.value());
            self.blanks();
            self.rest.next_if_eq(&',');
        }
    }

    fn map(&mut self) -> Value {
        self.rest.next();
        let mut fields = Map::new();
        loop {
            self.blanks();
            if self.rest.next_if_eq(&'}').is_some() {
                return Value::Object(fields);
            }
            let mut name = String::new();
            while let Some(next) = self.rest.next_if(|next| *next != ':') {
                name.push(next);
            }
            self.rest.next();
            let value = self.value();
            fields.insert(name, value);
            self.blanks();
            self.rest.next_if_eq(&',');
        }
    }

    fn quoted(&mut self) -> String {
        self.rest.next();
        let mut text = String::new();
        while let Some(next) = self.rest.next() {
            match next {
                '"' => break,
                '\\' => match self.rest.next() {
                    Some(same @ ('"' | '\\' | '\'')) => text.push(same),
                    Some(other) => text.extend(['\\', other]),
                    None => {}
                },
                _ => text.push(next),
            }
        }
        text
    }

    fn blanks(&mut self) {
        while self.rest.next_if_eq(&' ').is_some() {}
    }
}

/// Makes answers of one side comparable with the other's. Left out of account is what two sides cannot agree on: pauses, the
/// address of the one broker (which must be the side's own), texts of errors (not whether there is one), ids of producers
/// and members, ids of topics that are made on the way, times, how full a disk is, and how long the log of metadata is. Names lose the side's prefix.
pub(super) struct Normal<'s> {
    /// What begins the names of this side: `direct.` or `gateway.`.
    pub(super) prefix: &'s str,
    /// The same of the other side.
    pub(super) other: &'s str,
    /// The one address that this side may show.
    pub(super) address: &'s (String, i64),
    /// Names of topics by their ids.
    pub(super) ids: &'s BTreeMap<String, String>,
}

/// What the names of the other side begin with.
pub(super) const OTHER_SIDE: &str = "other.";
const NIL_ID: &str = "00000000-0000-0000-0000-000000000000";

impl Normal<'_> {
    pub(super) fn tree(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.iter().map(|item| self.tree(item)).collect()),
            Value::Object(fields) => self.object(fields),
            Value::String(text) => self.text(text),
            _ => value.clone(),
        }
    }

    fn object(&self, fields: &Map<String, Value>) -> Value {
        let mut out = Map::new();
        for (name, value) in fields {
            let normal = match (name.as_str(), value) {
                // How long to pause; which of the cluster's metadata the features are from.
                ("throttle_time_ms" | "finalized_features_epoch", _) => continue,
                ("unknown_tagged_fields", Value::Object(tags)) if tags.is_empty() => continue,
                ("error_message", Value::String(text)) if !text.is_empty() => "<text>".into(),
                ("member_id" | "leader", Value::String(text)) if !text.is_empty() => {
                    "<member>".into()
                }
                ("producer_id", Value::Number(id)) if id.as_i64() >= Some(0) => "<id>".into(),
                (
                    "log_end_offset"
                    | "last_timestamp"
                    | "transaction_start_time_ms"
                    | "usable_bytes"
                    | "total_bytes"
                    | "last_caught_up_timestamp"
                    | "last_fetch_timestamp",
                    Value::Number(time),
                ) if time.as_i64() >= Some(0) => "<passing>".into(),
                _ => self.tree(value),
            };
            out.insert(name.clone(), normal);
        }
        if out.contains_key("current_voters") {
            // Of the quorum, whose log grows by itself.
            out.insert("high_watermark".to_owned(), "<offset>".into());
        }
        let at = (
            fields.get("host").and_then(Value::as_str),
            fields.get("port").and_then(Value::as_i64),
        );
        if at == (Some(&self.address.0), Some(self.address.1)) {
            out.insert("host".to_owned(), "<host>".into());
            out.insert("port".to_owned(), "<port>".into());
        }
        Value::Object(out)
    }

    fn text(&self, text: &str) -> Value {
        let id = text.len() == NIL_ID.len()
            && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
            && text != NIL_ID;
        let named = |text: &str| {
            text.replace(self.prefix, "@.")
                .replace(self.other, OTHER_SIDE)
        };
        match self.ids.get(text) {
            _ if !id => named(text).into(),
            Some(name) => format!("<id of {}>", named(name)).into(),
            None => "<id>".into(),
        }
    }
}

/// One field in which two trees differ, with its values as JSON.
pub(super) struct Differing {
    pub(super) field: String,
    pub(super) direct: String,
    pub(super) gateway: String,
}

/// The value of a field that is not there.
pub(super) const ABSENT: &str = "(absent)";

/// Everything in which they differ. Lists whose items have names are compared by name, for brokers answer in the order of
/// hash maps and shuffle some lists on purpose; other lists by position.
pub(super) fn differences(direct: &Value, gateway: &Value) -> Vec<Differing> {
    let mut out = Vec::new();
    compare("", Some(direct), Some(gateway), &mut out);
    out
}

fn compare(field: &str, direct: Option<&Value>, gateway: Option<&Value>, out: &mut Vec<Differing>) {
    if direct == gateway {
        return;
    }
    match (direct, gateway) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let inner = |name: &str| match field {
                "" => name.to_owned(),
                _ => format!("{field}.{name}"),
            };
            let more = right.keys().filter(|name| !left.contains_key(*name));
            for name in left.keys().chain(more) {
                compare(&inner(name), left.get(name), right.get(name), out);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            let (left, right) = (named(left), named(right));
            let more = right.keys().filter(|name| !left.contains_key(*name));
            for name in left.keys().chain(more) {
                let (left, right) = (left.get(name), right.get(name));
                compare(
                    &format!("{field}[{name}]"),
                    left.copied(),
                    right.copied(),
                    out,
                );
            }
        }
        _ => out.push(Differing {
            field: field.to_owned(),
            direct: direct.map_or(ABSENT.to_owned(), Value::to_string),
            gateway: gateway.map_or(ABSENT.to_owned(), Value::to_string),
        }),
    }
}

/// Items by what names them; a name that comes again gets a number, and so do those without a name.
fn named(items: &[Value]) -> BTreeMap<String, &Value> {
    let mut out = BTreeMap::new();
    let mut nameless = 0..;
    for item in items {
        let name = name_of(item).or_else(|| nameless.next().map(|n: usize| n.to_string()));
        let name = name.unwrap_or_default();
        let again = (2..).map(|n| format!("{name}#{n}"));
        let mut names = std::iter::once(name.clone()).chain(again);
        let free = names.find(|name| !out.contains_key(name));
        out.insert(free.unwrap_or(name), item);
    }
    out
}

/// Fields that name an item of a list, the strongest first.
const NAMING: [&str; 20] = [
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "group_id",
    "resource_name",
    "key",
    "api_key",
    "user",
    "transactional_id",
    "partition_index",
    "partition",
    "index",
    "node_id",
    "broker_id",
    "replica_id",
    "member_id",
    "entity_type",
    "principal",
    "log_dir",
];

pub(super) fn name_of(item: &Value) -> Option<String> {
    let fields = match item {
        Value::String(text) => return Some(text.clone()),
        Value::Object(fields) => fields,
        _ => return None,
    };
    let empty = |value: &&Value| !(value.is_null() || *value == "" || *value == NIL_ID);
    if let Some(entity) = fields.get("entity") {
        return Some(entity.to_string());
    }
    if let (Some(principal), Some(operation)) = (fields.get("principal"), fields.get("operation")) {
        return Some(format!("{principal} {operation}"));
    }
    NAMING.iter().find_map(|name| {
        let value = fields.get(*name).filter(empty)?;
        match (value, fields.get("resource_type")) {
            (Value::String(text), Some(kind)) => Some(format!("{kind}:{text}")),
            (Value::String(text), None) => Some(text.clone()),
            (number, _) => Some(number.to_string()),
        }
    })
}
