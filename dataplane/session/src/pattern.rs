//! The patterns of subscriptions (KIP-848), with the meaning that RE2/J gives them in a broker.
//!
//! A pattern becomes a deterministic automaton of bounded size, so that a client's pattern costs the shard one table look-up
//! for each byte of each name. Names of topics are ASCII, and so are `\w`, `\d` and `\b` in RE2. What the two engines
//! would read in two ways is not taken.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::{Hir, Look, translate};

use crate::limits::{
    PATTERN_BYTES_MAX, PATTERN_DEPTH_MAX, PATTERN_DFA_BYTES_MAX, PATTERN_NFA_BYTES_MAX,
    PATTERN_REPETITIONS_MAX,
};

/// Why a pattern is not taken, as the client may read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("it is longer than {PATTERN_BYTES_MAX} bytes: use a shorter one, or name the topics")]
    Long,
    /// To this engine: RE2/J takes some of these, such as a hyphen after a class within a class.
    #[error("{0}: write it otherwise, or name the topics")]
    Malformed(String),
    #[error("{0} is not served: write it out, or name the topics")]
    Unsupported(&'static str),
    #[error("it needs too large an automaton: use a simpler one, or name the topics")]
    Large,
}

/// A compiled pattern, with the text that it was compiled from.
pub(crate) struct Pattern {
    text: Box<str>,
    automaton: dense::DFA<Vec<u32>>,
}

impl Pattern {
    pub(crate) fn compile(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Long);
        }
        let ast = ast::parse::ParserBuilder::new()
            .nest_limit(PATTERN_DEPTH_MAX)
            .build()
            .parse(text)
            .map_err(|error| PatternError::Malformed(error.kind().to_string()))?;
        ast::visit(&ast, Supported)?;
        let hir = translate::TranslatorBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .translate(text, &ast)
            .map_err(|error| match error.kind() {
                regex_syntax::hir::ErrorKind::UnicodeNotAllowed => {
                    PatternError::Unsupported("a class of Unicode")
                }
                kind => PatternError::Malformed(kind.to_string()),
            })?;
        // A broker asks whether the whole name matches.
        let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(PATTERN_NFA_BYTES_MAX));
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(&whole)
            .map_err(|_| PatternError::Large)?;
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(PATTERN_DFA_BYTES_MAX))
            .determinize_size_limit(Some(PATTERN_DFA_BYTES_MAX));
        dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .map(|automaton| Self {
                text: text.into(),
                automaton,
            })
            .map_err(|_| PatternError::Large)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Memory that it takes for as long as it is kept.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.text.len())
            .saturating_add(self.automaton.memory_usage())
    }

    /// Whether all of `name` matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let input = Input::new(name).anchored(Anchored::Yes).earliest(true);
        // The search cannot fail: this automaton has no byte at which it gives up.
        matches!(self.automaton.try_search_fwd(&input), Ok(Some(_)))
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

/// Finds what RE2/J reads otherwise, or not at all.
struct Supported;

impl Supported {
    fn repetition(repetition: &ast::Repetition) -> Result<(), PatternError> {
        use PatternError::Malformed;
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err(Malformed("a repetition of a repetition".to_owned()));
        }
        let ast::RepetitionKind::Range(range) = &repetition.op.kind else {
            return Ok(());
        };
        let (ast::RepetitionRange::Exactly(most)
        | ast::RepetitionRange::AtLeast(most)
        | ast::RepetitionRange::Bounded(_, most)) = range;
        if *most > PATTERN_REPETITIONS_MAX {
            let text = format!("a repetition of more than {PATTERN_REPETITIONS_MAX}");
            return Err(Malformed(text));
        }
        Ok(())
    }
}

impl ast::Visitor for Supported {
    type Output = ();
    type Err = PatternError;

