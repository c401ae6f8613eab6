//! The one table of Kafka's APIs: what exists in Kafka 4.4, which versions the gateway speaks, and how it treats each.
//!
//! Sources: the message specs of Kafka 4.4.0 and the ranges of kafka-protocol 0.18. Versions are capped where that decoder
//! ends (among them those of OffsetCommit, OffsetFetch and TxnOffsetCommit in which topic ids replace names, KIP-516) and where
//! an API turns into its inter-broker form (AddPartitionsToTxn 4, KIP-890).

use crate::reader::Encoding;

/// How the gateway treats an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Answered by the gateway itself, never forwarded.
    Local,
    /// Walked in place by hand.
    Hot,
    /// Checked, decoded, encoded again.
    Cold,
    /// Not offered; a request is rejected.
    Withheld,
}

/// What a request names, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names(u16);

impl Names {
    pub const NONE: Self = Self(0);
    pub const TOPIC: Self = Self(1);
    pub const TOPIC_ID: Self = Self(1 << 1);
    pub const GROUP: Self = Self(1 << 2);
    pub const TRANSACTIONAL_ID: Self = Self(1 << 3);
    pub const PRODUCER_ID: Self = Self(1 << 4);
    pub const RECORDS: Self = Self(1 << 5);
    pub const BROKER: Self = Self(1 << 6);
    /// A resource type beside a name (configs, ACLs, quotas).
    pub const RESOURCE: Self = Self(1 << 7);
    pub const PRINCIPAL: Self = Self(1 << 8);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is named.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Whether a response carries broker addresses that must be replaced by the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    None,
    Carried,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Wire key.
    pub key: i16,
    /// The name in Kafka's message specs, without `Request`.
    pub name: &'static str,
    /// Versions that the gateway speaks, inclusive. For withheld APIs: those that exist (empty if none is left).
    pub versions: (i16, i16),
    /// First version with compact types and tagged fields; `None` if there is none.
    pub flexible_from: Option<i16>,
    /// How it is treated.
    pub treatment: Treatment,
    /// What its requests name, in the versions spoken.
    pub names: Names,
    /// Whether its responses carry addresses, in the versions spoken.
    pub addresses: Addresses,
    /// First response version whose throttle time makes a Java client pause; `None` if there is none.
    pub throttle_from: Option<i16>,
    /// First version in which topic ids replace names (KIP-516); `None` if there is none among those spoken.
    pub topic_ids_from: Option<i16>,
    /// Why a withheld API is; empty for the others.
    pub withheld_because: &'static str,
}

impl Api {
    /// Whether the gateway speaks this version.
    pub fn speaks(&self, version: i16) -> bool {
        self.treatment != Treatment::Withheld
            && self.versions.0 <= version
            && version <= self.versions.1
    }

    /// How a version writes its body.
    pub fn encoding(&self, version: i16) -> Encoding {
        match self.flexible_from {
            Some(first) if version >= first => Encoding::Flexible,
            _ => Encoding::Classic,
        }
    }
}

/// Versions of one API that somebody offers, inclusive, as ApiVersions says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiRange {
    pub key: i16,
    pub version_min: i16,
    pub version_max: i16,
}

/// The row of a key, or `None` if no such API exists in Kafka 4.4.
pub fn api(key: i16) -> Option<&'static Api> {
    APIS.get(usize::try_from(key).ok()?)
}

/// Every row, by key.
pub fn apis() -> &'static [Api] {
    &APIS
}

/// What to offer to clients in front of a broker that offers `broker`: the versions that both speak. Local APIs are offered
/// whatever the broker says.
///
/// Produce is offered from version 0, although 0 to 2 are rejected: older librdkafka versions otherwise turn compression off
/// (KAFKA-18659).
pub fn narrow(broker: &[ApiRange]) -> Vec<ApiRange> {
    let mut offered = Vec::with_capacity(APIS.len());
    for api in &APIS {
        let (min, max) = match api.treatment {
            Treatment::Withheld => continue,
            Treatment::Local => api.versions,
            Treatment::Hot | Treatment::Cold => {
                let Some(range) = broker.iter().find(|range| range.key == api.key) else {
                    continue;
                };
                (
                    api.versions.0.max(range.version_min),
                    api.versions.1.min(range.version_max),
                )
            }
        };
        if min <= max {
            let version_min = if api.key == PRODUCE { 0 } else { min };
            offered.push(ApiRange {
                key: api.key,
                version_min,
                version_max: max,
            });
        }
    }
    offered
}

