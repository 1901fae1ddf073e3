//! The operations themselves, by noun.

use serde_json::Value;

use super::{Auth, Method, Operation};
use crate::v1::{
    AbortPromotion, AccessToken, AnswerStep, ApprovePromotion, CreateAccessToken, CreatePromotion,
    CreatedAccessToken, Credential, CredentialSpec, EmbeddedState, EventsQuery, Evidence, Explain,
    Forecast, ForecastQuery, Freeze, FreezeSpec, Freight, FreightApproval, FreightQuery, FullPlan,
    Health, Hold, HoldSpec, InstanceFreeze, InstanceFreezeSpec, LiftHold, ListQuery, MintToken,
    Page, Pipeline, Policy, PolicySpec, Preview, PreviewQuestion, Project, ProjectSpec,
    PromoteDownstream, Promotion, PromotionEvent, PromotionQuery, RenamePolicy, RenewToken, Rerun,
    RestoreState, Reverify, ServerVersion, SigningKeys, Stage, StageDrift, StageSpec,
    StartedDownstream, StateLock, StateQuery, StateVersion, StateWriteQuery, Task, TaskSpec,
    TokenQuery, TokenSpec, UnlockState, Verification, VerificationSpec, Warehouse, WarehouseSpec,
    Whoami,
};

const fn get(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(Method::Get, path, id, tag, summary)
}

const fn put(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(Method::Put, path, id, tag, summary).conditional()
}

const fn post(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(Method::Post, path, id, tag, summary)
}

const fn delete(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(Method::Delete, path, id, tag, summary)
}

