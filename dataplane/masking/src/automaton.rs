//! All paths of a plan as one deterministic automaton over the steps from a value to its children, so that the cost of a
//! step does not grow with the number of rules.
//!
//! Its alphabet is the key names of the plan, and *another child*, which is any other key and every array element. A
//! rule's position is the index of the step that it waits for; a state is the set of positions that rules may be in.

use std::collections::HashMap;

use crate::error::PlanError;
use crate::fold;
use crate::keys::KeyTable;
use crate::limits::{KEYS_MAX, POSITIONS_VISITED_MAX, STATES_MAX};
use crate::path::{Path, Reach, Selector};

/// Where a child stands: in a state, which is the number of its row, or matched by a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u32);

/// The label of every child that is not a member with a name of the plan.
pub(crate) const ANOTHER_CHILD: u16 = 0;
const MATCHED: u32 = 1 << 31;
/// Of the number of a rule: it is that of an [`Inner`] document.
const INNER: u16 = 1 << 15;

impl State {
    /// Nothing below can match.
    pub(crate) const DEAD: State = State(0);

    /// Whether a scalar in this state is of no interest.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & MATCHED == 0
    }

    /// The rule that matched, if one did; or the number of an [`Inner`] document.
    #[inline]
    pub(crate) fn matched(self) -> Option<u16> {
        (self.0 & MATCHED != 0).then_some((self.0 & 0xffff) as u16)
    }
}

#[derive(Debug)]
pub(crate) struct Automaton {
    /// One row per state, one entry per label: the next state.
    table: Box<[State]>,
    width: usize,
    /// One per state.
    rows: Box<[Row]>,
    start: State,
    keys: KeyTable,
    inner: Box<[Inner]>,
}

/// A child that some rule looks into even if it is a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    /// Where the document starts that is in the string.
    pub(crate) text: State,
    /// Where it goes on if it is an object or an array.
    pub(crate) container: State,
}

/// Whether the number of a rule is that of an [`Inner`] document.
#[inline]
pub(crate) fn is_inner(rule: u16) -> bool {
    rule & INNER != 0
}

/// What a walk needs to know of a state for most of its children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Bit n: a key of n bytes (bit 63: of 63 or more) may lead elsewhere than `another`. All of them if `another` is not
    /// a plain state, so that a key without its bit needs no look at all.
    lengths: u64,
    /// Where every child goes that is not a member with a name of this state.
    pub(crate) another: State,
}

impl Row {
    /// Whether a key of so many bytes, plain ASCII, leads to `another`, and nothing matches there.
    #[inline]
    pub(crate) fn ignores(self, key_bytes: u32) -> bool {
        self.lengths.wrapping_shr(key_bytes.min(63)) & 1 == 0
    }
}

impl Automaton {
    pub(crate) fn compile(paths: &[Path]) -> Result<Automaton, PlanError> {
        Compiler::new(paths)?.compile()
    }

    #[inline]
    pub(crate) fn start(&self) -> State {
        self.start
    }

    #[inline]
    pub(crate) fn row(&self, state: State) -> Row {
        // There is one by construction. Were there none, all below is masked, not passed.
        const EVERYTHING: Row = Row {
            lengths: u64::MAX,
            another: State(MATCHED),
        };
        self.rows
            .get(state.0 as usize)
            .copied()
            .unwrap_or(EVERYTHING)
    }

    /// The way to an array element.
    #[inline]
    pub(crate) fn element(&self, from: State) -> State {
        self.row(from).another
    }

    /// The way to a member. `content` is the key as between its quotes, `spelling` what is known of it.
    #[inline]
    pub(crate) fn member(
        &self,
        from: State,
        content: &[u8],
        spelling: Spelling,
        folded: &mut Vec<u8>,
    ) -> State {
        if from == State::DEAD {
            return State::DEAD;
        }
        let label = if spelling == Spelling::Plain && content.is_ascii() {
            self.keys.find(content)
        } else if content.len() > self.keys.content_bytes_max() {
            ANOTHER_CHILD
        } else {
            fold::fold_content(content, folded);
            self.keys.find(folded)
        };
        self.step(from, label)
    }