/// Whether a feature that a broker announces may be shown: those of APIs that are withheld may not.
pub fn shows_feature(name: &str) -> bool {
    !matches!(
        name,
        "share.version" | "streams.version" | "kraft.version" | "metadata.version"
    )
}

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;
pub const LIST_OFFSETS: i16 = 2;
pub const METADATA: i16 = 3;
pub const OFFSET_COMMIT: i16 = 8;
pub const OFFSET_FETCH: i16 = 9;
pub const FIND_COORDINATOR: i16 = 10;
pub const JOIN_GROUP: i16 = 11;
pub const HEARTBEAT: i16 = 12;
pub const LEAVE_GROUP: i16 = 13;
pub const SYNC_GROUP: i16 = 14;
pub const DESCRIBE_GROUPS: i16 = 15;
pub const LIST_GROUPS: i16 = 16;
pub const SASL_HANDSHAKE: i16 = 17;
pub const API_VERSIONS: i16 = 18;
pub const CREATE_TOPICS: i16 = 19;
pub const DELETE_TOPICS: i16 = 20;
pub const DELETE_RECORDS: i16 = 21;
pub const INIT_PRODUCER_ID: i16 = 22;
pub const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
pub const ADD_OFFSETS_TO_TXN: i16 = 25;
pub const END_TXN: i16 = 26;
pub const TXN_OFFSET_COMMIT: i16 = 28;
pub const DESCRIBE_CONFIGS: i16 = 32;
pub const ALTER_CONFIGS: i16 = 33;
pub const DESCRIBE_LOG_DIRS: i16 = 35;
pub const SASL_AUTHENTICATE: i16 = 36;
pub const CREATE_PARTITIONS: i16 = 37;
pub const DELETE_GROUPS: i16 = 42;
pub const ELECT_LEADERS: i16 = 43;
pub const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
pub const ALTER_PARTITION_REASSIGNMENTS: i16 = 45;
pub const LIST_PARTITION_REASSIGNMENTS: i16 = 46;
pub const OFFSET_DELETE: i16 = 47;
pub const DESCRIBE_CLIENT_QUOTAS: i16 = 48;
pub const ALTER_CLIENT_QUOTAS: i16 = 49;
pub const DESCRIBE_QUORUM: i16 = 55;
pub const DESCRIBE_CLUSTER: i16 = 60;
pub const DESCRIBE_PRODUCERS: i16 = 61;
pub const DESCRIBE_TRANSACTIONS: i16 = 65;
pub const LIST_TRANSACTIONS: i16 = 66;
pub const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
pub const CONSUMER_GROUP_DESCRIBE: i16 = 69;
pub const LIST_CONFIG_RESOURCES: i16 = 74;
pub const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;

const T: Names = Names::TOPIC;
const G: Names = Names::GROUP;
const X: Names = Names::TRANSACTIONAL_ID;
const P: Names = Names::PRODUCER_ID;
const B: Names = Names::BROKER;
const R: Names = Names::RESOURCE;
const U: Names = Names::PRINCIPAL;
const NO: Names = Names::NONE;
/// Flexible from no version on; throttle honoured in no version.
const NEVER: i16 = -1;

const fn row(
    key: i16,
    name: &'static str,
    versions: (i16, i16),
    flexible: i16,
    treatment: Treatment,
    names: Names,
    throttle: i16,
) -> Api {
    Api {
        key,
        name,
        versions,
        flexible_from: if flexible == NEVER {
            None
        } else {
            Some(flexible)
        },
        treatment,
        names,
        addresses: Addresses::None,
        throttle_from: if throttle == NEVER {
            None
        } else {
            Some(throttle)
        },
        topic_ids_from: None,
        withheld_because: "",
    }
}

const fn cold(
    key: i16,
    name: &'static str,
    versions: (i16, i16),
    flexible: i16,
    names: Names,
    throttle: i16,
) -> Api {
    row(
        key,
        name,
        versions,
        flexible,
        Treatment::Cold,
        names,
        throttle,
    )
}

