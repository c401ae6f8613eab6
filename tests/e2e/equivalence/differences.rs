//! Where the gateway answers otherwise than a broker, and means it. Nothing else may differ, and an entry that meets nothing
//! fails the test too.

use super::tree::{ABSENT, Differing};

/// One difference that is meant. `*` in a text stands for anything.
pub(super) struct Meant {
    pub(super) api: &'static str,
    /// First and last.
    pub(super) versions: (i16, i16),
    /// `principal: case`.
    pub(super) case: &'static str,
    pub(super) field: &'static str,
    /// What the broker says, as JSON; [`ABSENT`] for what is not there.
    pub(super) direct: &'static str,
    /// What the gateway says.
    pub(super) gateway: &'static str,
    pub(super) reason: &'static str,
}

/// One row of the table, of all versions: API, case, field, the broker's value, the gateway's, and why.
const fn meant(
    api: &'static str,
    case: &'static str,
    field: &'static str,
    [direct, gateway]: [&'static str; 2],
    reason: &'static str,
) -> Meant {
    Meant {
        api,
        versions: (0, i16::MAX),
        case,
        field,
        direct,
        gateway,
        reason,
    }
}

const fn in_versions(first: i16, last: i16, meant: Meant) -> Meant {
    Meant {
        versions: (first, last),
        ..meant
    }
}

const ANY: &str = "*";
/// A connection that was ended, as `wire` says it.
const CLOSED: &str = "\"the connection was closed\"";
/// The whole answer.
const WHOLE: &str = "";
const SAYS_WHY: &str = "a denial says who may not do what, and which denial in the evidence it is";
const VERSIONS: &str =
    "versions end where messages are known no further, or name no topics any more";
const WITHHELD: &str =
    "the API is withheld: docs/kafka-apis.md says why, and a request for it ends the session";
const FEATURE: &str = "features of APIs that are withheld are not shown";
const REPLICA: &str =
    "nobody is a replica behind the gateway: it asks as a consumer, and decides as for one";
const SESSIONLESS: &str = "there are no fetch sessions behind the gateway";
const TRANSACTIONAL: &str = "a transactional id that is named must be one's own, even if nothing is written in its transaction";
const NOT_ASKED: &str = "what is denied in part is not shown to the broker, which alone knows that a topic is not there";
const PATTERN: &str =
    "the gateway resolves a pattern before it answers, a broker after it has answered";
const TOPICS_ONLY: &str =
    "settings of brokers, loggers, metrics and groups are not served, whatever the rights";
const SUBSCRIBED: &str = "a subscription tells of a topic as much as an assignment does";
const INTERNAL: &str = "Kafka's own topics are denied to everybody";
const TWICE: &str = "each mention is decided for itself, before anybody complains of the second";
const HIDDEN_PAGE: &str = "brokers fill a page, and what is hidden is left out; the cursor is the next topic that may be seen";
const GATEWAYS_QUOTA: &str =
    "a quota that applies to the gateway as a whole would throttle every client";
const WORDS: &str = "a broker's own words may hold a controller's address";
const CONTROLLERS: &str = "controllers are not reached through the gateway";

#[rustfmt::skip]
pub(super) const MEANT: &[Meant] = &[
    meant("*", ANY, "*error_message", ["null", "\"<text>\""], SAYS_WHY),
    meant("*", ANY, "*error_message", ["\"\"", "\"<text>\""], SAYS_WHY),

    meant("ApiVersions", ANY, "api_keys[*].max_version", [ANY, ANY], VERSIONS),
    meant("ApiVersions", ANY, "api_keys[3].min_version", ["0", "4"], "before version 4, Metadata creates topics"),
    meant("ApiVersions", ANY, "api_keys[*]", [ANY, ABSENT], WITHHELD),
    in_versions(3, 4, meant("ApiVersions", ANY, "supported_features[*]", [ANY, ABSENT], FEATURE)),
    in_versions(3, 4, meant("ApiVersions", ANY, "finalized_features[*]", [ANY, ABSENT], FEATURE)),
    meant("*Acls", "*: *", WHOLE, [ANY, CLOSED], WITHHELD),
    meant("*UserScramCredentials", "*: *", WHOLE, [ANY, CLOSED], WITHHELD),
    meant("UpdateFeatures", ANY, WHOLE, [ANY, CLOSED], WITHHELD),
    meant("AlterReplicaLogDirs", ANY, WHOLE, [ANY, CLOSED], WITHHELD),
    meant("DescribeAcls", "harness: *", "resources[2:@.*-*]", [ANY, ABSENT], WITHHELD),
    meant("DescribeUserScramCredentials", "harness: *", "results[@.new]", [ANY, ABSENT], WITHHELD),

    meant("*", "*: the same * twice", "*hidden*].error_code", ["42", "29"], TWICE),
    meant("*", "*: the same * twice", "topics[@.hidden#2]", [ABSENT, ANY], TWICE),
    meant("*", "*: the same * twice", "results[@.hidden#2]", [ABSENT, ANY], TWICE),
    meant("*", "*: the same * twice", "responses[@.hidden#2]", [ABSENT, ANY], TWICE),

    meant("Metadata", "wide: *", "topics[__*]", [ANY, ABSENT], INTERNAL),
    meant("Metadata", "wide: *", "topics[__*].error_code", [ANY, "29"], INTERNAL),
    meant("Metadata", "wide: *", "topics[__*].is_internal", ["true", "false"], INTERNAL),
    meant("Metadata", "wide: *", "topics[__*].partitions[*]", [ANY, ABSENT], INTERNAL),
    in_versions(10, 13, meant("Metadata", "wide: *", "topics[__*].topic_id", ["\"<id>\"", "\"0*\""], INTERNAL)),
    meant("DescribeTopicPartitions", "*: a page", "next_cursor.topic_name", [ANY, ANY], HIDDEN_PAGE),
    meant("DescribeTopicPartitions", "*: a page", "topics[*]", [ANY, ABSENT], HIDDEN_PAGE),
    meant("DescribeTopicPartitions", "wide: *", "topics[__*]", [ANY, ABSENT], INTERNAL),

    in_versions(4, 14, meant("Fetch", "*: as a replica", "responses[*readable*].partitions[0].*", [ANY, ANY], REPLICA)),
    in_versions(7, 18, meant("Fetch", "*: a new fetch session", "session_id", [ANY, "0"], SESSIONLESS)),
    meant("Produce", "*: a transactional id that is denied, and no transaction", "responses[*].partition_responses[0].error_code", ["0", "53"], TRANSACTIONAL),
    meant("Produce", "*: a transactional id that is denied, and no transaction", "responses[*].partition_responses[0].*_offset", [ANY, "-1"], TRANSACTIONAL),
    meant("ListOffsets", "harness: *", "topics[@.made.strict].partitions[0].offset", [ANY, "3"], TRANSACTIONAL),
    in_versions(0, 3, meant("AddPartitionsToTxn", "*: mixed", "*[@.made.absent].results_by_partition[0].partition_error_code", ["3", "55"], NOT_ASKED)),

    in_versions(1, 1, meant("ConsumerGroupHeartbeat", "*: a pattern", "assignment*", [ANY, ANY], PATTERN)),
    in_versions(1, 1, meant("ConsumerGroupHeartbeat", "*: a pattern", "member_epoch", ["1", "2"], PATTERN)),
    meant("ListGroups", ANY, "groups[*.team.patterns].group_state", ["\"*\"", "\"*\""], PATTERN),
    meant("ConsumerGroupDescribe", "reader: *", "groups[@.team.consumers].error_code", ["0", "29"], SUBSCRIBED),
    meant("ConsumerGroupDescribe", "reader: *", "groups[@.team.consumers].members[*]", [ANY, ABSENT], SUBSCRIBED),
    meant("ConsumerGroupDescribe", "reader: *", "groups[@.team.consumers].*_epoch", [ANY, "0"], SUBSCRIBED),
    meant("ConsumerGroupDescribe", "reader: *", "groups[@.team.consumers].*", [ANY, "\"\""], SUBSCRIBED),

    meant("DescribeConfigs", "cluster: what is no topic, allowed", "results[*].error_code", [ANY, "31"], TOPICS_ONLY),
    meant("DescribeConfigs", "cluster: what is no topic, allowed", "results[*].configs[*]", [ANY, ABSENT], TOPICS_ONLY),
    meant("AlterConfigs", "*: what is no topic, *", "responses[*].error_code", [ANY, "31"], TOPICS_ONLY),
    meant("IncrementalAlterConfigs", "cluster: what is no topic, allowed", "responses[*].error_code", [ANY, "31"], TOPICS_ONLY),
    meant("AlterClientQuotas", "cluster: every user, only checked", "entries[*].error_code", ["0", "44"], GATEWAYS_QUOTA),
    in_versions(2, 2, meant("DescribeQuorum", "cluster: the quorum of a topic", "*error_message", ["\"<text>\"", "null"], WORDS)),
    in_versions(2, 2, meant("DescribeQuorum", "cluster: the quorum", "nodes[1].listeners[*]", [ANY, ABSENT], CONTROLLERS)),
];

impl Meant {
    pub(super) fn meets(&self, api: &str, version: i16, case: &str, differing: &Differing) -> bool {
        matches(self.api, api)
            && (self.versions.0..=self.versions.1).contains(&version)
            && matches(self.case, case)
            && matches(self.field, &differing.field)
            && matches(self.direct, &differing.direct)
            && matches(self.gateway, &differing.gateway)
    }
}

/// Whether `text` is what `pattern` says.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(tail, &rest[at..]))
}