    /// As [`Automaton::member`], for a key that is plain ASCII.
    #[inline(never)]
    pub(crate) fn ascii_member(&self, from: State, key: &[u8]) -> State {
        self.step(from, self.keys.find(key))
    }

    /// The document in a string that this number was given for. Nothing: it is the number of a rule.
    pub(crate) fn inner(&self, rule: u16) -> Option<Inner> {
        if !is_inner(rule) {
            return None;
        }
        self.inner.get(usize::from(rule & !INNER)).copied()
    }

    #[inline]
    fn step(&self, from: State, label: u16) -> State {
        let row_at = (from.0 as usize).wrapping_mul(self.width);
        let at = row_at.wrapping_add(usize::from(label));
        // Rows are whole by construction. Were one not, the field is masked, not passed.
        self.table.get(at).copied().unwrap_or(State(MATCHED))
    }
}

/// Whether a string between its quotes is what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Plain,
    Escaped,
}

/// One step of one rule.
struct Position {
    reach: Reach,
    /// The label of the key, or nothing for every child. Of a step into a string it is of no meaning.
    label: Option<u16>,
    advance: Advance,
    is_json: bool,
}

#[derive(Clone, Copy)]
enum Advance {
    To(u16),
    Matched(u32),
}

struct Compiler<'a> {
    names: Vec<&'a str>,
    positions: Vec<Position>,
    first: Vec<u16>,
    visits_left: usize,
}

/// Sorted, without duplicates.
type Positions = Vec<u16>;

impl<'a> Compiler<'a> {
    fn new(paths: &'a [Path]) -> Result<Self, PlanError> {
        let mut compiler = Compiler {
            names: Vec::new(),
            positions: Vec::new(),
            first: Vec::new(),
            visits_left: POSITIONS_VISITED_MAX,
        };
        for (path, rule) in paths.iter().zip(0_u32..) {
            compiler.first.push(compiler.positions.len() as u16);
            let last = path.steps().len().saturating_sub(1);
            for (at, step) in path.steps().iter().enumerate() {
                let label = match &step.selector {
                    Selector::Key(name) => Some(compiler.label(name)?),
                    Selector::Every | Selector::Json => None,
                };
                let advance = if at == last {
                    Advance::Matched(rule)
                } else {
                    Advance::To((compiler.positions.len() as u16).saturating_add(1))
                };
                compiler.positions.push(Position {
                    reach: step.reach,
                    label,
                    advance,
                    is_json: step.is_json(),
                });
            }
        }
        Ok(compiler)
    }

    fn label(&mut self, name: &'a str) -> Result<u16, PlanError> {
        let index = match self.names.iter().position(|known| *known == name) {
            Some(index) => index,
            None if self.names.len() == KEYS_MAX => {
                return Err(oversized("the limit of key names"));
            }
            None => {
                self.names.push(name);
                self.names.len().saturating_sub(1)
            }
        };
        Ok((index as u16).saturating_add(1))
    }

    fn compile(mut self) -> Result<Automaton, PlanError> {
        let width = self.names.len().saturating_add(1);
        // Row 0 is the empty set of positions, the dead state.
        let mut states = States::new(self.first.clone());
        let mut table = vec![State::DEAD; width];
        let mut rows = vec![Row {
            lengths: 0,
            another: State::DEAD,
        }];
        let mut next = 1;
        while let Some(set) = states.sets.get(next).cloned() {
            next = next.saturating_add(1);
            let mut entry = |compiler: &mut Self, label| -> Result<State, PlanError> {
                match compiler.follow(&set, label)? {
                    Target::Matched(rule) => Ok(State(MATCHED | rule)),
                    Target::Set(target) => states.of(target),
                    Target::Inner { text, container } => states.inner_of(text, container),
                }
            };
            // A key that no position of this set waits for is another child.
            let another = entry(&mut self, ANOTHER_CHILD)?;
            let mut lengths = if another.is_plain() { 0 } else { u64::MAX };
            let row_at = table.len();
            table.resize(row_at.saturating_add(width), another);
            for position in &set {
                let position = self.positions.get(usize::from(*position));
                if let Some(label) = position.and_then(|position| position.label) {
                    let target = entry(&mut self, label)?;
                    if let Some(cell) = table.get_mut(row_at.saturating_add(usize::from(label))) {
                        *cell = target;
                    }
                    let name = usize::from(label)
                        .checked_sub(1)
                        .and_then(|at| self.names.get(at));
                    let name_bytes = name.map_or(0, |name| name.len());
                    lengths |= 1_u64.wrapping_shl(name_bytes.min(63) as u32);
                }
            }
            rows.push(Row { lengths, another });
        }
        Ok(Automaton {
            table: table.into(),
            width,
            rows: rows.into(),
            start: State(1),
            keys: KeyTable::new(self.names.iter().copied()),
            inner: states.inner.into(),
        })
    }

