//! What can go wrong, and on whose side.

use std::fmt;

/// One mistake in policy documents: where it is, and what to do about it. Always the author's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The source's name, as it was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// A sentence.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}

/// Why compiled policy was not accepted, or a token not bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not compiled policy at all, or cut off.
    #[error("the control plane sent bytes that are not compiled policy: {0}")]
    OperatorTablesMalformed(&'static str),
    /// Compiled by another release.
    #[error(
        "the control plane sent tables of format {found}; this gateway reads format {supported}"
    )]
    OperatorFormatUnsupported {
        /// The format of the tables.
        found: u32,
        /// The format of this release.
        supported: u32,
    },
    /// The bytes changed on their way.
    #[error("the compiled policy does not match its checksum")]
    OperatorChecksumWrong,
    /// Larger than [`crate::limits::TABLES_BYTES_MAX`].
    #[error("the compiled policy has {0} bytes, which is over the limit")]
    OperatorTablesOversized(usize),
}

/// Why a token has no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// No binding matches.
    #[error("no binding matches the token")]
    ClientUnbound,
    /// Bindings of several principals match.
    #[error("bindings of several principals match the token: {}", .0.join(", "))]
    OperatorBindingsAmbiguous(
        /// The principals, sorted.
        Vec<String>,
    ),
}

/// Why a policy set does not fit compiled tables. Always the author's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Masks combine in too many ways.
    #[error(
        "masks and the roles that clear them combine in more than {} ways",
        crate::limits::MASK_PLANS_COUNT_MAX
    )]
    OperatorMaskPlansTooMany,
    /// Topic classes combine in too many ways.
    #[error(
        "topic classes combine in more than {} ways",
        crate::limits::CLASSES_COUNT_MAX
    )]
    OperatorClassesTooMany,
    /// The tables would be larger than [`crate::limits::TABLES_BYTES_MAX`].
    #[error(
        "the compiled policy would be larger than {} bytes",
        crate::limits::TABLES_BYTES_MAX
    )]
    OperatorTablesOversized,
}
