//! Client quotas: DescribeClientQuotas (48), AlterClientQuotas (49).
//!
//! Brokers know one user, the gateway, so what distinguishes clients there is the client id.

use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse, alter_client_quotas_request,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, Denial, Verdict, code, names};
use crate::login;
use crate::record::cut;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

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
    type Pending = Vec<EntryData>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut AlterClientQuotasRequest,
    ) -> Verdict<Self::Pending, AlterClientQuotasResponse> {
        let mut denied = Vec::new();
        if let Err(denial) = ask.cluster(Operation::AlterConfigs) {
            let error = code::CLUSTER_AUTHORIZATION_FAILED;
            let refused = request.entries.iter();
            denied.extend(refused.map(|entry| not_altered(entry, error, &denial)));
            return Verdict::Answer(only(denied));
        }
        let only_validated = request.validate_only;
        request
            .entries
            .retain(|entry| match altered(ask, entry, only_validated) {
                Ok(()) => true,
                Err(denial) => {
                    denied.push(not_altered(entry, code::POLICY_VIOLATION, &denial));
                    false
                }
            });
        if request.entries.is_empty() && !denied.is_empty() {
            return Verdict::Answer(only(denied));
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut AlterClientQuotasResponse,
    ) {
        for entry in &response.entries {
            let entity = entry.entity.iter();
            let quota =
                quota_of(entity.map(|part| (&*part.entity_type, part.entity_name.as_deref())));
            ask.quota_outcome(cut(&quota), entry.error_code);
        }
        response.entries.extend(denied);
    }
}

/// Decides one entity, and says in evidence what becomes of each of its quotas.
fn altered(
    ask: &mut Asker<'_>,
    entry: &alter_client_quotas_request::EntryData,
    only_validated: bool,
) -> Result<(), Denial> {
    let entity = || {
        let parts = entry.entity.iter();
        parts.map(|part| (&*part.entity_type, part.entity_name.as_deref()))
    };
    let quota = quota_of(entity());
    // Brokers see each client under the gateway's user, at the gateway's address, with the client's own client id. So a
    // quota of that user, of users by default, or of an address (brokers resolve names; any may be the gateway's) is
    // one of all clients together. To remove it is denied too, for another then applies in its place.
    let of_gateway = entity().any(|(kind, name)| match kind {
        USER => name.is_none_or(|name| name == ask.broker_user()),
        IP => true,
        CLIENT_ID => name == Some(login::CLIENT_ID),
        _ => false,
    });
    if of_gateway {
        let why =
            "it would throttle the gateway, and with it every client; set quotas by client id";
        return Err(ask.quota_denied(cut(&quota), why));
    }
    let validated = if only_validated {
        ", only validated"
    } else {
        ""
    };
    let changes = entry.ops.iter().map(|op| {
        let key = op.key.escape_debug();
        if op.remove {
            format!("{quota}: {key} removed{validated}")
        } else {
            format!("{quota}: {key} = {}{validated}", op.value)
        }
    });
    let changes: Vec<String> = changes.collect();
    if changes
        .iter()
        .chain([&quota])
        .any(|change| cut(change).len() < change.len())
    {
        return Err(ask.quota_denied(cut(&quota), "it is too long to be recorded"));
    }
    for change in changes {
        ask.alters_quota(change);
    }
    Ok(())
}

/// An entity in words, the same whatever the order of its parts. Names are quoted, so that none passes for another.
fn quota_of<'a>(entity: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut parts: Vec<_> = entity.collect();
    parts.sort_by_key(|(kind, _)| *kind);
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(kind, name)| match name {
            Some(name) => format!("{} {name:?}", kind.escape_debug()),
            None => format!("{} <default>", kind.escape_debug()),
        })
        .collect();
    format!("quota of {}", parts.join(", "))
}

fn only(denied: Vec<EntryData>) -> AlterClientQuotasResponse {
    let mut response = AlterClientQuotasResponse::default();
    response.entries = denied;
    response
}

fn not_altered(
    entry: &alter_client_quotas_request::EntryData,
    error: i16,
    denial: &Denial,
) -> EntryData {
    let mut refusal = EntryData::default();
    refusal.error_code = error;
    refusal.error_message = Some(names::text(&denial.message()));
    for entity in &entry.entity {
        let mut named = EntityData::default();
        named.entity_type = entity.entity_type.clone();
        named.entity_name = entity.entity_name.clone();
        refusal.entity.push(named);
    }
    refusal
}