const fn local(key: i16, name: &'static str, versions: (i16, i16), flexible: i16) -> Api {
    row(key, name, versions, flexible, Treatment::Local, NO, NEVER)
}

const fn withheld(
    key: i16,
    name: &'static str,
    versions: (i16, i16),
    flexible: i16,
    because: &'static str,
) -> Api {
    Api {
        withheld_because: because,
        ..row(
            key,
            name,
            versions,
            flexible,
            Treatment::Withheld,
            NO,
            NEVER,
        )
    }
}

const fn with_ids_from(version: i16, api: Api) -> Api {
    Api {
        topic_ids_from: Some(version),
        ..api
    }
}

const fn with_addresses(api: Api) -> Api {
    Api {
        addresses: Addresses::Carried,
        ..api
    }
}

/// No version is left in Kafka 4.
const GONE: (i16, i16) = (0, -1);

// Why APIs are withheld.
const REMOVED: &str = "no version is left in Kafka 4";
const BETWEEN_BROKERS: &str = "brokers and controllers speak it among themselves";
const AROUND: &str = "it could open the brokers to somebody who does not come through the gateway";
const TOKENS: &str = "a broker's token would speak for the gateway";
const BROKER_DISKS: &str = "it moves files of a broker, which no topic's permission covers";
const CLUSTER_SHAPE: &str = "it changes which processes and features the cluster is made of";
const SHARE: &str = "records would travel past the masks";
const STREAMS: &str = "groups of Kafka Streams name topics and patterns that are not decided yet";
const TELEMETRY: &str = "clients' metrics would reach the brokers under the gateway's name";

