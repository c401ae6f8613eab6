//! Immutable topics: which changes their class forbids to everybody, whatever their roles say.
//!
//! An allow-list: a change or a setting that is not known to leave history alone is denied.

use std::fmt;

/// What somebody wants to do to a topic as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicChange<'a> {
    /// CreateTopics, with the settings that it states; `None` is a null value.
    Create {
        /// Key and value of each setting.
        configs: &'a [(&'a str, Option<&'a str>)],
    },
    /// CreateTopics for a name that is known to exist or to have existed.
    Recreate,
    /// DeleteTopics.
    Delete,
    /// DeleteRecords, up to any offset.
    DeleteRecords,
    /// CreatePartitions: keys move to other partitions.
    CreatePartitions,
    /// AlterPartitionReassignments: replicas may become fewer.
    ReassignPartitions,
    /// ElectLeaders of type unclean: committed records may be cut off.
    ElectUncleanLeader,
    /// IncrementalAlterConfigs, one setting.
    AlterConfig {
        /// The setting.
        key: &'a str,
        /// What happens to it.
        operation: ConfigOperation,
        /// The new value, if the request has one.
        value: Option<&'a str>,
    },
    /// AlterConfigs (33): every setting that it does not name falls back to the broker's.
    AlterConfigsReplace,
}

/// What IncrementalAlterConfigs does to a setting (KIP-339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigOperation {
    /// Gives it a value.
    Set,
    /// Takes the topic's own value away; the broker's applies.
    Delete,
    /// Adds to a list.
    Append,
    /// Takes from a list.
    Subtract,
    /// A code that Kafka 4.4 does not know.
    Unknown,
}

impl ConfigOperation {
    /// From the code on the wire: 0 Set, 1 Delete, 2 Append, 3 Subtract.
    #[must_use]
    pub const fn from_wire(code: i8) -> Self {
        match code {
            0 => Self::Set,
            1 => Self::Delete,
            2 => Self::Append,
            3 => Self::Subtract,
            _ => Self::Unknown,
        }
    }
}

/// Why an immutable topic's class forbids a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImmutableCause {
    /// It would delete the topic.
    TopicDeleted,
    /// It would put a new topic under the name of an old one.
    TopicRecreated,
    /// It would delete records.
    RecordsDeleted,
    /// It would change partitions, replicas or leaders.
    PartitionsChanged,
    /// It would reset every setting that it does not name.
    ConfigsReplaced,
    /// It would change a setting that may not change.
    ConfigForbidden,
    /// The retention is shorter than the class demands, or than it is now.
    RetentionShortened,
    /// A new topic must state its retention.
    RetentionMissing,
    /// A new topic must state `cleanup.policy=delete`: the broker's own may be compact.
    CleanupPolicyNotDelete,
}

impl ImmutableCause {
    /// A stable code for evidence and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TopicDeleted => "topic-deleted",
            Self::TopicRecreated => "topic-recreated",
            Self::RecordsDeleted => "records-deleted",
            Self::PartitionsChanged => "partitions-changed",
            Self::ConfigsReplaced => "configs-replaced",
            Self::ConfigForbidden => "config-forbidden",
            Self::RetentionShortened => "retention-shortened",
            Self::RetentionMissing => "retention-missing",
            Self::CleanupPolicyNotDelete => "cleanup-policy-not-delete",
        }
    }
}

impl fmt::Display for ImmutableCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TopicDeleted => "it may not be deleted",
            Self::TopicRecreated => "it may not be created again",
            Self::RecordsDeleted => "its records may not be deleted",
            Self::PartitionsChanged => "its partitions and replicas may not change",
            Self::ConfigsReplaced => {
                "its settings may not be replaced as a whole; change one by one"
            }
            Self::ConfigForbidden => "this setting may not change",
            Self::RetentionShortened => {
                "retention.ms may only grow, and not be less than its class demands"
            }
            Self::RetentionMissing => {
                "state retention.ms when creating it, at least what its class demands, or -1"
            }
            Self::CleanupPolicyNotDelete => "state cleanup.policy=delete when creating it",
        })
    }
}

/// What an immutable class demands of retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetentionRequired {
    /// `retention.ms` is -1.
    Forever,
    /// `retention.ms` is -1, or at least so many milliseconds.
    AtLeastMs(u64),
}

