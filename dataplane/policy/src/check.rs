//! One linear pass over hostile bytes, after which every offset in them can be followed.

use crate::format::{
    CLASS_PATTERNS, MASK_PATTERNS, NO_PATTERNS, Section, bindings, classes, issuers, masks,
    patterns, roles,
};
use crate::limits::{
    APPROVAL_RULES_COUNT_MAX, CLASSES_COUNT_MAX, MASK_PLANS_COUNT_MAX, TOPIC_MASKS_COUNT_MAX,
};
use crate::principal::ControlRole;
use crate::tables::Tables;
use crate::views::{MaskTarget, token};

/// What is wrong, in a few words.
type Check<T = ()> = Result<T, &'static str>;

pub(crate) fn check(tables: &Tables) -> Check {
    let arena =
        std::str::from_utf8(tables.section(Section::Text)).map_err(|_| "texts are not UTF-8")?;
    let mut checker = Checker {
        tables,
        arena,
        ids: 0,
        strings: 0,
    };
    checker.names()?;
    let greatest = checker.patterns()?;
    checker.roles(&greatest)?;
    checker.classes(&greatest)?;
    checker.masks()?;
    checker.plans(&greatest)?;
    checker.clears()?;
    checker.texts(Section::ApprovalRules, &[0, 2])?;
    let issuers = [
        issuers::NAME,
        issuers::URL,
        issuers::AUDIENCE,
        issuers::PRINCIPAL_CLAIM,
        issuers::GROUPS_CLAIM,
    ];
    checker.texts(Section::Issuers, &issuers)?;
    checker.bindings()?;
    checker.texts(Section::Conflicts, &[0])?;
    checker.texts(Section::Strings, &[0])?;
    holds(
        checker.ids == tables.count(Section::Ids)
            && checker.strings == tables.count(Section::Strings),
        "a list belongs to nothing",
    )
}

struct Checker<'a> {
    tables: &'a Tables,
    arena: &'a str,
    /// Rows of `Ids` and `Strings` that earlier rows have claimed: each is claimed once, in order.
    ids: u32,
    strings: u32,
}

