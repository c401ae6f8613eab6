//! Configurations: DescribeConfigs (32), AlterConfigs (33), IncrementalAlterConfigs (44), ListConfigResources (74).
//!
//! Only topics are configured through the gateway: broker settings have dynamic synonyms of every topic key, and both
//! they and client-metrics or group settings would reach further than a role's topics.

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};
use sluice_policy::{ConfigOperation, Operation, TopicChange};

use super::{Asker, ColdApi, Denial, Verdict, code, names};

const RESOURCE_TOPIC: i8 = 2;

const RESOURCE_GROUP: i8 = 32;

/// The code that a broker has for a resource of this type.
fn error_of(denial: &Denial, resource_type: i8) -> i16 {
    if denial.is_immutable() {
        return code::POLICY_VIOLATION;
    }
    match resource_type {
        RESOURCE_TOPIC => code::TOPIC_AUTHORIZATION_FAILED,
        RESOURCE_GROUP => code::GROUP_AUTHORIZATION_FAILED,
        _ => code::CLUSTER_AUTHORIZATION_FAILED,
    }
}

pub(crate) struct DescribeConfigs;

impl ColdApi for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;
    type Pending = Vec<DescribeConfigsResult>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut DescribeConfigsRequest,
    ) -> Verdict<Self::Pending, DescribeConfigsResponse> {
        let mut denied = Vec::new();
        request.resources.retain(|resource| {
            let decided = if resource.resource_type == RESOURCE_TOPIC {
                ask.topic(Operation::DescribeConfigs, &resource.resource_name)
            } else {
                // Broker settings hold the brokers' addresses.
                Err(ask.withheld("settings other than those of topics"))
            };
            let Err(denial) = decided else { return true };
            let mut refusal = DescribeConfigsResult::default();
            refusal.error_code = error_of(&denial, resource.resource_type);
            refusal.error_message = Some(names::text(&denial.message()));
            refusal.resource_type = resource.resource_type;
            refusal.resource_name = resource.resource_name.clone();
            denied.push(refusal);
            false
        });
        if request.resources.is_empty() {
            let mut response = DescribeConfigsResponse::default();
            response.results = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut DescribeConfigsResponse,
    ) {
        response.results.extend(denied);
    }
}

pub(crate) struct AlterConfigs;

impl ColdApi for AlterConfigs {
    type Request = AlterConfigsRequest;
    type Response = AlterConfigsResponse;
    type Pending = Vec<AlterConfigsResourceResponse>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut AlterConfigsRequest,
    ) -> Verdict<Self::Pending, AlterConfigsResponse> {
        let mut denied = Vec::new();
        request.resources.retain(|resource| {
            let decided = if resource.resource_type == RESOURCE_TOPIC {
                let name = &resource.resource_name;
                // This API resets every key that it does not name, so it changes all of them.
                ask.topic(Operation::AlterConfigs, name).and_then(|()| {
                    ask.topic_change(
                        Operation::AlterConfigs,
                        name,
                        &TopicChange::AlterConfigsReplace,
                    )
                })
            } else {
                Err(ask.withheld("settings other than those of topics"))
            };
            let Err(denial) = decided else { return true };
            let mut refusal = AlterConfigsResourceResponse::default();
            refusal.error_code = error_of(&denial, resource.resource_type);
            refusal.error_message = Some(names::text(&denial.message()));
            refusal.resource_type = resource.resource_type;
            refusal.resource_name = resource.resource_name.clone();
            denied.push(refusal);
            false
        });
        if request.resources.is_empty() {
            let mut response = AlterConfigsResponse::default();
            response.responses = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut AlterConfigsResponse,
    ) {
        for resource in &response.responses {
            ask.outcome(&resource.resource_name, resource.error_code);
        }
        response.responses.extend(denied);
    }
}

pub(crate) struct IncrementalAlterConfigs;

impl ColdApi for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    type Response = IncrementalAlterConfigsResponse;
    type Pending = Vec<IncrementalResponse>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut IncrementalAlterConfigsRequest,
    ) -> Verdict<Self::Pending, IncrementalAlterConfigsResponse> {
        let mut denied = Vec::new();
        request.resources.retain(|resource| {
            let decided = if resource.resource_type == RESOURCE_TOPIC {
                let name = &resource.resource_name;
                ask.topic(Operation::AlterConfigs, name).and_then(|()| {
                    resource.configs.iter().try_for_each(|config| {
                        let operation = ConfigOperation::from_wire(config.config_operation);
                        let change = TopicChange::AlterConfig {
                            key: &config.name,
                            operation,
                            value: config.value.as_deref(),
                        };
                        ask.topic_change(Operation::AlterConfigs, name, &change)
                    })
                })
            } else {
                Err(ask.withheld("settings other than those of topics"))
            };
            let Err(denial) = decided else { return true };
            let mut refusal = IncrementalResponse::default();
            refusal.error_code = error_of(&denial, resource.resource_type);
            refusal.error_message = Some(names::text(&denial.message()));
            refusal.resource_type = resource.resource_type;
            refusal.resource_name = resource.resource_name.clone();
            denied.push(refusal);
            false
        });
        if request.resources.is_empty() {
            let mut response = IncrementalAlterConfigsResponse::default();
            response.responses = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut IncrementalAlterConfigsResponse,
    ) {
        for resource in &response.responses {
            ask.outcome(&resource.resource_name, resource.error_code);
        }
        response.responses.extend(denied);
    }
}

pub(crate) struct ListConfigResources;

impl ColdApi for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    type Response = ListConfigResourcesResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        _: &mut ListConfigResourcesRequest,
    ) -> Verdict<(), ListConfigResourcesResponse> {
        if ask.cluster(Operation::DescribeConfigs).is_ok() {
            return Verdict::Forward(());
        }
        let mut response = ListConfigResourcesResponse::default();
        response.error_code = code::CLUSTER_AUTHORIZATION_FAILED;
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, _version: i16, (): (), _: &mut ListConfigResourcesResponse) {}
}
