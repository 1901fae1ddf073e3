//! The wire types of `/v1`, one file per noun.
//!
//! An object that a client defines comes in two types: `WarehouseSpec` is what is sent, and
//! `Warehouse` is what comes back, the same spec beside its [`Meta`] and what the daemon has seen.

mod access;
mod change_set;
mod credential;
mod drift;
mod evidence;
mod explain;
mod forecast;
mod freeze;
mod freight;
mod gate;
mod hold;
mod inquiry;
mod instance_freeze;
mod object;
mod pipeline;
mod policy;
mod precondition;
mod preview;
mod project;
mod promotion;
mod question;
mod server;
mod stage;
mod state;
mod task;
mod verification;
mod warehouse;
mod window;

pub use crate::wire_enum::UnknownName;
pub use access::{
    AccessToken, CreateAccessToken, CreatedAccessToken, MintToken, RenewToken, Secret,
    TokenOutline, TokenQuery, TokenSpec, TokenStatus, Whoami,
};
pub use change_set::{
    ChangeSet, DeferredStep, FileChange, FullPlan, InfraPlan, PlannedCall, UndoDescription,
};
pub use credential::{
    Credential, CredentialKind, CredentialOutline, CredentialSpec, CredentialStatus, SecretFrom,
};
pub use drift::{
    DriftAction, DriftOutline, DriftStanding, DriftWatch, DriftedAttribute, DriftedResource,
    OnDrift, StageDrift, StateDrift,
};
pub use evidence::{
    Evidence, EvidencedChangeSet, SignedStatement, SigningKey, SigningKeys, StatementSignature,
};
pub use explain::{Candidate, Explain, ExplainedPolicy};
pub use forecast::{Forecast, ForecastDelay, ForecastNeed, ForecastQuery, ForecastStage, NeedKind};
pub use freeze::{
    Freeze, FreezeExceptions, FreezeScope, FreezeSpec, FreezeStatus, FreezeWindow, StageFreeze,
};
pub use freight::{
    Artifact, Freight, FreightApproval, FreightQuery, FreightStage, GitArtifact, ImageArtifact,
};
pub use gate::{BypassGate, Gate, GateKind, Verdict, Waiting};
pub use hold::{ArtifactSelector, HeldFreight, Hold, HoldSpec, HoldStatus, LiftHold, StageHold};
pub use inquiry::{AttestationRule, TicketRule};
pub use instance_freeze::{
    InstanceFreeze, InstanceFreezeExceptions, InstanceFreezeSpec, InstanceFreezeStatus,
    StoppedPromotion,
};
pub use object::{
    Condition, ConditionStatus, Kind, ListQuery, Meta, Object, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX,
    Page, WorldToken,
};
pub use pipeline::{Pipeline, PipelineEdge, PipelinePolicy, PipelineStage};
pub use policy::{
    ApprovalRule, BypassRule, ConditionRule, Exclusion, InfraAction, InfraRule, InfraRules, Mode,
    Policy, PolicySpec, RateRule, RateScope, RenamePolicy, RollbackRule, RollbackTrigger,
    StageSelector,
};
pub use precondition::Precondition;
pub use preview::{
    Definition, Effect, EffectKind, PREVIEW_TIME_MAX, Preview, PreviewChange, PreviewQuestion,
    PreviewRequest, PreviewSet, PreviewWarning, Replay, Witness,
};
pub use project::{Project, ProjectSpec};
pub use promotion::{
    AbortPromotion, ApprovePromotion, Bypass, CreatePromotion, EventsQuery, FreightSelector,
    Measurement, Phase, PromoteDownstream, Promotion, PromotionApproval, PromotionEvent,
    PromotionQuery, Rerun, Reverify, StartedDownstream, StepRun, StepState,
};
pub use question::{AnswerStep, Question, QuestionKind};
pub use server::{Health, HealthStatus, ServerVersion};
pub use stage::{
    ActivePromotion, Choose, CurrentFreight, Request, RequestMatch, Stage, StageSpec, StageStatus,
    Step, StepControl, StepRetry, VerificationUse,
};
pub use state::{
    EmbeddedState, RestoreState, StateLock, StateQuery, StateVersion, StateWriteQuery, UnlockState,
    VersionMaker,
};
pub use task::{Task, TaskInput, TaskInputType, TaskSpec};
pub use verification::{HttpCheck, PrometheusCheck, Verification, VerificationSpec};
pub use warehouse::{
    DISCOVERY_LIMIT_DEFAULT, GitSubscription, ImageSubscription, Warehouse, WarehouseSpec,
    WarehouseStatus,
};
pub use window::{WindowAction, WindowRule};
