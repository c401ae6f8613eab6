//! Masks the parts of one record as its plan says, and counts.

use sluice_kafka::record_batch::{Header, NewParts, PartVerdict, RecordVerdict, RecordView};
use sluice_masking::{
    MaskPlan, Masked, Scratch, SelfCheck, Unmaskable, mask_header, mask_key, mask_value,
    placeholder,
};

use crate::limits::MASKED_FIELDS_BATCH_MAX;

/// One of this many records of a shard is parsed again by another parser, the first always. A prime, so that it is not the
/// same place of each batch.
const SELF_CHECK_EVERY: u64 = 251;

/// What a job did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MaskCounts {
    pub(crate) masked_fields: u64,
    pub(crate) unmaskable_values: u64,
    pub(crate) self_checks: u64,
}

/// Buffers for records, reused.
#[derive(Debug, Default)]
pub(crate) struct RecordScratch {
    fields: Scratch,
    check: SelfCheck,
    token: Vec<u8>,
    records: u64,
}

impl RecordScratch {
    pub(crate) fn shrink(&mut self, bytes_max: usize) {
        self.fields.shrink(bytes_max);
        self.check.shrink(bytes_max);
        self.token.clear();
        self.token.shrink_to(bytes_max);
    }
}

/// Masks records of one batch.
pub(crate) struct Masker<'a> {
    plan: &'a MaskPlan,
    scratch: &'a mut RecordScratch,
    counts: &'a mut MaskCounts,
    /// Replaced so far in the batch: fields, whole keys, headers.
    pub(crate) fields: u32,
    pub(crate) survivor: Option<&'static str>,
}

impl<'a> Masker<'a> {
    pub(crate) fn new(
        plan: &'a MaskPlan,
        scratch: &'a mut RecordScratch,
        counts: &'a mut MaskCounts,
        fields: u32,
    ) -> Self {
        Self {
            plan,
            scratch,
            counts,
            fields,
            survivor: None,
        }
    }

    pub(crate) fn record(&mut self, record: &RecordView<'_>, new: &mut NewParts) -> RecordVerdict {
        self.scratch.records = self.scratch.records.wrapping_add(1);
        let mut verdict = RecordVerdict {
            value: self.value(record, &mut new.value),
            ..RecordVerdict::default()
        };
        if self.plan.masks_keys() {
            verdict.key = self.key(record, &mut new.key);
        }
        if self.plan.masks_headers() {
            verdict.headers = self.headers(record, new);
        }
        verdict
    }

    fn value(&mut self, record: &RecordView<'_>, out: &mut Vec<u8>) -> PartVerdict {
        let Some(value) = record.value else {
            return PartVerdict::Keep;
        };
        if self.fields >= MASKED_FIELDS_BATCH_MAX {
            self.counts.unmaskable_values = self.counts.unmaskable_values.saturating_add(1);
            placeholder(Unmaskable::LimitFields, out);
            return PartVerdict::Replace;
        }
        match mask_value(self.plan, value, &mut self.scratch.fields, out) {
            Ok(Masked::Unchanged) => PartVerdict::Keep,
            Ok(Masked::Changed { fields }) => {
                self.fields = self.fields.saturating_add(fields);
                if self.is_checked() {
                    let checked = self.scratch.check.surviving_field(self.plan, value, out);
                    self.survived(checked.is_err());
                }
                PartVerdict::Replace
            }
            Err(reason) => {
                self.counts.unmaskable_values = self.counts.unmaskable_values.saturating_add(1);
                placeholder(reason, out);
                PartVerdict::Replace
            }
        }
    }

    fn key(&mut self, record: &RecordView<'_>, out: &mut Vec<u8>) -> PartVerdict {
        let Some(key) = record.key else {
            return PartVerdict::Keep;
        };
        match mask_key(self.plan, key, &mut self.scratch.fields, out) {
            Masked::Unchanged => PartVerdict::Keep,
            Masked::Changed { fields } => {
                self.fields = self.fields.saturating_add(fields);
                if self.is_checked() {
                    let checked = self.scratch.check.surviving_key_field(self.plan, key, out);
                    self.survived(checked.is_err());
                }
                PartVerdict::Replace
            }
        }
    }

    fn headers(&mut self, record: &RecordView<'_>, new: &mut NewParts) -> PartVerdict {
        let mut verdict = PartVerdict::Keep;
        for header in record.headers() {
            let token = &mut self.scratch.token;
            token.clear();
            if new.headers.is_oversized() {
                break;
            }
            let full = self.fields >= MASKED_FIELDS_BATCH_MAX;
            let masked = header.value.map(|value| match full {
                // Also those that no mask names: finding that out is work, too.
                true => {
                    placeholder(Unmaskable::LimitFields, token);
                    Masked::Changed { fields: 0 }
                }
                false => mask_header(self.plan, header.key, value, token),
            });
            if let Some(Masked::Changed { fields }) = masked {
                self.fields = self.fields.saturating_add(fields);
                verdict = PartVerdict::Replace;
                new.headers.push(Header {
                    value: Some(token),
                    ..header
                });
            } else {
                new.headers.push(header);
            }
        }
        verdict
    }

    fn is_checked(&self) -> bool {
        self.scratch.records % SELF_CHECK_EVERY == 1
    }

    fn survived(&mut self, survived: bool) {
        self.counts.self_checks = self.counts.self_checks.saturating_add(1);
        if survived {
            self.survivor = Some("a masked field survived");
        }
    }
}
