//! Masks, from YAML.

use crate::document::{Decoder, name};
use crate::fields::{Fields, Mistakes, is_empty_list, texts, word};
use crate::patterns::required_topics;
use crate::role::{KeyMask, Mask, TokenLength, TokenRule, TokenShape};
use crate::yaml::{Node, Value};

impl Decoder<'_> {
    pub(crate) fn mask(&mut self, spec: &Node<'_>) -> Option<Mask> {
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields::of("a Mask's spec", spec, mistakes);
        let topics = required_topics(&mut fields, mistakes);
        let stated = ["fields", "key", "headers"].map(|key| fields.take(key));
        let paths = field_paths("fields", stated[0], mistakes);
        let key = stated[1].and_then(|node| key_mask(node, mistakes));
        let headers = stated[2].map_or_else(Vec::new, |node| {
            if is_empty_list(node) {
                mistakes.push((
                    node.place,
                    "headers is empty; name one, or remove it".into(),
                ));
            }
            texts("headers", Some(node), mistakes)
        });
        if stated.iter().all(Option::is_none) && !fields.unreadable {
            let message = "a mask names nothing to mask; add fields, key or headers";
            mistakes.push((fields.place, message.into()));
        }
        let token = fields.require("token", mistakes).and_then(|node| {
            let mut token = Fields::of("token", node, mistakes);
            let shape = token.require("shape", mistakes).and_then(|node| {
                word(
                    "shape",
                    node,
                    &TokenShape::ALL.map(TokenShape::name),
                    TokenShape::from_name,
                    mistakes,
                )
            });
            let length_node = token.take("length");
            let same = |text: &str| (text == "same").then_some(TokenLength::Same);
            let length = match length_node {
                Some(node) => word("length", node, &["same"], same, mistakes),
                None => Some(TokenLength::Own),
            };
            if let (Some(node), Some(TokenLength::Same)) = (length_node, length) {
                let has_key = stated[1].is_some();
                if shape == Some(TokenShape::Email) {
                    let message = "length: same leaves no room for an address; write shape: opaque";
                    mistakes.push((node.place, message.into()));
                } else if has_key {
                    let message = "with length: same different keys would become equal; give the key a mask of its own";
                    mistakes.push((node.place, message.into()));
                }
            }
            let domain = token
                .require("domain", mistakes)
                .and_then(|node| name("domain", node, mistakes));
            token.finish(mistakes);
            Some(TokenRule {
                shape: shape?,
                length: length?,
                domain: domain?.text,
            })
        });
        fields.finish(mistakes);
        Some(Mask {
            name: self.name.clone(),
            origin: self.origin.clone(),
            topics,
            fields: paths,
            key,
            headers: headers.into_iter().map(|header| header.text).collect(),
            token: token?,
        })
    }
}

/// Field paths: at least one, if the key is there at all. What is wrong within a path is told where it is compiled.
fn field_paths(
    what: &'static str,
    node: Option<&Node<'_>>,
    mistakes: &mut Mistakes,
) -> Vec<String> {
    let paths = texts(what, node, mistakes);
    if let Some(node) = node.filter(|node| is_empty_list(node)) {
        let message = format!("{what} has at least one field path, such as \"$.customer.email\"");
        mistakes.push((node.place, message));
    }
    for path in paths.iter().filter(|path| !path.text.starts_with('$')) {
        let message = format!("{} is no field path; write \"$.{}\"", path.text, path.text);
        mistakes.push((path.place, message));
    }
    paths.into_iter().map(|path| path.text).collect()
}

fn key_mask(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<KeyMask> {
    if let Value::Sequence(_) = node.value {
        return Some(KeyMask::Fields(field_paths("key", Some(node), mistakes)));
    }
    let whole = |text: &str| (text == "whole").then_some(KeyMask::Whole);
    word("key", node, &["whole"], whole, mistakes)
}