impl RetentionRequired {
    /// Whether this value of `retention.ms` is long enough.
    #[must_use]
    pub fn is_met_by(self, retention_ms: i64) -> bool {
        match self {
            _ if retention_ms == -1 => true,
            Self::Forever => false,
            Self::AtLeastMs(min) => {
                u64::try_from(retention_ms).is_ok_and(|retention| retention >= min)
            }
        }
    }
}

/// The settings that a topic of an immutable class has to be created with, and keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CreateRequirements {
    /// The only accepted value of `cleanup.policy`.
    pub cleanup_policy: &'static str,
    /// What `retention.ms` has to be.
    pub retention: RetentionRequired,
    /// The only accepted value of `retention.bytes`, where it is stated: size must not evict.
    pub retention_bytes: i64,
}

/// The requirements of an immutable class whose `retention_min` is so many milliseconds; none stated means for ever.
#[must_use]
pub fn create_requirements(retention_min_ms: Option<u64>) -> CreateRequirements {
    CreateRequirements {
        cleanup_policy: "delete",
        retention: retention_min_ms
            .map_or(RetentionRequired::Forever, RetentionRequired::AtLeastMs),
        retention_bytes: -1,
    }
}

/// A setting in force on an immutable topic that its class forbids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift {
    /// The setting.
    pub key: &'static str,
    /// Its value in force; empty if it has none.
    pub value: String,
}

/// What is in force on an existing topic, its own settings and the brokers' together, and lets its history change.
#[must_use]
pub fn drift<'a>(
    required: &CreateRequirements,
    in_force: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Vec<Drift> {
    const WATCHED: [&str; 4] = [
        "cleanup.policy",
        "retention.ms",
        "retention.bytes",
        "unclean.leader.election.enable",
    ];
    let mut values = WATCHED.map(|_| None);
    for (key, value) in in_force {
        for (watched, seen) in WATCHED.iter().zip(&mut values) {
            if *watched == key {
                *seen = value;
            }
        }
    }
    let kept = |key: &str, value: &str| match key {
        "cleanup.policy" => value == required.cleanup_policy,
        "retention.ms" => number(value).is_some_and(|ms| required.retention.is_met_by(ms)),
        "retention.bytes" => number(value) == Some(required.retention_bytes),
        _ => value == "false",
    };
    WATCHED
        .into_iter()
        .zip(values)
        // A setting that is not shown is not known to keep anything.
        .filter(|(key, value)| !value.is_some_and(|value| kept(key, value)))
        .map(|(key, value)| Drift {
            key,
            value: value.unwrap_or_default().to_owned(),
        })
        .collect()
}

/// Whether `change` leaves the history of an immutable topic alone.
///
/// `retention_ms_known` is the topic's `retention.ms` in force, if the caller knows it: a new value is never below it.
///
/// # Errors
/// Why not.
pub fn immutable_verdict(
    required: RetentionRequired,
    change: &TopicChange<'_>,
    retention_ms_known: Option<i64>,
) -> Result<(), ImmutableCause> {
    match *change {
        TopicChange::Create { configs } => created(required, configs),
        TopicChange::Recreate => Err(ImmutableCause::TopicRecreated),
        TopicChange::Delete => Err(ImmutableCause::TopicDeleted),
        TopicChange::DeleteRecords => Err(ImmutableCause::RecordsDeleted),
        TopicChange::CreatePartitions
        | TopicChange::ReassignPartitions
        | TopicChange::ElectUncleanLeader => Err(ImmutableCause::PartitionsChanged),
        TopicChange::AlterConfigsReplace => Err(ImmutableCause::ConfigsReplaced),
        TopicChange::AlterConfig {
            key,
            operation: ConfigOperation::Set,
            value: Some(value),
        } => altered(required, key, value, retention_ms_known),
        // Delete falls back to the broker's value, which is one week unless somebody changed it.
        TopicChange::AlterConfig { .. } => Err(ImmutableCause::ConfigForbidden),
    }
}

fn altered(
    required: RetentionRequired,
    key: &str,
    value: &str,
    retention_ms_known: Option<i64>,
) -> Result<(), ImmutableCause> {
    match key {
        "retention.ms" => {
            let retention_ms = number(value).ok_or(ImmutableCause::RetentionShortened)?;
            let grows = match retention_ms_known {
                _ if retention_ms == -1 => true,
                Some(-1) => false,
                Some(known) => retention_ms >= known,
                None => true,
            };
            if grows && required.is_met_by(retention_ms) {
                Ok(())
            } else {
                Err(ImmutableCause::RetentionShortened)
            }
        }
        // Each of these values can only keep more than any other value of its key.
        "retention.bytes" if number(value) == Some(-1) => Ok(()),
        "unclean.leader.election.enable" | "remote.log.delete.on.disable" if value == "false" => {
            Ok(())
        }
        _ => Err(ImmutableCause::ConfigForbidden),
    }
}