    fn finish(self) -> Result<(), PatternError> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), PatternError> {
        use PatternError::{Malformed, Unsupported};
        let flags = match ast {
            Ast::Flags(set) => Some(&set.flags),
            Ast::Group(group) => group.flags(),
            _ => None,
        };
        let foreign = |item: &ast::FlagsItem| {
            use ast::Flag::{CRLF, IgnoreWhitespace, Unicode};
            matches!(
                item.kind,
                ast::FlagsItemKind::Flag(CRLF | IgnoreWhitespace | Unicode)
            )
        };
        if flags.is_some_and(|flags| flags.items.iter().any(foreign)) {
            return Err(Malformed("a flag that RE2/J does not have".to_owned()));
        }
        match ast {
            Ast::Repetition(repetition) => Self::repetition(repetition),
            // To RE2/J, what follows `\b` and `\<` stands for itself.
            Ast::Assertion(assertion)
                if !matches!(
                    assertion.kind,
                    ast::AssertionKind::StartLine
                        | ast::AssertionKind::EndLine
                        | ast::AssertionKind::StartText
                        | ast::AssertionKind::EndText
                        | ast::AssertionKind::WordBoundary
                        | ast::AssertionKind::NotWordBoundary
                ) =>
            {
                Err(Unsupported("this kind of word boundary"))
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), PatternError> {
        match item {
            // To RE2/J, the bracket stands for itself.
            ast::ClassSetItem::Bracketed(_) => Err(PatternError::Unsupported(
                "a bracket within a class, without a backslash",
            )),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(
        &mut self,
        _: &ast::ClassSetBinaryOp,
    ) -> Result<(), PatternError> {
        // To RE2/J, these are ranges and characters.
        Err(PatternError::Unsupported(
            "`&&`, `--` or `~~` within a class",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `com.google.re2j.Pattern.matches` of RE2/J 1.8 answers.
    #[test]
    fn patterns_match_as_in_re2j() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders-2", false),
            ("orders", "my-orders", false),
            ("orders|orders-2", "orders-2", true),
            ("(?:a|ab)(?:c|bcd)", "abcd", true),
            ("^or.*s$", "orders", true),
            (".*?", "orders", true),
            (r"\Aorders\z", "orders", true),
            (r"[\w.-]+", "team.orders-2", true),
            ("[[:alpha:]]+", "orders", true),
            ("[[:^alpha:]]+", "orders", false),
            ("[]a]", "a", true),
            ("[^a-n]*", "zzz", true),
            (r"\D+\d", "orders2", true),
            (r"orders\b-2", "orders-2", true),
            (r"orders\B-2", "orders-2", false),
            ("(?i)ORDERS", "orders", true),
            ("(?i-s:ORD)ers", "orders", true),
            ("(?P<team>a)-(?<topic>b)", "a-b", true),
            (r"\x61\x{62}", "ab", true),
            ("a{2,}?", "aaa", true),
            ("a{0,1000}", "aaa", true),
            ("}]", "orders", false),
            ("", "orders", false),
            ("é", "orders", false),
            (r"orders\.v1", "orders.v1", true),
            (r"orders\.v1", "orders-v1", false),
        ] {
            let compiled = Pattern::compile(pattern).expect(pattern);
            assert_eq!(compiled.matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_re2j_does_not_take_is_malformed_and_so_is_some_that_it_does() {
        for pattern in [
            // RE2/J takes these.
            r"[\w-.]",
            "a{,2}",
            "a{",
            r"\07",
            r"\Qa\E",
            // And not these.
            "(",
            "[",
            "*",
            "a|*",
            "a**",
            "a{2}{3}",
            "a++",
            "a*{2}",
            "a{1001}",
            "(?x)a",
            "(?u)a",
            "(?R)a",
            "(?ix:a)",
            r"\Z",
            r"\C",
            r"\h",
            "(?P<n>a)(?P<n>b)",
            "(?=a)",
            r"(a)\1",
        ] {
            let error = Pattern::compile(pattern).map(|_| ()).unwrap_err();
            assert!(
                matches!(error, PatternError::Malformed(_)),
                "{pattern}: {error}"
            );
        }
    }

    #[test]
    fn what_re2j_reads_otherwise_is_not_taken() {
        for pattern in [
            "[a-z&&[^b]]",
            "[a&&b]",
            "[a~~b]",
            "[a-z--z]",
            "[[a]]",
            r"\<a",
            r"\b{start}a",
            r"\p{L}",
            r"\pN",
        ] {
            let error = Pattern::compile(pattern).map(|_| ()).unwrap_err();
            assert!(
                matches!(error, PatternError::Unsupported(_)),
                "{pattern}: {error}"
            );
        }
    }

    #[test]
    fn patterns_that_are_too_long_deep_or_large_are_not_taken() {
        let longest = "a".repeat(PATTERN_BYTES_MAX);
        assert!(Pattern::compile(&longest).is_ok());
        assert!(Pattern::compile(&format!("{longest}a")).is_err());
        let depth = PATTERN_DEPTH_MAX as usize + 1;
        assert!(Pattern::compile(&format!("{}a{}", "(".repeat(depth), ")".repeat(depth))).is_err());
        for large in [
            "(a{1000}){1000}",
            ".{0,200}x.{0,200}y.{0,200}",
            ".*a.{15}",
            "(?:[a-z]{100}|b){100}",
        ] {
            let error = Pattern::compile(large).map(|_| ()).unwrap_err();
            assert_eq!(error, PatternError::Large, "{large}");
        }
    }
}