    /// Where a set of positions goes over a child with this label. Of several rules that match there the first counts.
    fn follow(&mut self, set: &Positions, label: u16) -> Result<Target, PlanError> {
        let mut target = Positions::new();
        let mut matched: Option<u32> = None;
        self.visits_left = self
            .visits_left
            .checked_sub(set.len())
            .ok_or(oversized("the limit of work"))?;
        for at in set {
            let Some(position) = self.positions.get(usize::from(*at)) else {
                continue;
            };
            if position.reach == Reach::AnyDepth {
                target.push(*at);
            }
            if position.label.is_some_and(|waits_for| waits_for != label) {
                continue;
            }
            match position.advance {
                Advance::To(next) => target.push(next),
                Advance::Matched(rule) => matched = Some(matched.map_or(rule, |m| m.min(rule))),
            }
        }
        if let Some(rule) = matched {
            return Ok(Target::Matched(rule));
        }
        let is_json = |at: &u16| {
            let position = self.positions.get(usize::from(*at));
            position.is_some_and(|position| position.is_json)
        };
        let (into_strings, target): (Positions, Positions) = target.into_iter().partition(is_json);
        if into_strings.is_empty() {
            return Ok(Target::Set(sorted(target)));
        }
        // A path does not end in such a step, so that the next position is that of its next step.
        let text: Positions = into_strings.iter().map(|at| at.saturating_add(1)).collect();
        let container = target.iter().chain(&text).copied().collect();
        Ok(Target::Inner {
            text: sorted(text),
            container: sorted(container),
        })
    }
}

enum Target {
    Set(Positions),
    Matched(u32),
    Inner {
        text: Positions,
        container: Positions,
    },
}

/// The sets that were met, each with its number.
struct States {
    sets: Vec<Positions>,
    numbers: HashMap<Positions, u32>,
    inner: Vec<Inner>,
}

impl States {
    /// State 0 is the empty set, the dead one; 1 is the start.
    fn new(first: Positions) -> States {
        States {
            numbers: HashMap::from([(Vec::new(), 0), (first.clone(), 1)]),
            sets: vec![Vec::new(), first],
            inner: Vec::new(),
        }
    }

    fn of(&mut self, set: Positions) -> Result<State, PlanError> {
        if let Some(number) = self.numbers.get(&set) {
            return Ok(State(*number));
        }
        if self.sets.len() > STATES_MAX {
            return Err(oversized("the limit of states"));
        }
        let number = self.sets.len() as u32;
        self.numbers.insert(set.clone(), number);
        self.sets.push(set);
        Ok(State(number))
    }

    fn inner_of(&mut self, text: Positions, container: Positions) -> Result<State, PlanError> {
        let inner = Inner {
            text: self.of(text)?,
            container: self.of(container)?,
        };
        let known = self.inner.iter().position(|known| *known == inner);
        let number = known.unwrap_or(self.inner.len());
        if known.is_none() {
            if number >= STATES_MAX {
                return Err(oversized("the limit of states"));
            }
            self.inner.push(inner);
        }
        Ok(State(MATCHED | u32::from(INNER) | number as u32))
    }
}

