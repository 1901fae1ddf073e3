//! Which handler serves which operation.

use axum::routing::{MethodRouter, delete, get, post, put};
use reconciler_domain::credential::Credential;
use reconciler_domain::freeze::Freeze;
use reconciler_domain::hold::Hold;
use reconciler_domain::policy::Policy;
use reconciler_domain::stage::Stage;
use reconciler_domain::task::Task;
use reconciler_domain::verification::Verification;
use reconciler_domain::warehouse::Warehouse;

use super::definitions::{self, project};
use super::{
    Server, answers, credentials, drift, evidence, forecasts, freight, health, instance_freezes,
    minted, openapi, plans, previews, promotions, reverify, stages, start, states, step_schema,
    tokens, version,
};

/// The handler of the operation with this id, behind its method.
pub(super) fn handler(operation: &str) -> Option<MethodRouter<Server>> {
    Some(match operation {
        "health" => get(health),
        "version" => get(version),
        "openapi" => get(openapi),
        "stepSchema" => get(step_schema),
        "whoami" => get(tokens::whoami),
        "listTokens" => get(tokens::list),
        "createToken" => post(tokens::create),
        "getToken" => get(tokens::read),
        "putToken" => put(tokens::write),
        "revokeToken" => delete(tokens::revoke),
        "rotateToken" => post(tokens::rotate),
        "mintToken" => post(minted::mint),
        "renewToken" => post(minted::renew),
        "endToken" => delete(minted::end),
        "listInstanceFreezes" => get(instance_freezes::list),
        "getInstanceFreeze" => get(instance_freezes::read),
        "putInstanceFreeze" => put(instance_freezes::write),
        "deleteInstanceFreeze" => delete(instance_freezes::remove),
        "listProjects" => get(project::list),
        "getProject" => get(project::read),
        "putProject" => put(project::write),
        "deleteProject" => delete(project::remove),
        "getPipeline" => get(stages::pipeline),
        "preview" => post(previews::preview),
        "listWarehouses" => get(definitions::list::<Warehouse>),
        "getWarehouse" => get(definitions::read::<Warehouse>),
        "putWarehouse" => put(definitions::write::<Warehouse>),
        "deleteWarehouse" => delete(definitions::remove::<Warehouse>),
        "refreshWarehouse" => post(definitions::refresh),
        "listStages" => get(definitions::list::<Stage>),
        "getStage" => get(definitions::read::<Stage>),
        "putStage" => put(definitions::write::<Stage>),
        "deleteStage" => delete(definitions::remove::<Stage>),
        "explainStage" => get(stages::explain_stage),
        "forecastStage" => get(forecasts::forecast_stage),
        "reverifyStage" => post(reverify::reverify_stage),
        "promoteDownstream" => post(start::promote_downstream),
        "listDrift" => get(drift::list),
        "getStageDrift" => get(drift::read),
        "lookForDrift" => post(drift::look),
        "liftStageHold" => post(stages::lift),
        "listVerifications" => get(definitions::list::<Verification>),
        "getVerification" => get(definitions::read::<Verification>),
        "putVerification" => put(definitions::write::<Verification>),
        "deleteVerification" => delete(definitions::remove::<Verification>),
        "listTasks" => get(definitions::list::<Task>),
        "getTask" => get(definitions::read::<Task>),
        "putTask" => put(definitions::write::<Task>),
        "deleteTask" => delete(definitions::remove::<Task>),
        "listPolicies" => get(definitions::list::<Policy>),
        "getPolicy" => get(definitions::read::<Policy>),
        "putPolicy" => put(definitions::write::<Policy>),
        "deletePolicy" => delete(definitions::remove::<Policy>),
        "renamePolicy" => post(definitions::rename),
        "listHolds" => get(definitions::list::<Hold>),
        "getHold" => get(definitions::read::<Hold>),
        "putHold" => put(definitions::write::<Hold>),
        "deleteHold" => delete(definitions::remove::<Hold>),
        "listFreezes" => get(definitions::list::<Freeze>),
        "getFreeze" => get(definitions::read::<Freeze>),
        "putFreeze" => put(definitions::write::<Freeze>),
        "deleteFreeze" => delete(definitions::remove::<Freeze>),
        "listCredentials" => get(definitions::list::<Credential>),
        "getCredential" => get(definitions::read::<Credential>),
        "putCredential" => put(credentials::write),
        "deleteCredential" => delete(definitions::remove::<Credential>),
        "listStates" => get(states::list),
        "readState" => get(states::read),
        "writeState" => post(states::write),
        "removeState" => delete(states::remove),
        "lockState" => post(states::lock),
        "endStateLock" => delete(states::end_lock),
        "unlockState" => post(states::unlock),
        "listStateVersions" => get(states::versions),
        "readStateVersion" => get(states::read_version),
        "restoreState" => post(states::restore),
        "listFreight" => get(freight::list),
        "getFreight" => get(freight::read),
        "approveFreight" => post(freight::approve),
        "listPromotions" => get(promotions::list),
        "createPromotion" => post(start::create),
        "getPromotion" => get(promotions::read),
        "answerStep" => post(answers::answer_step),
        "approvePromotion" => post(promotions::approve_promotion),
        "rerunPromotion" => post(start::rerun_promotion),
        "abortPromotion" => post(promotions::abort_promotion),
        "listPromotionEvents" => get(promotions::events),
        "getPlan" => get(plans::read),
        "getEvidence" => get(evidence::read),
        "listSigningKeys" => get(evidence::keys),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use reconciler_api::operation::OPERATIONS;

    use super::handler;

    #[test]
    fn every_operation_of_the_contract_has_a_handler() {
        let without: Vec<&str> = OPERATIONS
            .iter()
            .map(|operation| operation.id)
            .filter(|id| handler(id).is_none())
            .collect();
        assert_eq!(without, Vec::<&str>::new());
    }
}
