//! Pairs intents with outcomes. After a crash an intent stays alone: then nobody knows more than what was about to happen.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::finding::{Fact, Report};
use crate::codec::Record;
use crate::limits::OPEN_INTENTS_COUNT_MAX;
use crate::record::{Item, Kind, NONE, SessionId};

/// Resources of an open intent that are spelled out.
const ITEMS_TOLD_MAX: usize = 8;

const OPERATION_READ: u8 = 3;

/// Intents whose outcome has not been seen yet.
#[derive(Debug, Default)]
pub(super) struct Intents {
    open: HashMap<(SessionId, u64), (u64, String)>,
    forgotten_count: u64,
}

impl Intents {
    pub(super) fn see(&mut self, leaf: u64, record: &Record<'_>) {
        let head = &record.head;
        if let Some(answers) = head.answers {
            self.open.remove(&(head.session, answers));
        }
        if head.kind != Kind::Intent || head.part > 0 {
            return;
        }
        if self.open.len() >= OPEN_INTENTS_COUNT_MAX {
            self.forgotten_count = self.forgotten_count.saturating_add(1);
            return;
        }
        self.open
            .insert((head.session, head.sequence), (leaf, told(record)));
    }

    pub(super) fn finish(self, report: &mut Report) {
        let mut open: Vec<_> = self.open.into_iter().collect();
        open.sort_by_key(|(_, (leaf, _))| *leaf);
        for ((session, sequence), (leaf, what)) in open {
            report.notice(
                "tile/entries",
                Some(leaf),
                Fact::IntentWithoutOutcome {
                    session,
                    sequence,
                    what,
                },
            );
        }
        if self.forgotten_count > 0 {
            report.notice(
                "tile/entries",
                None,
                Fact::IntentsForgotten {
                    count: self.forgotten_count,
                },
            );
        }
    }
}

/// What may have happened, as far as the intent says.
fn told(record: &Record<'_>) -> String {
    let mut what = String::new();
    for (place, item) in record.items().enumerate() {
        what.push_str(if place == 0 { ": " } else { "; " });
        if place == ITEMS_TOLD_MAX {
            what.push_str("and more");
            break;
        }
        tell(&item, &mut what);
    }
    what
}

fn tell(item: &Item<'_>, what: &mut String) {
    what.push_str(item.resource);
    if item.partition != NONE as i32 {
        let _ = write!(what, "-{}", item.partition);
    }
    what.push_str(match item.operation {
        OPERATION_READ => " may have been delivered",
        _ => " may have been carried out",
    });
    if item.first_offset != NONE {
        let _ = write!(what, " from offset {}", item.first_offset);
    }
}