fn sorted(mut set: Positions) -> Positions {
    set.sort_unstable();
    set.dedup();
    set
}

fn oversized(exceeded: &'static str) -> PlanError {
    PlanError::OperatorPlanOversized { exceeded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{RULES_MAX, STEPS_MAX};

    fn automaton(paths: &[&str]) -> Result<Automaton, PlanError> {
        let paths: Vec<_> = paths
            .iter()
            .map(|text| Path::parse(text).unwrap())
            .collect();
        Automaton::compile(&paths)
    }

    fn walk(automaton: &Automaton, keys: &[&str]) -> Option<u16> {
        let mut state = automaton.start();
        for key in keys {
            assert_eq!(state.matched(), None);
            state = match *key {
                "[]" => automaton.element(state),
                key => automaton.member(state, key.as_bytes(), Spelling::Plain, &mut Vec::new()),
            };
        }
        state.matched()
    }

    #[test]
    fn finds_rules_along_their_paths_only() {
        let automaton =
            automaton(&["$.customer.email", "$..card", "$.items[*].ssn", "$.*.b"]).unwrap();
        for (keys, rule) in [
            (&["customer", "email"][..], Some(0)),
            (&["CUSTOMER", "eMail"], Some(0)),
            (&["customer"], None),
            (&["email"], None),
            (&["customer", "x", "email"], None),
            (&["card"], Some(1)),
            (&["a", "[]", "c", "card"], Some(1)),
            (&["items", "[]", "ssn"], Some(2)),
            (&["items", "x", "ssn"], Some(2)),
            (&["items", "ssn"], None),
            (&["items", "b"], Some(3)),
            (&["[]", "b"], Some(3)),
        ] {
            assert_eq!(walk(&automaton, keys), rule, "{keys:?}");
        }
    }

    #[test]
    fn restarts_a_descent_that_half_matched() {
        let automaton = automaton(&["$..a.b.c"]).unwrap();
        assert_eq!(walk(&automaton, &["a", "a", "b", "c"]), Some(0));
        assert_eq!(walk(&automaton, &["a", "b", "a", "b", "c"]), Some(0));
        assert_eq!(walk(&automaton, &["a", "b", "x", "c"]), None);
        assert_eq!(walk(&automaton, &["x", "[]", "a", "b", "c"]), Some(0));
    }

    #[test]
    fn prefers_the_first_rule_for_one_field() {
        let automaton = automaton(&["$..b", "$.a.b"]).unwrap();
        assert_eq!(walk(&automaton, &["a", "b"]), Some(0));
    }

    #[test]
    fn tells_long_and_equally_long_keys_apart() {
        let (long, longer) = ("k".repeat(63), "k".repeat(64));
        let automaton =
            automaton(&[&format!("$.{long}"), &format!("$.{longer}"), "$.ab", "$.ac"]).unwrap();
        assert_eq!(walk(&automaton, &[&long]), Some(0));
        assert_eq!(walk(&automaton, &[&longer]), Some(1));
        assert_eq!(walk(&automaton, &["ac"]), Some(3));
        assert_eq!(walk(&automaton, &["ad"]), None);
    }

    #[test]
    fn refuses_a_policy_that_would_explode() {
        // Which of the last fifteen keys were `a`: 2^15 states.
        let bomb = format!("$..a{}", ".*".repeat(STEPS_MAX - 1));
        let error = automaton(&[&bomb]).unwrap_err();
        assert!(
            matches!(error, PlanError::OperatorPlanOversized { .. }),
            "{error}"
        );
        let many: Vec<String> = (0..RULES_MAX)
            .map(|n| format!("$..k{n}..x{n}..y{n}"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(automaton(&many).is_err());
    }

    #[test]
    fn compiles_as_many_plain_rules_as_are_possible() {
        let many: Vec<String> = (0..RULES_MAX).map(|n| format!("$.a{n}.b{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let automaton = automaton(&many).unwrap();
        assert_eq!(walk(&automaton, &["a127", "b127"]), Some(127));
        assert_eq!(walk(&automaton, &["a127", "b126"]), None);
    }
}
