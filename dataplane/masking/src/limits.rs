//! Every bound of this crate. `_max` is inclusive.

/// Longest value that is masked. Kafka's default for a whole batch is 1 MiB; topics for large records go to tens of MiB.
pub const VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Open containers at once. Widespread consumers stop at 127 (`serde_json`), 512 or 1000 (Jackson).
pub const DEPTH_MAX: usize = 128;

/// Fields replaced in one value: bounds what a two-byte field that becomes a token can grow to.
pub const FIELDS_MAX: usize = 65_536;

/// Longest value that the self-check parses, before masking and after: its parser holds some 30 bytes for each byte of the
/// densest document.
pub const SELF_CHECK_BYTES_MAX: usize = 1024 * 1024;

/// Rules of one plan.
pub const RULES_MAX: usize = 128;

/// Bytes of one field path.
pub const PATH_BYTES_MAX: usize = 1024;

/// Steps of one field path.
pub const STEPS_MAX: usize = 16;

/// Steps `$json` of one field path: strings in strings that are looked into.
pub const JSON_STEPS_MAX: usize = 4;

/// Different key names in one plan.
pub const KEYS_MAX: usize = 256;

/// States of one plan's automaton: recursive descents multiply them.
pub const STATES_MAX: usize = 1024;

/// Work allowed for compiling one plan, in rule positions visited.
pub const POSITIONS_VISITED_MAX: usize = 1 << 24;

/// Bytes of the name of a key domain.
pub const DOMAIN_BYTES_MAX: usize = 255;

/// Bytes of a replaced field: quotes, `tok_`, ten digits of key version, `_`, 26 characters of token, `@masked.invalid`. A
/// token of digits is as long as its field.
pub(crate) const TOKEN_FIELD_BYTES_MAX: usize = 2 + 4 + 10 + 1 + 26 + 15;

const _: () = {
    assert!(VALUE_BYTES_MAX <= u32::MAX as usize, "offsets are u32");
    assert!(
        // In the deepest string a quote is written with so many bytes; a placeholder there is less than that, too.
        VALUE_BYTES_MAX + FIELDS_MAX * (TOKEN_FIELD_BYTES_MAX << JSON_STEPS_MAX)
            <= i32::MAX as usize,
        "a masked value still fits a Kafka record"
    );
    assert!(
        RULES_MAX * STEPS_MAX <= u16::MAX as usize,
        "a rule position is u16"
    );
    assert!(
        (STATES_MAX + 1) * (KEYS_MAX + 1) < 1 << 31,
        "the top bit of a table entry marks a match"
    );
    assert!(DEPTH_MAX < u16::MAX as usize);
    assert!(
        RULES_MAX <= 1 << 15 && STATES_MAX <= 1 << 15,
        "the top bit of a rule marks a string to look into"
    );
};
