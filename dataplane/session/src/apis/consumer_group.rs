//! The consumer protocol of KIP-848: ConsumerGroupHeartbeat (68), ConsumerGroupDescribe (69).

use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, OPERATIONS_UNKNOWN, Verdict, code, names, subscription};
use crate::subscriptions::MemberKey;

pub(crate) struct ConsumerGroupHeartbeat;

impl ColdApi for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    type Response = ConsumerGroupHeartbeatResponse;
    /// The member, if its topics are resolved here from a pattern.
    type Pending = Option<MemberKey>;

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut ConsumerGroupHeartbeatRequest,
    ) -> Verdict<Self::Pending, ConsumerGroupHeartbeatResponse> {
        let mut response = ConsumerGroupHeartbeatResponse::default();
        if let Err(denial) = ask.group(Operation::Read, &request.group_id) {
            response.error_code = code::GROUP_AUTHORIZATION_FAILED;
            response.error_message = Some(names::text(&denial.message()));
            return Verdict::Answer(response);
        }
        for topic in request.subscribed_topic_names.iter().flatten() {
            if let Err(denial) = ask.topic(Operation::Describe, topic) {
                response.error_code = code::TOPIC_AUTHORIZATION_FAILED;
                response.error_message = Some(names::text(&denial.message()));
                return Verdict::Answer(response);
            }
        }
        // Patterns came with version 1.
        if version < 1 {
            return Verdict::Forward(None);
        }
        match subscription::settle(ask, request) {
            Ok(resolved) => Verdict::Forward(resolved),
            Err(unsettled) => {
                response.error_code = unsettled.error_code;
                response.error_message = Some(names::text(&unsettled.message));
                Verdict::Answer(response)
            }
        }
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        resolved: Option<MemberKey>,
        response: &mut ConsumerGroupHeartbeatResponse,
    ) {
        // An answer names topics by id alone, and its member may describe them: what it subscribed to, it was asked for.
        if response.error_code != code::NONE
            && let Some(member) = resolved
        {
            ask.subscriptions().untold(&member);
        }
    }
}

pub(crate) struct ConsumerGroupDescribe;

impl ColdApi for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    type Response = ConsumerGroupDescribeResponse;
    type Pending = Vec<DescribedGroup>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut ConsumerGroupDescribeRequest,
    ) -> Verdict<Self::Pending, ConsumerGroupDescribeResponse> {
        let mut denied = Vec::new();
        request.group_ids.retain(|group| {
            let Err(denial) = ask.group(Operation::Describe, group) else {
                return true;
            };
            let mut refusal = DescribedGroup::default();
            refusal.group_id = group.clone();
            refusal.error_code = code::GROUP_AUTHORIZATION_FAILED;
            refusal.error_message = Some(names::text(&denial.message()));
            refusal.authorized_operations = OPERATIONS_UNKNOWN;
            denied.push(refusal);
            false
        });
        if request.group_ids.is_empty() {
            let mut response = ConsumerGroupDescribeResponse::default();
            response.groups = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut ConsumerGroupDescribeResponse,
    ) {
        for group in &mut response.groups {
            if group.authorized_operations != OPERATIONS_UNKNOWN {
                group.authorized_operations = ask.group_operations(&group.group_id);
            }
            let assigned = group.members.iter().flat_map(|member| {
                member
                    .assignment
                    .topic_partitions
                    .iter()
                    .chain(&member.target_assignment.topic_partitions)
            });
            let subscribed = group
                .members
                .iter()
                .flat_map(|member| &member.subscribed_topic_names);
            let hidden = assigned
                .map(|topic| &topic.topic_name)
                .chain(subscribed)
                .any(|topic| !ask.may_describe_topic(topic));
            // As a broker does: one topic that may not be seen hides the group's members.
            if hidden {
                group.error_code = code::TOPIC_AUTHORIZATION_FAILED;
                group.error_message = Some(names::text(
                    "the group reads topics that may not be described",
                ));
                group.members.clear();
                group.group_state = names::text("");
                group.assignor_name = names::text("");
                group.group_epoch = 0;
                group.assignment_epoch = 0;
            }
        }
        response.groups.extend(denied);
    }
}
