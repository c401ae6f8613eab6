//! Group APIs whose request names one group, or that list groups: JoinGroup (11), Heartbeat (12), LeaveGroup (13),
//! SyncGroup (14), DescribeGroups (15), ListGroups (16), DeleteGroups (42).

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, OPERATIONS_UNKNOWN, Verdict, code};

/// APIs that need Read on one group and carry the denial at the top of the answer.
macro_rules! one_group {
    ($($api:ident: $request:ty => $response:ty;)+) => {$(
        pub(crate) struct $api;

        impl ColdApi for $api {
            type Request = $request;
            type Response = $response;
            type Pending = ();

            fn decide(ask: &mut Asker<'_>, _version: i16, request: &mut $request) -> Verdict<(), $response> {
                if ask.group(Operation::Read, &request.group_id).is_ok() {
                    return Verdict::Forward(());
                }
                let mut response = <$response>::default();
                response.error_code = code::GROUP_AUTHORIZATION_FAILED;
                Verdict::Answer(response)
            }

            fn answer(_: &mut Asker<'_>, _version: i16, (): (), _response: &mut $response) {}
        }
    )+};
}

one_group! {
    Heartbeat: HeartbeatRequest => HeartbeatResponse;
    LeaveGroup: LeaveGroupRequest => LeaveGroupResponse;
    SyncGroup: SyncGroupRequest => SyncGroupResponse;
}

pub(crate) struct JoinGroup;

impl ColdApi for JoinGroup {
    type Request = JoinGroupRequest;
    type Response = JoinGroupResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut JoinGroupRequest,
    ) -> Verdict<(), JoinGroupResponse> {
        if ask.group(Operation::Read, &request.group_id).is_ok() {
            return Verdict::Forward(());
        }
        let mut response = JoinGroupResponse::default();
        response.error_code = code::GROUP_AUTHORIZATION_FAILED;
        if version >= 7 {
            response.protocol_name = None;
        }
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, _version: i16, (): (), _: &mut JoinGroupResponse) {}
}

pub(crate) struct DescribeGroups;

impl ColdApi for DescribeGroups {
    type Request = DescribeGroupsRequest;
    type Response = DescribeGroupsResponse;
    type Pending = Vec<DescribedGroup>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut DescribeGroupsRequest,
    ) -> Verdict<Vec<DescribedGroup>, DescribeGroupsResponse> {
        let mut denied = Vec::new();
        request.groups.retain(|group| {
            if ask.group(Operation::Describe, group).is_ok() {
                return true;
            }
            let mut refusal = DescribedGroup::default();
            refusal.error_code = code::GROUP_AUTHORIZATION_FAILED;
            refusal.group_id = group.clone();
            denied.push(refusal);
            false
        });
        if request.groups.is_empty() {
            let mut response = DescribeGroupsResponse::default();
            response.groups = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Vec<DescribedGroup>,
        response: &mut DescribeGroupsResponse,
    ) {
        for group in &mut response.groups {
            if group.authorized_operations != OPERATIONS_UNKNOWN {
                group.authorized_operations = ask.group_operations(&group.group_id);
            }
        }
        response.groups.extend(denied);
    }
}

pub(crate) struct ListGroups;

impl ColdApi for ListGroups {
    type Request = ListGroupsRequest;
    type Response = ListGroupsResponse;
    type Pending = ();

    fn decide(
        _: &mut Asker<'_>,
        _version: i16,
        _: &mut ListGroupsRequest,
    ) -> Verdict<(), ListGroupsResponse> {
        Verdict::Forward(())
    }

    fn answer(ask: &mut Asker<'_>, _version: i16, (): (), response: &mut ListGroupsResponse) {
        if !ask.may_describe_cluster() {
            response
                .groups
                .retain(|group| ask.may_describe_group(&group.group_id));
        }
    }
}

pub(crate) struct DeleteGroups;

impl ColdApi for DeleteGroups {
    type Request = DeleteGroupsRequest;
    type Response = DeleteGroupsResponse;
    type Pending = Vec<DeletableGroupResult>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut DeleteGroupsRequest,
    ) -> Verdict<Vec<DeletableGroupResult>, DeleteGroupsResponse> {
        let mut denied = Vec::new();
        request.groups_names.retain(|group| {
            if ask.group(Operation::Delete, group).is_ok() {
                return true;
            }
            let mut refusal = DeletableGroupResult::default();
            refusal.group_id = group.clone();
            refusal.error_code = code::GROUP_AUTHORIZATION_FAILED;
            denied.push(refusal);
            false
        });
        if request.groups_names.is_empty() {
            let mut response = DeleteGroupsResponse::default();
            response.results = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Vec<DeletableGroupResult>,
        response: &mut DeleteGroupsResponse,
    ) {
        response.results.extend(denied);
    }
}