#[rustfmt::skip]
static APIS: [Api; 95] = [
    with_addresses(with_ids_from(13, row(0, "Produce", (3, 13), 9, Treatment::Hot, T.and(X).and(Names::RECORDS), 6))),
    with_addresses(with_ids_from(13, row(1, "Fetch", (4, 18), 12, Treatment::Hot, T, 8))),
    cold(2, "ListOffsets", (1, 10), 6, T, 3),
    // Before version 4 it creates topics, and cannot be told not to.
    with_addresses(cold(3, "Metadata", (4, 13), 9, T.and(Names::TOPIC_ID), 6)),
    withheld(4, "LeaderAndIsr", GONE, NEVER, REMOVED),
    withheld(5, "StopReplica", GONE, NEVER, REMOVED),
    withheld(6, "UpdateMetadata", GONE, NEVER, REMOVED),
    withheld(7, "ControlledShutdown", GONE, NEVER, REMOVED),
    cold(8, "OffsetCommit", (2, 9), 8, G.and(T), 4),
    cold(9, "OffsetFetch", (1, 9), 6, G.and(T), 4),
    with_addresses(cold(10, "FindCoordinator", (0, 6), 3, G.and(X), 2)),
    cold(11, "JoinGroup", (0, 9), 6, G, 3),
    cold(12, "Heartbeat", (0, 4), 4, G, 2),
    cold(13, "LeaveGroup", (0, 5), 4, G, 2),
    cold(14, "SyncGroup", (0, 5), 4, G, 2),
    cold(15, "DescribeGroups", (0, 6), 5, G, 2),
    cold(16, "ListGroups", (0, 5), 3, NO, 2),
    local(17, "SaslHandshake", (0, 1), NEVER),
    local(18, "ApiVersions", (0, 4), 3),
    cold(19, "CreateTopics", (2, 7), 5, T.and(B), 3),
    cold(20, "DeleteTopics", (1, 6), 4, T.and(Names::TOPIC_ID), 2),
    cold(21, "DeleteRecords", (0, 2), 2, T, 1),
    cold(22, "InitProducerId", (0, 5), 2, X.and(P), 1),
    cold(23, "OffsetForLeaderEpoch", (2, 4), 4, T, NEVER),
    cold(24, "AddPartitionsToTxn", (0, 3), 3, X.and(P).and(T), 1),
    cold(25, "AddOffsetsToTxn", (0, 4), 3, X.and(P).and(G), 1),
    cold(26, "EndTxn", (0, 5), 3, X.and(P), 1),
    withheld(27, "WriteTxnMarkers", (1, 2), 1, BETWEEN_BROKERS),
    cold(28, "TxnOffsetCommit", (0, 5), 3, X.and(P).and(G).and(T), 1),
    withheld(29, "DescribeAcls", (1, 3), 2, AROUND),
    withheld(30, "CreateAcls", (1, 3), 2, AROUND),
    withheld(31, "DeleteAcls", (1, 3), 2, AROUND),
    cold(32, "DescribeConfigs", (1, 4), 4, R, 2),
    cold(33, "AlterConfigs", (0, 2), 2, R, 1),
    withheld(34, "AlterReplicaLogDirs", (1, 2), 2, BROKER_DISKS),
    cold(35, "DescribeLogDirs", (1, 4), 2, T, 1),
    local(36, "SaslAuthenticate", (0, 2), 2),
    cold(37, "CreatePartitions", (0, 3), 2, T.and(B), 1),
    withheld(38, "CreateDelegationToken", (1, 3), 2, TOKENS),
    withheld(39, "RenewDelegationToken", (1, 2), 2, TOKENS),
    withheld(40, "ExpireDelegationToken", (1, 2), 2, TOKENS),
    withheld(41, "DescribeDelegationToken", (1, 3), 2, TOKENS),
    cold(42, "DeleteGroups", (0, 2), 2, G, 1),
    cold(43, "ElectLeaders", (0, 2), 2, T, 0),
    cold(44, "IncrementalAlterConfigs", (0, 1), 1, R, 0),
    cold(45, "AlterPartitionReassignments", (0, 1), 0, T.and(B), 0),
    cold(46, "ListPartitionReassignments", (0, 0), 0, T, 0),
    cold(47, "OffsetDelete", (0, 0), NEVER, G.and(T), 0),
    cold(48, "DescribeClientQuotas", (0, 1), 1, R.and(U), NEVER),
    cold(49, "AlterClientQuotas", (0, 1), 1, R.and(U), 0),
    withheld(50, "DescribeUserScramCredentials", (0, 0), 0, AROUND),
    withheld(51, "AlterUserScramCredentials", (0, 0), 0, AROUND),
    withheld(52, "Vote", (0, 2), 0, BETWEEN_BROKERS),
    withheld(53, "BeginQuorumEpoch", (0, 1), 1, BETWEEN_BROKERS),
    withheld(54, "EndQuorumEpoch", (0, 1), 1, BETWEEN_BROKERS),
    with_addresses(cold(55, "DescribeQuorum", (0, 2), 0, T, NEVER)),
    withheld(56, "AlterPartition", (2, 3), 0, BETWEEN_BROKERS),
    withheld(57, "UpdateFeatures", (0, 2), 0, CLUSTER_SHAPE),
    withheld(58, "Envelope", (0, 0), 0, BETWEEN_BROKERS),
    withheld(59, "FetchSnapshot", (0, 1), 0, BETWEEN_BROKERS),
    with_addresses(cold(60, "DescribeCluster", (0, 2), 0, NO, NEVER)),
    cold(61, "DescribeProducers", (0, 0), 0, T, NEVER),
    withheld(62, "BrokerRegistration", (0, 4), 0, BETWEEN_BROKERS),
    withheld(63, "BrokerHeartbeat", (0, 2), 0, BETWEEN_BROKERS),
    withheld(64, "UnregisterBroker", (0, 0), 0, CLUSTER_SHAPE),
    cold(65, "DescribeTransactions", (0, 0), 0, X, NEVER),
    cold(66, "ListTransactions", (0, 2), 0, P, NEVER),
    withheld(67, "AllocateProducerIds", (0, 0), 0, BETWEEN_BROKERS),
    cold(68, "ConsumerGroupHeartbeat", (0, 1), 0, G.and(T).and(Names::TOPIC_ID), NEVER),
    cold(69, "ConsumerGroupDescribe", (0, 1), 0, G, NEVER),
    withheld(70, "ControllerRegistration", (0, 0), 0, BETWEEN_BROKERS),
    withheld(71, "GetTelemetrySubscriptions", (0, 0), 0, TELEMETRY),
    withheld(72, "PushTelemetry", (0, 0), 0, TELEMETRY),
    withheld(73, "AssignReplicasToDirs", (0, 0), 0, BETWEEN_BROKERS),
    cold(74, "ListConfigResources", (0, 1), 0, R, NEVER),
    cold(75, "DescribeTopicPartitions", (0, 0), 0, T, 0),
    withheld(76, "ShareGroupHeartbeat", (1, 1), 0, SHARE),
    withheld(77, "ShareGroupDescribe", (1, 1), 0, SHARE),
    withheld(78, "ShareFetch", (1, 2), 0, SHARE),
    withheld(79, "ShareAcknowledge", (1, 2), 0, SHARE),
    withheld(80, "AddRaftVoter", (0, 1), 0, CLUSTER_SHAPE),
    withheld(81, "RemoveRaftVoter", (0, 0), 0, CLUSTER_SHAPE),
    withheld(82, "UpdateRaftVoter", (0, 0), 0, BETWEEN_BROKERS),
    withheld(83, "InitializeShareGroupState", (0, 0), 0, BETWEEN_BROKERS),
    withheld(84, "ReadShareGroupState", (0, 0), 0, BETWEEN_BROKERS),
    withheld(85, "WriteShareGroupState", (0, 1), 0, BETWEEN_BROKERS),
    withheld(86, "DeleteShareGroupState", (0, 0), 0, BETWEEN_BROKERS),
    withheld(87, "ReadShareGroupStateSummary", (0, 1), 0, BETWEEN_BROKERS),
    withheld(88, "StreamsGroupHeartbeat", (0, 1), 0, STREAMS),
    withheld(89, "StreamsGroupDescribe", (0, 1), 0, STREAMS),
    withheld(90, "DescribeShareGroupOffsets", (0, 1), 0, SHARE),
    withheld(91, "AlterShareGroupOffsets", (0, 0), 0, SHARE),
    withheld(92, "DeleteShareGroupOffsets", (0, 0), 0, SHARE),
    withheld(93, "StreamsGroupTopologyDescriptionUpdate", (0, 0), 0, STREAMS),
    withheld(94, "UnregisterController", (0, 0), 0, CLUSTER_SHAPE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_at_its_key() {
        for (key, api) in APIS.iter().enumerate() {
            assert_eq!(key, api.key as usize, "{}", api.name);
            let withheld = api.treatment == Treatment::Withheld;
            assert_eq!(withheld, !api.withheld_because.is_empty(), "{}", api.name);
        }
        assert_eq!(api(-1), None);
        assert_eq!(api(95), None);
    }

    #[test]
    fn the_decoder_knows_every_cold_version_and_agrees_on_headers() {
        use kafka_protocol::messages::ApiKey;
        for api in APIS
            .iter()
            .filter(|api| api.treatment != Treatment::Withheld)
        {
            let theirs = ApiKey::try_from(api.key).unwrap();
            let range = theirs.valid_versions();
            assert!(
                range.min <= api.versions.0 && api.versions.1 <= range.max,
                "{}",
                api.name
            );
            for version in api.versions.0..=api.versions.1 {
                let flexible = api.encoding(version) == Encoding::Flexible;
                assert_eq!(
                    theirs.request_header_version(version),
                    if flexible { 2 } else { 1 },
                    "{} {version}",
                    api.name
                );
            }
        }
    }

    #[test]
    fn withheld_apis_are_never_offered() {
        let everything: Vec<_> = (0..95)
            .map(|key| ApiRange {
                key,
                version_min: 0,
                version_max: i16::MAX,
            })
            .collect();
        let offered = narrow(&everything);
        for range in &offered {
            assert_ne!(api(range.key).unwrap().treatment, Treatment::Withheld);
        }
        let produce = offered.iter().find(|range| range.key == PRODUCE).unwrap();
        assert_eq!((produce.version_min, produce.version_max), (0, 13));
        assert!(!api(PRODUCE).unwrap().speaks(2));
        assert_eq!(
            offered
                .iter()
                .find(|range| range.key == FETCH)
                .unwrap()
                .version_max,
            18
        );
    }

    #[test]
    fn a_broker_narrower_than_the_gateway_decides() {
        let offered = narrow(&[
            ApiRange {
                key: METADATA,
                version_min: 2,
                version_max: 9,
            },
            ApiRange {
                key: FETCH,
                version_min: 19,
                version_max: 20,
            },
        ]);
        assert!(offered.contains(&ApiRange {
            key: METADATA,
            version_min: 4,
            version_max: 9
        }));
        assert!(offered.iter().all(|range| range.key != FETCH));
        assert!(offered.iter().any(|range| range.key == API_VERSIONS));
    }
}