fn created(
    required: RetentionRequired,
    configs: &[(&str, Option<&str>)],
) -> Result<(), ImmutableCause> {
    let (mut cleanup, mut retention) = (false, false);
    // Each element counts: were a key stated twice, the broker might take either.
    for (key, value) in configs {
        match (*key, *value) {
            ("cleanup.policy", Some("delete")) => cleanup = true,
            ("cleanup.policy", _) => return Err(ImmutableCause::CleanupPolicyNotDelete),
            ("retention.ms", value) => {
                let retention_ms = value
                    .and_then(number)
                    .ok_or(ImmutableCause::RetentionShortened)?;
                if !required.is_met_by(retention_ms) {
                    return Err(ImmutableCause::RetentionShortened);
                }
                retention = true;
            }
            ("retention.bytes", value) if value.and_then(number) == Some(-1) => {}
            ("unclean.leader.election.enable" | "remote.log.delete.on.disable", Some("false")) => {}
            (key, Some(_)) if CREATE_FREE.contains(&key) => {}
            _ => return Err(ImmutableCause::ConfigForbidden),
        }
    }
    match (cleanup, retention) {
        (false, _) => Err(ImmutableCause::CleanupPolicyNotDelete),
        (true, false) => Err(ImmutableCause::RetentionMissing),
        (true, true) => Ok(()),
    }
}

/// Settings that a new topic may state freely: while `retention.*` and `cleanup.policy` stand as required, they delete nothing.
const CREATE_FREE: [&str; 9] = [
    "compression.type",
    "index.interval.bytes",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.type",
    "min.insync.replicas",
    "segment.bytes",
    "segment.index.bytes",
    "segment.ms",
];

