//! Client quotas: DescribeClientQuotas (48), AlterClientQuotas (49).
//!
//! Brokers know one user, the gateway, so what distinguishes clients there is the client id.

use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, Verdict, code, names};

pub(crate) struct DescribeClientQuotas;

impl ColdApi for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    type Response = DescribeClientQuotasResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        _: &mut DescribeClientQuotasRequest,
    ) -> Verdict<(), DescribeClientQuotasResponse> {
        let Err(denial) = ask.cluster(Operation::DescribeConfigs) else {
            return Verdict::Forward(());
        };
        let mut response = DescribeClientQuotasResponse::default();
        response.error_code = code::CLUSTER_AUTHORIZATION_FAILED;
        response.error_message = Some(names::text(&denial.message()));
        response.entries = None;
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, _version: i16, (): (), _: &mut DescribeClientQuotasResponse) {}
}

pub(crate) struct AlterClientQuotas;

impl ColdApi for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;
    type Response = AlterClientQuotasResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut AlterClientQuotasRequest,
    ) -> Verdict<(), AlterClientQuotasResponse> {
        let Err(denial) = ask.cluster(Operation::AlterConfigs) else {
            return Verdict::Forward(());
        };
        let mut response = AlterClientQuotasResponse::default();
        for entry in &request.entries {
            let mut refusal = EntryData::default();
            refusal.error_code = code::CLUSTER_AUTHORIZATION_FAILED;
            refusal.error_message = Some(names::text(&denial.message()));
            for entity in &entry.entity {
                let mut named = EntityData::default();
                named.entity_type = entity.entity_type.clone();
                named.entity_name = entity.entity_name.clone();
                refusal.entity.push(named);
            }
            response.entries.push(refusal);
        }
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, _version: i16, (): (), _: &mut AlterClientQuotasResponse) {}
}
