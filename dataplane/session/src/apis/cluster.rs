//! DescribeCluster (60) and FindCoordinator (10): answers that carry addresses.

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    FindCoordinatorResponse,
};
use kafka_protocol::protocol::StrBytes;
use sluice_policy::Operation;

use super::{Asker, ColdApi, OPERATIONS_UNKNOWN, Verdict, code, names};

const ENDPOINT_BROKERS: i8 = 1;
const KEY_TYPE_GROUP: i8 = 0;
const KEY_TYPE_TRANSACTION: i8 = 1;
const KEY_TYPE_SHARE: i8 = 2;

pub(crate) struct DescribeCluster;

impl ColdApi for DescribeCluster {
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;
    type Pending = bool;

    fn decide(
        _: &mut Asker<'_>,
        version: i16,
        request: &mut DescribeClusterRequest,
    ) -> Verdict<bool, DescribeClusterResponse> {
        if version >= 1 && request.endpoint_type != ENDPOINT_BROKERS {
            let mut response = DescribeClusterResponse::default();
            response.error_code = code::MISMATCHED_ENDPOINT_TYPE;
            response.error_message = Some(names::text(
                "controllers are not reached through this gateway",
            ));
            response.endpoint_type = ENDPOINT_BROKERS;
            return Verdict::Answer(response);
        }
        Verdict::Forward(request.include_cluster_authorized_operations)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        with_operations: bool,
        response: &mut DescribeClusterResponse,
    ) {
        response
            .brokers
            .retain_mut(|broker| match ask.advertised(broker.broker_id.0) {
                Some((host, port)) => {
                    broker.host = host;
                    broker.port = port;
                    true
                }
                None => false,
            });
        response.cluster_authorized_operations = if with_operations {
            ask.cluster_operations()
        } else {
            OPERATIONS_UNKNOWN
        };
    }
}

pub(crate) struct FindCoordinator;

impl ColdApi for FindCoordinator {
    type Request = FindCoordinatorRequest;
    type Response = FindCoordinatorResponse;
    type Pending = Vec<Coordinator>;

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut FindCoordinatorRequest,
    ) -> Verdict<Vec<Coordinator>, FindCoordinatorResponse> {
        let key_type = if version == 0 {
            KEY_TYPE_GROUP
        } else {
            request.key_type
        };
        if version < 4 {
            let Some(refusal) = refused(ask, key_type, &request.key) else {
                return Verdict::Forward(Vec::new());
            };
            let mut response = FindCoordinatorResponse::default();
            response.error_code = refusal.error_code;
            if version >= 1 {
                response.error_message = refusal.error_message;
            }
            response.node_id = refusal.node_id;
            response.port = refusal.port;
            return Verdict::Answer(response);
        }
        let mut denied = Vec::new();
        request
            .coordinator_keys
            .retain(|key| match refused(ask, key_type, key) {
                Some(refusal) => {
                    denied.push(refusal);
                    false
                }
                None => true,
            });
        if request.coordinator_keys.is_empty() && !denied.is_empty() {
            let mut response = FindCoordinatorResponse::default();
            response.coordinators = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        version: i16,
        denied: Vec<Coordinator>,
        response: &mut FindCoordinatorResponse,
    ) {
        if version < 4 {
            let (host, port) = rewritten(ask, response.node_id.0);
            response.host = host;
            response.port = port;
            return;
        }
        for coordinator in &mut response.coordinators {
            let (host, port) = rewritten(ask, coordinator.node_id.0);
            coordinator.host = host;
            coordinator.port = port;
        }
        response.coordinators.extend(denied);
    }
}

/// No address of a broker passes, whatever the node id is.
fn rewritten(ask: &Asker<'_>, node: i32) -> (StrBytes, i32) {
    ask.advertised(node)
        .unwrap_or_else(|| (names::text(""), -1))
}

fn refused(ask: &mut Asker<'_>, key_type: i8, key: &StrBytes) -> Option<Coordinator> {
    let (denial, error) = match key_type {
        KEY_TYPE_GROUP => (
            ask.group(Operation::Describe, key).err(),
            code::GROUP_AUTHORIZATION_FAILED,
        ),
        KEY_TYPE_TRANSACTION => (
            ask.transactional_id(Operation::Describe, key).err(),
            code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ),
        KEY_TYPE_SHARE => (
            Some(ask.withheld("share coordinators")),
            code::CLUSTER_AUTHORIZATION_FAILED,
        ),
        _ => (
            Some(ask.withheld("coordinators of an unknown kind")),
            code::INVALID_REQUEST,
        ),
    };
    let denial = denial?;
    let mut refusal = Coordinator::default();
    refusal.key = key.clone();
    refusal.node_id = (-1).into();
    refusal.port = -1;
    refusal.error_code = error;
    refusal.error_message = Some(names::text(&denial.message()));
    Some(refusal)
}