/// Every operation of the contract. A `PUT` answers 201 instead of 200 when it created.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    get("/healthz", "health", "server", "whether the daemon can serve")
        .auth(Auth::Public).answers::<Health>(200),
    get("/v1/version", "version", "server", "which daemon answers")
        .auth(Auth::Public).answers::<ServerVersion>(200),
    get("/v1/keys", "listSigningKeys", "server", "read the keys under which signed statements hold")
        .auth(Auth::Public).answers::<SigningKeys>(200),
    get("/v1/openapi.json", "openapi", "server", "this document")
        .auth(Auth::Public).answers::<Value>(200),
    get("/v1/step.schema.json", "stepSchema", "server", "what may be written as a step, as JSON Schema")
        .auth(Auth::Public).answers::<Value>(200),
    get("/v1/whoami", "whoami", "tokens", "who the bearer of the sent token is")
        .answers::<Whoami>(200),

    get("/v1/tokens", "listTokens", "tokens", "list the tokens, without their secrets")
        .auth(Auth::Admin).query::<TokenQuery>().answers::<Page<AccessToken>>(200),
    post("/v1/tokens", "createToken", "tokens", "create a token for a person or a program")
        .auth(Auth::Admin).takes::<CreateAccessToken>().answers::<CreatedAccessToken>(201),
    get("/v1/tokens/{token}", "getToken", "tokens", "read a token, without its secret")
        .auth(Auth::Admin).answers::<AccessToken>(200),
    put("/v1/tokens/{token}", "putToken", "tokens", "define a token whose secret the client knows")
        .auth(Auth::Admin).takes::<TokenSpec>().answers::<AccessToken>(200),
    delete("/v1/tokens/{token}", "revokeToken", "tokens", "make a token, and all that were minted from it, stop working")
        .auth(Auth::Admin).conditional(),
    post("/v1/tokens/{token}/rotate", "rotateToken", "tokens", "give a token another secret")
        .auth(Auth::Admin).answers::<CreatedAccessToken>(200),
    post("/v1/whoami/tokens", "mintToken", "tokens", "mint a token that acts as the caller for a short time")
        .takes::<MintToken>().answers::<CreatedAccessToken>(201),
    delete("/v1/whoami/tokens/{token}", "endToken", "tokens", "end a token that the caller minted"),
    post("/v1/whoami/tokens/{token}/renew", "renewToken", "tokens", "let a token that the caller minted last longer")
        .takes::<RenewToken>().answers::<AccessToken>(200),

    get("/v1/freezes", "listInstanceFreezes", "freezes", "list the freezes of every project by name")
        .query::<ListQuery>().answers::<Page<InstanceFreeze>>(200),
    get("/v1/freezes/{name}", "getInstanceFreeze", "freezes", "read a freeze of every project, and what it stops")
        .answers::<InstanceFreeze>(200),
    put("/v1/freezes/{name}", "putInstanceFreeze", "freezes", "freeze every project for a time")
        .auth(Auth::Admin).takes::<InstanceFreezeSpec>().answers::<InstanceFreeze>(200),
    delete("/v1/freezes/{name}", "deleteInstanceFreeze", "freezes", "end a freeze of every project")
        .auth(Auth::Admin).conditional(),

    get("/v1/projects", "listProjects", "projects", "list the projects by name")
        .query::<ListQuery>().answers::<Page<Project>>(200),
    get("/v1/projects/{project}", "getProject", "projects", "read a project")
        .answers::<Project>(200),
    put("/v1/projects/{project}", "putProject", "projects", "define a project")
        .takes::<ProjectSpec>().answers::<Project>(200),
    delete("/v1/projects/{project}", "deleteProject", "projects", "remove an empty project")
        .conditional(),
    get("/v1/projects/{project}/pipeline", "getPipeline", "projects", "read the graph of the stages")
        .answers::<Pipeline>(200),
    post("/v1/projects/{project}/preview", "preview", "projects", "ask what one change, or several together, would do to live freight")
        .takes::<PreviewQuestion>().answers::<Preview>(200),

    get("/v1/projects/{project}/warehouses", "listWarehouses", "warehouses", "list the warehouses by name")
        .query::<ListQuery>().answers::<Page<Warehouse>>(200),
    get("/v1/projects/{project}/warehouses/{name}", "getWarehouse", "warehouses", "read a warehouse")
        .answers::<Warehouse>(200),
    put("/v1/projects/{project}/warehouses/{name}", "putWarehouse", "warehouses", "define a warehouse")
        .takes::<WarehouseSpec>().answers::<Warehouse>(200),
    delete("/v1/projects/{project}/warehouses/{name}", "deleteWarehouse", "warehouses", "remove a warehouse that nothing requests")
        .conditional(),
    post("/v1/projects/{project}/warehouses/{name}/refresh", "refreshWarehouse", "warehouses", "ask the sources now")
        .answers::<Warehouse>(202),

    get("/v1/projects/{project}/stages", "listStages", "stages", "list the stages by name")
        .query::<ListQuery>().answers::<Page<Stage>>(200),
    get("/v1/projects/{project}/stages/{name}", "getStage", "stages", "read a stage")
        .answers::<Stage>(200),
    put("/v1/projects/{project}/stages/{name}", "putStage", "stages", "define a stage")
        .takes::<StageSpec>().answers::<Stage>(200),
    delete("/v1/projects/{project}/stages/{name}", "deleteStage", "stages", "remove a stage that nothing takes freight from")
        .conditional(),
    get("/v1/projects/{project}/stages/{name}/explain", "explainStage", "stages", "say why a stage does or does not get freight")
        .answers::<Explain>(200),
    get("/v1/projects/{project}/stages/{name}/forecast", "forecastStage", "stages", "say when a freight can be in a stage at the earliest, and what decides that")
        .query::<ForecastQuery>().answers::<Forecast>(200),
    post("/v1/projects/{project}/stages/{name}/reverify", "reverifyStage", "stages", "verify anew what is in a stage; the promotion that brought it goes on")
        .takes::<Reverify>().answers::<Promotion>(200),
    post("/v1/projects/{project}/stages/{name}/downstream", "promoteDownstream", "stages", "promote what is in a stage to every stage that takes freight from it")
        .takes::<PromoteDownstream>().answers::<Vec<StartedDownstream>>(200),
    get("/v1/projects/{project}/drift", "listDrift", "stages", "say of each stage with steps what differs in its infra")
        .answers::<Vec<StageDrift>>(200),
    get("/v1/projects/{project}/stages/{name}/drift", "getStageDrift", "stages", "say what differs in the infra of a stage from what its promotions left there")
        .answers::<StageDrift>(200),
    post("/v1/projects/{project}/stages/{name}/drift", "lookForDrift", "stages", "have the infra of a stage looked at now")
        .answers::<StageDrift>(202),
    post("/v1/projects/{project}/stages/{name}/lift", "liftStageHold", "stages", "lift the automatic hold of a stage")
        .takes::<LiftHold>().answers::<Stage>(200),

    get("/v1/projects/{project}/verifications", "listVerifications", "verifications", "list the verifications by name")
        .query::<ListQuery>().answers::<Page<Verification>>(200),
    get("/v1/projects/{project}/verifications/{name}", "getVerification", "verifications", "read a verification")
        .answers::<Verification>(200),
    put("/v1/projects/{project}/verifications/{name}", "putVerification", "verifications", "define a verification")
        .takes::<VerificationSpec>().answers::<Verification>(200),
    delete("/v1/projects/{project}/verifications/{name}", "deleteVerification", "verifications", "remove a verification that no stage uses")
        .conditional(),

    get("/v1/projects/{project}/tasks", "listTasks", "tasks", "list the tasks by name")
        .query::<ListQuery>().answers::<Page<Task>>(200),
    get("/v1/projects/{project}/tasks/{name}", "getTask", "tasks", "read a task")
        .answers::<Task>(200),
    put("/v1/projects/{project}/tasks/{name}", "putTask", "tasks", "define a task")
        .takes::<TaskSpec>().answers::<Task>(200),
    delete("/v1/projects/{project}/tasks/{name}", "deleteTask", "tasks", "remove a task that no stage and no other task uses")
        .conditional(),

    get("/v1/projects/{project}/policies", "listPolicies", "policies", "list the policies by name")
        .query::<ListQuery>().answers::<Page<Policy>>(200),
    get("/v1/projects/{project}/policies/{name}", "getPolicy", "policies", "read a policy")
        .answers::<Policy>(200),
    put("/v1/projects/{project}/policies/{name}", "putPolicy", "policies", "define a policy")
        .takes::<PolicySpec>().answers::<Policy>(200),
    delete("/v1/projects/{project}/policies/{name}", "deletePolicy", "policies", "remove a policy")
        .conditional(),
    post("/v1/projects/{project}/policies/{name}/rename", "renamePolicy", "policies", "rename a policy in place")
        .conditional().takes::<RenamePolicy>().answers::<Policy>(200),

    get("/v1/projects/{project}/holds", "listHolds", "holds", "list the holds by name")
        .query::<ListQuery>().answers::<Page<Hold>>(200),
    get("/v1/projects/{project}/holds/{name}", "getHold", "holds", "read a hold, and where what it stops is already")
        .answers::<Hold>(200),
    put("/v1/projects/{project}/holds/{name}", "putHold", "holds", "hold a stage, freight or artifacts")
        .takes::<HoldSpec>().answers::<Hold>(200),
    delete("/v1/projects/{project}/holds/{name}", "deleteHold", "holds", "lift a hold")
        .conditional(),

    get("/v1/projects/{project}/freezes", "listFreezes", "freezes", "list the freezes by name")
        .query::<ListQuery>().answers::<Page<Freeze>>(200),
    get("/v1/projects/{project}/freezes/{name}", "getFreeze", "freezes", "read a freeze, and what it stops")
        .answers::<Freeze>(200),
    put("/v1/projects/{project}/freezes/{name}", "putFreeze", "freezes", "freeze a project for a time")
        .takes::<FreezeSpec>().answers::<Freeze>(200),
    delete("/v1/projects/{project}/freezes/{name}", "deleteFreeze", "freezes", "end a freeze")
        .conditional(),

    get("/v1/projects/{project}/credentials", "listCredentials", "credentials", "list the credentials by name, without their secrets")
        .query::<ListQuery>().answers::<Page<Credential>>(200),
    get("/v1/projects/{project}/credentials/{name}", "getCredential", "credentials", "read a credential, without its secrets")
        .answers::<Credential>(200),
    put("/v1/projects/{project}/credentials/{name}", "putCredential", "credentials", "define a credential")
        .takes::<CredentialSpec>().answers::<Credential>(200),
    delete("/v1/projects/{project}/credentials/{name}", "deleteCredential", "credentials", "remove a credential that no step names")
        .conditional(),

    get("/v1/projects/{project}/states", "listStates", "states", "list the embedded states by stage and name, without what is in them")
        .answers::<Vec<EmbeddedState>>(200),
    get("/v1/projects/{project}/stages/{stage}/states/{state}", "readState", "states", "read a state as it is, as OpenTofu and Terraform do with the backend http")
        .auth(Auth::States).query::<StateQuery>().answers::<Value>(200),
    post("/v1/projects/{project}/stages/{stage}/states/{state}", "writeState", "states", "write a state that carries on what is there, with the lock that one has")
        .auth(Auth::States).query::<StateWriteQuery>().takes::<Value>().answers::<StateVersion>(200),
    delete("/v1/projects/{project}/stages/{stage}/states/{state}", "removeState", "states", "remove a state; it is kept as a version")
        .auth(Auth::States).query::<StateWriteQuery>(),
    post("/v1/projects/{project}/stages/{stage}/states/{state}/lock", "lockState", "states", "lock a state, also by the method LOCK on the state; 423 with the other's lock if it has one")
        .auth(Auth::States).query::<StateQuery>().takes::<Value>(),
    delete("/v1/projects/{project}/stages/{stage}/states/{state}/lock", "endStateLock", "states", "end one's lock, also by the method UNLOCK on the state; without a body whichever it is")
        .auth(Auth::States).query::<StateQuery>(),
    post("/v1/projects/{project}/stages/{stage}/states/{state}/unlock", "unlockState", "states", "take away the lock of a client that is gone")
        .auth(Auth::States).query::<StateQuery>().takes::<UnlockState>().answers::<StateLock>(200),
    get("/v1/projects/{project}/stages/{stage}/states/{state}/versions", "listStateVersions", "states", "list the versions of a state, oldest first, without what is in them")
        .query::<StateQuery>().answers::<Vec<StateVersion>>(200),
    get("/v1/projects/{project}/stages/{stage}/states/{state}/versions/{version}", "readStateVersion", "states", "read a version of a state")
        .auth(Auth::States).query::<StateQuery>().answers::<Value>(200),
    post("/v1/projects/{project}/stages/{stage}/states/{state}/restore", "restoreState", "states", "make an older version the state, as a new version")
        .auth(Auth::States).query::<StateQuery>().takes::<RestoreState>().answers::<StateVersion>(200),

    get("/v1/projects/{project}/freight", "listFreight", "freight", "list the freight, newest first")
        .query::<FreightQuery>().answers::<Page<Freight>>(200),
    get("/v1/projects/{project}/freight/{freight}", "getFreight", "freight", "read a freight, by its id or a unique beginning of it")
        .answers::<Freight>(200),
    post("/v1/projects/{project}/freight/{freight}/approve", "approveFreight", "freight", "make freight available to a stage past its upstream")
        .takes::<FreightApproval>().answers::<Freight>(200),

    get("/v1/projects/{project}/promotions", "listPromotions", "promotions", "list the promotions, newest first, without patches")
        .query::<PromotionQuery>().answers::<Page<Promotion>>(200),
    post("/v1/projects/{project}/promotions", "createPromotion", "promotions", "ask for a promotion")
        .takes::<CreatePromotion>().answers::<Promotion>(201),
    get("/v1/projects/{project}/promotions/{promotion}", "getPromotion", "promotions", "read a promotion")
        .answers::<Promotion>(200),
    get("/v1/projects/{project}/promotions/{promotion}/plans/{step}", "getPlan", "promotions", "read an infrastructure plan in full, that of a step or of the undo of an apply")
        .answers::<FullPlan>(200),
    get("/v1/projects/{project}/promotions/{promotion}/evidence", "getEvidence", "promotions", "read what people agreed to, signed")
        .answers::<Evidence>(200),
    post("/v1/projects/{project}/promotions/{promotion}/approve", "approvePromotion", "promotions", "approve what a promotion will do")
        .takes::<ApprovePromotion>().answers::<Promotion>(200),
    post("/v1/projects/{project}/promotions/{promotion}/rerun", "rerunPromotion", "promotions", "promote once more what a promotion that is over had brought")
        .takes::<Rerun>().answers::<Promotion>(201),
    post("/v1/projects/{project}/promotions/{promotion}/steps/{step}/answer", "answerStep", "promotions", "answer what a step asks: approve it, refuse it, or give its values")
        .takes::<AnswerStep>().answers::<Promotion>(200),
    post("/v1/projects/{project}/promotions/{promotion}/abort", "abortPromotion", "promotions", "end a promotion")
        .takes::<AbortPromotion>().answers::<Promotion>(200),
    get("/v1/projects/{project}/promotions/{promotion}/events", "listPromotionEvents", "promotions", "read what happened to a promotion, waiting for it if nothing did")
        .query::<EventsQuery>().answers::<Vec<PromotionEvent>>(200),
];