/// Decimal as Kafka's `ConfigDef` reads a LONG: surrounding blanks are trimmed.
fn number(value: &str) -> Option<i64> {
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN_YEARS_MS: u64 = 220_752_000_000;
    const REQUIRED: RetentionRequired = RetentionRequired::AtLeastMs(SEVEN_YEARS_MS);

    #[test]
    fn what_is_in_force_may_only_keep_as_much_as_the_class_demands() {
        let required = create_requirements(Some(SEVEN_YEARS_MS));
        let good = [
            ("cleanup.policy", Some("delete")),
            ("retention.ms", Some("-1")),
            ("retention.bytes", Some("-1")),
            ("unclean.leader.election.enable", Some("false")),
            ("segment.ms", Some("1")),
        ];
        assert_eq!(drift(&required, good), []);
        for (key, value) in [
            ("cleanup.policy", Some("compact")),
            ("cleanup.policy", Some("compact,delete")),
            ("retention.ms", Some("220751999999")),
            ("retention.ms", Some("seven years")),
            ("retention.ms", None),
            ("retention.bytes", Some("1000000")),
            ("unclean.leader.election.enable", Some("true")),
        ] {
            let changed = good.map(|(name, other)| (name, if name == key { value } else { other }));
            let found = drift(&required, changed);
            assert_eq!(found.len(), 1, "{key} {value:?}");
            assert_eq!((found[0].key, &*found[0].value), (key, value.unwrap_or("")));
        }
        assert_eq!(drift(&required, []).len(), 4, "nothing is shown");
    }

    fn set(key: &'static str, value: &'static str) -> Result<(), ImmutableCause> {
        let change = TopicChange::AlterConfig {
            key,
            operation: ConfigOperation::Set,
            value: Some(value),
        };
        immutable_verdict(REQUIRED, &change, None)
    }

    #[test]
    fn retention_may_grow_and_never_shrink() {
        assert_eq!(set("retention.ms", "-1"), Ok(()));
        assert_eq!(set("retention.ms", "220752000000"), Ok(()));
        for short in ["220751999999", "0", "-2", "", "7y", "99999999999999999999"] {
            assert_eq!(
                set("retention.ms", short),
                Err(ImmutableCause::RetentionShortened),
                "{short}"
            );
        }
        let change = TopicChange::AlterConfig {
            key: "retention.ms",
            operation: ConfigOperation::Set,
            value: Some("220752000000"),
        };
        for (known, expected) in [
            (Some(-1), Err(ImmutableCause::RetentionShortened)),
            (
                Some(220_752_000_001),
                Err(ImmutableCause::RetentionShortened),
            ),
            (Some(220_752_000_000), Ok(())),
            (None, Ok(())),
        ] {
            assert_eq!(
                immutable_verdict(REQUIRED, &change, known),
                expected,
                "{known:?}"
            );
        }
        assert_eq!(
            immutable_verdict(RetentionRequired::Forever, &change, None),
            Err(ImmutableCause::RetentionShortened),
            "a class without retention_min keeps for ever"
        );
    }

    #[test]
    fn every_side_door_of_deletion_is_closed() {
        for key in [
            "cleanup.policy",
            "segment.ms",
            "segment.bytes",
            "delete.retention.ms",
            "min.compaction.lag.ms",
            "max.compaction.lag.ms",
            "local.retention.ms",
            "local.retention.bytes",
            "remote.storage.enable",
            "remote.log.copy.disable",
            "file.delete.delay.ms",
            "message.timestamp.type",
            "max.message.bytes",
            "min.insync.replicas",
            "compression.type",
            "a.key.of.tomorrow",
            "",
        ] {
            assert_eq!(
                set(key, "delete"),
                Err(ImmutableCause::ConfigForbidden),
                "{key}"
            );
        }
        assert_eq!(
            set("retention.bytes", "1"),
            Err(ImmutableCause::ConfigForbidden)
        );
        assert_eq!(
            set("remote.log.delete.on.disable", "true"),
            Err(ImmutableCause::ConfigForbidden)
        );
        assert_eq!(
            set("unclean.leader.election.enable", "true"),
            Err(ImmutableCause::ConfigForbidden)
        );
        for operation in [1, 2, 3, 4, -1].map(ConfigOperation::from_wire) {
            let change = TopicChange::AlterConfig {
                key: "retention.ms",
                operation,
                value: Some("-1"),
            };
            assert_eq!(
                immutable_verdict(REQUIRED, &change, None),
                Err(ImmutableCause::ConfigForbidden)
            );
        }
        for change in [
            TopicChange::Delete,
            TopicChange::DeleteRecords,
            TopicChange::Recreate,
            TopicChange::CreatePartitions,
            TopicChange::ReassignPartitions,
            TopicChange::ElectUncleanLeader,
            TopicChange::AlterConfigsReplace,
        ] {
            assert!(
                immutable_verdict(REQUIRED, &change, Some(-1)).is_err(),
                "{change:?}"
            );
        }
    }

    #[test]
    fn a_new_immutable_topic_states_its_cleanup_policy_and_retention() {
        let create = |configs: &[(&str, Option<&str>)]| {
            immutable_verdict(REQUIRED, &TopicChange::Create { configs }, None)
        };
        let (policy, keep) = (
            ("cleanup.policy", Some("delete")),
            ("retention.ms", Some("-1")),
        );
        assert_eq!(create(&[policy, keep]), Ok(()));
        assert_eq!(
            create(&[
                policy,
                keep,
                ("min.insync.replicas", Some("2")),
                ("retention.bytes", Some("-1"))
            ]),
            Ok(())
        );
        assert_eq!(create(&[]), Err(ImmutableCause::CleanupPolicyNotDelete));
        assert_eq!(create(&[policy]), Err(ImmutableCause::RetentionMissing));
        assert_eq!(create(&[keep]), Err(ImmutableCause::CleanupPolicyNotDelete));
        assert_eq!(
            create(&[("cleanup.policy", Some("compact,delete")), keep]),
            Err(ImmutableCause::CleanupPolicyNotDelete)
        );
        assert_eq!(
            create(&[policy, keep, ("cleanup.policy", Some("compact"))]),
            Err(ImmutableCause::CleanupPolicyNotDelete)
        );
        assert_eq!(
            create(&[policy, ("retention.ms", Some("1"))]),
            Err(ImmutableCause::RetentionShortened)
        );
        assert_eq!(
            create(&[policy, ("retention.ms", None)]),
            Err(ImmutableCause::RetentionShortened)
        );
        assert_eq!(
            create(&[policy, keep, ("retention.bytes", Some("1"))]),
            Err(ImmutableCause::ConfigForbidden)
        );
        assert_eq!(
            create(&[policy, keep, ("min.insync.replicas", None)]),
            Err(ImmutableCause::ConfigForbidden)
        );
    }
}