impl Checker<'_> {
    fn names(&self) -> Check {
        let tables = self.tables;
        self.texts(Section::Names, &[0])?;
        let sorted = (1..tables.count(Section::Names)).all(|row| {
            let before = tables.text_bytes(Section::Names, row.saturating_sub(1), 0);
            before < tables.text_bytes(Section::Names, row, 0)
        });
        holds(sorted, "names are not sorted")
    }

    /// The greatest value of each pattern table: who uses a table knows what its values may be.
    fn patterns(&self) -> Check<Vec<u32>> {
        let tables = self.tables;
        let names_count = tables.count(Section::Names);
        let (mut exact, mut buckets, mut prefixes) = (0, 0, 0);
        let mut all = Vec::with_capacity(tables.count(Section::Patterns) as usize);
        for table in 0..tables.count(Section::Patterns) {
            let mut greatest = tables.word(Section::Patterns, table, patterns::ANY);
            let rows = claim(
                tables,
                (Section::Patterns, table, patterns::EXACT),
                Section::Exact,
                &mut exact,
            )?;
            let mut last = None;
            for row in rows {
                let id = tables.word(Section::Exact, row, 0);
                holds(
                    id < names_count && last.is_none_or(|last| last < id),
                    "names of a pattern table are not sorted",
                )?;
                last = Some(id);
                greatest = greatest.max(tables.word(Section::Exact, row, 1));
            }
            let rows = claim(
                tables,
                (Section::Patterns, table, patterns::BUCKETS),
                Section::Buckets,
                &mut buckets,
            )?;
            let mut shorter = u32::MAX;
            for bucket in rows {
                let length = tables.word(Section::Buckets, bucket, 0);
                holds(length > 0 && length < shorter, "prefix lengths do not fall")?;
                shorter = length;
                let rows = claim(
                    tables,
                    (Section::Buckets, bucket, 1),
                    Section::Prefixes,
                    &mut prefixes,
                )?;
                let mut last: &[u8] = &[];
                for row in rows {
                    let offset = tables.word(Section::Prefixes, row, 0);
                    self.text(offset, length)?;
                    let prefix = tables.prefix(row, length as usize);
                    holds(last < prefix, "prefixes are not sorted")?;
                    last = prefix;
                    greatest = greatest.max(tables.word(Section::Prefixes, row, 1));
                }
            }
            all.push(greatest);
        }
        let used = [
            (exact, Section::Exact),
            (buckets, Section::Buckets),
            (prefixes, Section::Prefixes),
        ];
        holds(
            used.into_iter()
                .all(|(used, section)| used == tables.count(section)),
            "a pattern belongs to no table",
        )?;
        holds(
            all.len() > MASK_PATTERNS as usize,
            "the pattern tables of all topics are missing",
        )?;
        holds(
            all.first() == Some(&0),
            "the first pattern table matches something",
        )?;
        Ok(all)
    }

    fn roles(&self, greatest: &[u32]) -> Check {
        let tables = self.tables;
        self.texts(Section::Roles, &[roles::NAME])?;
        for row in 0..tables.count(Section::Roles) {
            if let Some(before) = row.checked_sub(1) {
                let name = |row| tables.text_bytes(Section::Roles, row, roles::NAME);
                holds(name(before) < name(row), "roles are not sorted")?;
            }
            for column in [roles::TOPICS, roles::GROUPS, roles::TRANSACTIONAL_IDS] {
                let table = tables.word(Section::Roles, row, column);
                holds(
                    (table as usize) < greatest.len(),
                    "a role names no pattern table",
                )?;
            }
            let clears = tables.word(Section::Roles, row, roles::CLEARS);
            let clears = greatest
                .get(clears as usize)
                .ok_or("a role names no pattern table")?;
            holds(
                *clears <= tables.count(Section::Clears),
                "a role clears what is no list",
            )?;
        }
        Ok(())
    }

    fn classes(&self, greatest: &[u32]) -> Check {
        let tables = self.tables;
        self.texts(Section::Classes, &[classes::NAMES])?;
        let count = tables.count(Section::Classes);
        holds(
            count > 0 && count as usize <= CLASSES_COUNT_MAX,
            "classes are none or too many",
        )?;
        let rules = tables.count(Section::ApprovalRules);
        holds(
            rules as usize <= APPROVAL_RULES_COUNT_MAX,
            "approval rules are too many",
        )?;
        for row in 0..count {
            let flags = tables.word(Section::Classes, row, classes::FLAGS);
            holds(
                flags & !classes::FLAGS_ALL == 0,
                "a class has unknown flags",
            )?;
            holds(
                flags >> classes::DURABILITY_SHIFT < 3,
                "a class has an unknown durability",
            )?;
            holds(
                tables.word(Section::Classes, row, classes::APPROVAL) <= rules,
                "a class names no approval rule",
            )?;
        }
        holds(
            greatest
                .get(CLASS_PATTERNS as usize)
                .is_some_and(|class| *class < count),
            "a topic has no class",
        )
    }

    fn masks(&mut self) -> Check {
        self.texts(Section::Masks, &[masks::NAME, masks::DOMAIN])?;
        for row in 0..self.tables.count(Section::Masks) {
            holds(
                token(self.tables.word(Section::Masks, row, masks::SHAPE)).is_some(),
                "a mask has a form of token that this release does not know",
            )?;
            let targets = claim(
                self.tables,
                (Section::Masks, row, masks::TARGETS),
                Section::Strings,
                &mut self.strings,
            )?;
            for target in targets {
                let word = |column| self.tables.word(Section::Strings, target, column);
                self.text(word(0), word(1))?;
                let text = self.tables.text(Section::Strings, target, 0);
                holds(
                    MaskTarget::read(text).is_some(),
                    "a mask has a target that this release does not know",
                )?;
            }
        }
        Ok(())
    }

    fn plans(&mut self, greatest: &[u32]) -> Check {
        let tables = self.tables;
        let count = tables.count(Section::Plans);
        holds(
            count as usize <= MASK_PLANS_COUNT_MAX,
            "mask plans are too many",
        )?;
        holds(
            greatest
                .get(MASK_PATTERNS as usize)
                .is_some_and(|plan| *plan <= count),
            "a topic has no mask plan",
        )?;
        for row in 0..count {
            let masks_count = self.mask_list(Section::Plans, row)?;
            holds(
                masks_count <= TOPIC_MASKS_COUNT_MAX,
                "a plan has too many masks",
            )?;
        }
        let mut last = None;
        for row in 0..tables.count(Section::Derived) {
            let [full, kept, plan] =
                [0, 1, 2].map(|column| tables.word(Section::Derived, row, column));
            holds(full < count && plan < count, "a derived plan is no plan")?;
            holds(
                last.is_none_or(|last| last < (full, kept)),
                "derived plans are not sorted",
            )?;
            last = Some((full, kept));
            let masks = |plan| {
                tables
                    .range(Section::Plans, plan, 0)
                    .map(|id| tables.word(Section::Ids, id, 0))
            };
            let left = (0_u32..)
                .zip(masks(full))
                .filter(|(bit, _)| (kept >> bit) & 1 == 1)
                .map(|(_, mask)| mask);
            holds(
                masks(plan).eq(left),
                "a derived plan has other masks than it says",
            )?;
        }
        Ok(())
    }

    fn clears(&mut self) -> Check {
        for row in 0..self.tables.count(Section::Clears) {
            self.mask_list(Section::Clears, row)?;
        }
        Ok(())
    }

    /// A list of masks: at least one, sorted.
    fn mask_list(&mut self, section: Section, row: u32) -> Check<usize> {
        let rows = claim(self.tables, (section, row, 0), Section::Ids, &mut self.ids)?;
        let count = rows.len();
        let mut last = None;
        for id in rows {
            let mask = self.tables.word(Section::Ids, id, 0);
            let sorted =
                mask < self.tables.count(Section::Masks) && last.is_none_or(|last| last < mask);
            holds(sorted, "masks of a list are not sorted")?;
            last = Some(mask);
        }
        holds(count > 0, "a list of masks is empty")?;
        Ok(count)
    }

    fn bindings(&mut self) -> Check {
        let tables = self.tables;
        let texts = [
            bindings::ISSUER,
            bindings::NAME,
            bindings::PRINCIPAL,
            bindings::OWNER,
            bindings::TEAM,
        ];
        self.texts(Section::Bindings, &texts)?;
        for row in 0..tables.count(Section::Bindings) {
            if let Some(before) = row.checked_sub(1) {
                let issuer = |row| tables.text_bytes(Section::Bindings, row, bindings::ISSUER);
                holds(issuer(before) <= issuer(row), "bindings are not sorted")?;
            }
            let flags = tables.word(Section::Bindings, row, bindings::FLAGS);
            let control = flags >> bindings::CONTROL_ROLES_SHIFT;
            let known = control.checked_shr(ControlRole::ALL.len() as u32) == Some(0);
            holds(
                known && flags & 0xff & !bindings::HUMAN == 0,
                "a binding has unknown flags",
            )?;
            let claims = claim(
                tables,
                (Section::Bindings, row, bindings::CLAIMS),
                Section::Strings,
                &mut self.strings,
            )?;
            holds(
                !claims.is_empty() && claims.len().is_multiple_of(2),
                "a binding matches without claims",
            )?;
            claim(
                tables,
                (Section::Bindings, row, bindings::GROUPS),
                Section::Strings,
                &mut self.strings,
            )?;
            for id in claim(
                tables,
                (Section::Bindings, row, bindings::ROLES),
                Section::Ids,
                &mut self.ids,
            )? {
                holds(
                    tables.word(Section::Ids, id, 0) < tables.count(Section::Roles),
                    "a binding gives no role",
                )?;
            }
        }
        Ok(())
    }

    /// Every row's texts lie in the arena, on character boundaries.
    fn texts(&self, section: Section, columns: &[usize]) -> Check {
        for row in 0..self.tables.count(section) {
            for column in columns {
                let word = |column| self.tables.word(section, row, column);
                self.text(word(*column), word(column.saturating_add(1)))?;
            }
        }
        Ok(())
    }

    fn text(&self, offset: u32, length: u32) -> Check {
        let end = (offset as usize)
            .checked_add(length as usize)
            .ok_or("a text ends nowhere")?;
        holds(
            self.arena.get(offset as usize..end).is_some(),
            "a text lies outside its arena",
        )
    }
}

/// The rows of `to` that a range names: exactly those behind the last claimed one.
fn claim(
    tables: &Tables,
    (section, row, column): (Section, u32, usize),
    to: Section,
    claimed: &mut u32,
) -> Check<std::ops::Range<u32>> {
    let first = tables.word(section, row, column);
    let end = first.checked_add(tables.word(section, row, column.saturating_add(1)));
    let end = end
        .filter(|end| *end <= tables.count(to))
        .ok_or("a range ends outside its section")?;
    holds(first == *claimed, "ranges do not follow each other")?;
    *claimed = end;
    Ok(first..end)
}

fn holds(condition: bool, otherwise: &'static str) -> Check {
    if condition { Ok(()) } else { Err(otherwise) }
}

const _: () = assert!(NO_PATTERNS == 0);
