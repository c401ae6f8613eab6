//! Lines of a report that only some runs have.

use crate::measure::Measured;
use crate::{Acks, Mode, Plan};

/// What the requests are counted as that came to a good end.
pub(crate) fn answered_name(plan: &Plan) -> &'static str {
    match (plan.mode, plan.acks) {
        (Mode::Produce, Acks::None) => "sent",
        _ => "answered",
    }
}

/// Calls `line` with the name and the words of each.
pub(crate) fn notes(plan: &Plan, measured: &Measured, mut line: impl FnMut(&str, &str)) {
    if plan.mode == Mode::Produce && plan.acks == Acks::None {
        let words = match measured.unconfirmed_count {
            0 => "by an answer to what followed the last write on each connection".to_owned(),
            count => format!(
                "not by {count} connections: raise --grace-seconds, or see the target's log"
            ),
        };
        line("all was read", &words);
    }
}
